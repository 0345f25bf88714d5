"""The .mar format: a zip of a model's files with `MAR-INF/MANIFEST.json`, as TorchServe 0.12 reads it.

Everything here reads, whoever built the archive: `goldmar archive` or torch-model-archiver, stored or deflated.
Format: the sources of torch-model-archiver 0.12.0 (`manifest_components`) and of TorchServe's `ModelArchive.validate`.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from goldmar.errors import ArchiveError, StorageError
from goldmar.zips import Ambiguous, Broken, Member, chunks, content_digest, members, sha256_of

MANIFEST = "MAR-INF/MANIFEST.json"
_MANIFEST_LIMIT = 2**20
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


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive that was read: its digest, and the modules and requirements in it by name, which its handler may use.

    A server names its model as the file without the suffix, whatever the manifest says.
    """

    path: Path
    digest: str
    sources: Mapping[str, bytes]

    @property
    def model(self) -> str:
        return self.path.stem


def read(mar: Path) -> Manifest:
    """The manifest of an archive, checked: well-formed, every file it names is there, every name stays inside.

    Raises ArchiveError.
    """
    with _opened(mar) as (file, found):
        return _manifest(mar, file, found)


def digest(mar: Path) -> str:
    """`sha256:...` over the members of an archive, read and checked against their CRC. Raises ArchiveError."""
    with _opened(mar) as (file, found):
        return content_digest((member.name, sha256_of(file, member)) for member in found)


def examine(mar: Path) -> Archive:
    """An archive, opened and hashed once. Raises ArchiveError."""
    with _opened(mar) as (file, found):
        wanted = {_manifest(mar, file, found).requirements_file}
        return Archive(
            mar,
            content_digest((member.name, sha256_of(file, member)) for member in found),
            {
                each.name: b"".join(chunks(file, each))
                for each in found
                if each.name.endswith(".py") or each.name in wanted
            },
        )


def unpack(mar: Path, folder: Path) -> Manifest:
    """Write the members of an archive below `folder`, which must exist, and return its manifest.

    Raises ArchiveError, and StorageError where the folder cannot take them.
    """
    with _opened(mar) as (file, found):
        manifest = _manifest(mar, file, found)
        for member in found:
            target = folder / member.name
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as sink:
                    for chunk in chunks(file, member):
                        sink.write(chunk)
            except OSError as error:
                raise StorageError(
                    f"{mar.name} could not be unpacked to {folder}: {error.strerror or error}.",
                    fix="Free some space there, or name another folder in TMPDIR",
                ) from error
    return manifest


@contextmanager
def _opened(mar: Path) -> Iterator[tuple[BinaryIO, list[Member]]]:
    """The file and the members of the zip, checked by goldmar.zips to be those that TorchServe would find."""
    try:
        with mar.open("rb") as file:
            yield file, members(file)
    except FileNotFoundError as error:
        raise ArchiveError(f"There is no archive {mar}.", fix=f"goldmar archive {mar.stem}") from error
    except Broken as error:
        raise ArchiveError(
            f"{mar} is no sound zip: {error}.", fix=f"Build it again: goldmar archive {mar.stem}"
        ) from error
    except Ambiguous as error:
        raise ArchiveError(
            f"{mar}: {error}.", fix="Do not serve it: others may find something else in it. Ask where it comes from"
        ) from error
    except OSError as error:
        raise ArchiveError(f"{mar} cannot be read: {error.strerror or error}.", fix=f"ls -l '{mar}'") from error


def _manifest(mar: Path, file: BinaryIO, found: list[Member]) -> Manifest:
    names = tuple(member.name for member in found)
    if MANIFEST not in names:
        raise ArchiveError(
            f"{mar} has no {MANIFEST}: it is a zip, but not a model archive.",
            fix="Build it with `goldmar archive` or torch-model-archiver",
        )
    member = found[names.index(MANIFEST)]
    if member.size > _MANIFEST_LIMIT:
        raise _broken(mar, f"has {member.size} bytes")
    content = b"".join(chunks(file, member))
    try:
        table = json.loads(content)
    except ValueError as error:
        raise _broken(mar, f"is not JSON ({error})") from error
    if not isinstance(table, dict) or not isinstance(table.get("model"), dict):
        raise _broken(mar, "has no table `model`")
    model: Mapping[str, Any] = table["model"]
    wanted = {"runtime": table, "modelName": model, "modelVersion": model, "handler": model}
    for key, part in wanted.items():
        if not isinstance(part.get(key), str) or not part[key]:
            raise _broken(mar, f"has no `{key}`, which TorchServe needs")
    optional = {key: model.get(key) for key in ("serializedFile", "modelFile", "configFile", "requirementsFile")}
    for key, value in optional.items():
        if value is not None and (not isinstance(value, str) or not value):
            raise _broken(mar, f"says {value!r} for `{key}` instead of a file name")
    if table["runtime"] not in RUNTIMES:
        raise _broken(mar, f"has the runtime {table['runtime']!r}; known are {', '.join(RUNTIMES)}")
    manifest = Manifest(
        model=model["modelName"],
        version=model["modelVersion"],
        handler=model["handler"],
        runtime=table["runtime"],
        serialized_file=optional["serializedFile"],
        model_file=optional["modelFile"],
        config_file=optional["configFile"],
        requirements_file=optional["requirementsFile"],
        members=names,
    )
    for key, value in {**optional, "handler": manifest.handler_file}.items():
        if value is not None and value not in names:
            raise _broken(mar, f"names {value!r} as its {key}, but the archive holds no such file")
    return manifest


def _broken(mar: Path, wrong: str) -> ArchiveError:
    return ArchiveError(f"The manifest of {mar} {wrong}.", fix=f"Build it again: goldmar archive {mar.stem}")
