"""RemoteServer against a real TorchServe that somebody else has started."""

import time
from pathlib import Path
from typing import Any

import pytest

from goldmar.backends.local import LocalServer
from goldmar.backends.remote import RemoteServer, endpoints_from
from goldmar.errors import ModelUnknownError, NotReadyError, TokenError
from goldmar.records import Reach
from goldmar.serve.java import find_java
from goldmar.serve.launch import Launch
from goldmar.transport.endpoint import Endpoint
from tests.e2e.conftest import Archiver, Remains

pytestmark = pytest.mark.e2e


def reached(url: str, **options: Any) -> tuple[Endpoint, Endpoint | None]:
    return endpoints_from(Reach(url=url, **options), 20)


def key_file(server: LocalServer) -> Path:
    assert server._launch is not None
    return server._launch.folder / "key_file.json"


def test_it_is_reached_with_both_of_its_tokens(server: LocalServer) -> None:
    management_url = str(server.management.url)
    endpoints = reached(server.url, management_url=management_url, token_file=key_file(server))
    with RemoteServer(*endpoints, ["obedient"]) as remote:
        assert remote.versions() == {"obedient": "1.0"}
    with (
        pytest.raises(ModelUnknownError, match=r"'obediant'. It serves: obedient\."),
        RemoteServer(*endpoints, ["obedient", "obediant"]),
    ):
        pytest.fail("there is no such model")
    assert server.alive(), "leaving it stops nothing"


def test_the_inference_token_alone_is_turned_down_by_management(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFERENCE_TOKEN", server.endpoint.headers["Authorization"].removeprefix("Bearer "))
    with RemoteServer(*reached(server.url, token_env="INFERENCE_TOKEN"), ["obedient"]):
        pass
    management_url = str(server.management.url)
    endpoints = reached(server.url, management_url=management_url, token_env="INFERENCE_TOKEN")
    with pytest.raises(TokenError, match=management_url) as caught, RemoteServer(*endpoints, ["obedient"]):
        pytest.fail("management has a token of its own")
    assert "key_file.json" in (caught.value.fix or "")


def test_a_model_that_is_still_loading_is_not_ready_whatever_ping_says(archive_of: Archiver, remains: Remains) -> None:
    launch = Launch({"never_ready": archive_of("never_ready")}, find_java(), {})
    try:
        until = time.monotonic() + 60
        while launch.keys() is None or "Metrics API bind to" not in launch.log.read_text():
            assert time.monotonic() < until
            time.sleep(0.05)
        key_file = launch.folder / "key_file.json"
        with RemoteServer(*reached(launch.url, token_file=key_file), ["never_ready"]):
            """/ping says Healthy, and that is all there is to see from here."""
        endpoints = reached(launch.url, management_url=launch.management_url, token_file=key_file)
        with (
            pytest.raises(NotReadyError, match=r"never_ready 1\.0 has 0 of 1 workers READY"),
            RemoteServer(*endpoints, ["never_ready"]),
        ):
            pytest.fail("it is loading")
    finally:
        launch.stop()
    assert remains.nothing()
