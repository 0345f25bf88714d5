"""A new model to start from: a handler that works as it is, two sample drawings and their tolerances."""

import errno
import secrets
import shutil
from pathlib import Path

from goldmar.config import Project, load_project
from goldmar.errors import StorageError, UsageError
from goldmar.layout import check_name

__all__ = ["scaffold", "scaffold_compose"]

_PACKAGE = Path(__file__).parent
_TEMPLATES = _PACKAGE / "scaffold"
_RENAMED = {"gitignore": ".gitignore"}  # packaging tools and git would take the template itself at its word


def scaffold(project_root: Path, model: str) -> list[Path]:
    """Write handlers/MODEL and golden/MODEL, which pass archive, record, approve and check as they are.

    Both folders appear whole or not at all, and nothing that exists is touched. Returns the files written, sorted.

    Raises:
        UsageError: the name cannot be used, or one of the folders is already there.
        StorageError: the folders cannot be written.
    """
    check_name(model)
    project = load_project(project_root, create=True)
    targets = _targets(project, model)
    for target in targets.values():
        if target.is_symlink() or (target.exists() and not (target.is_dir() and not any(target.iterdir()))):
            raise _exists(target)
    staged: dict[Path, Path] = {}
    written: list[Path] = []
    try:
        for template, target in targets.items():
            staged[target] = target.with_name(f".{model}.{secrets.token_hex(8)}.tmp")
            _copy(_TEMPLATES / template, staged[target])
        for target, stage in staged.items():
            stage.rename(target)  # refused by the system where the folder has been filled in the meantime
            written.append(target)
    except OSError as error:
        for target in written:
            shutil.rmtree(target)
        if error.errno in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
            raise _exists(next(target for target in targets.values() if target not in written)) from error
        raise StorageError(
            f"The scaffold of {model} could not be written below {project.root}: {error.strerror or error}.",
            fix=f"ls -ld '{project.root}'; df -h '{project.root}'",
            model=model,
        ) from error
    finally:
        for stage in staged.values():
            shutil.rmtree(stage, ignore_errors=True)  # gone where it was renamed
    return sorted(path for target in targets.values() for path in target.rglob("*") if path.is_file())


def scaffold_compose(project_root: Path) -> list[Path]:
    """Write compose/, the scripts and lock files that it needs, and goldmar itself for the batch image to install.

    Nothing that exists is touched. Returns the files written, sorted, without those of the package's copy.

    Raises:
        UsageError: one of the files is already there; nothing was written.
        StorageError: they cannot be written.
    """
    root = load_project(project_root, create=True).root
    source, names = _compose_files()
    copy = root / "compose" / "goldmar"
    if there := [path for path in (*(root / name for name in names), copy) if path.exists()]:
        msg = f"{there[0]} is already there; nothing was written."
        raise UsageError(msg, fix="move it away first: mv compose compose.old, say; then compare the two")
    try:
        for name in names:
            target = root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target)
            shutil.copymode(source / name, target)
        # The repository of goldmar installs its own src/goldmar into the batch image; here there is a copy beside it.
        for name in ("compose/docker-compose.yml", ".dockerignore"):
            text = (root / name).read_text(encoding="utf-8")
            (root / name).write_text(text.replace("src/goldmar", "compose/goldmar"), encoding="utf-8")
        shutil.copytree(_PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    except OSError as error:
        raise StorageError(
            f"The compose files could not be written below {root}: {error.strerror or error}.",
            fix=f"ls -ld '{root}'; df -h '{root}'",
        ) from error
    return sorted(root / name for name in names)


def _compose_files() -> tuple[Path, list[str]]:
    """Where the compose files lie, and their names: in the installed package, or in the checkout it comes from."""
    for source in (_TEMPLATES / "compose", _PACKAGE.parents[1]):
        listing = source / "compose" / "FILES"
        if listing.is_file():
            return source, listing.read_text(encoding="utf-8").split()
    msg = f"{_PACKAGE} was installed without the compose files."
    raise UsageError(msg, fix="pip install --force-reinstall goldmar")


def _targets(project: Project, model: str) -> dict[str, Path]:
    return {"golden": project.golden / model, "handler": project.handlers / model}


def _copy(template: Path, stage: Path) -> None:
    for source in sorted(template.rglob("*")):
        if source.is_dir() or "__pycache__" in source.parts:
            continue
        target = stage / source.relative_to(template)
        target = target.with_name(_RENAMED.get(target.name, target.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())


def _exists(target: Path) -> UsageError:
    return UsageError(
        f"{target} is already there; nothing was written.", fix="Choose another name, or move that folder away first"
    )
