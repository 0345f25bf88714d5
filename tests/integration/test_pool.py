"""Connections of the hot path: closed with the thread that asked, and one for each model."""

import gc
import time
from pathlib import Path

import psutil
import pytest

from goldmar.predict import predict
from goldmar.records import Drawing, Request
from tests.integration.fake_server import FakeServer, json_answer, torchserve
from tests.support.servers import At


@pytest.fixture
def drawings(tmp_path: Path) -> list[Drawing]:
    (tmp_path / "a").write_bytes(b"a")
    return [Drawing(str(number), tmp_path / "a", "image/png") for number in range(40)]


def connected(port: int) -> int:
    here = psutil.Process().net_connections(kind="tcp")
    return sum(1 for each in here if each.raddr and each.raddr.port == port and each.status == "ESTABLISHED")


def test_nothing_is_open_once_all_are_answered(drawings: list[Drawing]) -> None:
    """By counting references alone: what hangs in a circle would be open until somebody looks for circles."""
    gc.disable()
    try:
        with FakeServer(torchserve(1.5)) as server:
            asked = At(server.url)
            assert len(predict("m", drawings, asked, clients=4)) == 40
            assert server.connections <= 4, "they are kept alive in between"
            until = time.monotonic() + 5
            while connected(server.port) and time.monotonic() < until:
                time.sleep(0.01)
            assert connected(server.port) == 0
            assert asked.origin.url == server.url
    finally:
        gc.enable()


def test_models_behind_one_gateway_name_their_answers_differently(drawings: list[Drawing]) -> None:
    """One names them and the other does not: of one server alone that would be somebody else's answer."""
    with FakeServer(torchserve(1.5), torchserve(1.5), json_answer(2.5)) as server:
        asked = At(server.url)
        for model in ("named", "named", "bare", "bare"):
            assert asked.ask(Request(model, drawings[0])).status == 200
