"""`goldmar init` in an empty folder, taken through to a green check and then to a red one, by what the user types."""

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
    """A new folder after init, archive, record and approve, with nothing touched by hand."""
    folder = tmp_path_factory.mktemp("new")
    succeeds(folder, "init", "gear-teeth_2")
    succeeds(folder, "archive")
    succeeds(folder, "record", "gear-teeth_2")
    succeeds(folder, "approve", "gear-teeth_2", "--yes", "--reason", "the first answers")
    return folder


def test_the_golden_holds_what_the_two_drawings_were_answered(project):
    with (project / "golden/gear-teeth_2/expected.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["drawing_id"], row["name"]) for row in csv.DictReader(file)]
    names = ["label", "scores.first", "scores.second"]
    assert rows == [(drawing, name) for drawing in ("plate", "shaft") for name in names]


def test_torchserve_answers_within_tolerance(project):
    assert "PASSED" in succeeds(project, "check")


def test_the_worker_alone_does_too(project):
    assert "PASSED" in succeeds(project, "check", "--backend", "worker")


def test_the_archive_verifies(project):
    assert "verified" in succeeds(project, "archive", "--verify", "model_store/gear-teeth_2.mar")


OTHERS = ("image", "tabular", "text", "json")


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """A model of each other kind in one new folder, taken as far."""
    folder = tmp_path_factory.mktemp("kinds")
    for kind in OTHERS:
        succeeds(folder, "init", kind, "--kind", kind)
    succeeds(folder, "archive")
    # As a form with one field, which the others are not: TorchServe takes it apart, and so does its worker alone.
    (folder / "golden/tabular/request.toml").write_text('field = "data"\n')
    succeeds(folder, "record", *OTHERS, "--backend", "worker")
    succeeds(folder, "approve", *OTHERS, "--yes", "--reason", "the first answers")
    return folder


def test_every_kind_passes_in_the_worker(kinds):
    said = json.loads(succeeds(kinds, "check", "--backend", "worker", "--json"))
    assert {model["model"]: model["drawings"] for model in said["models"]} == dict.fromkeys(OTHERS, 2)


def test_models_without_torch_pass_in_torchserve(kinds):
    assert "PASSED" in succeeds(kinds, "check", "tabular", "json")


@pytest.mark.parametrize("model", ["tabular", "json"])
def test_an_archive_without_weights_verifies(kinds, model):
    assert "verified" in succeeds(kinds, "archive", "--verify", f"model_store/{model}.mar")


def test_other_weights_are_noticed(project, tmp_path):
    """Without this a scaffold whose answers do not depend on its weights would do as well."""
    seeds = project / "handlers/gear-teeth_2/training/make_weights.py"
    weights = project / "handlers/gear-teeth_2/weights.pt"
    before = weights.read_bytes()
    try:
        other = tmp_path / "handler/training/make_weights.py"
        other.parent.mkdir(parents=True)
        other.write_text(
            seeds.read_text(encoding="utf-8").replace("manual_seed(0)", "manual_seed(1)"), encoding="utf-8"
        )
        (tmp_path / "handler/model.py").write_bytes((project / "handlers/gear-teeth_2/model.py").read_bytes())
        subprocess.run([sys.executable, str(other)], check=True, timeout=120)
        weights.write_bytes((tmp_path / "handler/weights.pt").read_bytes())

        stale = goldmar(project, "check", "--backend", "worker")
        assert (stale.returncode, "goldmar archive gear-teeth_2" in stale.stderr) == (2, True), stale.stderr

        succeeds(project, "archive")
        red = goldmar(project, "check", "--backend", "worker")
        assert red.returncode == 1, red.stdout + red.stderr
        assert "FAILED" in red.stdout
    finally:
        weights.write_bytes(before)
        succeeds(project, "archive")
