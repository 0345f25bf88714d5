"""How a model is asked at a server that is not set up as TorchServe is: seen from the server."""

import json
import socket
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from goldmar.errors import ExitCode
from tests.integration.conftest import Goldmar
from tests.integration.fake_server import Asked, FakeServer, answer, hold, json_answer

pytest_plugins = ["pytester"]

PNG = b"\x89PNG\r\n\x1a\n--\r\nnot really"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two models with a drawing and a golden each."""
    for model in ("gear", "rim"):
        folder = tmp_path / "golden" / model
        (folder / "drawings").mkdir(parents=True)
        (folder / "drawings/one.png").write_bytes(PNG)
        (folder / "expected.csv").write_text("drawing_id,name,pred\none,ok,true\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(project: Path, text: str, model: str = "gear") -> None:
    (project / "golden" / model / "request.toml").write_text(text)


def asked(goldmar: Goldmar, *words: str) -> tuple[Asked, ...]:
    """What arrives of `check gear --url ...`, the look for life left out."""
    with FakeServer(json_answer({"ok": True})) as server:
        done = goldmar("check", *(words or ("gear",)), "--url", server.url)
    assert done.code == ExitCode.OK, done.err
    return tuple(each for each in server.asked if each.method == "POST")


def test_as_torchserve_has_it(goldmar: Goldmar, project: Path) -> None:
    (one,) = asked(goldmar)
    assert (one.path, one.headers["content-type"], one.body) == ("/predictions/gear", "image/png", PNG)


def test_a_version_is_a_part_of_the_address(goldmar: Goldmar, project: Path) -> None:
    settings(project, 'version = "2.1"\n')
    assert asked(goldmar)[0].path == "/predictions/gear/2.1"
    assert asked(goldmar, "gear", "--model-version", "3")[0].path == "/predictions/gear/3"


def test_a_path_of_its_own(goldmar: Goldmar, project: Path) -> None:
    settings(project, 'path = "/v1/models/{model}:predict"\n')
    assert [one.path for one in asked(goldmar, "gear", "rim")] == ["/v1/models/gear:predict", "/predictions/rim"]
    paths = [one.path for one in asked(goldmar, "--path", "/{model}/v/{version}", "--model-version", "9")]
    assert paths == ["/gear/v/9", "/rim/v/9"]


def test_a_content_type_of_its_own(goldmar: Goldmar, project: Path) -> None:
    settings(project, 'content_type = "application/octet-stream"\n')
    assert asked(goldmar)[0].headers["content-type"] == "application/octet-stream"
    assert asked(goldmar, "gear", "--content-type", "image/x-scan")[0].headers["content-type"] == "image/x-scan"


def test_a_form(goldmar: Goldmar, project: Path) -> None:
    settings(project, 'field = "image"\n')
    for words, field in ((("gear",), "image"), (("gear", "--field", "upload"), "upload")):
        (one,) = asked(goldmar, *words)
        head = f"Content-Type: {one.headers['content-type']}\r\n\r\n".encode()
        form = message_from_bytes(head + one.body, policy=policy.HTTP)
        (part,) = form.iter_parts()
        assert form.get_content_type() == "multipart/form-data"
        assert part.get_content_disposition() == "form-data"
        assert part.get_param("name", header="content-disposition") == field
        assert part.get_filename() == "drawing.png"
        assert (part.get_content_type(), part.get_payload(decode=True)) == ("image/png", PNG)


@pytest.mark.parametrize("name", ['one.p"ng', "one.p\r\nX", "one.größe", "one"])
def test_the_name_of_a_file_stays_here(goldmar: Goldmar, project: Path, name: str) -> None:
    settings(project, 'field = "image"\n')
    drawings = project / "golden/gear/drawings"
    (drawings / "one.png").rename(drawings / name)
    (one,) = asked(goldmar)
    assert b'filename="drawing"\r\n' in one.body


def test_a_recording_is_asked_the_same_and_the_report_says_so(goldmar: Goldmar, project: Path) -> None:
    settings(project, 'version = "1"\nfield = "image"\n')
    with FakeServer(json_answer({"ok": True})) as server:
        done = goldmar("record", "gear", "--url", server.url, "--model-version", "2", "--json")
        green = goldmar("check", "gear", "--url", server.url, "--model-version", "2", "--reports", "reports")
    (model,) = json.loads(done.out)["models"]
    said = ["--model-version 2 instead of 1 of request.toml", "field image of request.toml"]
    assert (model["request"], model["version"]) == (said, "2")
    assert f"gear was asked with {'; '.join(said)}" in green.out
    assert "instead of 1 of request.toml" in (project / "reports/report.md").read_text()
    assert 'version = "2"' in (project / "golden/gear/obtained.toml").read_text()


def test_the_stages_are_asked_for_at_the_same_place(goldmar: Goldmar, project: Path) -> None:
    settings(project, 'path = "/predict"\n')
    with FakeServer(json_answer({"ok": False})) as server:
        goldmar("record", "gear", "--url", server.url, "--stages")
    assert {one.path for one in server.asked if one.method == "POST"} == {"/predict"}
    assert any("x-goldmar-stages" in one.headers for one in server.asked)


def test_the_management_is_asked_about_that_version(goldmar: Goldmar, project: Path) -> None:
    described = [{"modelVersion": "2", "minWorkers": 1, "workers": [{"pid": 1, "status": "READY"}]}]

    def manage(connection: socket.socket, one: Asked) -> bool:
        return json_answer(described if one.path.startswith("/models") else {"ok": True})(connection, one)

    with FakeServer(manage) as server:
        options = ("--url", server.url, "--management-url", server.url, "--model-version", "2")
        assert goldmar("check", "gear", *options).code == ExitCode.OK
    assert "/models/gear/2" in [one.path for one in server.asked]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model-version", "1/2", "--url", "http://127.0.0.1:1"), "--model-version is '1/2'"),
        (("--path", "/a/../b", "--url", "http://127.0.0.1:1"), "--path is '/a/../b'"),
        (("--path", "/a", "--url", "http://127.0.0.1:1"), "one address about 2 models"),
        (("--path", "/a/{version}", "gear", "--url", "http://127.0.0.1:1"), "no version"),
        (("--content-type", "a\nb", "gear"), "--content-type is"),
        (("--field", "a b", "gear"), "--field is 'a b'"),
        (("--model-version", "1", "gear"), "there is no --url"),
        (("--path", "/a", "gear"), "there is no --url"),
    ],
)
def test_what_makes_no_sense_is_2_before_anything_is_asked(
    goldmar: Goldmar, project: Path, words: tuple[str, ...], said: str
) -> None:
    done = goldmar("check", *words)
    assert done.code == ExitCode.USAGE
    assert said in " ".join(done.err.split())


def test_a_wrong_request_toml_is_2_before_anything_is_asked(goldmar: Goldmar, project: Path) -> None:
    settings(project, 'path = "/a?b"\n')
    done = goldmar("check", "--url", "http://127.0.0.1:1")
    assert (done.code, "golden/gear/request.toml: path is '/a?b'" in done.err) == (ExitCode.USAGE, True)


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Runs without the plugins of others, which take longer to import than the run: hypothesis, anyio, locust."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.plugins = ["goldmar.pytest_plugin", "xdist.plugin"]
    return pytester


# ---- pytest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [(), ("-n1",)], ids=["alone", "xdist"])
def test_pytest_asks_the_same(
    pytester: pytest.Pytester, project: Path, more: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", "s3cret-key")
    settings(project, 'version = "1"\nfield = "image"\n')
    with FakeServer(json_answer({"ok": True})) as server:
        words = ("-p", "no:cacheprovider", f"--rootdir={project}", "--goldmar-url", server.url, *more)
        words += ("--goldmar-header", "X-Api-Key=THE_KEY")
        tested = pytester.runpytest_subprocess(*words, "--goldmar-model-version", "2", "--goldmar-content-type", "a/b")
    tested.assert_outcomes(passed=2)
    posts = {one.path: one for one in server.asked if one.method == "POST"}
    assert set(posts) == {"/predictions/gear/2", "/predictions/rim/2"}
    assert b'name="image"' in posts["/predictions/gear/2"].body
    assert posts["/predictions/rim/2"].headers["content-type"] == "a/b"
    assert {one.headers["x-api-key"] for one in server.asked} == {"s3cret-key"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--goldmar-url=http://127.0.0.1:1", "--goldmar-path=/a?b"), "--goldmar-path is '/a?b'"),
        (("--goldmar", "--goldmar-model-version=2"), "--goldmar-model-version says where a running server is asked"),
        (("--goldmar", "--goldmar-backend=worker", "--goldmar-timeout=5"), "--goldmar-timeout is about an answer"),
    ],
)
def test_pytest_names_its_own_options(
    pytester: pytest.Pytester, project: Path, words: tuple[str, ...], said: str
) -> None:
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", f"--rootdir={project}", *words)
    assert said in done.stdout.str() + done.stderr.str()
    assert done.ret == ExitCode.USAGE


# ---- words ----------------------------------------------------------------------------------------------------------


def test_a_server_that_is_too_slow_names_the_option_that_there_is(
    goldmar: Goldmar, pytester: pytest.Pytester, project: Path
) -> None:
    with FakeServer(json_answer({}), hold) as server:
        done = goldmar("check", "gear", "--url", server.url, "--timeout", "0.2")
    assert (done.code, "if it is only slow: --timeout SECONDS" in done.err) == (ExitCode.SERVER, True)
    with FakeServer(json_answer({}), hold) as server:
        words = ("-p", "no:cacheprovider", f"--rootdir={project}", "--goldmar-url", server.url)
        tested = pytester.runpytest_subprocess(*words, "--goldmar-timeout", "0.2")
    tested.stdout.fnmatch_lines(["*No whole answer within 0.2 s*", "*only slow: --goldmar-timeout SECONDS*"])


@pytest.mark.parametrize("more", [(), ("-n1",)], ids=["alone", "xdist"])
def test_a_page_in_place_of_an_answer_names_the_options_of_pytest(
    pytester: pytest.Pytester, project: Path, more: tuple[str, ...]
) -> None:
    with FakeServer(json_answer({}), answer(200, b"<html>")) as server:
        words = ("-p", "no:cacheprovider", f"--rootdir={project}", "--goldmar-url", server.url, *more)
        told = " ".join(pytester.runpytest_subprocess(*words).stdout.str().split())
    assert "--goldmar-url and --goldmar-path, or request.toml" in told
    assert " --url" not in told


def test_an_answer_that_is_no_json_says_what_to_do(goldmar: Goldmar, project: Path) -> None:
    with FakeServer(json_answer({}), answer(200, PNG, headers={"content-type": "image/png"})) as server:
        done = goldmar("check", "gear", "--url", server.url)
    assert done.code == ExitCode.DIFFERENT
    said = " ".join(done.out.split())
    assert "Only JSON is compared: let the handler answer with json.dumps" in said
    assert "[tool.goldmar.no_golden]" in said


def test_a_model_that_is_not_served_is_guessed(goldmar: Goldmar, project: Path) -> None:
    def manage(connection: socket.socket, one: Asked) -> bool:
        listed = json_answer({"models": [{"modelName": "geer"}, {"modelName": "shaft"}]})
        known = {"/ping": json_answer({}), "/models?limit=100": listed}
        return known.get(one.path, json_answer({"code": 404}, 404))(connection, one)

    with FakeServer(manage) as server:
        done = goldmar("check", "gear", "--url", server.url, "--management-url", server.url)
    assert (done.code, "Did you mean geer?" in done.err) == (ExitCode.USAGE, True)
