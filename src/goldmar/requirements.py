"""Requirement files, read as pip reads them: logical lines with their comments, options, and what a file asks for.

The one reader of such files: lock files (`goldmar.locks`) and the requirements.txt of a model go through it. Source of
the format: pip's documentation, "Requirements File Format", and pip/_internal/req/req_file.py, against which
tests/unit/test_requirements.py holds it.
"""

import posixpath
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

__all__ = ["Asked", "Entry", "OptionError", "asked_for", "entries", "options_of", "without_hashes"]

_COMMENT = re.compile(r"(?:^|\s+)#.*$")  # the # of a URL has no blank before it
_HASH = re.compile(r"\s--hash(?:=|\s+)(?P<hash>\S+)")

_ALIASES = {"-i": "--index-url", "--pypi-url": "--index-url", "-f": "--find-links"}
_INCLUDES = {"-r": "-r", "--requirement": "-r", "-c": "-c", "--constraint": "-c", "-e": "-e", "--editable": "-e"}
_FLAGS = ("--no-index", "--pre", "--prefer-binary", "--require-hashes")
_VALUES = ("--index-url", "--extra-index-url", "--find-links", "--no-binary", "--only-binary", "--trusted-host")


class OptionError(ValueError):
    """An option that is none, or that is not known here."""


@dataclass(slots=True)
class Entry:
    """A logical line: `text` without comments, the comments behind and below it, and its lines in the file, from 0."""

    text: str
    notes: list[str]
    first: int
    end: int

    @property
    def number(self) -> int:
        return self.first + 1


@dataclass(frozen=True, slots=True)
class Asked:
    """`names` are canonical. `files` were read for them. `unknown` says why the list may not be all there is.

    `wanted` are the requirements themselves, in no order; `limits` those of constraint files, which ask for nothing.
    """

    names: frozenset[str]
    files: frozenset[str]
    unknown: str = ""
    wanted: tuple[Requirement, ...] = ()
    limits: tuple[Requirement, ...] = ()


def entries(text: str) -> Iterator[Entry]:
    """The requirements and options of a file, each on one line. Comments that begin a line belong to none."""
    entry: Entry | None = None
    for first, end, line in _logical(text):
        comment = _COMMENT.search(line)
        said = (line[: comment.start()] if comment else line).strip()
        if said:
            if entry is not None:
                yield entry
            entry = Entry(said, [], first, end)
        if comment and entry is not None:
            if line.startswith("#"):  # a heading: the notes of a pin are indented
                yield entry
                entry = None
            else:
                entry.notes.append(comment.group().strip().removeprefix("#"))
                entry.end = end
    if entry is not None:
        yield entry


def _logical(text: str) -> Iterator[tuple[int, int, str]]:
    """First line, line behind the last, and text; a backslash at the end of a line joins the next one, as in pip."""
    joined, start = "", 0
    lines = text.splitlines()
    for number, raw in enumerate(lines):
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
        yield start, len(lines), joined


def options_of(line: str) -> list[tuple[str, str]]:
    """The options of a line that begins with one, by their long names, with their values; "" for those without.

    `-r`, `-c` and `-e` by their short names. Raises OptionError for one that is unknown, abbreviated or incomplete.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise OptionError(f"quotes that do not end: {error}") from error
    found = []
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if not word.startswith("--") and len(word) > 2:
            name, equals, value = word[:2], "=", word[2:].removeprefix("=")
        known = _INCLUDES.get(name) or _ALIASES.get(name, name)
        if known in _FLAGS and not equals:
            found.append((known, ""))
        elif known in _VALUES or known in _INCLUDES:
            if not equals and not words:
                raise OptionError(f"{name} without a value")
            found.append((known, value if equals else words.pop(0)))
        else:
            raise OptionError(f"{name} is no option of a requirements file that can be followed here")
    return found


def without_hashes(text: str) -> tuple[str, tuple[str, ...]]:
    """A requirement and its hashes, sorted: `--hash=sha256:...` behind it."""
    return _HASH.sub("", text).strip(), tuple(sorted(set(_HASH.findall(text))))


def asked_for(path: str, read: Callable[[str], bytes | None]) -> Asked:
    """Read `path` and what it includes; `read` gives the content of a file, None where there is none.

    Never raises: what cannot be read or understood is told in `unknown`.
    """
    wanted: list[Requirement] = []
    limits: list[Requirement] = []
    files: set[str] = set()
    waiting, unknown = [(path, False)], ""
    while waiting:
        name, is_limit = waiting.pop()
        if name in files:
            continue
        files.add(name)
        content = read(name)
        if content is None:
            unknown = unknown or f"there is no {name}"
            continue
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            unknown = unknown or f"{name} is not UTF-8"
            continue
        for entry in entries(text):
            try:
                if not entry.text.startswith("-"):
                    (limits if is_limit else wanted).append(Requirement(without_hashes(entry.text)[0]))
                    continue
                for option, value in options_of(entry.text):
                    if option in ("-r", "-c"):
                        included = posixpath.normpath(posixpath.join(posixpath.dirname(name), value))
                        waiting.append((included, is_limit or option == "-c"))
                    elif option not in ("--prefer-binary", "--only-binary", "--no-binary", "--require-hashes"):
                        raise OptionError(option)
            except (InvalidRequirement, OptionError):
                unknown = unknown or f"{name} says {entry.text[:80]!r}"
    names = frozenset(canonicalize_name(each.name) for each in (*wanted, *limits))
    return Asked(names, frozenset(files), unknown, tuple(wanted), tuple(limits))
