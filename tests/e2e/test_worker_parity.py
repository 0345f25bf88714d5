"""The worker without its server answers what a whole TorchServe answers: status, content type and every byte."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from goldmar.backends.local import LocalServer
from goldmar.backends.worker import WorkerServer
from goldmar.records import Answer, Drawing, Request
from tests.support.odd import ANSWERS, make

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("stand_in")]

REQUESTS = {
    "image": (b"\x89PNG\r\n", "image/png"),
    "no body": (b"", "image/png"),
    "json": (b'{"a": [1, null]}', "application/json"),
    "json with a charset": (b'{"a": [1]}', "application/json; charset=utf-8"),
    "json, broken": (b"{broken", "application/json"),
    "text that is none": (b"\xff\xfe", "text/plain"),
    "too large": (bytes(64 * 1024 * 1024 + 1), "image/png"),
    **{what: (what.encode(), "text/plain") for what in ANSWERS},
}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, stand_in: None) -> Iterator[tuple[LocalServer, WorkerServer, Path]]:
    folder = tmp_path_factory.mktemp("odd")
    mar = make(folder)
    with LocalServer([mar]) as local, WorkerServer([mar]) as worker:
        yield local, worker, folder


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_the_same_answer(both, request_):
    local, worker, folder = both
    body, content_type = request_
    drawing = Drawing("drawing", folder / "drawing", content_type)
    drawing.path.write_bytes(body)
    reply = requests.post(
        f"{local.url}/predictions/odd",
        data=body,
        headers={**local.endpoint.headers, "Content-Type": content_type},
        timeout=60,
    )
    assert worker.ask(Request("odd", drawing)) == Answer(
        reply.status_code, reply.headers.get("content-type", ""), reply.content
    )
