"""A new model to start from: a handler that works as it is, two sample drawings and their tolerances.

The folders of scaffold/ are copied one after the other; a later file replaces an earlier one of the same name. `common`
is made when the package is built: the files of handlers/common that scaffold/COMMON lists.
"""

import errno
import secrets
import shutil
from enum import StrEnum
from pathlib import Path

from goldmar.config import load_project
from goldmar.errors import StorageError, UsageError
from goldmar.files import note_written, refuse_links
from goldmar.layout import check_name, survey
from goldmar.process import held_up

_PACKAGE = Path(__file__).parent
_TEMPLATES = _PACKAGE / "scaffold"
_RENAMED = {"gitignore": ".gitignore"}  # packaging tools and git would obey the template itself


class ModelKind(StrEnum):
    """The input of a new model: drawings and images go through a network, the others need no torch."""

    drawing = "drawing"
    image = "image"
    tabular = "tabular"
    text = "text"
    json = "json"


_HANDLERS = {
    ModelKind.drawing: ("common", "handler"),
    ModelKind.image: ("common", "handler", "image/handler"),
    ModelKind.tabular: ("items", "tabular/handler"),
    ModelKind.text: ("items", "text/handler"),
    ModelKind.json: ("items", "json/handler"),
}


def scaffold(project_root: Path, model: str, kind: ModelKind = ModelKind.drawing) -> list[Path]:
    """Write handlers/MODEL and golden/MODEL, which pass archive, record, approve and check without changes.

    Both folders appear complete or not at all, and no existing file is changed. Returns the files written, sorted.

    Raises:
        UsageError: the name cannot be used, one of the folders exists, or the package is incomplete.
        StorageError: the folders cannot be written.
    """
    check_name(model)
    project = load_project(project_root, create=True)
    for other in survey(project).models.values():
        # Every other command refuses two models of one name, or of names that differ only in upper and lower case.
        made = [folder for folder in other.handlers if folder != project.handlers / model]
        if other.name.lower() == model.lower() and (made or other.name != model):
            raise _exists(next(filter(None, (*made, other.golden, other.archive)), project.root))
    # Each folder to write, and the folders of scaffold/ that it is copied from.
    targets = {project.golden / model: ("golden", f"{kind}/golden"), project.handlers / model: _HANDLERS[kind]}
    if len(begun := [target for target in targets if _is_whole(target, targets[target])]) < len(targets):
        for target in begun:  # complete from an earlier call that was killed between the two
            del targets[target]
    for target in targets:
        refuse_links(target.parent)
        if target.is_symlink() or (target.exists() and not (target.is_dir() and not any(target.iterdir()))):
            raise _exists(target)
    staged: dict[Path, Path] = {}
    written: list[Path] = []
    try:
        for target, folders in targets.items():
            staged[target] = target.with_name(f".{model}.{secrets.token_hex(8)}.tmp")
            for folder in folders:
                _copy(folder, staged[target])
        with held_up():  # one without the other would be half a model
            for target, stage in staged.items():
                stage.rename(target)  # fails where another process has filled the folder
                written.append(target)
                note_written(target)
    except OSError as error:
        for target in written:
            shutil.rmtree(target)
        if error.errno in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
            raise _exists(next(target for target in targets if target not in written)) from error
        raise StorageError(
            f"The scaffold of {model} could not be written below {project.root}: {error.strerror or error}.",
            fix=f"ls -ld '{project.root}'; df -h '{project.root}'",
            model=model,
        ) from error
    finally:
        for stage in staged.values():
            shutil.rmtree(stage, ignore_errors=True)  # gone where it was renamed
    return sorted(path for target in (*begun, *targets) for path in target.rglob("*") if path.is_file())


def _copy(folder: str, stage: Path) -> None:
    for name, source in _files(folder).items():
        target = stage / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())


def _files(folder: str) -> dict[Path, Path]:
    """The files of a folder of scaffold/, by the path that they are written to."""
    template = _TEMPLATES / folder
    if folder == "common" and not template.is_dir():
        template = _PACKAGE.parents[1] / "handlers" / folder  # in a checkout
        names = (_TEMPLATES / "COMMON").read_text(encoding="utf-8").split()
        if not all((template / name).is_file() for name in names):
            msg = f"{_PACKAGE} was installed without {_TEMPLATES / folder}."
            raise UsageError(msg, fix="pip install --force-reinstall goldmar")
        return {Path(name): template / name for name in names}
    sources = [path for path in sorted(template.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    inside = {source.relative_to(template): source for source in sources}
    return {name.with_name(_RENAMED.get(name.name, name.name)): source for name, source in inside.items()}


def _is_whole(target: Path, folders: tuple[str, ...]) -> bool:
    """Whether a folder contains exactly what would be written there."""
    wanted = {name: source for folder in folders for name, source in _files(folder).items()}
    if target.is_symlink() or not target.is_dir():
        return False
    there = {path.relative_to(target): path for path in target.rglob("*") if path.is_symlink() or not path.is_dir()}
    return there.keys() == wanted.keys() and all(
        path.is_file() and path.read_bytes() == wanted[name].read_bytes() for name, path in there.items()
    )


def _exists(target: Path) -> UsageError:
    return UsageError(
        f"{target} already exists; nothing was written.", fix="Choose another name, or move that folder away first"
    )
