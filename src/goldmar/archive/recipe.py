"""Which files go into an archive: the fixed names, every module beside them, and what archive.toml lists.

Two of them are the model, with the names of TorchServe's manifest: the serialized file (weights.pt by default) and the
model file, one nn.Module (model.py). Both are optional.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldmar.config import only_known, read_toml
from goldmar.errors import ArchiveError, ConfigError
from goldmar.layout import COMMON, CONFIG, HANDLER, MODEL, RECIPE, REQUIREMENTS, WEIGHTS, model_of

_NEEDED = (HANDLER, CONFIG)
SERIALIZED_FILE, MODEL_FILE = "serialized_file", "model_file"

_SAMPLE = "mkdir ../sample && cd ../sample && goldmar init sample"

# A version becomes a part of a URL: no slash, space, plus or percent sign.
_VERSION = re.compile(r"[0-9]+(\.[0-9]+)*([.\-]?[0-9A-Za-z]+)*")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to archive. `files` maps the name in the archive to the file it is copied from; both are checked.

    `serialized_file` and `model_file` are names in the archive, as in TorchServe's manifest, or None.
    `without_weights`: archive.toml declares that there is no serialized file.
    """

    folder: Path
    model: str
    version: str
    files: Mapping[str, Path]
    serialized_file: str | None
    model_file: str | None
    without_weights: bool = False


def read_recipe(folder: Path) -> Recipe:
    """Read `archive.toml` of a handler directory and collect its files.

    Raises ArchiveError for a missing file, a key it does not know, names that collide, links that lead outside.
    """
    if not folder.is_dir():
        raise ArchiveError(f"There is no handler directory {folder}.", fix=f"goldmar init {folder.name}")
    table = _table(folder)
    try:
        # The folder's name in handlers/, not that of a link's target.
        model = model_of(table, folder.absolute().name)
    except ConfigError as error:
        raise ArchiveError(f"{folder / RECIPE}: {error.what}", fix=error.fix) from error
    serialized = _model_part(folder, table, SERIALIZED_FILE, WEIGHTS)
    network = _model_part(folder, table, MODEL_FILE, MODEL)
    return Recipe(
        folder=folder,
        model=model,
        version=_version(folder, table),
        files=_collect(folder, table, [path for path in (serialized, network) if path is not None]),
        serialized_file=serialized.name if serialized else None,
        model_file=network.name if network else None,
        without_weights=table.get(SERIALIZED_FILE) == "",
    )


def _table(folder: Path) -> dict[str, Any]:
    path = folder / RECIPE
    if not _is_there(path):
        raise ArchiveError(f"{folder} has no {RECIPE}.", fix=f"echo 'version = \"1.0\"' > '{path}'")
    try:
        table = read_toml(path)
        only_known(path, "", table, ("version", "model", SERIALIZED_FILE, MODEL_FILE, "common", "extra"))
    except ConfigError as error:
        raise ArchiveError(error.what, fix=error.fix) from error
    return table


def _version(folder: Path, table: Mapping[str, Any]) -> str:
    version = table.get("version")
    if version is None:
        raise ArchiveError(f"{folder / RECIPE} has no version.", fix='Add the line version = "1.0"')
    if not isinstance(version, str):
        raise ArchiveError(
            f"{folder / RECIPE}: version must be a string.", fix=f'Put it in quotes: version = "{version}"'
        )
    if not _VERSION.fullmatch(version):
        raise ArchiveError(
            f"{folder / RECIPE}: {version!r} is no version: it becomes a part of the URL.",
            fix='Use numbers with dots, as in version = "1.0"; a suffix of letters and digits may follow',
        )
    return version


def _model_part(folder: Path, table: Mapping[str, Any], key: str, usual: str) -> Path | None:
    """The file that `key` names; without the key the usual one, if it is there; None where it is ""."""
    value = table.get(key, usual if _is_there(folder / usual) else "")
    if not isinstance(value, str):
        raise ArchiveError(
            f"{folder / RECIPE}: {key} must be the name of a file.",
            fix=f'As in {key} = "{usual}", or {key} = "" for none',
        )
    if not value:
        return None
    path = folder / value
    if not path.is_file():
        raise ArchiveError(
            f"{folder / RECIPE} says {key} = {value!r}, but there is no file {path}.",
            fix=f'Add the file, or correct the line; {key} = "" says that there is none',
        )
    if key == MODEL_FILE and path.suffix != ".py":
        raise ArchiveError(
            f"{folder / RECIPE} says {key} = {value!r}, and a model file is a Python module.",
            fix=f'The weights go into {SERIALIZED_FILE} = "{value}"',
        )
    return path


def _is_there(path: Path) -> bool:
    """True also for a broken link: it must be reported, not left out."""
    return path.is_symlink() or path.exists()


def _names(folder: Path, table: Mapping[str, Any], key: str) -> list[str]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise ArchiveError(
            f"{folder / RECIPE}: {key} must be a list of file names.", fix=f'As in {key} = ["drawing.py"]'
        )
    return value


def _collect(folder: Path, table: Mapping[str, Any], parts: Sequence[Path]) -> dict[str, Path]:
    for name in _NEEDED:
        if not (folder / name).is_file():
            raise ArchiveError(f"{folder} has no {name}.", fix=f"See a sample that has it: {_SAMPLE}")
    common = folder.resolve().parent / COMMON
    wanted = [folder / name for name in (*_NEEDED, REQUIREMENTS) if _is_there(folder / name)]
    wanted += [path for path in parts if path not in wanted]
    wanted += [path for path in folder.glob("*.py") if path not in wanted]
    wanted += [folder / name for name in _names(folder, table, "extra")]
    shared = [common / name for name in _names(folder, table, "common")]

    files: dict[str, Path] = {}
    for path, home in [*((path, folder) for path in wanted), *((path, common) for path in shared)]:
        if not path.is_file():
            raise ArchiveError(
                f"{folder / RECIPE} lists {path.name}, but there is no file {path}"
                + (", which is a folder: an archive has none." if path.is_dir() else "."),
                fix=f"Add the file, or take it out of {RECIPE}",
            )
        # A link inside the two folders is allowed; outside of them the archive would depend on unrelated files.
        if not any(path.resolve().is_relative_to(place.resolve()) for place in {home, folder, common}):
            raise ArchiveError(
                f"{path} leads to {path.resolve()}, outside {folder} and {common}.",
                fix="Copy the file to where the link is",
            )
        if path.name in files:
            raise ArchiveError(
                f"{files[path.name]} and {path} would both become {path.name} in the archive, which has no folders.",
                fix="Rename one of them"
                if files[path.name].resolve() != path.resolve()
                else f"It goes in by itself: take it out of {RECIPE}",
            )
        files[path.name] = path
    return files
