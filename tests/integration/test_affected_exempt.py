"""A pull request cannot exempt itself from the check: what is ignored is read from the base, and what git cannot see
reaches every model."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from goldmar.affected.rules import ALWAYS, EVERYTHING, IGNORED
from goldmar.errors import ConfigError
from goldmar.pipeline.affected import find_affected
from goldmar.pipeline.selection import load_project
from goldmar.records import Selection
from goldmar.report.affected.terminal import lines
from tests.support.repository import FILES, Repository

ROOT = Path(__file__).resolve().parents[2]
ALL = ["gear", "rim", "shaft"]
HEADS = pytest.mark.parametrize("head", [None, "HEAD"])


@pytest.fixture(autouse=True)
def plain_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Repository(tmp_path_factory.mktemp("template") / "models").root


@pytest.fixture
def repo(template: Path, tmp_path: Path) -> Repository:
    copy = Repository.__new__(Repository)
    copy.root = tmp_path / "models"
    shutil.copytree(template, copy.root, symlinks=True)
    return copy


def find(repo: Repository, head: str | None = None) -> Selection:
    return find_affected(load_project(repo.root), "main", head)


def names(repo: Repository, head: str | None = None) -> list[str]:
    return list(find(repo, head).models)


def on_main(repo: Repository, change: Callable[[], object]) -> None:
    repo.git("checkout", "-q", "main")
    change()
    repo.commit()
    repo.git("checkout", "-q", "branch")
    repo.git("merge", "-q", "main")


def link(repo: Repository, path: str, target: str) -> None:
    (repo.root / path).parent.mkdir(parents=True, exist_ok=True)
    (repo.root / path).symlink_to(target)


def ignoring(*patterns: str) -> str:
    return f"[tool.goldmar.affected]\nignore = [{', '.join(map(repr, patterns))}]\n"


# ---- what git was told not to look at -------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_file_that_git_was_told_not_to_look_at_is_looked_at(repo: Repository, flag: str) -> None:
    repo.git("update-index", flag, "handlers/gear/model.py", "handlers/rim/model.py", "golden/shaft/expected.csv")
    assert names(repo) == []
    repo.append("handlers/gear/model.py")
    (repo.root / "golden/shaft/expected.csv").unlink()
    # What a sparse checkout left out is not there, and is as it was.
    assert names(repo) == (["gear"] if flag == "--skip-worktree" else ["gear", "shaft"])


def test_what_watches_the_disk_for_git_is_not_believed(repo: Repository, tmp_path: Path) -> None:
    watcher = tmp_path / "watcher"
    watcher.write_text("#!/bin/sh\nprintf 'token\\0'\n")  # nothing differs, it says
    watcher.chmod(0o755)
    repo.git("config", "core.fsmonitor", str(watcher))
    os.utime(repo.root / "handlers/gear/model.py", (10**9, 10**9))  # what is young, git looks at in any case
    repo.git("update-index", "--fsmonitor")
    repo.git("status")
    repo.git("status")
    assert repo.git("ls-files", "-f", "handlers/gear/model.py").startswith("h")
    repo.append("handlers/gear/model.py")
    assert names(repo) == ["gear"]


@HEADS
def test_a_graft_gives_no_commit_other_parents(repo: Repository, head: str | None) -> None:
    repo.write("golden/gear/expected.csv", "another\n")
    repo.commit()
    commits = [repo.git("rev-parse", name).strip() for name in ("main", "branch")]
    (repo.root / ".git/info").mkdir(exist_ok=True)
    (repo.root / ".git/info/grafts").write_text(f"{' '.join(commits)}\n")
    assert names(repo, head) == ["gear"]


# ---- [tool.goldmar.affected] ----------------------------------------------------------------------------------------


@HEADS
@pytest.mark.parametrize(
    "table",
    ['ignore = ["**"]', 'ignore = ["pyproject.toml", "data/**"]', "locks = []", 'tools = ["torch"]', 'locks = ["x"]'],
)
def test_the_table_of_the_head_exempts_nothing(repo: Repository, table: str, head: str | None) -> None:
    repo.write("pyproject.toml", f"[tool.goldmar.affected]\n{table}\n")
    repo.write("data/table.bin", "new\n")
    repo.edit("ci/locks/api.txt", "torch==2.13.0", "torch==2.13.1")
    repo.commit()
    found = find(repo, head)
    assert list(found.models) == ALL
    said = "\n".join(lines(found))
    assert "pyproject.toml changed: it says what is installed" in said
    assert "data/table.bin added, and what it is for cannot be told" in said
    assert "torch 2.13.0 -> 2.13.1" in said


@HEADS
def test_the_table_of_the_base_holds_even_where_the_branch_began_before_it(repo: Repository, head: str | None) -> None:
    repo.write("notes/a.txt", "new\n")
    repo.commit()
    assert names(repo, head) == ALL
    repo.git("checkout", "-q", "main")
    repo.write("pyproject.toml", ignoring("notes/**"))
    repo.commit()
    repo.git("checkout", "-q", "branch")
    assert names(repo, head) == []


@pytest.mark.parametrize("path", ["pyproject.toml", ".gitmodules", ".gitattributes"])
def test_nothing_that_a_base_ignores_takes_these_out(repo: Repository, path: str) -> None:
    on_main(repo, lambda: repo.write("pyproject.toml", ignoring("**", path)))
    repo.write(path, (ignoring("**") if path == "pyproject.toml" else "") + "# more\n")
    assert names(repo) == ALL


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.goldmar", "is not TOML"),
        ("[tool.goldmar.affected]\nignored = []\n", "unknown key 'ignored'"),
        ("[tool.goldmar.affected]\nignore = 7\n", "ignore in"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_a_base_whose_table_cannot_be_read_reaches_everything(repo: Repository, text: str, said: str) -> None:
    repo.git("checkout", "-q", "main")
    (repo.root / "pyproject.toml").write_bytes(os.fsencode(text))
    repo.commit()
    repo.git("checkout", "-q", "branch")
    repo.append("README.md")
    found = find(repo)
    assert list(found.models) == ALL
    assert "does not say what reaches no model" in found.everything[0]
    assert said in found.everything[0]


def test_a_base_whose_table_is_a_link_reaches_everything(repo: Repository) -> None:
    def moved() -> None:
        (repo.root / "pyproject.toml").rename(repo.root / "project.toml")
        link(repo, "pyproject.toml", "project.toml")

    on_main(repo, moved)
    repo.append("README.md")
    assert names(repo) == ALL


@HEADS
def test_a_base_without_pyproject_has_what_every_project_has(repo: Repository, head: str | None) -> None:
    on_main(repo, lambda: (repo.root / "pyproject.toml").unlink())
    repo.append("README.md")
    repo.commit()
    assert names(repo, head) == []
    repo.write("pyproject.toml", ignoring("**"))
    repo.commit()
    assert names(repo, head) == ALL


def test_a_head_whose_table_cannot_be_read_is_refused(repo: Repository) -> None:
    repo.write("pyproject.toml", "[tool.goldmar")
    repo.commit()
    for head in (None, "HEAD"):
        with pytest.raises(ConfigError, match="is not TOML"):
            find(repo, head)


def test_the_table_is_that_of_the_commits_and_not_of_the_working_tree(repo: Repository) -> None:
    repo.append("handlers/gear/model.py")
    repo.commit()
    repo.write("pyproject.toml", '[tool.goldmar]\nhandlers = "elsewhere"\n')
    assert names(repo, "HEAD") == ["gear"]


@HEADS
@pytest.mark.parametrize("moved", [False, True])
def test_models_whose_folders_the_change_names_anew_are_all_reached(
    repo: Repository, moved: bool, head: str | None
) -> None:
    repo.write("pyproject.toml", '[tool.goldmar]\nhandlers = "apis"\ngolden = "expected"\n')
    if moved:
        repo.git("mv", "handlers", "apis")
        repo.git("mv", "golden", "expected")
        repo.git("rm", "-rqf", "apis/rim", "expected/rim")
    repo.commit()
    found = find(repo, head)
    assert list(found.models) == (["gear", "shaft"] if moved else ALL)
    assert found.deleted == (["rim"] if moved else [])
    assert any("has the models in other folders" in why for why in found.everything)


@pytest.mark.parametrize("path", ["data/notes.md/table.bin", "LICENSE.d/x.py", "docs/x.bin", "a/b.md/c.rst/d.md"])
def test_a_folder_with_the_name_of_a_document_is_none(repo: Repository, path: str) -> None:
    repo.write(path, "new\n")
    assert names(repo) == ([] if path.startswith("docs/") else ALL)


# ---- what changes files on their way through git --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "reached"),
    [
        (".gitattributes", ALL),
        ("handlers/.gitattributes", ALL),
        ("handlers/common/.gitattributes", ALL),
        ("handlers/gear/.gitattributes", ["gear"]),
        ("golden/shaft/drawings/.gitattributes", ["shaft"]),
        ("golden/.gitattributes", ALL),
        ("docs/.gitattributes", []),
        ("ci/locks/.gitattributes", ALL),
    ],
)
def test_attributes_count_for_what_lies_below_them(repo: Repository, path: str, reached: list[str]) -> None:
    on_main(repo, lambda: repo.write("pyproject.toml", ignoring("**/.git*", "handlers/common/**", "**/.gitattributes")))
    repo.write(path, "*.py text eol=crlf\n")
    assert names(repo) == reached


def test_what_git_is_told_to_ignore_and_an_archive_takes_is_never_passed_over(repo: Repository) -> None:
    """Weights are often kept out of git: then nobody can tell whether they differ."""
    on_main(
        repo,
        lambda: repo.write(
            ".gitignore", "*.onnx\n*.log\nhidden.py\nobtained.csv\nexpected.csv\n__pycache__\n*t.toml\n"
        ),
    )
    for path in ("handlers/gear/x.log", "golden/gear/obtained.csv", "handlers/gear/__pycache__/hidden.py"):
        repo.write(path, "x")
    assert names(repo) == []
    repo.write("handlers/gear/hidden.py", "x")
    found = find(repo)
    assert list(found.models) == ["gear"]
    assert "handlers/gear/hidden.py is ignored by git" in found.models["gear"][0]
    assert names(repo, "HEAD") == []
    repo.write("golden/rim/request.toml", 'field = "image"\n')
    assert names(repo) == ["gear", "rim"]
    (repo.root / "golden/rim/request.toml").unlink()
    repo.edit("handlers/shaft/archive.toml", 'version = "1.0"', 'version = "1.0"\nextra = ["net.onnx"]')
    repo.commit()
    repo.git("branch", "-f", "main", "HEAD")
    repo.write("handlers/shaft/net.onnx", "x")
    repo.git("rm", "-q", "--cached", "golden/rim/expected.csv")
    repo.commit()
    repo.git("branch", "-f", "main", "HEAD")
    assert names(repo) == ALL


# ---- links ----------------------------------------------------------------------------------------------------------


@HEADS
@pytest.mark.parametrize(
    ("links", "reached"),
    [
        ({"handlers/gear/table.csv": "../../docs/table.csv"}, ["gear"]),
        ({"golden/gear/drawings/more": "../../../docs"}, ["gear"]),
        # A link to a link that lies in neither folder, and one whose parent is where it leads.
        ({"handlers/gear/table.csv": "../../docs/now/table.csv", "docs/now": "."}, ["gear"]),
        ({"handlers/gear/table.csv": "../../notes/now/../table.csv", "notes/now": "../docs/v1"}, ["gear"]),
        ({"handlers/gear/all": "../../docs/all", "docs/all": "../docs"}, ["gear"]),
        ({"compose/env": "../docs"}, ALL),
        ({"ci/locks/more.txt": "../../docs/table.csv"}, ALL),
    ],
)
def test_what_a_link_leads_to_is_reached_wherever_it_lies(
    repo: Repository, links: dict[str, str], reached: list[str], head: str | None
) -> None:
    def change() -> None:
        repo.write("docs/table.csv", "a\n")
        repo.write("docs/v1/other.csv", "a\n")
        for path, target in links.items():
            link(repo, path, target)
        repo.write("pyproject.toml", ignoring("notes/**"))

    on_main(repo, change)
    repo.append("README.md")
    repo.commit()
    assert names(repo, head) == []
    repo.append("docs/table.csv")
    repo.commit()
    assert names(repo, head) == reached


@HEADS
@pytest.mark.parametrize(
    ("links", "said"),
    [
        ({"handlers/gear/table.csv": "{root}/docs/table.csv"}, "absolute path"),
        ({"handlers/gear/table.csv": "/etc/hostname"}, "absolute path"),
        ({"handlers/gear/table.csv": "../../../elsewhere/table.csv"}, "out of the repository"),
        ({"handlers/gear/table.csv": "../../build/table.csv"}, "build, of which git knows nothing"),
        ({"handlers/gear/table.csv": "../../build/../docs/table.csv"}, "build, of which git knows nothing"),
        ({"handlers/gear/table.csv": "table.csv"}, "in circles"),
        ({"handlers/gear/table.csv": "../../docs/now", "docs/now": "{root}/docs/table.csv"}, "absolute path"),
        ({"golden/rim/drawings/more": "/data/drawings"}, "absolute path"),
        ({"model_store/gear.mar": "/data/gear.mar"}, "absolute path"),
    ],
)
def test_a_link_that_git_cannot_follow_reaches_everything(
    repo: Repository, links: dict[str, str], said: str, head: str | None
) -> None:
    def change() -> None:
        repo.write("docs/table.csv", "a\n")
        for path, target in links.items():
            link(repo, path, target.format(root=repo.root))

    on_main(repo, change)
    repo.append("docs/table.csv")
    repo.commit()
    found = find(repo, head)
    assert list(found.models) == ALL
    assert any(said in why and "cannot be told" in why for why in found.everything)


@HEADS
def test_a_link_that_leads_nowhere_hurts_nobody_where_nothing_of_a_model_lies(
    repo: Repository, head: str | None
) -> None:
    on_main(repo, lambda: [link(repo, "docs/latest", "/usr/share/doc"), repo.write("docs/x", "1")])
    repo.append("docs/x")
    repo.commit()
    assert names(repo, head) == []


def test_a_link_in_git_that_is_a_plain_file_here_reaches_everything(repo: Repository) -> None:
    """As where links are checked out as text."""
    on_main(repo, lambda: link(repo, "handlers/gear/table.csv", "../common/unused.py"))
    repo.git("config", "core.symlinks", "false")
    (repo.root / "handlers/gear/table.csv").unlink()
    (repo.root / "handlers/gear/table.csv").write_text("../common/unused.py")
    repo.append("README.md")
    found = find(repo)
    assert list(found.models) == ALL
    assert "none on disk" in found.everything[0]


def test_a_link_into_a_submodule_is_reached_when_that_moves(repo: Repository, tmp_path: Path) -> None:
    other = Repository(tmp_path / "other", {"net/weights.pt": "1\n"})

    def change() -> None:
        repo.git("submodule", "add", "-q", str(other.root), "docs/nets")
        link(repo, "handlers/gear/weights.onnx", "../../docs/nets/net/weights.pt")
        repo.write("pyproject.toml", ignoring("docs"))

    on_main(repo, change)
    repo.git("submodule", "update", "--init", "-q")
    assert names(repo) == []
    (repo.root / "docs/nets/net/weights.pt").write_text("2\n")
    assert names(repo) == ["gear"]


@HEADS
def test_a_lock_file_that_is_a_link_reaches_everything(repo: Repository, head: str | None) -> None:
    def change() -> None:
        (repo.root / "ci/locks/api.txt").rename(repo.root / "docs/api.txt")
        link(repo, "ci/locks/api.txt", "../../docs/api.txt")

    on_main(repo, change)
    repo.edit("docs/api.txt", "pytest==9.0.1", "pytest==9.0.2")
    repo.commit()
    found = find(repo, head)
    assert list(found.models) == ALL
    assert "a lock file that is no plain file" in found.everything[0]


@HEADS
def test_what_a_model_lists_or_includes_from_anywhere_is_never_ignored(repo: Repository, head: str | None) -> None:
    def change() -> None:
        repo.write("docs/base.txt", "numpy\n")
        repo.write("docs/table.csv", "a\n")
        repo.write("handlers/gear/requirements.txt", "-r ../../docs/base.txt\n")
        repo.edit("handlers/shaft/archive.toml", 'version = "1.0"', 'version = "1.0"\nextra = ["../../docs/table.csv"]')

    on_main(repo, change)
    repo.append("docs/base.txt")
    repo.commit()
    assert names(repo, head) == ["gear"]
    repo.append("docs/table.csv")
    repo.commit()
    assert names(repo, head) == ["gear", "shaft"]


def test_a_nested_project_follows_links_of_the_whole_repository(tmp_path: Path) -> None:
    files = {f"teams/vision/{path}": text for path, text in FILES.items()}
    files["teams/vision/pyproject.toml"] = ignoring("../web/**")
    repo = Repository(tmp_path / "company", {**files, "teams/web/table.csv": "a\n"})

    def change() -> None:
        link(repo, "teams/web/now", "table.csv")
        link(repo, "teams/web/broken", "/nowhere")
        link(repo, "teams/vision/handlers/gear/table.csv", "../../../web/now")

    on_main(repo, change)
    repo.append("teams/web/table.csv")
    root = repo.root / "teams/vision"
    found = find_affected(load_project(root), "main", None)
    assert list(found.models) == ["gear"]


def test_a_replaced_commit_is_not_believed(repo: Repository) -> None:
    repo.append("handlers/gear/model.py")
    repo.commit()
    repo.git("replace", "main", "HEAD")
    assert names(repo, "HEAD") == ["gear"]


# ---- code and docs --------------------------------------------------------------------------------------------------


def test_the_docs_list_what_is_ignored_and_what_reaches_all() -> None:
    page = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
    for pattern in (*IGNORED, *EVERYTHING, *ALWAYS, ".gitattributes"):
        assert f"`{pattern}`" in page, pattern
