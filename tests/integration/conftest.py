"""The command line in this process."""

import io
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from goldmar import cli


@dataclass
class Done:
    code: int
    out: str
    err: str


Goldmar = Callable[..., Done]


def in_process(*arguments: str | Path) -> Done:
    """The command line in this process, from main() to the exit code; what it changes here is put back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    hook, out, err = sys.unraisablehook, io.StringIO(), io.StringIO()
    try:
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "argv", ["goldmar", *map(str, arguments)])
            with pytest.raises(SystemExit) as exit_:
                cli.main()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook
    assert isinstance(exit_.value.code, int)
    return Done(exit_.value.code, out.getvalue(), err.getvalue())


@pytest.fixture
def goldmar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Goldmar]:
    """The command line in this process, from main() to the exit code."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    hook = sys.unraisablehook

    def run(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["goldmar", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        captured = capsys.readouterr()
        assert isinstance(exit_.value.code, int)
        return Done(exit_.value.code, captured.out, captured.err)

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)
    sys.unraisablehook = hook
