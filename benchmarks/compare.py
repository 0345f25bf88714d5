"""Comparing a million shuffled values: goldmar beside datacompy and beside a pandas merge with numpy's isclose.

    python -m benchmarks.compare --drawings 10000 --names 100

Each contestant has a process of its own, so that its peak memory is its own; it builds the same data from the same seed
in the form that it reads files into (goldmar: Values; the others: data frames), untimed, and must then name the values
that fail, the missing and the extra ones. All have to find the same ones. The processes of a round run one after the
other, in alternating order, and each counts with the best of three goes. Peak memory is of the whole process:
interpreter, libraries, data.

A second table reads both sides from CSV first. A third one only reads them: goldmar, pandas.read_csv with
float_precision="round_trip", which gives the same values, and pandas.read_csv with its defaults, whose values may be
off in the last digit. goldmar checks what read_csv does not: ragged rows, duplicate keys, a cut-off end, UTF-8, types
value by value. Imports are not timed: pandas takes 0.3 s more than numpy.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import ROOT, Bar, Outcome, Table, interleaved, main, median_ratio, timed

ATOL, RTOL = 1e-6, 1e-4
COLUMNS = ("drawing_id", "name", "pred")
REPEATS = 3
READ = "read: "
PEERS = ("pandas merge + isclose", "datacompy")


# ---- data -----------------------------------------------------------------------------------------------------------


def columns(drawings: int, names: int, *, side: str) -> tuple[list[str], list[str], list[float]]:
    """One side, shuffled. Every text is an object of its own, as in answers that were parsed one by one.

    The answers differ within tolerance, but for 100 that differ beyond it, one that is missing and one that is extra.
    """
    import numpy as np

    draw = np.random.default_rng(20220616)
    values = draw.uniform(-1000.0, 1000.0, drawings * names)
    if side != "golden":
        draw = np.random.default_rng(1)
        values *= 1.0 + draw.uniform(-0.9, 0.9, len(values)) * RTOL
        some = slice(0, None, max(1, len(values) // 100))
        values[some] = values[some] * 1.01 + 1.0
    rows = draw.permutation(len(values))
    if side != "golden":
        rows = rows[rows != 1]
    preds, rows = values[rows].tolist(), rows.tolist()
    ids = [f"WA-2022{row // names:05d}-ABC/RT-{row // names % 7}" for row in rows]
    labels = [f"boxes[{row % names}].x0" for row in rows]
    if side != "golden":
        ids.append(ids[0])
        labels.append("boxes[new].x0")
        preds.append(1.0)
    return ids, labels, preds


# ---- contestants, each in its own process ---------------------------------------------------------------------------


def goldmar(drawings: int, names: int, files: list[Path]) -> tuple[Callable[[], Any], Callable[[Any], int]]:
    from goldmar.compare import compare
    from goldmar.config import Tolerances
    from goldmar.golden import read_values
    from goldmar.records import Tolerance, Values

    golden, obtained = (Values([], [], []), Values([], [], []))
    if not files:
        golden, obtained = (Values.of(*columns(drawings, names, side=side)) for side in ("golden", "obtained"))

    def work() -> Any:
        left, right = map(read_values, files) if files else (golden, obtained)
        asked = list(dict.fromkeys(left.drawing_ids))
        return compare(left, right, Tolerances(Tolerance(ATOL, RTOL)), model="bench", drawings=asked, problems={})

    return work, lambda result: len(result.failures)


def frames(drawings: int, names: int) -> list[Any]:
    import pandas as pd

    return [
        pd.DataFrame(dict(zip(COLUMNS, columns(drawings, names, side=side), strict=True)))
        for side in ("golden", "obtained")
    ]


def merge(drawings: int, names: int, files: list[Path]) -> tuple[Callable[[], Any], Callable[[Any], int]]:
    import numpy as np
    import pandas as pd

    sides = [] if files else frames(drawings, names)

    def work() -> Any:
        golden, obtained = [pd.read_csv(file) for file in files] if files else sides
        joined = golden.merge(
            obtained, on=["drawing_id", "name"], how="outer", suffixes=("_want", "_got"), indicator=True
        )
        close = np.isclose(joined["pred_got"], joined["pred_want"], rtol=RTOL, atol=ATOL, equal_nan=True)
        return joined[~close | (joined["_merge"] != "both")]

    return work, len


def datacompy(drawings: int, names: int, files: list[Path]) -> tuple[Callable[[], Any], Callable[[Any], int]]:
    import datacompy as package
    import pandas as pd

    sides = [] if files else frames(drawings, names)

    def work() -> Any:
        golden, obtained = [pd.read_csv(file) for file in files] if files else sides
        # Its relative tolerance is of the second frame.
        return package.PandasCompare(obtained, golden, join_columns=["drawing_id", "name"], abs_tol=ATOL, rel_tol=RTOL)

    def failures(found: Any) -> int:
        differing = int((~found.intersect_rows["pred_match"]).sum())
        return differing + len(found.df1_unq_rows) + len(found.df2_unq_rows)

    return work, failures


def reading(drawings: int, names: int, files: list[Path]) -> tuple[Callable[[], Any], Callable[[Any], int]]:
    from goldmar.golden import read_values

    return lambda: [read_values(file) for file in files], rows_of


def read_csv(**options: str) -> Callable[..., tuple[Callable[[], Any], Callable[[Any], int]]]:
    def contestant(drawings: int, names: int, files: list[Path]) -> tuple[Callable[[], Any], Callable[[Any], int]]:
        import pandas as pd

        return lambda: [pd.read_csv(file, **options) for file in files], rows_of

    return contestant


def rows_of(sides: list[Any]) -> int:
    return sum(map(len, sides))


READERS = {
    "goldmar": reading,
    "pandas.read_csv, the same values": read_csv(float_precision="round_trip"),
    "pandas.read_csv, its defaults": read_csv(),
}
CONTESTANTS = {"goldmar": goldmar, "pandas merge + isclose": merge, "datacompy": datacompy}


def contend(name: str, drawings: int, names: int, files: list[Path]) -> None:
    """In the child: build, measure, tell the parent."""
    readers = name.startswith(READ)
    work, failures = ((READERS if readers else CONTESTANTS)[name.removeprefix(READ)])(drawings, names, files)
    seconds, cpu = [], []
    for _ in range(REPEATS):
        found: list[Any] = []
        started = time.process_time()
        seconds.append(timed(lambda found=found: found.append(work())))
        cpu.append(time.process_time() - started)
        failed = failures(found.pop())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": min(seconds), "cpu": min(cpu), "peak": peak, "failures": failed}))


# ---- the parent -----------------------------------------------------------------------------------------------------


def run(name: str, drawings: int, names: int, files: list[Path], told: dict[str, dict[str, float]]) -> float:
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.compare", "--contend", name, str(drawings), str(names), *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    if child.returncode:
        raise SystemExit(f"{name} failed:\n{child.stderr[-2000:]}")
    figures = json.loads(child.stdout.splitlines()[-1])
    known = told.setdefault(name, figures)
    known["peak"] = max(known["peak"], figures["peak"])
    known["cpu"] = min(known["cpu"], figures["cpu"])
    return float(figures["seconds"])


def measure(asked: argparse.Namespace) -> Outcome:
    drawings, names = (200, 20) if asked.quick else (asked.drawings, asked.names)
    rounds = 2 if asked.quick else asked.rounds
    told: dict[str, dict[str, float]] = {}
    in_memory = interleaved(
        rounds, {name: lambda name=name: run(name, drawings, names, [], told) for name in CONTESTANTS}
    )
    counts = {name: figures["failures"] for name, figures in told.items()}
    if len(set(counts.values())) != 1:
        raise SystemExit(f"The contestants do not find the same failures: {counts}")

    with tempfile.TemporaryDirectory(prefix="goldmar-bench-") as folder:
        files = [Path(folder, f"{side}.csv") for side in ("golden", "obtained")]
        for file in files:
            rows = zip(*columns(drawings, names, side=file.stem), strict=True)
            lines = (f"{drawing},{name},{pred!r}\n" for drawing, name, pred in rows)
            file.write_text(",".join(COLUMNS) + "\n" + "".join(lines), encoding="utf-8")
        from_files: dict[str, dict[str, float]] = {}
        read = interleaved(
            rounds, {name: lambda name=name: run(name, drawings, names, files, from_files) for name in CONTESTANTS}
        )
        readers: dict[str, dict[str, float]] = {}
        only_read = interleaved(
            rounds, {name: lambda name=name: run(READ + name, drawings, names, files, readers) for name in READERS}
        )
    if len({figures["failures"] for figures in readers.values()}) != 1:
        raise SystemExit("The readers do not find the same number of values.")

    values = f"{drawings * names:,} values ({drawings:,} drawings, {names} names)"
    ratios = {name: median_ratio(in_memory[name], in_memory["goldmar"]) for name in PEERS}
    return Outcome(
        bars=[
            *(Bar(f"times as fast as {name}, in memory", ratios[name], "at least", 3) for name in PEERS),
            *(
                Bar(f"times as fast as {name}", median_ratio(only_read[name], only_read["goldmar"]), "at least", 1)
                for name in READERS
                if name != "goldmar"
            ),
            Bar("peak memory of the whole process", told["goldmar"]["peak"] / 1e6, "at most", 600, "MB"),
        ],
        tables=[
            Table(
                title,
                ("contestant", "seconds", "times goldmar's", "CPU seconds", "peak MB"),
                [
                    (
                        name,
                        median(seconds[name]),
                        median_ratio(seconds[name], seconds["goldmar"]),
                        peaks[name]["cpu"],
                        peaks[name]["peak"] / 1e6,
                    )
                    for name in seconds
                ],
            )
            for title, seconds, peaks in (
                (f"{values}, shuffled, in memory", in_memory, told),
                ("The same, both sides read from CSV", read, from_files),
                ("Both files read, nothing compared", only_read, {k.removeprefix(READ): v for k, v in readers.items()}),
            )
        ],
        notes=[f"All three find the same {int(counts['goldmar'])} failures."],
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contend"]:
        contend(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), [Path(name) for name in sys.argv[5:]])
    else:
        main(
            __doc__,
            measure,
            drawings={"type": int, "default": 10_000, "help": "drawings a side"},
            names={"type": int, "default": 100, "help": "values a drawing"},
            rounds={"type": int, "default": 5, "help": "rounds"},
        )
