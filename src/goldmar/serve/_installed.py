"""What is installed for one interpreter, told by itself: run by path or as text, so the standard library has to do."""

import csv
import json
import os
import platform
import sys
from email import message_from_string
from importlib import metadata
from typing import Any


def installed() -> dict[str, Any]:
    """Versions, requirements and modules of every distribution, and the environment that markers are held against.

    Of two distributions of a name the first on sys.path counts, as it does for an import. Format of the environment:
    the dependency specifiers of the PyPA specifications.
    """
    versions: dict[str, str] = {}
    requires: dict[str, list[str]] = {}
    modules: dict[str, set[str]] = {}
    for found in metadata.distributions():
        # importlib.metadata would parse it for each question anew, all of the description included: half a second.
        about = message_from_string(_text(found).partition("\n\n")[0])
        name = about["Name"]
        if name and name not in versions:
            versions[name] = about["Version"]
            requires[name] = about.get_all("Requires-Dist") or _old_requires(found)
        for module in _modules(found) if name else ():
            modules.setdefault(module, set()).add(name)
    return {
        "versions": versions,
        "requires": requires,
        "modules": {module: sorted(names) for module, names in modules.items()},
        "environment": {
            "implementation_name": sys.implementation.name,
            "implementation_version": platform.python_version(),
            "os_name": os.name,
            "platform_machine": platform.machine(),
            "platform_python_implementation": platform.python_implementation(),
            "platform_release": platform.release(),
            "platform_system": platform.system(),
            "platform_version": platform.version(),
            "python_full_version": platform.python_version(),
            "python_version": ".".join(platform.python_version_tuple()[:2]),
            "sys_platform": sys.platform,
        },
    }


def _text(found: metadata.Distribution) -> str:
    """Its core metadata; of an egg it lies in PKG-INFO, or is the whole distribution."""
    return found.read_text("METADATA") or found.read_text("PKG-INFO") or found.read_text("") or ""


def _old_requires(found: metadata.Distribution) -> list[str]:
    return (found.requires or []) if found.read_text("requires.txt") else []


def _modules(found: metadata.Distribution) -> set[str]:
    """The top-level modules, as importlib.metadata.packages_distributions() works them out."""
    if declared := found.read_text("top_level.txt"):
        return set(declared.split())
    record = found.read_text("RECORD")
    rows = csv.reader(record.splitlines()) if record else ([str(path)] for path in found.files or ())
    paths = [row[0] for row in rows if row and row[0].endswith(".py")]
    return {path.partition("/")[0].removesuffix(".py") for path in paths}


if __name__ == "__main__":
    print(json.dumps(installed()))
