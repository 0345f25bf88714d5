"""The shared modules by their bare names, as in an archive, and each handler loaded once."""

import sys
from collections.abc import Iterator

import pytest

from .service import HANDLERS, MODELS, Worker, loaded, stage

sys.path.append(str(HANDLERS / "common"))


def _worker(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with loaded(stage(model, tmp_path_factory.mktemp(model))) as worker:
        yield worker


@pytest.fixture(scope="session")
def thickness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    yield from _worker("thickness", tmp_path_factory)


@pytest.fixture(scope="session", params=MODELS)
def worker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    yield from _worker(request.param, tmp_path_factory)
