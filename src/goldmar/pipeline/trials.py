"""The trials of a bisection on disk, one line of JSON each, so that it continues where it was interrupted."""

import dataclasses
import errno
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldmar.errors import StorageError
from goldmar.records import Comparison, DifferenceKind, Trial, TrialOutcome


class Trials:
    """The file of one bisection. Two processes may write to it at once; a line cut off by a crash is ignored.

    Raises StorageError where it cannot be read or written.
    """

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self.path = path
        self._found: dict[tuple[frozenset[str], str], Trial] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if fresh:
                path.unlink(missing_ok=True)
            lines = path.read_bytes().split(b"\n") if path.exists() else []
        except OSError as error:
            raise _storage(path, error) from error
        for line in lines:
            if (read := _read(line)) is not None:
                trial, subject = read
                self._found[frozenset(trial.taken), subject] = trial

    def __len__(self) -> int:
        return len(self._found)

    def get(self, taken: frozenset[str], subject: str = "") -> Trial | None:
        """The trial of a candidate; `subject` says which lock file and drawings it was about."""
        return self._found.get((taken, subject))

    def add(self, trial: Trial, subject: str = "") -> None:
        """On disk when this returns."""
        self._found[frozenset(trial.taken), subject] = trial
        line = json.dumps(dataclasses.asdict(trial) | {"subject": subject}).encode()
        try:
            descriptor = os.open(
                self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666
            )
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                # The line end comes first: the line before it may have been cut off.
                content = b"\n" + line + b"\n"
                if os.write(descriptor, content) < len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _storage(self.path, error) from error


def _read(line: bytes) -> tuple[Trial, str] | None:
    try:
        table: dict[str, Any] = json.loads(line)
        trial = Trial(
            taken=tuple(table["taken"]),
            outcome=TrialOutcome(table["outcome"]),
            worst=table["worst"],
            failures=tuple((model, _comparison(each)) for model, each in table["failures"]),
            failed={model: tuple(ids) for model, ids in table["failed"].items()},
            reason=table["reason"],
            seconds=table["seconds"],
            environment=str(table["environment"]),
            remembered=True,
        )
        return trial, str(table["subject"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _comparison(table: Mapping[str, Any]) -> Comparison:
    return Comparison(**{**table, "kind": DifferenceKind(table["kind"])})


def _storage(path: Path, error: OSError) -> StorageError:
    msg = f"The trials of this bisection could not be kept in {path}: {error.strerror}."
    return StorageError(msg, fix="Free some space, or set GOLDMAR_CACHE to another folder")
