"""The workflow for GitHub, run here: every `run:` of its jobs, in a repository with real history.

What needs GitHub is left out by name: actions (`uses:`), the installation of goldmar, which is installed here, and the
search for a culprit, which test_culprit.py runs. An expression is replaced by what GitHub would put there; one that is
not known fails the test.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.packages import STAND_IN
from tests.support.repository import Repository

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = yaml.safe_load((ROOT / "ci/github/regression.yml").read_text(encoding="utf-8"))
LEFT_OUT = {"Install goldmar", "Fetch them", "Which package did it?"}


@dataclass
class Job:
    """A job that was run: its result, the outputs of its steps by `id.name`, and the summary page."""

    result: str = "success"
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    ran: list[str] = field(default_factory=list)
    log: str = ""


# The conditions that the workflow has: what a job's result so far has to be. The cache is never hit here.
CONDITIONS = {
    "success()": {"success"},
    "always()": {"success", "failure"},
    "steps.wheelhouse.outputs.cache-hit != 'true'": {"success"},
    "failure() && steps.regression.outcome == 'failure' && github.event_name == 'pull_request'": {"failure"},
}


def run(
    root: Path,
    job: str,
    known: Mapping[str, str],
    *,
    env: Mapping[str, str] | None = None,
    left_out: Collection[str] = LEFT_OUT,
) -> Job:
    """The steps of a job, one after the other, with the shells that GitHub uses; with the environment of this one."""
    env = env or {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GOLDMAR_BACKEND": "worker",
        "PYTHONPATH": str(STAND_IN),  # the models do not compute with torch
    }
    done = Job()
    for step in WORKFLOW["jobs"][job]["steps"]:
        wanted = CONDITIONS[step.get("if", "success()")]
        if "run" not in step or step["name"] in left_out or done.result not in wanted:
            continue
        files = {name: root.parent / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for path in files.values():
            path.write_text("")
        script = root.parent / "step.sh"
        script.write_text(step["run"], encoding="utf-8")
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail"] if step.get("shell") == "bash" else ["bash", "-e"]
        ended = subprocess.run(
            [*shell, script],
            cwd=root,
            env={
                **env,
                **{name: str(path) for name, path in files.items()},
                **{name: replaced(value, known) for name, value in step.get("env", {}).items()},
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        done.ran.append(step["name"])
        done.log += ended.stdout
        done.summary += files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")
        for line in files["GITHUB_OUTPUT"].read_text(encoding="utf-8").splitlines():
            name, value = line.split("=", 1)
            done.outputs[f"steps.{step['id']}.outputs.{name}"] = value
        if ended.returncode:
            done.result = "failure"
    return done


def replaced(text: str, known: Mapping[str, str]) -> str:
    return re.sub(r"\$\{\{\s*(.+?)\s*\}\}", lambda found: known[found[1]], text)


@dataclass
class Run:
    affected: Job
    regression: dict[str, Job]
    golden: Job


def workflow(repo: Repository, base: str) -> Run:
    """All of it, as GitHub would: the matrix from the first job, the last job with the results of the others."""
    event = "github.event.pull_request.base.sha || github.event.merge_group.base_sha"
    affected = run(repo.root, "affected", {event: base})
    outputs = {
        name: affected.outputs.get(re.fullmatch(r"\$\{\{ (.+) \}\}", value)[1], "")
        for name, value in WORKFLOW["jobs"]["affected"]["outputs"].items()
    }
    assert WORKFLOW["jobs"]["regression"]["if"] == "needs.affected.outputs.any == 'true'"
    assert WORKFLOW["jobs"]["regression"]["strategy"]["matrix"] == "${{ fromJSON(needs.affected.outputs.matrix) }}"
    jobs: dict[str, Job] = {}
    if affected.result == "success" and outputs["any"] == "true":
        for entry in json.loads(outputs["matrix"])["include"]:
            jobs[entry["model"]] = run(repo.root, "regression", {"matrix.models": entry["models"]})
    results = {job.result for job in jobs.values()}
    golden = run(
        repo.root,
        "golden",
        {
            "needs.affected.result": affected.result,
            "needs.affected.outputs.any": outputs["any"],
            "needs.regression.result": "failure" if "failure" in results else "success" if results else "skipped",
        },
    )
    return Run(affected, jobs, golden)


def test_a_pull_request_that_reaches_two_models_checks_both(workshop: Repository) -> None:
    base = workshop.git("rev-parse", "main")
    workshop.edit("handlers/common/mean.py", "sum(numbers)", "float(sum(numbers))")
    workshop.commit()
    done = workflow(workshop, base)
    assert list(done.regression) == ["gear", "shaft"]
    assert {job.result for job in done.regression.values()} == {"success"}, done
    assert "✅" in done.regression["gear"].summary
    assert "which its archive.toml lists" in done.affected.summary
    assert done.golden.result == "success"


def test_what_is_merged_meanwhile_is_not_the_pull_requests_doing(workshop: Repository) -> None:
    """GitHub checks out the merge of both; its base is the tip of the branch that the change goes into."""
    workshop.edit("handlers/gear/handler.py", "import json", "import json  # read drawings")
    workshop.commit()
    workshop.git("checkout", "-q", "main")
    workshop.append("handlers/shaft/weights.pt")
    base = workshop.commit()
    workshop.git("checkout", "-q", "--detach", "main")
    workshop.git("merge", "-q", "--no-ff", "-m", "merge", "branch")
    assert list(workflow(workshop, base).regression) == ["gear"]


def test_a_pull_request_that_changes_answers_is_red(workshop: Repository) -> None:
    base = workshop.git("rev-parse", "main")
    workshop.edit("handlers/gear/handler.py", '"mean": mean(', '"mean": 2 * mean(')
    workshop.commit()
    done = workflow(workshop, base)
    assert done.regression["gear"].result == "failure"
    assert done.regression["gear"].ran == ["Build, up, batch, down", "Show the report"]
    assert "❌" in done.regression["gear"].summary
    assert done.golden.result == "failure"


def test_a_pull_request_with_a_broken_handler_is_red_and_says_that_nothing_was_compared(workshop: Repository) -> None:
    base = workshop.git("rev-parse", "main")
    workshop.edit("handlers/rim/mean.py", "def mean", "import no_such_package_at_all\n\n\ndef mean")
    workshop.commit()
    done = workflow(workshop, base)
    assert done.regression["rim"].result == "failure"
    assert "Nothing was compared" in done.regression["rim"].summary
    assert done.golden.result == "failure"


def test_a_pull_request_that_reaches_nothing_is_green_without_a_job(workshop: Repository) -> None:
    base = workshop.git("rev-parse", "main")
    workshop.write("docs/guide.md", "words")
    workshop.commit()
    done = workflow(workshop, base)
    assert done.affected.outputs["steps.affected.outputs.matrix"] == '{"include":[]}'
    assert done.affected.outputs["steps.affected.outputs.any"] == "false"
    assert done.regression == {}
    assert done.golden.result == "success"


def test_at_night_every_model_is_checked(workshop: Repository) -> None:
    done = run(
        workshop.root, "affected", {"github.event.pull_request.base.sha || github.event.merge_group.base_sha": ""}
    )
    matrix = json.loads(done.outputs["steps.affected.outputs.matrix"])
    assert [entry["model"] for entry in matrix["include"]] == ["gear", "rim", "shaft"]


def test_a_base_that_was_not_fetched_is_red(workshop: Repository) -> None:
    done = workflow(workshop, "0123456789" * 4)
    assert done.affected.result == "failure"
    assert done.regression == {}
    assert done.golden.result == "failure"


RESULTS = ["success", "failure", "cancelled", "skipped", ""]


@pytest.mark.parametrize("affected", RESULTS)
@pytest.mark.parametrize("any_", ["true", "false", ""])
@pytest.mark.parametrize("regression", RESULTS)
def test_the_last_job_is_green_in_two_cases_only(affected: str, any_: str, regression: str, tmp_path: Path) -> None:
    (tmp_path / "clone").mkdir()
    known: dict[str, Any] = {
        "needs.affected.result": affected,
        "needs.affected.outputs.any": any_,
        "needs.regression.result": regression,
    }
    green = (affected, any_, regression) in {("success", "true", "success"), ("success", "false", "skipped")}
    assert run(tmp_path / "clone", "golden", known).result == ("success" if green else "failure")
