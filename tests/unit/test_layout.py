"""What is a model, and what one may be called: the rule itself, and that everybody keeps to the same."""

import ast
from pathlib import Path

import pytest

from goldmar.affected.recipes import model_of as of_affected
from goldmar.archive.recipe import read_recipe
from goldmar.backends.compose import ComposeServer
from goldmar.backends.local import LocalServer
from goldmar.backends.worker import WorkerServer
from goldmar.config import Project
from goldmar.errors import ArchiveError, ConfigError, GoldenError, GoldmarError, UsageError
from goldmar.init import scaffold
from goldmar.layout import (
    NAME_FIX,
    Entry,
    Place,
    by_model,
    check_name,
    is_model_name,
    kind_of,
    model_of,
    survey,
)

ROOT = Path(__file__).resolve().parents[2]

GOOD = ["gear", "Gear", "9lives", "class", "a.b", "obtained.v2", "gear-2_x", "commons", "x" * 64, "1.0", "mar", "md"]
BAD = [
    *("", ".", "..", ".hidden", "_old", "-x", "x.", "x" * 65, "common", "Common", "COMMON"),
    *("größe", "٣", "部品", "a b", "a/b", "../up", "a,b", "a=b", "a:b", "a\n", "a\0b", "a%20b", "$(x)"),
    *("gear.mar", "README", "readme.old", "notes.md", "x.PY", "tolerance.toml", "expected.csv"),
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, tmp_path / "handlers", tmp_path / "golden", tmp_path / "model_store")


def put(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# ---- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOOD)
def test_a_name_that_is_taken(name: str) -> None:
    assert is_model_name(name)
    assert check_name(name) == name == model_of({}, name) == model_of({"model": name}, "other")


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_is_refused(name: str) -> None:
    assert not is_model_name(name)
    with pytest.raises(UsageError, match="is no name for a model") as caught:
        check_name(name)
    assert "letter or digit first" in (caught.value.fix or "")
    with pytest.raises(ConfigError, match="is no name for a model"):
        model_of({"model": name}, "other")


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="7 is no name"):
        model_of({"model": 7}, "gear")


def asked(name: str, folder: Path) -> dict[str, object]:
    """What everybody who takes a name makes of it: the name, or the words of the refusal."""
    mar = folder / f"{name}.mar"
    recipe = put(folder / "handlers/any/archive.toml", f"version = '1'\nmodel = {name!r}\n")
    for needed in ("handler.py", "weights.pt", "model-config.yaml"):
        put(recipe.with_name(needed))
    fresh = folder / "fresh"  # where no handler makes that model yet
    (fresh / "golden").mkdir(parents=True, exist_ok=True)

    def said(call) -> object:
        try:
            return call()
        except GoldmarError as error:
            return (error.what.split(": ")[-1], error.fix, int(error.exit_code))

    return {
        "layout": said(lambda: check_name(name)),
        "archive": said(lambda: read_recipe(recipe.parent).model),
        "affected": said(lambda: of_affected({"model": name}, "any")),
        "init": said(lambda: scaffold(fresh, name) and name),
        "archives": said(lambda: next(iter(by_model([mar])))),
        "compose": said(lambda: next(iter(ComposeServer(folder, [mar], labels="")._archives))),
        "local": said(lambda: next(iter(LocalServer([mar])._archives))),
        "worker": said(lambda: worker(mar)),
    }


def worker(mar: Path) -> str:
    try:
        with WorkerServer([mar]):
            return ""
    except ArchiveError:  # the name was taken, and there is no such file
        return mar.stem


@pytest.mark.parametrize("name", [*GOOD, *(name for name in BAD if "\0" not in name and "\n" not in name)])
def test_everybody_says_the_same_of_a_name(name: str, tmp_path: Path) -> None:
    if "/" in name or name in {"", ".", ".."}:  # no file is called so
        assert not is_model_name(name)
        return
    answers = set(asked(name, tmp_path).values())
    assert answers == ({name} if name in GOOD else {(f"{name!r} is no name for a model.", NAME_FIX, 2)})


def test_what_a_model_may_be_called_is_said_once() -> None:
    """And without what else goldmar is made of: where images are built there is nothing else of it."""
    sources = [*(ROOT / "src/goldmar").rglob("*.py"), *(ROOT / "compose").glob("*.py"), *(ROOT / "ci").rglob("*.py")]
    assert [path.name for path in sources if "codeowners" in path.read_text(encoding="utf-8")] == ["names.py"]
    tree = ast.parse((ROOT / "src/goldmar/names.py").read_text(encoding="utf-8"))
    assert [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)] == [
        "import re"
    ]


def test_two_archives_of_one_name_are_not_served(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="would both be served as gear"):
        by_model([tmp_path / "a/gear.mar", tmp_path / "b/gear.mar"])


# ---- what lies there ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "name", "inside", "kind"),
    [
        ("handlers", "gear", [], Entry.model),
        ("handlers", "gear", None, Entry.model),
        ("handlers", "common", ["drawing.py"], Entry.shared),
        ("handlers", "common", ["archive.toml"], Entry.refused),
        ("handlers", "common", None, Entry.refused),
        ("handlers", "Common", [], Entry.refused),
        ("golden", "common", [], Entry.refused),
        ("golden", "common", None, Entry.refused),
        ("handlers", "__pycache__", ["x.pyc"], Entry.beside),
        ("handlers", "_old", ["handler.py"], Entry.refused),
        ("golden", ".hidden", ["expected.csv"], Entry.refused),
        ("golden", ".ipynb_checkpoints", ["tolerance-checkpoint.toml"], Entry.beside),
        ("golden", ".gear.0123456789abcdef.tmp", ["tolerance.toml"], Entry.beside),  # `goldmar init` at work
        ("golden", ".gear.tmp", ["tolerance.toml"], Entry.refused),  # parked so by somebody
        ("golden", "größe", [], Entry.refused),
        ("golden", "größe", None, Entry.refused),
        ("golden", "README.md", None, Entry.beside),
        ("golden", "größe.md", None, Entry.beside),
        ("golden", "README.md", [], Entry.refused),
        ("golden", "gear.mar", None, Entry.refused),
        ("golden", ".gitignore", None, Entry.beside),
        ("handlers", "conftest.py", None, Entry.beside),
    ],
)
def test_what_a_thing_is(place: str, name: str, inside: list[str] | None, kind: Entry) -> None:
    assert kind_of(Place(place), name, is_folder=inside is not None, inside=inside or ()) is kind


def test_a_model_is_what_exists_in_any_of_the_folders(project: Project, tmp_path: Path) -> None:
    put(tmp_path / "handlers/a/handler.py")
    (tmp_path / "handlers/b").mkdir()
    put(tmp_path / "golden/c/expected.csv")
    (tmp_path / "golden/d").mkdir()
    put(tmp_path / "model_store/e.v2.mar")
    put(tmp_path / "model_store/README.md")
    put(tmp_path / "model_store/.e.mar")
    put(tmp_path / "golden/README.md")
    put(tmp_path / "handlers/common/drawing.py")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "golden/f").symlink_to("../elsewhere")
    found = survey(project)
    assert list(found.models) == ["a", "b", "c", "d", "e.v2", "f"]
    assert found.problems == ()
    assert found.model("a").handlers == (tmp_path / "handlers/a",)
    assert [name for name, model in found.models.items() if model.approved] == ["c"]
    assert found.model("e.v2").archive == tmp_path / "model_store/e.v2.mar"
    assert found.model("f").golden == tmp_path / "golden/f"
    assert found.model("none").handlers == ()


def test_nothing_is_there_where_there_are_no_folders(project: Project) -> None:
    assert survey(project).models == {}


def test_the_name_in_archive_toml_counts(project: Project, tmp_path: Path) -> None:
    put(tmp_path / "handlers/gear_v2/archive.toml", 'version = "2"\nmodel = "gear"\n')
    assert survey(project).model("gear").handlers == (tmp_path / "handlers/gear_v2",)
    assert list(survey(project).models) == ["gear"]


@pytest.mark.parametrize(
    ("make", "model", "said"),
    [
        (lambda root: put(root / "golden/gear", "../elsewhere"), "gear", "golden/gear is a file, and a folder"),
        (lambda root: put(root / "handlers/gear"), "gear", "handlers/gear is a file, and a folder"),
        (lambda root: link(root / "golden/gear", "nowhere"), "gear", "golden/gear is a link that leads nowhere"),
        (lambda root: link(root / "golden/gear", "gear"), "gear", "golden/gear is a link that leads nowhere"),
        (lambda root: link(root / "handlers/gear", "nowhere"), "gear", "handlers/gear is a link that leads nowhere"),
        (lambda root: link(root / "model_store/gear.mar", "x"), "gear", "gear.mar is a link that leads nowhere"),
        (lambda root: (root / "model_store/gear.mar").mkdir(parents=True), "gear", "gear.mar is no file"),
        (lambda root: put(root / "model_store/gear.MAR"), "gear", "does not end in .mar"),
        (lambda root: put(root / "model_store/größe.mar"), "", "'größe' is no name for a model"),
        (lambda root: put(root / "model_store/common.mar"), "", "'common' is no name for a model"),
        (lambda root: put(root / "golden/größe/expected.csv"), "", "'größe' is no name for a model"),
        (lambda root: put(root / "golden/_old/expected.csv"), "", "'_old' is no name for a model"),
        (lambda root: put(root / "handlers/common/archive.toml"), "", "'common' is no name for a model"),
        (lambda root: put(root / "handlers/gear.mar"), "", "'gear.mar' is no name for a model"),
        (lambda root: put(root / "handlers/gear/archive.toml", "version ="), "gear", "is not TOML"),
        (lambda root: put(root / "handlers/gear/archive.toml", "model = 7"), "gear", "7 is no name for a model"),
        (lambda root: renamed(root), "gear", "model_store/gear.mar is left over: "),
        (lambda root: put(root / "golden", ""), "", "golden cannot be listed: Not a directory"),
        (lambda root: link(root / "golden", "nowhere"), "", "golden cannot be listed: No such file"),
    ],
)
def test_what_cannot_be_used_is_a_problem(project: Project, tmp_path: Path, make, model: str, said: str) -> None:
    make(tmp_path)
    (problem,) = survey(project).problems
    assert (problem.model, said in problem.what) == (model, True), problem.what
    assert problem.fix
    assert problem.error().exit_code == 2
    assert isinstance(problem.error(), GoldenError if problem.golden else ArchiveError)
    assert survey(project).model(model).problems == ((problem,) if model else ())


def renamed(root: Path) -> None:
    put(root / "handlers/gear/archive.toml", 'model = "cog"\n')
    put(root / "model_store/gear.mar")
    put(root / "model_store/rim.mar")  # of somebody else


def link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def test_two_handlers_that_make_one_model_are_a_problem_of_it(project: Project, tmp_path: Path) -> None:
    put(tmp_path / "handlers/gear/archive.toml")
    put(tmp_path / "handlers/gear_v2/archive.toml", 'model = "gear"\n')
    put(tmp_path / "handlers/rim/archive.toml")
    found = survey(project)
    assert [problem.what for problem in found.model("gear").problems] == [
        f"{tmp_path}/handlers/gear and {tmp_path}/handlers/gear_v2 both make the model gear."
    ]
    assert found.model("rim").problems == ()


def test_names_that_differ_in_capitals_alone_are_a_problem_of_both(project: Project, tmp_path: Path) -> None:
    put(tmp_path / "golden/Gear/expected.csv")
    put(tmp_path / "model_store/gear.mar")
    found = survey(project)
    assert found.model("gear").problems
    assert found.model("Gear").problems
    assert "nothing but capital letters" in found.problems[0].what
