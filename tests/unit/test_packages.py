"""Which packages a handler can reach: requirements with their extras and markers, imports, and nothing beside them."""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from goldmar.archive import build
from goldmar.config import load_project
from goldmar.packages import Installed, imported, reachable, unmet
from goldmar.pipeline.archives import packages_of_model
from goldmar.serve.interpreter import LIST_PACKAGES, packages_of, read_listing

HERE = Installed(
    versions={"Numpy": "2.4", "torch": "2.13", "torchserve": "0.12.0", "PyYAML": "6", "psutil": "7", "old": "1",
              "pillow": "13", "wheel": "1", "pyvips": "3", "pyvips-binary": "8", "cffi": "2", "tomli": "2",
              "mypy": "1", "sympy": "1", "a": "1", "b": "2"},
    requires={
        "torch": ["sympy", "numpy; extra == 'opt'", "tomli; python_version < '3.11'", "gone>=1"],
        "torchserve": ["Pillow", "psutil"],
        "pyvips": ["cffi; platform_python_implementation != 'PyPy'", "pyvips-binary; extra == 'binary'"],
        "a": ["b"],
        "b": ["a[x]"],
        "old": ["not a requirement at all !!"],
    },
    modules={"PIL": ["pillow"], "yaml": ["PyYAML"], "numpy": ["Numpy"], "shared": ["a", "b"]},
    environment={"python_version": "3.12", "python_full_version": "3.12.1", "platform_python_implementation": "CPython",
                 "sys_platform": "linux"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("requirements", "modules", "found"),
    [
        ([], [], set()),
        (["torch"], [], {"torch", "sympy"}),
        (["torch[opt]"], [], {"torch", "sympy", "Numpy"}),
        (["torch", "torch[opt]"], [], {"torch", "sympy", "Numpy"}),
        (["NUMPY>=1.26"], [], {"Numpy"}),
        (["pyvips[binary]>=3"], [], {"pyvips", "pyvips-binary", "cffi"}),
        (["pyvips"], [], {"pyvips", "cffi"}),
        (["tomli; python_version < '3.11'"], [], set()),
        (["tomli; python_version > '3.11'"], [], {"tomli"}),
        (["not-there"], ["nor-this"], set()),
        ([], ["PIL", "yaml"], {"pillow", "PyYAML"}),
        ([], ["shared"], {"a", "b"}),
        (["a"], [], {"a", "b"}),
        (["old"], [], {"old"}),
    ],
)
def test_what_is_reached(requirements: list[str], modules: list[str], found: set[str]) -> None:
    assert set(reachable(HERE, map(Requirement, requirements), modules)) == found


def test_what_is_imported() -> None:
    code = b"import os, PIL.Image as I\nfrom yaml import load\nfrom . import near\n"
    code += b"from .more import x\ndef f():\n    import cv2\n"
    assert imported([code, b"def broken(:\n"]) == {"PIL", "yaml", "cv2"}


def handler(folder: Path, requirements: str | None) -> Path:
    folder.mkdir(parents=True)
    files = {
        "handler.py": "import helper\nfrom PIL import Image\nclass Handler: ...\n",
        "helper.py": "import json\n",
        "archive.toml": 'version = "1"\n',
        "model-config.yaml": "minWorkers: 1\nmaxWorkers: 1\nbatchSize: 1\nmaxBatchDelay: 0\n"
        "startupTimeout: 60\nresponseTimeout: 30\n",
        **({} if requirements is None else {"requirements.txt": requirements}),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("requirements", "more"),
    [
        (None, set()),
        ("a\n", {"a", "b"}),
        ("# a note\n\na>=0.5  # words\n", {"a", "b"}),
        ("a==1 \\\n    --hash=sha256:00\n--index-url https://host/simple\n", {"a", "b"}),
        ("--extra-index-url https://host/simple\n--pre\n--no-binary :all:\n-f wheels\na\n", {"a", "b"}),
        ("a; python_version > '3'\n", {"a", "b"}),
        ("a; python_version < '3'\n", set()),
        ("a @ https://host/a-1.whl#sha256=00\n", {"a", "b"}),
        ("-r elsewhere.txt\n", None),
        ("-e .\n", None),
        ("./a/folder\n", None),
        ("a --config-settings=x=y\n", None),
        ("--abbreviated\na\n", None),
    ],
)
def test_a_handler_reaches_what_it_asks_for_imports_and_runs_on(
    tmp_path: Path, requirements: str | None, more: set[str] | None
) -> None:
    build(handler(tmp_path / "handlers/gear", requirements), tmp_path / "model_store")
    found = set(packages_of_model(load_project(tmp_path), "gear", HERE))
    runs_on = {"torch", "sympy", "torchserve", "pillow", "psutil", "PyYAML"}
    assert found == (set(HERE.versions) if more is None else runs_on | more)
    assert set(packages_of_model(load_project(tmp_path), "none", HERE)) == set(HERE.versions)


def test_this_interpreter_and_another_tell_the_same() -> None:
    here = packages_of(sys.executable)
    done = subprocess.run([sys.executable, "-c", LIST_PACKAGES], capture_output=True, text=True, check=True, cwd="/")
    assert read_listing(done.stdout) == here
    found = reachable(here, map(Requirement, ["torch", "torchserve", "pyyaml", "psutil"]))
    assert {"torch", "numpy"} >= {"torch"} <= set(found)
    assert not {"mypy", "ruff", "pytest", "goldmar"} & set(found)


def distribution(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_what_is_installed_is_what_importlib_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shortcut around it: the metadata of a distribution is parsed once, and its description never."""
    about = "Metadata-Version: 2.1\nName: {}\nVersion: {}\n"
    needs = "Requires-Dist: numpy>=1\nRequires-Dist: a ; extra == 'x'\n"
    for folder, files in {
        "new-1.dist-info": {
            "METADATA": f"{about.format('New', 1)}{needs}\nRequires-Dist: only-described\n",
            "RECORD": 'new/__init__.py,,\nnew/data.csv,,\n"od,d.py",,\nnew-1.dist-info/METADATA,,\n../../bin/new,,\n',
        },
        "declared-2.dist-info": {"METADATA": about.format("declared", 2), "top_level.txt": "one\ntwo\n"},
        "bare-3.dist-info": {"METADATA": about.format("bare", 3)},
        "egg-4.egg-info": {
            "PKG-INFO": about.format("egg", 4),
            "requires.txt": "b\n[x]\nc\n",
            "SOURCES.txt": "egg.py\n",
        },
        "nameless-5.dist-info": {"METADATA": "Metadata-Version: 2.1\n", "RECORD": "nameless.py,,\n"},
        "sub/new-6.dist-info": {"METADATA": about.format("New", 6), "RECORD": "new/__init__.py,,\n"},
    }.items():
        distribution(tmp_path / folder, files)
    (tmp_path / "file-7.egg-info").write_text(about.format("file", 7))
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "sub"), *sys.path])

    here = packages_of(sys.executable)
    known: dict[str, metadata.Distribution] = {}
    for found in metadata.distributions():
        if found.metadata["Name"]:
            known.setdefault(found.metadata["Name"], found)
    assert here.versions == {name: found.version for name, found in known.items()}
    assert here.requires == {name: found.requires or [] for name, found in known.items()}
    modules = {name: sorted({*names} - {None}) for name, names in metadata.packages_distributions().items()}
    modules = {name: names for name, names in modules.items() if names}
    # From 3.12 on it lists compiled modules and folders without code as well.
    assert here.modules == {name: names for name, names in modules.items() if name in here.modules}
    assert {"new", "od,d", "one", "two", "egg"} <= here.modules.keys() <= modules.keys()
    assert here.versions["New"] == "1"
    assert here.requires["New"] == ["numpy>=1", "a ; extra == 'x'"]


@pytest.mark.parametrize("text", ["", "[]", '{"other": 1}', json.dumps(["a"])])
def test_a_listing_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_listing(text)


@pytest.mark.parametrize(
    ("wanted", "limits", "found"),
    [
        (["numpy>=2", "NumPy<3", "torch"], [], []),
        (["numpy>=2.5"], [], ["numpy>=2.5 is asked for, and 2.4 is installed"]),
        (["nothing"], [], ["nothing is not installed"]),
        (["nothing; python_version < '3.11'", "numpy>=9; sys_platform == 'win32'"], [], []),
        (["pyvips[binary]"], [], []),
        (["pyvips[more]"], [], []),
        (["torch[opt]"], [], []),
        (["odd[extra]"], [], ["gone>=1; extra == 'extra' is not installed"]),
        (["built==2.13.0", "early>=2"], [], []),
        (["numpy @ https://host.invalid/numpy.whl"], [], []),
        ([], ["numpy<2", "nothing==1"], ["numpy<2 is asked for, and 2.4 is installed"]),
    ],
)
def test_what_is_not_as_it_was_asked_for(wanted: list[str], limits: list[str], found: list[str]) -> None:
    here = Installed(
        versions={**HERE.versions, "built": "2.13.0+cpu", "early": "2.1rc1", "odd": "1"},
        requires={**HERE.requires, "odd": ["gone>=1; extra == 'extra'", "not a requirement !!"]},
        environment=HERE.environment,
    )
    said = unmet(here, map(Requirement, wanted), map(Requirement, limits))
    assert [line.replace('"', "'") for line in said] == found
