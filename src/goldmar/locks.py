"""What a lock file pins: requirements with exact versions, as `pip-compile` and `uv pip compile` write them.

The notes `# via` behind a pin tell who needs it; from them the closure of a package is read without asking anybody.
"""

import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, canonicalize_version

from goldmar.errors import ConfigError
from goldmar.requirements import Line, Option, lines, without_password

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
    "ways",
]

_PACKAGE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?")
_EXACT = {"==", "==="}
_COMPILE = "uv pip compile requirements.in -o {where}, or pip-compile"

# Options that name nobody's code and leave less to choose from.
_NARROWING = {"--no-index", "--only-binary", "--prefer-binary", "--require-hashes"}
_PLACES = {"--index-url", "--extra-index-url", "--find-links"}


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of a lock file.

    `name` is canonical (PEP 503). `version` is as written, or `@ URL` of a direct reference, without a password; `url`
    is that reference as it is. `requirement` is the whole on one line, with extras and marker and without hashes, and
    `line` has those, too. `via` are those who need it: canonical names of packages, and as they are written the files
    and projects that ask for it (`-r requirements.in`, `goldmar (pyproject.toml)`); empty where the lock file has no
    note.
    """

    name: str
    version: str
    requirement: str
    via: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    marker: str = ""
    hashes: tuple[str, ...] = ()
    url: str = ""

    @property
    def line(self) -> str:
        """What installs it."""
        return " ".join((self.requirement, *(f"--hash={each}" for each in self.hashes)))

    @property
    def key(self) -> tuple[object, ...]:
        """What tells two pins of a package apart: all of the requirement, however it is written."""
        return canonicalize_version(self.version), self.extras, self.marker, self.hashes, self.url


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock file: canonical name -> pin, in the order of the file, and the options (`--index-url ...`).

    `pins` are those whose markers hold for the Python that runs this; `forks` has for each package all of its pins,
    those for other platforms and Pythons included. `trusted` says that whatever it names may be run.
    """

    path: Path
    pins: Mapping[str, Pin]
    options: tuple[Option, ...] = ()
    forks: Mapping[str, tuple[Pin, ...]] = field(default_factory=dict)
    trusted: bool = False

    def anchored(self) -> tuple[Option, ...]:
        """The options as they read from another folder: a path is relative to the lock file, as it is to pip."""
        return tuple(self._absolute(option) for option in self.options)

    def text(self) -> str:
        """A requirements file that pins the same, wherever it is written to."""
        return "".join(f"{line}\n" for line in (*self.anchored(), *(pin.line for pin in self.pins.values())))

    def by_option(self) -> dict[str, tuple[Option, ...]]:
        """The options by their name, in the order of the file."""
        found: dict[str, tuple[Option, ...]] = {}
        for option in self.anchored():
            found[option.name] = (*found.get(option.name, ()), option)
        return found

    def _absolute(self, option: Option) -> Option:
        if option.name not in _PLACES or "://" in option.value:
            return option
        path = self.path.parent.absolute() / option.value
        return Option(option.name, str(path)) if path.exists() else option


@dataclass(frozen=True, slots=True)
class Change:
    """What two lock files have differently: a package, or an option. None where one of them does not have it."""

    name: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        return f"{self.name} {self.old or 'none'} -> {self.new or 'none'}"


# ---- reading --------------------------------------------------------------------------------------------------------


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
    options: list[Option] = []
    anew = f"make the file anew: {_COMPILE.format(where=where)}"

    def refused(line: Line, what: str, fix: str = "Write NAME==VERSION, or ") -> ConfigError:
        return ConfigError(f"{where}, line {line.first + 1}: {what}.", fix=f"{fix}{anew}" if fix.endswith(" ") else fix)

    for line in lines(text):
        said = repr(without_password(line.text))
        if line.problem:
            raise refused(line, f"{said} {line.problem}")
        if any(option.name in ("-r", "-c", "-e") for option in line.options):
            raise refused(line, f"{said} makes it no lock file of its own", "Write all pins into one file, or ")
        options += line.options
        if line.requirement is None:
            continue
        try:
            pin = _pin(line, line.requirement)
            holds = line.requirement.marker is None or line.requirement.marker.evaluate()
        except (UndefinedComparison, UndefinedEnvironmentName) as error:
            raise refused(line, f"the marker of {line.requirement.name} cannot be told: {error}") from error
        except ValueError:
            raise refused(line, f"{line.requirement} does not pin one exact version", "Resolve it, or ") from None
        forks[pin.name] = (*forks.get(pin.name, ()), pin)
        other = pins.setdefault(pin.name, pin) if holds else pin
        if other.key != pin.key:
            same = other.key[0] == pin.key[0]
            twice = "in two ways" if same else f"to {other.version} and to {pin.version}"
            fix = "Leave one of them, or give them markers that exclude each other"
            raise refused(line, f"{pin.name} is pinned {twice}", fix)
    if not pins:
        raise ConfigError(f"{where} pins nothing.", fix=f"Make a lock file: {_COMPILE.format(where=where)}")
    return Lock(Path(where), pins, tuple(options), forks)


def _pin(line: Line, requirement: Requirement) -> Pin:
    """Raises ValueError where it does not pin one exact version."""
    if requirement.url:
        version = f"@ {without_password(requirement.url)}"
    else:
        (version,) = (each.version for each in requirement.specifier if each.operator in _EXACT)
        if len(requirement.specifier) != 1 or version.endswith(".*"):
            raise ValueError
    return Pin(
        canonicalize_name(requirement.name),
        version,
        " ".join(line.bare.split()),
        tuple(_via(line.notes)),
        tuple(sorted(requirement.extras)),
        "" if requirement.marker is None else str(requirement.marker),
        line.hashes,
        requirement.url or "",
    )


def _via(notes: Iterable[str]) -> Iterator[str]:
    """Who is named behind `via`, on one line or one a line; `# from INDEX` and what else there is are left out."""
    listing = False
    for note in notes:
        said = note.strip()
        if said == "via" or said.startswith("via "):
            listing, said = True, said[3:].strip()
        elif not note.startswith("   "):  # a list is indented by three: "#   numpy"
            listing = False
        for who in filter(None, map(str.strip, said.split(",") if listing else ())):
            package = _PACKAGE.fullmatch(who)
            yield canonicalize_name(package.group(1)) if package else who


# ---- what differs ---------------------------------------------------------------------------------------------------


def changes(good: Lock, bad: Lock, *, anywhere: bool = False) -> tuple[Change, ...]:
    """All that differs between the two, sorted by name: packages, and options as `--index-url`.

    Packages on this machine; `anywhere` those for all platforms and Pythons. 1.0 and 1.0.0 are the same version, as
    they are to pip. Of the same version extras, hashes, markers and the file of a direct reference count as well;
    `old` and `new` say then what it is.
    """
    old, new = (lock.forks if anywhere else {n: (p,) for n, p in lock.pins.items()} for lock in (good, bad))
    found = [
        Change(name, *_words(old.get(name, ()), new.get(name, ())))
        for name in {*old, *new}
        if {pin.key for pin in old.get(name, ())} != {pin.key for pin in new.get(name, ())}
    ]
    ours, theirs = good.by_option(), bad.by_option()
    found += [
        Change(name, _values(ours.get(name)), _values(theirs.get(name)))
        for name in {*ours, *theirs}
        if ours.get(name) != theirs.get(name)
    ]
    return tuple(sorted(found, key=lambda change: change.name))


def elsewhere(good: Lock, bad: Lock) -> tuple[str, ...]:
    """Pins that differ and whose markers hold on other platforms or Pythons alone: here none of them is installed."""
    found = []
    for name in sorted({*good.forks, *bad.forks}):
        here = {lock.pins[name].key for lock in (good, bad) if name in lock.pins}
        old, new = good.forks.get(name, ()), bad.forks.get(name, ())
        differing = _apart(old, new) + _apart(new, old)
        found += [without_password(pin.requirement) for pin in differing if pin.key not in here]
    return tuple(dict.fromkeys(found))


def _apart(pins: Sequence[Pin], others: Sequence[Pin]) -> list[Pin]:
    """Those of `pins` that are not among the others."""
    return [pin for pin in pins if pin.key not in {other.key for other in others}]


def _words(old: Sequence[Pin], new: Sequence[Pin]) -> tuple[str | None, str | None]:
    """What differs between the pins of a package, in words: the versions, and what else where those are the same."""
    if len(old) != 1 or len(new) != 1:
        sides = (_apart(old, new), _apart(new, old))
        before, after = (
            ", ".join(f"{pin.version} where {pin.marker}" if pin.marker else pin.version for pin in pins) or None
            for pins in sides
        )
        return before, after
    (was,), (now,) = old, new
    if was.key[0] != now.key[0]:
        return was.version, now.version
    words: tuple[list[str], list[str]] = ([was.version], [now.version])
    for pin, said in zip((was, now), words, strict=True):
        if was.extras != now.extras:
            said.append(f"with [{','.join(pin.extras)}]" if pin.extras else "without extras")
        if was.hashes != now.hashes:
            first = pin.hashes[0].partition(":")[2][:12] if pin.hashes else ""
            more = f" and {len(pin.hashes) - 1} more" if len(pin.hashes) > 1 else ""
            said.append(f"with hash {first}{more}" if first else "without hashes")
        if was.marker != now.marker:
            said.append(f"where {pin.marker}" if pin.marker else "without a marker")
    before, after = map(" ".join, words)
    return (before, after) if before != after else (before, f"{after} written otherwise")


def _values(options: Sequence[Option] | None) -> str | None:
    """An option of a lock file, without its name."""
    return None if options is None else ", ".join(without_password(option.value) or "on" for option in options)


# ---- who needs what -------------------------------------------------------------------------------------------------


def ways(lock: Lock, roots: Iterable[str]) -> dict[str, tuple[str, ...]] | None:
    """What `roots` bring with them on any platform, themselves included: each with a shortest way to it from a root.

    Read from the `# via` notes, as far as the lock pins it. The way of a root is empty, that of others begins with one.
    None where a pin carries no note: what it is needed for cannot be told then.
    """
    needed: dict[str, list[str]] = {}
    for pin in (pin for pins in lock.forks.values() for pin in pins):
        if not pin.via:
            return None
        for parent in pin.via:
            needed.setdefault(parent, []).append(pin.name)
    begun = lock.forks.keys() & set(map(canonicalize_name, roots))
    found: dict[str, tuple[str, ...]] = dict.fromkeys(sorted(begun), ())
    waiting = deque(found)
    while waiting:
        name = waiting.popleft()
        for child in needed.get(name, ()):
            if child not in found:
                found[child] = (*found[name], name)
                waiting.append(child)
    return found


def closure(lock: Lock, roots: Iterable[str]) -> frozenset[str]:
    """The names that `ways` finds; none where it cannot tell."""
    return frozenset(ways(lock, roots) or ())


# ---- mixes ----------------------------------------------------------------------------------------------------------


def mixed(good: Lock, bad: Lock, taken: Iterable[str]) -> Lock:
    """`good` with the packages and options `taken` as `bad` has them: other, added or gone."""
    wanted = frozenset(taken)
    pins = {name: pin for name, pin in good.pins.items() if name not in wanted}
    pins |= {name: pin for name, pin in bad.pins.items() if name in wanted}
    ours, theirs = good.by_option(), bad.by_option()
    options = [each for name in {**ours, **theirs} for each in (theirs if name in wanted else ours).get(name, ())]
    forks = {name: (pin,) for name, pin in pins.items()}
    return Lock(good.path, dict(sorted(pins.items())), tuple(options), forks, trusted=good.trusted and bad.trusted)


def held_back(good: str, bad: str, names: Collection[str]) -> str:
    """The text of `bad` with the packages and options `names` as `good` has them, and all else to the letter."""
    ours, theirs = (_places(text, names) for text in (good, bad))
    original, text = good.splitlines(keepends=True), bad.splitlines(keepends=True)
    if text and not text[-1].endswith("\n"):
        text[-1] += "\n"
    blocks = {
        name: [f"{line.removesuffix(chr(10))}\n" for start, end in places for line in original[start:end]]
        for name, places in ours.items()
    }
    there = {start: name for name, places in theirs.items() for start, _ in places}
    dropped = {at for places in theirs.values() for start, end in places for at in range(start, end)}
    kept: list[str] = []
    for at, line in enumerate(text):
        kept += blocks.pop(there.get(at, ""), ())
        kept += () if at in dropped else (line,)
    left = [line for name in sorted(blocks) for line in blocks[name]]
    options = [line for line in left if line.startswith("-")]
    return "".join((*options, *kept, *left[len(options) :]))


def _places(text: str, names: Collection[str]) -> dict[str, list[tuple[int, int]]]:
    """The lines of packages and options in a lock file, by name."""
    found: dict[str, list[tuple[int, int]]] = {}
    for line in lines(text):
        name = line.requirement and canonicalize_name(line.requirement.name)
        for each in (name,) if name else (option.name for option in line.options):
            if each in names:
                found.setdefault(each, []).append((line.first, line.end))
    return found


# ---- what code is named ---------------------------------------------------------------------------------------------


def named_code(lock: Lock, places: Collection[str]) -> list[str]:
    """What a lock file would run besides pinned releases of the indexes `places`, each in words; empty where nothing.

    `places` are the addresses and folders that this machine is set up with, letter by letter.
    """
    known = {place.rstrip("/") for place in places}
    found = [f"{without_password(pin.line)}: a file or folder of its own" for pin in lock.pins.values() if pin.url]
    for option in lock.anchored():
        said = without_password(str(option))
        if option.name in _PLACES:
            if option.value.rstrip("/") not in known:
                found.append(f"{said}: not among the indexes and folders that this machine is set up with")
        elif option.name == "--no-binary":
            found.append(f"{said}: building a package runs its code")
        elif option.name not in _NARROWING:
            found.append(f"{said}: it lets other files in than pinned releases")
    return found
