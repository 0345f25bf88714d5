"""Find the drawings in a folder, and the content type of each."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from goldmar.errors import GoldenError
from goldmar.records import Drawing

CONTENT_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".pdf": "application/pdf",
    ".bmp": "image/bmp",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".json": "application/json",
    ".csv": "text/csv",
    ".txt": "text/plain",
}
"""By suffix, whatever its case; any other is application/octet-stream. Not the host's table: those differ."""


def find_drawings(folder: Path, *, within: Sequence[Path] = (), at_most: int | None = None) -> list[Drawing]:
    """Every file under a folder, sorted by id: the path below it, with slashes, without the suffix.

    Hidden files and folders (a leading dot) are left out; symbolic links are followed.

    Args:
        within: the folders that a link may lead into; anywhere, where there are none.
        at_most: bytes of one drawing.

    Raises GoldenError where the folder or one in it cannot be read, where two files have one id, where a link leads out
    or nowhere or to a folder that is there already, and for what is no ordinary file, or a large one: before anything
    is sent.
    """
    if not folder.is_dir():
        msg = f"{folder} is not there."
        raise GoldenError(msg, fix=f"mkdir -p '{folder}' and put sample drawings in it")
    roots = [os.path.realpath(root) for root in within]
    drawings: dict[str, Drawing] = {}
    for path in _files(folder, roots):
        below = path.relative_to(folder)
        drawing = Drawing(
            # As UTF-8, whatever this machine's own encoding is: goldens are shared.
            id=os.fsencode(below.with_suffix("").as_posix()).decode("utf-8", "surrogateescape"),
            path=path,
            content_type=CONTENT_TYPES.get(path.suffix.lower(), "application/octet-stream"),
            size=_size(path, roots, at_most),
        )
        other = drawings.setdefault(drawing.id, drawing)
        if other is not drawing:
            msg = f"Two drawings have the id {drawing.id!r}: {other.path} and {path}."
            raise GoldenError(msg, fix="Rename one of them: the id is the path without its suffix")
    return [drawings[drawing_id] for drawing_id in sorted(drawings)]


def _size(path: Path, roots: Sequence[str], at_most: int | None) -> int:
    """Bytes of an ordinary file that may be sent."""
    _refuse_outside(path, roots)
    try:
        found = path.stat()
    except OSError as error:
        why = "is a link that leads nowhere" if path.is_symlink() else f"cannot be read: {error.strerror}"
        raise GoldenError(f"{path} {why}.", fix=f"ls -l '{path}'; put a file there, or remove it") from error
    if not stat.S_ISREG(found.st_mode):
        msg = f"{path} is no ordinary file: {_KINDS.get(stat.S_IFMT(found.st_mode), 'something else')}."
        raise GoldenError(msg, fix=f"rm '{path}', or put a drawing in its place")
    if at_most is not None and found.st_size > at_most:
        msg = f"{path} has {found.st_size / 2**20:,.1f} MB, and a drawing may have {at_most / 2**20:,.10g}."
        raise GoldenError(msg, fix="Take it out, or raise max_drawing_mb in [tool.goldmar] of pyproject.toml")
    return found.st_size


_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def _refuse_outside(path: Path | str, roots: Sequence[str]) -> None:
    """Whoever writes a link into a pull request must not have this machine's files sent to the server."""
    real = os.path.realpath(path)
    if roots and not any(os.path.commonpath([real, root]) == root for root in roots):
        msg = f"{path} is a link out of the project, to {real}."
        raise GoldenError(msg, fix=f"cp --remove-destination '{real}' '{path}', if that file is meant")


def _files(folder: Path, roots: Sequence[str]) -> list[Path]:
    def refuse(error: OSError) -> None:
        # os.walk would skip a folder it may not read, and its drawings would never be sent.
        msg = f"{error.filename} cannot be read: {error.strerror}."
        raise GoldenError(msg, fix=f"ls -ld '{error.filename}'") from error

    found: list[Path] = []
    seen: dict[str, str] = {}
    for here, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        _refuse_outside(here, roots)
        real = os.path.realpath(here)
        if real in seen:
            if not Path(here).is_relative_to(seen[real]):  # a link back up the tree leads to nothing new
                msg = f"{here} is a link to {seen[real]}, whose drawings are there already."
                raise GoldenError(msg, fix=f"rm '{here}', or copy the drawings that should be there twice")
            folders.clear()
            continue
        seen[real] = here
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(here, name) for name in sorted(files) if not name.startswith(".")]
    return found
