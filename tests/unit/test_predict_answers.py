"""What statuses and bodies mean, without a network: what tests/integration/test_predict_faults.py does not reach."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from goldmar.errors import GoldmarError, ModelUnknownError, ServerError, TokenError, WorkerDiedError
from goldmar.predict import interpret
from goldmar.predict.answers import overloaded, retry_after_s
from goldmar.records import Answer, Drawing

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
        interpret(DRAWING, Answer(status, "", body), 0.1, 1, model="thickness", url="http://h/predictions/thickness")
    error = caught.value
    assert (error.model, error.url) == ("thickness", "http://h/predictions/thickness")
    assert str(status) in str(error)
    assert error.fix


@pytest.mark.parametrize("words", ["Prediction failed", "Invalid model predict output"])
def test_the_words_of_a_worker_without_a_server(words: str) -> None:
    assert words in problem(503, words.encode())


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


def test_what_is_asked_again() -> None:
    no_worker = (
        b'{"code": 503, "type": "ServiceUnavailableException", "message": "Model \\"m\\" has no worker to serve '
    )
    no_worker += b'inference request. Please use scale workers API to add workers."}'
    assert overloaded(Answer(503, "", no_worker))
    assert overloaded(Answer(429, "", b""))
    assert overloaded(Answer(503, "", b"", {"retry-after": "1"}))
    failed = b'{"code": 503, "type": "InternalServerException", "message": "Prediction failed"}'
    assert not overloaded(Answer(503, "", failed))
    assert not overloaded(Answer(500, "", no_worker))
    assert not overloaded(Answer(200, "", no_worker))


def test_retry_after_as_a_number_a_date_and_nonsense() -> None:
    assert retry_after_s({"retry-after": "7"}) == 7.0
    soon = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert retry_after_s({"retry-after": soon}) == pytest.approx(3600, abs=60)
    for text in ("", "soon", "-1", "1.5", "²", "Mon, 99 Nov 9999 99:99:99 GMT"):
        assert retry_after_s({"retry-after": text}) is None
    assert retry_after_s({}) is None
