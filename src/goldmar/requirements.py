"""Requirement and lock files, read as pip reads them, once, into frozen records; everybody takes those.

Source of the format: pip's documentation, "Requirements File Format", and pip/_internal/req/req_file.py, against which
tests/unit/test_requirements.py checks it. `packaging` reads names, versions, markers and extras. The library
pip-requirements-parser is not used: its last release is of 2022, it is 3,000 lines of pip 22, brings pyparsing, and
keeps neither the `# via` notes nor where an entry ends.
"""

import posixpath
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from goldmar.files import read_whole

__all__ = ["Asked", "Line", "Option", "asked_for", "lines", "on_disk", "without_password"]

_COMMENT = re.compile(r"(?:^|\s+)#.*$")  # the # of a URL has no blank before it
_HASH = re.compile(r"\s--hash(?:=|\s+)(\S+)")
_DIGEST = re.compile(r"[a-z0-9]+:[0-9A-Fa-f]+")
_OTHER_OPTION = re.compile(r"(?:^|\s)--?[A-Za-z]")

_SHORT = {"-i": "--index-url", "--pypi-url": "--index-url", "-f": "--find-links"}
_SHORT |= {"--requirement": "-r", "--constraint": "-c", "--editable": "-e"}
_FLAGS = {"--no-index", "--pre", "--prefer-binary", "--require-hashes"}
_VALUES = {"--index-url", "--extra-index-url", "--find-links", "--no-binary", "--only-binary", "--trusted-host"}
_INCLUDES = {"-r", "-c", "-e"}
_CHOOSES_FILES = {"--prefer-binary", "--only-binary", "--no-binary", "--require-hashes"}


class Option(NamedTuple):
    """By its long name, but for -r, -c and -e; `value` is empty for those without."""

    name: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.value}".rstrip()


@dataclass(frozen=True, slots=True)
class Line:
    """A logical line: a requirement with its hashes, sorted, or options; or a `problem`, the end of a sentence.

    `text` is without comments, those behind and below it are `notes`; it stands in the lines `first` to `end` of the
    file, from 0. `bare` is the text of the requirement alone.
    """

    text: str
    notes: tuple[str, ...]
    first: int
    end: int
    requirement: Requirement | None = None
    bare: str = ""
    hashes: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a file and those that it includes ask for. `files` were read for it.

    `wanted` are the requirements themselves, in no order; `limits` those of constraint files, which ask for nothing.
    `unknown` says why it may not be all there is; with `named` only where its files are taken from is not known here.
    """

    wanted: tuple[Requirement, ...]
    limits: tuple[Requirement, ...]
    files: frozenset[str]
    unknown: str = ""
    named: bool = True

    @property
    def names(self) -> frozenset[str]:
        """Canonical."""
        return frozenset(canonicalize_name(each.name) for each in (*self.wanted, *self.limits))


@lru_cache(maxsize=64)
def lines(text: str) -> tuple[Line, ...]:
    """The requirements and options of a file. Comments that begin a line belong to none."""
    return tuple(_lines(text))


def _lines(text: str) -> Iterator[Line]:
    found: tuple[str, list[str], int, int] | None = None
    for first, end, line in _logical(text):
        comment = _COMMENT.search(line)
        content = (line[: comment.start()] if comment else line).strip()
        if content or (comment and line.startswith("#")):  # a heading: the notes of a pin are indented
            if found is not None:
                yield _parsed(*found)
            found = (content, [], first, end) if content else None
        if comment and found is not None:
            found[1].append(comment.group().strip().removeprefix("#"))
            found = (*found[:3], end)
    if found is not None:
        yield _parsed(*found)


def asked_for(path: str, read: Callable[[str], bytes | None]) -> Asked:
    """Read `path` and what it includes; `read` gives the content of a file, None where there is none.

    Never raises: what cannot be read or understood is told in `unknown`.
    """
    wanted: list[Requirement] = []
    limits: list[Requirement] = []
    files: set[str] = set()
    unknown, named = "", True
    asking, limiting = [path], list[str]()
    while asking or limiting:
        # What is included by -r anywhere asks, and what only constraint files lead to comes last.
        is_limit = not asking
        name = (asking or limiting).pop()
        if name in files:
            continue
        files.add(name)
        content = read(name)
        try:
            text = None if content is None else content.decode("utf-8-sig")
        except UnicodeDecodeError:
            unknown, named = unknown or f"{name} is not UTF-8", False
            continue
        if text is None:
            unknown, named = unknown or f"there is no {name}", False
            continue
        for line in lines(text):
            if line.requirement is not None and not line.problem:
                (limits if is_limit else wanted).append(line.requirement)
            for option, value in line.options:
                if option in ("-r", "-c"):
                    included = posixpath.normpath(posixpath.join(posixpath.dirname(name), value))
                    (limiting if is_limit or option == "-c" else asking).append(included)
            odd = {option.name for option in line.options} - {"-r", "-c", *_CHOOSES_FILES}
            if odd or line.problem:
                unknown = unknown or f"{name} says {line.text[:80]!r}"
                named = named and not line.problem and "-e" not in odd
    return Asked(tuple(wanted), tuple(limits), frozenset(files), unknown, named)


def on_disk(path: str) -> bytes | None:
    """To read files with; None where there is none."""
    try:
        return read_whole(Path(path))
    except OSError:
        return None


def without_password(text: str) -> str:
    """Without the user name and password of a URL: messages and reports are for everybody's eyes."""
    return re.sub(r"://[^/\s]*@", "://", text)


def _logical(text: str) -> Iterator[tuple[int, int, str]]:
    """First line, line behind the last, and text; a backslash at the end of a line joins the next one, as in pip."""
    joined, start = "", 0
    raw_lines = text.splitlines()
    for number, raw in enumerate(raw_lines):
        if not joined:
            start = number
        comment = _COMMENT.match(raw)
        if raw.endswith("\\") and not comment:
            joined += raw.strip("\\") or " "
        else:
            # Nothing joins a comment that begins a line, and what is before it ends there.
            yield start, number + 1, f"{joined} {raw}" if joined and comment else joined + raw
            joined = ""
    if joined:
        yield start, len(raw_lines), joined


def _parsed(text: str, notes: list[str], first: int, end: int) -> Line:
    line = Line(text, tuple(notes), first, end)
    try:
        if not text.replace("\t", " ").isprintable():
            raise _Odd("holds what cannot be printed")
        if text.startswith("-"):
            return replace(line, options=tuple(_options(text)))
        bare, hashes = _HASH.sub("", text).strip(), tuple(sorted(set(_HASH.findall(text))))
        if _OTHER_OPTION.search(bare) or not all(map(_DIGEST.fullmatch, hashes)):
            raise _Odd("is no requirement")
        return replace(line, requirement=Requirement(bare), bare=bare, hashes=hashes)
    except InvalidRequirement:
        return replace(line, problem="is no requirement")
    except _Odd as error:
        return replace(line, problem=str(error))


def _options(text: str) -> Iterator[Option]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise _Odd(f"has quotes that do not end: {error}") from error
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if not word.startswith("--") and len(word) > 2:
            name, equals, value = word[:2], "=", word[2:].removeprefix("=")
        known = _SHORT.get(name, name)
        if known in _FLAGS and not equals:
            yield Option(known)
        elif known in _VALUES | _INCLUDES:
            if not equals and not words:
                raise _Odd(f"has {name} without a value")
            yield Option(known, value if equals else words.pop(0))
        else:
            raise _Odd(f"has {name}, which is no option of a requirements file that can be followed here")


class _Odd(ValueError):
    """What is not understood; its text is the end of a sentence."""
