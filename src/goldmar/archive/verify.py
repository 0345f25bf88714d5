"""Checking a .mar without running it; that its handler loads and answers is for goldmar.serve.worker to show."""

import re
from dataclasses import dataclass
from pathlib import Path

from goldmar.errors import ArchiveError
from goldmar.mar import Manifest, digest, read

__all__ = ["Verified", "verify"]

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Verified:
    """An archive whose manifest and members are sound. `compared_with` says whose digest it equals, None: nobody's."""

    path: Path
    manifest: Manifest
    digest: str
    compared_with: str | None


def verify(mar: Path, expected: str | None = None) -> Verified:
    """Check the manifest, the names, the CRC of every member, and the content digest where one is known.

    `expected` is a digest as `goldmar archive` prints it; without it, the one in the file `<mar>.sha256` beside the
    archive is taken, if there is such a file.

    Raises ArchiveError.
    """
    manifest = read(mar)
    obtained = digest(mar)
    source = "the digest given"
    beside = mar.with_name(f"{mar.name}.sha256")
    if expected is None and beside.is_file():
        source = beside.name
        expected = next(iter(beside.read_text(encoding="utf-8", errors="replace").split()), "")
    if expected is None:
        return Verified(mar, manifest, obtained, None)
    if not DIGEST.fullmatch(expected):
        raise ArchiveError(f"{source} is no digest: {expected!r}.", fix="It reads sha256: and 64 hexadecimal digits")
    if obtained != expected:
        raise ArchiveError(
            f"{mar} is not the archive it should be: its digest is {obtained}, {source} says {expected}.",
            fix=f"Build it again from the right sources: goldmar archive {manifest.model}",
        )
    return Verified(mar, manifest, obtained, source)
