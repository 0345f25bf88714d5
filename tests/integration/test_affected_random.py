"""Random changes of a repository, held against a rule that is slow, simple and knows no git.

What a model is made of is read from the files of both sides: the content of its folders, of the shared files it lists,
of the versions in its environment. A model for which that differs has to be selected; more may be.
"""

import tempfile
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goldmar import pipeline
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
)
RECIPES = ("archive.toml", "requirements.txt")

packages = st.sampled_from(["numpy", "pillow", "imagecodecs", "filelock", "pluggy", "torch"])
shared = st.lists(st.sampled_from(["pdf.py", "tensor.py", "unused.py", "new.py"]), unique=True)
names = st.sampled_from([path for path in PATHS if not path.endswith(RECIPES)])
edits = st.one_of(
    st.tuples(st.just("write"), names, st.integers(0, 3).map(lambda n: f"text {n}\n")),
    st.tuples(st.just("delete"), st.sampled_from(PATHS)),
    st.tuples(st.just("move"), names, names),
    st.tuples(st.just("delete model"), st.sampled_from(MODELS)),
    st.tuples(st.just("list"), st.sampled_from(MODELS), shared),
    st.tuples(st.just("ask"), st.sampled_from(MODELS), st.lists(packages, unique=True, max_size=2)),
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


def made_of(root: Path) -> dict[str, dict[str, str]]:
    """Model -> all that its answers can depend on, by brute force."""
    versions = dict(line.split("==") for line in (root / "ci/locks/api.txt").read_text().splitlines() if "==" in line)
    found: dict[str, dict[str, str]] = {}
    for model in MODELS:
        folder, golden = root / "handlers" / model, root / "golden" / model
        files = [path for home in (folder, golden) for path in home.rglob("*") if path.is_file()]
        if not files:
            continue
        files = [path for path in files if not (path.suffix == ".md" and path.name == "MODEL_CARD.md")]
        parts = {str(path.relative_to(root)): path.read_text() for path in files}
        recipe = folder / "archive.toml"
        listed = (
            tomllib.loads(recipe.read_text()).get("common", [])
            if recipe.exists()
            else [path.name for path in (root / "handlers/common").iterdir()]
        )
        for name in listed:
            path = root / "handlers/common" / name
            parts[f"common {name}"] = path.read_text() if path.exists() else "missing"
        requirements = folder / "requirements.txt"
        asked = (
            {line.split(">")[0].split()[0] for line in requirements.read_text().splitlines() if line.strip()}
            if requirements.exists()
            else set(versions)
        )
        wanted = asked | SERVING
        wanted |= {need for name in wanted for need in NEEDS.get(name, ())}
        parts |= {f"pin {name}": versions.get(name, "none") for name in wanted - {"pytest", "pluggy"}}
        found[model] = parts
    return found


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Repository(tmp_path_factory.mktemp("random") / "models").root


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=st.lists(edits, max_size=3), change=st.lists(edits, min_size=1, max_size=5), commit=st.booleans())
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
        found = pipeline.find_affected(pipeline.load_project(repo.root), "base", "HEAD" if commit else None)
        must = {model for model in new if new[model] != old.get(model)}
        assert must <= set(found.selection.models)
        assert set(found.selection.models) <= set(new)
        assert {model for model in old if model not in new} <= set(found.selection.deleted)
        if new == old and not found.selection.everything:
            assert set(found.selection.deleted) == set()
