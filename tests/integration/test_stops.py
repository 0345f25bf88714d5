"""Commands that are killed or interrupted at each of their steps on the disk: whole files, true words, and a way on."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from goldmar.errors import ExitCode
from tests.integration.conftest import Goldmar
from tests.integration.fake_server import FakeServer, json_answer
from tests.integration.test_cli import RIGHT, obtained, project

__all__ = ["project"]  # a fixture

ROOT = Path(__file__).parents[2]


def stops(work: Path, pattern: str, *command: str, numbers: str = "9,2") -> list[dict[str, Any]]:
    """Each stop; `whole` is what a run to the end leaves."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.stops", str(work), numbers, pattern, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    (whole, *_) = (each["left"] for each in found if each["last"])
    stopped = [each | {"whole": whole} for each in found if not each["last"]]
    assert {each["signal"] for each in stopped} == set(map(int, numbers.split(","))), "there was nothing to stop it at"
    before = as_read(work / "before")
    for each in stopped:
        look_at(each, before)
    return stopped


def visible(files: dict[str, str]) -> dict[str, str]:
    """Without what a goldmar that was killed has left under names that nothing looks at."""
    return {
        name: content for name, content in files.items() if not any(part.endswith(".tmp") for part in Path(name).parts)
    }


def look_at(each: dict[str, Any], before: dict[str, str]) -> None:
    """What holds for every command: whole files, and after Ctrl-C a true word about them and no litter."""
    where, code, said, left = each["root"], each["stopped"]["code"], each["stopped"]["said"], each["left"]
    for name, content in visible(left).items():
        if Path(name).suffix != ".toml":  # times and random names
            assert content in {before.get(name), each["whole"].get(name)}, (where, name)
    assert "Traceback" not in said, (where, said)
    if each["signal"] == signal.SIGKILL:
        assert code == -signal.SIGKILL
        return
    assert code == ExitCode.INTERRUPTED, (where, said)
    assert left == visible(left), where
    assert "nterrupted" in said, where
    assert ("nothing was changed" in said) is (left == before), (where, said)


def as_read(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_bytes().hex() for path in root.rglob("*") if path.is_file()}


def test_init(tmp_path: Path) -> None:
    """Both folders or none; where it was killed between the two, the next call goes on."""
    (tmp_path / "before").mkdir()
    for each in stops(tmp_path, "", "init", "gear", "--kind", "json"):
        left = visible(each["left"])
        assert each["signal"] == signal.SIGKILL or left in ({}, each["whole"]), each["root"]
        if each["again"]:
            assert (each["again"]["code"], visible(each["after"])) == (0, each["whole"]), each["again"]["said"]


def test_archive(tmp_path: Path, goldmar: Goldmar, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tmp_path / "before"
    before.mkdir()
    monkeypatch.chdir(before)
    assert goldmar("init", "gear", "--kind", "json").code == 0
    for each in stops(tmp_path, "", "archive"):
        if each["again"]:
            assert (each["again"]["code"], visible(each["after"])) == (0, each["whole"])


def work_of(project: Path) -> Path:
    work = project.parent / f"{project.name}.work"
    work.mkdir()
    project.rename(work / "before")
    return work


def test_approve(project: Path) -> None:
    (project / "golden/means/expected.csv").unlink()
    obtained(project, RIGHT)
    for each in stops(work_of(project), "", "approve", "means", "--yes", "--reason", "x"):
        approved = "golden/means/obtained.csv" not in each["left"]
        again = each["again"]
        if approved:
            assert each["left"]["golden/means/expected.csv"] == each["whole"]["golden/means/expected.csv"]
        if again and approved:
            assert (again["code"], "fix: goldmar record means" in again["said"]) == (2, True)
        elif again:
            assert again["code"] == 0, again["said"]
            assert each["after"]["golden/means/expected.csv"] == each["whole"]["golden/means/expected.csv"]
        if each["signal"] == signal.SIGINT:
            assert ("once means was approved" in each["stopped"]["said"]) is approved, each["stopped"]["said"]
            assert ("fix: goldmar approve means" in each["stopped"]["said"]) is not approved


def test_record_that_is_killed(project: Path) -> None:
    obtained(project, {key: value + 1 for key, value in RIGHT.items()})
    with FakeServer(json_answer({"mean": 1.0})) as server:
        found = stops(work_of(project), "obtained", "record", "means", "--url", server.url, numbers="9")
    for each in found:
        # Until it has begun the one before counts; from then on only all of the new one.
        begun = "golden/means/obtained.unfinished.toml" in each["left"]
        assert begun is (each is not found[0]), each["root"]
        assert each["again"]["code"] == 0, each["again"]["said"]
        assert "golden/means/obtained.unfinished.toml" not in each["after"]
        assert each["after"]["golden/means/obtained.csv"] == each["whole"]["golden/means/obtained.csv"]


def test_init_compose(tmp_path: Path) -> None:
    """A copy of goldmar that was begun is gone on with; scripts are executable from their first moment."""
    (tmp_path / "before").mkdir()
    for each in stops(tmp_path, r"goldmar/\.errors\.py|with-docker|written\.json", "init", "--compose"):
        if not each["again"]:
            continue
        assert each["again"]["code"] == 0, each["again"]["said"]
        assert visible(each["after"]).keys() == each["whole"].keys()
        scripts = [path for path in Path(each["root"]).glob("ci/*") if path.is_file() and not path.suffix]
        assert scripts
        assert all(path.stat().st_mode & 0o111 for path in scripts)
