"""The .mar format: a zip of a model's files with `MAR-INF/MANIFEST.json`, as TorchServe 0.12 reads it.

Everything here reads, whoever built the archive: `goldmar archive` or torch-model-archiver, stored or deflated.
Format: the sources of torch-model-archiver 0.12.0 (`manifest_components`) and of TorchServe's `ModelArchive.validate`.
"""

import hashlib
import json
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from goldmar.errors import ArchiveError, StorageError

__all__ = ["BUILT_IN_HANDLERS", "CHUNK", "MANIFEST", "Manifest", "content_digest", "digest", "read", "unpack"]

MANIFEST = "MAR-INF/MANIFEST.json"
CHUNK = 1024 * 1024
"""Bytes copied at a time: large enough that the calls cost nothing, small enough to stay in the cache."""

RUNTIMES = ("python", "python3")

# Handlers that TorchServe brings along (model_archiver.model_packaging_utils); any other has its file in the archive.
BUILT_IN_HANDLERS = frozenset(
    {
        "base_handler",
        "text_classifier",
        "image_classifier",
        "object_detector",
        "image_segmenter",
        "dali_image_classifier",
        "vllm_handler",
        "trt_llm_handler",
    }
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `MAR-INF/MANIFEST.json` says; a key that is not there is None. `members`: names in the zip, sorted."""

    model: str
    version: str
    handler: str
    runtime: str
    serialized_file: str | None
    model_file: str | None
    config_file: str | None
    requirements_file: str | None
    members: tuple[str, ...]

    @property
    def handler_file(self) -> str | None:
        """The member that holds the handler, or None where TorchServe brings it: `x.py:function`, `x` -> `x.py`."""
        name = self.handler.split(":", 1)[0].split("/")[-1]
        if name in BUILT_IN_HANDLERS:
            return None
        return name if name.endswith(".py") else f"{name}.py"


def read(mar: Path) -> Manifest:
    """The manifest of an archive, checked: well-formed, every file it names is there, every name stays inside.

    Raises ArchiveError.
    """
    with _opened(mar) as archive:
        return _manifest(mar, archive, [info.filename for info in _members(mar, archive)])


def digest(mar: Path) -> str:
    """`sha256:...` over the members of an archive, read and checked against their CRC. Raises ArchiveError."""
    with _opened(mar) as archive:
        return content_digest((info.filename, _sha256(archive, info)) for info in _members(mar, archive))


def content_digest(members: Iterable[tuple[str, str]]) -> str:
    """`sha256:...` over pairs of member name and hexadecimal SHA-256 of its bytes, one line each, sorted by name.

    The lines are those of `sha256sum`, so the digest of an unpacked archive can be had without goldmar:
    `find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum`. Order in the zip, times,
    permissions and compression do not enter.
    """
    lines = (f"{sha256}  {name}\n".encode() for name, sha256 in sorted(members, key=lambda pair: pair[0].encode()))
    return f"sha256:{hashlib.sha256(b''.join(lines)).hexdigest()}"


def unpack(mar: Path, folder: Path) -> Manifest:
    """Write the members of an archive below `folder`, which must exist, and return its manifest.

    Raises ArchiveError, and StorageError where the folder cannot take them.
    """
    with _opened(mar) as archive:
        members = _members(mar, archive)
        manifest = _manifest(mar, archive, [info.filename for info in members])
        for info in members:
            target = folder / info.filename
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink, CHUNK)
            except OSError as error:
                raise StorageError(
                    f"{mar.name} could not be unpacked to {folder}: {error.strerror or error}.",
                    fix="Free some space there, or name another folder in TMPDIR",
                ) from error
    return manifest


@contextmanager
def _opened(mar: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(mar) as archive:
            yield archive
    except FileNotFoundError as error:
        raise ArchiveError(f"There is no archive {mar}.", fix=f"goldmar archive {mar.stem}") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error) as error:
        raise ArchiveError(
            f"{mar} is no sound zip: {error}.", fix=f"Build it again: goldmar archive {mar.stem}"
        ) from error
    except OSError as error:
        raise ArchiveError(f"{mar} cannot be read: {error.strerror or error}.", fix=f"ls -l '{mar}'") from error


def _members(mar: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of the zip, after refusing whatever would land outside the folder it is unpacked to."""
    members = [info for info in archive.infolist() if not info.is_dir()]
    seen: set[str] = set()
    for info in members:
        # zipfile cuts a name at its first NUL; other readers do not, so the two would see different files.
        name, path = info.filename, PurePosixPath(info.filename)
        wrong = None
        if (
            not path.parts
            or path.is_absolute()
            or ".." in path.parts
            or "\\" in name
            or ":" in path.parts[0]
            or name != info.orig_filename
        ):
            wrong = "would be written outside the model's folder"
        elif stat.S_ISLNK(info.external_attr >> 16):
            wrong = "is a symbolic link"
        elif info.flag_bits & 1:
            wrong = "is encrypted"
        elif str(path) in seen:
            wrong = "is there twice"
        if wrong:
            raise ArchiveError(f"{mar}: the member {name!r} {wrong}.", fix="Do not serve it; ask where it comes from")
        seen.add(str(path))
    return sorted(members, key=lambda info: info.filename)


def _sha256(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    hasher = hashlib.sha256()
    with archive.open(info) as source:
        while chunk := source.read(CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()


def _manifest(mar: Path, archive: zipfile.ZipFile, members: list[str]) -> Manifest:
    if MANIFEST not in members:
        raise ArchiveError(
            f"{mar} has no {MANIFEST}: it is a zip, but not a model archive.",
            fix="Build it with `goldmar archive` or torch-model-archiver",
        )
    try:
        said = json.loads(archive.read(MANIFEST))
    except ValueError as error:
        raise _broken(mar, f"is not JSON ({error})") from error
    if not isinstance(said, dict) or not isinstance(said.get("model"), dict):
        raise _broken(mar, "has no table `model`")
    model: Mapping[str, Any] = said["model"]
    wanted = {"runtime": said, "modelName": model, "modelVersion": model, "handler": model}
    for key, table in wanted.items():
        if not isinstance(table.get(key), str) or not table[key]:
            raise _broken(mar, f"has no `{key}`, which TorchServe needs")
    optional = {key: model.get(key) for key in ("serializedFile", "modelFile", "configFile", "requirementsFile")}
    for key, value in optional.items():
        if value is not None and (not isinstance(value, str) or not value):
            raise _broken(mar, f"says {value!r} for `{key}` instead of a file name")
    if said["runtime"] not in RUNTIMES:
        raise _broken(mar, f"asks for the runtime {said['runtime']!r}; known are {', '.join(RUNTIMES)}")
    manifest = Manifest(
        model=model["modelName"],
        version=model["modelVersion"],
        handler=model["handler"],
        runtime=said["runtime"],
        serialized_file=optional["serializedFile"],
        model_file=optional["modelFile"],
        config_file=optional["configFile"],
        requirements_file=optional["requirementsFile"],
        members=tuple(members),
    )
    for key, value in {**optional, "handler": manifest.handler_file}.items():
        if value is not None and value not in members:
            raise _broken(mar, f"names {value!r} as its {key}, but the archive holds no such file")
    return manifest


def _broken(mar: Path, wrong: str) -> ArchiveError:
    return ArchiveError(f"The manifest of {mar} {wrong}.", fix=f"Build it again: goldmar archive {mar.stem}")
