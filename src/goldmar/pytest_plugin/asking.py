"""The server of a test session: started when the first drawing needs it, one for all processes of pytest-xdist."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from goldmar.errors import GoldmarError
from goldmar.pytest_plugin.words import words
from goldmar.records import ModelResult, Origin, Prediction, Reach

__all__ = ["Asking"]


class Asking:
    """Asks about one drawing at a time. `handed` is the file in which another process says where its server is.

    Raises UsageError on construction, where the options do not go together.
    """

    def __init__(self, project: Any, reach: Reach, handed: Path | None = None) -> None:
        from goldmar.pipeline.servers import way_to

        self.way = way_to(reach)
        self._project = project
        self._handed = handed
        self._stack = ExitStack()
        self._server: Any = None  # a Server, entered

    @property
    def origin(self) -> Origin:
        """Where the answers come from, as far as is known before the first."""
        origin: Origin = self._server.origin if self._server is not None else Origin(self.way.backend.name)
        return origin

    def start(self, models: Iterable[str]) -> None:
        """Start the server for these models, or reach that of the controller. Ends the session where it cannot be."""
        if self._server is not None:
            return
        try:
            if self._handed is not None and self.way.backend.resume is not None:
                self._server = self.way.backend.resume(json.loads(self._handed.read_bytes()), self.way.reach.edge)
            else:
                self._open(sorted(set(models)))
        except GoldmarError as error:
            # Every item would say the same; once is enough, with the exit code of `goldmar check`.
            pytest.exit(words(error), returncode=int(error.exit_code))

    def _open(self, names: list[str]) -> None:
        from goldmar.pipeline.archives import packages_of_model
        from goldmar.pipeline.goldens import read_model
        from goldmar.pipeline.servers import open_server, read_archives

        archives = read_archives(self._project, self.way, names)
        goldens = [read_model(self._project, name, with_expected=False, reach=self.way.reach) for name in names]
        server = open_server(self._project, self.way, goldens, archives, _Silent())
        self._stack.push(server)  # before it is entered: Ctrl-C may come just when that is done
        self._server = server.__enter__()
        installed = self._server.packages()
        for name in names:
            packages_of_model(self._project, name, installed, archives.get(name))  # refuses others than are asked for

    def compare(self, golden: Any) -> ModelResult:
        """The answer for the drawing of a golden that is cut to it; without a drawing nobody is asked."""
        from goldmar.pipeline.results import compare_model, predict, result_of, values_of

        predictions: list[Prediction] = []
        if golden.drawings:
            try:
                place = golden.request.at(self.origin)
                predictions = predict(golden.model, golden.drawings, self._server, **place, clients=1)
            except GoldmarError as error:
                error.detail = error.detail or self._server.diagnostics()
                raise
        compared = compare_model(golden, predictions, values_of(predictions))
        if not predictions:
            return ModelResult.of(compared)
        version = self._server.versions().get(golden.model, "")
        return result_of(golden, compared, predictions, self.origin, version)

    def share(self) -> Path | None:
        """The file in which the processes of pytest-xdist are told where the server is; None where each has its own."""
        if self.way.backend.resume is None:
            return None
        if self._handed is None:
            self._handed = Path(tempfile.mkdtemp(prefix="goldmar-pytest-")) / "server.json"
            self._stack.callback(shutil.rmtree, self._handed.parent, ignore_errors=True)
        return self._handed

    def start_shared(self, models: Iterable[str]) -> None:
        """Start the server in the controller, and say where it is in the file of `share`."""
        place, self._handed = self._handed, None
        if place is not None and self._server is None:
            self.start(models)
            self._write(place)
        self._handed = place

    def _write(self, place: Path) -> None:
        with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(self._server.handover(), file, default=dict)

    def close(self) -> None:
        """Stop what was started."""
        self._stack.close()


class _Silent:
    """No progress lines: pytest shows its own."""

    def step(self, text: str) -> None: ...

    def asking(self, model: str, drawings: int) -> None: ...

    def answered(self, model: str, prediction: Prediction) -> None: ...

    def note(self, text: str) -> None: ...
