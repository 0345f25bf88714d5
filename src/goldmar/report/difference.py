"""What an approval would change in a golden, for the eyes of whoever approves it."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from goldmar.records import Cells, Comparison, ModelResult, Value

__all__ = ["render"]

_SHOWN = 40


def render(model: str, obtained: Cells, difference: ModelResult | None, console: Console) -> None:
    """The changes, row by row up to a screenful, and their number. `difference` is None for a first golden."""
    drawings = len(set(obtained.drawing_ids))
    if difference is None:
        console.print(Text(f"{model}: a first golden of {drawings} drawings, {len(obtained)} values"))
        _print_rows(
            console,
            ("drawing", "value", "golden will be"),
            (
                (drawing, name, _text(value))
                for drawing, name, value in zip(obtained.drawing_ids, obtained.names, obtained.values, strict=True)
            ),
            len(obtained),
        )
        return
    failures = difference.failures
    if not failures:
        console.print(Text(f"{model}: the golden already says exactly this ({len(obtained)} values)"))
        return
    console.print(Text(f"{model}: {len(failures)} of {len(obtained)} values change"))
    _print_rows(
        console,
        ("drawing", "value", "golden now", "golden will be", "difference"),
        (_row(failure) for failure in failures),
        len(failures),
    )


def _row(failure: Comparison) -> tuple[str, ...]:
    difference = "" if failure.difference is None else f"{failure.difference:.6g}"
    if not failure.name:
        return (failure.drawing_id, f"({failure.kind.value})", "", "", "")
    # A value on one side only is named by its kind: an empty cell would look like an empty string.
    missing, extra = failure.kind.value.startswith("missing"), failure.kind.value.startswith("extra")
    return (
        failure.drawing_id,
        failure.name,
        "–" if extra else _text(failure.want),
        "–" if missing else _text(failure.got),
        difference,
    )


def _print_rows(console: Console, header: tuple[str, ...], rows: Iterable[tuple[str, ...]], total: int) -> None:
    table = Table(box=None, pad_edge=False)
    for title in header:
        table.add_column(title, overflow="fold")
    for number, row in enumerate(rows):
        if number == _SHOWN:
            break
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    if total > _SHOWN:
        console.print(Text(f"... and {total - _SHOWN} more"))


def _text(value: Value) -> str:
    return value if isinstance(value, str) else repr(value)
