"""Patterns of paths, as .gitignore users know them: `*` and `?` stay within a folder, `**` crosses folders.

A path is gone through once, whatever the pattern: all places where one could be in it are the bits of one number.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["matches"]


def matches(path: str, patterns: Iterable[str]) -> str | None:
    """The first pattern that matches the whole path, or a folder that it lies in; None where none does."""
    return next((pattern for pattern in patterns if _compiled(pattern).matches(path)), None)


@dataclass(frozen=True, slots=True)
class _Pattern:
    """Places in a pattern, a bit each, the last one its end.

    `letters`: the places before this letter; `inside`: those before a `?`. `stay` and `stay_inside`: those that any
    letter, or any but a slash, leaves where they are. `folders`: those before a `**/`, which may be nothing at all.
    """

    letters: dict[str, int]
    inside: int
    stay: int
    stay_inside: int
    folders: int
    end: int

    def matches(self, path: str) -> bool:
        places = self._opened(1)
        for letter in path:
            if letter == "/" and places & self.end:
                return True  # a folder that it lies in
            step = places & self.letters.get(letter, 0)
            kept = places & self.stay
            if letter != "/":
                step |= places & self.inside
                kept |= places & self.stay_inside
            places = self._opened(step << 1 | kept)
            if not places:
                return False
        return bool(places & self.end)

    def _opened(self, places: int) -> int:
        """With the places that are reached without a letter: behind a `**/`, and inside it."""
        while (more := places | (places & self.folders) << 1 | (places & self.folders) << 2) != places:
            places = more
        return places


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> _Pattern:
    letters: dict[str, int] = {}
    inside = stay = stay_inside = folders = 0
    place = 1
    for part in re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", pattern.rstrip("/")):
        if part == "**/":  # two places: before it, and inside it, where a slash is waited for
            folders |= place
            place <<= 1
            stay |= place
            letters["/"] = letters.get("/", 0) | place
            place <<= 1
        elif part == "**":
            stay |= place
        elif part == "*":
            stay_inside |= place
        elif part == "?":
            inside |= place
            place <<= 1
        else:
            for letter in part:
                letters[letter] = letters.get(letter, 0) | place
                place <<= 1
    return _Pattern(letters, inside, stay, stay_inside, folders, place)
