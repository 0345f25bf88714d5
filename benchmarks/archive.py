"""Archiving a model with large weights: goldmar beside torch-model-archiver, in one run, on the same files.

    python -m benchmarks.archive --megabytes 500

Both are timed as a child process would see them, from the first file read to the archive on disk. goldmar's time
includes the content digest and the fsync; torch-model-archiver does neither.
"""

import argparse
import logging
import os
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.common import Bar, Outcome, Table, interleaved, main, median_ratio, timed
from goldmar.archive import build

HANDLER = "class Handler:\n    def handle(self, data, context):\n        return data\n"
CONFIG = """minWorkers: 1
maxWorkers: 1
batchSize: 1
maxBatchDelay: 0
startupTimeout: 60
responseTimeout: 60
"""


def measure(asked: argparse.Namespace) -> Outcome:
    megabytes = 20 if asked.quick else asked.megabytes
    logging.disable(logging.WARNING)  # torch-model-archiver says at each round that it overwrites

    with tempfile.TemporaryDirectory(prefix="goldmar-bench-") as name:
        root = Path(name)
        handler, store, theirs = root / "handlers/large", root / "store", root / "theirs"
        theirs.mkdir()
        write_handler(handler, megabytes)
        os.environ["TMPDIR"] = str(root)
        tempfile.tempdir = None
        seconds = interleaved(
            1 if asked.quick else asked.rounds,
            {
                "goldmar archive": lambda: timed(lambda: build(handler, store)),
                "torch-model-archiver": lambda: timed(lambda: torch_model_archiver(handler, theirs)),
            },
        )
        sizes = [(path / "large.mar").stat().st_size / 1e6 for path in (store, theirs)]

    ours, other = seconds.values()
    rows = [(name, median(of), min(of), size) for (name, of), size in zip(seconds.items(), sizes, strict=True)]
    return Outcome(
        [
            Bar(
                f"archiving {megabytes} MB, times faster than torch-model-archiver",
                median_ratio(other, ours),
                "at least",
                8,
            )
        ],
        [Table(f"Archiving {megabytes} MB of weights, {len(ours)} rounds", ("", "median s", "best s", "MB"), rows)],
    )


def write_handler(folder: Path, megabytes: int) -> None:
    """A handler directory whose weights are what trained weights are: normally distributed float32, seeded."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    with (folder / "weights.pt").open("wb") as stream:
        for _ in range(megabytes):
            stream.write(random.normal(0, 0.02, 250_000).astype(np.float32).tobytes())
    (folder / "handler.py").write_text(HANDLER, encoding="utf-8")
    (folder / "model.py").write_text("class Net:\n    pass\n", encoding="utf-8")
    (folder / "model-config.yaml").write_text(CONFIG, encoding="utf-8")
    (folder / "archive.toml").write_text('version = "1.0"\n', encoding="utf-8")


def torch_model_archiver(folder: Path, out: Path) -> None:
    from model_archiver.model_archiver_config import ModelArchiverConfig
    from model_archiver.model_packaging import generate_model_archive

    generate_model_archive(
        ModelArchiverConfig(
            model_name="large",
            handler=str(folder / "handler.py"),
            version="1.0",
            model_file=str(folder / "model.py"),
            serialized_file=str(folder / "weights.pt"),
            config_file=str(folder / "model-config.yaml"),
            export_path=str(out),
            force=True,
        )
    )


if __name__ == "__main__":
    main(
        __doc__,
        measure,
        megabytes={"type": int, "default": 500, "help": "size of the weights"},
        rounds={"type": int, "default": 3, "help": "each side so often"},
    )
