"""Writing a file whole or not at all: a temporary file in the same folder, fsync, rename, fsync of the folder.

Whatever happens in between (disk full, Ctrl-C, power cut), a reader sees the old file or the new, never half of one.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from goldmar.errors import StorageError

__all__ = ["atomic_path", "remove", "write_atomically", "written"]

_written: dict[Path, None] = {}


def written() -> list[Path]:
    """What this process has written so far and is still there: what is named to whoever interrupts it."""
    return [path for path in _written if path.exists()]


def write_atomically(path: Path, data: str | bytes) -> None:
    """Replace `path` with `data`; text is written as UTF-8 with its line ends as they are.

    Missing folders are made. Raises StorageError, naming the path and what to do, and then leaves `path` as it was.
    """
    content = data.encode("utf-8") if isinstance(data, str) else data
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(content)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield an empty file beside `path`, to fill in the body; it takes the place of `path` when the body ends well.

    A body that raises, Ctrl-C included, leaves `path` as it was and nothing beside it. A symbolic link is followed.
    Raises StorageError for an OSError of this file; an OSError about another file passes as it is.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name[:80]}.{secrets.token_hex(8)}.tmp")
    try:
        _refuse_special(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        _sync(temporary)
        temporary.replace(target)
        _written[path] = None
        _sync(target.parent)
    except OSError as error:
        if error.filename is not None and Path(os.fsdecode(error.filename)) not in {temporary, target, target.parent}:
            raise
        raise _storage_error(path, error) from error
    finally:
        with suppress(OSError):  # gone already where the rename was reached
            temporary.unlink()


def remove(path: Path) -> None:
    """Remove a file; one that is not there is fine. Raises StorageError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _storage_error(path, error) from error


def _refuse_special(target: Path) -> None:
    # A rename onto /dev/stdout would replace the device itself.
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", str(target))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _storage_error(path: Path, error: OSError) -> StorageError:
    folder = path.parent
    fixes = {
        errno.ENOSPC: f"Free some space: df -h '{folder}'",
        errno.EDQUOT: f"Your disk quota is used up: free some space in '{folder}'",
        errno.EFBIG: "The limit on file sizes is too low: ulimit -f unlimited",
        errno.EROFS: f"'{folder}' is on a read-only file system: write elsewhere, or mount it read-write",
        errno.EACCES: f"Make the folder writable: chmod u+w '{folder}'",
        errno.EPERM: f"Make the folder writable: chmod u+w '{folder}'",
        errno.EINVAL: "Name an ordinary file",
        errno.EISDIR: "Name a file, not a folder",
    }
    reason = error.strerror or str(error)
    return StorageError(
        f"{path} could not be written: {reason}.",
        fix=fixes.get(error.errno or 0, f"Look at the folder: ls -ld '{folder}'"),
    )
