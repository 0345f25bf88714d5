"""Random changes of a repository, held against a rule that is slow, simple and knows no git.

What a model is made of is read from the files of both sides: the content of its folders, of the shared files it lists,
of the versions in its environment. A model for which that differs has to be selected; more may be.
"""

import os
import tempfile
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from goldmar.pipeline.affected import find_affected
from goldmar.pipeline.selection import load_project
from tests.support.examples import times
from tests.support.repository import FILES, Repository

NEEDS = {"torch": {"filelock"}, "imagecodecs": {"numpy"}, "pytest": {"pluggy"}}
SERVING = {"torch", "torchserve"}
MODELS = ("gear", "rim", "shaft", "pin")

PATHS = sorted(
    {path for path in FILES if path.startswith(("handlers/", "golden/")) and path != "handlers/README.md"}
    | {
        "handlers/pin/handler.py",
        "handlers/pin/archive.toml",
        "handlers/pin/requirements.txt",
        "golden/pin/expected.csv",
    }
    | {"handlers/common/new.py", "golden/gear/drawings/two.json", "handlers/gear/deep/er.py"}
    | {"handlers/common/base.txt", "golden/shaft/base.txt", "model_store/gear.mar", "model_store/pin.mar"}
)
RECIPES = ("archive.toml", "requirements.txt", "base.txt")
BASES = ["handlers/common/base.txt", "golden/shaft/base.txt"]

packages = st.sampled_from(["numpy", "pillow", "imagecodecs", "filelock", "pluggy", "torch"])
shared = st.lists(st.sampled_from(["pdf.py", "tensor.py", "unused.py", "new.py"]), unique=True)
included = st.sampled_from([f"handlers/{model}/requirements.txt" for model in MODELS] + BASES)
names = st.sampled_from([path for path in PATHS if not path.endswith(RECIPES)])
edits = st.one_of(
    st.tuples(st.just("write"), names, st.integers(0, 3).map(lambda n: f"text {n}\n")),
    st.tuples(st.just("delete"), st.sampled_from(PATHS)),
    st.tuples(st.just("move"), names, names),
    st.tuples(st.just("delete model"), st.sampled_from(MODELS)),
    st.tuples(st.just("list"), st.sampled_from(MODELS), shared),
    st.tuples(st.just("ask"), st.sampled_from(MODELS), st.lists(packages, unique=True, max_size=2)),
    st.tuples(st.just("base"), st.sampled_from(BASES), st.lists(packages, unique=True, max_size=2)),
    st.tuples(st.just("include"), st.sampled_from(MODELS), included),
    st.tuples(st.just("call"), st.sampled_from(MODELS), st.sampled_from(MODELS)),
    st.tuples(st.just("pin"), packages, st.integers(1, 3)),
    st.tuples(st.just("comment"), st.text("abc", max_size=3)),
    st.tuples(st.just("touch"), st.just("README.md")),
)


def apply(root: Path, edit: tuple) -> None:
    match edit:
        case ("write", path, text):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        case ("delete", path):
            (root / path).unlink(missing_ok=True)
        case ("move", old, new):
            if (root / old).exists() and old != new:
                (root / new).parent.mkdir(parents=True, exist_ok=True)
                (root / old).rename(root / new)
        case ("delete model", model):
            for path in [*(root / "handlers" / model).rglob("*"), *(root / "golden" / model).rglob("*")]:
                if path.is_file():
                    path.unlink()
        case ("list", model, listed):
            apply(root, ("write", f"handlers/{model}/archive.toml", f'version = "1.0"\ncommon = {listed!r}\n'))
        case ("ask", model, asked):
            apply(root, ("write", f"handlers/{model}/requirements.txt", "".join(f"{name}\n" for name in asked)))
        case ("base", path, asked):
            apply(root, ("write", path, "".join(f"{name}\n" for name in asked)))
        case ("include", model, path):
            apply(root, ("write", f"handlers/{model}/requirements.txt", f"-r ../../{path}\n"))
        case ("call", folder, name):
            apply(root, ("write", f"handlers/{folder}/archive.toml", f'version = "1.0"\nmodel = "{name}"\n'))
        case ("pin", name, version):
            lock = root / "ci/locks/api.txt"
            lines = lock.read_text().splitlines()
            lock.write_text(
                "".join(f"{name}=={version}\n" if line.startswith(f"{name}==") else f"{line}\n" for line in lines)
            )
        case ("comment", text):
            lock = root / "ci/locks/api.txt"
            lock.write_text(f"# {text}\n{lock.read_text()}")
        case ("touch", path):
            (root / path).write_text("other words\n")


def asked_of(root: Path, path: Path, seen: dict[str, str]) -> set[str]:
    """The packages that a requirements file names, with those that it includes; `seen` takes the files."""
    name = os.path.relpath(path, root)
    if name in seen:
        return set()
    seen[name] = path.read_text() if path.exists() else "missing"
    if not path.exists():
        return set()
    lines = [line for line in seen[name].splitlines() if line.strip()]
    found = {line.split(">")[0].split()[0] for line in lines if not line.startswith("-r ")}
    return found.union(*(asked_of(root, path.parent / line[3:], seen) for line in lines if line.startswith("-r ")))


def made_of(root: Path) -> dict[str, dict[str, str]]:
    """Model -> all that its answers can depend on, by brute force."""
    versions = dict(line.split("==") for line in (root / "ci/locks/api.txt").read_text().splitlines() if "==" in line)
    found: dict[str, dict[str, str]] = {}
    for model in MODELS:
        archive = root / "model_store" / f"{model}.mar"
        files = [path for path in [*(root / "golden" / model).rglob("*"), archive] if path.is_file()]
        if files:
            found.setdefault(model, {}).update((str(path.relative_to(root)), path.read_text()) for path in files)
    for folder in [root / "handlers" / model for model in MODELS]:
        files = [path for path in folder.rglob("*") if path.is_file()]
        if not files:
            continue
        recipe = folder / "archive.toml"
        table = tomllib.loads(recipe.read_text()) if recipe.exists() else {}
        parts = found.setdefault(table.get("model", folder.name), {})
        parts |= {str(path.relative_to(root)): path.read_text() for path in files if path.name != "MODEL_CARD.md"}
        listed = (
            table.get("common", []) if recipe.exists() else [path.name for path in (root / "handlers/common").iterdir()]
        )
        for name in listed:
            path = root / "handlers/common" / name
            parts[f"common {name}"] = path.read_text() if path.exists() else "missing"
        read: dict[str, str] = {}
        asked = asked_of(root, folder / "requirements.txt", read)
        parts |= read
        wanted = (asked if (folder / "requirements.txt").exists() else set(versions)) | SERVING
        wanted |= {need for name in wanted for need in NEEDS.get(name, ())}
        parts |= {f"pin {name}": versions.get(name, "none") for name in wanted - {"pytest", "pluggy"}}
    return found


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Repository(tmp_path_factory.mktemp("random") / "models").root


@settings(max_examples=times(0.6), suppress_health_check=[HealthCheck.too_slow])
@given(before=st.lists(edits, max_size=3), change=st.lists(edits, min_size=1, max_size=5), commit=st.booleans())
# A folder without a handler is a model; nobody says what it takes of handlers/common.
@example([("ask", "pin", ["numpy"])], [("pin", "numpy", 1)], False)
@example([("ask", "pin", [])], [("delete model", "pin")], False)
@example([("ask", "pin", [])], [("write", "handlers/common/unused.py", "text 1\n")], True)
# A file of one model is another's, too.
@example([("include", "gear", "handlers/shaft/requirements.txt")], [("ask", "shaft", ["pillow"])], False)
@example([("include", "gear", "handlers/shaft/requirements.txt")], [("delete model", "shaft")], True)
@example([("include", "gear", BASES[1])], [("base", BASES[1], ["pillow"])], False)
# A model that calls itself otherwise leaves its golden without a handler.
@example([], [("call", "rim", "pin")], False)
@example([("call", "rim", "pin")], [("list", "rim", [])], True)
@example([("write", "handlers/pin/handler.py", "text 1\n")], [("call", "pin", "gear")], False)
@example([("call", "rim", "pin")], [("delete", "handlers/rim/archive.toml")], True)
def test_no_model_is_missed(start: Path, before: list, change: list, commit: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        repo = Repository.__new__(Repository)
        repo.root = Path(folder) / "models"
        repo.git("clone", "-q", "-c", "core.fsync=none", str(start), str(repo.root), root=start)
        for edit in before:
            apply(repo.root, edit)
        repo.commit()
        repo.git("branch", "-f", "base")
        old = made_of(repo.root)
        for edit in change:
            apply(repo.root, edit)
        new = made_of(repo.root)
        if commit:
            repo.commit()
        found = find_affected(load_project(repo.root), "base", "HEAD" if commit else None)
        must = {model for model in new if new[model] != old.get(model)}
        assert must <= set(found.models)
        assert set(found.models) <= set(new)
        assert {model for model in old if model not in new} <= set(found.deleted)
        if new == old and not found.everything:
            assert set(found.deleted) == set()
