"""endpoints_from, and RemoteServer against small real HTTP servers; the real TorchServe is in tests/e2e."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from goldmar.backends.remote import RemoteServer, endpoints_from
from goldmar.errors import (
    ExitCode,
    GoldmarError,
    ModelUnknownError,
    NotReadyError,
    ServerError,
    TokenError,
    UnreachableError,
    UsageError,
)
from goldmar.records import Edge, Origin, Reach
from goldmar.transport.endpoint import Endpoint

# --- endpoints_from ---------------------------------------------------------------------------------------------------


def endpoints(url: str, timeout_s: float = 5, **options: Any) -> tuple[Endpoint, Endpoint | None]:
    return endpoints_from(Reach(url=url, **options), timeout_s)


def test_an_address_is_taken_with_its_path_and_without_the_slash_behind() -> None:
    endpoint, management = endpoints("https://models.example:8443/stg/", management_url="http://10.0.0.7:8081")
    assert endpoint.url == "https://models.example:8443/stg"
    assert management.url == "http://10.0.0.7:8081"
    assert endpoint.verify is True


@pytest.mark.parametrize(
    "url", ["", "models.example", "localhost:8080", "ftp://host", "http://", "http://host:99999", "http://a..b"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="no address") as caught:
        endpoints(url)
    assert "--url" in (caught.value.fix or "")
    with pytest.raises(UsageError) as caught:
        endpoints("http://host", management_url=url)
    assert "--management-url" in (caught.value.fix or "")


def test_what_is_no_address_for_want_of_a_scheme_gets_one() -> None:
    with pytest.raises(UsageError) as caught:
        endpoints("localhost:8080/stg")
    assert caught.value.fix == "--url http://localhost:8080/stg"


@pytest.mark.parametrize("url", ["https://me:hunter2@host", "me:hunter2@host:8080", "ftp://me:hunter2@host"])
def test_a_password_in_the_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        endpoints(url)
    assert "hunter2" not in f"{caught.value}{caught.value.fix}{caught.value.detail}"


def test_a_query_is_refused() -> None:
    with pytest.raises(UsageError, match="query"):
        endpoints("https://host/?a=1")


def test_the_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STG_TOKEN", " s3cret\n")
    endpoint, management = endpoints("http://host", management_url="http://host:1", token_env="STG_TOKEN")
    assert endpoint.headers == {"Authorization": "Bearer s3cret"}
    assert management.headers == {"Authorization": "Bearer s3cret"}
    assert "s3cret" not in repr(endpoint)


def test_the_token_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    assert endpoints("http://host", token_file=tmp_path / "token")[0].headers["Authorization"] == "Bearer s3cret"


def test_torchserves_key_file_gives_both_tokens(tmp_path: Path) -> None:
    keys = {"management": {"key": "m"}, "inference": {"key": "i", "expiration time": "x"}, "API": {"key": "a"}}
    (tmp_path / "key_file.json").write_text(json.dumps(keys))
    endpoint, management = endpoints(
        "http://host", management_url="http://host:1", token_file=tmp_path / "key_file.json"
    )
    assert endpoint.headers["Authorization"] == "Bearer i"
    assert management.headers["Authorization"] == "Bearer m"


@pytest.mark.parametrize("text", ["", "  \n", "two words", "tök", '{"inference": 1}', "{"])
def test_a_file_without_a_token_is_refused_and_not_quoted(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(UsageError) as caught:
        endpoints("http://host", token_file=tmp_path / "token")
    assert str(tmp_path / "token") in str(caught.value)
    assert not text.strip() or text not in f"{caught.value} {caught.value.detail}"


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        endpoints("http://host", token_file=tmp_path / "nowhere")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not text"):
        endpoints("http://host", token_file=tmp_path / "binary")


def test_a_variable_that_is_not_set_is_named_unless_it_may_be_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    with pytest.raises(UsageError, match="NO_SUCH_TOKEN is not set"):
        endpoints("http://host", token_env="NO_SUCH_TOKEN")
    for wrong in ({"token_env": "eyJhbGciOi"}, {"header": ("X-Api-Key=eyJhbGciOi",)}):
        with pytest.raises(UsageError) as caught:
            endpoints("http://host", **wrong)
        assert "eyJhbGciOi" not in f"{caught.value} {caught.value.fix}"


def test_headers_take_their_values_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY", "Basic abc def")
    endpoint, management = endpoints("http://host", management_url="http://host:1", header=("X-Api-Key=GATEWAY",))
    assert endpoint.headers == management.headers == {"X-Api-Key": "Basic abc def"}


@pytest.mark.parametrize("header", ["X-Api-Key", "X-Api-Key=", "=GATEWAY", "X Api Key=GATEWAY", "X-Api-Key: GATEWAY="])
def test_what_is_no_header_is_refused(monkeypatch: pytest.MonkeyPatch, header: str) -> None:
    monkeypatch.setenv("GATEWAY", "abc")
    with pytest.raises(UsageError, match="no header"):
        endpoints("http://host", header=(header,))


def test_a_value_that_would_begin_another_header_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY", "abc\r\nX-Admin: 1")
    with pytest.raises(UsageError, match="cannot be sent"):
        endpoints("http://host", header=("X-Api-Key=GATEWAY",))


def test_options_that_contradict_each_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STG_TOKEN", "t")
    (tmp_path / "token").write_text("t")
    with pytest.raises(UsageError, match="not from both"):
        endpoints("http://host", token_env="STG_TOKEN", token_file=tmp_path / "token")
    with pytest.raises(UsageError, match="both be sent"):
        endpoints("http://host", token_env="STG_TOKEN", header=("authorization=STG_TOKEN",))
    with pytest.raises(UsageError, match="no file"):
        endpoints("http://host", ca_bundle=tmp_path / "ca.pem")
    with pytest.raises(UsageError, match="time-out"):
        endpoints("http://host", timeout=0)


def test_an_error_names_the_options_of_its_edge() -> None:
    for wrong in (
        {"url": "x"},
        {"management_url": "x"},
        {"timeout": -1.0},
        {"header": ("x",)},
        {"ca_bundle": Path("x")},
    ):
        with pytest.raises(UsageError) as caught:
            endpoints_from(Reach(**{"edge": Edge("--goldmar-"), "url": "http://host", **wrong}), 5)
        assert f"--goldmar-{next(iter(wrong)).replace('_', '-')} " in f"{caught.value.fix} "


# --- RemoteServer -----------------------------------------------------------------------------------------------------

Answers = dict[str, tuple[int, str]]


class Site:
    """What a small HTTP server answers by path, and the headers it was sent."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.seen: list[dict[str, str]] = []
        self.url = ""


@contextmanager
def site(answers: Answers, certificate: trustme.LeafCert | None = None) -> Iterator[Site]:
    here = Site(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here.seen.append(dict(self.headers))
            status, text = here.answers.get(self.path, (404, '{"code": 404}'))
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", text)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate is not None:
            import ssl

            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        here.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield here
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def enter(url: str, *models: str, management_url: str | None = None) -> RemoteServer:
    with RemoteServer(*endpoints(url, management_url=management_url), models) as server:
        return server


def described(*states: str, wanted: int = 1) -> str:
    workers = [{"id": "9000", "status": state, "pid": 1} for state in states]
    return json.dumps([{"modelName": "m", "modelVersion": "1.2", "minWorkers": wanted, "workers": workers}])


PING = {"/ping": (200, '{"status": "Healthy"}')}


def test_without_management_a_ping_is_enough() -> None:
    with site(PING) as here:
        server = enter(here.url, "m")
    assert server.origin == Origin("remote", here.url, named=True)
    assert server.endpoint.url == here.url
    assert server.versions() == {}
    assert server.packages().versions == {}
    assert server.diagnostics() is None


def test_a_gateway_that_hides_the_ping_is_there() -> None:
    with site({}) as here:
        enter(here.url, "m")


def test_with_management_every_model_must_be_ready() -> None:
    with site({**PING, "/models/m": (200, described("READY", "READY", wanted=2))}) as here:
        server = enter(here.url, "m", management_url=here.url)
        assert server.versions() == {"m": "1.2"}
        for states in (("READY", "UNLOADING"), ("READY",), ()):
            here.answers["/models/m"] = (200, described(*states, wanted=2))
            with pytest.raises(NotReadyError, match=f"{states.count('READY')} of 2 workers READY"):
                enter(here.url, "m", management_url=here.url)
        here.answers["/models/m"] = (200, described(wanted=0))
        with pytest.raises(NotReadyError, match="0 of 1"):
            enter(here.url, "m", management_url=here.url)


def test_an_unknown_model_lists_those_that_are_served_over_all_pages() -> None:
    first = {"models": [{"modelName": "plates"}], "nextPageToken": "100"}
    last = {"models": [{"modelName": "flanges"}]}
    answers = {"/models?limit=100": first, "/models?limit=100&next_page_token=100": last}
    with (
        site(PING | {path: (200, json.dumps(said)) for path, said in answers.items()}) as here,
        pytest.raises(ModelUnknownError, match=r"'m'.*flanges, plates") as caught,
    ):
        enter(here.url, "m", management_url=here.url)
    assert caught.value.exit_code is ExitCode.USAGE


def test_nobody_there() -> None:
    with site(PING) as here:
        gone = here.url
    with pytest.raises(UnreachableError, match=gone) as caught:
        enter(gone)
    assert caught.value.exit_code is ExitCode.SERVER
    assert f"curl -v {gone}/ping" in (caught.value.fix or "")
    with site(PING) as here, pytest.raises(UnreachableError, match=gone):
        enter(here.url, "m", management_url=gone)


INVALID_KEY = '{"code": 400, "type": "InvalidKeyException", "message": "Token Authorization failed."}'


@pytest.mark.parametrize("answer", [(400, INVALID_KEY), (401, ""), (403, "no")])
def test_a_token_turned_down(answer: tuple[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STG_TOKEN", "s3cret")
    with site({"/ping": answer}) as here:
        with pytest.raises(TokenError, match="asks for a token") as caught:
            enter(here.url)
        assert "--token-env" in (caught.value.fix or "")
        with (
            pytest.raises(TokenError, match="wrong or expired"),
            RemoteServer(*endpoints(here.url, token_env="STG_TOKEN"), ["m"]),
        ):
            pytest.fail("the token is wrong")


def test_a_server_that_calls_itself_unhealthy_is_not_ready() -> None:
    with site({"/ping": (500, '{"status": "Unhealthy"}')}) as here, pytest.raises(NotReadyError, match="unhealthy"):
        enter(here.url)


def test_a_gateway_without_a_server_behind_it() -> None:
    with site({"/ping": (502, "Bad Gateway")}) as here, pytest.raises(UnreachableError, match="502"):
        enter(here.url)


def test_a_redirect_is_named_and_the_token_does_not_follow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY", "s3cret")
    with site(PING) as other, site({"/ping": (307, f"{other.url}/ping")}) as here:
        with (
            pytest.raises(UsageError, match=other.url),
            RemoteServer(*endpoints(here.url, header=("X-Api-Key=GATEWAY",)), ["m"]),
        ):
            pytest.fail("it redirects")
        assert here.seen[0]["X-Api-Key"] == "s3cret"
        assert other.seen == []


def test_netrc_does_not_take_the_place_of_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("STG_TOKEN", "s3cret")
    with site(PING) as here, RemoteServer(*endpoints(here.url, token_env="STG_TOKEN"), ["m"]):
        pass
    assert here.seen[0]["Authorization"] == "Bearer s3cret"


STRANGE = ["<html>hello</html>", "{}", "[]", '"m"', "3", '[{"modelVersion": "1", "minWorkers": 1, "workers": [1]}]']


@pytest.mark.parametrize("text", [*STRANGE, '[{"modelVersion": "1", "minWorkers": "x", "workers": []}]'])
def test_something_else_than_a_management_api(text: str) -> None:
    with (
        site({**PING, "/models/m": (200, text)}) as here,
        pytest.raises(ServerError, match="does not answer like TorchServe") as caught,
    ):
        enter(here.url, "m", management_url=here.url)
    assert caught.value.detail


def test_a_bundle_without_certificates_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing\n")
    with site(PING, trustme.CA().issue_cert("127.0.0.1")) as here:
        endpoint = endpoints(here.url, ca_bundle=tmp_path / "ca.pem")
        for gone in (False, True):
            if gone:
                (tmp_path / "ca.pem").unlink()
            with pytest.raises(GoldmarError) as caught, RemoteServer(*endpoint, ["m"]):
                pytest.fail("nothing can be trusted")
            assert "--ca-bundle" in (caught.value.fix or "")


def test_certificates_are_verified_against_the_bundle_that_is_named(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with site(PING, authority.issue_cert("127.0.0.1")) as here:
        with pytest.raises(UnreachableError, match="not trusted") as caught:
            enter(here.url)
        assert "--ca-bundle" in (caught.value.fix or "")
        with RemoteServer(*endpoints(here.url, ca_bundle=tmp_path / "ca.pem"), ["m"]) as server:
            assert server.endpoint.verify == str(tmp_path / "ca.pem")
    with site(PING, authority.issue_cert("models.example")) as here, pytest.raises(UnreachableError):
        enter(here.url)
