"""What the reports on a terminal share. Whatever is put into a line or a table is shown as it is, never as mark-up."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from goldmar.text import clean

Part = str | tuple[str, str]
"""A text, or a text and its style."""


def line(*parts: Part, style: str = "") -> Text:
    """One line of these parts, cleaned."""
    cleaned = (clean(part) if isinstance(part, str) else (clean(part[0]), part[1]) for part in parts)
    return Text.assemble(*cleaned, style=style)


def table(
    names: Sequence[str], numbers: Sequence[str], rows: Iterable[Sequence[Part]], *, whole: bool = False
) -> Table:
    """A table with titles for names, on the left and folded where they are long, and for numbers, on the right.

    With `whole` no number is folded.
    """
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False, header_style="dim")
    for title in names:
        made.add_column(title, overflow="fold", min_width=len(title) if whole else None)
    for title in numbers:
        made.add_column(title, justify="right", overflow="fold", no_wrap=whole)
    for row in rows:
        made.add_row(*(line(part) if isinstance(part, str) else line(part[0], style=part[1]) for part in row))
    return made
