"""The files of golden/<model>/ and when they may change.

expected.csv, provenance.toml    the golden, written by `approve` alone
obtained.csv, obtained.toml      what the model answered in the last complete run
obtained.partial.csv             what it had answered when a run ended early
obtained.unfinished.toml         there while a run has not come to its end; see goldmar.golden.recording
stages.jsonl                     the stages of each drawing of the golden; written by `approve` alone
obtained.stages.jsonl            the same for obtained.csv, written by `record --stages`

An approval writes provenance.toml first, then expected.csv. Provenance holds the SHA-256 of its CSV, so a crash between
the two, or an edit of expected.csv by hand, is seen by the next reader; and since the obtained files go last, approving
again finishes what was begun.
"""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from goldmar.errors import GoldenError
from goldmar.files import refuse_links, remove, write_atomically
from goldmar.golden.csv_file import parse_values, read_content
from goldmar.golden.provenance import read_provenance, write_provenance
from goldmar.golden.recording import FILES, alone, origin_of, refuse_unfinished, sha256_of, stages_fit
from goldmar.golden.stage_file import KEPT, OBTAINED, read_stages
from goldmar.process import held_up
from goldmar.records import Provenance, Staged, Values


def read_golden(folder: Path, columns: Mapping[str, str] | None = None) -> Values:
    """The golden of a model, from golden/<model>/expected.csv.

    Without provenance.toml it is taken as it is: somebody wrote it by hand. Raises GoldenError where expected.csv
    cannot be read or is not the one that was approved, ConfigError where provenance.toml cannot be read.
    """
    path, beside = folder / "expected.csv", folder / "provenance.toml"
    model = folder.name
    content = read_content(path)
    values = parse_values(path, content, columns)
    if not os.path.lexists(beside):
        return values
    approved = read_provenance(beside)
    if approved.csv_sha256 == sha256_of(content):
        return values
    obtained = folder / "obtained.csv"
    if obtained.exists() and approved.csv_sha256 == sha256_of(read_content(obtained)):
        msg = f"An approval of {model} was cut off before {path} was written."
        raise GoldenError(msg, fix=f"Finish it: goldmar approve {model} --reason {approved.reason!r}", model=model)
    msg = f"{path} is not the file that was approved: its SHA-256 differs from csv_sha256 in {beside.name}."
    raise GoldenError(
        msg,
        fix=f"Take it back (git checkout -- '{path}'), or accept the answers of the model: "
        f"goldmar record {model} && goldmar approve {model} --reason ...",
        model=model,
    )


def read_kept_stages(folder: Path) -> dict[str, Staged]:
    """The stages kept beside a golden, by drawing; empty where there are none.

    Raises GoldenError where they cannot be read, or belong to another golden or archive than was approved last.
    """
    if not (folder / KEPT).exists():
        return {}
    origin, kept = read_stages(folder / KEPT)
    beside = folder / "provenance.toml"
    if not beside.exists() or origin != origin_of(read_provenance(beside)):
        msg = f"{folder / KEPT} belongs to another golden or archive than the one approved last."
        raise GoldenError(msg, fix=f"goldmar record {folder.name} --stages, then approve it", model=folder.name)
    return kept


def approve(folder: Path, provenance: Provenance) -> Path:
    """Make obtained.csv the golden; return the path of expected.csv.

    Stages that were recorded with it go with it. `provenance` is that of obtained.toml with who, when and why filled
    in. Its `csv_sha256` ties it to the values that were shown. Raises GoldenError where obtained.csv is missing,
    damaged or another one by now, or its stages are, and where a later recording is not complete; StorageError, also
    where one of the files is a link: that could lead to the golden itself.
    """
    for name in (*FILES, "expected.csv", "provenance.toml", KEPT):
        refuse_links(folder / name)
    with alone(folder):
        refuse_unfinished(folder)
        return _approve(folder, provenance)


def _approve(folder: Path, provenance: Provenance) -> Path:
    model = folder.name
    source, target = folder / "obtained.csv", folder / "expected.csv"
    fix = f"goldmar record {model}"
    if not source.exists():
        msg = f"Nothing to approve: {source} is missing."
        raise GoldenError(msg, fix=fix, model=model)
    content = read_content(source)
    digest = sha256_of(content)
    recorded = read_provenance(folder / "obtained.toml")
    if digest != recorded.csv_sha256:
        msg = f"{source} does not belong to obtained.toml: it was edited, or its recording was cut off."
        raise GoldenError(msg, fix=fix, model=model)
    # Another recording may have been answered the same, by another archive.
    shown = dataclasses.replace(provenance, approved_by="", approved_at=None, reason="")
    if provenance.csv_sha256 and shown != recorded:
        msg = f"{source} changed while its approval was under way."
        raise GoldenError(msg, fix=f"Look at it again: goldmar approve {model} --reason ...", model=model)
    if not len(parse_values(source, content)):
        msg = f"{source} holds no values: with an empty golden nothing would be compared."
        raise GoldenError(msg, fix=fix, model=model)
    if (folder / OBTAINED).exists():
        if not stages_fit(folder / OBTAINED, dataclasses.replace(provenance, csv_sha256=digest)):
            msg = f"{folder / OBTAINED} does not belong to {source.name}: one of the two was edited."
            raise GoldenError(msg, fix=f"{fix} --stages", model=model)
        # Before provenance.toml: an approval that is cut off leaves stages that say of themselves that they do not fit.
        write_atomically(folder / KEPT, read_content(folder / OBTAINED))
    with held_up():  # Ctrl-C finds it approved or not, and can say which
        write_provenance(folder / "provenance.toml", dataclasses.replace(provenance, csv_sha256=digest))
        write_atomically(target, content)
        for name in FILES:
            remove(folder / name)
    return target
