"""Asking for stages: what a server may answer instead, and that headers go the way of each backend."""

import json
from pathlib import Path

import pytest

from goldmar.errors import ModelUnknownError, UnreachableError
from goldmar.predict import NOT_GIVEN, ask_stages
from goldmar.predict.staged import CONTENT_TYPE
from goldmar.records import Answer, Drawing, Staged
from tests.integration.fake_server import FakeServer, json_answer
from tests.support.servers import At, Function

PART = {"name": "", "dtype": "<f4", "shape": [2], "sha256": "0" * 64, "summary": {"mean": 1.5}}
BODY = {"answer": {"thickness": 9.6}, "stages": [{"stage": "decode", "parts": [PART]}]}


@pytest.fixture
def drawings(tmp_path: Path) -> list[Drawing]:
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode())
    return [Drawing(name, tmp_path / name, "image/png") for name in "abc"]


def told(drawings: list[Drawing], body: object, *, status: int = 200, content_type: str = CONTENT_TYPE) -> Staged:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    (one,) = ask_stages("m", drawings[:1], Function(lambda *_: Answer(status, content_type, content)))
    return one


def test_the_header_goes_to_a_function_and_over_http(drawings: list[Drawing]) -> None:
    asked = []

    def ask(model: str, drawing: Drawing, headers: object = None) -> Answer:
        asked.append((model, drawing.id, headers))
        return Answer(200, CONTENT_TYPE, json.dumps(BODY).encode())

    assert [one.drawing_id for one in ask_stages("m", drawings, Function(ask))] == ["a", "b", "c"]
    assert asked == [("m", name, {"X-Goldmar-Stages": "full"}) for name in "abc"]
    with FakeServer(json_answer(BODY, headers={"content-type": CONTENT_TYPE})) as server:
        target = At(server.url, headers={"Authorization": "Bearer t"})
        assert [one.drawing_id for one in ask_stages("m", drawings, target)] == ["a", "b", "c"]
    for request in server.asked:
        assert {"x-goldmar-stages": "full", "authorization": "Bearer t"}.items() <= dict(request.headers).items()
    assert len(server.asked) == 3


def test_the_file_comes_before_the_stages(drawings: list[Drawing]) -> None:
    one = told(drawings, BODY)
    assert [stage.name for stage in one.stages] == ["drawing", "decode"]
    (file,) = one.stages[0].parts
    assert (file.dtype, file.shape) == ("file", (1,))
    assert file.sha256 == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    assert one.problem is None


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"null", b'{"stages": 3}', b'{"stages": [{}]}', b'{"stages": {"a": 1}}', b"[" * 100_000],
    ids=["cut", "a list", "null", "a number", "no name", "an object", "deep"],
)
def test_stages_that_are_none(drawings: list[Drawing], body: bytes) -> None:
    one = told(drawings, body)
    assert one.stages == ()
    assert one.problem is not None
    assert one.problem.startswith("its stages cannot be read: ")


def test_a_plain_answer_says_that_they_are_not_given(drawings: list[Drawing]) -> None:
    one = told(drawings, {"thickness": 9.6}, content_type="application/json")
    assert (one.stages, one.problem) == ((), NOT_GIVEN)


def test_a_refusal_keeps_the_stages_before_it(drawings: list[Drawing]) -> None:
    one = told(drawings, {**BODY, "answer": {"message": "too dark."}}, status=400)
    assert [stage.name for stage in one.stages] == ["drawing", "decode"]
    assert one.problem == "the model refuses it (status 400): too dark."
    assert told(drawings, {**BODY, "answer": 3}, status=500).problem == (
        "the model refuses it (status 500): it does not say why"
    )


def test_a_refusal_without_stages_says_why(drawings: list[Drawing]) -> None:
    body = {"code": 400, "type": "BadDrawing", "message": "too dark."}
    one = told(drawings, body, status=400, content_type="application/json")
    assert (one.stages, one.problem) == ((), "The model refused the drawing (status 400): too dark.")


def test_a_server_that_is_of_no_use_is_no_problem_of_a_drawing(drawings: list[Drawing]) -> None:
    with pytest.raises(ModelUnknownError):
        told(
            drawings,
            {"code": 404, "type": "ModelNotFoundException", "message": "no such model"},
            status=404,
            content_type="application/json",
        )
    with pytest.raises(UnreachableError):
        list(ask_stages("m", drawings, At("http://127.0.0.1:1", timeout_s=1)))
