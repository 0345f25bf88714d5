"""What it costs to read drawings in a process that the worker can lose: `thickness` with it, and reading by itself.

    python -m benchmarks.decoder --rounds 40

One handler, loaded as a worker loads it, answers the golden's drawings in batches of the shipped size. Before each
measurement it is told where to read; nothing else differs. Figures are CPU time, of both processes together: behind
TorchServe all cores are at work, so that is what throughput depends on, and what else the machine does should not
decide. The bar is on all drawings together; each format is shown by itself. A reader is replaced after 500 drawings,
which takes some 20 ms and is not counted.
"""

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import yaml

from benchmarks.common import ROOT, Bar, Outcome, Table, interleaved, main, median_ratio
from benchmarks.inprocess import load_with_handler
from goldmar.archive import build
from goldmar.golden import find_drawings
from goldmar.mar import unpack

BAR = 0.97
APART, ITSELF = "in a process of its own", "in the worker"


def measure(asked: argparse.Namespace) -> Outcome:
    rounds = 3 if asked.quick else asked.rounds
    size = yaml.safe_load((ROOT / "handlers/thickness/model-config.yaml").read_text())["batchSize"]
    drawings = [drawing.path for drawing in find_drawings(ROOT / "golden/thickness/drawings")]
    kinds = {
        kind: [path.read_bytes() for path in paths]
        for kind, paths in groupby(sorted(drawings, key=lambda path: path.suffix), key=lambda path: path.suffix)
    }
    with tempfile.TemporaryDirectory(prefix="goldmar-bench-") as folder, contextlib.redirect_stdout(io.StringIO()):
        unpack(build(ROOT / "handlers/thickness", Path(folder)).path, Path(folder) / "unpacked")
        with (Path(folder) / "unpacked/model-config.yaml").open("a") as config:
            config.write("    drawings: 1000000\n")
        answer, handler = load_with_handler(Path(folder) / "unpacked")
        answer([next(iter(kinds.values()))[0]])
        by_kind = {kind: figures(answer, handler, bodies, size, rounds) for kind, bodies in kinds.items()}
        handler.decoder.close()
    seconds = {
        where: [sum(times) for times in zip(*(by[where] for by in by_kind.values()), strict=True)]
        for where in (APART, ITSELF)
    }
    rows = [row(kind, by_kind[kind], len(kinds[kind])) for kind in kinds]
    rows.append(row("all", seconds, len(drawings)))
    kept = median_ratio(seconds[ITSELF], seconds[APART])
    header = ("format", f"ms a drawing {APART}", f"ms {ITSELF}", "drawings a second that are left")
    return Outcome(
        bars=[Bar("drawings a second, read apart over read in the worker", kept, "at least", BAR)],
        tables=[Table(f"Batches of {size}, {rounds} rounds", header, rows)],
    )


def figures(
    answer: Callable[[Sequence[bytes]], Any], handler: Any, bodies: Sequence[bytes], size: int, rounds: int
) -> dict[str, list[float]]:
    """Seconds for all bodies, by where they are read."""
    import drawing  # that of the archive, which came with the handler

    decoder = handler.decoder

    def work(apart: bool) -> float:
        handler.decoder = decoder if apart else None
        drawing.read_elsewhere(decoder.read if apart else None)
        try:
            started = cpu(decoder)
            for at in range(0, len(bodies), size):
                answer(bodies[at : at + size])
            return cpu(decoder) - started
        finally:
            handler.decoder = decoder

    contestants = {APART: lambda: work(True), ITSELF: lambda: work(False)}
    interleaved(2, contestants)  # the first calls are the slowest
    return interleaved(rounds, contestants)


def cpu(decoder: Any) -> float:
    """Seconds of CPU that this process and the one reader have had."""
    (reader,) = psutil.Process(decoder.pid).children()
    return time.process_time() + time.clock_gettime(~reader.pid << 3 | 2)  # CPUCLOCK_SCHED of Linux


def row(name: str, seconds: dict[str, list[float]], count: int) -> tuple[str | float, ...]:
    ms = (median(seconds[where]) / count * 1000 for where in (APART, ITSELF))
    return (name, *ms, median_ratio(seconds[ITSELF], seconds[APART]))


if __name__ == "__main__":
    main(__doc__, measure, rounds={"type": int, "default": 40, "help": "measurements of each contestant"})
