"""What a lock file pins: requirements with exact versions, as `pip-compile` and `uv pip compile` write them.

The notes `# via` behind a pin tell who needs it; from them the closure of a package is read without asking anybody.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name, canonicalize_version

from goldmar.errors import ConfigError

__all__ = ["Change", "Lock", "Pin", "changes", "closure", "mixed", "parse_lock", "read_lock"]

_COMMENT = re.compile(r"(?:^|\s)#(.*)$")  # as pip reads it: the # of a URL has no blank before it
_PER_REQUIREMENT = re.compile(r"\s--(?:hash|config-settings?|global-option)[=\s]\S+")
_INCLUDES = re.compile(r"(?:-r|-c|-e|--requirement|--constraint|--editable)(?:[=\s]|$)")
_LINK = re.compile(r"(?P<option>^(?:-f|--find-links|-i|--index-url|--extra-index-url)[=\s]\s*)(?P<place>(?!\S*://)\S+)")
_INDEX = re.compile(r"(?:-i|--index-url)(?=[=\s])")
_PACKAGE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?")
_EXACT = {"==", "==="}
_COMPILE = "uv pip compile requirements.in -o {where}, or pip-compile"


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of a lock file.

    `name` is canonical (PEP 503). `version` is as written, or `@ URL` of a direct reference. `line` is the whole
    requirement on one line: extras, marker and hashes included, notes not. `via` are those who need it: canonical names
    of packages, and as they are written the files and projects that ask for it (`-r requirements.in`,
    `goldmar (pyproject.toml)`); empty where the lock file has no note.
    """

    name: str
    version: str
    line: str
    via: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock file: canonical name -> pin, in the order of the file, and the option lines (`--index-url ...`)."""

    path: Path
    pins: Mapping[str, Pin]
    options: tuple[str, ...] = ()

    def anchored(self) -> tuple[str, ...]:
        """The options as they read from another folder: a path is relative to the lock file, as it is to pip."""
        return tuple(_LINK.sub(self._absolute, line) for line in self.options)

    def text(self) -> str:
        """A requirements file that pins the same, wherever it is written to."""
        return "".join(f"{line}\n" for line in (*self.anchored(), *(pin.line for pin in self.pins.values())))

    def _absolute(self, found: re.Match[str]) -> str:
        path = self.path.parent.absolute() / found["place"]
        return f"{found['option']}{path}" if path.exists() else found.group()


@dataclass(frozen=True, slots=True)
class Change:
    """One package that two lock files pin differently; None where one of them does not have it."""

    name: str
    old: str | None
    new: str | None


def read_lock(path: Path) -> Lock:
    """Read a lock file. Raises ConfigError where it cannot be read, or is none."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"The lock file {path} does not exist.", fix=f"Look for it: ls '{path.parent}'") from None
    except OSError as error:
        raise ConfigError(
            f"The lock file {path} could not be read: {error.strerror}.", fix=f"ls -l '{path}'"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"The lock file {path} is not UTF-8 (byte {error.start}).", fix="Save it as UTF-8") from error
    return parse_lock(text, path)


def parse_lock(text: str, where: Path | str) -> Lock:
    """Read the text of a lock file; `where` is its name in messages.

    A pin whose marker does not hold for the Python that runs this is left out: it is not installed here either.
    Raises ConfigError for a line that is no requirement, or does not pin an exact version, or includes another file;
    for a package pinned twice; and where nothing is pinned.
    """
    pins: dict[str, Pin] = {}
    options: list[str] = []
    for number, line, notes in _entries(text):
        if line.startswith("-"):
            options.append(_option(line, where, number))
            continue
        pin = _pin(line, notes, where, number)
        if pin is None:
            continue
        other = pins.setdefault(pin.name, pin)
        if not _same(other.version, pin.version):
            raise ConfigError(
                f"{where}, line {number}: {pin.name} is pinned to {other.version} and to {pin.version}.",
                fix="Leave one of them, or give them markers that exclude each other",
            )
    if not pins:
        raise ConfigError(f"{where} pins nothing.", fix=f"Make a lock file: {_COMPILE.format(where=where)}")
    return Lock(Path(where), pins, tuple(options))


def changes(good: Lock, bad: Lock) -> tuple[Change, ...]:
    """What differs between the two, sorted by name. 1.0 and 1.0.0 are the same version, as they are to pip."""
    found = []
    for name in sorted({*good.pins, *bad.pins}):
        old, new = (lock.pins[name].version if name in lock.pins else None for lock in (good, bad))
        if old is None or new is None or not _same(old, new):
            found.append(Change(name, old, new))
    return tuple(found)


def closure(lock: Lock, roots: Iterable[str]) -> frozenset[str] | None:
    """The packages that `roots` bring with them, themselves included, as far as the lock pins them.

    Read from the `# via` notes. None where a pin carries no note: what it is needed for cannot be told then.
    """
    if not all(pin.via for pin in lock.pins.values()):
        return None
    needed: dict[str, set[str]] = {}
    for pin in lock.pins.values():
        for parent in pin.via:
            needed.setdefault(parent, set()).add(pin.name)
    found: set[str] = set()
    waiting: list[str] = [canonicalize_name(root) for root in roots]
    while waiting:
        name = waiting.pop()
        if name in lock.pins and name not in found:
            found.add(name)
            waiting += needed.get(name, ())
    return frozenset(found)


def mixed(good: Lock, bad: Lock, taken: Iterable[str]) -> Lock:
    """`good` with the packages `taken` as `bad` has them: another version, added or gone.

    Packages are looked for wherever one of the two looks: of two indexes the second is an extra one.
    """
    pins = dict(good.pins)
    for name in taken:
        pins.pop(name, None)
        if name in bad.pins:
            pins[name] = bad.pins[name]
    options, more = list(dict.fromkeys(good.anchored())), bad.anchored()
    if any(_INDEX.match(line) for line in options):
        more = tuple(line if line in options else _INDEX.sub("--extra-index-url", line) for line in more)
    return Lock(good.path, dict(sorted(pins.items())), tuple(dict.fromkeys((*options, *more))))


def _entries(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """Line number, requirement or option on one line, and the comments behind and below it."""
    entry: tuple[int, str, list[str]] | None = None
    continued = False
    for number, raw in enumerate(text.splitlines(), 1):
        comment = _COMMENT.search(raw)
        line = (raw[: comment.start()] if comment else raw).strip()
        more = line.endswith("\\")
        line = line.removesuffix("\\").strip()
        if continued and entry is not None:
            entry = (entry[0], f"{entry[1]} {line}".strip(), entry[2])
        elif line:
            if entry is not None:
                yield entry
            entry = (number, line, [])
        if entry is not None and comment:
            if raw.startswith("#"):  # a heading: the notes of a pin are indented
                yield entry
                entry = None
            else:
                entry[2].append(comment.group(1))
        continued = more and entry is not None
    if entry is not None:
        yield entry


def _option(line: str, where: Path | str, number: int) -> str:
    if _INCLUDES.match(line):
        raise ConfigError(
            f"{where}, line {number}: {_shown(line)!r} makes it no lock file of its own.",
            fix=f"Write all pins into one file: {_COMPILE.format(where=where)}",
        )
    return line


def _pin(line: str, notes: list[str], where: Path | str, number: int) -> Pin | None:
    """None where the marker does not hold here."""
    try:
        requirement = Requirement(_PER_REQUIREMENT.sub("", f"{line} ").strip())
    except InvalidRequirement as error:
        raise ConfigError(
            f"{where}, line {number}: {_shown(line)!r} is no requirement.",
            fix=f"Write NAME==VERSION, or make the file anew: {_COMPILE.format(where=where)}",
        ) from error
    if requirement.url:
        version = f"@ {_shown(requirement.url)}"
    else:
        exact = [s.version for s in requirement.specifier if s.operator in _EXACT and not s.version.endswith(".*")]
        if len(requirement.specifier) != 1 or not exact:
            raise ConfigError(
                f"{where}, line {number}: {requirement} does not pin one exact version.",
                fix=f"Resolve it: {_COMPILE.format(where=where)}",
            )
        version = exact[0]
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    return Pin(canonicalize_name(requirement.name), version, " ".join(line.split()), tuple(_via(notes)))


def _via(notes: Iterable[str]) -> Iterator[str]:
    """Who is named behind `via`, on one line or one a line; `# from INDEX` and what else there is are left out."""
    listing = False
    for note in notes:
        said = note.strip()
        if said == "via" or said.startswith("via "):
            listing, said = True, said[3:].strip()
        elif not note.startswith("   "):  # a list is indented by three: "#   numpy"
            listing = False
        if listing and said:
            yield from (_who(each.strip()) for each in said.split(",") if each.strip())


def _who(said: str) -> str:
    package = _PACKAGE.fullmatch(said)
    return canonicalize_name(package.group(1)) if package else said


def _shown(text: str) -> str:
    """Without the user name and password of a URL: messages and reports are for everybody's eyes."""
    return re.sub(r"://[^/@\s]*@", "://", text)


def _same(old: str, new: str) -> bool:
    return canonicalize_version(old) == canonicalize_version(new)
