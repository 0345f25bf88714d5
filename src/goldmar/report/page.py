"""What the reports in GitHub's Markdown share. GitHub cuts a step summary at 1 MiB; a page stays well below."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence

from goldmar.text import clean, shortened

LIMIT = 900_000
"""Bytes of UTF-8 that a page never exceeds."""

_LINE, _CELL = 500, 120  # characters
_MARKS = re.compile(r"[\\`*_{}\[\]#|~@$]|:(?=//)")


def escaped(text: str, at_most: int = _LINE) -> str:
    """Text that Markdown shows as it is: no mark-up, no HTML, no end of a table cell, no mention of a user."""
    text = html.escape(shortened(clean(text), at_most), quote=False)
    return _MARKS.sub(lambda found: f"&#{ord(found.group())};", text)


class Page:
    """Lines of Markdown up to a size; what does not fit any more is counted and said."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._left = LIMIT - 1000

    def add(self, *lines: str, always: bool = False) -> bool:
        """Add these lines as they are, if all of them fit; say whether."""
        size = sum(len(line.encode()) + 1 for line in lines)
        if size > self._left and not always:
            return False
        self._left -= size
        self._lines += lines
        return True

    def bullets(self, texts: Iterable[str], at_most: int = _LINE) -> None:
        """A short list, which is never left out."""
        for text in texts:
            self.add(f"- {escaped(text, at_most)}", always=True)

    def table(
        self, titles: Sequence[str], rows: Iterable[Sequence[str]], widths: Mapping[str, int] | None = None
    ) -> None:
        """A table of texts, escaped; `widths` are in characters, by title, where they are not the usual ones."""
        self.add(f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}")
        at_most = [(widths or {}).get(title, _CELL) for title in titles]
        left_out = sum(not self.add(f"| {' | '.join(map(escaped, row, at_most))} |") for row in rows)
        if left_out:
            self.add("", f"… and {left_out:,} more", always=True)

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"
