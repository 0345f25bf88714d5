"""`goldmar check --backend compose`: the same verdicts and exit codes as with any other way to a model."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.compose.conftest import GOLDMAR, NEEDED, change_handler, copied, docker, remains, run, wheels
from tests.compose.test_stack import SLOW

# The classic builder: BuildKit throws away the oldest of its cache once there is more than a few gigabytes, and builds
# that differ in an archive alone would then install every package again.
ENV = {"GOLDMAR_COMPOSE": NEEDED[-1], "GOLDMAR_BUILD_NETWORK": "none", "DOCKER_BUILDKIT": "0"}
CHECK = [GOLDMAR, "check", "--backend", "compose", "thickness"]

THICKER = """
_answers = ThicknessHandler.answers
def _thicker(self, output, sheets):
    return _answers(self, output * 1.05, sheets)
ThicknessHandler.answers = _thicker
"""


@pytest.fixture(autouse=True)
def nothing_is_left() -> object:
    yield
    until = time.monotonic() + 20
    while remains(["goldmar-dev-"]) and time.monotonic() < until:  # the keeper's work comes after us
        time.sleep(0.2)
    assert remains(["goldmar-dev-"]) == []


@pytest.mark.parametrize("command", NEEDED)
def test_an_unchanged_handler_is_exit_code_0(built: Path, command: str) -> None:
    done = run(*CHECK, "--json", cwd=built, **ENV | {"GOLDMAR_COMPOSE": command})
    assert done.code == 0, done.said
    report = json.loads(done.out)
    assert report["backend"] == "compose"
    assert report["packages"]["torchserve"] == "0.12.0"  # as it is in the image
    assert "pytest" not in report["packages"]
    assert "building the image of the api" in done.err
    assert "taking the api down" in done.err


def test_a_changed_handler_is_exit_code_1_with_the_drawing_named(own_project: Path) -> None:
    change_handler(own_project, "thickness", THICKER)
    done = run(*CHECK, "--reports", "reports", cwd=own_project, **ENV)
    assert done.code == 1, done.said
    assert "FAILED" in done.out
    report = json.loads((own_project / "reports/report.json").read_text(encoding="utf-8"))
    (model,) = report["models"]
    assert len(model["failures"]) == 24
    named = {failure["drawing_id"] for failure in model["failures"]}
    assert any(drawing in done.out for drawing in named)


def test_a_broken_handler_is_exit_code_3_with_its_traceback(own_project: Path) -> None:
    change_handler(own_project, "thickness", "\nimport no_such_package_at_all\n")
    done = run(*CHECK, cwd=own_project, **ENV)
    assert done.code == 3, done.said
    assert "A worker of thickness died" in done.err
    assert 'File "handler.py", line' in done.err
    assert "ModuleNotFoundError: No module named 'no_such_package_at_all'" in done.err
    assert "fix: Lock the package that provides 'no_such_package_at_all'" in done.err


def started(cwd: Path, until: str) -> tuple[subprocess.Popen[str], str]:
    """A check under way, as soon as it has said `until`."""
    process = subprocess.Popen(
        [str(word) for word in CHECK],
        cwd=cwd,
        env=os.environ | ENV,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = ""
    for line in process.stderr:
        said += line
        if until in line:
            return process, said
    pytest.fail(f"It never said {until!r}:\n{said}")


def api() -> str:
    (found,) = docker("ps", "-q", "--filter", "name=goldmar-dev-").split()
    return found


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copied(tmp_path_factory.mktemp("slow"))
    change_handler(root, "thickness", SLOW)
    return root


def test_an_api_killed_in_mid_run_is_exit_code_3(slow: Path) -> None:
    process, said = started(slow, "asking thickness")
    time.sleep(1)
    docker("kill", api())
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == 3, said + rest
    assert "so far: " in rest
    assert "The api container ended with exit code 137" in rest


@pytest.mark.parametrize("moment", ["building the image", "asking thickness"])
def test_an_interrupt_is_exit_code_130(slow: Path, moment: str) -> None:
    process, said = started(slow, moment)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said + rest


def test_a_check_that_is_killed_leaves_no_container(slow: Path) -> None:
    process, _ = started(slow, "asking thickness")
    assert remains(["goldmar-dev-"])
    process.kill()
    process.communicate(timeout=60)


def test_two_at_once_do_not_meet(built: Path) -> None:
    first, _ = started(built, "asking thickness")
    second = run(*CHECK, cwd=built, **ENV)
    first.communicate(timeout=120)
    assert (first.returncode, second.code) == (0, 0), second.said


# --- what is not there ------------------------------------------------------------------------------------------------


def test_no_engine_is_exit_code_3_and_says_so(built: Path, tmp_path: Path) -> None:
    done = run(*CHECK, cwd=built, DOCKER_HOST=f"unix://{tmp_path}/no.sock")
    assert done.code == 3
    assert "No Docker engine answers." in done.err
    assert "fix: start it" in done.err


def test_no_compose_files_is_exit_code_2(tmp_path: Path) -> None:
    assert run(GOLDMAR, "init", "gear", cwd=tmp_path).code == 0
    assert run(GOLDMAR, "archive", cwd=tmp_path).code == 0
    done = run(GOLDMAR, "record", "gear", "--backend", "compose", cwd=tmp_path)
    assert done.code == 2, done.said
    assert "fix: goldmar init --compose" in done.err


def test_an_unknown_stack_is_exit_code_2(built: Path) -> None:
    done = run(*CHECK, "--env", "qa", cwd=built)
    assert done.code == 2
    assert "There are: dev, prod, stg" in done.err


def test_a_base_image_that_cannot_be_had_says_what_to_do(built: Path) -> None:
    done = run(*CHECK, cwd=built, BASE_IMAGE="no-such-image:at-all", GOLDMAR_COMPOSE=NEEDED[0])
    assert done.code == 3, done.said
    assert "ci/base-image" in done.err


# --- a project of somebody else ---------------------------------------------------------------------------------------


def test_a_project_outside_this_repository(tmp_path: Path) -> None:
    """init, its compose files, archive, record, approve; then both ways through compose."""
    project = tmp_path / "mine"
    project.mkdir()
    for command in (["init", "gear"], ["init", "--compose"], ["archive"]):
        done = run(GOLDMAR, *command, cwd=project)
        assert done.code == 0, done.said
    wheels(project)
    done = run(GOLDMAR, "record", "gear", "--backend", "compose", cwd=project, **ENV)
    assert done.code == 0, done.said
    assert run(GOLDMAR, "approve", "gear", "--yes", "--reason", "first", cwd=project).code == 0
    done = run(GOLDMAR, "check", "--backend", "compose", cwd=project, **ENV)
    assert done.code == 0, done.said
    reports = project / "reports"
    reports.mkdir(exist_ok=True)
    reports.chmod(0o777)
    settings = {"COMPOSE_PROJECT_NAME": "goldmar-dev-mine", "GOLDMAR_PORT": "0", "GOLDMAR_TAG": "test-mine"}
    compose = [*NEEDED[-1].split(), "-f", "compose/docker-compose.yml", "--env-file", "compose/env/dev.env"]
    try:
        for command in (["build"], ["up", "-d", "api"], ["run", "--rm", "-T", "batch"]):
            done = run(*compose, *command, cwd=project, **ENV | settings)
            assert done.code == 0, done.said
        assert "PASSED" in done.out
    finally:
        run(*compose, "down", "--volumes", "--timeout", "1", cwd=project, **ENV | settings)
