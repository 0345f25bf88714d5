"""Which models a change reaches: repositories with real git history, and the shapes that changes have."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from goldmar.errors import GoldmarError, UsageError
from goldmar.pipeline.affected import find_affected
from goldmar.pipeline.selection import load_project, model_names, select_models
from goldmar.records import Selection
from goldmar.report.affected.terminal import lines
from tests.support.repository import LOCK, Repository

ROOT = Path(__file__).resolve().parents[2]
ALL = {"gear", "rim", "shaft"}


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "models")


def reached(repo: Repository, base: str = "main", head: str | None = None) -> Selection:
    return find_affected(load_project(repo.root), base, head)


def relock(old: str, new: str) -> Callable[[Repository], None]:
    return lambda repo: repo.edit("ci/locks/api.txt", old, new)


def edit(path: str, old: str, new: str) -> Callable[[Repository], None]:
    return lambda repo: repo.edit(path, old, new)


def append(*paths: str) -> Callable[[Repository], None]:
    return lambda repo: repo.append(*paths)


def git(*arguments: str) -> Callable[[Repository], object]:
    return lambda repo: repo.git(*arguments)


def both(*changes: Callable[[Repository], object]) -> Callable[[Repository], None]:
    def change(repo: Repository) -> None:
        for each in changes:
            each(repo)

    return change


def write(path: str, text: str = "new\n") -> Callable[[Repository], None]:
    return lambda repo: repo.write(path, text)


def link(path: str, target: str) -> Callable[[Repository], None]:
    def change(repo: Repository) -> None:
        (repo.root / path).parent.mkdir(parents=True, exist_ok=True)
        (repo.root / path).symlink_to(target)

    return change


def nothing(repo: Repository) -> None:
    pass


# name -> what is changed, which models it reaches, and words that have to be said
SHAPES: dict[str, tuple[Callable[[Repository], object], set[str], str]] = {
    "nothing": (nothing, set(), "Nothing differs"),
    "a handler": (append("handlers/gear/handler.py"), {"gear"}, "gear: handlers/gear/handler.py changed"),
    "weights": (append("handlers/rim/weights.pt"), {"rim"}, "handlers/rim/weights.pt changed"),
    "a golden": (append("golden/shaft/expected.csv"), {"shaft"}, "golden/shaft/expected.csv changed"),
    "a new drawing": (write("golden/shaft/drawings/two.md"), {"shaft"}, "golden/shaft/drawings/two.md"),
    "a drawing gone": (git("rm", "-q", "golden/gear/drawings/one.json"), {"gear"}, "one.json deleted"),
    "shared by two": (append("handlers/common/tensor.py"), {"gear", "shaft"}, "which its archive.toml lists"),
    "shared by one": (append("handlers/common/pdf.py"), {"gear"}, "handlers/common/pdf.py changed, which its"),
    "shared by none": (append("handlers/common/unused.py"), set(), "no archive.toml lists it"),
    "a shared file deleted": (git("rm", "-q", "handlers/common/pdf.py"), {"gear"}, "pdf.py deleted"),
    "a shared file renamed": (
        git("mv", "handlers/common/pdf.py", "handlers/common/portable.py"),
        {"gear"},
        "handlers/common/pdf.py deleted, which its archive.toml lists",
    ),
    "a shared file added to a list": (
        edit("handlers/shaft/archive.toml", '"tensor.py"', '"tensor.py", "unused.py"'),
        {"shaft"},
        "handlers/shaft/archive.toml changed",
    ),
    "a shared file dropped from a list, and changed": (
        both(edit("handlers/gear/archive.toml", '"pdf.py", ', ""), append("handlers/common/pdf.py")),
        {"gear"},
        "handlers/gear/archive.toml changed",
    ),
    "an extra of the archive": (append("handlers/rim/table.csv"), {"rim"}, "handlers/rim/table.csv"),
    "an extra that looks like a document": (append("handlers/rim/NOTES.md"), {"rim"}, "handlers/rim/NOTES.md"),
    "a model that looks like one": (append("handlers/rim/rules.md"), {"rim"}, "handlers/rim/rules.md"),
    "a model card": (append("handlers/rim/MODEL_CARD.md"), set(), "ignored by **/*.md"),
    "documents": (append("README.md", "docs/guide.txt", "handlers/README.md"), set(), "ignored by docs/**"),
    "requirements": (append("handlers/gear/requirements.txt"), {"gear"}, "handlers/gear/requirements.txt changed"),
    "a pin of one model": (
        relock("pillow==13.0.0", "pillow==13.1.0"),
        {"gear"},
        "pillow 13.0.0 -> 13.1.0 in ci/locks/api.txt, which handlers/gear/requirements.txt asks for",
    ),
    "a pin of two, one of them through another": (
        relock("numpy==2.4.6", "numpy==2.4.7"),
        {"rim", "shaft"},
        "numpy 2.4.6 -> 2.4.7 in ci/locks/api.txt, which handlers/rim/requirements.txt asks for through imagecodecs",
    ),
    "a pin of the serving stack": (
        relock("filelock==4.2.11", "filelock==4.3.0"),
        ALL,
        "filelock 4.2.11 -> 4.3.0 in ci/locks/api.txt, which every model is served with through torch",
    ),
    "a pin of a tool": (relock("pluggy==1.6.0", "pluggy==1.7.0"), set(), "a tool, which no model runs on"),
    "a pin that nobody asks for": (
        relock("pillow==13.0.0\n", "oddity==1.0\n    # via -r api.in\npillow==13.0.0\n"),
        ALL,
        "oddity none -> 1.0 in ci/locks/api.txt, which no requirements.txt of a model asks for",
    ),
    "comments in a lock": (relock("# This file is", "#   This file was"), set(), "only comments, order or white space"),
    "notes in a lock": (relock("    # via torch\n", "    # via torch  \n\n"), set(), "only comments, order"),
    "a hash in a lock": (
        relock("pillow==13.0.0", f"pillow==13.0.0 \\\n    --hash=sha256:{'0' * 64}"),
        {"gear"},
        "pillow 13.0.0 without hashes -> 13.0.0 with hash 000000000000",
    ),
    "an index in a lock": (
        relock("#\nfilelock", "#\n--extra-index-url https://u:p@x/y\nfilelock"),
        ALL,
        "--extra-index",
    ),
    "a lock without notes": (
        write("ci/locks/api.txt", "".join(f"{line}\n" for line in LOCK.splitlines() if "#" not in line)),
        set(),
        "only comments, order",
    ),
    "a lock without notes, and a pin": (
        write(
            "ci/locks/api.txt",
            "".join(f"{line.replace('13.0.0', '13.1.0')}\n" for line in LOCK.splitlines() if "#" not in line),
        ),
        ALL,
        "whose notes do not say who needs what",
    ),
    "a lock that is none": (write("ci/locks/api.txt", "numpy>=2\n"), ALL, "cannot be read as a lock file"),
    "a lock gone": (git("rm", "-q", "ci/locks/api.txt"), ALL, "ci/locks/api.txt is gone"),
    "a new lock": (write("ci/locks/other.txt", LOCK), ALL, "ci/locks/other.txt is new"),
    "what the lock is made from": (write("ci/locks/api.in", "torch\n"), set(), "ignored by ci/locks/*.in"),
    "compose": (append("compose/docker-compose.yml"), ALL, "the images of every model are built by it"),
    "pyproject": (edit("pyproject.toml", "mar]", "mar]\nclients = 3"), ALL, "pyproject.toml changed"),
    "a Dockerfile": (write("images/Dockerfile.api"), ALL, "images are built by it"),
    "goldmar itself": (write("src/goldmar/cli.py"), ALL, "it is goldmar itself"),
    "what makes the base image": (write("ci/base-image"), ALL, "every image stands on it"),
    "what gathers the wheels": (write("ci/wheelhouse"), ALL, "every image is installed from it"),
    "something else": (write("data/table.bin"), ALL, "data/table.bin is not in git yet, and what it is for"),
    "an archive in git": (write("model_store/shaft.mar"), {"shaft"}, "model_store/shaft.mar is not in git yet"),
    "an archive of nobody": (write("model_store/pin.mar"), {"pin"}, "model_store/pin.mar is not in git yet"),
    "an archive of nobody deleted": (
        both(
            write("model_store/rim.mar"),
            git("add", "-A"),
            git("commit", "-qm", "x"),
            git("rm", "-rq", "handlers/rim", "golden/rim", "model_store/rim.mar"),
        ),
        set(),
        "rim is deleted",
    ),
    "a folder without a handler": (
        write("handlers/tools/x.py"),
        ALL | {"tools"},
        "handlers/tools/x.py is not in git yet, and what",
    ),
    "a link that was written as text": (
        both(git("rm", "-rq", "golden/rim"), write("golden/rim", "../elsewhere/rim"), write("golden/pin", "../pin")),
        ALL | {"pin"},
        "golden/pin is not in git yet, and what it is for",
    ),
    "a file beside the models": (write("golden/notes.txt"), ALL, "golden/notes.txt is not in git yet"),
    "a name of many letters": (
        write('golden/gear/drawings/図 "面"\n\t$(x);.json'),
        {"gear"},
        '"golden/gear/drawings/\\u56f3 \\"\\u9762\\"\\n\\t$(x);.json" is not in git yet',
    ),
    "a new model": (
        both(write("handlers/pin/handler.py"), write("handlers/pin/archive.toml", 'version = "1"\n')),
        {"pin"},
        "handlers/pin/handler.py is not in git yet",
    ),
    "a new golden": (write("golden/pin/expected.csv"), {"pin"}, "golden/pin/expected.csv is not in git yet"),
    "a model deleted": (git("rm", "-rq", "handlers/rim", "golden/rim"), set(), "rim is deleted"),
    "a handler deleted": (git("rm", "-rq", "handlers/rim"), {"rim"}, "handlers/rim/handler.py deleted"),
    "a golden deleted": (git("rm", "-rq", "golden/rim"), {"rim"}, "golden/rim/expected.csv deleted"),
    "a model renamed": (
        both(git("mv", "handlers/rim", "handlers/wheel"), git("mv", "golden/rim", "golden/wheel")),
        {"wheel"},
        "rim is deleted",
    ),
    "a file moved from one model to another": (
        git("mv", "handlers/gear/model.py", "handlers/shaft/net.py"),
        {"gear", "shaft"},
        "handlers/gear/model.py deleted",
    ),
    "a model that calls itself otherwise": (
        edit("handlers/rim/archive.toml", 'version = "1.0"', 'version = "1.0"\nmodel = "gear"'),
        {"gear", "rim"},
        "gear: handlers/rim/archive.toml changed",
    ),
    "an archive.toml that is broken": (
        both(write("handlers/shaft/archive.toml", "version = "), append("handlers/common/unused.py")),
        {"shaft"},
        "handlers/shaft/archive.toml is not TOML",
    ),
    "an archive.toml without end": (
        both(write("handlers/shaft/archive.toml", "a = " + "[" * 50_000), append("handlers/common/unused.py")),
        {"shaft"},
        "handlers/shaft/archive.toml is not TOML",
    ),
    "an executable bit": (
        lambda repo: (repo.root / "handlers/gear/handler.py").chmod(0o755),
        set(),
        "made executable, or no longer: its content is the same",
    ),
    "an executable bit on a golden": (
        lambda repo: (repo.root / "golden/gear/expected.csv").chmod(0o755),
        set(),
        "golden/gear/expected.csv: made executable",
    ),
    "an executable bit on a shared file": (
        lambda repo: (repo.root / "handlers/common/pdf.py").chmod(0o755),
        set(),
        "handlers/common/pdf.py: made executable",
    ),
    "an executable bit elsewhere": (
        lambda repo: (repo.root / "pyproject.toml").chmod(0o755),
        ALL,
        "pyproject.toml made",
    ),
    "an executable bit and a line": (
        both(append("handlers/gear/handler.py"), lambda repo: (repo.root / "handlers/gear/handler.py").chmod(0o755)),
        {"gear"},
        "handlers/gear/handler.py changed",
    ),
    "a file touched": (lambda repo: (repo.root / "handlers/gear/handler.py").touch(), set(), "Nothing differs"),
    "a file in the place of a link": (link("golden/gear/drawings/three.json", "one.json"), {"gear"}, "three.json"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_change_in_the_working_tree_reaches(name: str, repo: Repository) -> None:
    change, models, said = SHAPES[name]
    change(repo)
    found = reached(repo)
    assert set(found.models) == models
    assert said in "\n".join(lines(found))


REFUSED = {
    "a parked golden": "golden/_old/expected.csv",
    "a hidden handler": "handlers/.gear/handler.py",
    "golden/common": "golden/common/expected.csv",
    "letters": "golden/größe/expected.csv",
    "a file of such a name": "handlers/größe",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_that_no_model_may_have_is_refused_as_by_check(name: str, repo: Repository) -> None:
    repo.write(REFUSED[name], "new\n")
    project = load_project(repo.root)
    with pytest.raises(GoldmarError) as check:
        select_models(project)
    for commit, base, head in ((False, "main", None), (True, "main", "HEAD"), (False, None, None)):
        if commit:
            repo.commit()
        with pytest.raises(GoldmarError) as found:
            find_affected(project, base, head)
        assert found.value.exit_code == check.value.exit_code == 2
        assert check.value.what.endswith(found.value.what)
        assert found.value.fix in check.value.fix


def test_every_model_is_one_to_affected_as_to_check(repo: Repository) -> None:
    for path in (
        "handlers/a.b/x.py",
        "handlers/_x/notes.py",
        "handlers/9/handler.py",
        "golden/obtained.v2/x",
        "golden/t",
    ):
        repo.write(path, "new\n")
    repo.write("handlers/rim_v2/archive.toml", 'version = "2"\nmodel = "wheel"\n')
    repo.write("model_store/pin.mar", "new\n")
    repo.write("model_store/README.md", "new\n")
    link("golden/linked", "nowhere")(repo)
    project = load_project(repo.root)
    found = find_affected(project, None, None)
    assert list(found.models) == model_names(project)
    assert {"9", "a.b", "linked", "obtained.v2", "pin", "t", "wheel"} < set(found.models)


def test_a_model_without_golden_on_purpose_is_passed_over_and_that_is_said(repo: Repository) -> None:
    repo.git("rm", "-rq", "golden/rim")
    repo.append("handlers/rim/handler.py")
    repo.write("pyproject.toml", '[tool.goldmar.no_golden]\nrim = "its drawings are secret"\n')
    for base in ("main", None):
        found = find_affected(load_project(repo.root), base, None)
        assert set(found.models) == {"gear", "shaft"}
        assert ("golden/rim", "no golden on purpose: its drawings are secret") in found.passed_over


@pytest.mark.parametrize("name", SHAPES)
def test_a_change_that_is_committed_reaches_the_same(name: str, repo: Repository) -> None:
    change, models, said = SHAPES[name]
    change(repo)
    repo.commit()
    for head in (None, "HEAD", "branch"):
        found = reached(repo, head=head)
        assert set(found.models) == models
        assert said.replace("is not in git yet", "added") in "\n".join(lines(found))


HARNESS = {
    "typer": set(),
    "annotated-doc": set(),  # through typer
    "rich": {"gear"},
    "pygments": {"gear"},  # through rich
    "requests": set(),
    "pathspec": set(),
    "pycurl": ALL,
    "numpy": ALL,
    "goldmar": ALL,
    "mypy": set(),
    "stranger": ALL,
}


def test_a_bump_of_what_goldmar_needs_reaches_what_an_answer_can_depend_on(repo: Repository) -> None:
    """In the lock file of this repository's own batch image, and gear's handler prints with rich."""
    lock = (ROOT / "ci/locks/base.txt").read_text(encoding="utf-8")
    more = "".join(f"{name}==1\n    # via -r x.in\n" for name in ("goldmar", "mypy", "stranger"))
    repo.git("checkout", "-q", "main")
    repo.write("ci/locks/base.txt", lock + more)
    repo.write("handlers/gear/requirements.txt", "pillow\nrich\n")
    repo.commit()
    repo.git("checkout", "-q", "-B", "branch")
    for name, models in HARNESS.items():
        repo.write("ci/locks/base.txt", re.sub(rf"^{name}==.*$", f"{name}==9999", lock + more, flags=re.MULTILINE))
        found = reached(repo)
        assert set(found.models) == models, name
        assert f"{name} " in "\n".join(lines(found))


def test_what_only_goldmar_needs_reaches_a_model_that_does_not_say_what_it_needs(repo: Repository) -> None:
    lock = (ROOT / "ci/locks/base.txt").read_text(encoding="utf-8")
    repo.git("checkout", "-q", "main")
    repo.write("ci/locks/base.txt", lock)
    repo.git("rm", "-q", "handlers/shaft/requirements.txt")
    repo.commit()
    repo.git("checkout", "-q", "-B", "branch")
    repo.write("ci/locks/base.txt", re.sub(r"^typer==.*$", "typer==9999", lock, flags=re.MULTILINE))
    assert set(reached(repo).models) == {"shaft"}
    # On one side alone the notes say that only typer needs it.
    text = re.sub(r"^annotated-doc==.*$", "annotated-doc==9999", lock, flags=re.MULTILINE)
    repo.write("ci/locks/base.txt", text.replace("    #   typer", "    #   -r x.in\n    #   typer", 1))
    assert set(reached(repo).models) == ALL


def test_a_commit_that_is_unknown_names_the_command_that_brings_it(repo: Repository) -> None:
    with pytest.raises(UsageError, match="'origin/main' is no commit") as raised:
        reached(repo, "origin/main")
    assert "git fetch origin main" in (raised.value.fix or "")
