"""`pytest --goldmar`: one test item a drawing, held against its golden on a server started once a session.

The items come from the project, whatever pytest walks through, passes over or is pointed at: every model's drawings are
there, or the session fails. What the user deselects (-k, -m, --deselect, a node id) is said in the summary, and so
is what an early end leaves over. Under pytest-xdist the controller starts the server and its workers ask it.

Without `--goldmar` (or `--goldmar-url`) this plugin collects nothing and imports nothing heavy.
"""

import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from goldmar.errors import GoldmarError, UsageError
from goldmar.records import Ask, Endpoint, ModelResult, Prediction, RunResult
from goldmar.text import clean, clean_lines

__all__: list[str] = []


_NAME = "goldmar-session"

# How models are asked; the options of `goldmar check`, without which golden/<model>/request.toml says it.
_REQUEST = {
    "model-version": "with a URL: the version to ask",
    "path": "with a URL: what follows it, instead of /predictions/{model}",
    "content-type": "what drawings are sent as",
    "field": "the field of a form to send them in",
}
_OPTION = re.compile(rf"(?<![\w-])--(?=(?:url|token-env|token-file|timeout|backend|{'|'.join(_REQUEST)})\b)")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("goldmar", "golden predictions of models")
    group.addoption("--goldmar", action="store_true", help="collect one item a drawing from golden/")
    group.addoption("--goldmar-url", metavar="URL", help="ask this running server (implies --goldmar)")
    group.addoption("--goldmar-token-env", metavar="NAME", help="environment variable that holds its token")
    group.addoption("--goldmar-token-file", metavar="FILE", type=Path, help="file that holds its token")
    group.addoption("--goldmar-timeout", metavar="SECONDS", type=float, help="seconds to wait for one answer")
    for name, words in _REQUEST.items():
        group.addoption(f"--goldmar-{name}", metavar="TEXT", help=f"{words}; wins over golden/<model>/request.toml")
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
    if config.pluginmanager.register(_Session(config, _project(config)), _NAME) is None:
        msg = f"--goldmar and -p no:{_NAME} contradict each other: no golden would be compared."
        raise pytest.UsageError(f"{msg}\nfix: leave one of the two out")


def _project(config: pytest.Config) -> Any:  # a Project
    """That of the working directory, as for every command of goldmar; otherwise that of pytest's rootdir."""
    from goldmar.pipeline.selection import load_project

    found, refused = [], None
    for place in (config.invocation_params.dir, config.rootpath):
        try:
            found.append(load_project(place))
        except GoldmarError as error:
            refused = refused or error
    if not found:
        raise pytest.UsageError(_words(refused) if refused else "no project") from refused
    here, other = found[0], found[-1]
    if not here.root.is_relative_to(other.root):
        msg = f"--goldmar could mean two projects: {here.root}, from where pytest was started, and {other.root}."
        raise pytest.UsageError(f"{msg}\nfix: cd to the one that is meant, and start pytest there")
    return here


class GoldenModel(pytest.Collector):
    """One model, with an item for each drawing that is in the folder or in the golden.

    Its path is that of the session, whose conftest.py is then asked about the items as about all others.
    """

    def __init__(self, *, goldens: Sequence[Any], session_of_goldens: "_Session", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._goldens, self._session = goldens, session_of_goldens

    def collect(self) -> Iterator[pytest.Item]:
        for name, golden in self._goldens:
            yield GoldenItem.from_parent(self, name=name, golden=golden, session_of_goldens=self._session)


class GoldenItem(pytest.Item):
    """One drawing of one model."""

    def __init__(self, *, golden: Any, session_of_goldens: "_Session", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.golden = golden  # a Golden, cut to this drawing
        self._goldens = session_of_goldens
        self.add_marker("goldmar")

    def runtest(self) -> None:
        from goldmar.pipeline.jobs import check_version, compare_answers

        predictions: list[Prediction] = []
        if self.golden.drawings:
            predictions = self._goldens.ask(self.golden)
        result = compare_answers(self.golden, predictions)
        if predictions:
            served = self._goldens.versions().get(self.golden.model, "")
            result = check_version(self.golden, replace(result, version=served))
        if result.failures or result.values == 0:
            told = self.golden.request.told(self._goldens.target()) if predictions else ()
            told = tuple(_OPTION.sub("--goldmar-", words) for words in told)
            raise GoldenMismatch(replace(result, request=told), self._goldens.backend, self._goldens.url)

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
        return self.golden.folder, None, clean(f"{self.golden.model}: {self.name}")


class GoldenMismatch(AssertionError):
    """The answer for a drawing does not pass."""

    def __init__(self, result: ModelResult, backend: str, url: str) -> None:
        super().__init__(result.model)
        self.result, self.backend, self.url = result, backend, url

    def words(self) -> str:
        """What `goldmar check` would print."""
        from rich.console import Console

        from goldmar.pipeline.jobs import judge
        from goldmar.pipeline.reports import run as report

        run = RunResult((self.result,), self.backend, self.url, datetime.now(UTC), 0.0)
        page = io.StringIO()
        report.terminal.render(run, judge(run), Console(file=page, width=110, no_color=True, highlight=False))
        return clean_lines(page.getvalue())


class _Session:
    """The goldens of a test session: registered as a plugin, since what its hooks see belongs to one session.

    `selected` are the node ids of the drawings that will be run, each with its model; `done` those that were, to their
    end. The server is started when the first of them needs it, and stopped when pytest ends.
    """

    def __init__(self, config: pytest.Config, project: Any) -> None:
        self.config = config
        self.project = project  # a Project
        self.selected: dict[str, str] = {}
        self.done: set[str] = set()
        self._deselected: set[str] = set()
        self._named: list[Sequence[str]] = []  # arguments that name goldens: as given, model, drawing
        self._golden = project.golden.resolve()
        self._collected = False
        self._goldens: dict[str, Any] = {}  # node id -> a Golden, cut to one drawing
        self._stack = ExitStack()
        self._server: Any = None  # a serve.Server
        self._versions: Mapping[str, str] = {}  # as the controller of xdist tells them
        self._target: Endpoint | Ask | None = None
        self._handed: Path | None = None  # the file in which the workers of xdist are told where the server is
        self._works = hasattr(config, "workerinput")

    # ---- collecting

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Nothing below golden/<model> is a test of pytest's own: a drawing may well be called test_1.txt."""
        return True if collection_path.parent.resolve() == self._golden and collection_path.is_dir() else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """What cannot be used is told before anything is collected. Arguments that name goldens are not for pytest."""
        self._read()
        others = self._other_arguments()
        self._chosen()
        if not self._controls:  # whose arguments may yet go to a worker
            self.config.args[:] = others

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """The models are collected beside whatever pytest finds for its arguments."""
        report = yield
        if isinstance(collector, pytest.Session) and report.passed:
            models: dict[str, list[tuple[str, Any]]] = {}
            for nodeid, golden in self._read().items():
                model, _, name = nodeid.partition("::")
                models.setdefault(model, []).append((name, golden))
            report.result = [
                *(report.result or ()),
                *(
                    GoldenModel.from_parent(
                        collector, name=Path(model).name, nodeid=model, goldens=goldens, session_of_goldens=self
                    )
                    for model, goldens in models.items()
                ),
            ]
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave those alone that the arguments name, if any do, before -k and the like look at what there is."""
        chosen = self._chosen()
        if left := [item for item in items if isinstance(item, GoldenItem) and item.nodeid not in chosen]:
            gone = set(left)
            self.config.hook.pytest_deselected(items=left)
            items[:] = [item for item in items if item not in gone]
        self._collected = True

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self._deselected |= {item.nodeid for item in items}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if self._controls or not self._collected:
            return
        self.selected = {item.nodeid: item.golden.model for item in session.items if isinstance(item, GoldenItem)}
        if lost := sorted(self._goldens.keys() - self.selected.keys() - self._deselected):
            some = f"{len(lost)} of {len(self._goldens)} drawings, {lost[0]} among them,"
            words = f"goldmar: {some} were taken out after they had been collected, and nobody said so."
            pytest.exit(f"{words}\nfix: look for a plugin or conftest.py that changes `items`", returncode=2)

    def _other_arguments(self) -> list[str]:
        """The arguments for pytest. Those that name golden/, the folder of a model in it, or a drawing are kept."""
        others, self._named = [], []
        for argument in self.config.args:
            place, _, drawing = argument.partition("::")
            path = Path(os.path.normpath(self.config.invocation_params.dir / place))
            above = next((each for each in (path, *path.parents) if each.resolve() == self._golden), None)
            if above is None:
                others.append(argument)
            else:
                self._named.append((argument, "/".join(path.relative_to(above).parts), drawing))
        if self._works:
            self._named = getattr(self.config, "workerinput", {})["goldmar_named"]
        elif self.config.args_source is pytest.Config.ArgsSource.INVOCATION_DIR:
            self._named = []  # whoever stands in golden/ names nothing
        return others

    def _chosen(self) -> set[str]:
        """The node ids that the arguments name; all of them where they name none."""
        chosen: set[str] = set()
        for argument, model, drawing in self._named or [("", "", "")]:
            found = {
                nodeid
                for nodeid, golden in self._goldens.items()
                if model in {"", golden.model} and drawing in {"", nodeid.partition("::")[2]}
            }
            if not found:
                fix = "pytest --goldmar --collect-only -q lists them, as golden/MODEL::DRAWING"
                raise pytest.UsageError(f"{argument} names no golden.\nfix: {fix}")
            chosen |= found
        return chosen

    def _read(self) -> dict[str, Any]:
        """Every drawing that is in a folder or in a golden, by node id. Ends the session where one cannot be used."""
        from goldmar.pipeline.goldens import by_drawing, read_model
        from goldmar.pipeline.jobs import refuse_unused_patterns
        from goldmar.pipeline.selection import select_models

        if not self._goldens:
            home = os.path.relpath(self.project.golden, self.config.rootpath.resolve())
            found: dict[str, Any] = {}
            try:
                for model in select_models(self.project):
                    golden = read_model(self.project, model, with_expected=True, options=self._request())
                    refuse_unused_patterns(golden, golden.expected)
                    cut = by_drawing(golden)
                    if not cut:
                        pytest.exit(f"{golden.folder}: nothing to compare, neither drawings nor golden values", 2)
                    for name, each in cut.items():
                        nodeid = f"{Path(home, model).as_posix()}::{clean(name)}"
                        while nodeid in found:  # names that differ in what cannot be shown
                            nodeid += "'"
                        found[nodeid] = each
            except GoldmarError as error:
                pytest.exit(_words(error), returncode=int(error.exit_code))
            self._goldens = found
        return self._goldens

    # ---- pytest-xdist, in the controller

    @property
    def _controls(self) -> bool:
        """Whether this is the controller, which runs nothing itself."""
        return self.config.pluginmanager.hasplugin("dsession")

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell each worker where it will find the address of the one server."""
        self._read()
        self._other_arguments()
        node.workerinput["goldmar_named"] = self._named
        if not self._per_process:
            if self._handed is None:
                self._handed = Path(tempfile.mkdtemp(prefix="goldmar-pytest-")) / "endpoint.json"
                self._stack.callback(shutil.rmtree, self._handed.parent, ignore_errors=True)
            node.workerinput["goldmar_endpoint"] = str(self._handed)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Start the server before a worker may need it, which is once all of them have collected."""
        self._collected = True
        self.selected |= {nodeid: self._goldens[nodeid].model for nodeid in ids if nodeid in self._goldens}
        if self.selected and self._handed is not None and self._target is None and isinstance(self.target(), Endpoint):
            target = self.target()
            said = {key: getattr(target, key) for key in ("url", "headers", "verify", "timeout_s", "named")}
            with os.fdopen(os.open(self._handed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump({**said, "versions": self.versions()}, file, default=dict)

    # ---- asking

    @property
    def _per_process(self) -> bool:
        """The worker backend is no address that could be handed on: each xdist worker has its own."""
        return not self.config.option.goldmar_url and self.config.option.goldmar_backend == "worker"

    @property
    def backend(self) -> str:
        return "remote" if self.config.option.goldmar_url else str(self.config.option.goldmar_backend)

    @property
    def url(self) -> str:
        target = self._target
        return target.url if isinstance(target, Endpoint) else ""

    def ask(self, golden: Any) -> list[Prediction]:
        from goldmar.pipeline.jobs import predict

        try:
            return predict(golden.model, golden.drawings, golden.request.at(self.target()), clients=1)
        except GoldmarError as error:
            if self._server is not None:
                error.detail = error.detail or self._server.trouble()
            raise

    def _request(self) -> dict[str, str]:
        """The options that win over request.toml. Raises UsageError, naming the option."""
        from goldmar.pipeline.goldens import OPTIONS, check_option

        option, found = self.config.option, {}
        for key, name in OPTIONS.items():
            value = getattr(option, f"goldmar_{name.removeprefix('--').replace('-', '_')}")
            if value is not None:
                found[key] = check_option(key, value)
        if not option.goldmar_url and (named := {"version", "path"} & found.keys()):
            msg = f"{OPTIONS[min(named)]} says where a running server is asked, and there is no --url."
            raise UsageError(msg, fix="add --url http://HOST:PORT")
        return found

    def target(self) -> Endpoint | Ask:
        if self._target is None:
            handed: Mapping[str, str] = getattr(self.config, "workerinput", {})
            place = handed.get("goldmar_endpoint")
            said = json.loads(Path(place).read_bytes()) if place else {}
            self._versions = said.pop("versions", {})
            self._target = Endpoint(**said) if place else self._open()
        return self._target

    def _open(self) -> Endpoint | Ask:
        from goldmar.pipeline.archives import refuse_unmet
        from goldmar.pipeline.goldens import read_model
        from goldmar.pipeline.servers import local_opener, remote_opener, worker_opener

        option = self.config.option
        watch = _Silent()
        try:
            if option.goldmar_url:
                opener = remote_opener(
                    option.goldmar_url,
                    token_env=option.goldmar_token_env,
                    token_file=option.goldmar_token_file,
                    timeout_s=self.project.timeout_s if option.goldmar_timeout is None else option.goldmar_timeout,
                )
            elif self._per_process:
                if option.goldmar_timeout is not None:
                    msg = "--timeout is about an answer over HTTP; the worker goes by responseTimeout."
                    raise UsageError(msg, fix="leave --timeout out, or change responseTimeout in model-config.yaml")
                opener = worker_opener(self.project, watch)
            else:
                opener = local_opener(self.project, watch, timeout_s=option.goldmar_timeout)
            names = sorted(set(self.selected.values()))
            options = self._request()
            goldens = [read_model(self.project, name, with_expected=False, options=options) for name in names]
            server = opener(goldens)
            self._stack.push(server)  # before it is entered: Ctrl-C may come just when that is done
            self._server = server.__enter__()
            installed = self._server.packages()
            for name in names:
                refuse_unmet(self.project, installed, name)
        except GoldmarError as error:
            # Every item would say the same; once is enough, with the exit code of `goldmar check`.
            pytest.exit(_words(error), returncode=int(error.exit_code))
        target: Endpoint | Ask = self._server.target
        return target

    def versions(self) -> Mapping[str, str]:
        """Model -> version, of those whose server tells."""
        return self._server.versions() if self._server is not None else self._versions

    def pytest_unconfigure(self) -> None:
        self._stack.close()

    # ---- counting

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Held is what was run to its end: not what was skipped or expected to fail. In the controller under xdist."""
        if report.when == "call" and report.outcome in {"passed", "failed"} and not hasattr(report, "wasxfail"):
            self.done.add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Whatever kept a drawing from being run, the session does not end well."""
        left = self._left_over() or not self._collected
        if left and not self._works and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        from goldmar.pipeline.selection import not_compared

        if not self._goldens:
            return
        dry = self._only_looks
        said = self.selected.keys() if dry else self.selected.keys() & self.done
        models = {golden.model for golden in self._goldens.values()}
        left_out = not_compared(self.project, models)
        count = (
            f"{len(said)} of {len(self._goldens)} drawings, "
            f"{len({self.selected[nodeid] for nodeid in said})} of {len(models) + len(left_out)} models"
        )
        lines = [f"goldmar: {count} {'selected' if dry else 'held against their goldens'}"]
        if self._collected and (deselected := len(self._goldens) - len(self.selected)):
            lines.append(f"goldmar: {deselected} drawings deselected")
        if left := self._left_over():
            lines.append(f"goldmar: {len(left)} drawings selected and not held, {left[0]} among them: not a pass")
        lines += [f"goldmar: {model}: no golden on purpose: {reason}" for model, reason in left_out.items()]
        for line in lines:
            terminalreporter.write_line(line)

    @property
    def _only_looks(self) -> bool:
        option = self.config.option
        return any(getattr(option, name, False) for name in ("collectonly", "setuponly", "setupplan"))

    def _left_over(self) -> list[str]:
        return [] if self._only_looks else sorted(self.selected.keys() - self.done)


class _Silent:
    """A Watch for pytest, which has a progress display of its own."""

    def step(self, text: str) -> None: ...

    def asking(self, model: str, drawings: int) -> None: ...

    def answered(self, model: str, prediction: Prediction) -> None: ...

    def note(self, text: str) -> None: ...


def _words(error: GoldmarError) -> str:
    parts = [error.what, error.detail or "", f"fix: {error.fix}" if error.fix else ""]
    return clean_lines(_OPTION.sub("--goldmar-", "\n".join(part for part in parts if part)))
