"""`goldmar affected` and the ways of history and of working trees: merges, shallow clones, links, no git at all."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from goldmar.errors import UsageError
from goldmar.pipeline.affected import find_affected
from goldmar.pipeline.selection import load_project
from goldmar.records import Selection
from goldmar.report.affected.json import render
from goldmar.report.affected.terminal import lines
from tests.support.repository import FILES, Repository

ROOT = Path(__file__).resolve().parents[2]
GOLDMAR = Path(sys.executable).with_name("goldmar")
ALL = ["gear", "rim", "shaft"]


@pytest.fixture(autouse=True)
def plain_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration of this machine is no part of a test."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "models")


def find(root: Path, base: str | None = "main", head: str | None = None) -> Selection:
    return find_affected(load_project(root), base, head)


def names(root: Path, base: str = "main", head: str | None = None) -> list[str]:
    return list(find(root, base, head).models)


# ---- history --------------------------------------------------------------------------------------------------------


def test_what_main_did_meanwhile_does_not_count(repo: Repository) -> None:
    repo.append("handlers/gear/model.py")
    repo.commit()
    repo.git("checkout", "-q", "main")
    repo.append("handlers/shaft/model.py")
    repo.commit()
    repo.git("checkout", "-q", "branch")
    assert names(repo.root) == ["gear"]
    assert names(repo.root, "branch", "main") == ["shaft"]


def test_a_merge_of_main_into_the_branch_brings_nothing_of_mains(repo: Repository) -> None:
    repo.append("handlers/gear/model.py")
    repo.commit()
    repo.git("checkout", "-q", "main")
    repo.append("handlers/shaft/model.py")
    repo.commit()
    repo.git("checkout", "-q", "branch")
    repo.git("merge", "-q", "--no-ff", "-m", "merge", "main")
    assert names(repo.root) == ["gear"]
    repo.append("golden/rim/expected.csv")  # after the merge
    repo.commit()
    assert names(repo.root) == ["gear", "rim"]


def test_a_merge_that_itself_changes_something_counts(repo: Repository) -> None:
    repo.append("handlers/gear/model.py")
    repo.commit()
    repo.git("checkout", "-q", "main")
    repo.append("handlers/shaft/model.py")
    repo.commit()
    repo.git("checkout", "-q", "branch")
    repo.git("merge", "-q", "--no-ff", "--no-commit", "main")
    repo.append("handlers/rim/model.py")
    repo.commit("a merge with a line of its own")
    assert names(repo.root) == ["gear", "rim"]


def test_branches_that_crossed_have_two_merge_bases_and_both_count(repo: Repository) -> None:
    repo.append("handlers/gear/model.py")
    mine = repo.commit()
    repo.git("checkout", "-q", "main")
    repo.append("handlers/shaft/model.py")
    theirs = repo.commit()
    repo.git("merge", "-q", "--no-ff", "-m", "into main", mine)
    repo.git("checkout", "-q", "branch")
    repo.git("merge", "-q", "--no-ff", "-m", "into branch", theirs)
    repo.append("golden/rim/expected.csv")
    repo.commit()
    found = find(repo.root)
    assert len(found.bases) == 2
    assert list(found.models) == ALL


def test_what_was_changed_and_taken_back_does_not_count(repo: Repository) -> None:
    repo.append("handlers/gear/model.py")
    repo.commit()
    repo.git("revert", "--no-edit", "HEAD")
    found = find(repo.root)
    assert found.models == {}
    assert "Nothing differs" in "\n".join(lines(found))


def test_what_is_committed_and_taken_back_in_the_working_tree_counts_by_what_is_there(repo: Repository) -> None:
    repo.append("handlers/gear/model.py")
    repo.commit()
    repo.write("handlers/gear/model.py", FILES["handlers/gear/model.py"])
    assert names(repo.root) == []
    assert names(repo.root, head="HEAD") == ["gear"]


def test_tags_and_commits_are_bases_as_well(repo: Repository) -> None:
    repo.git("tag", "-a", "v1", "-m", "first")
    repo.append("handlers/gear/model.py")
    commit = repo.commit()
    assert names(repo.root, "v1") == ["gear"]
    assert names(repo.root, "HEAD~1") == ["gear"]
    assert names(repo.root, commit) == []


def test_branches_without_a_commit_in_common_are_refused(repo: Repository) -> None:
    repo.git("checkout", "-q", "--orphan", "other")
    repo.commit("another beginning")
    with pytest.raises(UsageError, match="no commit in common"):
        find(repo.root)


def clone(repo: Repository, tmp_path: Path, *options: str) -> Path:
    target = tmp_path / "clone"
    repo.git("clone", "-q", *options, f"file://{repo.root}", str(target))
    return target


def test_a_shallow_clone_that_holds_the_merge_base_is_enough(repo: Repository, tmp_path: Path) -> None:
    repo.append("handlers/gear/model.py")
    repo.commit()
    target = clone(repo, tmp_path, "--depth=2", "--branch=branch")
    assert names(target, "HEAD~1", "HEAD") == ["gear"]


def test_a_shallow_clone_without_the_base_names_the_fetch(repo: Repository, tmp_path: Path) -> None:
    repo.append("handlers/gear/model.py")
    repo.commit()
    target = clone(repo, tmp_path, "--depth=1", "--branch=branch")
    with pytest.raises(UsageError, match="is no commit or branch") as raised:
        find(target, "origin/main")
    assert "git fetch --unshallow" in (raised.value.fix or "")


def test_a_shallow_clone_that_ends_before_the_merge_base_names_the_fetch_and_it_mends_it(
    repo: Repository, tmp_path: Path
) -> None:
    for branch in ("branch", "main"):
        repo.git("checkout", "-q", branch)
        for model in ("gear", "gear", "gear") if branch == "branch" else ("shaft", "shaft"):
            repo.append(f"handlers/{model}/model.py")
            repo.commit()
    target = clone(repo, tmp_path, "--depth=1", "--no-single-branch", "--branch=branch")
    with pytest.raises(UsageError, match="shallow and does not reach back") as raised:
        find(target, "origin/main", "HEAD")
    assert "git fetch --deepen=200" in (raised.value.fix or "")
    repo.git("fetch", "-q", "--deepen=200", root=target)
    assert names(target, "origin/main", "HEAD") == ["gear"]


# ---- the working tree -----------------------------------------------------------------------------------------------


def test_staged_unstaged_and_untracked_files_count_and_ignored_ones_do_not(repo: Repository) -> None:
    repo.write(".gitignore", "*.tmp\n")
    repo.append("handlers/gear/model.py")
    repo.git("add", "-A")
    repo.append("handlers/shaft/model.py")
    repo.write("golden/rim/drawings/new.json", "{}")
    repo.write("golden/rim/obtained.tmp", "x")
    repo.write("somewhere.tmp", "x")
    found = find(repo.root)
    assert list(found.models) == ALL
    assert found.everything == []
    assert "what is not committed included" in "\n".join(lines(found))
    assert names(repo.root, head="HEAD") == []


def test_a_file_taken_out_of_git_and_left_there_is_changed_at_most(repo: Repository) -> None:
    repo.git("rm", "-q", "-r", "--cached", "handlers/gear", "golden/gear")
    found = find(repo.root)
    assert list(found.models) == ["gear"]
    assert found.deleted == []
    assert "handlers/gear/handler.py changed" in found.models["gear"]


def test_a_conflict_that_is_not_resolved_counts(repo: Repository) -> None:
    repo.write("handlers/gear/model.py", "one\n")
    repo.commit()
    repo.git("checkout", "-q", "main")
    repo.write("handlers/gear/model.py", "two\n")
    repo.commit()
    repo.git("checkout", "-q", "branch")
    with pytest.raises(AssertionError, match="CONFLICT"):
        repo.git("merge", "main")
    assert names(repo.root) == ["gear"]


def test_a_file_that_became_a_folder_and_one_that_became_a_link(repo: Repository) -> None:
    (repo.root / "handlers/gear/model.py").unlink()
    repo.write("handlers/gear/model.py/__init__.py", "")
    (repo.root / "golden/rim/expected.csv").unlink()
    (repo.root / "golden/rim/expected.csv").symlink_to("tolerance.toml")
    assert names(repo.root) == ["gear", "rim"]


def test_the_users_own_ways_with_diffs_change_nothing(repo: Repository) -> None:
    repo.git("mv", "handlers/gear/model.py", "handlers/shaft/network.py")
    repo.append("handlers/rim/weights.pt")
    settings = (
        "diff.renames=copies",
        "diff.external=false",
        "diff.noprefix=true",
        "diff.relative=true",
        "color.ui=always",
    )
    for setting in (*settings, "core.quotePath=false", "diff.ignoreSubmodules=all", "diff.noPrefix=true"):
        repo.git("config", *setting.split("="))
    assert names(repo.root) == ALL


# ---- links and submodules -------------------------------------------------------------------------------------------


def link(repo: Repository, path: str, target: str) -> None:
    (repo.root / path).parent.mkdir(parents=True, exist_ok=True)
    (repo.root / path).symlink_to(target)


def on_main(repo: Repository, change: Callable[[], None]) -> None:
    repo.git("checkout", "-q", "main")
    change()
    repo.commit()
    repo.git("checkout", "-q", "branch")
    repo.git("merge", "-q", "main")


@pytest.mark.parametrize("head", [None, "HEAD"])
def test_a_change_of_what_a_link_leads_to_reaches_the_model_that_has_the_link(
    repo: Repository, head: str | None
) -> None:
    def links() -> None:
        link(repo, "handlers/rim/unused.py", "../common/unused.py")
        link(repo, "golden/shaft/drawings/shared", "../../gear/drawings")

    on_main(repo, links)
    repo.append("handlers/common/unused.py")
    repo.commit()
    assert names(repo.root, head=head) == ["rim"]
    repo.append("golden/gear/drawings/one.json")
    repo.commit()
    assert names(repo.root, head=head) == ALL
    assert "handlers/rim/unused.py leads" in "\n".join(lines(find(repo.root, head=head)))


def test_a_link_in_place_of_a_whole_model_is_followed(repo: Repository) -> None:
    def links() -> None:
        link(repo, "handlers/twin", "gear")
        link(repo, "golden/twin", "gear")

    on_main(repo, links)
    repo.append("handlers/gear/model.py")
    assert names(repo.root) == ["gear", "twin"]


@pytest.mark.parametrize("head", [None, "HEAD"])
def test_a_shared_folder_that_is_a_link_and_leads_elsewhere(repo: Repository, head: str | None) -> None:
    def links() -> None:
        link(repo, "handlers/common/readers", "../../lib/old")
        repo.write("lib/old/png.py", "PNG = 1\n")
        repo.write("lib/new/png.py", "PNG = 2\n")
        repo.edit("handlers/gear/archive.toml", '"pdf.py"', '"pdf.py", "readers/png.py"')

    on_main(repo, links)
    (repo.root / "handlers/common/readers").unlink()
    link(repo, "handlers/common/readers", "../../lib/new")
    repo.commit()
    assert names(repo.root, head=head) == ["gear"]


def test_links_of_many_models_to_one_file_are_all_followed(repo: Repository) -> None:
    on_main(
        repo, lambda: [link(repo, f"handlers/part{n}/handler.py", "../common/unused.py") for n in range(60)] and None
    )
    repo.append("handlers/common/unused.py")
    assert names(repo.root) == sorted(f"part{n}" for n in range(60))


def test_links_in_circles_reach_everything(repo: Repository) -> None:
    def links() -> None:
        link(repo, "handlers/gear/other", "../shaft")
        link(repo, "handlers/shaft/other", "../gear")
        link(repo, "handlers/shaft/again", "../gear")

    on_main(repo, links)
    repo.append("handlers/gear/model.py")
    assert names(repo.root) == ALL
    assert "in circles" in "\n".join(lines(find(repo.root)))


def submodule(repo: Repository, tmp_path: Path, path: str) -> Path:
    other = Repository(
        tmp_path / "other", {"model.py": "x = 1\n", "handler.py": "y = 1\n", "archive.toml": 'version = "1"\n'}
    )
    repo.git("submodule", "add", "-q", str(other.root), path)
    return repo.root / path


@pytest.mark.parametrize(
    ("path", "reached"),
    [("handlers/gear/net", ["gear"]), ("handlers/pin", ["pin"]), ("libs/x", ALL), ("handlers/common/net", ALL)],
)
def test_a_submodule_that_moves_or_is_dirty_counts_where_it_lies(
    repo: Repository, tmp_path: Path, path: str, reached: list[str]
) -> None:
    inner = tmp_path / "models" / path
    on_main(repo, lambda: submodule(repo, tmp_path, path) and None)
    repo.git("submodule", "update", "--init", "-q")
    everything = sorted({*ALL, *reached})
    expected = reached if reached != ALL else everything
    assert names(repo.root) == []
    (inner / "model.py").write_text("x = 2\n")
    assert names(repo.root) == expected
    repo.git("commit", "-q", "-a", "-m", "inside", root=inner)
    assert names(repo.root) == expected
    repo.commit()
    assert names(repo.root, head="HEAD") == expected


# ---- where the project lies -----------------------------------------------------------------------------------------


@pytest.fixture
def nested(tmp_path: Path) -> Repository:
    files = {f"teams/vision/{path}": text for path, text in FILES.items()}
    return Repository(tmp_path / "company", {**files, "teams/web/page.html": "<p>\n", "README.md": "all of us\n"})


@pytest.mark.parametrize("head", [None, "HEAD"])
def test_a_project_in_a_folder_of_a_larger_repository(nested: Repository, head: str | None) -> None:
    root = nested.root / "teams/vision"
    nested.append("teams/vision/handlers/common/tensor.py")
    nested.edit("teams/vision/ci/locks/api.txt", "imagecodecs==2026.3.6", "imagecodecs==2026.4.0")
    nested.commit()
    found = find(root, head=head)
    assert list(found.models) == ALL
    assert found.everything == []
    assert "imagecodecs 2026.3.6 -> 2026.4.0" in found.models["rim"][0]


def test_what_lies_outside_the_project_reaches_everything_until_it_is_ignored(nested: Repository) -> None:
    root = nested.root / "teams/vision"
    nested.append("teams/web/page.html")
    assert names(root) == ALL
    assert "../web/page.html changed" in "\n".join(lines(find(root)))
    on = 'ignore = ["../web/**"]'
    nested.write("teams/vision/pyproject.toml", f"[tool.goldmar.affected]\n{on}\n")
    nested.commit()
    nested.git("branch", "-f", "main", "HEAD")
    nested.append("teams/web/page.html")
    assert names(root) == []


def test_other_names_for_the_folders(tmp_path: Path) -> None:
    moved = {
        path.replace("handlers/", "src/apis/").replace("golden/", "expected/"): text for path, text in FILES.items()
    }
    moved["pyproject.toml"] = '[tool.goldmar]\nhandlers = "src/apis"\ngolden = "expected"\n'
    repo = Repository(tmp_path / "models", moved)
    repo.append("src/apis/common/pdf.py", "expected/rim/expected.csv")
    assert names(repo.root) == ["gear", "rim"]


@pytest.mark.parametrize(
    ("table", "path", "reached"),
    [
        ('ignore = ["notebooks/**"]', "notebooks/a/b.ipynb", []),
        ('ignore = ["handlers/*/training/**"]', "handlers/gear/training/fit.py", []),
        ('ignore = ["**/*.py", "**/*.csv", "**/*.toml", "**/*.txt"]', "handlers/gear/handler.py", ["gear"]),
        ('ignore = ["**"]', "handlers/gear/requirements.txt", ["gear"]),
        ('ignore = ["**"]', "handlers/rim/table.csv", ["rim"]),
        ('ignore = ["**"]', "handlers/common/pdf.py", ["gear"]),
        ('ignore = ["**"]', "golden/shaft/expected.csv", ["shaft"]),
        ('ignore = ["**"]', "ci/locks/api.txt", []),
        ('ignore = ["notebook"]', "notebooks/a.ipynb", ALL),
        ('ignore = ["note?"]', "notes/a.ipynb", []),
        ('ignore = ["/notes/", "!/notes/kept/**"]', "notes/kept/a.ipynb", ALL),
        ('ignore = ["!/docs/models/**"]', "docs/models/gear.txt", ALL),
        ('ignore = ["!/docs/models/**"]', "docs/.gitattributes", ALL),
        ('ignore = ["*.ipynb"]', "a/b/c.ipynb", []),
    ],
)
def test_what_a_project_ignores(repo: Repository, table: str, path: str, reached: list[str]) -> None:
    repo.git("checkout", "-q", "main")
    repo.write("pyproject.toml", f"[tool.goldmar.affected]\n{table}\n")
    repo.commit()
    repo.git("checkout", "-q", "-B", "branch")
    repo.write(path, "something\n") if not (repo.root / path).exists() else repo.append(path)
    assert names(repo.root) == reached


def test_a_folder_whose_requirements_include_a_shared_file(repo: Repository) -> None:
    def include() -> None:
        repo.write("handlers/gear/requirements.txt", "-r ../common/base.txt\n")
        repo.write("handlers/common/base.txt", "imagecodecs\n")

    on_main(repo, include)
    repo.edit("handlers/common/base.txt", "imagecodecs", "imagecodecs>=1")
    assert names(repo.root) == ["gear"]
    repo.git("checkout", "-q", ".")
    repo.edit("ci/locks/api.txt", "imagecodecs==2026.3.6", "imagecodecs==2026.4.0")
    assert names(repo.root) == ["gear", "rim"]


@pytest.mark.parametrize("text", [None, "git+https://example.org/x.git\n", "./here\n", "\udcff"])
def test_requirements_that_do_not_tell_are_reached_by_every_package(repo: Repository, text: str | None) -> None:
    def requirements() -> None:
        path = repo.root / "handlers/gear/requirements.txt"
        path.unlink() if text is None else path.write_bytes(os.fsencode(text))

    on_main(repo, requirements)
    repo.edit("ci/locks/api.txt", "imagecodecs==2026.3.6", "imagecodecs==2026.4.0")
    assert names(repo.root) == ["gear", "rim"]
    repo.git("checkout", "-q", ".")
    repo.edit("ci/locks/api.txt", "pytest==9.0.1", "pytest==9.0.2")
    assert names(repo.root) == []


HARNESS_LOCK = "".join(
    f"{name}=={version}\n    # via {via}\n"
    for name, version, via in [
        ("certifi", "2026.1", "goldmar"), ("goldmar", "0.1.0", "-r base.in"), ("numpy", "2.4", "goldmar"),
        ("rich", "15.0", "goldmar"), ("pygments", "2.20", "rich"), ("pytest", "9.0", "-r base.in"),
    ]
)  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "reached"),
    [
        ("pygments==2.20", "pygments==2.21", []),  # rich alone needs it, and no answer needs rich
        ("numpy==2.4", "numpy==2.5", ALL),
        ("certifi==2026.1", "certifi==2026.2", ALL),  # nothing that goldmar says of itself asks for it
        ("goldmar==0.1.0", "goldmar==0.2.0", ALL),
        ("pytest==9.0", "pytest==9.1", []),
    ],
)
def test_a_lock_that_goldmar_itself_is_installed_from(repo: Repository, old: str, new: str, reached: list[str]) -> None:
    on_main(repo, lambda: repo.write("ci/locks/base.txt", HARNESS_LOCK))
    repo.edit("ci/locks/base.txt", old, new)
    assert names(repo.root) == reached


def test_a_pin_for_another_python_cannot_be_placed(repo: Repository) -> None:
    def marked() -> None:
        repo.append("README.md")
        repo.write(
            "ci/locks/api.txt", FILES["ci/locks/api.txt"] + 'tomli==2.0 ; python_version < "3.8"\n    # via torch\n'
        )

    on_main(repo, marked)
    repo.edit("ci/locks/api.txt", "tomli==2.0", "tomli==2.1")
    assert names(repo.root) == ALL
    assert "for another Python or system: tomli 2.0 -> 2.1" in "\n".join(lines(find(repo.root)))


def test_the_passwords_of_an_index_are_not_told(repo: Repository) -> None:
    repo.edit(
        "ci/locks/api.txt", "#\nfilelock", "#\n--extra-index-url https://user:secret@example.org/simple\nfilelock"
    )
    assert "secret" not in render(find(repo.root))


# ---- the command ----------------------------------------------------------------------------------------------------


def goldmar(root: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {"COLUMNS": "200", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CEILING_DIRECTORIES": str(root.parent)}
    return subprocess.run(
        [GOLDMAR, "affected", *arguments],
        cwd=root,
        env=environment | ({} if path is None else {"PATH": path}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_command_prints_people_json_names_markdown_and_a_matrix(repo: Repository) -> None:
    repo.append("handlers/common/tensor.py")
    repo.git("rm", "-rq", "handlers/rim", "golden/rim")
    said = goldmar(repo.root, "--base", "main")
    assert said.returncode == 0, said.stderr
    assert "2 models of 2:" in said.stdout
    assert "rim is deleted: nothing is left to check" in said.stdout
    document = json.loads(goldmar(repo.root, "--base", "main", "--json").stdout)
    jsonschema.validate(document, json.loads((ROOT / "docs/affected-schema.json").read_text()))
    assert document["deleted"] == ["rim"]
    assert document["models"][0] == {
        "model": "gear", "why": ["handlers/common/tensor.py changed, which its archive.toml lists"]
    }  # fmt: skip
    assert goldmar(repo.root, "--base", "main", "--names").stdout == "gear\nshaft\n"
    assert "```text\nFrom main" in goldmar(repo.root, "--base", "main", "--markdown").stdout
    printed = goldmar(repo.root, "--base", "main", "--matrix").stdout
    assert printed.count("\n") == 1
    assert [entry["model"] for entry in json.loads(printed)["include"]] == ["gear", "shaft"]
    shared = json.loads(goldmar(repo.root, "--base", "main", "--matrix", "--jobs", "1").stdout)["include"]
    assert [(entry["model"], entry["models"]) for entry in shared] == [("gear to shaft (2 models)", "gear shaft")]


def test_nothing_selected_is_a_matrix_that_can_be_told_from_others(repo: Repository) -> None:
    assert goldmar(repo.root, "--base", "main", "--matrix").stdout == '{"include":[]}\n'
    assert goldmar(repo.root, "--base", "main", "--names").stdout == ""


@pytest.mark.parametrize("head", [[], ["--head", "main"]])
def test_every_model_without_a_base(repo: Repository, head: list[str]) -> None:
    repo.git("rm", "-rq", "handlers/rim", "golden/rim")
    repo.write("golden/pin/expected.csv", "x")
    there = ALL if head else ["gear", "pin", "shaft"]
    assert goldmar(repo.root, "--all", "--names", *head).stdout.split() == there
    jsonschema.validate(
        json.loads(goldmar(repo.root, "--all", "--json", *head).stdout),
        json.loads((ROOT / "docs/affected-schema.json").read_text()),
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--base or --all is required"),
        (["--base", "main", "--all"], "--all and --base cannot"),
        (["--base", "main", "--json", "--matrix"], "Only one of --json"),
        (["--base", "nowhere"], "'nowhere' is no commit or branch"),
        (["--base", "main", "--head", "nowhere"], "'nowhere' is no commit or branch"),
        (["--base", "--upload-pack=x"], "'--upload-pack=x' is no commit"),
        (["--base", ""], "'' is no commit"),
        (["--base", "main", "--jobs", "0"], "--jobs"),
        (["--base", "main", "--jobs", "257"], "--jobs"),
    ],
)
def test_what_makes_no_sense_ends_in_2(repo: Repository, arguments: list[str], said: str) -> None:
    done = goldmar(repo.root, *arguments)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr


def test_a_folder_that_is_in_no_repository(tmp_path: Path) -> None:
    (tmp_path / "models/golden/gear").mkdir(parents=True)
    done = goldmar(tmp_path / "models", "--base", "main")
    assert done.returncode == 2
    assert "is in no git repository" in done.stderr


def test_a_repository_without_a_commit(repo: Repository, tmp_path: Path) -> None:
    (tmp_path / "fresh/golden/gear").mkdir(parents=True)
    repo.git("init", "-q", root=tmp_path / "fresh")
    for base in ("HEAD", "main"):
        done = goldmar(tmp_path / "fresh", "--base", base)
        assert done.returncode == 2
        assert "There is no commit" in done.stderr


def test_where_nothing_can_be_fetched_the_branches_are_named(repo: Repository) -> None:
    with pytest.raises(UsageError, match=r"'mian' is no commit or branch .* Did you mean main\?") as raised:
        find(repo.root, "mian")
    assert raised.value.fix == "--base with a branch that is there: branch, main"


def test_a_machine_without_git(repo: Repository, tmp_path: Path) -> None:
    done = goldmar(repo.root, "--base", "main", path=str(tmp_path))
    assert done.returncode == 2
    assert "there is no git on this machine" in done.stderr


def test_a_repository_of_somebody_else(repo: Repository, tmp_path: Path) -> None:
    wrapper = tmp_path / "bin/git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {shutil.which("git")} "$@"\n')
    wrapper.chmod(0o755)
    done = goldmar(repo.root, "--base", "main", path=f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 2
    assert "it belongs to somebody else" in done.stderr
    assert "fix: git config --global --add safe.directory" in done.stderr
