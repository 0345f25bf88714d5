"""The digests of a folder of archives, where a build of the compose image finds them: model_store/archives.yml.

A label of an image has to be known before its build, and compose takes values from a file of its own format alone. So
`goldmar archive` writes a piece of a compose file, which compose/docker-compose.yml extends; the build then checks
that each archive is the one that the label speaks of.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from goldmar.files import write_atomically
from goldmar.mar import digest
from goldmar.names import is_model_name

__all__ = ["LABELS", "line", "write_labels"]

LABELS = "archives.yml"

_TEMPLATE = """\
# Written by `goldmar archive`; not edited by hand. compose/docker-compose.yml extends it: the digests become a label of
# the api image, and its build fails where an archive has another one.
services:
  api:
    build:
      args:
        GOLDMAR_ARCHIVES: "${{GOLDMAR_ARCHIVES:-{line}}}"
"""
_PAIR = re.compile(r"([A-Za-z0-9._-]+)=(sha256:[0-9a-f]{64})")


def line(digests: Mapping[str, str]) -> str:
    """`callouts=sha256:... thickness=sha256:...`: the value of the label."""
    return " ".join(f"{model}={digests[model]}" for model in sorted(digests))


def write_labels(model_store: Path, known: Mapping[str, str]) -> Path:
    """Bring model_store/archives.yml up to date with the archives that lie there.

    Args:
        model_store: the folder of the archives.
        known: model name -> digest of those that have just been read or built. Others keep what the file says of them,
            since reading all archives of a large store for one of them would take minutes; one that it does not know
            is read.

    Raises ArchiveError for an archive that cannot be read, StorageError where the file cannot be written.
    """
    path = model_store / LABELS
    said = dict(_PAIR.findall(path.read_text(encoding="utf-8", errors="replace"))) if path.exists() else {}
    digests = {
        mar.stem: known.get(mar.stem) or said.get(mar.stem) or digest(mar)
        for mar in sorted(model_store.glob("*.mar"))
        if is_model_name(mar.stem)
    }
    write_atomically(path, _TEMPLATE.format(line=line(digests)))
    return path
