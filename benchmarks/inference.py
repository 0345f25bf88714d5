"""The reference models as their handlers load them on a CPU, beside the same models as they were trained.

    python -m benchmarks.inference --rounds 60

Loaded, a network has its BatchNorm folded into the convolutions and its weights in channels-last order
(`quicker` of handlers/common/cpu.py). Both take the same sheets in turns, on one thread as in model-config.yaml; a
figure counts CPU time, and answers must be the same to within 0.001.
"""

import argparse
import copy
import sys
import time
from collections.abc import Callable
from statistics import median

import torch

from benchmarks.common import ROOT, Bar, Outcome, Table, interleaved, main, median_ratio

sys.path.append(str(ROOT / "handlers" / "common"))

from cpu import quicker

from training.handlers import trained_model, weights_path

MODELS = ("thickness", "part_class", "callouts")
BATCHES = (1, 2)  # what workers get: one sheet when the queue is short, batchSize when it is not
BAR = 0.95


def answering(model: torch.nn.Module, sheets: torch.Tensor) -> Callable[[], float]:
    """Seconds of CPU to answer `sheets` [B, 1, 448, 640], as a contestant."""

    def work() -> float:
        started = time.process_time()
        with torch.inference_mode():
            model(sheets)
        return time.process_time() - started

    return work


def parts(output: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return output if isinstance(output, tuple) else (output,)


def measure(asked: argparse.Namespace) -> Outcome:
    torch.set_num_threads(1)
    rounds = 3 if asked.quick else asked.rounds
    rows: list[tuple[str, int, float, float, float, float]] = []
    bars: list[Bar] = []
    for name in MODELS:
        trained = trained_model(name, weights_path(name))
        loaded = quicker(copy.deepcopy(trained))
        for batch in BATCHES:
            sheets = (torch.rand(batch, 1, 448, 640, generator=torch.Generator().manual_seed(1)) > 0.95).float()
            with torch.inference_mode():
                pairs = zip(parts(trained(sheets)), parts(loaded(sheets)), strict=True)
                off = max(float((a - b).abs().max()) for a, b in pairs)
            seconds = interleaved(rounds, {"trained": answering(trained, sheets), "loaded": answering(loaded, sheets)})
            ratio = median_ratio(seconds["loaded"], seconds["trained"])
            times = (median(seconds[who]) * 1000 for who in ("trained", "loaded"))
            rows.append((name, batch, *times, ratio, off))
            bars.append(Bar(f"{name}, batch of {batch}: inference as loaded, of as trained", ratio, "at most", BAR))
            if not off < 1e-3:
                msg = f"{name} answers otherwise when it is loaded: {off:g}"
                raise RuntimeError(msg)
    header = ("model", "batch", "as trained, ms", "as loaded, ms", "ratio", "largest difference")
    return Outcome(bars=bars, tables=[Table("Inference on one thread", header, rows)])


if __name__ == "__main__":
    main(__doc__, measure, rounds={"type": int, "default": 60, "help": "rounds"})
