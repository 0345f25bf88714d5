"""ci/local and ci/regression, run for real: with TorchServe's worker, for the tests of Docker are in tests/compose.

The models do not compute with torch: a stand-in takes its place.
"""

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import psutil
import pytest

from tests.support.packages import STAND_IN
from tests.support.repository import Repository

GOLDMAR = Path(sys.executable).with_name("goldmar")


def environment() -> dict[str, str]:
    path = f"{GOLDMAR.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "GOLDMAR": str(GOLDMAR), "PYTHONPATH": str(STAND_IN), "COLUMNS": "120"}


def run(repo: Repository, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [repo.root / "ci" / script, *arguments],
        cwd=repo.root,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def local(repo: Repository, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(repo, "local", "--base", "main", "--backend", "worker", *arguments)


def test_a_change_of_what_two_share_runs_two_jobs_and_passes(workshop: Repository) -> None:
    workshop.edit("handlers/common/mean.py", "sum(numbers)", "float(sum(numbers))")
    workshop.commit()
    done = local(workshop)
    assert done.returncode == 0, done.stdout + done.stderr
    reports = workshop.root / "reports"
    assert sorted(path.name for path in reports.iterdir()) == ["affected.json", "gear", "shaft", "summary.md"]
    for model in ("gear", "shaft"):
        assert ET.parse(reports / model / "junit.xml").getroot().get("failures") == "0"
        assert json.loads((reports / model / "report.json").read_text())["passed"] is True
    summary = (reports / "summary.md").read_text()
    assert "| gear | 0 |" in summary
    assert "✅" in summary
    assert [each["model"] for each in json.loads((reports / "affected.json").read_text())["models"]] == [
        "gear",
        "shaft",
    ]


def test_a_model_that_answers_otherwise_ends_in_1_and_the_others_have_their_say(workshop: Repository) -> None:
    workshop.edit(
        "handlers/gear/handler.py", '"mean": mean(self.numbers(row))', '"mean": 1.5 * mean(self.numbers(row))'
    )
    workshop.append("handlers/shaft/requirements.txt")
    workshop.commit()
    done = local(workshop, "--head", "HEAD")
    assert done.returncode == 1, done.stdout + done.stderr
    summary = (workshop.root / "reports/summary.md").read_text()
    assert "| gear | 1 |" in summary
    assert "| shaft | 0 |" in summary
    assert "❌" in summary
    assert ET.parse(workshop.root / "reports/gear/junit.xml").getroot().get("failures") == "2"


def test_what_cannot_start_is_graver_than_what_differs(workshop: Repository) -> None:
    workshop.edit("handlers/gear/handler.py", '"mean": mean(', '"mean": 2 * mean(')
    workshop.edit("handlers/rim/mean.py", "def mean", "import no_such_package_at_all\n\n\ndef mean")
    done = local(workshop)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "no_such_package_at_all" in done.stdout + done.stderr
    summary = (workshop.root / "reports/summary.md").read_text()
    assert "| gear | 1 |" in summary
    assert "| rim | 3 |" in summary


def test_models_share_a_job_where_there_are_more_than_jobs(workshop: Repository) -> None:
    workshop.write("somewhere/else.bin", "x")
    done = local(workshop, "--jobs", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| gear | 0 |" in (workshop.root / "reports/summary.md").read_text()
    report = json.loads((workshop.root / "reports/rim-and-1-more/report.json").read_text())
    assert [each["model"] for each in report["models"]] == ["rim", "shaft"]


def test_a_change_that_reaches_nothing_starts_nothing(workshop: Repository) -> None:
    workshop.write("docs/guide.md", "words")
    done = local(workshop)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing to check" in done.stderr
    assert (
        "Nothing" in (workshop.root / "reports/summary.md").read_text()
        or "No model" in (workshop.root / "reports/summary.md").read_text()
    )


def test_a_base_that_git_does_not_know_ends_in_2_and_is_never_green(workshop: Repository) -> None:
    done = run(workshop, "local", "--base", "origin/nowhere", "--backend", "worker")
    assert done.returncode == 2
    assert "git fetch origin nowhere" in done.stderr


@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("local", [], "--base is missing"),
        ("local", ["--base"], "--base requires a value"),
        ("local", ["--bass", "main"], "no option --bass"),
        ("regression", [], "No model was named"),
        ("regression", ["--backend", "helm", "gear"], "no backend 'helm'"),
        ("regression", ["--backend"], "--backend requires a value"),
        ("regression", ["--verbose", "gear"], "no option --verbose"),
        ("regression", ["--backend", "worker", "nobody"], "nobody"),
    ],
)
def test_what_makes_no_sense_ends_in_2_and_says_what_would(
    script: str, arguments: list[str], said: str, workshop: Repository
) -> None:
    done = run(workshop, script, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert "fix:" in done.stderr


@pytest.mark.parametrize("script", ["local", "regression"])
def test_help_tells_the_options(script: str, workshop: Repository) -> None:
    done = run(workshop, script, "--help")
    assert done.returncode == 0
    assert "--backend worker" in done.stdout
    assert "set -euo" not in done.stdout


def test_the_report_of_yesterday_is_not_taken_for_todays(workshop: Repository) -> None:
    for name in ("report.json", "report.html"):
        workshop.write(f"reports/gear/{name}", "{}")
    workshop.edit("handlers/gear/handler.py", "class Handler", "class")
    done = run(workshop, "regression", "--backend", "worker", "gear")
    assert done.returncode == 2, done.stdout + done.stderr
    assert list((workshop.root / "reports/gear").glob("report.*")) == []


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_in_130_and_leaves_no_process(stop: signal.Signals, workshop: Repository) -> None:
    workshop.edit("handlers/gear/handler.py", "self.initialized = True", "import time; time.sleep(600)")
    process = subprocess.Popen(
        [workshop.root / "ci/local", "--base", "main", "--backend", "worker"],
        cwd=workshop.root,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    started = psutil.Process(process.pid)
    deadline = time.monotonic() + 120
    while not any(
        "model_service_worker" in command(each) or "_worker_process" in command(each) for each in family(started)
    ):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    time.sleep(1)
    children = family(started)
    process.send_signal(stop)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    assert gone


def family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [each for each in process.children(recursive=True) if each.is_running()]
    except psutil.NoSuchProcess:
        return []


def command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has ended, or is just about to
        return ""


NO_NAMES = ("../gear", "größe", "_gear", "gear shaft")


@pytest.mark.parametrize(
    ("script", "name"),
    [("regression", name) for name in (*NO_NAMES, "common", "notes.md")] + [("culprit", name) for name in NO_NAMES],
)
def test_a_name_that_no_model_may_have_ends_in_2(workshop: Repository, script: str, name: str) -> None:
    options = ["--backend", "worker"] if script == "regression" else ["--base", "main"]
    workshop.write("gear/junit.xml", "not ours")  # what reports/../gear leads to
    done = run(workshop, script, *options, name)
    assert done.returncode == 2, done.stdout + done.stderr
    assert (workshop.root / "gear/junit.xml").exists()
    assert f"error: {name!r} is no name for a model." in done.stderr


def test_an_archive_that_somebody_else_built_is_checked_as_it_is(workshop: Repository) -> None:
    """Kept in git, without a handler here: affected gives it a job, and there is nothing to build."""
    assert run(workshop, "regression", "--backend", "worker", "gear").returncode == 0
    workshop.git("rm", "-rq", "handlers/gear")
    done = run(workshop, "regression", "--backend", "worker", "gear")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kept model_store/gear.mar  built elsewhere" in done.stdout


def test_a_model_with_another_name_than_its_folder_is_built_and_checked(workshop: Repository) -> None:
    workshop.git("mv", "handlers/gear", "handlers/gear_v2")
    workshop.edit("handlers/gear_v2/archive.toml", 'version = "', 'model = "gear"\nversion = "')
    workshop.commit()
    done = local(workshop, "--head", "HEAD")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 3 models compared" in done.stdout
