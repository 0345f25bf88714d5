"""Archiving a model with large weights: goldmar beside torch-model-archiver, in one run, on the same files.

    python -m benchmarks.archive --megabytes 500

Both are timed as a child process would see them, from the first file read to the archive on disk. goldmar's time
includes the content digest and the fsync; torch-model-archiver does neither.
"""

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from goldmar.archive import build

HANDLER = "class Handler:\n    def handle(self, data, context):\n        return data\n"
CONFIG = """minWorkers: 1
maxWorkers: 1
batchSize: 1
maxBatchDelay: 0
startupTimeout: 60
responseTimeout: 60
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=500, help="size of the weights")
    parser.add_argument("--rounds", type=int, default=3, help="best of so many")
    asked = parser.parse_args()
    logging.disable(logging.WARNING)  # torch-model-archiver says at each round that it overwrites

    with tempfile.TemporaryDirectory(prefix="goldmar-bench-") as name:
        root = Path(name)
        handler, store, theirs = root / "handlers/large", root / "store", root / "theirs"
        theirs.mkdir()
        write_handler(handler, asked.megabytes)
        os.environ["TMPDIR"] = str(root)
        tempfile.tempdir = None

        ours = best(asked.rounds, lambda: build(handler, store))
        other = best(asked.rounds, lambda: torch_model_archiver(handler, theirs))
        sizes = [(path / "large.mar").stat().st_size / 1e6 for path in (store, theirs)]

    print(f"archiving {asked.megabytes} MB of weights, best of {asked.rounds}")
    print(f"  goldmar archive       {ours:7.2f} s   {sizes[0]:7.0f} MB")
    print(f"  torch-model-archiver  {other:7.2f} s   {sizes[1]:7.0f} MB")
    print(f"  ratio {other / ours:.1f} (bar: at least 8)")


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


def best(rounds: int, work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    main()
