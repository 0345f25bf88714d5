"""The process that drawings are read in: what a bad drawing may cost, and that nothing else pays for it."""

import contextlib
import fcntl
import gc
import math
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import decoder_process
import numpy as np
import psutil
import pytest
from decoder import Decoder, Limits
from drawing import BadDrawing, Sheet, read_sheet
from readers import LEAST_S, DecoderFault, Job, Lost, Reader

from .attacks import ATTACKS, tiles
from .bad_drawings import GOOD
from .service import HANDLERS

PNG = GOOD["png"][0]

# Does as the drawing says. What it takes for a decoder's fault or its own is decided by where the file lies.
OBEDIENT = """
import ctypes, os, signal, socket, struct, sys, time
import numpy as np
from sheet import BadDrawing, Sheet

def read(data):
    word, _, rest = data.decode().partition(" ")
    if word == "size":
        rows, columns = map(int, rest.split())
        return Sheet(np.full((rows, columns), 7, np.uint8), 0.5, 8.0)
    if word == "hang":
        while True:
            pass
    if word == "work":
        while time.process_time() < float(rest):
            pass
    if word == "sleep":
        time.sleep(float(rest))
    if word == "segfault":
        ctypes.string_at(0)
    if word == "signal":
        os.kill(os.getpid(), int(rest))
    if word == "exit":
        os._exit(0)
    if word == "memory":
        bytearray(int(rest) << 20)
    if word == "leak":
        kept.append(np.ones(int(rest) << 20, np.uint8))
    if word == "poison":
        poisoned.append(rest)
    elif "mislead" in poisoned:
        raise BadDrawing("so.")
    elif poisoned:
        os.abort()
    if word == "refuse":
        raise BadDrawing(rest)
    if word == "bug":
        return undefined
    if word == "library":
        struct.unpack(">I", b"")
    if word == "stdout":
        os.write(1, b"metrics"), os.write(2, b"metrics")
    if word == "twice":
        mouth(bytes.fromhex(rest))
    if word == "say":
        mouth(bytes.fromhex(rest)); time.sleep(60)
    return Sheet(np.full((2, 3), 7, np.uint8), 0.5, float(os.getpid()))

def mouth(words):
    # To the pipe for answers, the only one that can be written to.
    for number in range(3, 30):
        try:
            os.write(number, words)
        except OSError:
            pass

kept, poisoned = [], []
"""


@pytest.fixture
def seconds() -> float:
    """Short only where a drawing hangs: a busy machine is slow with good ones, too."""
    return 5.0


@pytest.fixture
def obedient(seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Decoder]:
    (tmp_path / "obedient.py").write_text(OBEDIENT)
    monkeypatch.syspath_prepend(tmp_path)
    # As in an archive, where all files lie in one folder: the process looks there for what is its own.
    for name in ("decoder_process.py", "sheet.py"):
        (tmp_path / name).write_bytes((HANDLERS / "common" / name).read_bytes())
    monkeypatch.setattr("decoder_process.__file__", str(tmp_path / "decoder_process.py"))
    decoder = Decoder(Limits(seconds=seconds, memory_mb=200, drawings=5), "obedient", "read")
    yield decoder
    decoder.close()


def readers(decoder: Decoder) -> list[psutil.Process]:
    return psutil.Process(decoder.pid).children()


def open_files() -> int:
    gc.collect()  # a decoder of a test before this one may go at any time
    return len(list(Path("/proc/self/fd").iterdir()))


# --- good drawings


@pytest.mark.parametrize("name", GOOD)
def test_a_drawing_is_what_it_is_when_read_here(shared: Decoder, name: str) -> None:
    here, there = read_sheet(GOOD[name][0]), shared.read(GOOD[name][0])
    assert np.array_equal(here.pixels, there.pixels)
    assert (here.mm_per_px, here.source_px_per_px) == (there.mm_per_px, there.source_px_per_px)


@pytest.fixture(scope="module")
def shared() -> Iterator[Decoder]:
    decoder = Decoder(Limits())
    yield decoder
    decoder.close()


def test_one_reader_reads_them_all_until_it_is_replaced(obedient: Decoder) -> None:
    pids = []
    for _ in range(10):
        (outcome,) = obedient.decode([b"good"])
        assert isinstance(outcome, Sheet)
        pids.append(outcome.source_px_per_px)
    assert pids == [pids[0]] * 5 + [pids[5]] * 5
    assert pids[0] != pids[5]
    assert len(readers(obedient)) <= 1


@pytest.mark.parametrize(("most", "slow_s", "processes"), [(1, 0.0, 1), (8, 60.0, 1), (8, 0.0, 2)])
def test_another_reader_is_for_slow_drawings_alone_and_not_without_end(
    obedient: Decoder, monkeypatch: pytest.MonkeyPatch, most: int, slow_s: float, processes: int
) -> None:
    monkeypatch.setattr("decoder.MAX_READERS", most)
    monkeypatch.setattr("decoder.SLOW_S", slow_s)
    outcomes = obedient.decode([b"sleep 0.5" + b" " * 3_000_000] * 2)  # more than a pipe takes: news before its end
    assert len({outcome.source_px_per_px for outcome in outcomes if isinstance(outcome, Sheet)}) == processes
    assert len(readers(obedient)) == 1  # the other was ended


def test_nothing_of_a_batch_is_kept(obedient: Decoder) -> None:
    drawing = b"good " + bytes(range(33, 99))
    before = sys.getrefcount(drawing)
    with contextlib.suppress(ZeroDivisionError), obedient.ahead([drawing]):
        assert obedient.read(drawing)
        raise ZeroDivisionError
    assert sys.getrefcount(drawing) == before


def test_a_drawing_larger_than_a_pipe_comes_through(obedient: Decoder) -> None:
    assert isinstance(obedient.decode([b"good " + b" " * 3_000_000])[0], Sheet)


@pytest.mark.parametrize("without", ["the command", "room for more"])
def test_a_pipe_may_stay_as_small_as_it_is(obedient: Decoder, monkeypatch: pytest.MonkeyPatch, without: str) -> None:
    if without == "the command":
        monkeypatch.delattr(fcntl, "F_SETPIPE_SZ")
    else:
        monkeypatch.setattr(fcntl, "F_SETPIPE_SZ", -1)  # which the system refuses
    assert isinstance(obedient.decode([b"good " + b" " * 200_000])[0], Sheet)


def test_torch_is_not_in_it(shared: Decoder) -> None:
    shared.wait()
    assert shared.read(PNG)
    maps = Path(f"/proc/{shared.pid}/maps").read_text()
    assert "libtorch" not in maps
    assert "pdfium" in maps


# --- what a drawing can do


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("segfault", "breaks its decoder"),
        *(
            (f"signal {int(number)}", "breaks its decoder")
            for number in (signal.SIGABRT, signal.SIGBUS, signal.SIGKILL)
        ),
        ("exit", "breaks its decoder"),
        ("memory 400", "needs more than 200 MB"),
        ("refuse too blue.", "too blue."),
        ("library", "its decoder gave it up"),
    ],
)
def test_it_is_refused_and_its_neighbours_are_read(obedient: Decoder, word: str, sentence: str) -> None:
    obedient.decode([b"good"])
    before = open_files()
    first, refused, last = obedient.decode([b"good", word.encode(), b"good"])
    assert isinstance(first, Sheet)
    assert isinstance(last, Sheet)
    assert isinstance(refused, BadDrawing)
    assert sentence in str(refused)
    assert str(refused).endswith(".")
    obedient.decode([word.encode()])
    assert len(readers(obedient)) <= 1
    assert open_files() <= before


def test_a_fault_of_our_own_is_told_from_one_of_a_decoder(obedient: Decoder, caplog: pytest.LogCaptureFixture) -> None:
    fault, good = obedient.decode([b"bug", b"good"])
    assert isinstance(fault, DecoderFault)
    assert "undefined" not in str(fault)
    assert "NameError: name 'undefined' is not defined" in caplog.text
    assert isinstance(good, Sheet)


def test_what_one_drawing_did_to_a_reader_hits_no_other(obedient: Decoder) -> None:
    """It is read well, and the next one in the same process dies of it: that one gets a process of its own."""
    assert all(isinstance(outcome, Sheet) for outcome in obedient.decode([b"poison", b"good", b"good"]))


def test_one_that_suffered_from_others_gets_a_reader_that_had_none(
    obedient: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first dies of what was read before it, while another reader, which the second one misled, waits."""
    monkeypatch.setattr("decoder.SLOW_S", 0.0)
    obedient.decode([b"poison"])
    assert all(isinstance(outcome, Sheet) for outcome in obedient.decode([b"sleep 0.6", b"poison mislead"]))


def test_after_a_bad_drawing_the_reader_is_another(obedient: Decoder) -> None:
    ((before,), (_,), (after,)) = (obedient.decode([word]) for word in (b"good", b"refuse so.", b"good"))
    assert isinstance(before, Sheet)
    assert isinstance(after, Sheet)
    assert before.source_px_per_px != after.source_px_per_px


def test_memory_comes_back(obedient: Decoder) -> None:
    assert isinstance(obedient.decode([b"leak 150"])[0], Sheet)
    assert isinstance(obedient.decode([b"leak 150"])[0], Sheet)  # the first 150 are no longer there
    until = time.monotonic() + 10
    while sum(reader.memory_info().rss for reader in readers(obedient)) > 150e6:  # until the reader that leaked is gone
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_reader_uses_its_memory_again(obedient: Decoder) -> None:
    """Each picture in new memory is 70 page faults, and time that a good drawing has to wait."""

    def faults() -> int:
        (reader,) = readers(obedient)
        return int(Path(f"/proc/{reader.pid}/stat").read_text().rpartition(")")[2].split()[7])

    obedient.decode([b"size 448 640"] * 2)
    before = faults()
    obedient.decode([b"size 448 640"] * 2)
    assert faults() - before < 110  # in new memory 145


def test_a_worker_uses_its_memory_again() -> None:
    code = (
        f"import sys, resource; sys.path.insert(0, {str(HANDLERS / 'common')!r})\n"
        "from decoder import Decoder, Limits\n"
        "decoder, size = Decoder(Limits()), 2**20\n"
        "def infer(): [b'x' * size for _ in range(8)]; return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "infer(); print(-infer() + infer()); decoder.close()\n"
    )
    assert int(subprocess.check_output([sys.executable, "-c", code])) < 500  # in new memory 2,048


def test_a_reader_is_bound(obedient: Decoder) -> None:
    obedient.decode([b"good"])
    (reader,) = readers(obedient)
    assert reader.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    most, hard = reader.rlimit(psutil.RLIMIT_AS)
    assert most == hard
    helper = psutil.Process(obedient.pid).memory_info().vms
    assert helper * 0.9 < most - 200 * 2**20 < helper * 1.1
    assert Path(f"/proc/{reader.pid}/oom_score_adj").read_text() == "1000\n"


def test_ctrl_c_is_for_the_worker(obedient: Decoder) -> None:
    obedient.decode([b"good"])
    before = [psutil.Process(obedient.pid), *readers(obedient)]
    for process in before:
        process.send_signal(signal.SIGINT)
    obedient.decode([b"good"])
    assert [psutil.Process(obedient.pid), *readers(obedient)] == before


def test_nothing_of_what_a_decoder_prints_gets_out(obedient: Decoder, capfd: pytest.CaptureFixture[str]) -> None:
    obedient.wait()
    psutil.Process(obedient.pid).kill()  # the next one inherits the outputs that are looked at here
    assert isinstance(obedient.decode([b"stdout"])[0], Sheet)
    assert "metrics" not in "".join(capfd.readouterr())


# --- time


@pytest.mark.parametrize("seconds", [1.0])
@pytest.mark.parametrize(
    ("word", "at_most"), [("hang", 4.5), ("sleep 9", 2.5)]
)  # a busy machine holds up one that works
def test_one_that_hangs_is_given_up(obedient: Decoder, word: str, at_most: float) -> None:
    obedient.wait()
    started = time.monotonic()
    refused, good = obedient.decode([word.encode(), b"good"])
    assert time.monotonic() - started < at_most
    assert isinstance(refused, BadDrawing)
    assert "given up after 1 s" in str(refused)
    assert isinstance(good, Sheet)
    assert len(readers(obedient)) <= 1


@pytest.mark.parametrize("seconds", [1.0])
def test_one_that_hangs_is_not_read_again(obedient: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    obedient.decode([b"good"])
    monkeypatch.setattr(obedient._helper, "fork", None)
    assert "given up after 1 s" in str(obedient.decode([b"sleep 9"])[0])


@pytest.mark.parametrize("seconds", [1.0])
def test_one_that_is_not_taken_is_given_up(obedient: Decoder) -> None:
    obedient.decode([b"good"])
    (reader,) = readers(obedient)
    reader.suspend()
    end = threading.Timer(15, reader.kill)  # or this would wait for ever
    end.start()
    assert isinstance(obedient.decode([b"good " + b" " * 3_000_000])[0], BadDrawing)
    end.cancel()


@pytest.mark.parametrize("seconds", [1.0])
def test_a_batch_of_hanging_drawings_takes_no_longer_than_one(obedient: Decoder) -> None:
    obedient.decode([b"good"])
    started = time.monotonic()
    # Asleep, since with three that work a machine that is busy takes longer, as it should.
    outcomes = obedient.decode([b"sleep 9"] * 3 + [b"good"])
    assert time.monotonic() - started < 2.5  # one after the other they would take 3
    assert [type(outcome) for outcome in outcomes] == [BadDrawing] * 3 + [Sheet]


def test_hanging_drawings_leave_less_time_to_those_after_them(obedient: Decoder) -> None:
    times = []
    for _ in range(2):
        started = time.monotonic()
        outcomes = obedient.decode([b"sleep 9", b"good", b"sleep 9"])
        times.append(time.monotonic() - started)
        assert isinstance(outcomes[1], Sheet)
        # The second one that hangs has what the first has left.
        times_given = [str(outcome).partition(" after ")[2].partition(" ")[0] for outcome in outcomes[::2]]
        assert times_given == ["1", "1"] or times_given[1] < times_given[0] == "5"
    assert 4.5 < times[0] < 8  # on a busy machine
    assert LEAST_S - 0.1 < times[1] < 3
    assert obedient._patience(time.monotonic()) < LEAST_S
    for later in (10, 60):
        assert obedient._patience(time.monotonic() + later) == 5  # it comes back, and no more than that


def test_one_that_has_no_cpu_is_given_more_time(obedient: Decoder) -> None:
    """Three others want the same core, so half a second of work takes two."""
    obedient.decode([b"good"])
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(readers(obedient)[0].pid, {core})
    code = f"import os; os.sched_setaffinity(0, {{{core}}}); print(flush=True)\nwhile True: pass"
    others = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(3)]
    try:
        for other in others:
            assert other.stdout is not None
            other.stdout.readline()
        obedient._lost, obedient._lost_at = 5.0, time.monotonic()
        started = time.monotonic()
        (outcome,) = obedient.decode([b"work 0.5"])
        taken = time.monotonic() - started
    finally:
        for other in others:
            other.kill()
            other.communicate()
    assert isinstance(outcome, Sheet)
    assert taken > LEAST_S  # or this shows nothing


class HeldUp(Reader):
    """Says that it was held up for so many seconds, by turns."""

    says: Iterator[float]

    def held_up(self) -> float:
        return next(self.says)


@pytest.mark.parametrize(
    ("seconds", "says", "ends"),
    [
        (3.0, (0, 0), 3.0),
        (3.0, (9, 9), 3.0),  # earlier, with other drawings
        (3.0, (0, 1.9), 3.0),  # it could use as much as each can at least
        (3.0, (0, 2.5, 3, 3), 4.0),
        (0.5, (0, 0.5, 0.7, 0.7), 1.2),
        (3.0, (0, *range(3, 30)), 15.0),
        (20.0, (0, 0), 20.0),
    ],
)
def test_when_time_is_up(seconds: float, says: Sequence[float], ends: float, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    (drawings, to), (back, answers) = os.pipe(), os.pipe()
    reader = HeldUp(1, 0, to, back)
    reader.says = iter(says)
    os.set_blocking(back, False)
    job = Job(0, reader, b"", seconds, stop=115.0)
    while (outcome := job.advance()) is None:
        now = job.deadline
    assert isinstance(outcome, Lost)
    assert now - 100 == pytest.approx(ends)
    reader.close()
    os.close(drawings)
    os.close(answers)


def test_a_reader_is_held_up_only_while_it_wants_to_work(shared: Decoder) -> None:
    shared.read(PNG)
    reader, shared._idle = shared._idle, None
    assert reader is not None
    time.sleep(0.2)
    before = reader.held_up()
    time.sleep(0.2)
    assert reader.held_up() == before
    shared._helper.end(reader)
    assert reader.held_up() == 0  # as where the system does not tell


# --- a reader that went mad


@pytest.mark.parametrize("seconds", [1.0])
@pytest.mark.parametrize(
    "said",
    [
        b"\0" * 40,
        b"S" + b"\xff" * 28,
        b"S" + (9).to_bytes(2, "big") + (9).to_bytes(2, "big") + bytes(16) + (81).to_bytes(4, "big") + bytes(81),
        b"R" + bytes(20) + (2**31).to_bytes(4, "big"),
        b"R" + bytes(20) + (3).to_bytes(4, "big") + b"too long",
    ],
)
def test_an_answer_that_cannot_be_is_none(obedient: Decoder, said: bytes) -> None:
    mad, good = obedient.decode([b"say " + said.hex().encode(), b"good"])
    assert isinstance(mad, BadDrawing)
    assert isinstance(good, Sheet)


def test_what_a_reader_says_unasked_answers_no_other_drawing(obedient: Decoder) -> None:
    sheet = b"S" + struct.pack("!HHddI", 1, 1, 0.5, 8.0, 1) + b"!"
    obedient.decode([b"twice " + sheet.hex().encode()])
    until = time.monotonic() + 10
    while obedient._idle and not obedient._idle.speaks() and time.monotonic() < until:
        time.sleep(0.01)
    (second,) = obedient.decode([b"refuse so."])
    assert isinstance(second, BadDrawing)
    assert str(second) == "so."


@pytest.mark.parametrize(
    "head", [(1, 1, 0.5, 8.0, 2), (1, 1, math.inf, 8.0, 1), (1, 1, 0.5, -1.0, 1), (0, 5, 0.5, 8.0, 0)]
)
def test_a_head_that_cannot_be_is_none(obedient: Decoder, head: tuple[float, ...]) -> None:
    said = b"S" + struct.pack("!HHddI", *head) + b"!" * int(head[-1])
    assert isinstance(obedient.decode([b"say " + said.hex().encode()])[0], BadDrawing)


@pytest.mark.parametrize("size", ["449 640", "448 641", "0 5"])
def test_a_sheet_of_another_size_is_none(obedient: Decoder, size: str) -> None:
    assert isinstance(obedient.decode([f"size {size}".encode()])[0], BadDrawing)


def test_the_largest_sheet_comes_through(obedient: Decoder) -> None:
    (outcome,) = obedient.decode([b"size 448 640"])
    assert isinstance(outcome, Sheet)
    assert outcome.pixels.shape == (448, 640)
    assert (outcome.pixels == 7).all()


# --- its life


def test_it_is_started_again_when_it_was_killed(obedient: Decoder) -> None:
    obedient.decode([b"good"])
    (old,) = readers(obedient)
    for _ in range(2):
        killed = obedient.pid
        psutil.Process(killed).kill()
        outcomes = obedient.decode([b"good", b"refuse so.", b"good"])
        assert [type(outcome) for outcome in outcomes] == [Sheet, BadDrawing, Sheet]
        assert obedient.pid != killed
    assert psutil.wait_procs([old], timeout=5)[1] == []


def test_its_end_is_noticed_while_a_reader_lives(obedient: Decoder) -> None:
    obedient.decode([b"good"])
    psutil.Process(obedient.pid).kill()
    with pytest.raises(ConnectionError):  # and not: no answer in time
        obedient._helper._ask(decoder_process.END, 0)


def test_none_but_its_own_readers_are_ended(obedient: Decoder) -> None:
    reader = obedient._helper.fork()
    assert obedient._helper._ask(decoder_process.END, os.getpid()) == decoder_process.FAILED
    reader.helper = 0  # of one that has gone
    obedient._helper.end(reader)
    assert obedient._helper._ask(decoder_process.END, reader.pid) != decoder_process.FAILED


def test_the_helper_keeps_no_pipe(obedient: Decoder) -> None:
    obedient.wait()
    before = psutil.Process(obedient.pid).num_fds()
    obedient.decode([b"refuse so."] * 3)
    assert psutil.Process(obedient.pid).num_fds() == before


def test_one_that_does_not_answer_is_started_again(obedient: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("readers.REPLY_S", 0.5)
    obedient.wait()
    stopped = psutil.Process(obedient.pid)
    stopped.suspend()
    monkeypatch.setattr("readers.REPLY_S", 5.0)
    assert obedient._helper._control.gettimeout() == 0.5  # and not the time that it has for its start
    assert isinstance(obedient.decode([b"good"])[0], Sheet)
    assert not stopped.is_running()


def test_no_room_for_another_process_is_nobodys_fault(
    obedient: Decoder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    obedient.wait()
    before = open_files()
    monkeypatch.setattr(obedient._helper, "_ask", lambda *_: decoder_process.FAILED)
    (fault,) = obedient.decode([b"good"])
    assert isinstance(fault, DecoderFault)
    assert "could not be read just now" in str(fault)
    assert "no room for another process" in caplog.text
    assert open_files() == before


def test_an_idle_reader_that_was_killed_is_nobodys_fault(obedient: Decoder) -> None:
    obedient.decode([b"good"])
    readers(obedient)[0].kill()
    assert isinstance(obedient.decode([b"good"])[0], Sheet)


def test_it_ends_with_its_decoder(obedient: Decoder) -> None:
    obedient.decode([b"good"])
    found = [psutil.Process(obedient.pid), *readers(obedient)]
    assert len(found) == 2
    obedient.close()
    assert psutil.wait_procs(found, timeout=5)[1] == []


@pytest.mark.parametrize("how", ["signal.SIGKILL", "signal.SIGTERM"])
def test_it_ends_with_its_worker_however_that_ends(how: str, tmp_path: Path) -> None:
    code = (
        f"import sys, os, signal; sys.path.insert(0, {str(HANDLERS / 'common')!r})\n"
        "from decoder import Decoder, Limits\n"
        "decoder = Decoder(Limits()); decoder.wait(); decoder.decode([b'x'])\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "import threading; threading.Timer(0.5, os.kill, (os.getpid(), %s)).start()\n"
        % how
        + "decoder.decode([open(sys.argv[1], 'rb').read()])\n"
    )
    attack = tmp_path / "attack.pdf"
    attack.write_bytes(tiles())
    command = [sys.executable, "-c", code, str(attack)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdin is not None
        assert worker.stdout.readline() == b"ready\n"
        worker.stdin.write(b"\n")
        worker.stdin.flush()
        time.sleep(0.3)
        found = psutil.Process(worker.pid).children(recursive=True)
        assert len(found) >= 2
    assert psutil.wait_procs(found, timeout=5)[1] == []


def test_what_cannot_be_imported_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "unfinished.py").write_text("raise ImportError('x' * 5000 + 'nowhere' + ' to be found')\n")
    monkeypatch.syspath_prepend(tmp_path)
    decoder = Decoder(Limits(), "unfinished", "read")
    with pytest.raises(RuntimeError, match="nowhere to be found"):
        decoder.wait()


@pytest.mark.parametrize(
    "wrong", [{"seconds": 0}, {"seconds": "5"}, {"seconds": math.inf}, {"memory_mb": -1}, {"drawings": True}]
)
def test_limits_that_are_none_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"decoder: {next(iter(wrong))} is"):
        Limits(**wrong)  # type: ignore[arg-type]


# --- attacks


def test_attacks_harm_nobody() -> None:
    """All of them, six at once, with a good drawing before and after each six."""
    decoder = Decoder(Limits(seconds=1.0))
    decoder.wait()
    before = psutil.Process().memory_info().rss
    names = list(ATTACKS)
    for start in range(0, len(names), 6):
        some = names[start : start + 6]
        first, *outcomes, last = decoder.decode([PNG, *(ATTACKS[name][0] for name in some), PNG])
        assert isinstance(first, Sheet)
        assert isinstance(last, Sheet)
        for name, outcome in zip(some, outcomes, strict=True):
            assert isinstance(outcome, Sheet | BadDrawing), name
    assert psutil.Process().memory_info().rss - before < 20e6
    assert sum(reader.memory_info().rss for reader in readers(decoder)) < 150e6
    decoder.close()
