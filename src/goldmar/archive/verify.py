"""Checking a .mar without running it; goldmar.backends.worker loads and runs its handler."""

import re
from pathlib import Path

from goldmar.archive.writer import Built
from goldmar.errors import ArchiveError
from goldmar.mar import digest, read

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def verify(mar: Path, expected: str | None = None) -> Built:
    """Check the manifest, the names, the CRC of every member, and the content digest where one is known.

    `expected` is a digest as `goldmar archive` prints it; the default is the one in `<mar>.sha256`, if there is one.

    Raises ArchiveError.
    """
    manifest = read(mar)
    found = Built(mar, manifest.model, manifest.version, digest(mar), manifest.members)
    source = "the digest given"
    beside = mar.with_name(f"{mar.name}.sha256")
    if expected is None and beside.is_file():
        source = beside.name
        expected = next(iter(beside.read_text(encoding="utf-8", errors="replace").split()), "")
    if expected is None:
        return found
    if not _DIGEST.fullmatch(expected):
        raise ArchiveError(f"{source} is no digest: {expected!r}.", fix="It reads sha256: and 64 hexadecimal digits")
    if found.digest != expected:
        raise ArchiveError(
            f"{mar} is not the archive it should be: its digest is {found.digest}, {source} says {expected}.",
            fix=f"Build it again from the right sources: goldmar archive {manifest.model}",
        )
    return found
