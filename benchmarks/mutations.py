"""Drawings that mean harm, through the three reference models behind a real TorchServe, with good ones among them.

    python -m benchmarks.mutations --count 100000 --seed 7

Damaged and spliced files, headers that lie, PDFs grown by lot that point at themselves, and attacks that are known
(tests/handlers/mutants.py). Every eighth request is a good drawing, whose answer is known; it shares its batch with
those beside it. Nothing but the file itself may come to harm: no answer of 5xx, no dead worker, no good drawing that is
answered otherwise, no answer that takes long, and no memory that stays.

The same seed sends the same files. Where --minutes run out, what was sent until then is judged; with none of n gone
wrong, the share that would is below 3/n with 95 % confidence.
"""

import argparse
import http.client
import itertools
import json
import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import psutil

from benchmarks.common import ROOT, Bar, Outcome, Table, main
from goldmar.archive import build
from goldmar.backends.local import LocalServer
from tests.handlers.bad_drawings import GOOD, Request
from tests.handlers.mutants import mutants

MODELS = ("callouts", "part_class", "thickness")
EVERY = 8  # of which one is good
WORST_S = 8.0
MEMORY_MB = 50.0
WARM_UP = 20


@dataclass
class Seen:
    """What came back so far. Filled by several threads, under its lock."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    harmed: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Client:
    """One connection that is kept."""

    def __init__(self, server: LocalServer) -> None:
        parts = urlsplit(server.url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
        self._headers = dict(server.endpoint.headers)

    def ask(self, model: str, request: Request) -> tuple[int, Any, float]:
        """Status, answer and seconds."""
        body, content_type = request
        started = time.perf_counter()
        headers = self._headers | {"Content-Type": content_type}
        self._connection.request("POST", f"/predictions/{model}", body=body, headers=headers)
        reply = self._connection.getresponse()
        text = reply.read()
        try:
            return reply.status, json.loads(text), time.perf_counter() - started
        except ValueError:
            return reply.status, text.decode("utf-8", "replace"), time.perf_counter() - started


def measure(asked: argparse.Namespace) -> Outcome:
    count = 600 if asked.quick else asked.count
    with TemporaryDirectory(prefix="goldmar-bench-") as folder:
        archives = [build(ROOT / "handlers" / model, Path(folder)).path for model in MODELS]
        with LocalServer(archives) as server:
            return attack(server, count, asked.seed, asked.clients, asked.minutes * 60)


def attack(server: LocalServer, count: int, seed: int, clients: int, limit_s: float) -> Outcome:
    one = Client(server)
    answers = {(model, name): one.ask(model, request)[1] for model in MODELS for name, request in GOOD.items()}
    everybody = [(model, Client(server)) for model in MODELS for _ in range(clients)]
    with ThreadPoolExecutor(len(everybody)) as pool:  # batches of every size have been there before memory is looked at
        for _ in range(WARM_UP):
            list(pool.map(lambda who: who[1].ask(who[0], GOOD["png"]), everybody))
    workers, before = server.pids(), memory(server)
    seen, started = Seen(), time.monotonic()
    requests = numbered(count, seed, limit_s)
    guard = threading.Lock()

    def work(model: str, client: Client) -> None:
        while True:
            with guard:
                item = next(requests, None)
            if item is None:
                return
            at, name, request = item
            status, answer, seconds = client.ask(model, request)
            with seen.lock:
                seen.statuses[status] += 1
                seen.seconds.append(seconds)
                if status >= 500 or status in (408, 429) or not isinstance(answer, dict):
                    seen.wrong.append(f"number {at} of seed {seed}, {model}: {status} {answer}")
                if name and (status != 200 or not same(answer, answers[model, name])):
                    seen.harmed.append(f"number {at} of seed {seed}, {name} to {model}: {status} {answer}")
                done = len(seen.seconds)
                if done % 5000 == 0:
                    print(progress(seen, done, time.monotonic() - started), file=sys.stderr, flush=True)

    with ThreadPoolExecutor(len(everybody)) as pool:
        list(pool.map(lambda who: work(*who), everybody))
    elapsed = time.monotonic() - started
    after_workers, after = server.pids(), memory(server)
    for line in (*seen.wrong[:20], *seen.harmed[:20]):
        print(line, file=sys.stderr)
    dead = sum(len(set(workers[model]) - set(after_workers[model])) for model in MODELS)
    return outcome(seen, dead, before, after, elapsed)


def numbered(count: int, seed: int, limit_s: float) -> Iterator[tuple[int, str, Request]]:
    """Requests in the order in which they are sent; the good ones with their name."""
    end = time.monotonic() + limit_s
    bad, good = mutants(count, seed), itertools.cycle(GOOD.items())
    for at in itertools.count():
        if time.monotonic() > end:
            return
        if at % EVERY == 0:
            yield at, *next(good)
            continue
        request = next(bad, None)
        if request is None:
            return
        yield at, "", request


def same(one: Any, other: Any) -> bool:
    """The same answer but for the last digits, which depend on the size of the batch."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-3, abs_tol=1e-3)
    return bool(one == other)


def memory(server: LocalServer) -> dict[str, tuple[float, float]]:
    """MB resident by model: of its workers, and of all processes below them."""
    found = {}
    for model, pids in server.pids().items():
        workers = [psutil.Process(pid) for pid in pids]
        below = [child for worker in workers for child in worker.children(recursive=True)]
        found[model] = (rss(workers), rss(below))
    return found


def rss(processes: list[psutil.Process]) -> float:
    return sum(process.memory_info().rss for process in processes) / 2**20


def progress(seen: Seen, done: int, elapsed: float) -> str:
    return (
        f"{done} in {elapsed:.0f} s: {dict(seen.statuses)}, {len(seen.wrong)} wrong, {len(seen.harmed)} good ones "
        f"harmed, worst {max(seen.seconds):.2f} s"
    )


def outcome(seen: Seen, dead: int, before: dict[str, Any], after: dict[str, Any], elapsed: float) -> Outcome:
    sent = len(seen.seconds)
    ordered = sorted(seen.seconds)
    grown = max(after[model][0] - before[model][0] for model in MODELS)
    below = max(after[model][1] - before[model][1] for model in MODELS)
    rows = [(model, *before[model], *after[model]) for model in MODELS]
    return Outcome(
        bars=[
            Bar(f"answers of 5xx, of {sent}", len(seen.wrong), "at most", 0),
            Bar("workers that died", dead, "at most", 0),
            Bar(f"good drawings harmed, of {-(-sent // EVERY)}", len(seen.harmed), "at most", 0),
            Bar("slowest answer", ordered[-1], "at most", WORST_S, "s"),
            Bar("memory that a model's workers have more than before", grown, "at most", MEMORY_MB, "MB"),
            Bar("memory that the processes below them have more than before", below, "at most", MEMORY_MB, "MB"),
        ],
        tables=[
            Table("Answers", ("status", "how many"), [(str(key), n) for key, n in sorted(seen.statuses.items())]),
            Table(
                "Seconds to an answer",
                ("median", "99 %", "99.9 %", "worst"),
                [tuple(ordered[min(sent - 1, int(sent * share))] for share in (0.5, 0.99, 0.999, 1))],
            ),
            Table("MB resident", ("model", "workers before", "below", "workers after", "below"), rows),
        ],
        notes=[f"{sent} requests in {elapsed:.0f} s; what was seen 0 times has a share below {3 / sent:.2g} (95 %)."],
    )


if __name__ == "__main__":
    main(
        __doc__,
        measure,
        count={"type": int, "default": 100_000, "help": "drawings that mean harm"},
        seed={"type": int, "default": 7, "help": "of the lot that makes them"},
        clients={"type": int, "default": 4, "help": "connections to each model"},
        minutes={"type": float, "default": 90.0, "help": "until the run ends as it is"},
    )
