"""`thickness` behind TorchServe, held against the same handler called in-process by one process for each core.

    python -m benchmarks.serving

1. The sweep: workers x threads x batch, then the delays for the best of them, several models side by side in one
   server, each sent the golden's own drawings by 8 clients of goldmar. handlers/thickness/model-config.yaml is meant to
   be its winner.
2. The bar: the shipped configuration behind goldmar's own LocalServer, 8 clients on this machine, over the in-process
   limit at its best batch size. wrk is a second, leaner client: the difference is what goldmar's client costs.

Nothing is taken off for the clients: they, Java and the workers share the cores that the limit has to itself.
"""

import argparse
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median

import psutil
import yaml

from benchmarks.common import ROOT, Bar, Outcome, Table, interleaved, main, median_ratio
from benchmarks.inprocess import Limit
from benchmarks.wrk import wrk
from goldmar.archive import build
from goldmar.backends.local import LocalServer
from goldmar.golden import find_drawings
from goldmar.predict import predict
from goldmar.records import Drawing

CLIENTS = 8
CORES = len(os.sched_getaffinity(0))
BATCHES = (1, 2, 4, 8)
DELAYS_MS = (1, 5, 10)
FIRST_DELAY_MS = 5
WORKERS_AT_ONCE = 12  # resident in one server of the sweep; a worker takes some 250 MB


@dataclass(frozen=True, slots=True, order=True)
class Setting:
    """What the sweep varies. Times in milliseconds."""

    workers: int
    threads: int
    batch: int
    delay_ms: int

    @property
    def name(self) -> str:
        return f"w{self.workers}t{self.threads}b{self.batch}d{self.delay_ms}"


def measure(asked: argparse.Namespace) -> Outcome:
    seconds, rounds = (0.5, 1) if asked.quick else (asked.seconds, asked.rounds)
    handler: Path = asked.handler.resolve()
    drawings = mixed(find_drawings(asked.drawings.resolve()))
    shipped = shipped_setting(handler / "model-config.yaml")
    tables, bars = [], []
    with tempfile.TemporaryDirectory(prefix="goldmar-bench-") as folder:
        bench = Bench(handler, Path(folder), drawings)
        winner = shipped
        if not asked.no_sweep:
            rates = bench.sweep(grid(shipped, quick=asked.quick), seconds / 2, rounds=1 if asked.quick else 2)
            if not asked.quick:
                best = sorted(rates, key=rates.__getitem__, reverse=True)[:2]
                rates |= bench.sweep(other_delays(best) - rates.keys(), seconds / 2, rounds=2)
            winner = max(rates, key=rates.__getitem__)
            tables.append(sweep_table(rates, shipped))
        limit_table, figures, shares = bench.against_the_limit(
            asked.drawings, shipped, winner, seconds=seconds, rounds=rounds
        )

    limit = figures["in-process limit"]
    rows = [(name, median(of), median_ratio(of, limit)) for name, of in figures.items()]
    title = f"{CLIENTS} clients, median of {rounds} rounds of {seconds:g} s"
    tables += [limit_table, Table(title, ("", "drawings/s", "of the limit"), rows), shares]
    bars.append(
        Bar(f"thickness behind TorchServe, {CLIENTS} clients, of the in-process limit", rows[1][2], "at least", 0.8)
    )
    if not asked.no_sweep:
        of_winner = median_ratio(figures[SHIPPED], figures.get(WINNER, figures[SHIPPED]))
        bars.append(Bar("thickness, shipped configuration, of the sweep's winner", of_winner, "at least", 0.95))
    return Outcome(bars, tables)


SHIPPED = "shipped configuration, goldmar's client"
WINNER = "the sweep's winner, goldmar's client"


class Bench:
    """The handler in as many archives as there are settings to try, and the drawings that all of them are sent."""

    def __init__(self, handler: Path, folder: Path, drawings: Sequence[Drawing]) -> None:
        self._handler = handler
        self._folder = folder
        self._drawings = drawings

    def archive(self, setting: Setting) -> Path:
        """The handler's archive with another configuration, under the name of the setting."""
        target = self._folder / "handlers" / setting.name
        if not target.exists():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(
                self._handler.parent / "common", target.with_name("common"), ignore=ignored, dirs_exist_ok=True
            )
            shutil.copytree(self._handler, target, ignore=ignored)
            path = target / "model-config.yaml"
            config = yaml.safe_load(path.read_text())
            config |= {"minWorkers": setting.workers, "maxWorkers": setting.workers}
            config |= {"batchSize": setting.batch, "maxBatchDelay": setting.delay_ms}
            config["handler"] = {**config.get("handler", {}), "threads": setting.threads}
            path.write_text(yaml.safe_dump(config))
            build(target, self._folder)
        return self._folder / f"{setting.name}.mar"

    def sweep(self, settings: Iterable[Setting], seconds: float, *, rounds: int) -> dict[Setting, float]:
        """Drawings a second of each setting. Several share a server, and the idle ones cost nothing but memory."""
        rates: dict[Setting, float] = {}
        for group in grouped(sorted(settings)):
            with self._served(group) as server:
                asking = {setting.name: partial(self._goldmar, server, setting, seconds) for setting in group}
                figures = interleaved(rounds, asking)
            rates |= {setting: max(figures[setting.name]) for setting in group}
            print(*(f"  {setting.name} {rates[setting]:.1f}/s" for setting in group), flush=True)
        return rates

    def against_the_limit(
        self, folder: Path, shipped: Setting, winner: Setting, *, seconds: float, rounds: int
    ) -> tuple[Table, dict[str, list[float]], Table]:
        """The limit by batch size; rates of the limit, goldmar, wrk and the winner, by round; CPU time by process."""
        with (
            Limit(self.archive(shipped), folder, processes=CORES) as limit,
            self._served(list(dict.fromkeys((shipped, winner)))) as server,
        ):
            at_best = {size: limit.rate(batch=size, seconds=seconds / 2) for size in BATCHES}
            batch = max(at_best, key=at_best.__getitem__)
            shares = Shares(server, shipped.name)
            contestants: dict[str, Callable[[], float]] = {
                "in-process limit": lambda: limit.rate(batch=batch, seconds=seconds),
                SHIPPED: lambda: shares.during(lambda: self._goldmar(server, shipped, seconds)),
                "shipped configuration, wrk": lambda: self._wrk(server, shipped, seconds),
            }
            if winner != shipped:
                contestants[WINNER] = lambda: self._goldmar(server, winner, seconds)
            figures = interleaved(rounds, contestants)
        title = f"The limit: {CORES} processes, {shipped.threads} torch thread(s) each"
        return Table(title, ("batch", "drawings/s"), list(at_best.items())), figures, shares.table()

    @contextmanager
    def _served(self, settings: Sequence[Setting]) -> Iterator[LocalServer]:
        archives = [self.archive(setting) for setting in settings]
        with LocalServer(archives, startup_timeout_s=300) as server:
            for setting in settings:
                self._goldmar(server, setting, 0)
            yield server

    def _goldmar(self, server: LocalServer, setting: Setting, seconds: float) -> float:
        """Drawings a second over about so many seconds, in whole passes; a first pass is not counted."""
        started = time.perf_counter()
        self._ask(server, setting, self._drawings)
        rate = len(self._drawings) / (time.perf_counter() - started)
        if not seconds:
            return rate
        many = list(self._drawings) * max(1, round(rate * seconds / len(self._drawings)))
        started = time.perf_counter()
        self._ask(server, setting, many)
        return len(many) / (time.perf_counter() - started)

    def _ask(self, server: LocalServer, setting: Setting, drawings: Sequence[Drawing]) -> None:
        for prediction in predict(setting.name, drawings, server, clients=CLIENTS):
            if prediction.problem is not None:
                msg = f"{setting.name} failed on {prediction.drawing_id}: {prediction.problem}"
                raise RuntimeError(msg)

    def _wrk(self, server: LocalServer, setting: Setting, seconds: float) -> float:
        return wrk(server.endpoint, setting.name, self._drawings, clients=CLIENTS, seconds=seconds).rate


class Shares:
    """CPU seconds of the server, its workers and this process, for each second in which goldmar was asking."""

    def __init__(self, server: LocalServer, model: str) -> None:
        workers = [psutil.Process(pid) for pid in server.pids()[model]]
        self._processes = {
            "the handler in TorchServe's workers": workers,
            "TorchServe's frontend (Java)": [workers[0].parent() or workers[0]],
            "goldmar's client": [psutil.Process()],
        }
        self._cpu = dict.fromkeys(self._processes, 0.0)
        self._wall = 0.0

    def during(self, work: Callable[[], float]) -> float:
        before, started = self._now(), time.perf_counter()
        rate = work()
        self._wall += time.perf_counter() - started
        for name, cpu in self._now().items():
            self._cpu[name] += cpu - before[name]
        return rate

    def table(self) -> Table:
        rows = [(name, 100 * cpu / self._wall / CORES) for name, cpu in self._cpu.items()]
        return Table(f"Where the time of the {CORES} cores goes meanwhile", ("", "%"), rows)

    def _now(self) -> dict[str, float]:
        return {
            name: sum(sum(process.cpu_times()[:2]) for process in processes)
            for name, processes in self._processes.items()
        }


def mixed(drawings: Sequence[Drawing]) -> list[Drawing]:
    """Shuffled once, so that formats alternate as they would come in."""
    return random.Random(20220616).sample(drawings, len(drawings))


def shipped_setting(path: Path) -> Setting:
    config = yaml.safe_load(path.read_text())
    return Setting(config["minWorkers"], config["handler"]["threads"], config["batchSize"], config["maxBatchDelay"])


def grid(shipped: Setting, *, quick: bool) -> set[Setting]:
    """Every combination but of the delays, and the shipped one; a batch of one never waits."""
    if quick:
        return {shipped, Setting(1, 1, 1, FIRST_DELAY_MS)}
    counts = sorted({1, CORES})
    return {Setting(*chosen, FIRST_DELAY_MS) for chosen in product(counts, counts, BATCHES)} | {shipped}


def other_delays(settings: Iterable[Setting]) -> set[Setting]:
    return {replace(one, delay_ms=delay) for one in settings if one.batch > 1 for delay in DELAYS_MS}


def grouped(settings: Iterable[Setting]) -> list[list[Setting]]:
    """In order, so many at a time that their workers fit in memory together."""
    groups: list[list[Setting]] = []
    for setting in settings:
        if not groups or sum(one.workers for one in groups[-1]) + setting.workers > WORKERS_AT_ONCE:
            groups.append([])
        groups[-1].append(setting)
    return groups


def sweep_table(rates: dict[Setting, float], shipped: Setting) -> Table:
    best = max(rates.values())
    rows = [
        (*astuple(setting), rate, rate / best, "shipped" if setting == shipped else "")
        for setting, rate in sorted(rates.items(), key=lambda pair: -pair[1])
    ]
    header = ("workers", "threads", "batchSize", "maxBatchDelay ms", "drawings/s", "of the best", "")
    return Table(f"The sweep, {CLIENTS} clients of goldmar, better of two rounds", header, rows)


if __name__ == "__main__":
    main(
        __doc__,
        measure,
        handler={"type": Path, "default": ROOT / "handlers/thickness", "help": "folder of the handler"},
        drawings={"type": Path, "default": ROOT / "golden/thickness/drawings", "help": "what it is sent"},
        seconds={"type": float, "default": 5.0, "help": "length of one measurement"},
        rounds={"type": int, "default": 5, "help": "measurements of each contestant"},
        no_sweep={"action": "store_true", "help": "only the shipped configuration against the limit"},
    )
