"""The hooks of a session with goldens: what is collected, what is run, what is left over, and the summary."""

import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from goldmar.errors import GoldmarError
from goldmar.pytest_plugin.asking import Asking
from goldmar.pytest_plugin.items import GoldenItem, GoldenModel
from goldmar.pytest_plugin.words import words
from goldmar.records import Reach
from goldmar.text import clean

__all__ = ["Session"]


class Session:
    """The goldens of a test session: registered as a plugin, since what its hooks see belongs to one session.

    `selected` are the node ids of the drawings that will be run, each with its model; `done` those that were, to their
    end. The server is started when the first of them needs it, and stopped when pytest ends.
    """

    def __init__(self, config: pytest.Config, project: Any, reach: Reach) -> None:
        self.config = config
        self.project = project  # a Project
        self._reach = reach
        self.selected: dict[str, str] = {}
        self.done: set[str] = set()
        self._deselected: set[str] = set()
        self._named: list[Sequence[str]] = []  # arguments that name goldens: as given, model, drawing
        self._golden = project.golden.resolve()
        self._collected = False
        self._goldens: dict[str, Any] = {}  # node id -> a Golden, cut to one drawing
        self._works = hasattr(config, "workerinput")
        handed = getattr(config, "workerinput", {}).get("goldmar_server")
        try:
            self.asking = Asking(project, reach, Path(handed) if handed else None)
        except GoldmarError as error:
            pytest.exit(words(error), returncode=int(error.exit_code))

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
        from goldmar.pipeline.results import refuse_unused_patterns
        from goldmar.pipeline.selection import select_models

        if not self._goldens:
            home = os.path.relpath(self.project.golden, self.config.rootpath.resolve())
            found: dict[str, Any] = {}
            try:
                for model in select_models(self.project):
                    golden = read_model(self.project, model, with_expected=True, reach=self._reach)
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
                pytest.exit(words(error), returncode=int(error.exit_code))
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
        if (place := self.asking.share()) is not None:
            node.workerinput["goldmar_server"] = str(place)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Start the server before a worker may need it, which is once all of them have collected."""
        self._collected = True
        self.selected |= {nodeid: self._goldens[nodeid].model for nodeid in ids if nodeid in self._goldens}
        if self.selected:
            self.asking.start_shared(self.selected.values())

    def start(self) -> None:
        """The server, for the models that will be asked."""
        self.asking.start(self.selected.values())

    def pytest_unconfigure(self) -> None:
        self.asking.close()

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
        lines = [f"goldmar: {count} {'selected' if dry else 'compared with their goldens'}"]
        if self._collected and (deselected := len(self._goldens) - len(self.selected)):
            lines.append(f"goldmar: {deselected} drawings deselected")
        if left := self._left_over():
            lines.append(f"goldmar: {len(left)} drawings selected but not compared, {left[0]} among them: not a pass")
        lines += [f"goldmar: {model}: no golden on purpose: {reason}" for model, reason in left_out.items()]
        for line in lines:
            terminalreporter.write_line(line)

    @property
    def _only_looks(self) -> bool:
        option = self.config.option
        return any(getattr(option, name, False) for name in ("collectonly", "setuponly", "setupplan"))

    def _left_over(self) -> list[str]:
        return [] if self._only_looks else sorted(self.selected.keys() - self.done)
