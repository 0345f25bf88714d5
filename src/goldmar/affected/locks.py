"""What a changed lock file means: which packages really differ, and whose environment they belong to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from packaging.utils import canonicalize_name

from goldmar.errors import ConfigError
from goldmar.locks import Lock, changes, closure, parse_lock, ways
from goldmar.packages import own

BESIDE = frozenset({"packaging", "pathspec", "requests", "rich", "tomli-w", "torch-model-archiver", "typer"})
"""What goldmar needs and no answer of a model depends on: it reads the command line and patterns, asks whether a server
is ready, prints, and writes provenance. Whatever else it needs serves models, or sends and compares answers."""


def needed(extra: str = "") -> frozenset[str]:
    """The names of what goldmar needs, for the base install or an extra."""
    return frozenset(canonicalize_name(each.name) for each in own(extra))


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
    def includes_goldmar(self) -> bool:
        """Whether goldmar itself is installed from this lock file: it, or all that it asks for, is pinned there."""
        all_of_it = needed() or {"goldmar"}
        return any("goldmar" in lock.forks or all_of_it <= lock.forks.keys() for lock in self._locks)

    def reached(self, roots: Iterable[str]) -> dict[str, str]:
        """The packages that differ and that come with `roots`: name -> the way from a root to it, in words.

        The words are empty for a root itself.
        """
        wanted = frozenset(roots)
        found: dict[str, str] = {}
        for lock in self._locks:
            for name, way in (ways(lock, wanted) or {}).items():
                if name in self.changed:
                    found.setdefault(name, " and ".join(way))
        return dict(sorted(found.items()))

    def only(self, roots: Iterable[str]) -> frozenset[str]:
        """The packages that come with `roots` and that, on both sides, nobody else needs.

        On one side would be too little: a change could write into its own notes that a package is a tool's.
        """
        wanted = frozenset(roots)
        others = [lock.forks.keys() - _own(lock, wanted) for lock in self._locks]
        return frozenset(self.changed).difference(*others)


def compare(path: str, old: bytes | None, new: bytes | None) -> Difference:
    """Compare two versions of a lock file; None where there was none.

    Versions, markers and hashes count, on whatever platform: the same version from another file may be another build.
    Comments, order and white space do not. What cannot be told is told in `everything`.
    """
    if old is None or new is None:
        return Difference(path, f"{path} is {'new' if old is None else 'gone'}")
    try:
        good, bad = (parse_lock(content.decode("utf-8-sig"), path) for content in (old, new))
    except UnicodeDecodeError:
        return Difference(path, f"{path} is not UTF-8")
    except ConfigError as error:
        return Difference(path, f"{path} cannot be read as a lock file: {error.what}")
    found = changes(good, bad, anywhere=True)
    # Names alone: the address of an index may hold a password.
    if options := [change.name for change in found if change.name.startswith("-")]:
        return Difference(path, f"{path} changed where packages come from: {', '.join(options)}")
    if foreign := [str(change) for change in found if change.name not in {*good.pins, *bad.pins}]:
        # A pin that this Python leaves out may be one that the models' Python takes.
        return Difference(path, f"{path} changed pins for another Python or system: {_listed(foreign)}")
    changed = {change.name: str(change) for change in found}
    if changed and (ways(good, ()) is None or ways(bad, ()) is None):
        why = f"{_listed(list(changed.values()))} in {path}, whose notes do not say who needs what"
        return Difference(path, why, changed)
    return Difference(path, "", changed, (good, bad))


def _own(lock: Lock, roots: frozenset[str]) -> frozenset[str]:
    """What `roots` bring with them, without what anybody else brings as well."""
    own = closure(lock, roots)
    # A constraint file (-c) needs nothing.
    needed_by = {
        name: {who for pin in lock.forks[name] for who in pin.via if not who.startswith("-c ")} for name in own - roots
    }
    while more := {name for name in own - roots if not needed_by[name] <= own}:
        own -= more
    return own


def _listed(words: list[str], at_most: int = 3) -> str:
    more = f" and {len(words) - at_most} more" if len(words) > at_most else ""
    return ", ".join(words[:at_most]) + more
