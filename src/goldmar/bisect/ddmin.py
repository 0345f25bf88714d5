"""Delta debugging: the smallest part of a set of changes that still shows a failure.

The algorithm ddmin of Andreas Zeller and Ralf Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE
Transactions on Software Engineering 28(2), 2002, section 3, with two additions that save tests. A part of something
that passed is assumed to pass until the end, when the result is proved with real tests. And changes that cannot be made
without others (`needs`) are made or left out together with them.
"""

import itertools
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Outcome(Enum):
    """What a test of some of the changes shows."""

    PASS = "pass"  # noqa: S105 -- no password
    FAIL = "fail"  # the failure that is looked for
    UNRESOLVED = "unresolved"  # another failure, or a set of changes that cannot be tested


Test = Callable[[frozenset[T]], Outcome]


@dataclass(frozen=True, slots=True)
class Culprit(Generic[T]):
    """Changes that fail together, in the order in which they were given.

    `without` has for each of them the largest part that was tested without it, and what that showed: never a failure,
    so that no single one can be left out (1-minimality). The part is None where the others cannot be made without it.
    """

    changes: tuple[T, ...]
    without: Mapping[T, tuple[frozenset[T], Outcome] | None]


class Search(Generic[T]):
    """Calls `test` once for each set of changes, and never for one that `needs` rules out.

    Args:
        test: says what a set of changes shows.
        needs: change -> the changes that it cannot be made without, in any number of steps.
    """

    def __init__(self, test: Test[T], needs: Mapping[T, frozenset[T]] | None = None) -> None:
        self._test = test
        self._needs = _closed(needs or {})
        self._known: dict[frozenset[T], Outcome] = {}

    def outcome(self, changes: frozenset[T]) -> Outcome:
        if changes not in self._known:
            self._known[changes] = self._test(changes)
        return self._known[changes]

    def grown(self, changes: frozenset[T]) -> frozenset[T]:
        """The changes with all that they need."""
        return changes.union(*(self._needs.get(change, frozenset()) for change in changes))

    def shrunk(self, changes: frozenset[T]) -> frozenset[T]:
        """The changes without those that need something outside of them."""
        return frozenset(change for change in changes if self._needs.get(change, frozenset()) <= changes)

    def ddmin(self, changes: Sequence[T]) -> Culprit[T]:
        """A part of `changes`, which fail, that fails as well and of which no single change can be left out."""
        current, parts = tuple(changes), 2
        while len(current) > 1:
            smaller, is_part = self._smaller(current, min(parts, len(current)))
            if smaller is not None:
                current = tuple(change for change in current if change in smaller)
                parts = 2 if is_part else max(parts - 1, 2)
            elif parts < len(current):
                parts *= 2
            else:
                break
        without: dict[T, tuple[frozenset[T], Outcome] | None] = {}
        for change in current:
            rest = self.shrunk(frozenset(current) - {change})
            if not rest and len(current) > 1:
                without[change] = None
                continue
            outcome = self.outcome(rest) if rest else Outcome.PASS
            if outcome is Outcome.FAIL:  # it was assumed to pass: continue with less
                return self.ddmin([each for each in current if each in rest])
            without[change] = (rest, outcome)
        return Culprit(current, without)

    def all(self, changes: Sequence[T]) -> list[Culprit[T]]:
        """Every culprit: the first, then the first in what fails without it, and so on.

        The order of `changes` is that of suspicion: the first are tried first. Empty where they do not fail together.
        """
        found: list[Culprit[T]] = []
        left = list(changes)
        while left and self.outcome(frozenset(left)) is Outcome.FAIL:
            culprit = self.ddmin(left)
            found.append(culprit)
            rest = self.shrunk(frozenset(left) - frozenset(culprit.changes))
            left = [change for change in left if change in rest]
        return found

    def _smaller(self, current: tuple[T, ...], parts: int) -> tuple[frozenset[T] | None, bool]:
        """The first part, or all but one part, that fails; and whether it is a part."""
        whole = frozenset(current)
        chunks = [frozenset(chunk) for chunk in _split(current, parts)]
        tried = [(self.grown(chunk), True) for chunk in chunks]
        if parts > 2:
            tried += [(self.shrunk(whole - chunk), False) for chunk in chunks]
        for candidate, is_part in tried:
            if not candidate or candidate == whole or self._passes(candidate):
                continue
            if self.outcome(candidate) is Outcome.FAIL:
                return candidate, is_part
        return None, False

    def _passes(self, candidate: frozenset[T]) -> bool:
        return any(outcome is Outcome.PASS and candidate <= known for known, outcome in self._known.items())


def _split(changes: tuple[T, ...], parts: int) -> list[tuple[T, ...]]:
    """`parts` runs of nearly equal length."""
    edges = [len(changes) * number // parts for number in range(parts + 1)]
    return [changes[start:end] for start, end in itertools.pairwise(edges) if end > start]


def _closed(needs: Mapping[T, frozenset[T]]) -> dict[T, frozenset[T]]:
    """Needs in any number of steps; nothing needs itself."""
    closed = {}
    for change, direct in needs.items():
        found, waiting = set(direct), list(direct)
        while waiting:
            for more in needs.get(waiting.pop(), frozenset()):
                if more not in found:
                    found.add(more)
                    waiting.append(more)
        closed[change] = frozenset(found - {change})
    return closed
