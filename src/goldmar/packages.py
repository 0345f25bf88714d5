"""What is installed where handlers run, and what of it one of them can reach: not the tools that lie beside it."""

import ast
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

__all__ = ["TORCHSERVE_NEEDS", "Installed", "imported", "reachable", "unmet"]

TORCHSERVE_NEEDS = ("torch", "torchserve", "pyyaml", "psutil")
"""What TorchServe's worker imports, declared by it or not."""


@dataclass(frozen=True, slots=True)
class Installed:
    """The distributions of one interpreter, by the names that they have there; empty where a server does not tell.

    `requires` are their requirements as declared, `modules` the distributions that a top-level module comes from.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    requires: Mapping[str, Sequence[str]] = field(default_factory=dict)
    modules: Mapping[str, Sequence[str]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def reachable(installed: Installed, requirements: Iterable[Requirement], modules: Iterable[str] = ()) -> dict[str, str]:
    """Name -> version of what is installed of these requirements, of these modules, and of all that those need.

    Markers are held against the interpreter's environment, extras are followed. What is not installed is left out.
    Source of the rules: PyPA's dependency specifiers.
    """
    names = {canonicalize_name(name): name for name in installed.versions}
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [*requirements, *(Requirement(name) for module in modules for name in installed.modules.get(module, ()))]
    waiting = [each for each in waiting if _holds(each, frozenset(), installed.environment)]
    while waiting:
        wanted = waiting.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if name not in names or (name, extras) in seen:
            continue
        seen.add((name, extras))
        found[names[name]] = installed.versions[names[name]]
        for line in installed.requires.get(names[name], ()):
            try:
                needed = Requirement(line)
            except InvalidRequirement:
                continue  # of an old distribution, which pip does not follow either
            if _holds(needed, extras, installed.environment):
                waiting.append(needed)
    return dict(sorted(found.items()))


def unmet(installed: Installed, wanted: Iterable[Requirement], limits: Iterable[Requirement] = ()) -> list[str]:
    """What of these requirements is not what is installed, in words; `limits` count for what is installed alone.

    An extra asks for the package and for what the package declares for it. A build of a version (2.13.0+cpu) and a
    pre-release count as that version; of a URL only the name counts. Source: PyPA's dependency specifiers.
    """
    versions = {canonicalize_name(name): version for name, version in installed.versions.items()}
    needs = {canonicalize_name(name): lines for name, lines in installed.requires.items()}
    asked = [each for each in wanted if _holds(each, frozenset(), installed.environment)]
    for each in tuple(asked):
        for line in needs.get(canonicalize_name(each.name), ()) if each.extras else ():
            with suppress(InvalidRequirement):
                more = Requirement(line)
                theirs = [
                    _holds(more, extras, installed.environment) for extras in (frozenset(each.extras), frozenset())
                ]
                if theirs == [True, False]:
                    asked.append(more)
    asked += [each for each in limits if canonicalize_name(each.name) in versions]
    found = []
    for each in asked:
        version = versions.get(canonicalize_name(each.name))
        if version is None:
            found.append(f"{each} is not installed")
        elif not each.specifier.contains(version, prereleases=True):
            found.append(f"{each} is asked for, and {version} is installed")
    return found


def imported(sources: Iterable[bytes]) -> set[str]:
    """The top-level modules that these sources import, wherever in them; the standard library's are left out."""
    found: set[str] = set()
    for source in sources:
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            continue  # the handler does not load then, which others will say
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found - sys.stdlib_module_names


def _holds(requirement: Requirement, extras: frozenset[str], environment: Mapping[str, str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({**environment, "extra": each}) for each in (*extras, ""))
