"""Asking through a function: the same order, retries and errors as over HTTP, and nothing that hangs."""

import threading
from pathlib import Path

import pytest

from goldmar.errors import OverloadedError, ServerError, UsageError
from goldmar.predict import Retries, predict
from goldmar.records import Answer, Drawing, Prediction
from tests.support.servers import Function

DRAWINGS = [Drawing(str(number), Path(f"{number}.png"), "image/png") for number in range(50)]
NO_WORKER = Answer(503, "", b"has no worker to serve inference request")
QUICK = Retries(limit=2, first_s=0.001, cap_s=0.001)


def echo(model: str, drawing: Drawing) -> Answer:
    return Answer(200, "application/json", f'{{"id": "{model} {drawing.id}"}}'.encode())


def test_every_drawing_is_asked_once_and_the_order_kept() -> None:
    asked: list[str] = []

    def ask(model: str, drawing: Drawing) -> Answer:
        asked.append(drawing.id)
        return echo(model, drawing)

    arrived: list[str] = []
    predictions = predict("m", DRAWINGS, Function(ask), clients=8, on_prediction=lambda p: arrived.append(p.drawing_id))
    assert [prediction.values["id"] for prediction in predictions] == [f"m {number}" for number in range(50)]
    assert sorted(asked) == sorted(arrived) == sorted(drawing.id for drawing in DRAWINGS)
    assert all(prediction.latency_s > 0 for prediction in predictions)


def test_as_many_at_once_as_there_are_clients() -> None:
    # Passes only when three are in the function at the same time.
    together = threading.Barrier(3, timeout=20)

    def ask(model: str, drawing: Drawing) -> Answer:
        together.wait()
        return echo(model, drawing)

    assert len(predict("m", DRAWINGS[:9], Function(ask), clients=3)) == 9


def test_one_client_asks_one_at_a_time() -> None:
    inside = threading.Lock()

    def ask(model: str, drawing: Drawing) -> Answer:
        assert inside.acquire(blocking=False)
        inside.release()
        return echo(model, drawing)

    predict("m", DRAWINGS, Function(ask), clients=1)


def test_the_callback_runs_in_the_calling_thread() -> None:
    threads: set[threading.Thread] = set()
    predict("m", DRAWINGS, Function(echo), on_prediction=lambda _: threads.add(threading.current_thread()))
    assert threads == {threading.current_thread()}


def test_nothing_to_ask() -> None:
    assert predict("m", [], Function(echo)) == []


@pytest.mark.parametrize(("options", "words"), [({"clients": 0}, "clients is 0")])
def test_what_makes_no_sense(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        predict("m", DRAWINGS, Function(echo), **options)  # type: ignore[arg-type]


def test_turned_away_unseen_it_asks_again() -> None:
    answers = iter([NO_WORKER, NO_WORKER, Answer(200, "", b"1")])
    (prediction,) = predict("m", DRAWINGS[:1], Function(lambda *_: next(answers)), retries=QUICK)
    assert (prediction.values, prediction.attempts) == ({"$": 1}, 3)


def test_retries_end() -> None:
    with pytest.raises(OverloadedError, match="3 times") as caught:
        predict("m", DRAWINGS, Function(lambda *_: NO_WORKER), retries=QUICK)
    assert caught.value.model == "m"


def test_an_error_of_the_function_is_raised_at_once_with_the_model() -> None:
    free = threading.Event()

    def ask(model: str, drawing: Drawing) -> Answer:
        if drawing.id == "1":
            msg = "the worker is gone"
            raise ServerError(msg)
        # The others hang for as long as the test lasts, and are not waited for.
        free.wait(60)
        return echo(model, drawing)

    try:
        with pytest.raises(ServerError, match="the worker is gone") as caught:
            predict("m", DRAWINGS, Function(ask), clients=4)
    finally:
        free.set()
    assert caught.value.model == "m"


def test_what_the_callback_raises_ends_the_run() -> None:
    asked: list[str] = []

    def ask(model: str, drawing: Drawing) -> Answer:
        asked.append(drawing.id)
        return echo(model, drawing)

    def interrupted(_prediction: Prediction) -> None:
        raise KeyboardInterrupt

    many = DRAWINGS * 100
    with pytest.raises(KeyboardInterrupt):
        predict("m", many, Function(ask), clients=2, on_prediction=interrupted)
    # The askers pause when nobody takes their answers, so most were never asked.
    assert len(asked) < 500


def test_a_slow_consumer_holds_the_askers_back() -> None:
    asked: list[str] = []
    most = 0

    def ask(model: str, drawing: Drawing) -> Answer:
        asked.append(drawing.id)
        return echo(model, drawing)

    def slow(_prediction: Prediction) -> None:
        nonlocal arrived, most
        arrived += 1
        if arrived % 100 == 1:
            threading.Event().wait(0.02)
        most = max(most, len(asked) - arrived)

    arrived = 0
    predict("m", DRAWINGS * 40, Function(ask), clients=2, on_prediction=slow)
    assert arrived == 2000
    assert most < 100


def test_pauses_grow_are_capped_and_differ() -> None:
    retries = Retries(first_s=1.0, cap_s=4.0, retry_after_cap_s=30.0)
    for attempt, longest in ((1, 1.0), (2, 2.0), (3, 4.0), (9, 4.0)):
        pauses = {retries.pause_s(attempt) for _ in range(50)}
        assert len(pauses) > 1
        assert all(longest / 2 <= pause <= longest for pause in pauses)
    assert retries.pause_s(1, 7.0) == 7.0
    assert retries.pause_s(1, 86400.0) == 30.0
    assert retries.pause_s(1, -5.0) == 0.0
