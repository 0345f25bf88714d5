"""The memory of a bisection on disk: nothing is lost by a crash, by two at once, or to a full disk unsaid."""

import math
import multiprocessing
from pathlib import Path

import pytest

from goldmar.errors import StorageError
from goldmar.pipeline.trials import Trials
from goldmar.records import Comparison, DifferenceKind, Trial, TrialOutcome


def trial(*taken: str, worst: float = 0.5) -> Trial:
    failure = Comparison(DifferenceKind.DIFFERENT, "a/b", "x", want=1.0, got=math.nan, difference=math.inf, allowed=0.1)
    text = Comparison(DifferenceKind.CHANGED_TYPE, "a/b", "y", want=1, got="1", detail="was an integer")
    return Trial(taken, TrialOutcome.RED, worst, (("m", failure), ("m", text)), {"m": ("a/b",)}, "why", 1.5, "e" * 32)


def test_what_was_written_is_read_to_the_last_digit(tmp_path):
    path = tmp_path / "new" / "folder" / "state.jsonl"
    first, second = trial("a", worst=0.1 + 0.2), trial("a", "b", worst=math.inf)
    Trials(path).add(first)
    Trials(path).add(second)
    read = Trials(path)
    assert len(read) == 2
    again = read.get(frozenset({"b", "a"}))
    assert again is not None
    assert again.remembered
    assert (again.outcome, again.worst, again.failed, again.reason) == (
        TrialOutcome.RED,
        math.inf,
        second.failed,
        "why",
    )
    assert repr(again.failures) == repr(second.failures)  # NaN equals nothing
    assert isinstance(again.failures[1][1].want, int)
    assert read.get(frozenset({"a"})).worst == 0.1 + 0.2
    assert read.get(frozenset()) is None


def test_what_was_about_another_subject_is_another_trial(tmp_path):
    path = tmp_path / "state.jsonl"
    Trials(path).add(trial("a", worst=1.0), "two drawings")
    Trials(path).add(trial("a", worst=2.0), "all of them")
    read = Trials(path)
    worst = {subject: read.get(frozenset("a"), subject) for subject in ("two drawings", "all of them", "")}
    assert {subject: found and found.worst for subject, found in worst.items()} == {
        "two drawings": 1.0,
        "all of them": 2.0,
        "": None,
    }
    assert read.get(frozenset("a"), "two drawings").environment == "e" * 32


@pytest.mark.parametrize(
    "damage", [b'{"taken": ["c"], "outcome": "gre', b"\x00\xff\xfe", b"[]", b'{"taken": ["c"]}', b"7"]
)
def test_a_line_that_was_cut_off_costs_that_trial_alone(tmp_path, damage):
    path = tmp_path / "state.jsonl"
    Trials(path).add(trial("a"))
    with path.open("ab") as file:
        file.write(damage)
    Trials(path).add(trial("b"))
    assert {frozenset(name) for name in ("a", "b", "c") if Trials(path).get(frozenset(name))} == {
        frozenset("a"),
        frozenset("b"),
    }


def test_fresh_forgets(tmp_path):
    path = tmp_path / "state.jsonl"
    Trials(path).add(trial("a"))
    assert len(Trials(path, fresh=True)) == 0
    assert len(Trials(path)) == 0


def _write(path: Path, number: int) -> None:
    trials = Trials(path)
    for each in range(25):
        trials.add(trial(f"{number}-{each}"))


def test_two_processes_at_once_keep_all_of_it(tmp_path):
    path = tmp_path / "state.jsonl"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write, args=(path, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert len(Trials(path)) == 75


def test_what_cannot_be_kept_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="could not be kept") as raised:
        Trials(tmp_path / "file" / "state.jsonl")
    assert "GOLDMAR_CACHE" in raised.value.fix
    trials = Trials(tmp_path / "folder" / "state.jsonl")
    (tmp_path / "folder").rmdir()
    with pytest.raises(StorageError, match="could not be kept"):
        trials.add(trial("a"))
