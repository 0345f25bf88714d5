"""The installed files of an environment: their hashes, and whether they are still the same.

Hashing all of torch takes a second or two, so a file is hashed once: its inode, size and time show whether it was
changed since. Environments share inodes with uv's cache and with each other (hard links).
"""

import base64
import csv
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

Files = Mapping[str, tuple[int, int, int, str]]
"""Path below the environment -> inode, bytes, time of the last change in ns, SHA-256 as hexadecimal digits."""

_NAME = "files.json"

# Written by the installer, with times and paths in them; they are no code.
_NOTES = {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json", "uv_build.json"}


def scan(folder: Path, known: Files | None = None) -> Files:
    """The files below lib/, without bytecode, which changes with use. Files in `known` are not hashed again.

    Raises OSError.
    """
    hashes = {stamp[:3]: stamp[3] for stamp in (known or {}).values()}
    found = {}
    for path, status in _walk(folder):
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
        found[path] = (*stamp, hashes.get(stamp) or _hashed(folder / path))
    return found


def digest(files: Files) -> str:
    """32 hexadecimal digits that identify what is installed."""
    content = hashlib.sha256()
    for path, stamp in sorted(files.items()):
        if not _is_note(path):
            content.update(f"{path}\0{stamp[3]}\n".encode("utf-8", "surrogateescape"))
    return content.hexdigest()[:32]


def touched(folder: Path, files: Files) -> str:
    """The first file that was changed, added or removed since the installation; empty where none was."""
    left = {path for path in files if not _is_note(path)}
    for path, status in _walk(folder):
        if _is_note(path):
            continue
        stamp = files.get(path)
        if stamp is None:
            return path
        same = stamp[:3] == (status.st_ino, status.st_size, status.st_mtime_ns)
        if not same and _hashed(folder / path) != stamp[3]:
            return path
        left.discard(path)
    return min(left, default="")


def forged(folder: Path, files: Files) -> list[str]:
    """Files that differ from the RECORD of their package (PEP 376), usually because uv's cache was changed."""
    found = []
    for record in folder.glob("lib/python3*/site-packages/*.dist-info/RECORD"):
        site = record.parent.parent.relative_to(folder)
        for path, hashed, *_ in csv.reader(io.StringIO(record.read_text(encoding="utf-8", errors="surrogateescape"))):
            name, _, expected = hashed.partition("=")
            stamp = files.get(os.path.normpath(os.path.join(site, path)))  # noqa: PTH118 -- twenty thousand files
            if name == "sha256" and stamp is not None and not _is_note(path) and _encoded(stamp[3]) != expected:
                found.append(path)
    return found


def write(folder: Path, files: Files) -> None:
    """Write the table into the environment. Raises OSError."""
    (folder / _NAME).write_text(json.dumps(files), encoding="ascii")


def read(folder: Path) -> Files | None:
    """The table of `write`; None where it is missing or damaged."""
    try:
        table = json.loads((folder / _NAME).read_text(encoding="ascii"))
        return {path: (int(ino), int(size), int(time), str(sha)) for path, (ino, size, time, sha) in table.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return None


def _walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    waiting = [str(folder / "lib")]
    cut = len(str(folder)) + 1
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != "__pycache__":
                        waiting.append(entry.path)
                else:
                    yield entry.path[cut:], entry.stat(follow_symlinks=False)


def _hashed(path: Path) -> str:
    if path.is_symlink():
        return hashlib.sha256(os.fsencode(path.readlink())).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_note(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return name in _NOTES and folder.endswith(".dist-info")


def _encoded(hexadecimal: str) -> str:
    """As a RECORD has it: URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(bytes.fromhex(hexadecimal)).rstrip(b"=").decode()
