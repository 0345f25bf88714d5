"""Patterns of paths, as .gitignore users know them: `*` and `?` stay within a folder, `**` crosses folders."""

import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["matches"]


def matches(path: str, patterns: Iterable[str]) -> str | None:
    """The first pattern that matches the whole path, or a folder that it lies in; None where none does."""
    return next((pattern for pattern in patterns if _compiled(pattern).fullmatch(path)), None)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = []
    for part in re.split(r"(\*\*/|\*\*|\*|\?)", pattern.rstrip("/")):
        parts.append({"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part) or re.escape(part))
    return re.compile(f"{''.join(parts)}(?:/.*)?", re.DOTALL)
