"""Archives that are none of goldmar's, built by torch-model-archiver, held against their golden like any other.

A JSON-in JSON-out function in the style of TorchServe's examples, and TorchServe's own `base_handler` around a network.
A remote server needs golden/<model>/ and a URL: no handlers, no archive.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from goldmar.backends.local import LocalServer
from goldmar.errors import ExitCode
from tests.support.foreign import foreign_project, write_golden

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("stand_in")]

GOLDMAR = Path(sys.executable).with_name("goldmar")


@dataclass
class Remote:
    """A running server as somebody who may only ask it knows it."""

    url: str
    token_file: Path

    @property
    def options(self) -> list[str]:
        return ["--url", self.url, "--token-file", str(self.token_file)]


def remote(server: LocalServer, folder: Path) -> Remote:
    token = folder / "token"
    token.write_text(server.endpoint.headers["Authorization"].removeprefix("Bearer ") + "\n")
    return Remote(server.url, token)


def goldmar(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(GOLDMAR), *arguments], cwd=project, check=False, capture_output=True, text=True, timeout=180
    )


def only_the_golden(source: Path, target: Path) -> Path:
    """A project of nothing but golden/."""
    shutil.copytree(source / "golden", target / "golden")
    return target


def offenders(done: subprocess.CompletedProcess[str]) -> list[tuple[str, str, str]]:
    """(kind, drawing, value) of everything that fails in a --json report."""
    (model,) = json.loads(done.stdout)["models"]
    return [(failure["kind"], failure["drawing_id"], failure["name"]) for failure in model["failures"]]


# ---- a function of somebody else's ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def means(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the archive of the foreign function and a right golden."""
    root = foreign_project(tmp_path_factory.mktemp("means"))
    write_golden(root)
    return root


@pytest.fixture(scope="module")
def means_server(means: Path, tmp_path_factory: pytest.TempPathFactory, stand_in: None) -> Iterator[Remote]:
    with LocalServer([means / "model_store/means.mar"]) as server:
        yield remote(server, tmp_path_factory.mktemp("token"))


def test_a_url_and_a_golden_are_enough(means: Path, means_server: Remote, tmp_path: Path) -> None:
    project = only_the_golden(means, tmp_path)
    done = goldmar(project, "check", "--json", *means_server.options)
    assert done.returncode == ExitCode.OK, done.stderr
    report = json.loads(done.stdout)
    assert report["backend"] == "remote"
    assert [(model["model"], model["drawings"], model["values"]) for model in report["models"]] == [("means", 3, 12)]


def test_a_changed_value_is_named_with_its_drawing(means: Path, means_server: Remote, tmp_path: Path) -> None:
    project = only_the_golden(means, tmp_path)
    write_golden(project, changed={("sub/c", "mean"): "9.5", ("a", "unit"): "inch"})
    done = goldmar(project, "check", "--json", *means_server.options)
    assert done.returncode == ExitCode.DIFFERENT, done.stderr
    assert sorted(offenders(done)) == [("different", "a", "unit"), ("different", "sub/c", "mean")]
    page = goldmar(project, "check", *means_server.options).stdout
    assert "sub/c" in page
    assert "9.607" in page


def test_record_and_approve_over_a_url(means: Path, means_server: Remote, tmp_path: Path) -> None:
    project = only_the_golden(means, tmp_path)
    right = (project / "golden/means/expected.csv").read_text()
    (project / "golden/means/expected.csv").unlink()
    assert goldmar(project, "record", "means", *means_server.options).returncode == ExitCode.OK
    assert not (project / "golden/means/expected.csv").exists()
    approved = goldmar(project, "approve", "means", "--reason", "first", "--yes")
    assert approved.returncode == ExitCode.OK, approved.stderr
    assert (project / "golden/means/expected.csv").read_text() == right
    provenance = (project / "golden/means/provenance.toml").read_text()
    assert 'backend = "remote"' in provenance
    assert means_server.url in provenance
    assert means_server.token_file.read_text().strip() not in provenance
    assert goldmar(project, "check", *means_server.options).returncode == ExitCode.OK


def test_without_its_token_it_is_a_matter_of_usage(means: Path, means_server: Remote, tmp_path: Path) -> None:
    done = goldmar(only_the_golden(means, tmp_path), "check", "--url", means_server.url)
    assert done.returncode == ExitCode.USAGE
    assert "token" in done.stderr


def test_a_model_that_is_not_served_there(means: Path, means_server: Remote, tmp_path: Path) -> None:
    (only_the_golden(means, tmp_path) / "golden/means").rename(tmp_path / "golden/medians")
    done = goldmar(tmp_path, "check", *means_server.options)
    assert done.returncode == ExitCode.USAGE
    assert "medians" in done.stderr


@pytest.mark.parametrize("backend", ["local", "worker"])
def test_served_here_from_the_model_store(means: Path, tmp_path: Path, backend: str) -> None:
    project = tmp_path / "project"
    shutil.copytree(means, project)
    done = goldmar(project, "check", "--backend", backend, "--json")
    assert done.returncode == ExitCode.OK, done.stderr
    assert json.loads(done.stdout)["models"][0]["version"] == "2.1"
    assert (project / "golden/means/obtained.csv").read_text() == (means / "golden/means/expected.csv").read_text()


# ---- a handler of TorchServe's own ----------------------------------------------------------------------------------

NETWORK = """
from torch import nn

class Deviation(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, holes):
        return self.linear(holes)
"""

# One row of three measurements is what base_handler, behind TorchServe's `body` envelope, makes a tensor of.
MEASURED = {"bore": [1.0, 2.0, 3.0], "flange/outer": [0.5, -0.25, 8.0]}
WEIGHT = [[0.5, 0.25, -1.0], [1.0, 0.0, 0.125]]


def write_drawings(root: Path) -> None:
    for name, holes in MEASURED.items():
        path = root / "golden/deviation/drawings" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(holes))


def network_archive(folder: Path, weight: list[list[float]]) -> Path:
    """`base_handler` with a network whose answers can be worked out by hand: WEIGHT x measurements."""
    import torch

    folder.mkdir()
    (folder / "network.py").write_text(NETWORK)
    torch.save({"linear.weight": torch.tensor(weight), "linear.bias": torch.zeros(2)}, folder / "weights.pt")
    command = [sys.executable, "-m", "model_archiver.model_packaging", "--model-name", "deviation", "--version", "7"]
    command += ["--handler", "base_handler", "--model-file", "network.py", "--serialized-file", "weights.pt"]
    subprocess.run([*command, "--export-path", "."], cwd=folder, check=True, capture_output=True)
    return folder / "deviation.mar"


def served(mar: Path) -> LocalServer:
    return LocalServer([mar], properties={"service_envelope": "body"})


def test_torchserves_own_handler_is_recorded_approved_and_then_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH")  # this one computes with torch
    project = tmp_path / "project"
    write_drawings(project)
    golden = project / "golden/deviation"
    with served(network_archive(tmp_path / "first", WEIGHT)) as server:
        options = remote(server, tmp_path).options
        assert goldmar(project, "check", *options).returncode == ExitCode.USAGE  # no golden yet
        recorded = goldmar(project, "record", "deviation", *options)
        assert recorded.returncode == ExitCode.OK, recorded.stderr
        approved = goldmar(project, "approve", "deviation", "--reason", "worked out by hand", "--yes")
        assert approved.returncode == ExitCode.OK, approved.stderr
        (golden / "tolerance.toml").write_text("[default]\natol = 1e-6\n")
        checked = goldmar(project, "check", *options)
        assert checked.returncode == ExitCode.OK, checked.stdout + checked.stderr
    expected = dict.fromkeys(MEASURED)
    rows = [line.split(",") for line in (golden / "expected.csv").read_text().splitlines()[1:]]
    got = {name: [float(pred) for drawing, _, pred in rows if drawing == name] for name in expected}
    want = {n: [sum(w * x for w, x in zip(row, xs, strict=True)) for row in WEIGHT] for n, xs in MEASURED.items()}
    assert got == {name: pytest.approx(values) for name, values in want.items()}

    # The same network but for one weight, which shows in the second value of both drawings and nowhere else.
    changed = [[0.5, 0.25, -1.0], [1.0, 0.0, 0.25]]
    with served(network_archive(tmp_path / "second", changed)) as server:
        done = goldmar(project, "check", "--json", *remote(server, tmp_path).options)
    assert done.returncode == ExitCode.DIFFERENT, done.stderr
    assert sorted(offenders(done)) == [("different", "bore", "[1]"), ("different", "flange/outer", "[1]")]
