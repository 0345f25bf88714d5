"""The version served is told apart from the golden's, and said to be unknown where nobody tells it."""

import json
import socket
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from goldmar.errors import ExitCode
from tests.integration.conftest import Goldmar
from tests.integration.fake_server import Asked, Behaviour, FakeServer, json_answer
from tests.integration.test_cli import RIGHT, obtained, project

__all__ = ["project"]  # a fixture


@pytest.fixture
def golden(goldmar: Goldmar, project: Path) -> Path:
    """A golden of version 2.1 that every right answer passes."""
    obtained(project, RIGHT)
    assert goldmar("approve", "means", "--reason", "first", "--yes").code == ExitCode.OK
    return project


def serving(*versions: str) -> Behaviour:
    """A TorchServe with its management API: each question about the model is answered with the next version."""
    told = list(versions)

    def behave(connection: socket.socket, asked: Asked) -> bool:
        if asked.method == "POST":
            numbers = json.loads(asked.body)["numbers"]
            return json_answer({"mean": sum(numbers) / len(numbers)})(connection, asked)
        if asked.path.startswith("/models/"):
            version = told.pop(0) if len(told) > 1 else told[0]
            worker = {"status": "READY", "pid": 7}
            said = [{"modelName": "means", "modelVersion": version, "minWorkers": 1, "workers": [worker]}]
            return json_answer(said)(connection, asked)
        return json_answer({"status": "Healthy"})(connection, asked)

    return behave


def test_the_version_of_the_golden_passes(goldmar: Goldmar, golden: Path) -> None:
    with FakeServer(serving("2.1")) as server:
        done = goldmar("check", "--url", server.url, "--management-url", server.url)
    assert done.code == ExitCode.OK, done.out + done.err
    assert "not known" not in done.out


def test_another_version_is_a_failure_of_its_own_kind_whatever_it_answers(goldmar: Goldmar, golden: Path) -> None:
    with FakeServer(serving("2.2")) as server:
        done = goldmar("check", "--url", server.url, "--management-url", server.url, "--reports", "reports")
    assert done.code == ExitCode.DIFFERENT
    words = "the golden is of version 2.1, and 2.2 is served; serve 2.1, or accept 2.2: goldmar record means"
    assert words in " ".join(done.out.split())
    assert "1 × other version" in done.out
    assert words in (golden / "reports/report.md").read_text()
    (model,) = json.loads((golden / "reports/report.json").read_text())["models"]
    assert (model["version"], model["golden_version"], model["values"]) == ("2.2", "2.1", 3)
    assert [failure["kind"] for failure in model["failures"]] == ["other version"]
    assert ET.parse(golden / "reports/junit.xml").find(".//failure").get("type") == "other version"


def test_the_version_that_is_asked_for_counts(goldmar: Goldmar, golden: Path) -> None:
    with FakeServer(serving("2.1")) as server:
        right = goldmar("check", "--url", server.url, "--model-version", "2.1")
        wrong = goldmar("check", "--url", server.url, "--model-version", "2.0")
    assert right.code == ExitCode.OK, right.out + right.err
    assert wrong.code == ExitCode.DIFFERENT
    assert "the golden is of version 2.1, and 2.0 is served" in " ".join(wrong.out.split())


def test_where_nobody_tells_the_report_says_so(goldmar: Goldmar, golden: Path) -> None:
    with FakeServer(serving("2.2")) as server:
        done = goldmar("check", "--url", server.url, "--reports", "reports")
    assert done.code == ExitCode.OK, done.err
    assert "version not known: means (golden of 2.1)" in done.out
    assert "version not known" in (golden / "reports/report.md").read_text()
    assert '<property name="version" value="not known" />' in (golden / "reports/junit.xml").read_text()
    assert json.loads((golden / "reports/report.json").read_text())["models"][0]["version"] == ""


@pytest.mark.parametrize("command", ["check", "record"])
def test_a_version_that_changes_in_mid_run_ends_it(goldmar: Goldmar, golden: Path, command: str) -> None:
    with FakeServer(serving("2.1", "2.1", "2.2")) as server:
        done = goldmar(command, "means", "--url", server.url, "--management-url", server.url)
    assert done.code == ExitCode.SERVER
    assert "means was version 2.1 at the first drawing and is 2.2 now" in done.err
    assert "failed" in goldmar("approve", "means", "--reason", "second", "--yes").err


def test_recording_another_version_is_how_it_is_accepted(goldmar: Goldmar, golden: Path) -> None:
    with FakeServer(serving("2.2")) as server:
        reach = ("--url", server.url, "--management-url", server.url)
        assert goldmar("record", "means", *reach).code == ExitCode.OK
        assert goldmar("approve", "means", "--reason", "version 2.2", "--yes").code == ExitCode.OK
        assert goldmar("check", *reach).code == ExitCode.OK


def test_a_golden_that_does_not_tell_is_held_to_its_values_alone(goldmar: Goldmar, golden: Path) -> None:
    (golden / "golden/means/provenance.toml").unlink()
    with FakeServer(serving("2.2")) as server:
        assert goldmar("check", "--url", server.url, "--management-url", server.url).code == ExitCode.OK
