"""Which drawings there are under a folder, and what each is sent as."""

import os
from pathlib import Path

from goldmar.errors import GoldenError
from goldmar.records import Drawing

__all__ = ["CONTENT_TYPES", "find_drawings"]

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


def find_drawings(folder: Path) -> list[Drawing]:
    """Every file under a folder, sorted by id: the path below it, with slashes, without the suffix.

    Hidden files and folders (a leading dot) are left out; symbolic links are followed.
    Raises GoldenError where the folder or one in it cannot be read, and where two files have one id.
    """
    if not folder.is_dir():
        msg = f"{folder} is not there."
        raise GoldenError(msg, fix=f"mkdir -p '{folder}' and put sample drawings in it")
    drawings: dict[str, Drawing] = {}
    for path in _files(folder):
        below = path.relative_to(folder)
        drawing = Drawing(
            id=below.with_suffix("").as_posix(),
            path=path,
            content_type=CONTENT_TYPES.get(path.suffix.lower(), "application/octet-stream"),
        )
        other = drawings.setdefault(drawing.id, drawing)
        if other is not drawing:
            msg = f"Two drawings have the id {drawing.id!r}: {other.path} and {path}."
            raise GoldenError(msg, fix="Rename one of them: the id is the path without its suffix")
    return [drawings[drawing_id] for drawing_id in sorted(drawings)]


def _files(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        # os.walk would pass over a folder it may not read, and its drawings would never be asked about.
        msg = f"{error.filename} cannot be read: {error.strerror}."
        raise GoldenError(msg, fix=f"ls -ld '{error.filename}'") from error

    found, seen = [], set()
    for here, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:  # a link back up the tree
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(here, name) for name in sorted(files) if not name.startswith(".")]
    return found
