"""Writing a .mar: one pass over each file; nothing in it depends on time or place.

Members are stored, not deflated. Weights hardly compress (500 MB cost seconds and save a few per cent), and the output
of deflate differs between releases of zlib, so that the archive would not be the same everywhere.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from goldmar.archive.loading import check_loading
from goldmar.archive.recipe import Recipe, read_recipe
from goldmar.archive.rules import check_config, check_handler, check_model, check_module
from goldmar.errors import ArchiveError
from goldmar.files import atomic_path
from goldmar.layout import CONFIG, HANDLER, REQUIREMENTS
from goldmar.mar import MANIFEST
from goldmar.zips import CHUNK, content_digest

# The manifest is that of torch-model-archiver 0.12.0 but for the date, which cannot be the clock's.
_ARCHIVER_VERSION = "0.12.0"
_CREATED_ON = "01/01/1980 00:00:00"
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can hold
_MODE = 0o100644  # a plain file, readable by all, whatever the umask
_UNIX = 3


@dataclass(frozen=True, slots=True)
class Built:
    """A complete archive. `members` are the names in it, sorted; `digest` covers their bytes."""

    path: Path
    model: str
    version: str
    digest: str
    members: tuple[str, ...]


def build(handler_dir: Path, out_dir: Path) -> Built:
    """Build `out_dir/<model>.mar` from a handler directory, replacing an older one when the new one is complete.

    The same files give the same bytes, whatever the clock, umask, directory, order of files or time zone. Concurrent
    builds of one model are safe: the last to finish stays.

    Raises:
        ArchiveError: the handler directory breaks a rule; the message names file, line and fix.
        MissingExtraError: PyYAML is not installed.
        StorageError: the archive could not be written; the old one is unchanged.
    """
    recipe = read_recipe(handler_dir)
    _check(recipe)
    target = out_dir / f"{recipe.model}.mar"
    with atomic_path(target) as temporary:
        hashes = _write(temporary, recipe.files, _manifest(recipe))
    return Built(
        path=target,
        model=recipe.model,
        version=recipe.version,
        digest=content_digest(hashes.items()),
        members=tuple(sorted(hashes)),
    )


def source_digest(handler_dir: Path) -> str:
    """The digest that `build` would give now, without building or checking. Raises ArchiveError."""
    recipe = read_recipe(handler_dir)
    hashes = [(MANIFEST, hashlib.sha256(_manifest(recipe)).hexdigest())]
    for name, path in recipe.files.items():
        with _opened(path) as stream:
            hashes.append((name, hashlib.file_digest(stream, "sha256").hexdigest()))
    return content_digest(hashes)


def _check(recipe: Recipe) -> None:
    modules = {}
    for name, path in sorted(recipe.files.items()):
        if name == HANDLER:
            modules[name] = check_handler(path)
        elif name == recipe.model_file:
            modules[name] = check_model(path)
        elif name.endswith(".py"):
            modules[name] = check_module(path)
    check_loading(recipe, modules)
    check_config(recipe.folder / CONFIG)


def _manifest(recipe: Recipe) -> bytes:
    model = {"modelName": recipe.model}
    if recipe.serialized_file is not None:
        model["serializedFile"] = recipe.serialized_file
    model["handler"] = HANDLER
    if recipe.model_file is not None:
        model["modelFile"] = recipe.model_file
    model["modelVersion"] = recipe.version
    if REQUIREMENTS in recipe.files:
        model["requirementsFile"] = REQUIREMENTS
    model["configFile"] = CONFIG
    manifest = {"createdOn": _CREATED_ON, "runtime": "python", "model": model, "archiverVersion": _ARCHIVER_VERSION}
    return json.dumps(manifest, indent=2).encode()


def _write(path: Path, files: Mapping[str, Path], manifest: bytes) -> dict[str, str]:
    """Write the zip. Returns name -> hexadecimal SHA-256 of its content, computed while it is copied."""
    hashes = {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted([*files, MANIFEST]):
            if name == MANIFEST:
                archive.writestr(_entry(name, len(manifest)), manifest)
                hashes[name] = hashlib.sha256(manifest).hexdigest()
            else:
                hashes[name] = _copy(files[name], name, archive)
    return hashes


def _copy(source: Path, name: str, archive: zipfile.ZipFile) -> str:
    hasher = hashlib.sha256()
    buffer = memoryview(bytearray(CHUNK))
    with _opened(source) as stream:
        size = source.stat().st_size
        copied = 0
        # The size decides the format of the entry, and is needed before the first byte.
        with archive.open(_entry(name, size), "w") as sink:
            while count := stream.readinto(buffer):
                chunk = buffer[:count]
                hasher.update(chunk)
                sink.write(chunk)
                copied += count
                if copied > size:
                    break
    if copied != size:
        raise ArchiveError(f"{source} changed while it was being copied.", fix="Build again when nothing writes to it")
    return hasher.hexdigest()


def _opened(path: Path) -> FileIO:
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror}.", fix=f"ls -l '{path}'") from error


def _entry(name: str, size: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _ZIP_TIME)
    entry.create_system = _UNIX
    entry.external_attr = _MODE << 16
    entry.compress_type = zipfile.ZIP_STORED
    entry.file_size = size
    return entry
