"""Bad drawings at a real TorchServe: a 4xx with a sentence for each, good ones beside them answered, no worker lost."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import requests

from goldmar.archive import build
from goldmar.backends.local import LocalServer
from goldmar.serve.launch import MAX_BODY
from tests.handlers.attacks import ATTACKS
from tests.handlers.bad_drawings import BAD, GOOD, Request, mutations
from tests.handlers.mutants import mutants

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
MODELS = ("callouts", "part_class", "thickness")
CLIENTS = 8  # enough for every batch of every model to hold more than one drawing

Ask = Callable[[str, Request], requests.Response]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    store = tmp_path_factory.mktemp("model_store")
    archives = [build(ROOT / "handlers" / model, store).path for model in MODELS]
    with LocalServer(archives) as running:
        yield running


@pytest.fixture
def ask(server: LocalServer) -> Iterator[Ask]:
    """Asks one model about one request. The workers that answer before the test are those that answer after it."""
    before = server.pids()
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=CLIENTS))

        def post(model: str, request: Request) -> requests.Response:
            body, content_type = request
            headers = {**server.endpoint.headers, "Content-Type": content_type}
            return session.post(f"{server.url}/predictions/{model}", data=body, headers=headers, timeout=120)

        yield post
    assert server.pids() == before


def all_at_once(ask: Ask, model: str, wanted: list[Request]) -> list[requests.Response]:
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(lambda request: ask(model, request), wanted))


@pytest.mark.parametrize("model", MODELS)
def test_refused_one_by_one_among_good_ones(ask: Ask, model: str) -> None:
    alone = {name: ask(model, request).json() for name, request in GOOD.items()}
    names = [name for pair in zip(BAD, [*GOOD] * len(BAD), strict=False) for name in pair]
    replies = all_at_once(ask, model, [BAD.get(name) or GOOD[name] for name in names])
    for name, reply in zip(names, replies, strict=True):
        if name in BAD:
            assert 400 <= reply.status_code < 500, (name, reply.status_code, reply.text)
            assert len(reply.json()["message"].split()) > 3, (name, reply.text)
        else:
            assert reply.status_code == 200, (name, reply.text)
            # The same drawing, whoever else is in the batch; kernels may differ in the last digits by batch size.
            assert list(flat(reply.json())) == pytest.approx(list(flat(alone[name])), rel=1e-3, abs=1e-3)


def test_a_body_over_the_limit(ask: Ask) -> None:
    assert ask("thickness", (bytes(MAX_BODY + 1), "image/png")).status_code == 413


def test_two_thousand_mutations(ask: Ask) -> None:
    requests_ = list(mutations(2000))
    replies = all_at_once(ask, "thickness", requests_)
    for (data, _), reply in zip(requests_, replies, strict=True):
        assert reply.status_code in (200, 400), (reply.status_code, reply.text, data[:100].hex())
        assert set(reply.json()) == ({"thickness"} if reply.status_code == 200 else {"code", "type", "message"})
    # Both outcomes have to turn up, or the mutations are too mild or too harsh to show anything.
    counts = Counter(reply.status_code for reply in replies)
    assert counts[200] > 200
    assert counts[400] > 500


def test_drawings_that_mean_harm(server: LocalServer, ask: Ask) -> None:
    """A part of benchmarks/mutations.py: some by lot and some known attacks, and good ones beside them."""
    all_at_once(ask, "thickness", [GOOD["png"]] * 40)
    workers = [psutil.Process(pid) for pid in server.pids()["thickness"]]
    before = [worker.memory_info().rss for worker in workers]
    attacks = [ATTACKS[name] for name in ("tiles", "forms in forms", "rgba within the limit", "filters in a chain")]
    bad = [*attacks, *mutants(150, seed=5, attacks=0)]
    replies = all_at_once(ask, "thickness", [request for one in bad for request in (one, GOOD["png"])])
    wanted = replies[-1].json()["thickness"]
    for bad_one, good_one in zip(replies[::2], replies[1::2], strict=True):
        assert bad_one.status_code in (200, 400), bad_one.text
        assert (good_one.status_code, good_one.json()["thickness"]) == (200, pytest.approx(wanted, rel=1e-3))
    assert max(reply.elapsed.total_seconds() for reply in replies) < 20  # 8 on a machine with nothing else to do
    for worker, rss in zip(workers, before, strict=True):
        assert worker.memory_info().rss - rss < 50e6


def flat(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for each in value.values():
            yield from flat(each)
    elif isinstance(value, list):
        for each in value:
            yield from flat(each)
    elif not isinstance(value, str):
        yield value
