"""Build archives, verify one, and find those that a job needs."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from packaging.requirements import Requirement

from goldmar import archive
from goldmar.backends.worker import WorkerServer
from goldmar.config import Project
from goldmar.errors import ArchiveError, ConfigError
from goldmar.layout import check_name, survey
from goldmar.mar import Archive, examine
from goldmar.packages import TORCHSERVE_NEEDS, Installed, imported, reachable, unmet
from goldmar.pipeline.goldens import drawings_of
from goldmar.pipeline.progress import Progress
from goldmar.predict import predict
from goldmar.records import COMMAND_LINE, Edge
from goldmar.requirements import Asked, asked_for

_SHOWN = 5


def build_archives(project: Project, folders: Sequence[Path], progress: Progress) -> list[archive.Built]:
    """Build an archive from each handler folder, each on its own: one refusal leaves the others built.

    Their digests go into model_store/archives.yml, where a build of the compose image finds them.
    Raises the first ArchiveError, once all were tried; the others are notes.
    """
    built, refusals = [], []
    for folder in folders:
        progress.step(f"building {folder.name}")
        try:
            built.append(archive.build(folder, project.model_store))
        except ArchiveError as error:
            refusals.append(error)
    if built or not folders:  # archives of others are served as well
        archive.write_labels(project.model_store, {each.path.stem: each.digest for each in built})
    for problem in survey(project).problems:
        if problem.path.is_relative_to(project.model_store):
            progress.note(f"{problem.what}\nfix: {problem.fix}")
    for later in refusals[1:]:
        progress.note(later.what)
    if refusals:
        raise refusals[0]
    return built


def verify_archive(project: Project, mar: Path, progress: Progress) -> archive.Built:
    """Manifest and digest, then the handler loaded by TorchServe's own worker, which must answer one canary drawing.

    The canary is the first drawing of golden/<model>; an archive without goldens is only loaded, with a note.

    Raises:
        ArchiveError: the archive is malformed, or its handler rejects the canary drawing.
        WorkerDiedError: the handler does not load; its traceback is in `detail`.
    """
    found = archive.verify(mar)
    model = mar.stem  # what a server names it, whatever its manifest says
    progress.step(f"loading {mar.name} in TorchServe's worker")
    folder = project.golden / model / "drawings"
    drawings = drawings_of(project, model) if folder.is_dir() else []
    with WorkerServer([mar], on_progress=progress.step, startup_timeout_s=project.startup_timeout_s) as server:
        if not drawings:
            progress.note(f"{model} loads; golden/{model}/drawings has no drawing to ask it about")
            return found
        (canary,) = predict(model, drawings[:1], server)
        if canary.problem is not None:
            msg = f"{mar}: the model fails on {canary.drawing_id}: {canary.problem}"
            raise ArchiveError(
                msg, fix="correct the handler, then goldmar archive", model=model, detail=server.diagnostics()
            )
    return found


def packages_of_model(
    project: Project, model: str, installed: Installed, archived: Archive | None = None
) -> dict[str, str]:
    """The packages that the handler of a model can reach, name -> version, torch's and TorchServe's own included.

    From its requirements.txt and from what its modules import; all that is installed where the two cannot tell, or
    where there is no archive. `archived` is the archive that is served, where it was read already.

    Raises ConfigError where the model is served with other packages than its requirements.txt asks for. Else a change
    of that file alone would be compared with the packages of before, and be green. Nothing is refused where the server
    does not tell what is installed.
    """
    mar = project.model_store / f"{model}.mar"
    if not installed.versions or (archived is None and not mar.exists()):
        return dict(installed.versions)
    inside = (archived or examine(mar)).sources
    _refuse_unmet(project, model, installed, inside)
    modules = {name: content for name, content in inside.items() if name.endswith(".py")}
    needs = _needs(inside, tuple)
    if needs is not None and not needs.named:
        return dict(installed.versions)
    others = imported(modules.values()) - {name.removesuffix(".py") for name in modules}
    return reachable(
        installed, [*map(Requirement, TORCHSERVE_NEEDS.values()), *(needs.wanted if needs else ())], others
    )


def _refuse_unmet(project: Project, model: str, installed: Installed, inside: Mapping[str, bytes]) -> None:
    needs = _needs(inside, lambda: survey(project).model(model).handlers)
    if needs is None:
        return
    if missing := unmet(installed, needs.wanted, needs.limits):
        some = "; ".join(missing[:_SHOWN]) + (f"; and {len(missing) - _SHOWN} more" if missing[_SHOWN:] else "")
        msg = f"{model} is not served with what its requirements.txt asks for: {some}."
        fix = "install that where the model is served; where a lock file says what is, resolve it anew: docs/ci.md"
        raise ConfigError(msg, fix=fix, model=model)


def _needs(inside: Mapping[str, bytes], folders: Callable[[], Sequence[Path]]) -> Asked | None:
    """What the requirements file of an archive asks for; None where it has none.

    `folders` tells where to find what it includes and the archive lacks; it is called for nothing else.
    """

    def read(name: str) -> bytes | None:
        for folder in () if name in inside else folders():
            with suppress(OSError):
                return (folder / name).read_bytes()
        return inside.get(name)

    top = next((name for name in inside if not name.endswith(".py")), None)
    return None if top is None else asked_for(top, read)


def archives_for(project: Project, models: Sequence[str], edge: Edge = COMMAND_LINE) -> list[Archive]:
    """The built archives of these models, in order, each opened and hashed once.

    Raises ArchiveError where one is missing, or where the files of the handler that makes this model, whatever its
    folder is called, have changed since it was built: a green check of yesterday's archive would say nothing of
    today's handler.
    """
    found = []
    there = survey(project)
    # A handler folder that cannot be read may be the one of any model that seems to have none.
    unread = [each for each in there.problems if each.path.is_relative_to(project.handlers)]
    for name in models:
        model = there.model(check_name(name))
        mar = project.model_store / f"{name}.mar"
        for problem in (*model.problems, *(() if model.handlers else unread)):
            if not problem.golden:
                raise problem.error()
        if model.archive is None:
            msg = f"There is no archive {mar}."
            elsewhere = (
                f"copy the archive of {name} there; where it is served already: {edge.option('url')} http://HOST:PORT"
            )
            fix = f"goldmar archive {name}" if model.handlers else elsewhere
            raise ArchiveError(msg, fix=fix, model=name)
        archived = examine(mar)
        for handler in model.handlers:
            if archive.source_digest(handler) != archived.digest:
                msg = f"{mar} was not built from {handler} as it is now."
                raise ArchiveError(msg, fix=f"goldmar archive {name}", model=name)
        found.append(archived)
    return found
