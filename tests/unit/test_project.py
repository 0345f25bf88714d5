"""What `goldmar init --ci` writes where a project is not as simple as could be; tests/ci/test_project.py runs it."""

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from goldmar.environments import uv
from goldmar.errors import MissingExtraError, UsageError
from goldmar.pipeline import project as module
from goldmar.pipeline.project import Ci, FileStatus, lock_models, prepare


@pytest.fixture
def made_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """uv is not asked: the lock files that would be made, in order."""
    asked: list[str] = []

    def make_lock(root: Path, wanted: str, target: str) -> str:
        asked.append(target)
        return f"made=={len(asked)}\n"

    monkeypatch.setattr(module, "make_lock", make_lock)
    return asked


def fates(outcomes: tuple) -> dict[str, str]:
    return {each.path: each.status for each in outcomes if not each.path.startswith("compose/goldmar/")}


def handler(root: Path, name: str, requirements: str = "numpy\n") -> None:
    folder = root / "handlers" / name
    folder.mkdir(parents=True)
    (folder / "handler.py").write_text("")
    (folder / "archive.toml").write_text('version = "1"\n')
    (folder / "requirements.txt").write_text(requirements)


def test_without_uv_nothing_is_written(tmp_path, monkeypatch):
    def absent(purpose: str) -> str:
        raise MissingExtraError("uv", "bisect", purpose)

    monkeypatch.setattr(uv, "executable", absent)
    with pytest.raises(MissingExtraError, match="Making the lock files needs the package 'uv'") as caught:
        prepare(tmp_path, Ci.github)
    assert caught.value.fix == "pip install 'goldmar[bisect]'"
    assert list(tmp_path.iterdir()) == []


def test_a_project_without_a_model_gets_its_workflow_too(tmp_path, made_of):
    prepare(tmp_path, Ci.github)
    lock_models(tmp_path)
    assert "-r " not in (tmp_path / "ci/locks/api.in").read_text()
    assert made_of == ["ci/locks/api.txt", "ci/locks/base.txt"]


@pytest.mark.parametrize("change", ["handlers/gear/requirements.txt", "handlers/common/requirements.txt"])
def test_a_lock_is_made_anew_when_what_it_is_made_of_changes(change, tmp_path, made_of):
    handler(tmp_path, "gear", "-r ../common/requirements.txt  # shared\npillow\n")
    (tmp_path / "handlers/common").mkdir()
    (tmp_path / "handlers/common/requirements.txt").write_text("numpy\n")
    prepare(tmp_path, Ci.github)
    assert fates(lock_models(tmp_path).outcomes) == {
        "ci/locks/api.txt": FileStatus.written,
        "ci/locks/base.txt": FileStatus.written,
    }
    (tmp_path / "ci/locks/base.txt").write_text("made==0  # by a bot\n")
    prepare(tmp_path, Ci.github)
    assert set(fates(lock_models(tmp_path).outcomes).values()) == {FileStatus.same}
    with (tmp_path / change).open("a") as file:
        file.write("scipy\n")
    assert fates(lock_models(tmp_path).outcomes)["ci/locks/api.txt"] is FileStatus.upgraded
    assert made_of == ["ci/locks/api.txt", "ci/locks/base.txt", "ci/locks/api.txt"]


def test_a_lock_file_of_the_users_own_stays(tmp_path, made_of):
    (tmp_path / "ci/locks").mkdir(parents=True)
    (tmp_path / "ci/locks/api.txt").write_text("mine==1\n")
    prepare(tmp_path, Ci.github)
    assert fates(lock_models(tmp_path).outcomes) == {
        "ci/locks/api.txt": FileStatus.left,
        "ci/locks/base.txt": FileStatus.written,
    }
    assert (tmp_path / "ci/locks/api.txt").read_text() == "mine==1\n"


def test_the_lock_files_that_compose_brought_are_replaced_by_those_of_the_models(tmp_path, made_of):
    prepare(tmp_path)
    shipped = (tmp_path / "ci/locks/api.txt").read_text()
    assert "imagecodecs==" in shipped
    prepare(tmp_path, Ci.gitlab)
    assert set(fates(lock_models(tmp_path).outcomes).values()) == {FileStatus.upgraded}
    assert (tmp_path / "ci/locks/api.txt").read_text() == "made==1\n"
    assert "ci/locks/api.txt" not in fates(prepare(tmp_path).outcomes)  # and --compose does not bring them back
    assert (tmp_path / "ci/locks/api.txt").read_text() == "made==1\n"


def test_a_copy_of_which_nothing_is_known_is_not_written_over(tmp_path):
    prepare(tmp_path)
    (tmp_path / "ci/written.json").unlink()
    (tmp_path / "compose/goldmar/config.py").write_text("mine\n")
    with pytest.raises(UsageError, match="does not list it; nothing was written") as caught:
        prepare(tmp_path)
    assert "rm -r" in caught.value.fix
    assert (tmp_path / "compose/goldmar/config.py").read_text() == "mine\n"


def test_a_pipeline_of_the_users_own_is_not_touched_and_the_line_is_named(tmp_path, made_of):
    (tmp_path / ".gitlab-ci.yml").write_text("stages: [mine]\n")
    assert "include: { local: ci/gitlab/regression.yml }" in prepare(tmp_path, Ci.gitlab).notes[-1]
    assert (tmp_path / ".gitlab-ci.yml").read_text() == "stages: [mine]\n"
    (tmp_path / ".gitlab-ci.yml").write_text("include: { local: ci/gitlab/regression.yml }\n")
    assert not [note for note in prepare(tmp_path, Ci.gitlab).notes if "include" in note]


def test_a_workflow_of_the_users_own_is_not_touched(tmp_path, made_of):
    (tmp_path / ".github/workflows").mkdir(parents=True)
    (tmp_path / ".github/workflows/regression.yml").write_text("mine\n")
    assert fates(prepare(tmp_path, Ci.github).outcomes)[".github/workflows/regression.yml"] is FileStatus.beside
    assert (tmp_path / ".github/workflows/regression.yml").read_text() == "mine\n"


def test_in_a_folder_of_a_repository_it_says_that_servers_begin_at_the_top(tmp_path, made_of):
    (tmp_path / ".git").mkdir()
    (tmp_path / "models/handlers").mkdir(parents=True)
    assert "let its steps run in models" in prepare(tmp_path / "models", Ci.github).notes[-1]
    (tmp_path / "models/.git").mkdir()
    assert not [note for note in prepare(tmp_path / "models", Ci.github).notes if "top" in note]


def test_what_git_is_told_to_ignore_and_a_ci_server_needs_is_named(tmp_path, made_of):
    handler(tmp_path, "gear")
    (tmp_path / "golden/gear").mkdir(parents=True)
    for name in ("expected.csv", "obtained.csv"):
        (tmp_path / "golden/gear" / name).write_text("")
    (tmp_path / "notes.csv").write_text("")
    (tmp_path / ".gitignore").write_text("*.csv\nrequirements.txt\nlocks/\n")
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    prepare(tmp_path, Ci.github)
    (note,) = lock_models(tmp_path).notes
    assert "ignores 6 of the files" in note  # expected.csv, requirements.txt, four lock files
    *_, added = note.split(": ")
    subprocess.run([*git, *shlex.split(added)[1:]], check=True)
    assert lock_models(tmp_path).notes == ()
    listed = subprocess.run([*git, "ls-files"], capture_output=True, text=True, check=True).stdout.split()
    assert {"golden/gear/expected.csv", "ci/locks/api.txt"} <= set(listed)
    assert "golden/gear/obtained.csv" not in listed


def test_archives_that_nothing_here_makes_stay_in_git(tmp_path):
    (tmp_path / "model_store").mkdir()
    (tmp_path / "golden/mean/drawings").mkdir(parents=True)
    (tmp_path / "model_store/mean.mar").write_bytes(b"")
    (tmp_path / ".gitignore").write_bytes(b"caf\xe9\r\n")
    prepare(tmp_path)
    text = (tmp_path / ".gitignore").read_bytes()
    assert text.startswith(b"caf\xe9\r\n")
    assert b"/model_store/*.mar\n!/model_store/mean.mar\n" in text


@pytest.mark.parametrize(
    ("origin", "line"),
    [
        (None, "goldmar==1.2.3"),
        ({"url": "https://example.org/goldmar-1.2.3.whl"}, "goldmar @ https://example.org/goldmar-1.2.3.whl"),
        ({"url": "https://h/g", "vcs_info": {"vcs": "git", "commit_id": "ab12"}}, "goldmar @ git+https://h/g@ab12"),
        ({"url": "https://tok@h/g-1.whl"}, "goldmar @ https://h/g-1.whl"),
        ({"url": "ssh://git@h/g", "vcs_info": {"vcs": "git", "commit_id": "c"}}, "goldmar @ git+ssh://git@h/g@c"),
        ({"url": "file:///home/me/goldmar", "dir_info": {"editable": True}}, "goldmar==1.2.3"),
        ({"url": "file:///home/me/goldmar-1.2.3.whl", "archive_info": {}}, "goldmar==1.2.3"),
    ],
)
def test_the_workflow_installs_goldmar_as_it_is_installed_here(origin, line, tmp_path, monkeypatch, made_of):
    class Installed:
        version = "1.2.3"
        requires = ("typer",)

        def read_text(self, name: str) -> str | None:
            return json.dumps(origin) if origin else None

    monkeypatch.setattr(module.importlib.metadata, "distribution", lambda name: Installed())
    prepared = prepare(tmp_path, Ci.github)
    assert (tmp_path / "ci/goldmar.txt").read_text().splitlines()[-1] == line
    assert any("cannot reach it" in note for note in prepared.notes) == bool(origin and "file:" in origin["url"])
    (tmp_path / "ci/goldmar.txt").write_text("# mine\n./wheels/goldmar.whl\n")
    prepare(tmp_path, Ci.github)
    assert (tmp_path / "ci/goldmar.txt").read_text() == "# mine\n./wheels/goldmar.whl\n"


@pytest.mark.parametrize(
    "package",
    [
        *("goldmar==", "requests==2", "-r other.txt", "/elsewhere/goldmar-1-py3-none-any.whl"),
        *(
            "goldmar @ git+https://me:s3cret@h/g@c",
            "goldmar @ https://s3cret@h/g.whl",
            "goldmar @ git+ssh://g:s3cret@h/g",
        ),
    ],
)
def test_what_the_workflow_could_not_install_goldmar_by_is_refused(package, tmp_path, made_of):
    with pytest.raises(UsageError) as caught:
        prepare(tmp_path, Ci.github, package)
    assert "--goldmar" in caught.value.fix
    assert "s3cret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("who", ["git+ssh://git", "git+https://${TOKEN}", "https://me:${TOKEN}", "https://${ME}:${IT}"])
def test_a_variable_may_stand_for_the_secret(who, tmp_path, made_of):
    prepare(tmp_path, Ci.github, f"goldmar @ {who}@h/g")
    assert (tmp_path / "ci/goldmar.txt").read_text().splitlines()[-1] == f"goldmar @ {who}@h/g"


def test_a_wheel_in_the_project_is_taken(tmp_path, made_of):
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels/goldmar-1-py3-none-any.whl").write_bytes(b"")
    prepare(tmp_path, Ci.github, "./wheels/goldmar-1-py3-none-any.whl")
    assert (tmp_path / "ci/goldmar.txt").read_text().splitlines()[-1] == "./wheels/goldmar-1-py3-none-any.whl"
