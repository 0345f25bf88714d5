"""What lies in golden/<model>/ and when it may change.

expected.csv, provenance.toml    the golden, written by `approve` alone
obtained.csv, obtained.toml      what the models said in the last complete run
obtained.partial.csv             what they had said when a run ended early
stages.jsonl                     what became of each drawing on the way to the golden; written by `approve` alone
obtained.stages.jsonl            the same for obtained.csv, where `record --stages` asked for it

An approval writes provenance.toml first, then expected.csv. Provenance holds the SHA-256 of its CSV, so a crash between
the two, or an edit of expected.csv by hand, is seen by the next reader; and since the obtained files go last, approving
again finishes what was begun.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from goldmar.errors import GoldenError
from goldmar.files import remove, write_atomically
from goldmar.golden.cells import read_cells, to_csv
from goldmar.golden.provenance import read_provenance, write_provenance
from goldmar.golden.stages import KEPT, OBTAINED, Origin, read_stages, write_stages
from goldmar.records import Cells, Provenance, Staged

__all__ = ["approve", "read_golden", "read_kept_stages", "write_obtained", "write_obtained_stages"]


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
    provenance = dataclasses.replace(provenance, csv_sha256=_sha256(content))
    write_provenance(folder / "obtained.toml", provenance)
    remove(folder / "obtained.partial.csv")
    if not _stages_fit(folder / OBTAINED, provenance):
        remove(folder / OBTAINED)
    return path


def write_obtained_stages(folder: Path, staged: Iterable[Staged]) -> Path:
    """Write the stages that belong to obtained.csv beside it; return their path. Raises ConfigError, StorageError."""
    write_stages(folder / OBTAINED, _origin(read_provenance(folder / "obtained.toml")), staged)
    return folder / OBTAINED


def read_kept_stages(folder: Path) -> dict[str, Staged]:
    """The stages kept beside a golden, by drawing; empty where there are none.

    Raises GoldenError where they cannot be read, or belong to another golden or archive than was approved last.
    """
    if not (folder / KEPT).exists():
        return {}
    origin, kept = read_stages(folder / KEPT)
    beside = folder / "provenance.toml"
    if not beside.exists() or origin != _origin(read_provenance(beside)):
        msg = f"{folder / KEPT} belongs to another golden or archive than the one approved last."
        raise GoldenError(msg, fix=f"goldmar record {folder.name} --stages, then approve it", model=folder.name)
    return kept


def approve(folder: Path, provenance: Provenance) -> Path:
    """Make obtained.csv the golden; return the path of expected.csv.

    Stages that were recorded with it go with it. `provenance` is that of obtained.toml with who, when and why filled
    in. Its `csv_sha256` ties it to the values that were shown. Raises GoldenError where obtained.csv is missing,
    damaged or another one by now, or its stages are; StorageError.
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
    if (folder / OBTAINED).exists():
        if not _stages_fit(folder / OBTAINED, dataclasses.replace(provenance, csv_sha256=digest)):
            msg = f"{folder / OBTAINED} does not belong to {source.name}: one of the two was edited."
            raise GoldenError(msg, fix=f"{fix} --stages", model=model)
        # Before provenance.toml: an approval that is cut off leaves stages that say of themselves that they do not fit.
        write_atomically(folder / KEPT, _content(folder / OBTAINED))
    write_provenance(folder / "provenance.toml", dataclasses.replace(provenance, csv_sha256=digest))
    write_atomically(target, content)
    for name in ("obtained.csv", "obtained.toml", "obtained.partial.csv", OBTAINED):
        remove(folder / name)
    return target


def _origin(provenance: Provenance) -> Origin:
    return Origin(provenance.model, provenance.version, provenance.archive_digest, provenance.csv_sha256)


def _stages_fit(path: Path, provenance: Provenance) -> bool:
    if not path.exists():
        return True
    try:
        origin, _ = read_stages(path)
    except GoldenError:
        return False
    return origin == _origin(provenance)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}."
        raise GoldenError(msg, fix=f"ls -l '{path}'") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
