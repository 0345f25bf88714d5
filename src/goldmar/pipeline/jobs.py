"""check and record: their ordered steps, as visible lists. Data crosses between the floors here."""

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from goldmar import archive
from goldmar.compare import compare
from goldmar.config import Project
from goldmar.errors import ConfigError, GoldenError, GoldmarError, Interrupted, ServerError
from goldmar.gate import judge
from goldmar.golden import Recording, Superseded, values_of, write_partial
from goldmar.pipeline.archives import reached_by, refuse_unmet
from goldmar.pipeline.explain import explain_failures, record_stages
from goldmar.pipeline.goldens import Golden, read_model
from goldmar.pipeline.selection import not_compared, so_far
from goldmar.pipeline.watch import Watch
from goldmar.predict import predict
from goldmar.records import Comparison, DifferenceKind, ModelResult, Prediction, Provenance, RunResult, Values, Verdict
from goldmar.serve import Server

__all__ = [
    "CHECK",
    "RECORD",
    "Job",
    "Opener",
    "check",
    "check_version",
    "compare_answers",
    "judge",
    "predict",
    "record",
    "recording",
    "refuse_unused_patterns",
]

_SHOWN = 5

Opener = Callable[[Sequence[Golden]], Server]
"""Makes the server of a job, once it is known which models and drawings it will be asked about."""


@dataclass(slots=True)
class Job:
    """What the steps of one run read and fill in, in their order. The fields from `goldens` on are theirs.

    `explain` asks failing drawings once more, for the first stage that differs; `stages` keeps all stages.
    `request` are the options of the command line that win over the request.toml of each model.
    `python` is the version that the handlers run with, where they run on this machine.
    `recordings` has those that were begun before the job; see `recording`.
    """

    project: Project
    models: Sequence[str]
    opener: Opener
    watch: Watch
    clients: int
    explain: bool = False
    stages: bool = False
    request: Mapping[str, str] = field(default_factory=dict)
    python: str = platform.python_version()
    recordings: dict[str, Recording] = field(default_factory=dict)
    goldens: tuple[Golden, ...] = ()
    server: Server | None = None
    asked: dict[str, list[Prediction]] = field(default_factory=dict)
    obtained: dict[str, Path] = field(default_factory=dict)
    provenance: dict[str, Provenance] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    results: list[ModelResult] = field(default_factory=list)


def find_drawings_of_models(job: Job, stack: ExitStack) -> None:
    """Recording needs drawings, and no golden yet."""
    job.goldens = tuple(read_model(job.project, each, with_expected=False, options=job.request) for each in job.models)
    for golden in job.goldens:
        if not golden.drawings:
            msg = f"There is no drawing in {golden.folder / 'drawings'}."
            raise GoldenError(msg, fix="put sample drawings there, then record again", model=golden.model)


def read_goldens(job: Job, stack: ExitStack) -> None:
    """Read every golden before any server is started: a typing error should cost a second, not a minute."""
    job.goldens = tuple(read_model(job.project, each, with_expected=True, options=job.request) for each in job.models)


def open_server(job: Job, stack: ExitStack) -> None:
    """Start or reach the models. The executor's stack stops what was started, however the job ends."""
    server = job.opener(job.goldens)
    stack.push(server)  # before it is entered: Ctrl-C may come just when that is done
    job.server = server.__enter__()


def ask_models(job: Job, stack: ExitStack) -> None:
    """Send the drawings; whatever ends this early, the answers that came are on disk first."""
    server = _server(job)
    for at, golden in enumerate(job.goldens):
        try:
            _ask_model(job, server, golden)
        except GoldmarError as error:
            error.add_detail(so_far("asked to the end", [each.model for each in job.goldens], at))
            raise


def compare_models(job: Job, stack: ExitStack) -> None:
    """Hold what was obtained against the goldens."""
    for golden in job.goldens:
        refuse_unused_patterns(golden, values_of(job.asked[golden.model]))
    job.results = [
        check_version(golden, _described(job, golden, compare_answers(golden, job.asked[golden.model])))
        for golden in job.goldens
    ]


def count_models(job: Job, stack: ExitStack) -> None:
    """A recording held against itself: its failures are the drawings without an answer."""
    job.results = [
        _described(job, golden, compare_answers(replace(golden, expected=values_of(predictions)), predictions))
        for golden, predictions in ((golden, job.asked[golden.model]) for golden in job.goldens)
    ]


def explain_models(job: Job, stack: ExitStack) -> None:
    """Name the first stage that differs of each failing drawing, where that was asked for."""
    if job.explain:
        server = _server(job)
        job.results = [
            replace(result, explanations=explain_failures(server, golden, result, job.watch))
            for golden, result in zip(job.goldens, job.results, strict=True)
        ]


def keep_stages(job: Job, stack: ExitStack) -> None:
    """Keep the stages of a complete recording beside it, where that was asked for."""
    if job.stages:
        for golden in job.goldens:
            if not _problems(job.asked[golden.model]):
                begun = job.recordings[golden.model]
                record_stages(_server(job), golden, begun, job.watch)
                begun.finish()


Step = Callable[[Job, ExitStack], None]

CHECK: tuple[Step, ...] = (read_goldens, open_server, ask_models, compare_models, explain_models)
RECORD: tuple[Step, ...] = (find_drawings_of_models, open_server, ask_models, count_models, keep_stages)


def check(job: Job) -> tuple[RunResult, Verdict]:
    """Ask every model about its drawings and hold the answers against the golden.

    Raises:
        GoldenError, ConfigError: a golden or a tolerance cannot be used.
        ServerError: the models could not be reached, started or kept alive.
        Interrupted: Ctrl-C; the error names what was written.
    """
    return _run(CHECK, job)


def record(job: Job) -> tuple[RunResult, Verdict]:
    """Ask the models and write what they say beside the golden; nothing of the golden is read or touched.

    Raises as `check` does, and GoldenError where another recording was begun in the meantime.
    """
    if job.recordings:
        return _run(RECORD, job)
    with recording(job.project, job.models) as job.recordings:
        return _run(RECORD, job)


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


def _run(steps: Sequence[Step], job: Job) -> tuple[RunResult, Verdict]:
    started, clock = datetime.now(UTC), time.perf_counter()
    with ExitStack() as stack:
        for step in steps:
            step(job, stack)
    server = _server(job)
    run = RunResult(
        models=tuple(job.results),
        backend=server.backend,
        url=server.url,
        started=started,
        seconds=time.perf_counter() - clock,
        packages={name: version for each in job.provenance.values() for name, version in each.packages.items()},
        not_compared=not_compared(job.project, job.models),
    )
    return run, judge(run)


def compare_answers(golden: Golden, predictions: Sequence[Prediction]) -> ModelResult:
    """Predictions of one model (or of one of its drawings, with the golden cut to it), held against its golden."""
    obtained = values_of(predictions)
    result = compare(
        golden.expected,
        obtained,
        golden.tolerances,
        model=golden.model,
        drawings=[prediction.drawing_id for prediction in predictions],
        problems=_problems(predictions),
    )
    return replace(
        result,
        latencies_s=tuple(prediction.latency_s for prediction in predictions),
        retries=sum(prediction.attempts - 1 for prediction in predictions),
    )


def check_version(golden: Golden, result: ModelResult) -> ModelResult:
    """A result with a failure of its own kind where the version served is known, and is not the golden's.

    Whatever the values say: they may be within tolerance, and are the answers of another model.
    """
    want, got = golden.version, result.version
    result = replace(result, golden_version=want)
    if not want or not got or want == got:
        return result
    accept = f"goldmar record {golden.model} && goldmar approve {golden.model} --reason ..."
    detail = f"the golden is of version {want}, and {got} is served; serve {want}, or accept {got}: {accept}"
    failure = Comparison(DifferenceKind.OTHER_VERSION, "", want=want, got=got, detail=detail)
    return replace(result, failures=(failure, *result.failures))


def refuse_unused_patterns(golden: Golden, obtained: Values) -> None:
    """Raise ConfigError where a tolerance pattern holds for no value: what is written there would pass unseen.

    It is misspelt and matches none, or others hold for each that it matches.
    """
    names = {*golden.expected.names, *obtained.names}
    unused = golden.tolerances.unused(names)
    path = golden.folder / "tolerance.toml"
    # Where nothing was expected and nothing answered every pattern is unused; the report has better words for that.
    if unused and (len(golden.expected) or len(obtained)):
        msg = f"{path}: the pattern {unused[0]!r} matches no value of the golden or of the answers."
        raise ConfigError(msg, fix=f'correct or remove [value."{unused[0]}"] in {path}', model=golden.model)
    for pattern, instead in golden.tolerances.shadowed(names).items():
        shown = ", ".join(map(repr, instead[:_SHOWN])) + (" and others" if instead[_SHOWN:] else "")
        msg = (
            f"{path}: the pattern {pattern!r} holds for no value: what it matches is held by {shown}. "
            "A name itself goes before every pattern, and of several patterns the last one holds."
        )
        fix = f'remove [value."{pattern}"], or move it below the patterns that take its place'
        raise ConfigError(msg, fix=fix, model=golden.model)


def _described(job: Job, golden: Golden, result: ModelResult) -> ModelResult:
    provenance = job.provenance[golden.model]
    return replace(
        result,
        version=provenance.version,
        archive_digest=provenance.archive_digest,
        seconds=job.seconds[golden.model],
        obtained=job.obtained.get(golden.model),
        request=golden.request.told(_server(job).target),
    )


def _ask_model(job: Job, server: Server, golden: Golden) -> None:
    """Ask one model. `record` has begun its recording; a check begins one here, before anything is asked."""
    if golden.model in job.recordings:
        _ask(job, server, golden, job.recordings[golden.model], only_checks=False)
        return
    with recording(job.project, [golden.model]) as begun:
        _ask(job, server, golden, begun[golden.model], only_checks=True)


def _ask(job: Job, server: Server, golden: Golden, begun: Recording, *, only_checks: bool) -> None:
    done: list[Prediction] = []

    def on_prediction(prediction: Prediction) -> None:
        done.append(prediction)
        job.watch.answered(golden.model, prediction)

    job.watch.asking(golden.model, len(golden.drawings))
    provenance = _provenance(job, server, golden.model)
    clock = time.perf_counter()
    try:
        predictions = predict(
            golden.model,
            golden.drawings,
            golden.request.at(server.target),
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
        error.detail = error.detail or server.trouble()
        error.saved = write_partial(golden.folder, values_of(done))
        raise
    job.seconds[golden.model] = time.perf_counter() - clock
    job.asked[golden.model] = predictions
    job.provenance[golden.model] = provenance
    if problems := _problems(predictions):
        job.obtained[golden.model] = write_partial(golden.folder, values_of(predictions))
        drawing, why = next(iter(problems.items()))
        begun.fail(f"{len(problems)} of {len(predictions)} drawings have no answer; {drawing}: {why}")
        if trouble := server.trouble():
            job.watch.note(f"{golden.model}: the server's log says\n{trouble}")
        return
    try:
        job.obtained[golden.model] = begun.keep(values_of(predictions), provenance)
        if only_checks or not job.stages:
            begun.finish()
    except Superseded as error:
        if not only_checks:
            raise
        job.watch.note(f"{error.what} The verdict is on what this one was answered.")


def _provenance(job: Job, server: Server, model: str) -> Provenance:
    built = job.project.model_store / f"{model}.mar"
    installed = server.packages()
    refuse_unmet(job.project, installed, model)
    ours = server.backend != "remote"
    return Provenance(
        model=model,
        version=server.versions().get(model, ""),
        archive_digest=archive.digest(built) if ours and built.exists() else "",
        backend=server.backend,
        url="" if ours else server.url,
        obtained_at=datetime.now(UTC).replace(microsecond=0),
        python=job.python if ours and server.backend != "compose" else "",
        packages=reached_by(installed, built),
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
            url=server.url,
        )


def _problems(predictions: Sequence[Prediction]) -> dict[str, str]:
    return {p.drawing_id: p.problem for p in predictions if p.problem is not None}


def _server(job: Job) -> Server:
    if job.server is None:
        msg = "this step needs a server, and no step before it opened one"
        raise RuntimeError(msg)
    return job.server
