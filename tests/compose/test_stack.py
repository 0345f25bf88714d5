"""The documented path with each compose, what the batch ends with, and stacks side by side."""

import hashlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.compose.conftest import NEEDED, Stack, change_handler, docker, remains

SLOW = """
import preprocess
import time
_read = preprocess.read
def _slow(data):
    time.sleep(0.5)
    return _read(data)
preprocess.read = _slow
"""


@pytest.mark.parametrize("command", NEEDED)
def test_build_up_batch_down(command: str, project: Path, stacks: list[Stack]) -> None:
    """docker-compose 1.29 with the classic builder, compose v2 with BuildKit."""
    stack = Stack(project, command)
    stacks.append(stack)
    stack.do("build")
    stack.do("up", "-d", "api")
    done = stack.batch()
    assert done.code == 0, done.said
    assert "PASSED" in done.out
    assert "3 of 3 models compared, 72 drawings" in done.out
    report = stack.report()
    assert report["passed"] is True
    assert sorted(path.name for path in stack.reports.iterdir()) == ["golden", "junit.xml", "report.json", "report.md"]
    assert len(list(stack.reports.glob("golden/*/obtained.csv"))) == 3
    stack.down()
    assert remains([stack.name]) == []


def test_compose_says_healthy_once_the_api_is_ready(running: Stack) -> None:
    for _ in range(100):
        health = docker("inspect", "--format", "{{json .State.Health}}", running.container())
        if '"Status":"healthy"' in health:
            break
        time.sleep(0.2)
    assert '"Status":"healthy"' in health
    assert "Ready: callouts 1 of 1" in health


def test_models_selects_what_is_served_and_checked(built: Path, stacks: list[Stack]) -> None:
    settings = {"GOLDMAR_MODELS": "thickness", "GOLDMAR_TAG": "test-one", "DOCKER_BUILDKIT": "0"}
    stack = Stack(built, NEEDED[-1], settings=settings)
    stacks.append(stack)
    stack.do("build", "api")
    stack.do("up", "-d", "api")
    docker("tag", "goldmar-batch:test", "goldmar-batch:test-one")
    done = stack.batch()
    assert done.code == 0, done.said
    assert "1 of 3 models compared, 24 drawings" in done.out
    assert stack.exec("ls", "/opt/goldmar/models").out.split() == ["thickness.mar"]


# --- what the batch ends with -----------------------------------------------------------------------------------------


def test_a_broken_handler_is_exit_code_3_with_its_traceback(
    built: Path, own_project: Path, stacks: list[Stack]
) -> None:
    """/ping says Healthy all the while; our health check says unhealthy, and why."""
    change_handler(own_project, "thickness", "\nimport no_such_package_at_all\n")
    settings = {"GOLDMAR_TAG": "test-broken", "GOLDMAR_MODELS": "thickness", "GOLDMAR_HEALTH_START": "1s"}
    stack = Stack(own_project, NEEDED[0], settings=settings)
    stacks.append(stack)
    docker("tag", "goldmar-batch:test", "goldmar-batch:test-broken")
    stack.do("build", "api")
    stack.do("up", "-d", "api")
    done = stack.batch()
    assert done.code == 3, done.said
    assert "A worker of thickness died" in done.err
    assert "ModuleNotFoundError: No module named 'no_such_package_at_all'" in done.err
    assert "ModuleNotFoundError: No module named 'no_such_package_at_all'" in stack.do("logs", "api").said

    state = ""
    for _ in range(200):
        state = docker("inspect", "--format", "{{.State.Health.Status}}", stack.container())
        if state == "unhealthy":
            break
        time.sleep(0.2)
    assert state == "unhealthy"
    assert "died while it was loading" in docker("inspect", "--format", "{{json .State.Health.Log}}", stack.container())
    keys = json.loads(stack.exec("cat", "/run/server/key_file.json").out)
    ping = urllib.request.Request(
        f"{stack.url()}/ping", headers={"Authorization": f"Bearer {keys['inference']['key']}"}
    )
    with urllib.request.urlopen(ping) as answer:
        assert json.load(answer)["status"] == "Healthy"


def test_an_api_killed_in_mid_run_is_exit_code_3(built: Path, own_project: Path, stacks: list[Stack]) -> None:
    change_handler(own_project, "thickness", SLOW)
    stack = Stack(own_project, NEEDED[0], settings={"GOLDMAR_TAG": "test-slow", "GOLDMAR_MODELS": "thickness"})
    stacks.append(stack)
    docker("tag", "goldmar-batch:test", "goldmar-batch:test-slow")
    stack.do("build", "api")
    stack.do("up", "-d", "api")
    api = stack.container()
    files = ["-f", "compose/docker-compose.yml", "--env-file", "compose/env/dev.env"]
    with subprocess.Popen(
        [*NEEDED[0].split(), *files, "run", "--rm", "-T", "batch"],
        cwd=stack.root,
        env=os.environ | stack.settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as batch:
        said = ""
        for line in batch.stdout:
            said += line
            if line.startswith("asking thickness"):
                time.sleep(1)
                docker("kill", api)
    assert batch.returncode == 3, said
    assert "error:" in said
    assert not (stack.reports / "report.json").exists()
    # What was obtained before is kept, and says that it is not all.
    assert (stack.reports / "golden/thickness/obtained.csv").exists() or "obtained" in said


def test_a_reports_folder_that_cannot_be_written_is_exit_code_2(running: Stack) -> None:
    running.reports.chmod(0o755)
    try:
        done = running.batch()
    finally:
        running.reports.chmod(0o777)
    assert done.code == 2, done.said
    assert "fix: mkdir -p -m 777 reports" in done.err


def test_a_golden_that_differs_is_exit_code_1(running: Stack, tmp_path: Path) -> None:
    """The goldens are mounted: no image is built anew for another one."""
    golden = tmp_path / "golden"
    subprocess.run(["cp", "-r", running.root / "golden", golden], check=True)
    expected = golden / "thickness/expected.csv"
    lines = expected.read_text(encoding="utf-8").splitlines()
    drawing, name, value = lines[1].split(",")
    lines[1] = f"{drawing},{name},{float(value) * 1.5!r}"
    old = hashlib.sha256(expected.read_bytes()).hexdigest()
    expected.write_bytes(("\n".join(lines) + "\n").encode())
    provenance = golden / "thickness/provenance.toml"
    text = provenance.read_text(encoding="utf-8")
    assert old in text
    provenance.write_text(text.replace(old, hashlib.sha256(expected.read_bytes()).hexdigest()), encoding="utf-8")
    running.settings["GOLDMAR_GOLDEN"] = str(golden)
    try:
        done = running.batch()
    finally:
        del running.settings["GOLDMAR_GOLDEN"]
    assert done.code == 1, done.said
    assert drawing in done.out
    assert running.report()["passed"] is False


def test_a_batch_without_goldens_is_exit_code_2(running: Stack, tmp_path: Path) -> None:
    running.settings["GOLDMAR_GOLDEN"] = str(tmp_path)
    try:
        tmp_path.chmod(0o700)
        unreadable = running.batch()
        tmp_path.chmod(0o755)
        empty = running.batch()
    finally:
        del running.settings["GOLDMAR_GOLDEN"]
    assert unreadable.code == empty.code == 2, unreadable.said + empty.said
    assert "The goldens cannot be read by user 10002" in unreadable.err
    assert "There are no goldens" in empty.err


# --- stacks side by side ----------------------------------------------------------------------------------------------


def ask(url: str, token: str) -> int:
    asked = urllib.request.Request(f"{url}/predictions/thickness", b"x", {"Authorization": f"Bearer {token}"})
    try:
        return urllib.request.urlopen(asked).status
    except urllib.error.HTTPError as error:
        return error.code if b"InvalidKey" not in error.read() else -1


def test_stacks_are_isolated(running: Stack, stacks: list[Stack]) -> None:
    """dev and stg at once: neither takes the other's token, network or volume, and each can go alone."""
    stg = Stack(running.root, NEEDED[-1], env="stg")
    stacks.append(stg)
    stg.do("up", "-d", "--no-build", "api")
    assert stg.batch().code == 0
    assert stg.url() != running.url()
    tokens = [running.token(), stg.token()]
    assert tokens[0] != tokens[1]
    assert ask(running.url(), tokens[0]) == 400  # taken; the handler refuses what is no drawing
    assert ask(running.url(), tokens[1]) == -1
    assert ask(stg.url(), tokens[0]) == -1
    networks = [
        set(docker("inspect", "--format", "{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}", c).split())
        for c in (running.container(), stg.container())
    ]
    assert len(networks[0]) == len(networks[1]) == 2
    assert not networks[0] & networks[1]
    stg.down()
    assert running.batch().code == 0


def test_the_env_files_keep_the_three_stacks_apart(built: Path) -> None:
    """As they are: project, port and image differ between dev, stg and prod."""
    said = {}
    for name in ("dev", "stg", "prod"):
        lines = (built / f"compose/env/{name}.env").read_text(encoding="utf-8").splitlines()
        said[name] = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    for key in ("COMPOSE_PROJECT_NAME", "GOLDMAR_PORT", "GOLDMAR_TAG"):
        assert len({values[key] for values in said.values()}) == 3, key
    assert said["prod"].get("GOLDMAR_STAGES", "off") == said["stg"].get("GOLDMAR_STAGES", "off") == "off"
