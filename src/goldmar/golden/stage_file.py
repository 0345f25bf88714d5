"""stages.jsonl: the stages of each drawing, kept beside the golden that they belong to.

The first line says which golden and archive that is and holds the SHA-256 of all lines below it; each of those is one
stage of one drawing. docs/formats.md shows both.
"""

import base64
import binascii
import bz2
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from goldmar.errors import GoldenError
from goldmar.files import read_whole, write_atomically
from goldmar.records import Part, Stage, Staged

KEPT, OBTAINED = "stages.jsonl", "obtained.stages.jsonl"
SCHEMA = 1

MALFORMED = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading JSON of another shape can raise."""

_LARGE = 48 * 1024
"""Bytes of compressed data above which a part is kept as a sample: the raw output of a network hardly compresses."""
_SAMPLE = 1024
_MAX_CONTENT = 256 * 2**20
_DTYPE = re.compile(r"text|file|\|[biu]1|<[iu][248]|<f[248]|<c(?:8|16)")


@dataclass(frozen=True, slots=True)
class Origin:
    """Which recording some stages belong to: the archive that was asked, and the values that it gave then."""

    model: str
    version: str
    archive_digest: str
    csv_sha256: str


def write_stages(path: Path, origin: Origin, recorded: Iterable[Staged]) -> None:
    """Write stages atomically, drawings in the order given; large parts as a sample. Raises StorageError."""
    lines = [
        json.dumps(
            {"drawing_id": staged.drawing_id, "stage": stage.name, "parts": [_as_json(_kept(p)) for p in stage.parts]}
        )
        for staged in recorded
        for stage in staged.stages
    ]
    body = "".join(f"{line}\n" for line in lines)
    header = {"schema": SCHEMA, **asdict(origin), "sha256": hashlib.sha256(body.encode()).hexdigest()}
    write_atomically(path, f"{json.dumps(header)}\n{body}")


def read_stages(path: Path) -> tuple[Origin, dict[str, Staged]]:
    """What `write_stages` wrote, by drawing. Raises GoldenError: unreadable, cut off, edited or of another schema."""
    try:
        content = read_whole(path)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}."
        raise GoldenError(msg, fix=f"ls -l '{path}'") from error
    first, _, body = content.partition(b"\n")
    try:
        header = json.loads(first)
        if header.pop("schema") != SCHEMA:
            msg = "it has another schema"
            raise ValueError(msg)
        if header.pop("sha256") != hashlib.sha256(body).hexdigest():
            msg = "it was edited, or cut off"
            raise ValueError(msg)
        origin = Origin(**header)
        found: dict[str, list[Stage]] = {}
        for line in body.splitlines():
            row = json.loads(line)
            found.setdefault(row["drawing_id"], []).extend(stages_of([row]))
    except MALFORMED as error:
        msg = f"{path} holds no stages that can be used: {error}."
        fix = f"Take it from git again, or record it anew: goldmar record {path.parent.name} --stages"
        raise GoldenError(msg, fix=fix) from error
    return origin, {name: Staged(name, tuple(stages)) for name, stages in found.items()}


def stages_of(value: Any) -> tuple[Stage, ...]:
    """Stages from their JSON, that of a handler or of a file. Raises one of MALFORMED."""
    return tuple(Stage(str(stage["stage"]), tuple(map(_part, stage["parts"]))) for stage in value)


def content_of(part: Part) -> bytes:
    """The bytes of a part's data, or of its sample. Raises ValueError where they are not what shape and dtype say."""
    if part.data is None:
        msg = "there is no data"
        raise ValueError(msg)
    want = -(-math.prod(part.shape) // part.step) * _itemsize(part.dtype)
    if want > _MAX_CONTENT:
        msg = f"{want} bytes are more than is read"
        raise ValueError(msg)
    try:
        # No further than wanted: a few bytes could unfold to fill the memory.
        content = bz2.BZ2Decompressor().decompress(part.data, max_length=want + 1)
    except OSError as error:
        msg = "it is not bz2"
        raise ValueError(msg) from error
    if len(content) != want:
        msg = f"it has not the {want} bytes of its shape"
        raise ValueError(msg)
    return content


def array_of(part: Part) -> Any:
    """A part's data as a flat numpy array: all its elements in C order, or every step-th. Raises ValueError."""
    import numpy as np

    return np.frombuffer(content_of(part), np.dtype(part.dtype))


def _part(value: Mapping[str, Any]) -> Part:
    data = value.get("data")
    try:
        compressed = None if data is None else base64.b64decode(data, validate=True)
    except binascii.Error as error:
        msg = "its data is no base64"
        raise ValueError(msg) from error
    shape = tuple(map(int, value["shape"]))
    step = int(value.get("step", 1))
    dtype = str(value["dtype"])
    if min(shape, default=0) < 0 or step < 1 or not _DTYPE.fullmatch(dtype):
        msg = f"shape {shape}, step {step} or dtype {dtype!r} makes no sense"
        raise ValueError(msg)
    summary = {str(name): float(number) for name, number in value.get("summary", {}).items()}
    return Part(str(value["name"]), dtype, shape, str(value["sha256"]), summary, compressed, step)


def _itemsize(dtype: str) -> int:
    import numpy as np

    return 1 if dtype in ("text", "file") else np.dtype(dtype).itemsize


def _as_json(part: Part) -> dict[str, Any]:
    table: dict[str, Any] = {"name": part.name, "dtype": part.dtype, "shape": part.shape, "sha256": part.sha256}
    if part.summary:
        table["summary"] = dict(part.summary)
    if part.step > 1:
        table["step"] = part.step
    if part.data is not None:
        table["data"] = base64.b64encode(part.data).decode()
    return table


def _kept(part: Part) -> Part:
    """The part as it goes into the file: data that is large becomes every step-th element of it."""
    if part.data is None or len(part.data) <= _LARGE or part.step > 1:
        return part
    if part.dtype == "text":
        return replace(part, data=None)
    step = -(-math.prod(part.shape) // _SAMPLE)
    try:
        return replace(part, data=bz2.compress(array_of(part)[::step].tobytes()), step=step)
    except ValueError:  # a foreign handler whose data do not match its description
        return replace(part, data=None)
