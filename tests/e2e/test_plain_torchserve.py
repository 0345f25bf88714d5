"""The archives are TorchServe's own: `torchserve --start --model-store ... --models all` takes them as they are."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from goldmar.archive import build
from goldmar.serve.java import find_java

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
MODEL = "thickness"
# `torchserve` is the console script of this module.
MODEL_SERVER = (sys.executable, "-m", "ts.model_server", "--start", "--foreground", "--ncs", "--disable-token-auth")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_every_model_of_the_store_is_served(tmp_path: Path) -> None:
    store = tmp_path / "model_store"
    store.mkdir()
    build(ROOT / "handlers" / MODEL, store)
    inference, management, metrics, *grpc = (free_port() for _ in range(5))
    config = tmp_path / "config.properties"
    config.write_text(
        f"inference_address=http://127.0.0.1:{inference}\n"
        f"management_address=http://127.0.0.1:{management}\n"
        f"metrics_address=http://127.0.0.1:{metrics}\n"
        f"grpc_inference_port={grpc[0]}\ngrpc_management_port={grpc[1]}\n"
    )
    java = find_java(None)
    home = java.parent.parent if java.name == "java" else java
    log = tmp_path / "console.log"
    with log.open("wb") as console:
        server = subprocess.Popen(
            [*MODEL_SERVER, "--model-store", str(store), "--models", "all", "--ts-config", str(config)],
            cwd=tmp_path,
            env={**os.environ, "JAVA_HOME": str(home), "TEMP": str(tmp_path), "TMPDIR": str(tmp_path)},
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        ready = await_ready(f"http://127.0.0.1:{management}/models/{MODEL}", server)
        assert ready, log.read_text()[-3000:]
        drawing = next((ROOT / "golden" / MODEL / "drawings").glob("*/*.png"))
        answer = requests.post(
            f"http://127.0.0.1:{inference}/predictions/{MODEL}", data=drawing.read_bytes(), timeout=60
        )
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) == {"thickness"}
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def await_ready(url: str, server: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            workers = requests.get(url, timeout=5).json()[0]["workers"]
        except (requests.ConnectionError, KeyError, IndexError):
            workers = []
        if workers and all(worker["status"] == "READY" for worker in workers):
            return True
        time.sleep(0.25)
    return False
