"""What pytest collects: a model with an item for each of its drawings."""

import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from goldmar.errors import GoldmarError
from goldmar.pytest_plugin.words import words
from goldmar.records import ModelResult, Origin, RunResult
from goldmar.text import clean, clean_lines

__all__ = ["GoldenItem", "GoldenModel"]


class GoldenModel(pytest.Collector):
    """One model, with an item for each drawing that is in the folder or in the golden.

    Its path is that of the session, whose conftest.py is then asked about the items as about all others.
    """

    def __init__(self, *, goldens: Sequence[Any], session_of_goldens: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._goldens, self._session = goldens, session_of_goldens

    def collect(self) -> Iterator[pytest.Item]:
        for name, golden in self._goldens:
            yield GoldenItem.from_parent(self, name=name, golden=golden, session_of_goldens=self._session)


class GoldenItem(pytest.Item):
    """One drawing of one model."""

    def __init__(self, *, golden: Any, session_of_goldens: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.golden = golden  # a Golden, cut to this drawing
        self._session = session_of_goldens
        self.add_marker("goldmar")

    def runtest(self) -> None:
        if self.golden.drawings:
            self._session.start()
        result = self._session.asking.compare(self.golden)
        if result.failures or result.values == 0:
            raise GoldenMismatch(result, self._session.asking.origin)

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> Any:  # the union that pytest declares is private
        error = excinfo.value
        if isinstance(error, GoldenMismatch):
            return error.words()
        if isinstance(error, GoldmarError):
            return words(error)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.golden.folder, None, clean(f"{self.golden.model}: {self.name}")


class GoldenMismatch(AssertionError):
    """The answer for a drawing does not pass."""

    def __init__(self, result: ModelResult, origin: Origin) -> None:
        super().__init__(result.model)
        self.result, self.origin = result, origin

    def words(self) -> str:
        """What `goldmar check` would print."""
        from rich.console import Console

        from goldmar.pipeline.jobs import judge
        from goldmar.pipeline.reports import run as report

        run = RunResult((self.result,), self.origin.backend, self.origin.url, datetime.now(UTC), 0.0)
        page = io.StringIO()
        report.terminal.render(run, judge(run), Console(file=page, width=110, no_color=True, highlight=False))
        return clean_lines(page.getvalue())
