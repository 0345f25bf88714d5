"""What `predict` gets from a model behind TorchServe, beside what wrk gets: same drawings, same number of connections.

    python -m benchmarks.check_throughput

`predict` is what `goldmar check` asks through: it reads each file as its turn comes, parses and flattens each answer,
keeps each latency. wrk reads all files and formats all requests before it starts, and throws the answers away.
"""

import argparse
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from statistics import median, quantiles

from benchmarks.common import ROOT, Bar, Outcome, Table, interleaved, main, median_ratio
from benchmarks.wrk import wrk
from goldmar.archive import build
from goldmar.backends.local import LocalServer
from goldmar.golden import find_drawings
from goldmar.predict import predict
from goldmar.records import Prediction


def measure(asked: argparse.Namespace) -> Outcome:
    rounds, seconds = (1, 1.0) if asked.quick else (5, 6.0)
    clients, model = asked.clients, asked.model
    drawings = find_drawings(ROOT / "golden" / model / "drawings")
    latencies: list[float] = []
    wrk_p50: list[float] = []

    with tempfile.TemporaryDirectory(prefix="goldmar-bench-") as folder:
        archive = build(ROOT / "handlers" / model, Path(folder)).path
        with LocalServer([archive], canaries={model: drawings[0]}) as server:

            def by_goldmar(count: int) -> tuple[float, list[Prediction]]:
                some = list(islice(cycle(drawings), count))
                started = time.perf_counter()
                predictions = predict(model, some, server, clients=clients)
                rate = count / (time.perf_counter() - started)
                assert all(prediction.problem is None for prediction in predictions)
                return rate, predictions

            def by_wrk() -> float:
                load = wrk(server.endpoint, model, drawings, clients=clients, seconds=seconds)
                wrk_p50.append(load.p50_s)
                return load.rate

            # Whole passes over the drawings, since some take longer than others.
            rate, _ = by_goldmar(4 * len(drawings))
            count = max(1, round(rate * seconds / len(drawings))) * len(drawings)

            def goldmar_rate() -> float:
                rate, predictions = by_goldmar(count)
                latencies.extend(prediction.latency_s for prediction in predictions)
                return rate

            rates = interleaved(rounds, {"goldmar": goldmar_rate, "wrk": by_wrk})

    p50 = {"goldmar": quantiles(latencies, n=2)[0], "wrk": median(wrk_p50)}
    rows = [(name, median(found), 1000 * p50[name], *found) for name, found in rates.items()]
    header = ("client", "median, drawings/s", "p50, ms", *(f"round {number + 1}" for number in range(rounds)))
    ratio = median_ratio(rates["goldmar"], rates["wrk"])
    return Outcome(
        bars=[Bar(f"check: predict / wrk on {model}", ratio, "at least", 0.9)],
        tables=[Table(f"{model}: {len(drawings)} drawings in turn, {clients} clients", header, rows)],
    )


if __name__ == "__main__":
    main(
        __doc__,
        measure,
        clients={"type": int, "default": 4, "help": "connections of both (default 4)"},
        model={"default": "thickness", "help": "the model under handlers/ and golden/ (default thickness)"},
    )
