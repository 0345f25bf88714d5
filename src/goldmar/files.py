"""Writing a file whole or not at all: a temporary file in the same folder, fsync, rename, fsync of the folder.

Whatever happens in between (disk full, Ctrl-C, power cut), a reader sees the old file or the new, never half of one.

And where it belongs or not at all: what is written must not be a symbolic link, nor lie below one. A link that somebody
has left, or that came with a pull request, would lead the answers of one model onto the golden of another, or out of
the project. So no part of a path may be a link. Paths of a project begin at its root, which is without links; a path
that the user typed goes through `named` first, since a home folder or /tmp may well be links.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from goldmar.errors import StorageError

_written: dict[Path, None] = {}


def note_written(path: Path) -> None:
    """Note a file or folder that another module has written."""
    _written[path] = None


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

    A body that raises, Ctrl-C included, leaves `path` as it was and nothing beside it. Of a file with several names
    (hard links) the one at `path` becomes a file of its own; the others stay what they were.
    Raises StorageError for an OSError of this file, and for a link; an OSError about another file passes as it is.
    """
    temporary = path.with_name(f".{path.name[:80]}.{secrets.token_hex(8)}.tmp")
    refuse_links(path)
    try:
        _refuse_special(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _written[path] = None
        _sync(path.parent)
    except OSError as error:
        if error.filename is not None and Path(os.fsdecode(error.filename)) not in {temporary, path, path.parent}:
            raise
        raise _storage_error(path, error) from error
    finally:
        with suppress(OSError):  # gone already where the rename was reached
            temporary.unlink()


def open_ordinary(path: Path) -> BinaryIO:
    """An ordinary file, to be read. Raises OSError, also for a pipe or a device in its place."""
    # O_NONBLOCK: opening a pipe that somebody put in the place of the file must not wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        if stat.S_ISREG(mode := os.fstat(descriptor).st_mode):
            return open(descriptor, "rb")  # noqa: PTH123
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "it is no ordinary file", str(path))
    except BaseException:
        os.close(descriptor)
        raise


def read_whole(path: Path, at_most: int | None = None) -> bytes:
    """The content of an ordinary file. Raises OSError as `open_ordinary` does, and for more than `at_most` bytes."""
    with open_ordinary(path) as stream:
        content = stream.read(-1 if at_most is None else at_most + 1)
    if at_most is not None and len(content) > at_most:
        raise OSError(errno.EFBIG, "it has grown since it was found", str(path))
    return content


def remove(path: Path) -> None:
    """Remove a file; one that is not there is fine, and a link goes without what it leads to. Raises StorageError."""
    refuse_links(path.parent)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _storage_error(path, error) from error


def refuse_links(path: Path) -> None:
    """Raise StorageError where `path`, or a folder that it lies in, is a symbolic link. What is not there is fine."""
    for place in (path, *path.parents):
        try:
            target = os.readlink(place)  # noqa: PTH115, a Path would lose how the link is spelt
        except OSError:
            continue
        msg = f"{place} is a link to {target}; goldmar writes through no link, and takes none for a file of its own."
        fix = f"Remove the link: rm '{place}'"
        if place.is_dir():
            fix = f"Put the folder itself there, or name it where the link is named: {os.path.realpath(place)}"
        raise StorageError(msg, fix=fix)


def named(path: Path, root: Path) -> Path:
    """A path that the user typed, absolute, fit for the other functions here.

    Folders outside `root`, the project, are taken wherever links lead; below it no link is followed.
    """
    absolute = Path(os.path.abspath(path))  # noqa: PTH100, `..` goes before any link does
    return absolute if absolute.is_relative_to(root) else Path(os.path.realpath(absolute.parent)) / absolute.name


def write_named(path: Path, data: str, root: Path) -> None:
    """Write what the user asked for to the path that they typed; a device or a pipe (/dev/stdout) just takes it.

    Raises StorageError.
    """
    place = named(path, root)
    try:
        if not (Path(os.path.abspath(path)).parts[1:2] in {("dev",), ("proc",)} or _is_stream(place)):  # noqa: PTH100
            write_atomically(place, data)
            return
        # Neither made nor cut: behind /dev/stdout there may be a file that holds other things already.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND), "wb") as stream:
            stream.write(data.encode("utf-8"))
    except OSError as error:
        raise _storage_error(path, error) from error


def _is_stream(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def _refuse_special(path: Path) -> None:
    # A rename onto a device would replace the device itself.
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


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
