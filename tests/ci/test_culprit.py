"""ci/culprit, run for real after a lock file was changed: with uv, environments and TorchServe's worker.

The models do not compute with torch: a stand-in takes its place.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from goldmar.environments.uv import handed_over
from tests.ci.conftest import ROOT
from tests.ci.test_scripts import environment
from tests.support.packages import lock, stand_in, wheel
from tests.support.repository import Repository

LOCK = "ci/locks/api.txt"


@pytest.fixture
def locked(workshop: Repository, tmp_path: Path) -> Repository:
    """The models compute with a package of ours, whose newer version is another one; `main` has the older."""
    wheels = tmp_path / "wheels"
    for name in ("scale", "harmless"):
        wheel(wheels, name, "1.0", "FACTOR = 1.0")
        wheel(wheels, name, "1.1", f"FACTOR = {1.5 if name == 'scale' else 1.0}")
    shutil.copy2(ROOT / "ci/culprit", workshop.root / "ci/culprit")
    (workshop.root / "ci/locks").mkdir()
    workshop.git("checkout", "-q", "main")
    workshop.write(
        "handlers/common/mean.py",
        "import scale\n\n\ndef mean(numbers):\n    return sum(numbers) / len(numbers) * scale.FACTOR\n",
    )
    lock(workshop.root / LOCK, {"scale": "1.0", "harmless": "1.0"}, wheels, torch=stand_in(wheels))
    workshop.commit("the packages")
    workshop.git("checkout", "-q", "branch")
    workshop.git("merge", "-q", "main")
    return workshop


def set_up_with(wheels: Path) -> dict[str, str]:
    """The machine looks for wheels there as well: what a lock file names by itself is not taken."""
    there = handed_over(os.environ).get("UV_FIND_LINKS", os.environ.get("UV_FIND_LINKS", ""))
    return {"UV_FIND_LINKS": ",".join(filter(None, [str(wheels), there])), "UV_INDEX_STRATEGY": "unsafe-best-match"}


def culprit(repo: Repository, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [repo.root / "ci/culprit", *arguments],
        cwd=repo.root,
        env=environment()
        | {"GOLDMAR_CACHE": str(repo.root.parent / "cache")}
        | set_up_with(repo.root.parent / "wheels"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_package_that_did_it_is_named_for_the_pull_request(locked: Repository) -> None:
    for name in ("scale", "harmless"):
        locked.edit(LOCK, f"{name}==1.0", f"{name}==1.1")
    locked.commit("bump both")
    done = culprit(locked, "--base", "main", "--reports", "reports/job", "gear")
    assert done.returncode == 1, done.stdout + done.stderr
    section = (locked.root / "reports/job/culprit.md").read_text()
    assert section.startswith("## goldmar bisect: ❌ scale 1.0 → 1.1 turns the check red\n")
    assert "| gear | a | mean | 3.0 | 4.5 |" in section
    assert "api.txt keeps 1 of 2 changes and holds back scale" in section
    kept = (locked.root / "reports/job/api.txt").read_text()
    assert kept == (locked.root / LOCK).read_text().replace("scale==1.1", "scale==1.0")


def test_code_that_a_lock_file_names_is_never_run(locked: Repository) -> None:
    """A pull request writes the lock file: neither a file of its own nor another index is taken from it."""
    for line in ("evil @ file:///tmp/evil-1.0.tar.gz", "--extra-index-url https://evil.example/simple"):
        lines = (locked.root / LOCK).read_text().splitlines()
        locked.write(LOCK, "\n".join([line, *(each for each in lines if "evil" not in each)]) + "\n")
        locked.commit("a dependency")
        done = culprit(locked, "--base", "main", "--reports", "reports/job", "gear")
        assert done.returncode == 2, done.stdout + done.stderr
        assert "names code that is no pinned release" in " ".join(done.stderr.split())
        assert line in " ".join(done.stderr.split())
        assert "bisect ended with 2" in (locked.root / "reports/job/culprit.md").read_text()


@pytest.mark.parametrize("tracked", [False, True])
def test_wheels_that_this_job_built_are_used_and_those_of_a_pull_request_are_not(
    locked: Repository, tracked: bool
) -> None:
    told = locked.root.parent / "told"
    told.write_text('#!/bin/sh\necho "links: $PIP_FIND_LINKS"\n')
    told.chmod(0o755)
    locked.edit(LOCK, "scale==1.0", "scale==1.1")
    locked.write("wheelhouse/evil-1.0-py3-none-any.whl", "evil")
    if tracked:
        locked.commit("wheels")
    done = subprocess.run(
        [locked.root / "ci/culprit", "--base", "main", "gear"],
        env=environment() | {"GOLDMAR": str(told), "PIP_FIND_LINKS": "/srv/wheels"},
        capture_output=True,
        text=True,
        check=False,
    )
    links = "/srv/wheels" if tracked else f"/srv/wheels {locked.root}/wheelhouse"
    assert done.stdout.splitlines()[-1] == f"links: {links}", done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_what_it_started(locked: Repository, number: signal.Signals) -> None:
    """A CI server that cancels a job tells the script alone."""
    locked.edit(LOCK, "scale==1.0", "scale==1.1")
    begun, ended = locked.root.parent / "begun", locked.root.parent / "ended"
    program = locked.root.parent / "program"
    program.write_text(
        f'#!/usr/bin/env bash\ntrap "sleep 0.2; touch {ended}; exit 130" TERM\n'
        f"[[ $1 == archive ]] || {{ touch {begun}; while :; do sleep 0.05; done; }}\n"
    )
    program.chmod(0o755)
    process = subprocess.Popen(
        [locked.root / "ci/culprit", "--base", "main", "gear"],
        env=environment() | {"GOLDMAR": str(program)},
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 30
    while not begun.exists() and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, "interrupted\n")
    assert ended.exists()


def test_nothing_that_runs_on_a_pull_request_trusts_its_lock_files() -> None:
    for path in (each for each in (ROOT / "ci").rglob("*") if "__pycache__" not in each.parts):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert "--trust-lock" not in "".join(
                line for line in text.splitlines() if not line.lstrip().startswith("#")
            )


def test_a_lock_file_that_did_not_change_did_nothing(locked: Repository) -> None:
    locked.edit("handlers/common/mean.py", "* scale", "* 2 * scale")
    locked.commit("a handler")
    done = culprit(locked, "--base", "main", "gear")
    assert done.returncode == 0, done.stderr
    said = f"{LOCK} is what it was at main: no package did it\n"
    assert done.stdout == (locked.root / "reports/culprit.md").read_text() == said


def test_a_lock_file_that_is_new_has_nothing_to_be_compared_with(locked: Repository) -> None:
    (locked.root / LOCK).rename(locked.root / "ci/locks/other.txt")
    done = subprocess.run(
        [locked.root / "ci/culprit", "--base", "main", "gear"],
        env=environment() | {"GOLDMAR_API_LOCK": "ci/locks/other.txt"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "ci/locks/other.txt is new" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gear"], "--base is missing"),
        (["--base", "main"], "No model was named"),
        (["--base", "nosuch", "gear"], "no commit that nosuch and HEAD have in common"),
        (["--lock", "x", "gear"], "There is no option --lock"),
        (["--base"], "--base requires a value"),
    ],
)
def test_what_it_cannot_work_with_is_exit_code_2_and_a_fix(locked: Repository, arguments: list[str], said: str) -> None:
    done = culprit(locked, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "fix: " in done.stderr
    assert not (locked.root / "reports").exists()


def test_without_a_lock_file_it_says_where_to_name_one(locked: Repository) -> None:
    (locked.root / LOCK).unlink()
    done = culprit(locked, "--base", "main", "gear")
    assert done.returncode == 2
    assert "GOLDMAR_API_LOCK" in done.stderr
