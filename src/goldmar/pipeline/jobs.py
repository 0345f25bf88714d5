"""check and record: what is asked, what comes back, what it is compared with, and what that means."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from goldmar.config import Project
from goldmar.errors import GoldenError, GoldmarError, Interrupted, ServerError
from goldmar.gate import judge
from goldmar.golden import Recording, Superseded, values_of, write_partial
from goldmar.mar import Archive
from goldmar.pipeline.archives import packages_of_model
from goldmar.pipeline.explain import explain_failures, record_stages
from goldmar.pipeline.goldens import Golden, read_model
from goldmar.pipeline.progress import Progress
from goldmar.pipeline.results import Obtained, compare_model, problems_of, refuse_unused_patterns, result_of
from goldmar.pipeline.selection import not_compared, so_far
from goldmar.pipeline.servers import Way, open_server, read_archives
from goldmar.predict import predict
from goldmar.records import ModelResult, Origin, Prediction, Provenance, RunResult, Verdict
from goldmar.seam import Server

__all__ = ["Job", "check", "judge", "record", "recording"]


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked for.

    `explain` asks failing drawings once more, for the first stage that differs; `stages` keeps all stages.
    `recordings` has those that were begun before the job; see `recording`.
    """

    project: Project
    models: Sequence[str]
    way: Way
    progress: Progress
    clients: int
    explain: bool = False
    stages: bool = False
    recordings: Mapping[str, Recording] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Served:
    """The models of a job, ready to be asked."""

    server: Server
    origin: Origin
    archives: Mapping[str, Archive]


def check(job: Job) -> tuple[RunResult, Verdict]:
    """Ask every model about its drawings and compare the answers with the golden.

    Raises:
        GoldenError, ConfigError: a golden or a tolerance cannot be used.
        ServerError: the models could not be reached, started or kept alive.
        Interrupted: Ctrl-C; the error names what was written.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    # Before any server is started: a typing error should cost a second, not a minute.
    goldens = [_golden(job, model, with_expected=True) for model in job.models]
    with _served(job, goldens) as served:
        obtained = _ask_models(job, served, goldens)
        for golden, each in zip(goldens, obtained, strict=True):
            refuse_unused_patterns(golden, each.values)
        results = _compare_models(job, served, goldens, obtained)
    return _finished(job, served.origin, obtained, results, started, time.perf_counter() - clock)


def record(job: Job) -> tuple[RunResult, Verdict]:
    """Ask the models and write what they say beside the golden; nothing of the golden is read or touched.

    Raises as `check` does, and GoldenError where another recording was begun in the meantime.
    """
    if job.recordings:
        return _record(job)
    with recording(job.project, job.models) as begun:
        return _record(replace(job, recordings=begun))


def _record(job: Job) -> tuple[RunResult, Verdict]:
    started, clock = datetime.now(UTC), time.perf_counter()
    goldens = [_golden(job, model, with_expected=False) for model in job.models]
    for golden in goldens:
        if not golden.drawings:
            msg = f"There is no drawing in {golden.folder / 'drawings'}."
            raise GoldenError(msg, fix="put sample drawings there, then record again", model=golden.model)
    with _served(job, goldens) as served:
        obtained = _ask_models(job, served, goldens)
        # A recording compared with itself: its failures are the drawings without an answer.
        themselves = [replace(golden, expected=each.values) for golden, each in zip(goldens, obtained, strict=True)]
        results = _compare_models(job, served, themselves, obtained)
        if job.stages:
            _keep_stages(job, served, goldens, obtained)
    return _finished(job, served.origin, obtained, results, started, time.perf_counter() - clock)


@contextmanager
def recording(project: Project, models: Sequence[str], command: str = "") -> Iterator[dict[str, Recording]]:
    """Begin a recording of each model, which makes those before it void; for the body to end each.

    What the body leaves without an end has failed, for the reason that ended the body. `command` is what to run then.
    Raises StorageError.
    """
    begun: dict[str, Recording] = {}
    why = "it was not recorded to the end"
    try:
        for model in models:
            folder = project.golden / model
            if folder.is_dir():
                begun[model] = Recording(folder, command or f"goldmar record {model}")
        yield begun
    except GoldmarError as error:
        why = error.what
        raise
    except KeyboardInterrupt:
        why = "it was interrupted"
        raise
    except BaseException as error:
        why = f"{type(error).__name__}: {error}"
        raise
    finally:
        for each in begun.values():
            if not each.ended:
                each.fail(why)


def _golden(job: Job, model: str, *, with_expected: bool) -> Golden:
    return read_model(job.project, model, with_expected=with_expected, reach=job.way.reach)


@contextmanager
def _served(job: Job, goldens: Sequence[Golden]) -> Iterator[_Served]:
    """The server, started or reached; what was started is stopped, however the job ends."""
    archives = read_archives(job.project, job.way, job.models)
    server = open_server(job.project, job.way, goldens, archives, job.progress)
    with ExitStack() as stack:
        stack.push(server)  # before it is entered: Ctrl-C may come just when that is done
        server.__enter__()
        yield _Served(server, server.origin, archives)


def _ask_models(job: Job, served: _Served, goldens: Sequence[Golden]) -> list[Obtained]:
    """Send the drawings; whatever ends this early, the answers that came are on disk first."""
    obtained: list[Obtained] = []
    for golden in goldens:
        try:
            obtained.append(_ask_model(job, served, golden))
        except GoldmarError as error:
            error.add_detail(so_far("asked to the end", [each.model for each in goldens], len(obtained)))
            raise
    return obtained


def _ask_model(job: Job, served: _Served, golden: Golden) -> Obtained:
    """Ask one model. `record` has begun its recording; a check begins one here, before anything is asked."""
    if golden.model in job.recordings:
        return _ask(job, served, golden, job.recordings[golden.model], only_checks=False)
    with recording(job.project, [golden.model]) as begun:
        return _ask(job, served, golden, begun[golden.model], only_checks=True)


def _ask(job: Job, served: _Served, golden: Golden, begun: Recording, *, only_checks: bool) -> Obtained:
    done: list[Prediction] = []

    def on_prediction(prediction: Prediction) -> None:
        done.append(prediction)
        job.progress.answered(golden.model, prediction)

    job.progress.asking(golden.model, len(golden.drawings))
    server = served.server
    provenance = _provenance(job, served, golden.model)
    clock = time.perf_counter()
    try:
        predictions = predict(
            golden.model,
            golden.drawings,
            server,
            **golden.request.at(served.origin),
            clients=job.clients,
            on_prediction=on_prediction,
        )
        _refuse_change(server, provenance)
    except KeyboardInterrupt as stop:
        msg = f"Interrupted after {len(done)} of {len(golden.drawings)} drawings of {golden.model}."
        raise Interrupted(
            msg,
            fix="run the same command again",
            model=golden.model,
            saved=write_partial(golden.folder, values_of(done)),
        ) from stop
    except GoldmarError as error:
        error.detail = error.detail or server.diagnostics()
        error.saved = write_partial(golden.folder, values_of(done))
        raise
    seconds, values, path = time.perf_counter() - clock, values_of(predictions), None
    if problems := problems_of(predictions):
        path = write_partial(golden.folder, values)
        drawing, why = next(iter(problems.items()))
        begun.fail(f"{len(problems)} of {len(predictions)} drawings have no answer; {drawing}: {why}")
        if found := server.diagnostics():
            job.progress.note(f"{golden.model}: the server's log says\n{found}")
    else:
        try:
            path = begun.keep(values, provenance)
            if only_checks or not job.stages:
                begun.finish()
        except Superseded as error:
            if not only_checks:
                raise
            job.progress.note(f"{error.what} The verdict is on what this one was answered.")
    return Obtained(tuple(predictions), values, provenance, seconds, path)


def _provenance(job: Job, served: _Served, model: str) -> Provenance:
    origin, archived = served.origin, served.archives.get(model)
    return Provenance(
        model=model,
        version=served.server.versions().get(model, ""),
        archive_digest=origin.digests.get(model, ""),
        backend=origin.backend,
        url=origin.url if origin.named else "",
        obtained_at=datetime.now(UTC).replace(microsecond=0),
        python=origin.python,
        packages=packages_of_model(job.project, model, served.server.packages(), archived),
    )


def _refuse_change(server: Server, before: Provenance) -> None:
    """Raise ServerError where another version is served than when the first drawing was asked about."""
    now = server.versions().get(before.model, "")
    if now != before.version:
        what = (
            f"{before.model} was version {before.version} at the first drawing and is {now or 'none that is told'} now"
        )
        raise ServerError(
            f"{what}: its answers may be of both.",
            fix="Run the command again when nobody changes what is served",
            model=before.model,
            url=server.origin.url,
        )


def _compare_models(
    job: Job, served: _Served, goldens: Sequence[Golden], obtained: Sequence[Obtained]
) -> list[ModelResult]:
    """Compare all, then explain what fails, where that was asked for."""
    pairs = list(zip(goldens, obtained, strict=True))
    compared = [compare_model(golden, each.predictions, each.values) for golden, each in pairs]
    return [
        result_of(
            golden,
            said,
            each.predictions,
            served.origin,
            each.provenance.version,
            archive_digest=each.provenance.archive_digest,
            seconds=each.seconds,
            obtained=each.path,
            explanations=(
                explain_failures(served.server, golden, said, each.path, job.progress) if job.explain else ()
            ),
        )
        for (golden, each), said in zip(pairs, compared, strict=True)
    ]


def _keep_stages(job: Job, served: _Served, goldens: Sequence[Golden], obtained: Sequence[Obtained]) -> None:
    """Keep the stages of each complete recording beside it."""
    for golden, each in zip(goldens, obtained, strict=True):
        if not problems_of(each.predictions):
            begun = job.recordings[golden.model]
            record_stages(served.server, golden, begun, job.progress)
            begun.finish()


def _finished(
    job: Job,
    origin: Origin,
    obtained: Sequence[Obtained],
    results: Sequence[ModelResult],
    started: datetime,
    seconds: float,
) -> tuple[RunResult, Verdict]:
    run = RunResult(
        models=tuple(results),
        backend=origin.backend,
        url=origin.url,
        started=started,
        seconds=seconds,
        packages={name: version for each in obtained for name, version in each.provenance.packages.items()},
        not_compared=not_compared(job.project, job.models),
    )
    return run, judge(run)
