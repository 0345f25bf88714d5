"""What a model's requirements.txt asks for: names of packages, and files that it includes."""

import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

__all__ = ["Asked", "read_asked"]

_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)[=\s]*(?P<path>\S+)$")
_HARMLESS = re.compile(r"--(?:hash|prefer-binary|only-binary|no-binary)\b")


@dataclass(frozen=True, slots=True)
class Asked:
    """`names` are canonical. `files` were read for them. `unknown` says why the list may not be all there is."""

    names: frozenset[str]
    files: frozenset[str]
    unknown: str = ""


def read_asked(path: str, read: Callable[[str], bytes | None]) -> Asked:
    """Read `path` and what it includes; `read` gives the content of a file, None where there is none.

    Never raises: what cannot be read or understood is told in `unknown`.
    """
    names: set[str] = set()
    files: set[str] = set()
    waiting, unknown = [path], ""
    while waiting:
        name = waiting.pop()
        if name in files:
            continue
        files.add(name)
        content = read(name)
        if content is None:
            unknown = unknown or f"there is no {name}"
            continue
        try:
            lines = _lines(content.decode("utf-8-sig"))
        except UnicodeDecodeError:
            unknown = unknown or f"{name} is not UTF-8"
            continue
        for line in lines:
            if included := _INCLUDE.fullmatch(line):
                waiting.append(posixpath.normpath(posixpath.join(posixpath.dirname(name), included["path"])))
            elif not _HARMLESS.match(line):
                try:
                    names.add(canonicalize_name(Requirement(re.sub(r"\s--hash=\S+", "", line)).name))
                except InvalidRequirement:
                    unknown = unknown or f"{name} says {line[:80]!r}"
    return Asked(frozenset(names), frozenset(files), unknown)


def _lines(text: str) -> Iterable[str]:
    whole = re.sub(r"\\\r?\n", " ", text)
    stripped = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in whole.splitlines())
    return [line for line in stripped if line]
