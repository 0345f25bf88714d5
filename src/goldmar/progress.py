"""What the command line shows while a job runs: a bar on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from goldmar.records import Prediction
from goldmar.text import clean, clean_lines


class ConsoleProgress:
    """Shows `pipeline.progress.Progress` on a rich console.

    Without a terminal there is no bar, and of the steps only those that differ from the one before, at most one a
    second: a CI log should read as a list of what happened.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._last = ""
        self._printed = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away; steps and notes after this are plain lines."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None

    def step(self, text: str) -> None:
        text = clean(text)
        if self._bar is not None:
            self._restart(escape(text), total=None)
        elif text != self._last and time.monotonic() - self._printed >= 1:
            self._printed = time.monotonic()
            self._console.print(escape(text))
        self._last = text

    def asking(self, model: str, drawings: int) -> None:
        if self._bar is not None:
            self._restart(f"asking {escape(clean(model))}", total=drawings)
        else:
            self._console.print(f"asking {escape(clean(model))} about {drawings} drawings")

    def answered(self, model: str, prediction: Prediction) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)

    def note(self, text: str) -> None:
        self._console.print(escape(clean_lines(text)))

    def _restart(self, description: str, *, total: int | None) -> None:
        if self._bar is None:
            return
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(description, total=total)
