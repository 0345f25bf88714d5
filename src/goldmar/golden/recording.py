"""Which recording is valid: the last that was started, once it is complete on disk. Never an earlier one.

obtained.unfinished.toml lies beside the obtained files from the moment that a recording begins until all of it is
there. It is the first thing to be written and the last to go, so that a recording that fails, is interrupted or is
killed at any point leaves nothing that could be approved. Each beginning has a name of its own in it: of two that run
at once, the one that began last counts, and the other writes nothing.

Only one process at a time begins, writes or approves a recording: it holds a lock on the folder (flock), which ends
with the process, however that ends.
"""

import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import tomli_w

from goldmar.config import read_toml
from goldmar.errors import ConfigError, GoldenError, StorageError
from goldmar.files import refuse_links, remove, write_atomically
from goldmar.golden.csv_file import to_csv
from goldmar.golden.provenance import read_provenance, write_provenance
from goldmar.golden.stage_file import OBTAINED, Origin, read_stages, write_stages
from goldmar.records import Provenance, Staged, Values
from goldmar.text import excerpt

UNFINISHED = "obtained.unfinished.toml"
FILES = ("obtained.csv", "obtained.toml", "obtained.partial.csv", OBTAINED)

_LOCK_WAIT_S = 20.0
_POLL_S = 0.02


class Superseded(GoldenError):
    """Another recording of the model was begun while this one ran, so that this one does not count."""


@dataclass(frozen=True, slots=True)
class _Unfinished:
    """The content of obtained.unfinished.toml. A recording that fails adds `ended_at` and `reason`, where it can."""

    name: str
    command: str
    began_at: datetime
    ended_at: datetime | None = None
    reason: str = ""


class Recording:
    """One recording of one model. It begins when it is made: what was obtained before is void and removed.

    Args:
        folder: golden/<model>.
        command: what to run again where it fails.

    Raises StorageError, and then the recordings before it are void all the same where the disk allows it.
    """

    def __init__(self, folder: Path, command: str) -> None:
        self.folder = folder
        self.ended = False
        self._state = _Unfinished(secrets.token_hex(16), command, _now())
        self._alive: int | None = None
        for name in (*FILES, UNFINISHED):
            refuse_links(folder / name)
        with alone(folder):
            try:
                self._write(self._state)
                # Held until this process ends, however it does: whoever finds the file without this lock knows.
                self._alive = _shared_lock(folder / UNFINISHED)
            finally:
                for name in ("obtained.csv", "obtained.toml", "obtained.partial.csv"):
                    remove(folder / name)

    def keep(self, values: Values, provenance: Provenance) -> Path:
        """Write the answers, all of them; they count once `finish` was called. Raises Superseded, StorageError."""
        content = to_csv(values).encode()
        path = self.folder / "obtained.csv"
        with self._ours():
            provenance = replace(provenance, csv_sha256=sha256_of(content))
            write_atomically(path, content)
            write_provenance(self.folder / "obtained.toml", provenance)
            # Stages of an earlier recording stay where the same archive gave the same values: a check asks for none.
            if not stages_fit(self.folder / OBTAINED, provenance):
                remove(self.folder / OBTAINED)
        return path

    def keep_stages(self, staged: Iterable[Staged]) -> Path:
        """Write the stages that belong to the answers. Raises ConfigError, Superseded, StorageError."""
        path = self.folder / OBTAINED
        with self._ours():
            write_stages(path, origin_of(read_provenance(self.folder / "obtained.toml")), staged)
        return path

    def finish(self) -> None:
        """From now on it can be approved. Raises Superseded, StorageError."""
        with self._ours():
            remove(self.folder / UNFINISHED)
        self._end()

    def fail(self, reason: str) -> None:
        """Say in the file why nothing came of it, for whoever wants to approve; silent where that cannot be written."""
        state = replace(self._state, ended_at=_now(), reason=excerpt(reason, 500))
        with suppress(GoldenError, StorageError), self._ours():
            self._write(state)
        self._end()

    @contextmanager
    def _ours(self) -> Iterator[None]:
        with alone(self.folder):
            there = _read(self.folder / UNFINISHED)
            if there is None or there.name != self._state.name:
                model = self.folder.name
                msg = f"Another recording of {model} was begun while this one ran, and the last one begun counts."
                raise Superseded(msg, fix=f"Let one run at a time; then look at what there is: goldmar approve {model}")
            yield

    def _write(self, state: _Unfinished) -> None:
        table = {key: value for key, value in asdict(state).items() if value is not None}
        write_atomically(self.folder / UNFINISHED, tomli_w.dumps(table))

    def _end(self) -> None:
        self.ended = True
        if self._alive is not None:
            os.close(self._alive)
            self._alive = None


def write_obtained(folder: Path, values: Values, provenance: Provenance) -> Path:
    """A recording that begins and ends here; return the path of obtained.csv. Raises StorageError."""
    folder.mkdir(parents=True, exist_ok=True)
    recording = Recording(folder, f"goldmar record {folder.name}")
    try:
        path = recording.keep(values, provenance)
        recording.finish()
    except BaseException as error:
        recording.fail(repr(error))
        raise
    return path


def write_partial(folder: Path, values: Values) -> Path:
    """Write the answers of a run that ended early; they cannot be approved. Raises StorageError."""
    path = folder / "obtained.partial.csv"
    write_atomically(path, to_csv(values).encode())
    return path


def refuse_unfinished(folder: Path) -> None:
    """Raise GoldenError where the last recording of a model is not complete: failed, cut off, or still under way."""
    path = folder / UNFINISHED
    refuse_links(path)
    state = _read(path)
    if state is None:
        return
    model = folder.name
    void = "What was recorded before it is void."
    if state.ended_at is not None:
        msg = f"Nothing to approve: the last recording of {model} failed at {state.ended_at:%Y-%m-%d %H:%M:%S} UTC"
        raise GoldenError(f"{msg}: {state.reason.rstrip('.')}. {void}", fix=state.command, model=model)
    began = f"the last recording of {model}, begun at {state.began_at:%Y-%m-%d %H:%M:%S} UTC,"
    if _is_alive(path):
        msg = f"Nothing to approve: {began} is still under way. {void}"
        raise GoldenError(msg, fix="Wait until it ends; then approve again", model=model)
    raise GoldenError(f"Nothing to approve: {began} was cut off. {void}", fix=state.command, model=model)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While the body runs, no other process begins, writes or approves a recording of this model. Raises StorageError.

    On a file system without locks (some network drives) the body runs without one.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        msg = f"{folder} cannot be opened: {error.strerror}."
        raise StorageError(msg, fix=f"ls -ld '{folder}'") from error
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    until = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                msg = f"Another goldmar has been writing in {folder} for {_LOCK_WAIT_S:g} s."
                raise StorageError(msg, fix=f"See which: fuser -v '{folder}'") from None
            time.sleep(_POLL_S)
        except OSError:
            return
        else:
            return


def _shared_lock(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return descriptor


def _is_alive(path: Path) -> bool:
    """Whether the process that wrote the file still runs: it holds a lock on it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _read(path: Path) -> _Unfinished | None:
    """The content of the file; None without a file. One that cannot be read still means that nothing is finished."""
    if not path.exists():
        return None
    fallback = _Unfinished("", f"goldmar record {path.parent.name}", datetime.fromtimestamp(path.stat().st_mtime, UTC))
    try:
        table = read_toml(path)
        state = _Unfinished(**table)
    except (ConfigError, TypeError):
        return fallback
    times, words = (state.began_at, state.ended_at or state.began_at), (state.name, state.command, state.reason)
    if not all(isinstance(each, datetime) for each in times) or not all(isinstance(each, str) for each in words):
        return fallback
    return state


def origin_of(provenance: Provenance) -> Origin:
    """Which recording that is, for stages that belong to it."""
    return Origin(provenance.model, provenance.version, provenance.archive_digest, provenance.csv_sha256)


def stages_fit(path: Path, provenance: Provenance) -> bool:
    """Whether a file of stages belongs to that recording; one that is not there does."""
    if not path.exists():
        return True
    try:
        origin, _ = read_stages(path)
    except GoldenError:
        return False
    return origin == origin_of(provenance)


def sha256_of(content: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
