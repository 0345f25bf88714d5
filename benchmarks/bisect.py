"""How many environments `goldmar bisect` tries on a diff of twelve packages, and how long it takes.

    python -m benchmarks.bisect

Real environments, a real resolver, TorchServe's own worker in each: twelve small packages of our own move between two
lock files that pin what TorchServe needs. In the first run one of them moves the answer; in the second two that do
nothing alone; in the third two pin each other besides. The culprits stand where the search, by a dry run over all
places, needs the most environments: every other place takes fewer.

The bars: at most 12 environments for the one, at most 30 for the two, both ends included.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from benchmarks.common import Bar, Outcome, Table, main
from goldmar.bisect import Outcome as Said
from goldmar.bisect import Search
from tests.support.foreign import foreign_project, write_golden
from tests.support.packages import HANDLER, PARTS, lock, part

HARMLESS, SHIFTED, PAIRED, TIED = "1.1", "1.2", "1.3", "1.4"


def measure(asked: argparse.Namespace) -> Outcome:
    one = worst(1)
    two = worst(2)
    tied = [name for name in PARTS if name not in {*one, *two}][:2]
    runs: dict[str, tuple[Collection[str], Mapping[str, str]]] = {
        f"one culprit, {one[0]}": (one, {one[0]: SHIFTED}),
        f"two that fail together, {' and '.join(two)}": (two, dict.fromkeys(two, PAIRED)),
        f"the same, and {' and '.join(tied)} pin each other": (
            two,
            dict.fromkeys(two, PAIRED) | dict.fromkeys(tied, TIED),
        ),
    }
    if asked.quick:
        runs = dict(itertools.islice(runs.items(), 1))
    rows: list[tuple[str, int, int, float, float]] = []
    with tempfile.TemporaryDirectory(prefix="goldmar-bench-") as name:
        project = foreign_project(Path(name), handler=HANDLER)
        write_golden(project)
        wheels(project / "wheels", tied)
        good = lock(project / "good.txt", dict.fromkeys(PARTS, "1.0"), project / "wheels")
        for what, (culprits, changed) in runs.items():
            bad = lock(project / "bad.txt", dict.fromkeys(PARTS, HARMLESS) | changed, project / "wheels")
            found, seconds = bisect(project, good, bad)
            blamed = {package["name"] for culprit in found["culprits"] for package in culprit["packages"]}
            if blamed != set(culprits):
                raise SystemExit(f"error: {what}: bisect blames {blamed}")
            rows.append((what, found["environments"], found["refused"], seconds, seconds / found["environments"]))
    bars = [
        Bar("environments for one culprit among twelve", rows[0][1], "at most", 12),
        *(Bar(f"environments for {what}", count, "at most", 30) for what, count, *_ in rows[1:]),
    ]
    header = ("", "environments", "candidates refused", "seconds", "seconds each")
    return Outcome(
        bars, [Table("Twelve packages move; environments built and checked, both ends included", header, rows)]
    )


def worst(size: int) -> tuple[str, ...]:
    """The culprits of that number that take the search the most tests, wherever they stand among the twelve."""

    def tests(culprits: tuple[str, ...]) -> int:
        asked = set()

        def test(taken: frozenset[str]) -> Said:
            asked.add(taken)
            return Said.FAIL if taken >= set(culprits) else Said.PASS

        Search(test).all(PARTS)
        return len(asked)

    return max(itertools.combinations(PARTS, size), key=tests)


def wheels(folder: Path, tied: Collection[str]) -> None:
    for name in PARTS:
        part(folder, name, "1.0")
        part(folder, name, HARMLESS)
        part(folder, name, SHIFTED, shift=0.5)
        part(folder, name, PAIRED, factor=0.7)
    for name, other in itertools.permutations(tied, 2):
        part(folder, name, TIED, needs=[f"{other}=={TIED}"])


def bisect(project: Path, good: Path, bad: Path) -> tuple[dict, float]:
    """The report, and the seconds from start to exit. No environment is there from before."""
    with tempfile.TemporaryDirectory(prefix="goldmar-bench-", dir=project) as cache:
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "goldmar", "bisect", good, bad, "--trust-lock", "--json"],
            cwd=project,
            env=os.environ | {"GOLDMAR_CACHE": cache},
            check=False,
            stdout=subprocess.PIPE,
            text=True,
        )
        seconds = time.perf_counter() - started
    if done.returncode != 1:
        raise SystemExit(f"error: goldmar bisect ended with {done.returncode}")
    return json.loads(done.stdout), seconds


if __name__ == "__main__":
    main(__doc__, measure)
