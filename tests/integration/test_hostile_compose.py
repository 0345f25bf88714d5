"""The scripts in the containers, with a handler behind TorchServe that means harm."""

import importlib.util
import json
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from tests.integration.fake_server import FakeServer, answer, json_answer
from tests.integration.test_hostile_control import CHUNKED, HEAD, endless

COMPOSE = Path(__file__).resolve().parents[2] / "compose"


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"compose_{name}", COMPOSE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def ready() -> ModuleType:
    made = module("ready")
    made.TIMEOUT_S = 0.5
    return made


def test_an_answer_without_end_has_one(ready: ModuleType) -> None:
    with FakeServer(endless(CHUNKED, b"10000\r\n" + b"x" * 0x10000 + b"\r\n")) as server:
        assert ready.request(server.url, "t") == (200, b"x" * ready.MAX_ANSWER)


@pytest.mark.parametrize("start", [HEAD + b"content-length: 9999\r\n\r\n", HEAD + b"x-a: ", HEAD, b""])
def test_dripping_bytes_are_ended_by_the_clock(ready: ModuleType, start: bytes) -> None:
    began = time.monotonic()
    with FakeServer(endless(start, b"x", pause_s=0.1)) as server, pytest.raises(TimeoutError) as caught:
        ready.request(server.url, "t")
    assert time.monotonic() - began < 3
    assert ready.reason(caught.value)


def test_headers_without_end_and_what_is_no_http(ready: ModuleType) -> None:
    for behaviour in (endless(HEAD, b"x-a: y\r\n"), endless(HEAD, b"b" * 1000), endless(b"", b"what?\r\n")):
        with FakeServer(behaviour) as server, pytest.raises(OSError, match="no HTTP"):
            ready.request(server.url, "t")


def test_the_token_follows_no_redirect(ready: ModuleType) -> None:
    with FakeServer(json_answer({})) as other:
        with FakeServer(answer(302, headers={"location": other.url})) as server:
            assert ready.request(server.url, "t")[0] == 302
        assert not other.asked


@pytest.mark.parametrize("body", [b"{}", b"[]", b"[" * 100_000, b'[{"workers": 3, "minWorkers": 1}]', b"\xff"])
def test_management_of_another_shape(ready: ModuleType, body: bytes) -> None:
    with FakeServer(answer(200, body)) as server:
        ready.MANAGEMENT = server.url
        with pytest.raises(ready.NotReady, match="does not tell how many workers"):
            ready.workers_ready("m", "t")


def test_what_a_handler_says_is_text(ready: ModuleType) -> None:
    said = ready.plain("a\x1b[31m\n  ::error::x\n##[group]\n\u202eb\rc")
    assert all(line.isprintable() and not line.lstrip().startswith("::") for line in said.split("\n"))
    assert "##[" not in said


STATES = [b"[" * 100_000, b"[]", b"\xff", b'{"why": 3, "detail": null, "ready": "yes"}', b" " * 3_000_000 + b"{}"]


@pytest.mark.parametrize("state", STATES, ids=range(len(STATES)))
def test_a_state_of_another_shape_is_none(tmp_path: Path, state: bytes) -> None:
    batch = module("batch")
    batch.SHARED = tmp_path
    nothing = batch.read_state()
    (tmp_path / "state.json").write_bytes(state)
    assert batch.read_state() == nothing


def test_the_state_is_text(tmp_path: Path) -> None:
    batch = module("batch")
    batch.SHARED = tmp_path
    said = {"ready": False, "hopeless": True, "why": "\x1b[31m", "detail": "a\n::error::b"}
    (tmp_path / "state.json").write_text(json.dumps(said))
    assert batch.read_state() == said | {"why": "\\x1b[31m", "detail": "a\n\\x3a:error::b"}


def test_links_of_the_goldens_stay_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drawing that is a link to the token must not become a copy of the token."""
    batch = module("batch")
    for name in ("golden", "work", "reports", "shared"):
        (tmp_path / name).mkdir()
        setattr(batch, name.upper(), tmp_path / name)
    (tmp_path / "shared/token").write_text("secret")
    (tmp_path / "golden/m/drawings").mkdir(parents=True)
    (tmp_path / "golden/m/drawings/x.png").symlink_to(tmp_path / "shared/token")
    monkeypatch.setattr(batch, "wait", lambda _: 3)
    monkeypatch.setattr(sys, "argv", ["batch.py"])
    assert batch.main() == 3
    assert (tmp_path / "work/golden/m/drawings/x.png").is_symlink()
