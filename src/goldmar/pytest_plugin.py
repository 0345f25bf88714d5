"""`pytest --goldmar`: one test item a drawing, held against its golden on a server started once a session.

Under pytest-xdist the controller starts that server and its workers ask it; items are collected from `golden/`, which
needs no test file. Without `--goldmar` (or `--goldmar-url`) this plugin collects nothing and imports nothing heavy.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from goldmar.errors import GoldmarError
from goldmar.records import Ask, Cells, Drawing, Endpoint, ModelResult, Prediction, RunResult, Value
from goldmar.text import clean, clean_lines

__all__: list[str] = []

_SESSION = pytest.StashKey["_Session"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("goldmar", "golden predictions of models")
    group.addoption("--goldmar", action="store_true", help="collect one item a drawing from golden/")
    group.addoption("--goldmar-url", metavar="URL", help="ask this running server (implies --goldmar)")
    group.addoption("--goldmar-token-env", metavar="NAME", help="environment variable that holds its token")
    group.addoption("--goldmar-token-file", metavar="FILE", type=Path, help="file that holds its token")
    group.addoption(
        "--goldmar-backend",
        choices=("local", "worker"),
        default="local",
        help="without a URL: start TorchServe (local) or its worker alone, without Java (worker)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "goldmar: a drawing held against its golden (set by --goldmar)")
    if not (config.option.goldmar or config.option.goldmar_url):
        return
    from goldmar import pipeline

    try:
        session = _Session(config, pipeline.load_project(config.rootpath))
    except GoldmarError as error:
        raise pytest.UsageError(_words(error)) from error
    config.stash[_SESSION] = session
    golden = session.project.golden
    if not golden.is_dir():
        msg = f"--goldmar was given and there is no {golden}"
        raise pytest.UsageError(msg)
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        # testpaths name the tests; the goldens are to be found without being named there.
        config.args.append(str(golden))


def pytest_unconfigure(config: pytest.Config) -> None:
    if _SESSION in config.stash:
        config.stash[_SESSION].close()


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    session = parent.config.stash.get(_SESSION, None)
    if session is None or path.parent != session.project.golden:
        return None
    return GoldenModel.from_parent(parent, path=path)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist, in the controller: hand the one server's address to each worker."""
    session = node.config.stash.get(_SESSION, None)
    if session is None or session.per_process:
        return
    target = session.target()
    if isinstance(target, Endpoint):
        node.workerinput["goldmar_endpoint"] = {
            "url": target.url,
            "headers": dict(target.headers),
            "verify": target.verify,
            "timeout_s": target.timeout_s,
        }


class GoldenModel(pytest.Directory):
    """golden/<model>: an item for each drawing that is in the folder or in the golden."""

    def collect(self) -> Iterator[pytest.Item]:
        from goldmar import pipeline

        session = self.config.stash[_SESSION]
        try:
            golden = pipeline.read_model(session.project, self.path.name, with_cells=True)
            pipeline.refuse_unused_patterns(golden, golden.cells)
        except GoldmarError as error:
            raise self.CollectError(_words(error)) from error
        drawings = {drawing.id: drawing for drawing in golden.drawings}
        rows = _rows_by_drawing(golden.cells)
        if not drawings and not rows:
            raise self.CollectError(f"{self.path}: nothing to compare, neither drawings nor golden values")
        session.models.append(golden.model)
        for drawing_id in sorted({*drawings, *rows}):
            yield GoldenItem.from_parent(
                self,
                name=clean(drawing_id),
                golden=replace(
                    golden,
                    drawings=tuple(filter(None, [drawings.get(drawing_id)])),
                    cells=rows.get(drawing_id, Cells([], [], [])),
                ),
            )


class GoldenItem(pytest.Item):
    """One drawing of one model."""

    def __init__(self, *, golden: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.golden = golden  # a pipeline.Golden, cut to this drawing
        self.add_marker("goldmar")

    def runtest(self) -> None:
        from goldmar import pipeline

        session = self.config.stash[_SESSION]
        predictions: list[Prediction] = []
        if self.golden.drawings:
            predictions = session.ask(self.golden.model, self.golden.drawings)
        result = pipeline.hold(self.golden, predictions)
        if result.failures or result.values == 0:
            raise GoldenMismatch(result, session.backend, session.url)

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> Any:  # the union that pytest declares is private
        error = excinfo.value
        if isinstance(error, GoldenMismatch):
            return error.words()
        if isinstance(error, GoldmarError):
            return _words(error)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, clean(f"{self.golden.model}: {self.name}")


class GoldenMismatch(AssertionError):
    """The answer for a drawing does not pass."""

    def __init__(self, result: ModelResult, backend: str, url: str) -> None:
        super().__init__(result.model)
        self.result, self.backend, self.url = result, backend, url

    def words(self) -> str:
        """What `goldmar check` would print."""
        from rich.console import Console

        from goldmar import pipeline

        run = RunResult((self.result,), self.backend, self.url, datetime.now(UTC), 0.0)
        page = io.StringIO()
        pipeline.show(run, pipeline.judge(run), Console(file=page, width=110, no_color=True, highlight=False))
        return clean_lines(page.getvalue())


class _Session:
    """The server of a test session: started when the first item needs it, stopped when pytest ends."""

    def __init__(self, config: pytest.Config, project: Any) -> None:
        self.config = config
        self.project = project  # a pipeline.Project
        self.models: list[str] = []
        self._stack = ExitStack()
        self._server: Any = None  # a serve.Server
        self._target: Endpoint | Ask | None = None

    @property
    def per_process(self) -> bool:
        """The worker backend is no address that could be handed on: each xdist worker has its own."""
        return not self.config.option.goldmar_url and self.config.option.goldmar_backend == "worker"

    @property
    def backend(self) -> str:
        return "remote" if self.config.option.goldmar_url else str(self.config.option.goldmar_backend)

    @property
    def url(self) -> str:
        target = self._target
        return target.url if isinstance(target, Endpoint) else ""

    def ask(self, model: str, drawings: tuple[Drawing, ...]) -> list[Prediction]:
        from goldmar import pipeline

        try:
            return pipeline.predict(model, drawings, self.target(), clients=1)
        except GoldmarError as error:
            if self._server is not None:
                error.detail = error.detail or self._server.trouble()
            raise

    def target(self) -> Endpoint | Ask:
        if self._target is None:
            handed: Mapping[str, Any] | None = getattr(self.config, "workerinput", {}).get("goldmar_endpoint")
            self._target = Endpoint(**handed) if handed is not None else self._open()
        return self._target

    def _open(self) -> Endpoint | Ask:
        from goldmar import pipeline

        option = self.config.option
        watch = _Silent()
        # Under xdist the controller starts the server before anything is collected: all models there are.
        names = self.models or pipeline.select_models(self.project, ())
        try:
            if option.goldmar_url:
                opener = pipeline.remote_opener(
                    option.goldmar_url,
                    token_env=option.goldmar_token_env,
                    token_file=option.goldmar_token_file,
                    timeout_s=self.project.timeout_s,
                )
            elif self.per_process:
                opener = pipeline.worker_opener(self.project, watch)
            else:
                opener = pipeline.local_opener(self.project, watch)
            goldens = [pipeline.read_model(self.project, name, with_cells=False) for name in names]
            self._server = self._stack.enter_context(opener(goldens))
        except GoldmarError as error:
            # Every item would say the same; once is enough, with the exit code of `goldmar check`.
            pytest.exit(_words(error), returncode=int(error.exit_code))
        target: Endpoint | Ask = self._server.target
        return target

    def close(self) -> None:
        self._stack.close()


class _Silent:
    """A Watch for pytest, which has a progress display of its own."""

    def step(self, text: str) -> None: ...

    def asking(self, model: str, drawings: int) -> None: ...

    def answered(self, model: str, prediction: Prediction) -> None: ...

    def note(self, text: str) -> None: ...


def _rows_by_drawing(cells: Cells) -> dict[str, Cells]:
    rows: dict[str, tuple[list[str], list[str], list[Value]]] = {}
    for drawing_id, name, value in zip(cells.drawing_ids, cells.names, cells.values, strict=True):
        ids, names, values = rows.setdefault(drawing_id, ([], [], []))
        ids.append(drawing_id)
        names.append(name)
        values.append(value)
    return {drawing_id: Cells(*columns) for drawing_id, columns in rows.items()}


def _words(error: GoldmarError) -> str:
    parts = [error.what, error.detail or "", f"fix: {error.fix}" if error.fix else ""]
    return clean_lines("\n".join(part for part in parts if part))
