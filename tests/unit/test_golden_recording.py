"""The last recording counts, or none: whatever fails, ends or dies, and whoever else is recording or approving."""

import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

import goldmar.golden.recording
import goldmar.golden.store
from goldmar.errors import GoldenError, StorageError
from goldmar.golden import (
    Recording,
    Superseded,
    approve,
    read_provenance,
    read_values,
    refuse_unfinished,
    write_obtained,
)
from goldmar.golden.recording import FILES, OBTAINED, UNFINISHED, alone, write_partial
from goldmar.records import Part, Provenance, Stage, Staged, Values

BEFORE, NOW = Values(["a"], ["x"], [1.0]), Values(["a"], ["x"], [2.0])
PROVENANCE = Provenance("gear", "1.0", "sha256:1", "worker", "", datetime(2026, 11, 21, 3, 4, 5, tzinfo=UTC))
AGAIN = "goldmar record gear --stages"
STAGES = [Staged("a", (Stage("drawing", (Part("", "file", (1,), "00"),)),))]


@pytest.fixture
def gear(tmp_path):
    """A folder with a recording that could be approved."""
    folder = tmp_path / "gear"
    write_obtained(folder, BEFORE, PROVENANCE)
    return folder


def approved(folder):
    return approve(folder, replace(read_provenance(folder / "obtained.toml"), approved_by="a person", reason="why"))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_recording_that_begins_makes_the_one_before_it_void(gear):
    Recording(gear, AGAIN)
    assert names(gear) == [UNFINISHED]
    with pytest.raises(GoldenError, match=r"begun at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, is still under way"):
        approve(gear, PROVENANCE)


def test_only_its_end_makes_it_count(gear):
    begun = Recording(gear, AGAIN)
    begun.keep(NOW, PROVENANCE)
    begun.keep_stages(STAGES)
    with pytest.raises(GoldenError, match="is still under way"):
        approved(gear)
    begun.finish()
    approved(gear)
    assert list(read_values(gear / "expected.csv").values) == [2.0]
    assert names(gear) == ["expected.csv", "provenance.toml", "stages.jsonl"]


@pytest.mark.parametrize("kept", [False, True])
def test_one_that_fails_says_why_and_what_to_run(gear, kept):
    begun = Recording(gear, AGAIN)
    if kept:
        begun.keep(NOW, PROVENANCE)
    begun.fail("nothing\n listens there.")
    with pytest.raises(GoldenError) as caught:
        approve(gear, PROVENANCE)
    words = (
        r"the last recording of gear failed at [-\d]{10} [:\d]{8} UTC: nothing listens there\. What was recorded before"
    )
    assert re.search(words, caught.value.what)
    assert caught.value.fix == AGAIN
    assert "expected.csv" not in names(gear)
    write_obtained(gear, NOW, PROVENANCE)
    approved(gear)


def test_a_recording_in_one_step_that_fails_makes_the_one_before_it_void(gear):
    with pytest.raises(TypeError):
        write_obtained(gear, None, PROVENANCE)
    with pytest.raises(GoldenError, match=r"failed at .*TypeError"):
        approve(gear, PROVENANCE)


def test_what_was_answered_before_the_end_is_written_and_approved_by_nobody(gear):
    assert write_partial(gear, NOW) == gear / "obtained.partial.csv"
    assert list(read_values(gear / "obtained.partial.csv").values) == [2.0]
    Recording(gear, AGAIN)
    assert names(gear) == [UNFINISHED]


@pytest.mark.parametrize("broken", [False, True])
def test_stages_of_other_values_do_not_stay(gear, broken):
    begun = Recording(gear, AGAIN)
    begun.keep(BEFORE, PROVENANCE)
    begun.keep_stages(STAGES)
    begun.finish()
    again = Recording(gear, AGAIN)
    again.keep(BEFORE, PROVENANCE)
    assert OBTAINED in names(gear)
    if broken:
        (gear / OBTAINED).write_text("not stages\n")
    again.keep(BEFORE if broken else NOW, PROVENANCE)
    assert OBTAINED not in names(gear)


@pytest.mark.parametrize("end", [Recording.finish, lambda begun: begun.fail("why")])
def test_one_that_has_ended_says_so_and_holds_nothing(gear, end):
    begun = Recording(gear, AGAIN)
    assert not begun.ended
    descriptor = begun._alive
    end(begun)
    assert begun.ended
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


STEPS = 9


@pytest.mark.parametrize("step", range(STEPS))
def test_killed_before_any_of_its_steps_it_leaves_nothing_to_approve(gear, monkeypatch, step):
    """In a child that SIGKILL meets at one change of a file after the other."""
    child = os.fork()
    if child == 0:
        left = [step]

        def deadly(function):
            def change(*arguments):
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
                return function(*arguments)

            return change

        for name in ("write_atomically", "write_provenance", "write_stages", "remove"):
            monkeypatch.setattr(goldmar.golden.recording, name, deadly(getattr(goldmar.golden.recording, name)))
        begun = Recording(gear, AGAIN)
        begun.keep(NOW, PROVENANCE)
        begun.keep_stages(STAGES)
        begun.finish()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) is (step < STEPS - 1), "STEPS is not the number of changes"
    if step == 0:  # nothing had begun
        assert refuse_unfinished(gear) is None
    elif step == STEPS - 1:
        approved(gear)
        assert list(read_values(gear / "expected.csv").values) == [2.0]
    else:
        with pytest.raises(GoldenError, match="was cut off") as caught:
            approve(gear, PROVENANCE)
        assert caught.value.fix == AGAIN
        assert "expected.csv" not in names(gear)


def test_where_the_disk_is_full_at_its_beginning_the_one_before_is_gone_all_the_same(gear, monkeypatch):
    def full(*_):
        raise StorageError("No space left on device.")

    monkeypatch.setattr(goldmar.golden.recording, "write_atomically", full)
    with pytest.raises(StorageError):
        Recording(gear, AGAIN)
    with pytest.raises(GoldenError, match="Nothing to approve"):
        approve(gear, PROVENANCE)


@pytest.mark.parametrize("first_ends_first", [True, False])
def test_of_two_at_once_the_one_begun_last_counts(gear, first_ends_first):
    first, second = Recording(gear, AGAIN), Recording(gear, AGAIN)

    def end_of_the_first():
        for end in (lambda: first.keep(BEFORE, PROVENANCE), first.finish, lambda: first.keep_stages(STAGES)):
            with pytest.raises(Superseded, match="Another recording of gear was begun"):
                end()
        first.fail("it was superseded")

    if first_ends_first:
        end_of_the_first()
        with pytest.raises(GoldenError, match="is still under way"):
            approve(gear, PROVENANCE)
    second.keep(NOW, PROVENANCE)
    second.finish()
    if not first_ends_first:
        end_of_the_first()
    approved(gear)
    assert list(read_values(gear / "expected.csv").values) == [2.0]


def test_one_that_begins_during_an_approval_waits_for_its_end(gear, monkeypatch):
    """Otherwise the approval would take the new recording away, or accept what that one has made void."""
    ready, order = threading.Event(), []

    def recording():
        ready.wait()
        Recording(gear, AGAIN)
        order.append("begun")

    other = threading.Thread(target=recording)
    other.start()
    write = goldmar.golden.store.write_provenance

    def slowly(*arguments):
        ready.set()
        time.sleep(0.3)
        write(*arguments)
        order.append("approved")

    monkeypatch.setattr(goldmar.golden.store, "write_provenance", slowly)
    approved(gear)
    other.join()
    assert order == ["approved", "begun"]
    assert names(gear) == ["expected.csv", UNFINISHED, "provenance.toml"]


def test_one_that_ran_while_the_difference_was_read_is_seen(gear):
    """Even where it was answered the same: the archive may be another one."""
    shown = replace(read_provenance(gear / "obtained.toml"), reason="why")
    write_obtained(gear, BEFORE, replace(PROVENANCE, archive_digest="sha256:2"))
    with pytest.raises(GoldenError, match="changed while its approval was under way"):
        approve(gear, shown)


def test_a_lock_that_is_never_given_back_is_said(gear, monkeypatch):
    monkeypatch.setattr(goldmar.golden.recording, "_LOCK_WAIT_S", 0.1)
    code = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX); print(); input()"
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), gear], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        with pytest.raises(StorageError, match="Another goldmar has been writing"), alone(gear):
            pass
        holder.stdin.close()


def test_without_locks_it_is_recorded_and_approved_all_the_same(gear, monkeypatch):
    """As on some network drives. What was begun there is never taken for complete."""

    def flock(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    Recording(gear, AGAIN)
    with pytest.raises(GoldenError, match="was cut off"):
        approve(gear, PROVENANCE)
    write_obtained(gear, NOW, PROVENANCE)
    assert "a,x,2.0\n" in approved(gear).read_text()


def test_one_whose_file_cannot_be_opened_is_under_way_for_nobody(gear, monkeypatch):
    """Another recording may take it away just then."""
    real = os.open

    def without(path, *arguments, **more):
        if str(path).endswith(UNFINISHED) and not arguments[0] & os.O_CREAT:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return real(path, *arguments, **more)

    monkeypatch.setattr(os, "open", without)
    Recording(gear, AGAIN)
    with pytest.raises(GoldenError, match="was cut off"):
        approve(gear, PROVENANCE)


WHOLE = 'name = "x"\ncommand = "y"\nbegan_at = 2026-11-21 03:04:05Z\nended_at = 2026-11-21 03:04:05Z\nreason = "z"\n'
BEGAN, ENDED = (f"{key} = 2026-11-21 03:04:05Z" for key in ("began_at", "ended_at"))


@pytest.mark.parametrize(
    "said",
    [
        *("", "name = 3", "not TOML", f"{WHOLE}more = 1\n"),
        *(WHOLE.replace(time, f"{time[:8]} = 'soon'") for time in (BEGAN, ENDED)),
        *(WHOLE.replace(text, "3") for text in ('"x"', '"y"', '"z"')),
    ],
)
def test_a_file_that_was_tampered_with_still_says_unfinished(gear, said):
    (gear / UNFINISHED).write_text(said)
    for _ in range(2):  # to look at it is not to be at it
        with pytest.raises(GoldenError, match="was cut off") as caught:
            approve(gear, PROVENANCE)
        assert caught.value.fix == "goldmar record gear"


@pytest.mark.parametrize("name", ["obtained.csv", "obtained.toml", "obtained.stages.jsonl", "expected.csv", UNFINISHED])
def test_nothing_is_approved_from_or_onto_a_link(gear, name):
    (gear / "elsewhere").write_text("")
    (gear / name).unlink(missing_ok=True)
    (gear / name).symlink_to("elsewhere")
    with pytest.raises(StorageError, match=f"{name} is a link to elsewhere"):
        approve(gear, PROVENANCE)


@pytest.mark.parametrize("name", [*FILES, UNFINISHED])
def test_no_recording_begins_on_a_link(gear, name):
    (gear / "elsewhere").write_text("")
    before = sorted({*names(gear), name})
    (gear / name).unlink(missing_ok=True)
    (gear / name).symlink_to("elsewhere")
    with pytest.raises(StorageError, match=f"{name} is a link to elsewhere"):
        Recording(gear, AGAIN)
    assert names(gear) == before
    assert (gear / "elsewhere").read_text() == ""


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(StorageError, match="gone cannot be opened"), alone(tmp_path / "gone"):
        pass
