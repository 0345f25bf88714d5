"""Stages through a whole TorchServe: in shared batches, over HTTP, and not where they are turned off."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from goldmar.archive import build
from goldmar.backends.local import LocalServer
from goldmar.backends.worker import WorkerServer
from goldmar.golden import find_drawings, read_kept_stages
from goldmar.predict import NOT_GIVEN, ask_stages

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).resolve().parents[2]
GOLDMAR = Path(sys.executable).with_name("goldmar")
DRAWINGS = find_drawings(REPOSITORY / "golden/part_class/drawings")
STAGES = ["decode", "preprocess", "inference", "postprocess"]
MODELS = ("callouts", "part_class", "thickness")


@pytest.fixture(scope="module")
def handlers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of the repository, but for the number of workers: each imports torch, and one has all there is to see."""
    folder = tmp_path_factory.mktemp("handlers") / "handlers"
    shutil.copytree(REPOSITORY / "handlers", folder, ignore=shutil.ignore_patterns("__pycache__"))
    for model in MODELS:
        config = folder / model / "model-config.yaml"
        text = config.read_text(encoding="utf-8")
        config.write_text(re.sub(r"(?m)^(minWorkers|maxWorkers): \d+", r"\1: 1", text), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def archives(handlers: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("store")
    return [build(handlers / model, folder).path for model in MODELS]


@pytest.fixture(scope="module")
def server(archives: list[Path]) -> Iterator[LocalServer]:
    with LocalServer(archives) as running:
        yield running


def ask(server: LocalServer, number: int, word: str) -> requests.Response:
    """One request to part_class, whose batches hold four; odd numbers are no drawing."""
    drawing = DRAWINGS[number % len(DRAWINGS)]
    body = b"no drawing" if number % 5 == 1 else drawing.path.read_bytes()
    headers = {**server.endpoint.headers, "Content-Type": drawing.content_type}
    if word:
        headers["X-Goldmar-Stages"] = word
    return requests.post(f"{server.url}/predictions/part_class", data=body, headers=headers, timeout=60)


def test_clients_that_share_batches_get_their_own_stages(server: LocalServer) -> None:
    """Sixteen at once, some asking and some not, good drawings and bad ones."""
    alone = {one.drawing_id: one for one in ask_stages("part_class", DRAWINGS, server)}
    words = ("full", "", "digest", "full")
    with ThreadPoolExecutor(16) as clients:
        replies = list(clients.map(lambda number: ask(server, number, words[number % 4]), range(48)))
    asked = 0
    for number, reply in enumerate(replies):
        bad, word = number % 5 == 1, words[number % 4]
        assert reply.status_code == (400 if bad else 200)
        if not word:
            assert reply.headers["Content-Type"] == "application/json"
            assert "stages" not in reply.json()
            continue
        asked += 1
        assert reply.headers["Content-Type"] == "application/vnd.goldmar.stages+json"
        stages = reply.json()["stages"]
        assert [stage["stage"] for stage in stages] == ([] if bad else STAGES)
        if bad:
            assert reply.json()["answer"]["type"] == "BadDrawing"
            continue
        assert set(reply.json()["answer"]) == {"label", "scores"}
        kept = alone[DRAWINGS[number % len(DRAWINGS)].id]
        for told, want in zip(stages[:2], kept.stages[1:3], strict=True):
            assert [part["sha256"] for part in told["parts"]] == [part.sha256 for part in want.parts]
            assert all(("data" in part) == (word == "full") for part in told["parts"])
    assert asked == 36


@pytest.mark.parametrize("model", MODELS)
def test_the_server_and_the_worker_alone_tell_the_same(server: LocalServer, archives: list[Path], model: str) -> None:
    chosen = DRAWINGS[::4]
    with WorkerServer([path for path in archives if path.stem == model]) as worker:
        alone = list(ask_stages(model, chosen, worker))
    assert alone == list(ask_stages(model, chosen, server))
    assert all([stage.name for stage in one.stages] == ["drawing", *STAGES] for one in alone)


def test_what_is_kept_in_the_repository_is_what_the_models_do(server: LocalServer) -> None:
    """Decode and preprocess to the bit; the network's last digits are the processor's own."""
    for model in MODELS:
        kept = read_kept_stages(REPOSITORY / "golden" / model)
        drawings = find_drawings(REPOSITORY / "golden" / model / "drawings")
        assert set(kept) == {drawing.id for drawing in drawings}
        for told in ask_stages(model, drawings, server):
            for want, got in zip(kept[told.drawing_id].stages[:3], told.stages[:3], strict=True):
                assert [p.sha256 for p in want.parts] == [p.sha256 for p in got.parts], (told.drawing_id, want.name)


def test_the_environment_of_the_server_turns_it_off(archives: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLDMAR_STAGES", "off")
    with LocalServer(archives[-1:]) as running:
        (told,) = ask_stages("thickness", DRAWINGS[:1], running)
    assert (told.stages, told.problem) == ((), NOT_GIVEN)


def test_explain_through_torchserve_and_at_a_url(handlers: Path, tmp_path: Path) -> None:
    """By hand as a user does it: a golden with stages, another preprocessing, check --explain of two backends."""
    for folder in (handlers / "thickness", handlers / "common", REPOSITORY / "golden/thickness"):
        ignore = shutil.ignore_patterns("__pycache__", "obtained*")
        shutil.copytree(folder, tmp_path / folder.parent.name / folder.name, ignore=ignore)
    tensor = tmp_path / "handlers/common/tensor.py"
    tensor.write_text(tensor.read_text().replace("np.float32(1 / 255)", "np.float32(1 / 200)"))
    temporary = Path(tempfile.mkdtemp(prefix="gm", dir="/tmp"))
    environment = {**os.environ, "TMPDIR": str(temporary)}

    def goldmar(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(GOLDMAR), *arguments],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    try:
        assert goldmar("archive").returncode == 0
        check = ("check", "--explain", "--json")
        done = [goldmar(*check)]
        with LocalServer([tmp_path / "model_store/thickness.mar"]) as running:
            environment["TOKEN"] = running.endpoint.headers["Authorization"].removeprefix("Bearer ")
            done.append(goldmar(*check, "--url", running.url, "--token-env", "TOKEN"))
    finally:
        shutil.rmtree(temporary)
    for run, backend in zip(done, ("local", "remote"), strict=True):
        assert run.returncode == 1, run.stdout + run.stderr
        report = json.loads(run.stdout)
        assert report["backend"] == backend
        (model,) = report["models"]
        assert len(model["explanations"]) == len({failure["drawing_id"] for failure in model["failures"]}) > 10
        for one in model["explanations"]:
            assert one["stage"] == "preprocess"
            assert one["detail"].endswith(", after equal decode")
