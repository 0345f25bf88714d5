"""ci/regression through compose, as the jobs of ci/github and ci/gitlab run it; without Docker it is in tests/ci."""

import json
import os
import secrets
import signal
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.conftest import GOLDMAR, Done, change_handler, images, remains, run

WRONG = """
_answers = ClassHandler.answers
def _wrong(self, output, sheets):
    return [answer | {"label": "none"} for answer in _answers(self, output, sheets)]
ClassHandler.answers = _wrong
"""
SLOW = """
import preprocess
import time
_read = preprocess.read
def _slow(data):
    time.sleep(0.5)
    return _read(data)
preprocess.read = _slow
"""


@pytest.fixture
def settings() -> Iterator[dict[str, str]]:
    """A stack of this test's own; at the end nothing of it is left, whatever the test was about."""
    name = f"goldmar-test-{secrets.token_hex(4)}"
    yield {
        "COMPOSE_PROJECT_NAME": name,
        "GOLDMAR": str(GOLDMAR),
        "GOLDMAR_BUILD_NETWORK": "none",
        "GOLDMAR_TAG": "test-regression",
    }
    assert remains([name]) == []


def regression(root: Path, settings: dict[str, str]) -> Done:
    return run(root / "ci/regression", "part_class", cwd=root, **settings)


def test_it_builds_asks_and_takes_down(own_project: Path, settings: dict[str, str]) -> None:
    del settings["GOLDMAR_TAG"]  # as CI has it: images of its own, for as long as it takes
    done = regression(own_project, settings)
    assert done.code == 0, done.said
    assert "1 of 3 models compared, 24 drawings" in done.out
    reports = own_project / "reports/part_class"
    assert ET.parse(reports / "junit.xml").getroot().get("failures") == "0"
    assert json.loads((reports / "report.json").read_text())["passed"] is True
    assert list(reports.glob("*.log")) == []
    assert {f"goldmar-{image}:ci" for image in ("api", "batch")} <= images()
    assert [image for image in images() if settings["COMPOSE_PROJECT_NAME"] in image] == []


def test_answers_that_differ_are_exit_code_1_with_a_report_and_the_logs(
    own_project: Path, settings: dict[str, str]
) -> None:
    name = next(
        line for line in (own_project / "handlers/part_class/handler.py").read_text().splitlines() if "class " in line
    )
    change_handler(own_project, "part_class", WRONG.replace("ClassHandler", name.split()[1].split("(")[0]))
    done = regression(own_project, settings)
    assert done.code == 1, done.said
    reports = own_project / "reports/part_class"
    assert json.loads((reports / "report.json").read_text())["passed"] is False
    assert "part_class" in (reports / "containers.log").read_text()


def test_a_build_that_fails_is_exit_code_3_and_not_1(own_project: Path, settings: dict[str, str]) -> None:
    done = regression(own_project, settings | {"BASE_IMAGE": "goldmar-test/no-such-image:none"})
    assert done.code == 3, done.said
    assert "build failed" in done.err
    assert not (own_project / "reports/part_class/report.json").exists()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_in_mid_run_it_leaves_nothing(
    stop: signal.Signals, own_project: Path, settings: dict[str, str]
) -> None:
    change_handler(own_project, "part_class", SLOW)
    log = own_project / "said.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [own_project / "ci/regression", "part_class"],
            cwd=own_project,
            env=os.environ | settings,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
        deadline = time.monotonic() + 300
        while "asking part_class" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        process.send_signal(stop)
        assert process.wait(timeout=120) == 130, log.read_text()
    assert "interrupted" in log.read_text()
