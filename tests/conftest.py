"""A run that skipped something is not a green run: every skip and expected failure has to be named here."""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["pytester"]

# Tests start goldmar hundreds of times: what one start has compiled, the next need not, whatever the shell says.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Node id (or the start of one) -> why it may be skipped or fail as expected. Kept empty as long as it can be.
ALLOWED: dict[str, str] = {}

# A run draws the same examples as the one before: a change goes red for what it changed. `make fuzz` draws new ones,
# fifty times as many.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("fuzz", max_examples=5000, derandomize=False, deadline=None, print_blob=True)
settings.load_profile("fixed")


def pytest_configure() -> None:
    # A shell that starts a job in the background has it ignore Ctrl-C, and every process started by the tests as well;
    # nohup does the same with a hang-up.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish() -> None:
    # Five thousand tests and all that they import live until the end: garbage is looked for among what comes later.
    gc.freeze()


def unlisted(reports: Iterator[pytest.TestReport | pytest.CollectReport]) -> list[str]:
    """One line for each report whose node id no entry of ALLOWED begins."""
    return [
        f"{report.nodeid}: {report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr or 'xfail'}"
        for report in reports
        if not any(report.nodeid.startswith(named) for named in ALLOWED)
    ]


def _skipped(config: pytest.Config) -> list[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    stats = reporter.stats if reporter else {}
    return unlisted(report for outcome in ("skipped", "xfailed") for report in stats.get(outcome, ()))


# With xdist the reports of all workers arrive at the controller, which is the process whose exit status counts.
@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if _skipped(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := _skipped(config):
        terminalreporter.section("skipped, and not named in tests/conftest.py: the run fails", red=True, bold=True)
        for line in lines:
            terminalreporter.line(line, red=True)


@pytest.fixture(scope="session")
def goldmar_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the environments of real lock files, which all workers of xdist share as several goldmars do."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def stand_in() -> Iterator[None]:
    """Workers whose models do not compute with torch import a stand-in: the real one takes them two seconds of CPU."""
    from tests.support.packages import STAND_IN

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(STAND_IN))
        yield


@pytest.fixture
def soon() -> Iterator[None]:
    """The test ends within seconds, or fails: for what must not be waited for."""

    def late(*_: object) -> None:
        msg = "this takes too long"
        raise TimeoutError(msg)

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
