"""model_store/archives.yml: the digests of the archives, for the label of the api image.

A label has to be known before the build, and compose reads values only from a compose file. So `goldmar archive` writes
a part of one, which compose/docker-compose.yml extends; the build checks each archive against the label.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from goldmar.files import write_atomically
from goldmar.mar import digest
from goldmar.names import is_model_name

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
        known: model name -> digest of those that were just read or built. The others keep their digest in the file,
            as reading all archives of a large store would take minutes; those without one are read.

    Raises ArchiveError for an archive that cannot be read, StorageError where the file cannot be written.
    """
    path = model_store / LABELS
    listed = dict(_PAIR.findall(path.read_text(encoding="utf-8", errors="replace"))) if path.exists() else {}
    digests = {
        mar.stem: known.get(mar.stem) or listed.get(mar.stem) or digest(mar)
        for mar in sorted(model_store.glob("*.mar"))
        if is_model_name(mar.stem)
    }
    write_atomically(path, _TEMPLATE.format(line=line(digests)))
    return path
