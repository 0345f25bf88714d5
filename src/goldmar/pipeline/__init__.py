"""The jobs behind the commands: the floors joined, in ordered steps. The edges import from here.

`jobs` holds check and record, `approval` the way from obtained to golden, `archives`, `environments` and `servers` what
they stand on, `bisect` (with `mixes` and `trials`) the search between two lock files, `affected` what a change reaches,
`reports` the ways to show what was found.

`__init__.pyi` beside this lists what the edges may use, as imports; a new name goes there. Each is imported when it is
first asked for: `goldmar affected` and `--help` should not wait for numpy.
"""

import ast
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def _homes() -> dict[str, str]:
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


_HOMES = _homes()
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        # The import system binds a submodule in its package; one with the name of a function must not hide it.
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
