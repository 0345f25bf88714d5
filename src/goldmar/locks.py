"""What a lock file pins: requirements with exact versions, as `pip-compile` and `uv pip compile` write them.

The notes `# via` behind a pin tell who needs it; from them the closure of a package is read without asking anybody.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name, canonicalize_version

from goldmar.errors import ConfigError
from goldmar.requirements import Entry, OptionError, entries, options_of, without_hashes

__all__ = [
    "Change",
    "Lock",
    "Pin",
    "changes",
    "closure",
    "elsewhere",
    "held_back",
    "mixed",
    "named_code",
    "parse_lock",
    "read_lock",
]

_PER_REQUIREMENT = re.compile(r"(?:^|\s)--?(?!hash\b)[A-Za-z]")
_DIGEST = re.compile(r"[a-z0-9]+:[0-9A-Fa-f]+")
_VARIABLE = re.compile(r"\$\{[A-Z0-9_]+\}")
_PACKAGE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?")
_EXACT = {"==", "==="}
_COMPILE = "uv pip compile requirements.in -o {where}, or pip-compile"

# Options that name nobody's code and leave less to choose from.
_NARROWING = {"--no-index", "--only-binary", "--prefer-binary", "--require-hashes"}
_PLACES = {"--index-url", "--extra-index-url", "--find-links"}


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of a lock file.

    `name` is canonical (PEP 503). `version` is as written, or `@ URL` of a direct reference, without a password.
    `line` is the whole requirement on one line: extras, marker and hashes included, notes not. `via` are those who need
    it: canonical names of packages, and as they are written the files and projects that ask for it
    (`-r requirements.in`, `goldmar (pyproject.toml)`); empty where the lock file has no note. `lines` is where it
    stands in the file, notes included, from 0.
    """

    name: str
    version: str
    line: str
    via: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    marker: str = ""
    hashes: tuple[str, ...] = ()
    lines: tuple[int, int] = field(default=(0, 0), compare=False)

    @property
    def is_release(self) -> bool:
        """A version of an index, and not a file or a folder of its own."""
        return not self.version.startswith("@")

    def pinned(self) -> tuple[object, ...]:
        """What tells two pins of a package apart: all of the requirement, however it is written."""
        line = without_hashes(self.line)[0]
        return canonicalize_version(self.version), self.extras, self.marker, self.hashes, not self.is_release and line


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock file: canonical name -> pin, in the order of the file, and the option lines (`--index-url ...`).

    `pins` are those whose markers hold for the Python that runs this; `forks` has for each package all of its pins,
    those for other platforms and Pythons included. `trusted` says that whatever it names may be run.
    """

    path: Path
    pins: Mapping[str, Pin]
    options: tuple[str, ...] = ()
    forks: Mapping[str, tuple[Pin, ...]] = field(default_factory=dict)
    option_lines: tuple[tuple[int, int], ...] = field(default=(), compare=False)
    trusted: bool = False

    def anchored(self) -> tuple[str, ...]:
        """The options as they read from another folder: a path is relative to the lock file, as it is to pip."""
        return tuple(self._absolute(line) for line in self.options)

    def text(self) -> str:
        """A requirements file that pins the same, wherever it is written to."""
        return "".join(f"{line}\n" for line in (*self.anchored(), *(pin.line for pin in self.pins.values())))

    def by_option(self) -> dict[str, tuple[str, ...]]:
        """The option lines by their option, in the order of the file."""
        found: dict[str, tuple[str, ...]] = {}
        for line in self.anchored():
            name = line.partition(" ")[0]
            found[name] = (*found.get(name, ()), line)
        return found

    def _absolute(self, line: str) -> str:
        option, _, place = line.partition(" ")
        if option not in _PLACES or "://" in place:
            return line
        path = self.path.parent.absolute() / place
        return f"{option} {path}" if path.exists() else line


@dataclass(frozen=True, slots=True)
class Change:
    """What two lock files have differently: a package, or an option. None where one of them does not have it."""

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

    A pin whose marker does not hold for the Python that runs this is no pin of this machine, and kept as a fork.
    Raises ConfigError for a line that is no requirement, or does not pin an exact version, or includes another file;
    for an option that cannot be followed; for a package pinned twice; and where nothing is pinned.
    """
    pins: dict[str, Pin] = {}
    forks: dict[str, tuple[Pin, ...]] = {}
    options: list[str] = []
    option_lines: list[tuple[int, int]] = []
    for entry in entries(text):
        if not entry.text.replace("\t", " ").isprintable():
            raise ConfigError(
                f"{where}, line {entry.number}: {ascii(entry.text)[:80]} holds what cannot be printed.",
                fix=f"Make the file anew: {_COMPILE.format(where=where)}",
            )
        if entry.text.startswith("-"):
            for line in _options(entry, where):
                options.append(line)
                option_lines.append((entry.first, entry.end))
            continue
        pin, holds = _pin(entry, where)
        forks[pin.name] = (*forks.get(pin.name, ()), pin)
        if not holds:
            continue
        other = pins.setdefault(pin.name, pin)
        if other.pinned() != pin.pinned():
            same = _same(other.version, pin.version)
            twice = "in two ways" if same else f"to {other.version} and to {pin.version}"
            raise ConfigError(
                f"{where}, line {entry.number}: {pin.name} is pinned {twice}.",
                fix="Leave one of them, or give them markers that exclude each other",
            )
    if not pins:
        raise ConfigError(f"{where} pins nothing.", fix=f"Make a lock file: {_COMPILE.format(where=where)}")
    return Lock(Path(where), pins, tuple(options), forks, tuple(option_lines))


# ---- what differs ---------------------------------------------------------------------------------------------------


def changes(good: Lock, bad: Lock) -> tuple[Change, ...]:
    """All that differs between the two on this machine, sorted by name: packages, and options as `--index-url`.

    1.0 and 1.0.0 are the same version, as they are to pip. Of the same version extras, hashes, markers and the file of
    a direct reference count as well; `old` and `new` say then what it is.
    """
    found = []
    for name in sorted({*good.pins, *bad.pins}):
        old, new = good.pins.get(name), bad.pins.get(name)
        if old is None or new is None:
            found.append(Change(name, old.version if old else None, new.version if new else None))
        elif old.pinned() != new.pinned():
            found.append(Change(name, *_versions(old, new)))
    ours, theirs = good.by_option(), bad.by_option()
    for name in {*ours, *theirs}:
        if ours.get(name) != theirs.get(name):
            found.append(Change(name, _values(ours.get(name)), _values(theirs.get(name))))
    return tuple(sorted(found, key=lambda change: change.name))


def elsewhere(good: Lock, bad: Lock) -> tuple[str, ...]:
    """Pins that differ and whose markers hold on other platforms or Pythons alone: here none of them is installed."""
    found = []
    for name in sorted({*good.forks, *bad.forks}):
        old, new = ({pin.pinned(): pin for pin in lock.forks.get(name, ())} for lock in (good, bad))
        differing = [pin for key, pin in [*old.items(), *new.items()] if (key in old) is not (key in new)]
        here = {lock.pins[name].pinned() for lock in (good, bad) if name in lock.pins}
        found += [shown(without_hashes(pin.line)[0]) for pin in differing if pin.pinned() not in here]
    return tuple(dict.fromkeys(found))


def _versions(old: Pin, new: Pin) -> tuple[str, str]:
    """What differs between two pins, in words: the versions, and what else where those are the same."""
    if not _same(old.version, new.version):
        return old.version, new.version
    words: tuple[list[str], list[str]] = ([], [])
    for pin, said in zip((old, new), words, strict=True):
        if old.extras != new.extras:
            said.append(f"with [{','.join(pin.extras)}]" if pin.extras else "without extras")
        if old.hashes != new.hashes:
            first = pin.hashes[0].partition(":")[2][:12] if pin.hashes else ""
            more = f" and {len(pin.hashes) - 1} more" if len(pin.hashes) > 1 else ""
            said.append(f"with hash {first}{more}" if first else "without hashes")
        if old.marker != new.marker:
            said.append(f"where {pin.marker}" if pin.marker else "without a marker")
    before, after = (" ".join((pin.version, *said)) for pin, said in zip((old, new), words, strict=True))
    return (before, after) if before != after else (before, f"{after} written otherwise")


def _values(lines: Sequence[str] | None) -> str | None:
    """An option of a lock file, without its name."""
    if lines is None:
        return None
    return ", ".join(shown(line.partition(" ")[2]) or "on" for line in lines)


def closure(lock: Lock, roots: Iterable[str]) -> frozenset[str] | None:
    """The packages that `roots` bring with them on any platform, themselves included, as far as the lock pins them.

    Read from the `# via` notes. None where a pin carries no note: what it is needed for cannot be told then.
    """
    if not all(pin.via for pins in lock.forks.values() for pin in pins):
        return None
    needed: dict[str, set[str]] = {}
    for pins in lock.forks.values():
        for pin in pins:
            for parent in pin.via:
                needed.setdefault(parent, set()).add(pin.name)
    found: set[str] = set()
    waiting: list[str] = [canonicalize_name(root) for root in roots]
    while waiting:
        name = waiting.pop()
        if name in lock.forks and name not in found:
            found.add(name)
            waiting += needed.get(name, ())
    return frozenset(found)


def mixed(good: Lock, bad: Lock, taken: Iterable[str]) -> Lock:
    """`good` with the packages and options `taken` as `bad` has them: other, added or gone."""
    wanted = frozenset(taken)
    pins = {name: pin for name, pin in good.pins.items() if name not in wanted}
    pins |= {name: pin for name, pin in bad.pins.items() if name in wanted}
    ours, theirs = good.by_option(), bad.by_option()
    options = [line for name in {**ours, **theirs} for line in (theirs if name in wanted else ours).get(name, ())]
    trusted = good.trusted and bad.trusted
    return Lock(
        good.path, dict(sorted(pins.items())), tuple(options), {n: (p,) for n, p in pins.items()}, trusted=trusted
    )


def held_back(good: str, bad: str, names: Collection[str], where: Path) -> str:
    """The text of `bad` with the packages and options `names` as `good` has them, and all else to the letter."""
    ours, theirs = (_blocks(text, where, names) for text in (good, bad))
    lines = bad.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    kept: list[str] = []
    there = {start: name for name, blocks in theirs.items() for start, _ in blocks}
    dropped = {at for blocks in theirs.values() for start, end in blocks for at in range(start, end)}
    original, done = good.splitlines(keepends=True), set()

    def put(name: str) -> None:
        if name not in done:
            done.add(name)
            block = [line for start, end in ours.get(name, ()) for line in original[start:end]]
            kept.extend(line if line.endswith("\n") else f"{line}\n" for line in block)

    for at, line in enumerate(lines):
        if at in there:
            put(there[at])
        if at not in dropped:
            kept.append(line)
    tail, kept = kept, []
    for name in sorted(set(names) - done):
        put(name)
    options = [line for line in kept if line.startswith("-")]
    return "".join((*options, *tail, *kept[len(options) :]))


def _blocks(text: str, where: Path, names: Collection[str]) -> dict[str, list[tuple[int, int]]]:
    """Where packages and options stand in a lock file, by name."""
    lock = parse_lock(text, where)
    found: dict[str, list[tuple[int, int]]] = {}
    for pins in lock.forks.values():
        for pin in pins:
            if pin.name in names:
                found.setdefault(pin.name, []).append(pin.lines)
    for line, lines in zip(lock.options, lock.option_lines, strict=True):
        if (name := line.partition(" ")[0]) in names:
            found.setdefault(name, []).append(lines)
    return found


# ---- what code is named ---------------------------------------------------------------------------------------------


def named_code(lock: Lock, places: Collection[str]) -> list[str]:
    """What a lock file would run besides pinned releases of the indexes `places`, each in words; empty where nothing.

    `places` are the addresses and folders that this machine is set up with, letter by letter.
    """
    known = {place.rstrip("/") for place in places}
    found = [f"{shown(pin.line)}: a file or folder of its own" for pin in lock.pins.values() if not pin.is_release]
    for line in lock.anchored():
        option, _, value = line.partition(" ")
        if option in _PLACES:
            if value.rstrip("/") not in known:
                found.append(f"{shown(line)}: not among the indexes and folders that this machine is set up with")
        elif option == "--no-binary":
            found.append(f"{shown(line)}: building a package runs its code")
        elif option not in _NARROWING:
            found.append(f"{shown(line)}: it lets other files in than pinned releases")
    return found


# ---- reading --------------------------------------------------------------------------------------------------------


def _options(entry: Entry, where: Path | str) -> Iterator[str]:
    """Each option of a line on a line of its own, by its long name."""
    try:
        found = options_of(entry.text)
    except OptionError as error:
        raise ConfigError(
            f"{where}, line {entry.number}: {shown(entry.text)!r}: {error}.",
            fix=f"Take it out, or make the file anew: {_COMPILE.format(where=where)}",
        ) from error
    for name, value in found:
        if not name.startswith("--"):
            raise ConfigError(
                f"{where}, line {entry.number}: {shown(entry.text)!r} makes it no lock file of its own.",
                fix=f"Write all pins into one file: {_COMPILE.format(where=where)}",
            )
        yield f"{name} {value}".rstrip()


def _pin(entry: Entry, where: Path | str) -> tuple[Pin, bool]:
    """The pin of a line, and whether its marker holds here."""
    line, hashes = without_hashes(entry.text)
    try:
        if _PER_REQUIREMENT.search(line) or not all(map(_DIGEST.fullmatch, hashes)):
            raise InvalidRequirement("an option")
        requirement = Requirement(line)
    except InvalidRequirement as error:
        raise ConfigError(
            f"{where}, line {entry.number}: {shown(entry.text)!r} is no requirement.",
            fix=f"Write NAME==VERSION, or make the file anew: {_COMPILE.format(where=where)}",
        ) from error
    if requirement.url:
        version = f"@ {shown(requirement.url)}"
    else:
        exact = [s.version for s in requirement.specifier if s.operator in _EXACT and not s.version.endswith(".*")]
        if len(requirement.specifier) != 1 or not exact:
            raise ConfigError(
                f"{where}, line {entry.number}: {requirement} does not pin one exact version.",
                fix=f"Resolve it: {_COMPILE.format(where=where)}",
            )
        version = exact[0]
    try:
        holds = requirement.marker is None or requirement.marker.evaluate()
    except (UndefinedComparison, UndefinedEnvironmentName) as error:
        raise ConfigError(
            f"{where}, line {entry.number}: the marker of {requirement.name} cannot be told: {error}.",
            fix=f"Make the file anew: {_COMPILE.format(where=where)}",
        ) from error
    pin = Pin(
        canonicalize_name(requirement.name),
        version,
        " ".join(entry.text.split()),
        tuple(_via(entry.notes)),
        tuple(sorted(requirement.extras)),
        "" if requirement.marker is None else str(requirement.marker),
        hashes,
        (entry.first, entry.end),
    )
    return pin, holds


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


def shown(text: str) -> str:
    """Without the user name and password of a URL: messages and reports are for everybody's eyes."""
    return re.sub(r"://[^/\s]*@", "://", text)


def _same(old: str, new: str) -> bool:
    return canonicalize_version(old) == canonicalize_version(new)
