"""What statuses and bodies mean, without a network: what tests/integration/test_predict_faults.py does not reach."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import pytest

from goldmar import text
from goldmar.errors import (
    GoldmarError,
    ModelUnknownError,
    OverloadedError,
    ServerError,
    TokenError,
    UnreachableError,
    WorkerDiedError,
)
from goldmar.predict.retries import retry_after_s
from goldmar.protocols.torchserve import TorchServe
from goldmar.records import Answer, Drawing
from tests.support.servers import read as interpret

DRAWING = Drawing("plates/WA-1", Path("plates/WA-1.png"), "image/png")


def problem(status: int, body: bytes) -> str:
    prediction = interpret(DRAWING, Answer(status, "application/json", body), 0.25, 2)
    assert (prediction.drawing_id, prediction.status) == ("plates/WA-1", status)
    assert (prediction.latency_s, prediction.attempts) == (0.25, 2)
    assert prediction.values == {}
    assert prediction.problem
    return prediction.problem


def test_an_answer_with_values() -> None:
    prediction = interpret(DRAWING, Answer(200, "", b'{"thickness": 9.5}'), 0.25, 1)
    assert prediction.values == {"thickness": 9.5}
    assert prediction.problem is None


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (100, b"", ServerError),
        (408, b"", ServerError),
        (405, b'{"code": 405, "type": "MethodNotAllowedException", "message": "no"}', ModelUnknownError),
        (403, b'{"code": 403, "type": "IllegalArgumentException", "message": "no"}', TokenError),
        (500, b'{"code": 500, "type": "InternalServerException", "message": "Worker scaled down."}', WorkerDiedError),
        (500, b"Traceback (most recent call last)", ServerError),
        (504, b"", ServerError),
        (507, b"Out of resources", ServerError),
        (599, b"[1]", ServerError),
    ],
)
def test_what_ends_the_run(status: int, body: bytes, kind: type[GoldmarError]) -> None:
    with pytest.raises(kind) as caught:
        interpret(
            DRAWING,
            Answer(status, "", body, {"server": "another"}),
            0.1,
            1,
            model="thickness",
            url="http://h/predictions/thickness",
        )
    error = caught.value
    assert (error.model, error.url) == ("thickness", "http://h/predictions/thickness")
    assert str(status) in str(error)
    assert error.fix


def test_what_another_server_wants_is_named_with_the_option_for_it() -> None:
    """Of TorchServe, or its worker, the same status is what the handler says of the drawing."""
    for status in (400, 415, 422):
        refused = interpret(DRAWING, Answer(status, "", b'{"detail": [{"loc": ["file"]}]}', {"server": "x"}), 0.1, 1)
        assert "--field NAME for a form, --content-type TYPE, or request.toml" in (refused.problem or "")
        assert "--field" not in problem(status, b"no such part")
    page = interpret(DRAWING, Answer(200, "", b"<html>", {"server": "x"}), 0.1, 1).problem or ""
    assert "--url and --path" in page
    assert "--url" not in problem(200, b"<html>")
    assert "It is empty." in problem(200, b" ")
    with pytest.raises(TokenError) as caught:
        interpret(DRAWING, Answer(401, "", b"", {"server": "x"}), 0.1, 1)
    assert "--header X-Api-Key=NAME" in (caught.value.fix or "")


TORCHSERVE = {"x-request-id": "1", "expires": "Thu, 01 Jan 1970 00:00:00 UTC"}


@pytest.mark.parametrize("headers", [TORCHSERVE, {}])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 418, 500, 503, 512])
@pytest.mark.parametrize(
    "body",
    [
        b'{"code": 1, "type": "BadDrawing", "message": "No title block."}',
        b'{"code": 1, "type": "InternalServerException", "message": "No title block."}',
        b'{"error": "No title block."}',
        b"No title block.",
    ],
)
def test_a_status_that_the_handler_chose_is_about_the_drawing(
    status: int, body: bytes, headers: dict[str, str]
) -> None:
    prediction = interpret(DRAWING, Answer(status, "", body, headers), 0.1, 1)
    assert prediction.problem
    assert "No title block." in prediction.problem


@pytest.mark.parametrize("headers", [TORCHSERVE, {}])
@pytest.mark.parametrize(
    ("status", "kind", "words", "error"),
    [
        (400, "InvalidKeyException", "Token Authentication failed.", TokenError),
        (404, "ModelNotFoundException", "Model not found: thickness", ModelUnknownError),
        (500, "InternalServerException", "Worker died.", WorkerDiedError),
        (507, "InternalServerException", "Out of resources", ServerError),
        (503, "ServiceUnavailableException", 'Model "m" has no worker to serve inference request.', OverloadedError),
    ],
)
def test_what_torchserve_itself_says_ends_the_run(
    status: int, kind: str, words: str, error: type[GoldmarError], headers: dict[str, str]
) -> None:
    body = json.dumps({"code": status, "type": kind, "message": words}).encode()
    with pytest.raises(error, match=re.escape(words)):
        interpret(DRAWING, Answer(status, "", body, headers), 0.1, 1)


def test_words_are_shown_on_one_line_and_not_without_end() -> None:
    said = problem(400, b"\x1b[31mbad\n\n  drawing" + b"x" * 10_000)
    assert said.isprintable()
    assert "bad drawing" in said
    assert len(said) < 400


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"detail": "No  page.\\n"}', "No page."),
        (b'{"error": "No page."}', "No page."),
        (b'{"message": "No page."}', "No page."),
        (b'{"detail": [{"msg": "field required"}]}', "field required"),
        (b'["No page."]', "No page."),
        (b"", "does not say why"),
    ],
)
def test_the_reason_is_found_in_what_servers_send(body: bytes, words: str) -> None:
    assert words in problem(422, body)


def test_an_error_that_nests_without_end_or_is_a_megabyte_is_told_by_its_beginning() -> None:
    assert "[[[" in problem(422, b"[" * 100_000)
    body = b'{"detail": "No page.", "rest": "' + b"x" * (1024 * 1024) + b'"}'
    assert '{"detail": "No page.", "rest": "xx' in problem(422, body)
    exactly = body[: 1024 * 1024 - 2] + b'"}'
    assert problem(422, exactly).endswith(": No page.")


THEIRS = {"server": "another"}


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (413, b"", "larger than the server takes (status 413)"),
        (422, b"", "The model refused the drawing (status 422): it does not say why"),
        (499, b"", "The model refused the drawing (status 499)"),
        (400, b"No page.", "The model refused the drawing (status 400): No page."),
        (400, b'{"code": 400, "type": ["InvalidKeyException"], "message": "x"}', "refused the drawing"),
        (400, b'{"code": 400, "type": "InvalidKeyException", "message": ["x"]}', "refused the drawing"),
        (400, b'{"type": "InvalidKeyException", "message": "x"}', "(status 400): x"),
        (422, b'{"code": 422, "type": "InvalidKeyException", "message": "x"}', "(status 422): x"),
        (400, b'{"code": 1, "type": "Other", "message": "Prediction failed"}', "(status 400): Prediction failed"),
    ],
)
def test_what_another_server_says_of_a_drawing(status: int, body: bytes, words: str) -> None:
    prediction = interpret(DRAWING, Answer(status, "", body, THEIRS), 0.1, 1)
    assert words in str(prediction.problem)


@pytest.mark.parametrize("words", ["Prediction failed", "Invalid model predict output"])
def test_a_handler_that_went_wrong_is_told_from_a_status_that_it_chose(words: str) -> None:
    body = json.dumps({"code": 503, "type": "InternalServerException", "message": words}).encode()
    assert "the handler r" in problem(503, body)
    assert problem(512, body) == f"The model failed on the drawing (status 512): {words}"
    assert problem(500, body) == f"The model failed on the drawing (status 500): {words}"


@pytest.mark.parametrize(
    ("status", "words", "error", "said"),
    [
        (500, "Worker died.", WorkerDiedError, "died or ran into its response timeout"),
        (507, "Worker died.", WorkerDiedError, "was killed, by somebody or for want of memory"),
        (507, "Out of resources", ServerError, "ran out of memory"),
        (502, "Worker died.", ServerError, "The server failed"),
        (500, "A Worker died.", ServerError, "The server failed"),
        (302, "", UnreachableError, "redirects to an address it does not name"),
        (399, "", UnreachableError, "redirects to"),
        (429, "", OverloadedError, "asked once"),
    ],
)
@pytest.mark.parametrize("headers", [THEIRS, {"expires": "Thu, 01 Jan 1970 00:00:00 UTC"}], ids=["other", "torchserve"])
def test_the_words_of_what_ends_the_run(
    status: int, words: str, error: type[GoldmarError], said: str, headers: dict[str, str]
) -> None:
    kind = "InternalServerException" if words.startswith("Worker") else ""
    body = json.dumps({"code": status, "type": kind, "message": words} if kind else {"error": words}).encode()
    if words == "A Worker died." and headers is not THEIRS:
        return  # there a handler chose it
    with pytest.raises(error, match=re.escape(said)) as caught:
        interpret(DRAWING, Answer(status, "", body, headers), 0.1, 1)
    assert type(caught.value) is error


def test_an_answer_is_read_as_it_is_and_repeats_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_forms", {})
    monkeypatch.setattr(text, "_pattern", None)
    packed = interpret(DRAWING, Answer(200, "", b"1", {"content-encoding": "br"}), 0.1, 1)
    assert (packed.values, "it is encoded as br" in str(packed.problem)) == ({}, True)
    assert "json.dumps" in problem(200, b"<html>")
    assert "json.dumps" not in problem(200, b'{"a": 1, "a": 2}')
    text.keep_secret("s3cret-s3cret")
    assert interpret(DRAWING, Answer(200, "", b'{"a": 1, "b": "c"}'), 0.1, 1).values == {"a": 1, "b": "c"}
    assert "repeats the token" in problem(200, b'{"a": 1, "b": "s3cret\\u002ds3cret"}')


def test_what_is_asked_again() -> None:
    no_worker = (
        b'{"code": 503, "type": "ServiceUnavailableException", "message": "Model \\"m\\" has no worker to serve '
    )
    no_worker += b'inference request. Please use scale workers API to add workers."}'
    assert TorchServe().overloaded(Answer(503, "", no_worker))
    assert TorchServe().overloaded(Answer(429, "", b""))
    assert TorchServe().overloaded(Answer(503, "", b"", {"retry-after": "1"}))
    failed = b'{"code": 503, "type": "InternalServerException", "message": "Prediction failed"}'
    assert not TorchServe().overloaded(Answer(503, "", failed))
    assert not TorchServe().overloaded(Answer(500, "", no_worker))
    assert not TorchServe().overloaded(Answer(200, "", no_worker))


ENDLESS = f"Thu, 01 Jan 1970 00:00:00 +{'9' * 20}"


def test_retry_after_as_a_number_a_date_and_nonsense() -> None:
    assert retry_after_s(Answer(503, "", b"", {"retry-after": "7"})) == 7.0
    soon = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert retry_after_s(Answer(503, "", b"", {"retry-after": soon})) == pytest.approx(3600, abs=60)
    elsewhere = datetime.now(timezone(timedelta(hours=2))) + timedelta(hours=1)
    unknown = (datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None)  # written as -0000
    for when in (elsewhere, unknown):
        assert retry_after_s(Answer(503, "", b"", {"retry-after": format_datetime(when)})) == pytest.approx(
            3600, abs=60
        )
    for said in ("", "soon", "-1", "1.5", "²", "Mon, 99 Nov 9999 99:99:99 GMT", ENDLESS):
        assert retry_after_s(Answer(503, "", b"", {"retry-after": said})) is None
    assert retry_after_s(Answer(503, "", b"", {})) is None


@pytest.mark.parametrize("status", range(201, 300))
def test_no_other_status_is_an_answer_whatever_it_holds(status: int) -> None:
    said = problem(status, b'{"thickness": 9.5}')
    assert f"Status {status} is not the answer of a model" in said


def test_a_part_of_an_answer_has_its_own_words() -> None:
    assert "it is a part of an answer" in problem(206, b"1")
    headers = {"content-range": "bytes 0-0/9"}
    prediction = interpret(DRAWING, Answer(200, "application/json", b"1", headers), 0.1, 1)
    assert prediction.values == {}
    assert "is a part of one" in str(prediction.problem)
