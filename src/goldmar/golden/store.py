"""What lies in golden/<model>/ and when it may change.

expected.csv, provenance.toml    the golden, written by `approve` alone
obtained.csv, obtained.toml      what the models said in the last complete run
obtained.partial.csv             what they had said when a run ended early

An approval writes provenance.toml first, then expected.csv. Provenance holds the SHA-256 of its CSV, so a crash between
the two, or an edit of expected.csv by hand, is seen by the next reader; and since the obtained files go last, approving
again finishes what was begun.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

from goldmar.errors import GoldenError
from goldmar.files import remove, write_atomically
from goldmar.golden.cells import read_cells, to_csv
from goldmar.golden.provenance import read_provenance, write_provenance
from goldmar.records import Cells, Provenance

__all__ = ["approve", "read_golden", "write_obtained"]


def read_golden(folder: Path, columns: Mapping[str, str] | None = None) -> Cells:
    """The golden of a model, from golden/<model>/expected.csv.

    Without provenance.toml it is taken as it is: somebody wrote it by hand. Raises GoldenError where expected.csv
    cannot be read or is not the one that was approved, ConfigError where provenance.toml cannot be read.
    """
    path, beside = folder / "expected.csv", folder / "provenance.toml"
    model = folder.name
    cells = read_cells(path, columns)
    if not beside.exists():
        return cells
    approved = read_provenance(beside)
    if approved.csv_sha256 == _sha256(_content(path)):
        return cells
    obtained = folder / "obtained.csv"
    if obtained.exists() and approved.csv_sha256 == _sha256(_content(obtained)):
        msg = f"An approval of {model} was cut off before {path} was written."
        raise GoldenError(msg, fix=f"Finish it: goldmar approve {model} --reason {approved.reason!r}", model=model)
    msg = f"{path} is not the file that was approved: its SHA-256 differs from csv_sha256 in {beside.name}."
    raise GoldenError(
        msg,
        fix=f"Take it back (git checkout -- '{path}'), or accept what the model says: "
        f"goldmar record {model} && goldmar approve {model} --reason ...",
        model=model,
    )


def write_obtained(folder: Path, cells: Cells, provenance: Provenance, *, complete: bool) -> Path:
    """Write what a model said beside its golden, and return the path of the CSV. Raises StorageError.

    An incomplete run goes to obtained.partial.csv, which nothing approves; a complete one removes that file.
    """
    content = to_csv(cells).encode()
    if not complete:
        path = folder / "obtained.partial.csv"
        write_atomically(path, content)
        return path
    path = folder / "obtained.csv"
    write_atomically(path, content)
    write_provenance(folder / "obtained.toml", dataclasses.replace(provenance, csv_sha256=_sha256(content)))
    remove(folder / "obtained.partial.csv")
    return path


def approve(folder: Path, provenance: Provenance) -> Path:
    """Make obtained.csv the golden; return the path of expected.csv.

    `provenance` is that of obtained.toml with who, when and why filled in. Its `csv_sha256` ties it to the values that
    were shown. Raises GoldenError where obtained.csv is missing, damaged or another one by now; StorageError.
    """
    model = folder.name
    source, target = folder / "obtained.csv", folder / "expected.csv"
    fix = f"goldmar record {model}"
    if not source.exists():
        msg = f"Nothing to approve: {source} is missing."
        raise GoldenError(msg, fix=fix, model=model)
    content = _content(source)
    digest = _sha256(content)
    if digest != read_provenance(folder / "obtained.toml").csv_sha256:
        msg = f"{source} does not belong to obtained.toml: it was edited, or its recording was cut off."
        raise GoldenError(msg, fix=fix, model=model)
    if provenance.csv_sha256 not in {"", digest}:
        msg = f"{source} changed while its approval was under way."
        raise GoldenError(msg, fix=f"Look at it again: goldmar approve {model} --reason ...", model=model)
    if not len(read_cells(source)):
        msg = f"{source} holds no values: an empty golden would hold nothing."
        raise GoldenError(msg, fix=fix, model=model)
    write_provenance(folder / "provenance.toml", dataclasses.replace(provenance, csv_sha256=digest))
    write_atomically(target, content)
    for name in ("obtained.csv", "obtained.toml", "obtained.partial.csv"):
        remove(folder / name)
    return target


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}."
        raise GoldenError(msg, fix=f"ls -l '{path}'") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
