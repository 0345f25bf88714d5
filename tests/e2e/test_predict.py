"""The words of a real TorchServe, as `predict` understands them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldmar.backends.local import LocalServer
from goldmar.errors import GoldmarError, ModelUnknownError, ServerError, TokenError
from goldmar.predict import predict
from goldmar.records import Drawing, Prediction
from tests.e2e.conftest import Archiver
from tests.support.servers import At

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("stand_in")]

Draw = Callable[[bytes], Drawing]
LIMIT = 8_000_000


@pytest.fixture(scope="module")
def choosy(archive_of: Archiver) -> Iterator[LocalServer]:
    with LocalServer([archive_of("choosy")], properties={"max_request_size": str(LIMIT)}) as running:
        yield running


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    def write(content: bytes) -> Drawing:
        path = tmp_path / "drawing"
        path.write_bytes(content)
        return Drawing("drawing", path, "application/octet-stream")

    return write


def ask(server: LocalServer, drawing: Drawing, **options: str) -> Prediction:
    (prediction,) = predict(options.get("model", "choosy"), [drawing], server, version=options.get("version", ""))
    return prediction


@pytest.mark.parametrize("way", ["status", "bare", "exception"])
@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 422, 500, 503, 512])
def test_a_status_that_the_handler_chose_is_about_the_drawing(
    choosy: LocalServer, draw: Draw, way: str, code: int
) -> None:
    prediction = ask(choosy, draw(f"{way} {code}".encode()))
    assert prediction.status == code
    assert prediction.problem
    assert "chosen by the handler" in prediction.problem
    assert prediction.attempts == 1


@pytest.mark.parametrize(
    ("word", "words"),
    [
        (b"raise", "Prediction failed (status 503): the handler raised"),
        (b"short", "number of batch response mismatched (status 503)"),
        (b"none", "Invalid model predict output (status 503)"),
    ],
)
def test_a_handler_that_fails(choosy: LocalServer, draw: Draw, word: bytes, words: str) -> None:
    problem = ask(choosy, draw(word)).problem
    assert problem
    assert problem.startswith(words)


def test_out_of_memory_ends_the_run(choosy: LocalServer, draw: Draw) -> None:
    with pytest.raises(ServerError, match="ran out of memory"):
        ask(choosy, draw(b"memory"))


def test_a_drawing_below_the_limit_arrives_and_one_above_is_a_problem(choosy: LocalServer, draw: Draw) -> None:
    assert ask(choosy, draw(b"\0" * (LIMIT - 1000))).values == {"bytes": LIMIT - 1000}
    prediction = ask(choosy, draw(b"\0" * (3 * LIMIT)))
    assert prediction.status == 413
    assert prediction.problem
    assert "max_request_size" in prediction.problem


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "nobody"}, "Model not found: nobody"),
        ({"version": "9.9"}, "Model version: 9.9 does not exist for model: choosy"),
        ({"model": "a/b ?#ä"}, "Model not found: a"),
    ],
)
def test_a_model_or_version_that_is_not_served(
    choosy: LocalServer, draw: Draw, options: dict[str, str], words: str
) -> None:
    with pytest.raises(ModelUnknownError) as caught:
        ask(choosy, draw(b""), **options)
    assert words in str(caught.value)


def test_a_version_that_is_served(choosy: LocalServer, draw: Draw) -> None:
    assert ask(choosy, draw(b"x"), version="1.0").values == {"bytes": 1}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "wrong"}])
def test_a_token_that_is_missing_or_wrong(choosy: LocalServer, draw: Draw, headers: dict[str, str]) -> None:
    with pytest.raises(TokenError) as caught:
        predict("choosy", [draw(b"x")], At(choosy.endpoint.url, headers))
    assert "Token Authorization failed" in str(caught.value)
    assert isinstance(caught.value, GoldmarError)
