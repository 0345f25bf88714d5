"""What is installed where handlers run, and what of it one of them can reach: not the tools that lie beside it."""

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

TORCHSERVE_NEEDS = {"ts": "torchserve", "torch": "torch", "yaml": "pyyaml", "psutil": "psutil"}
"""What TorchServe's worker imports, declared by it or not: module -> distribution."""


@dataclass(frozen=True, slots=True)
class Installed:
    """The distributions of one interpreter, by the names that they have there; empty where a server does not tell.

    `requires` are their requirements as declared, `modules` the distributions that a top-level module comes from.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    requires: Mapping[str, Sequence[str]] = field(default_factory=dict)
    modules: Mapping[str, Sequence[str]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@lru_cache(maxsize=2)
def own(extra: str = "") -> tuple[Requirement, ...]:
    """What goldmar needs by its own metadata, for the base install or an extra; nothing where it is not installed."""
    try:
        found = [Requirement(line) for line in metadata.requires("goldmar") or ()]
    except metadata.PackageNotFoundError:
        return ()
    return tuple(each for each in found if (each.marker.evaluate({"extra": extra}) if each.marker else not extra))


def reachable(installed: Installed, requirements: Iterable[Requirement], modules: Iterable[str] = ()) -> dict[str, str]:
    """Name -> version of what is installed of these requirements, of these modules, and of all that those need.

    Markers are evaluated for the interpreter's environment, extras are followed. What is not installed is left out.
    Source of the rules: PyPA's dependency specifiers.
    """
    names = {canonicalize_name(name): name for name in installed.versions}
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [*requirements, *(Requirement(name) for module in modules for name in installed.modules.get(module, ()))]
    waiting = [each for each in waiting if _applies(each, frozenset(), installed.environment)]
    while waiting:
        wanted = waiting.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if name not in names or (name, extras) in seen:
            continue
        seen.add((name, extras))
        found[names[name]] = installed.versions[names[name]]
        waiting += _needed(installed, names[name], extras)
    return dict(sorted(found.items()))


def unmet(installed: Installed, wanted: Iterable[Requirement], limits: Iterable[Requirement] = ()) -> list[str]:
    """What of these requirements is not what is installed, in words; `limits` count for what is installed alone.

    An extra asks for the package and for what the package declares for it. A build of a version (2.13.0+cpu) and a
    pre-release count as that version; of a URL only the name counts. Source: PyPA's dependency specifiers.
    """
    names = {canonicalize_name(name): name for name in installed.versions}
    required = [each for each in wanted if _applies(each, frozenset(), installed.environment)]
    for each in tuple(required):
        if each.extras and (name := names.get(canonicalize_name(each.name))):
            without = {*map(str, _needed(installed, name, frozenset()))}
            required += (more for more in _needed(installed, name, frozenset(each.extras)) if str(more) not in without)
    required += [each for each in limits if canonicalize_name(each.name) in names]
    found = []
    for each in required:
        name = names.get(canonicalize_name(each.name))
        if name is None:
            found.append(f"{each} is not installed")
        elif not each.specifier.contains(installed.versions[name], prereleases=True):
            found.append(f"{each} is asked for, and {installed.versions[name]} is installed")
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


def _needed(installed: Installed, name: str, extras: frozenset[str]) -> Iterator[Requirement]:
    """What a distribution declares to need with these extras."""
    for line in installed.requires.get(name, ()):
        with suppress(InvalidRequirement):  # of an old distribution, which pip does not follow either
            if _applies(needed := Requirement(line), extras, installed.environment):
                yield needed


def _applies(requirement: Requirement, extras: frozenset[str], environment: Mapping[str, str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({**environment, "extra": each}) for each in (*extras, ""))
