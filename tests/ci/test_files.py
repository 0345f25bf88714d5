"""The files that a CI server reads: each held against its published schema and a linter, and each test seen failing."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

FILES = {
    "ci/github/regression.yml": "vendor.github-workflows",
    "ci/gitlab/regression.yml": "vendor.gitlab-ci",
    "ci/gitlab/job.yml": "vendor.gitlab-ci",
    "ci/renovate.json": "vendor.renovate",
    "ci/dependabot.yml": "vendor.dependabot",
}
SCRIPTS = ["ci/regression", "ci/local", "ci/culprit", "ci/base-image", "ci/wheelhouse", ".ci/run"]


def run(program: str, *arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / program, *arguments],
        cwd=cwd,
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def schema(path: Path, name: str) -> subprocess.CompletedProcess[str]:
    if path.name != "job.yml":
        return run("check-jsonschema", "--builtin-schema", name, path)
    # GitLab's schema does not look into a template, whose name begins with a dot.
    jobs = {key.lstrip("."): job for key, job in yaml.safe_load(path.read_text(encoding="utf-8")).items()}
    with tempfile.TemporaryDirectory() as folder:
        shown = Path(folder) / "job.yml"
        shown.write_text(yaml.safe_dump(jobs), encoding="utf-8")
        return run("check-jsonschema", "--builtin-schema", name, shown)


def actionlint(path: Path) -> subprocess.CompletedProcess[str]:
    """Keys, contexts and types of expressions, and shellcheck on every `run:`."""
    return run("actionlint", "-no-color", path)


def zizmor(path: Path) -> subprocess.CompletedProcess[str]:
    """Injections, credentials left behind, permissions, pins: its strictest persona."""
    return run("zizmor", "--offline", "--no-config", "--persona=pedantic", "--quiet", path)


def shellcheck(path: Path) -> subprocess.CompletedProcess[str]:
    return run("shellcheck", path)


# ---- the files as they are ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES)
def test_a_file_keeps_its_published_schema(file: str) -> None:
    done = schema(ROOT / file, FILES[file])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_passes_shellcheck(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    done = shellcheck(ROOT / script)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_passes_actionlint() -> None:
    done = actionlint(ROOT / "ci/github/regression.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", ["ci/github/regression.yml", "ci/dependabot.yml"])
def test_a_file_passes_zizmor(file: str) -> None:
    done = zizmor(ROOT / file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_job_has_a_time_limit() -> None:
    done = schema(ROOT / "ci/github/regression.yml", "custom.github-workflows-require-timeout")
    assert done.returncode == 0, done.stdout + done.stderr


# ---- and broken: each check says so ---------------------------------------------------------------------------------

BROKEN = [
    ("schema", "ci/github/regression.yml", "runs-on:", "run-on:"),
    ("schema", "ci/gitlab/regression.yml", "stage: affected", "stages: affected"),
    ("schema", "ci/gitlab/job.yml", "when: always", "when: sometimes"),
    ("schema", "ci/renovate.json", '"prConcurrentLimit": 5', '"prConcurrentLimit": "five"'),
    ("schema", "ci/dependabot.yml", "package-ecosystem: pip ", "package-ecosystem: pipp "),
    ("timeout", "ci/github/regression.yml", "    timeout-minutes: 60\n", ""),
    ("actionlint", "ci/github/regression.yml", "needs.affected.outputs.matrix) }}", "needs.affected.outputs.matrx) }}"),
    ("actionlint", "ci/github/regression.yml", "needs: [affected, regression]", "needs: [affected, regresion]"),
    ("actionlint", "ci/github/regression.yml", "steps.wheelhouse.outputs.cache-hit", "steps.wheels.outputs.cache-hit"),
    ("actionlint", "ci/github/regression.yml", "if [[ -n $BASE ]]; then", "if [[ -n $BASE ]]"),
    ("actionlint", "ci/github/regression.yml", '>>"$GITHUB_OUTPUT"', ">>$GITHUB_OUTPUT"),
    ("zizmor", "ci/github/regression.yml", "cat reports/job/report.md", 'cat "${{ github.head_ref }}"'),
    ("zizmor", "ci/github/regression.yml", "          persist-credentials: false\n", ""),
    ("zizmor", "ci/github/regression.yml", "permissions:\n  contents: read\n", "permissions: write-all\n"),
    ("zizmor", "ci/github/regression.yml", "checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8", "checkout@main"),
    ("zizmor", "ci/dependabot.yml", "    cooldown:\n      default-days: 7\n", ""),
    ("shellcheck", "ci/regression", 'cd "$(dirname', "cd $(dirname"),
    ("shellcheck", "ci/local", '"$here/regression"', "$here/regression"),
]


@pytest.mark.parametrize(("check", "file", "old", "new"), BROKEN, ids=lambda value: value[:40].strip())
def test_a_broken_file_is_found(check: str, file: str, old: str, new: str, tmp_path: Path) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    if old not in text:
        pytest.fail(f"{file} no longer says {old!r}")
    path = tmp_path / (".github/workflows" if check in {"actionlint", "zizmor"} else ".") / Path(file).name
    if file.endswith("dependabot.yml"):
        path = tmp_path / ".github/dependabot.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace(old, new), encoding="utf-8")
    done = {
        "schema": lambda: schema(path, FILES[file]),
        "timeout": lambda: schema(path, "custom.github-workflows-require-timeout"),
        "actionlint": lambda: actionlint(path),
        "zizmor": lambda: zizmor(path),
        "shellcheck": lambda: shellcheck(path),
    }[check]()
    assert done.returncode != 0, done.stdout + done.stderr


# ---- what no schema knows -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workflow() -> dict:
    # PyYAML reads the key `on` as true, as YAML 1.1 has it.
    return yaml.safe_load((ROOT / "ci/github/regression.yml").read_text(encoding="utf-8"))


def test_the_workflow_may_only_read(workflow: dict) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["jobs"]["golden"]["permissions"] == {}
    assert [name for name, job in workflow["jobs"].items() if "write" in json.dumps(job.get("permissions", {}))] == []


def test_one_job_waits_for_all_the_others_whatever_they_end_with(workflow: dict) -> None:
    golden = workflow["jobs"]["golden"]
    assert set(golden["needs"]) == workflow["jobs"].keys() - {"golden"}
    assert golden["if"] == "always()"


def test_the_history_is_there_where_it_is_asked_for(workflow: dict) -> None:
    (checkout,) = [s for s in workflow["jobs"]["affected"]["steps"] if "checkout" in s.get("uses", "")]
    assert checkout["with"]["fetch-depth"] == 0


def test_nothing_is_merged_automatically_but_behind_the_check() -> None:
    renovate = json.loads((ROOT / "ci/renovate.json").read_text(encoding="utf-8"))
    merged = [renovate, renovate["lockFileMaintenance"], *renovate["packageRules"]]
    automatic = [rule for rule in merged if rule.get("automerge")]
    assert automatic
    assert renovate["ignoreTests"] is False
    # By pull request, never by a push to the branch: only then does a required check stand before it.
    assert {rule["automergeType"] for rule in automatic} == {"pr"}
    assert not any("major" in rule.get("matchUpdateTypes", []) for rule in automatic)


def test_the_groups_of_both_bots_are_the_same() -> None:
    renovate = json.loads((ROOT / "ci/renovate.json").read_text(encoding="utf-8"))
    dependabot = yaml.safe_load((ROOT / "ci/dependabot.yml").read_text(encoding="utf-8"))
    ours = {
        rule["groupName"]: set(rule["matchPackageNames"])
        for rule in renovate["packageRules"]
        if "groupName" in rule and "matchPackageNames" in rule
    }
    theirs = {name: set(group["patterns"]) for name, group in dependabot["updates"][0]["groups"].items()}
    plain = {name: {each for each in names if each.isidentifier()} for name, names in theirs.items()}
    assert ours.keys() == theirs.keys() == {"torch", "imaging", "harness"}
    assert {name for name in plain if not plain[name] <= ours[name]} == set()


# ---- GitLab ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("models", [[], ["gear"], [f"gear-{number}" for number in range(30)]])
def test_the_child_pipeline_has_a_job_for_each_entry(models: list[str], tmp_path: Path) -> None:
    matrix = {"include": [{"model": name, "models": name, "why": ""} for name in models]}
    (tmp_path / "matrix.json").write_text(json.dumps(matrix), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, ROOT / "ci/gitlab/child.py", tmp_path / "matrix.json"],
        capture_output=True,
        text=True,
        check=True,
    )
    (tmp_path / "child.yml").write_text(done.stdout, encoding="utf-8")
    checked = schema(tmp_path / "child.yml", "vendor.gitlab-ci")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    jobs = {name: job for name, job in yaml.safe_load(done.stdout).items() if name != "include"}
    assert [job["variables"]["MODELS"] for job in jobs.values() if "extends" in job] == models
    assert len(jobs) == max(1, len(models))  # GitLab refuses a pipeline without a job


def test_a_job_knows_the_base_and_the_history() -> None:
    read = yaml.safe_load((ROOT / "ci/gitlab/regression.yml").read_text(encoding="utf-8"))
    assert '"$CI_MERGE_REQUEST_DIFF_BASE_SHA" >child.yml' in read["affected"]["script"][-1]
    done = subprocess.run(
        [sys.executable, ROOT / "ci/gitlab/child.py", "/dev/stdin", "0123abc"],
        input='{"include": [{"model": "gear", "models": "gear"}]}',
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["regression (gear)"]["variables"]["BASE"] == "0123abc"
    job = yaml.safe_load((ROOT / "ci/gitlab/job.yml").read_text(encoding="utf-8"))[".regression"]
    assert job["variables"]["GIT_DEPTH"] == read["affected"]["variables"]["GIT_DEPTH"] == "0"


def test_the_wheels_of_gitlab_are_cached_by_both_lock_files() -> None:
    job = yaml.safe_load((ROOT / "ci/gitlab/job.yml").read_text(encoding="utf-8"))[".regression"]
    (wheels,) = [cache for cache in job["cache"] if cache["paths"] == ["wheelhouse"]]
    assert wheels["key"] == {"files": ["ci/locks/api.txt", "ci/locks/base.txt"]}
    assert "ci/wheelhouse" in job["before_script"]  # also where the cache is of other scripts: it knows by itself


@pytest.mark.parametrize(
    ("code", "base", "looked_for"), [(0, "abc", False), (1, "abc", True), (3, "abc", True), (1, "", False)]
)
def test_gitlab_looks_for_the_culprit_of_a_red_merge_request(
    code: int, base: str, looked_for: bool, tmp_path: Path
) -> None:
    job = yaml.safe_load((ROOT / "ci/gitlab/job.yml").read_text(encoding="utf-8"))[".regression"]
    (tmp_path / "ci").mkdir()
    for name, ends in (("regression", code), ("culprit", 1)):
        script = tmp_path / "ci" / name
        script.write_text(f'#!/bin/sh\necho {name} "$@" >>calls\nexit {ends}\n')
        script.chmod(0o755)
    done = subprocess.run(
        ["sh", "-e", "-c", "\n".join(job["script"])],
        cwd=tmp_path,
        env=os.environ | {"MODELS": "gear shaft", "BASE": base},
        check=False,
    )
    assert done.returncode == code
    calls = ["regression --reports reports/job gear shaft"]
    calls += [f"culprit --base {base} --reports reports/job gear shaft"] if looked_for else []
    assert (tmp_path / "calls").read_text().splitlines() == calls


def test_the_tools_are_there() -> None:
    """A tool that is missing must not look like one that found nothing."""
    assert [
        name for name in ("actionlint", "zizmor", "shellcheck", "check-jsonschema") if not shutil.which(BIN / name)
    ] == []
