"""What `make bench` stands on: bars that judge, contestants in turn, a runner that never takes silence for a pass."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as runner
from benchmarks import common
from benchmarks.common import Bar, Outcome, Table, interleaved, median_ratio

OUTCOME = Outcome(
    bars=[Bar("quicker", 2.5, "at least", 2.0), Bar("smaller", 700.0, "at most", 600.0, "MB")],
    tables=[Table("Times", ("", "s"), [("ours", 1.23456), ("theirs", 12_345.6)])],
    notes=["On a Tuesday."],
)


@pytest.mark.parametrize(
    ("bar", "passed"),
    [
        (Bar("", 2.0, "at least", 2.0), True),
        (Bar("", 1.99, "at least", 2.0), False),
        (Bar("", 2.0, "at most", 2.0), True),
        (Bar("", 2.01, "at most", 2.0), False),
        (Bar("", math.nan, "at least", 2.0), False),
        (Bar("", math.nan, "at most", 2.0), False),
    ],
)
def test_a_bar_is_passed_when_it_is_reached(bar: Bar, passed: bool) -> None:
    assert bar.passed is passed


def test_contestants_take_turns_forwards_then_backwards() -> None:
    order: list[str] = []

    def contestant(name: str) -> float:
        order.append(name)
        return float(len(order))

    figures = interleaved(3, {name: lambda name=name: contestant(name) for name in "abc"})
    assert "".join(order) == "abccbaabc"
    assert figures == {"a": [1.0, 6.0, 7.0], "b": [2.0, 5.0, 8.0], "c": [3.0, 4.0, 9.0]}


def test_a_ratio_is_the_median_of_those_within_rounds() -> None:
    # The second round was slow for both: medians of each side, divided, would say 1.
    assert median_ratio([10.0, 2.0, 10.0], [5.0, 1.0, 10.0]) == 2.0


def test_an_outcome_survives_its_journey_between_processes() -> None:
    assert Outcome.from_json(OUTCOME.to_json()) == Outcome(
        OUTCOME.bars, [Table("Times", ["", "s"], [["ours", 1.23456], ["theirs", 12_345.6]])], ["On a Tuesday."]
    )


def test_a_table_reads_well_as_text() -> None:
    assert common.markdown(OUTCOME.tables[0]).splitlines() == [
        "|        |      s |",
        "|--------|-------:|",
        "| ours   |   1.23 |",
        "| theirs | 12,346 |",
    ]


def test_the_page_has_every_bar_the_machine_and_each_table() -> None:
    page = runner.results([("CPU", "two of them")], 0.1, {"archive": OUTCOME})
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    assert ["quicker", "2.50", "at least 2", "pass"] in rows
    assert ["smaller", "700 MB", "at most 600 MB", "FAIL"] in rows
    assert "- CPU: two of them" in page
    assert "python -m benchmarks.archive" in page
    assert "theirs" in page
    assert "On a Tuesday." in page
    assert "not quiet" not in page
    assert "not quiet" in runner.results([], 0.9, {"archive": OUTCOME})


# ---- the runner, with benchmarks of its own -------------------------------------------------------------------------

BENCHMARK = """
from benchmarks.common import Bar, Outcome, main
main("A benchmark.", lambda asked: Outcome([Bar("speed", {measured}, "at least", 2.0)]))
"""


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The runner with one benchmark, made up for the test; returns exit code and whether RESULTS.md was written."""

    def run(text: str, *arguments: str) -> tuple[int, bool]:
        folder = tmp_path / "benchmarks"
        folder.mkdir()
        for name in ("common.py", "__main__.py"):
            (folder / name).write_bytes((Path(runner.__file__).with_name(name)).read_bytes())
        (folder / "archive.py").write_text(text)
        main = folder / "__main__.py"
        only = 'BENCHMARKS = {"archive": "One"}\nRESULTS'
        main.write_text(main.read_text().replace("\nRESULTS = ", f"\n{only} = "))
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", *arguments], cwd=tmp_path, check=False, capture_output=True, text=True
        )
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, (folder / "RESULTS.md").exists()

    return run


def test_all_bars_passed_is_0_and_is_kept(ran) -> None:
    assert ran(BENCHMARK.format(measured=2.5)) == (0, True)


def test_a_missed_bar_is_1_and_is_kept(ran) -> None:
    assert ran(BENCHMARK.format(measured=1.5)) == (1, True)


def test_a_benchmark_that_ends_early_is_1_and_leaves_the_page_alone(ran) -> None:
    assert ran("raise SystemExit(0)") == (1, False)


def test_a_smoke_run_judges_nothing_and_leaves_the_page_alone(ran) -> None:
    assert ran(BENCHMARK.format(measured=1.5), "--quick") == (0, False)


def test_one_of_them_leaves_the_page_alone(ran) -> None:
    assert ran(BENCHMARK.format(measured=2.5), "--only", "archive") == (0, False)
