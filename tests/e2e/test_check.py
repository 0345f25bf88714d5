"""The main job as a user does it: this repository's three models, archived, served by a real TorchServe, held against
their goldens, through the installed command alone. Everything happens in a copy; the repository stays as it is."""

import html
import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from goldmar.compare import compare
from goldmar.config import load_tolerances
from goldmar.errors import ExitCode
from goldmar.golden import read_values
from goldmar.records import Values

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).resolve().parents[2]
GOLDMAR = Path(sys.executable).with_name("goldmar")
MODELS = ("callouts", "part_class", "thickness")
SCHEMA = json.loads((REPOSITORY / "docs/report-schema.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Project:
    """handlers/ and golden/ of the repository, with a temporary folder of their own for what goldmar starts."""

    root: Path
    temporary: Path

    def goldmar(self, *arguments: str, **keywords: Any) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "TMPDIR": str(self.temporary)}
        options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": 300, **keywords}
        return subprocess.run([str(GOLDMAR), *arguments], cwd=self.root, check=False, env=environment, **options)

    def golden(self, model: str) -> Path:
        return self.root / "golden" / model

    def expected(self) -> Mapping[str, bytes]:
        return {model: (self.golden(model) / "expected.csv").read_bytes() for model in MODELS}


def copy_of(source: Path, root: Path, temporary: Path, *parts: str) -> Project:
    for part in parts:
        shutil.copytree(source / part, root / part, ignore=shutil.ignore_patterns("__pycache__", "obtained*"))
    return Project(root, temporary)


def report_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The --json report, which is all of standard output and as docs/report-schema.json says."""
    report = json.loads(done.stdout)
    jsonschema.validate(report, SCHEMA)
    assert isinstance(report, dict)
    return report


@pytest.fixture(scope="module")
def temporary() -> Iterator[Path]:
    """For whatever goldmar starts; short enough for sockets, and it must be empty when the last test is done."""
    folder = Path(tempfile.mkdtemp(prefix="gm", dir="/tmp"))
    yield folder
    left = sorted(folder.rglob("*"))
    shutil.rmtree(folder)
    assert not left


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, temporary: Path) -> Project:
    """The three models with archives built from the repository as it is."""
    project = copy_of(REPOSITORY, tmp_path_factory.mktemp("project"), temporary, "handlers", "golden")
    done = project.goldmar("archive", "--json")
    assert done.returncode == ExitCode.OK, done.stderr
    assert [built["model"] for built in json.loads(done.stdout)] == list(MODELS)
    return project


@pytest.fixture(scope="module")
def checked(project: Project) -> subprocess.CompletedProcess[str]:
    """`goldmar check` of all three behind one TorchServe, with every kind of report."""
    return project.goldmar("check", "--json", "--reports", "reports/here")


@pytest.fixture(scope="module")
def local_answers(project: Project, checked: subprocess.CompletedProcess[str]) -> Mapping[str, Values]:
    assert checked.returncode == ExitCode.OK, checked.stderr
    return {model: read_values(project.golden(model) / "obtained.csv") for model in MODELS}


# ---- all is well ----------------------------------------------------------------------------------------------------


def test_the_repository_passes_its_own_check(checked: subprocess.CompletedProcess[str]) -> None:
    assert checked.returncode == ExitCode.OK, checked.stdout + checked.stderr
    report = report_of(checked)
    assert report["passed"] is True
    assert report["backend"] == "local"
    assert [model["model"] for model in report["models"]] == list(MODELS)
    for model in report["models"]:
        assert model["drawings"] >= 24
        assert model["values"] >= model["drawings"]
        assert model["failures"] == []
        assert model["archive_digest"].startswith("sha256:")


def test_progress_goes_to_standard_error(checked: subprocess.CompletedProcess[str]) -> None:
    for model in MODELS:
        assert f"asking {model} about" in checked.stderr


def test_only_obtained_files_are_written(project: Project, local_answers: Mapping[str, Values]) -> None:
    for model in MODELS:
        here = {path.name for path in project.golden(model).iterdir() if path.is_file()}
        there = {path.name for path in (REPOSITORY / "golden" / model).iterdir() if path.is_file()}
        assert here - {"obtained.csv", "obtained.toml"} == there - {"obtained.csv", "obtained.toml"}
        for name in there - {"obtained.csv", "obtained.toml"}:
            assert (project.golden(model) / name).read_bytes() == (REPOSITORY / "golden" / model / name).read_bytes()


def test_reports_for_a_ci_server(project: Project, checked: subprocess.CompletedProcess[str]) -> None:
    folder = project.root / "reports/here"
    assert {path.name for path in folder.iterdir()} == {"junit.xml", "report.json", "report.md"}
    assert json.loads((folder / "report.json").read_text()) == report_of(checked)
    suites = ElementTree.parse(folder / "junit.xml").getroot()
    cases = list(suites.iter("testcase"))
    assert len(cases) == sum(model["drawings"] for model in report_of(checked)["models"])
    assert not list(suites.iter("failure"))
    summary = html.unescape((folder / "report.md").read_text())
    assert all(model in summary for model in MODELS)


def test_the_worker_without_java_answers_the_same(project: Project, local_answers: Mapping[str, Values]) -> None:
    done = project.goldmar("check", "--backend", "worker", "--json")
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    assert report_of(done)["backend"] == "worker"
    for model, local in local_answers.items():
        worker = read_values(project.golden(model) / "obtained.csv")
        # Within tolerance only because behind TorchServe a drawing shares its batch with others.
        held = compare(
            local,
            worker,
            load_tolerances(project.golden(model) / "tolerance.toml"),
            model=model,
            drawings=sorted(set(local.drawing_ids)),
            problems={},
        )
        assert held.failures == ()
        assert held.values == len(local) > 0


def test_archives_are_the_same_bytes_again(project: Project, tmp_path: Path, temporary: Path) -> None:
    again = copy_of(REPOSITORY, tmp_path, temporary, "handlers")
    assert again.goldmar("archive").returncode == ExitCode.OK
    for model in MODELS:
        name = f"model_store/{model}.mar"
        assert (again.root / name).read_bytes() == (project.root / name).read_bytes()


# ---- a weight changes -----------------------------------------------------------------------------------------------


def change_a_weight(path: Path) -> None:
    """As a retraining would, and by far more than any tolerance."""
    import torch

    state = torch.load(path, weights_only=True)
    name = next(name for name in reversed(state) if state[name].is_floating_point() and state[name].numel() > 1)
    state[name] = state[name] + torch.linspace(-3.0, 3.0, state[name].numel()).reshape(state[name].shape)
    torch.save(state, path)


def approve_at_a_terminal(project: Project, model: str, *, reply: str) -> subprocess.CompletedProcess[str]:
    """`goldmar approve` with somebody at the keyboard."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{reply}\n".encode())
        return project.goldmar("approve", model, "--reason", "retrained on more drawings", stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_changed_weight_is_refused_then_seen_then_approved(project: Project, tmp_path: Path, temporary: Path) -> None:
    changed = copy_of(project.root, tmp_path, temporary, "handlers", "golden", "model_store")
    before = changed.expected()
    digest = tomllib.loads((changed.golden("thickness") / "provenance.toml").read_text())["archive_digest"]
    change_a_weight(changed.root / "handlers/thickness/weights.pt")

    # The archive is older than the weights: a green check of it would say nothing of them.
    stale = changed.goldmar("check", "thickness")
    assert stale.returncode == ExitCode.USAGE
    assert "was not built from" in stale.stderr
    assert "fix: goldmar archive thickness" in stale.stderr
    assert not (changed.golden("thickness") / "obtained.csv").exists()

    assert changed.goldmar("archive", "thickness").returncode == ExitCode.OK
    seen = changed.goldmar("check", "thickness", "--backend", "worker", "--reports", "reports")
    assert seen.returncode == ExitCode.DIFFERENT, seen.stderr
    report = json.loads((changed.root / "reports/report.json").read_text())
    jsonschema.validate(report, SCHEMA)
    (model,) = report["models"]
    assert report["passed"] is False
    drawings = {failure["drawing_id"] for failure in model["failures"]}
    assert drawings
    assert drawings <= {line.split(",")[0] for line in before["thickness"].decode().splitlines()[1:]}
    assert {failure["name"] for failure in model["failures"]} == {"thickness"}
    assert any(drawing in seen.stdout for drawing in drawings)
    failed = ElementTree.parse(changed.root / "reports/junit.xml").getroot().iter("failure")
    assert len(list(failed)) == len(drawings)
    assert changed.expected() == before

    # The difference is shown first; a no leaves everything as it is, and a yes makes it the golden.
    refused = approve_at_a_terminal(changed, "thickness", reply="n")
    assert refused.returncode == ExitCode.INTERRUPTED
    assert any(drawing in refused.stdout for drawing in drawings)
    assert changed.expected() == before
    accepted = approve_at_a_terminal(changed, "thickness", reply="y")
    assert accepted.returncode == ExitCode.OK, accepted.stderr
    assert changed.expected() != before
    provenance = tomllib.loads((changed.golden("thickness") / "provenance.toml").read_text())
    assert provenance["reason"] == "retrained on more drawings"
    assert provenance["archive_digest"] not in {"", digest}
    assert {"torch", "torchserve", "numpy", "pillow"} <= {name.lower() for name in provenance["packages"]}

    now = changed.goldmar("check", "thickness", "--backend", "worker")
    assert now.returncode == ExitCode.OK, now.stdout + now.stderr


def test_a_first_golden_is_recorded_then_approved(project: Project, tmp_path: Path, temporary: Path) -> None:
    fresh = copy_of(project.root, tmp_path, temporary, "handlers", "golden", "model_store")
    folder = fresh.golden("part_class")
    expected = (folder / "expected.csv").read_bytes()
    (folder / "expected.csv").unlink()
    (folder / "provenance.toml").unlink()

    missing = fresh.goldmar("check", "part_class", "--backend", "worker")
    assert missing.returncode == ExitCode.USAGE
    assert "goldmar record part_class" in missing.stderr

    recorded = fresh.goldmar("record", "part_class", "--backend", "worker")
    assert recorded.returncode == ExitCode.OK, recorded.stderr
    assert not (folder / "expected.csv").exists()
    approved = fresh.goldmar("approve", "part_class", "--reason", "first golden", "--yes")
    assert approved.returncode == ExitCode.OK, approved.stderr
    assert (folder / "expected.csv").read_bytes().count(b"\n") == expected.count(b"\n")
    assert not list(folder.glob("obtained*"))
    assert fresh.goldmar("check", "part_class", "--backend", "worker").returncode == ExitCode.OK
