"""The environment of a lock file, for as long as a job runs in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from goldmar.environments import Environment, Environments
from goldmar.errors import ConfigError
from goldmar.locks import Lock, read_lock
from goldmar.pipeline.watch import Watch

__all__ = ["environment_of", "lock_for_serving"]

NEEDED = {
    "torchserve": "TorchServe's worker",
    "torch": "TorchServe, which imports it and does not declare it",
    "pyyaml": "TorchServe, which imports it and does not declare it",
}


def lock_for_serving(path: Path) -> Lock:
    """Read a lock file that handlers are to run with. Raises ConfigError where TorchServe could not run with it."""
    lock = read_lock(path)
    for name, who in NEEDED.items():
        if name not in lock.pins:
            msg = f"{path} does not pin {name}, which is needed by {who}."
            raise ConfigError(msg, fix=f"Add {name} to what the lock file is resolved from, and resolve it anew")
    return lock


@contextmanager
def environment_of(path: Path | None, watch: Watch) -> Iterator[Environment | None]:
    """Build or find the environment of a lock file; without one there is none, and goldmar's own Python will do.

    Raises ConfigError, UninstallableError, UnreachableError, StorageError, MissingExtraError.
    """
    if path is None:
        yield None
        return
    lock = lock_for_serving(path)
    with Environments(on_progress=watch.step).use(lock) as environment:
        if environment.warnings:
            watch.note(environment.warnings)
        yield environment
