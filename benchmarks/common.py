"""What the benchmarks share: bars, tables, interleaved rounds, and the command line of each.

A benchmark is a module with a function `measure(asked) -> Outcome` and, at its end, `main(__doc__, measure)`. It runs
alone as `python -m benchmarks.NAME [--quick]`; `python -m benchmarks` runs each in a process of its own and collects
the outcomes. Rules that all of them keep:

- what is compared runs side by side in one run: every contestant once a round, in alternating order, so that a machine
  that gets busier half-way slows them all;
- a ratio is the median over the rounds of the ratio within a round, unless a table says otherwise;
- nothing is downloaded, and every process started is ended.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = ["ROOT", "Bar", "Outcome", "Table", "interleaved", "main", "median_ratio", "show", "timed"]

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Bar:
    """A measured figure and what it is held to. `unit` is empty for a ratio."""

    what: str
    measured: float
    sense: Literal["at least", "at most"]
    bar: float
    unit: str = ""

    @property
    def passed(self) -> bool:
        """NaN passes neither way."""
        return self.measured >= self.bar if self.sense == "at least" else self.measured <= self.bar

    @property
    def missed_by(self) -> float:
        """How much is lacking, as a share of the bar; 0 where it passes."""
        return 0.0 if self.passed else abs(self.measured - self.bar) / self.bar


@dataclass(frozen=True, slots=True)
class Table:
    """Figures for people. Cells are shown as they are; numbers get three significant digits."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str | float | int]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one benchmark found."""

    bars: Sequence[Bar] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = field(default=())

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Outcome":
        read = json.loads(text)
        return cls(
            bars=[Bar(**bar) for bar in read["bars"]],
            tables=[Table(**table) for table in read["tables"]],
            notes=read["notes"],
        )


# ---- measuring ------------------------------------------------------------------------------------------------------


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def interleaved(rounds: int, contestants: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Let every contestant measure itself once a round, forwards in one round and backwards in the next.

    Returns each contestant's figures, in the order of the rounds.
    """
    figures: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        names = list(contestants) if number % 2 == 0 else list(contestants)[::-1]
        for name in names:
            figures[name].append(contestants[name]())
    return figures


def median_ratio(above: Iterable[float], below: Iterable[float]) -> float:
    """The median of above/below, round by round."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


# ---- showing --------------------------------------------------------------------------------------------------------


def figure(value: str | float | int) -> str:
    """A cell: three significant digits where it is a float."""
    if not isinstance(value, float):
        return str(value)
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def markdown(table: Table) -> str:
    """A Markdown table that also reads well as plain text: columns padded, numbers to the right."""
    cells = [[figure(cell) for cell in row] for row in table.rows]
    numeric = [all(not isinstance(row[at], str) for row in table.rows) for at in range(len(table.header))]
    widths = [max(len(row[at]) for row in [list(table.header), *cells]) for at in range(len(table.header))]

    def line(row: Sequence[str]) -> str:
        padded = (cell.rjust(w) if n else cell.ljust(w) for cell, w, n in zip(row, widths, numeric, strict=True))
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (w + 1) + (":" if n else "-") for w, n in zip(widths, numeric, strict=True))
    return "\n".join([line(list(table.header)), f"|{rule}|", *(line(row) for row in cells)])


def bars_table(bars: Iterable[Bar], *, judged: bool) -> Table:
    rows = [
        (
            bar.what,
            f"{figure(float(bar.measured))} {bar.unit}".strip(),
            f"{bar.sense} {bar.bar:g} {bar.unit}".strip(),
            "not judged" if not judged else "pass" if bar.passed else "FAIL",
        )
        for bar in bars
    ]
    return Table("Bars", ("what", "measured", "bar", "verdict"), rows)


def show(outcome: Outcome, *, judged: bool) -> str:
    """The outcome of one benchmark as text."""
    parts = []
    for table in outcome.tables:
        parts += [f"{table.title}\n", markdown(table), ""]
    parts += [f"{note}\n" for note in outcome.notes]
    if outcome.bars:
        parts.append(markdown(bars_table(outcome.bars, judged=judged)))
    return "\n".join(parts)


# ---- the command line of each ---------------------------------------------------------------------------------------


def main(doc: str | None, measure: Callable[[argparse.Namespace], Outcome], **options: dict[str, Any]) -> None:
    """Parse, measure, print, exit: 0, or 1 where a bar is missed.

    Args:
        options: further options, `name={...}` with the keywords of `add_argument`; `measure` gets their values beside
            `quick`.
    """
    parser = argparse.ArgumentParser(description=(doc or "").strip().splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke run: small sizes, no bar is judged")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcome there as well")
    for name, keywords in options.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **keywords)
    asked = parser.parse_args()
    outcome = measure(asked)
    if asked.json is not None:
        asked.json.write_text(outcome.to_json(), encoding="utf-8")
    print(show(outcome, judged=not asked.quick), flush=True)
    sys.exit(0 if asked.quick or all(bar.passed for bar in outcome.bars) else 1)
