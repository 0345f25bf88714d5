"""From `goldmar check` on built archives to its verdict, held against what TorchServe itself needs.

    python -m benchmarks.verdict

Side by side, in alternating order:

- `goldmar check` as a user types it: a new process, three models, a server of its own, report, server stopped;
- a plain `torchserve --start` of the same three archives, with TorchServe's own settings but for the ports and the
  tokens, until its management API shows every worker READY; then the same drawings, sent by as many clients. Stopping
  it is not counted.

The bar is the first over the second: at most 1.5.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from benchmarks.common import ROOT, Bar, Outcome, Table, interleaved, main, median_ratio, timed
from goldmar.backends.remote import RemoteServer
from goldmar.golden import find_drawings
from goldmar.predict import predict
from goldmar.transport.endpoint import Endpoint

CLIENTS = 4  # what goldmar check has by default
POLL_S = 0.02
BIN = Path(sys.executable).parent


def measure(asked: argparse.Namespace) -> Outcome:
    rounds = 1 if asked.quick else asked.rounds
    project: Path = asked.project.resolve()
    with tempfile.TemporaryDirectory(prefix="goldmar-bench-") as name:
        copy = copied(project, Path(name) / "project")
        subprocess.run([BIN / "goldmar", "archive"], cwd=copy, check=True, capture_output=True)
        models = sorted(path.stem for path in (copy / "model_store").glob("*.mar"))
        plain = Plain(copy, models)
        reports: list[dict[str, float]] = []
        seconds = interleaved(
            rounds,
            {"goldmar check": lambda: timed(lambda: reports.append(check(copy))), "TorchServe": plain.ready_and_asked},
        )
    ours, theirs = seconds.values()
    rows = [
        (f"goldmar check of {len(models)} models", median(ours)),
        ("– of that asking the models", median(sum(report.values()) for report in reports)),
        ("torchserve --start to READY, then the predictions", median(theirs)),
        ("– of that to READY", median(plain.ready_s)),
        ("– of that the predictions", median(plain.asking_s)),
    ]
    return Outcome(
        [Bar("goldmar check to its verdict, of TorchServe's own time", median_ratio(ours, theirs), "at most", 1.5)],
        [Table(f"Median of {rounds} rounds", ("", "s"), rows)],
    )


def copied(project: Path, target: Path) -> Path:
    """handlers/ and golden/ alone: the archives built here and what `check` writes stay out of the repository."""
    for part in ("handlers", "golden"):
        shutil.copytree(project / part, target / part, ignore=shutil.ignore_patterns("__pycache__", "obtained*"))
    return target


def check(project: Path) -> dict[str, float]:
    """`goldmar check --json` in a process of its own; model -> seconds of asking it, as the report has it."""
    command = [BIN / "goldmar", "check", "--clients", str(CLIENTS), "--json"]
    done = subprocess.run(command, cwd=project, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        msg = f"goldmar check ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        raise RuntimeError(msg)
    return {model["model"]: model["seconds"] for model in json.loads(done.stdout)["models"]}


class Plain:
    """TorchServe as its own documentation starts it, on the same archives."""

    def __init__(self, project: Path, models: Sequence[str]) -> None:
        self._project = project
        self._models = models
        self.ready_s: list[float] = []
        self.asking_s: list[float] = []

    def ready_and_asked(self) -> float:
        """Seconds from `torchserve --start` to every worker READY, and of one pass over all drawings."""
        with tempfile.TemporaryDirectory(prefix="goldmar-bench-") as name:
            folder = Path(name)
            inference, management, *others = free_ports(5)
            started = time.perf_counter()
            process = self._start(folder, inference, management, others)
            try:
                for model in self._models:
                    wait_until_ready(process, f"http://127.0.0.1:{management}/models/{model}")
                ready = time.perf_counter()
                server = RemoteServer(Endpoint(f"http://127.0.0.1:{inference}"), None, self._models)
                for model in self._models:
                    drawings = find_drawings(self._project / "golden" / model / "drawings")
                    for prediction in predict(model, drawings, server, clients=CLIENTS):
                        if prediction.problem is not None:
                            raise RuntimeError(prediction.problem)
                done = time.perf_counter()
            finally:
                end(process)
        self.ready_s.append(ready - started)
        self.asking_s.append(done - ready)
        return done - started

    def _start(self, folder: Path, inference: int, management: int, others: Sequence[int]) -> subprocess.Popen[bytes]:
        metrics, grpc_inference, grpc_management = others
        (folder / "config.properties").write_text(
            f"inference_address=http://127.0.0.1:{inference}\n"
            f"management_address=http://127.0.0.1:{management}\n"
            f"metrics_address=http://127.0.0.1:{metrics}\n"
            f"grpc_inference_port={grpc_inference}\ngrpc_management_port={grpc_management}\n"
            "max_request_size=67108864\n"
        )
        (folder / "tmp").mkdir()
        command = [BIN / "torchserve", "--start", "--foreground", "--ncs", "--disable-token-auth"]
        command += ["--model-store", self._project / "model_store", "--ts-config", folder / "config.properties"]
        command += ["--models", *(f"{model}={model}.mar" for model in self._models)]
        environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "TEMP": str(folder / "tmp"), **java_home()}
        environment |= {"LOG_LOCATION": str(folder / "logs"), "METRICS_LOCATION": str(folder / "logs")}
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process group and return once all of it is gone: the next contestant gets the machine to itself."""
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    while any(runs(one) for one in family):
        time.sleep(POLL_S)


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            msg = f"torchserve ended with {process.returncode}"
            raise RuntimeError(msg)
        try:
            with urlopen(url, timeout=10) as answer:
                (said,) = json.load(answer)
            ready = sum(worker["status"] == "READY" for worker in said["workers"])
            if ready >= max(1, said["minWorkers"]):
                return
        except (URLError, ConnectionError):
            pass
        time.sleep(POLL_S)
    msg = f"{url} was not READY within two minutes"
    raise RuntimeError(msg)


def java_home() -> dict[str, str]:
    """The Java that goldmar takes, so that both sides run the same."""
    from goldmar.serve.java import find_java

    return {"JAVA_HOME": str(find_java(None).parent.parent)}


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(held.getsockname()[1]) for held in sockets]
    for held in sockets:
        held.close()
    return ports


if __name__ == "__main__":
    main(
        __doc__,
        measure,
        project={"type": Path, "default": ROOT, "help": "folder that holds handlers/ and approved goldens"},
        rounds={"type": int, "default": 5, "help": "each side so often"},
    )
