"""The environment of a lock file, for as long as a job runs in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from goldmar.environments import Environment, Environments, places
from goldmar.errors import ConfigError, UsageError
from goldmar.locks import Lock, named_code, read_lock
from goldmar.pipeline.progress import Progress

_NEEDED = {
    "torchserve": "TorchServe's worker",
    "torch": "TorchServe, which imports it and does not declare it",
    "pyyaml": "TorchServe, which imports it and does not declare it",
}


def lock_for_serving(path: Path, progress: Progress, *, trust: bool = False) -> Lock:
    """Read a lock file that handlers are to run with.

    Raises ConfigError where TorchServe could not run with it, and UsageError for one that names other code than pinned
    releases of the indexes that this machine is set up with, unless it is trusted.
    """
    lock = replace(read_lock(path), trusted=trust)
    named = named_code(lock, places() if lock.options else ())
    if named and not trust:
        raise UsageError(
            f"{path} names code that is no pinned release of the indexes that this machine is set up with, and to "
            f"install it is to run it: {named[0]}{f' (and {len(named) - 1} more)' if len(named) > 1 else ''}.",
            fix="Check what it names. If you trust it: --trust-lock; if it is an index of yours, set pip up "
            "with it (pip config list, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS)",
            detail="\n".join(named),
        )
    for entry in named:
        progress.note(f"{path} is trusted with {entry}")
    for name, who in _NEEDED.items():
        if name not in lock.pins:
            msg = f"{path} does not pin {name}, which is needed by {who}."
            raise ConfigError(msg, fix=f"Add {name} to what the lock file is resolved from, and resolve it again")
    return lock


@contextmanager
def environment_of(path: Path | None, progress: Progress, *, trust: bool = False) -> Iterator[Environment | None]:
    """Build or find the environment of a lock file; None without one: goldmar's own Python is used.

    Raises UsageError, ConfigError, UninstallableError, UnreachableError, StorageError, MissingExtraError.
    """
    if path is None:
        if trust:
            raise UsageError("--trust-lock requires a lock file, and none is named.", fix="--lock FILE --trust-lock")
        yield None
        return
    lock = lock_for_serving(path, progress, trust=trust)
    with Environments(on_progress=progress.step).use(lock) as environment:
        if environment.warnings:
            progress.note(environment.warnings)
        yield environment
