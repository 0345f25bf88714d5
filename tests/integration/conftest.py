"""The command line in this process."""

import signal
import sys
from collections.abc import Callable, Iterator
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
