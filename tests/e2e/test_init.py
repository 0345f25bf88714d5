"""`goldmar init` in an empty folder, taken through to a green check by what the user types, for each kind of model.

The way of `goldmar init gear` behind a whole TorchServe, its archive verified, and a check that is red once its weights
are others, are in the README and docs/getting-started.md, which tests/docs runs.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e


def goldmar(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "goldmar", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def succeeds(folder: Path, *arguments: str) -> str:
    done = goldmar(folder, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The two kinds that compute with torch in a new folder after init, archive, record and approve as they are."""
    folder = tmp_path_factory.mktemp("new")
    succeeds(folder, "init", "gear-teeth_2")
    succeeds(folder, "init", "image", "--kind", "image")
    succeeds(folder, "archive")
    succeeds(folder, "record", "--all", "--backend", "worker")
    succeeds(folder, "approve", "gear-teeth_2", "image", "--yes", "--reason", "the first answers")
    return folder


def test_the_golden_holds_what_the_two_drawings_were_answered(project):
    with (project / "golden/gear-teeth_2/expected.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["drawing_id"], row["name"]) for row in csv.DictReader(file)]
    names = ["label", "scores.first", "scores.second"]
    assert rows == [(drawing, name) for drawing in ("plate", "shaft") for name in names]


def test_the_kinds_with_torch_pass_in_the_worker(project):
    said = json.loads(succeeds(project, "check", "--backend", "worker", "--json"))
    assert {model["model"]: model["drawings"] for model in said["models"]} == {"gear-teeth_2": 2, "image": 2}


OTHERS = ("tabular", "text", "json")


@pytest.fixture(scope="module")
def kinds(tmp_path_factory, stand_in):
    """A model of each other kind in one new folder, taken as far; their workers import a stand-in for torch."""
    folder = tmp_path_factory.mktemp("kinds")
    for kind in OTHERS:
        succeeds(folder, "init", kind, "--kind", kind)
    succeeds(folder, "archive")
    # As a form with one field, which the others are not: TorchServe takes it apart, and so does its worker alone.
    (folder / "golden/tabular/request.toml").write_text('field = "data"\n')
    succeeds(folder, "record", *OTHERS, "--backend", "worker")
    succeeds(folder, "approve", *OTHERS, "--yes", "--reason", "the first answers")
    return folder


def test_the_other_kinds_pass_in_the_worker(kinds):
    said = json.loads(succeeds(kinds, "check", "--backend", "worker", "--json"))
    assert {model["model"]: model["drawings"] for model in said["models"]} == dict.fromkeys(OTHERS, 2)


def test_models_without_torch_pass_in_torchserve(kinds):
    assert "PASSED" in succeeds(kinds, "check", "tabular", "json")


@pytest.mark.parametrize("model", ["tabular", "json"])
def test_an_archive_without_weights_verifies(kinds, model):
    assert "verified" in succeeds(kinds, "archive", "--verify", f"model_store/{model}.mar")
