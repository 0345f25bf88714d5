"""A handler called in this process, without any server: the limit that serving is held against.

    python -m benchmarks.inprocess ARCHIVE DRAWINGS

Loads the archive with TorchServe's own loader, then reads lines such as {"batch": 4, "seconds": 3, "start_at": 12.5}
(`start_at` on the monotonic clock, which processes share) and answers each with {"drawings": 310, "seconds": 3.01}.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT
from goldmar.golden import find_drawings
from goldmar.mar import unpack

__all__ = ["Limit", "load_with_handler"]


class Limit:
    """As many processes as asked, each with the handler loaded; they work only while `rate` is being measured."""

    def __init__(self, mar: Path, drawings: Path, *, processes: int) -> None:
        command = [sys.executable, "-m", "benchmarks.inprocess", str(mar), str(drawings)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self._stack = ExitStack()
        self._processes = [
            self._stack.enter_context(subprocess.Popen(command, cwd=ROOT, **pipes))  # type: ignore[call-overload]
            for _ in range(processes)
        ]
        self._read()  # loaded

    def __enter__(self) -> "Limit":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.stdin.close()
        self._stack.close()

    def rate(self, *, batch: int, seconds: float) -> float:
        """Drawings a second, of all processes together."""
        start_at = time.monotonic() + 0.05
        for process in self._processes:
            process.stdin.write(json.dumps({"batch": batch, "seconds": seconds, "start_at": start_at}) + "\n")
            process.stdin.flush()
        return sum(said["drawings"] / said["seconds"] for said in self._read())

    def _read(self) -> list[dict[str, Any]]:
        lines = [process.stdout.readline() for process in self._processes]
        if not all(lines):
            msg = "a process of the in-process limit ended; run python -m benchmarks.inprocess by hand to see why"
            raise RuntimeError(msg)
        return [json.loads(line) for line in lines]


# ---- in the child ---------------------------------------------------------------------------------------------------


def load(folder: Path) -> Callable[[Sequence[bytes]], Any]:
    """The handler of an unpacked archive as a function of a batch of bodies."""
    return load_with_handler(folder)[0]


def load_with_handler(folder: Path) -> tuple[Callable[[Sequence[bytes]], Any], Any]:
    """The same, and the handler itself."""
    import ts
    from ts.context import RequestProcessor
    from ts.metrics.metric_cache_yaml_impl import MetricsCacheYamlImpl
    from ts.model_loader import ModelLoaderFactory

    metrics = MetricsCacheYamlImpl(config_file_path=str(Path(ts.__file__).parent / "configs" / "metrics.yaml"))
    metrics.initialize_cache()
    sys.path.insert(0, str(folder))
    service = ModelLoaderFactory.get_model_loader().load(
        "limit", str(folder), handler="handler.py", batch_size=1, metrics_cache=metrics
    )
    context = service.context

    def answer(bodies: Sequence[bytes]) -> Any:
        context.request_ids = metrics.request_ids = {index: str(index) for index in range(len(bodies))}
        context.request_processor = [RequestProcessor({}) for _ in bodies]
        answers = service._entry_point([{"body": body} for body in bodies], context)
        if len(answers) != len(bodies) or any(
            processor.get_response_status_code() != 200 for processor in context.request_processor
        ):
            msg = "the handler refused a drawing of its own golden"
            raise RuntimeError(msg)
        return answers

    return answer, service._entry_point.__self__


def work(answer: Callable[[Sequence[bytes]], Any], bodies: Sequence[bytes], asked: dict[str, Any]) -> dict[str, Any]:
    queue = cycle(random.Random(os.getpid()).sample(bodies, len(bodies)))
    time.sleep(max(0.0, asked["start_at"] - time.monotonic()))
    done, started = 0, time.perf_counter()
    # Whole passes, since some drawings take longer than others.
    while (elapsed := time.perf_counter() - started) < asked["seconds"] or done % len(bodies):
        answer(list(islice(queue, asked["batch"])))
        done += asked["batch"]
    return {"drawings": done, "seconds": elapsed}


def main() -> None:
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the handler prints
    mar, drawings = map(Path, sys.argv[1:])
    bodies = [drawing.path.read_bytes() for drawing in find_drawings(drawings)]
    with tempfile.TemporaryDirectory(prefix="goldmar-bench-") as folder:
        unpack(mar, Path(folder))
        answer = load(Path(folder))
        for body in bodies:
            answer([body])
        print(json.dumps({"loaded": len(bodies)}), file=replies, flush=True)
        for line in sys.stdin:
            print(json.dumps(work(answer, bodies, json.loads(line))), file=replies, flush=True)


if __name__ == "__main__":
    main()
