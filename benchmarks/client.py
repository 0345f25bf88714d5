"""goldmar's client beside those that it could have been, asking TorchServe's own /ping over four connections.

    python -m benchmarks.client

Nothing is cheaper for a server than /ping, so the rates are those of the clients, sharing the machine with the server
as they do when `goldmar check` starts it. goldmar's figure is that of `goldmar.predict.replies_of`, which `predict`
sends its drawings through: threads, retries, bounds and latencies included. Every contestant checks the status and
reads the body. wrk is the reference, written in C: what the server can do.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.common import ROOT, Bar, Outcome, Table, interleaved, main, median_ratio
from goldmar.archive import build
from goldmar.backends.http import HttpServer
from goldmar.backends.local import LocalServer
from goldmar.predict import Retries, replies_of
from goldmar.protocols.torchserve import TorchServe
from goldmar.records import Drawing, Origin, Request
from goldmar.seam import Message
from goldmar.transport.endpoint import Endpoint

CLIENTS = 4
# requests reads the environment's proxies anew for each request unless told not to: the bar is that of the faster way.
GOLDMAR, REQUESTS, FAST = "goldmar", "requests.Session, trust_env off", "Locust FastHttpUser"

LOCUSTFILE = """
import json, os
from locust import FastHttpUser, HttpUser, task

class User({kind}):
    host = os.environ["BENCH_HOST"]
    headers = json.loads(os.environ["BENCH_HEADERS"])

    @task
    def ping(self):
        self.client.get("/ping", headers=self.headers)
"""


def goldmar(endpoint: Endpoint, seconds: float) -> float:
    rate = _exchanged(endpoint, 500)
    return _exchanged(endpoint, max(500, round(rate * seconds)))


class Ping(TorchServe):
    """/ping in place of a prediction."""

    def message(self, request: Request) -> Message:
        return Message("/ping")


class Pinged(HttpServer):
    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(Ping())
        self._open(endpoint)

    @property
    def origin(self) -> Origin:
        return Origin("ping")


def _exchanged(endpoint: Endpoint, count: int) -> float:
    nothing = [Drawing("", Path(), "")] * count
    started = time.perf_counter()
    for reply in replies_of("", nothing, Pinged(endpoint), clients=CLIENTS, retries=Retries(limit=0)):
        assert reply.answer.status == 200
        assert reply.answer.body
    return count / (time.perf_counter() - started)


def threaded(make: Callable[[Endpoint], Callable[[], int]]) -> Callable[[Endpoint, float], float]:
    """A contestant of CLIENTS threads, each calling what `make` gives it, which returns the status."""

    def rate(endpoint: Endpoint, seconds: float) -> float:
        counts = [0] * CLIENTS
        failed: list[BaseException] = []

        def client(number: int) -> None:
            try:
                ask = make(endpoint)
                while time.perf_counter() < end:
                    assert ask() == 200
                    counts[number] += 1
            except BaseException as error:
                failed.append(error)

        started = time.perf_counter()
        end = started + seconds
        threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        return sum(counts) / (time.perf_counter() - started)

    return rate


def requests_session(endpoint: Endpoint, *, trust_env: bool = False) -> Callable[[], int]:
    import requests

    session = requests.Session()
    session.trust_env = trust_env
    session.headers.update(endpoint.headers)

    def ask() -> int:
        with session.get(f"{endpoint.url}/ping") as response:
            assert response.content
            return response.status_code

    return ask


def urllib3_pool(endpoint: Endpoint) -> Callable[[], int]:
    import urllib3

    pool = urllib3.PoolManager(maxsize=1, headers=dict(endpoint.headers))

    def ask() -> int:
        response = pool.request("GET", f"{endpoint.url}/ping", retries=False)
        assert response.data
        return response.status

    return ask


def httpx_client(endpoint: Endpoint) -> Callable[[], int]:
    import httpx

    client = httpx.Client(headers=dict(endpoint.headers), trust_env=False)

    def ask() -> int:
        response = client.get(f"{endpoint.url}/ping")
        assert response.content
        return response.status_code

    return ask


def aiohttp_session(endpoint: Endpoint, seconds: float) -> float:
    import aiohttp

    async def client(session: aiohttp.ClientSession, end: float) -> int:
        count = 0
        while time.perf_counter() < end:
            async with session.get(f"{endpoint.url}/ping") as response:
                assert await response.read()
                assert response.status == 200
            count += 1
        return count

    async def run() -> float:
        connector = aiohttp.TCPConnector(limit=CLIENTS)
        async with aiohttp.ClientSession(connector=connector, headers=dict(endpoint.headers)) as session:
            started = time.perf_counter()
            counts = await asyncio.gather(*[client(session, started + seconds) for _ in range(CLIENTS)])
            return sum(counts) / (time.perf_counter() - started)

    return asyncio.run(run())


def locust(kind: str) -> Callable[[Endpoint, float], float]:
    """Locust's own figure: requests from the first user's start to the last answer."""

    def rate(endpoint: Endpoint, seconds: float) -> float:
        environment = {**os.environ, "BENCH_HOST": endpoint.url, "BENCH_HEADERS": json.dumps(dict(endpoint.headers))}
        with tempfile.TemporaryDirectory(prefix="goldmar-bench-") as folder:
            file = Path(folder, "locustfile.py")
            file.write_text(LOCUSTFILE.format(kind=kind), encoding="utf-8")
            command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "--json", "--only-summary"]
            command += ["-u", str(CLIENTS), "-r", "100", "-t", f"{round(seconds) + 3}s", "--loglevel", "ERROR"]
            for _ in range(3):
                done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=folder)
                # Its clock runs while it starts: on a very busy machine it can end before the first user has asked.
                if found := json.loads(done.stdout):
                    break
        (said,) = found
        assert said["num_failures"] == 0
        return said["num_requests"] / (said["last_request_timestamp"] - said["start_time"])

    return rate


def wrk(endpoint: Endpoint, seconds: float) -> float:
    headers = [part for name, value in endpoint.headers.items() for part in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{max(1, round(seconds))}s", *headers, f"{endpoint.url}/ping"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "Non-2xx" not in done.stdout, done.stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found.group(1))


CONTESTANTS: dict[str, tuple[str, Callable[[Endpoint, float], float]]] = {
    GOLDMAR: ("pycurl", goldmar),
    FAST: ("locust", locust("FastHttpUser")),
    "aiohttp, one event loop": ("aiohttp", aiohttp_session),
    "urllib3, a thread each": ("urllib3", threaded(urllib3_pool)),
    "httpx.Client, a thread each": ("httpx", threaded(httpx_client)),
    REQUESTS: ("requests", threaded(requests_session)),
    "requests.Session as it comes": ("requests", threaded(partial(requests_session, trust_env=True))),
    "Locust HttpUser": ("locust", locust("HttpUser")),
}


def _model(folder: Path) -> Path:
    """TorchServe is started with a model, which is not asked."""
    return build(ROOT / "handlers" / "thickness", folder).path


def measure(asked: argparse.Namespace) -> Outcome:
    rounds, seconds = (1, 0.5) if asked.quick else (5, 3.0)
    # Those that no bar names take part where they happen to be installed.
    contestants = {
        name: rate
        for name, (package, rate) in CONTESTANTS.items()
        if name in (GOLDMAR, REQUESTS, FAST) or importlib.util.find_spec(package)
    }
    with tempfile.TemporaryDirectory(prefix="goldmar-bench-") as folder, LocalServer([_model(Path(folder))]) as server:
        endpoint = server.endpoint
        # Java compiles what it runs often; the first contestant must not pay for that.
        for _ in range(1 if asked.quick else 3):
            goldmar(endpoint, seconds)
        rates = interleaved(
            rounds,
            {
                name: lambda rate=rate: rate(endpoint, seconds)  # type: ignore[misc]
                for name, rate in {"wrk (reference)": wrk, **contestants}.items()
            },
        )
    rows = [
        (name, round(median(found)), median_ratio(rates[GOLDMAR], found), *(round(rate) for rate in found))
        for name, found in sorted(rates.items(), key=lambda item: -median(item[1]))
    ]
    header = ("client", "median, requests/s", "goldmar is times", *(f"round {number + 1}" for number in range(rounds)))
    return Outcome(
        bars=[
            Bar(
                "client: goldmar / requests sessions on /ping",
                median_ratio(rates[GOLDMAR], rates[REQUESTS]),
                "at least",
                3.0,
            ),
            Bar(
                "client: goldmar / Locust FastHttpUser on /ping",
                median_ratio(rates[GOLDMAR], rates[FAST]),
                "at least",
                1.0,
            ),
        ],
        tables=[Table(f"GET /ping of TorchServe, {CLIENTS} clients", header, rows)],
    )


if __name__ == "__main__":
    main(__doc__, measure)
