"""Servers and archives for the tests with a real TorchServe. One server is shared where a test leaves it as it was.

The handlers of this folder do not compute with torch: a stand-in takes its place in `server` and with `remains`.
"""

import contextlib
import json
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from goldmar.backends.local import LocalServer
from tests.support.packages import STAND_IN

HANDLERS = Path(__file__).parent / "handlers"

CONFIG = {
    "minWorkers": 1,
    "maxWorkers": 1,
    "batchSize": 1,
    "maxBatchDelay": 1,
    "responseTimeout": 60,
    "startupTimeout": 60,
}

Archiver = Callable[..., Path]


@pytest.fixture(scope="session")
def archive_of(tmp_path_factory: pytest.TempPathFactory) -> Archiver:
    """`archive_of("obedient")` packs handlers/obedient.py; `model` names it otherwise, keywords change its config."""

    def build(handler: str, *siblings: str, model: str = "", version: str = "1.0", **config: object) -> Path:
        model = model or handler
        path = tmp_path_factory.mktemp("archives") / f"{model}.mar"
        manifest = {
            "createdOn": "01/01/2026 00:00:00",
            "runtime": "python",
            "model": {
                "modelName": model,
                "modelVersion": version,
                "handler": f"{handler}.py",
                "configFile": "model-config.yaml",
            },
            "archiverVersion": "0.12.0",
        }
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
            archive.writestr("model-config.yaml", "".join(f"{k}: {v}\n" for k, v in (CONFIG | config).items()))
            for name in (handler, *siblings):
                archive.write(HANDLERS / f"{name}.py", f"{name}.py")
        return path

    return build


@pytest.fixture(scope="session")
def server(archive_of: Archiver) -> Iterator[LocalServer]:
    """A running server with the model `obedient`; a test that uses it leaves it running and in order."""
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(STAND_IN))
            running = stack.enter_context(LocalServer([archive_of("obedient")]))
        yield running


def wait_until(true: Callable[[], bool], seconds: float = 90.0) -> None:
    """Instead of a pause: a busy machine takes as long as it takes."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it never came about"
        time.sleep(0.02)


class Remains:
    """What servers have left behind: folders, and processes that work in one."""

    def __init__(self, temporary: Path) -> None:
        self.temporary = temporary

    def folders(self) -> list[Path]:
        return sorted(self.temporary.glob("goldmar-*"))

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(self.temporary):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def keepers(self) -> list[psutil.Process]:
        """The shells that would clear up after us, by the folder they were told."""
        found = []
        for process in psutil.process_iter():
            try:
                command = process.cmdline()
            except psutil.Error:
                continue
            if "goldmar-keeper" in command and str(self.temporary) in command[-1]:
                found.append(process)
        return found

    def nothing(self) -> bool:
        return not (self.folders() or self.processes() or self.keepers())

    def wait_for_nothing(self, seconds: float = 20.0) -> None:
        """For what is cleared up by somebody else, after us."""
        until = time.monotonic() + seconds
        while not self.nothing():
            assert time.monotonic() < until, (self.folders(), self.processes(), self.keepers())
            time.sleep(0.05)


@pytest.fixture
def remains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remains]:
    """A temporary folder for this test's servers alone, short enough for sockets; it must be empty when it ends."""
    folder = Path(f"/tmp/gm{os.getpid()}-{time.monotonic_ns() % 10**9}")
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("PYTHONPATH", str(STAND_IN))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    left = Remains(folder)
    yield left
    stray = left.processes()
    for process in stray:
        process.kill()
    here = sorted(folder.rglob("*"))
    for path in reversed(here):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    folder.rmdir()
    assert not stray, stray
    assert not here, here
