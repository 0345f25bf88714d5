"""Patterns of paths that mean what they mean in a .gitignore, by pathspec.

pathspec's expressions backtrack: with a few stars, a name of 255 letters takes minutes. Here what a star or a `**` has
taken is not given back, so a path is gone through once: the first place where the next part fits is as good as any.
"""

import re
import warnings
from collections.abc import Iterable
from functools import lru_cache

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

__all__ = ["deciding", "is_pattern"]

# What pathspec writes for the signs of a pattern. A slash in it is pathspec's own: patterns are cut at theirs first.
_STAR, _FOLDERS, _AT_ANY_DEPTH = "[^/]*", "(?:/.+)?", "^(?:.+/)?"
_LETTER = r"\\[^/]|\(\?!/\)\[\^?\]?[^]]*\]|\[\^/\](?![*+])|[^][\\/(]"
_INNER_STAR = re.compile(rf"\[\^/\]\*((?:{_LETTER})+)(?=\[\^/\]\*)")
_BRACKETS = re.compile(r"\\.|\[\^/\]|(\[\^?\]?[^]]*\])", re.DOTALL)


def deciding(path: str, patterns: Iterable[str]) -> str | None:
    """The pattern by which a list of patterns holds for a path: the last that fits, as in a .gitignore.

    None where none does, or where that one begins with `!`. Raises ValueError for what is no pattern.
    """
    lines = tuple(patterns)
    found = _spec(lines).check_file(path)
    return lines[found.index] if found.include and found.index is not None else None


def is_pattern(line: str) -> bool:
    """Whether it can fit any path: not a comment, a blank line or brackets that are wrong."""
    try:
        return bool(_Pattern(line).include is not None)
    except (ValueError, re.error, FutureWarning):
        return False


class _Pattern(GitIgnoreSpecPattern):
    """One line, as pathspec has it, in linear time."""

    __slots__ = ()

    def __init__(self, line: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # [[:alpha:]], which pathspec does not know
            # To git `a/**/` are the folders in a; to pathspec, all that is in a.
            regex, include = self.pattern_to_regex(f"{line}*/" if line.endswith("/**/") else line)
            super().__init__(None if regex is None else re.compile(_linear(regex)), include)


def _linear(regex: str) -> str:
    """The same expression, in which a star before another star, and a `**` before another, take what fits first."""
    regex = _BRACKETS.sub(lambda found: f"(?!/){found[1]}" if found[1] else found[0], regex)
    regex = re.sub(r"(?:\[\^/\]\*)+", _STAR, regex)  # a**b is a*b
    regex = _INNER_STAR.sub(r"(?>[^/]*?\1)", regex)
    first, *others = regex.split(_FOLDERS)
    if not others:
        return regex
    if first.startswith(_AT_ANY_DEPTH):
        first = f"^(?>(?:.+?/)??{first.removeprefix(_AT_ANY_DEPTH)}(?=/))"
    between = (f"(?>(?:/.+?)??{part}(?=/))" for part in others[:-1])
    return "".join((first, *between, _FOLDERS, others[-1]))


@lru_cache(maxsize=64)
def _spec(lines: tuple[str, ...]) -> GitIgnoreSpec:
    return GitIgnoreSpec(map(_Pattern, lines), backend="simple")
