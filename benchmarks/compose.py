"""The api and the batch through compose, from a clean Docker state to the verdict, and what the images weigh.

    python -m benchmarks.compose

Wants a Docker engine that answers, the base image (BASE_IMAGE, goldmar-base:bookworm by default: ci/base-image) and
the wheelhouse (ci/wheelhouse). A clean state is one without goldmar's images and without Docker's build cache: both
are removed first. Nothing runs side by side here: there is no peer, and two builds at once would share the cores.

- first: build, up, batch (all reference models, all drawings), down;
- second: the same again, with the caches that the first has left.
"""

import argparse
import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.common import ROOT, Bar, Outcome, Table, main
from goldmar.serve.engine import find_compose

STEPS = (("build",), ("up", "-d", "api"), ("run", "--rm", "-T", "batch"), ("down", "--volumes"))
IMAGES = ("goldmar-api:bench", "goldmar-batch:bench")
LARGEST = 12


def measure(asked: argparse.Namespace) -> Outcome:
    compose = find_compose()
    base = os.environ.setdefault("BASE_IMAGE", "goldmar-base:bookworm")
    subprocess.run(["docker", "image", "inspect", base], check=True, capture_output=True)
    if not any((ROOT / "wheelhouse").glob("*.whl")):
        raise SystemExit("error: there is no wheelhouse.\nfix: ci/wheelhouse")
    with tempfile.TemporaryDirectory(prefix="goldmar-bench-") as name:
        project = copied(Path(name))
        if not asked.quick:
            clean()
        first = through(project, compose.command)
        second = through(project, compose.command)
    rows = [(" ".join(step), first[step], second[step]) for step in STEPS]
    totals = sum(first.values()), sum(second.values())
    tables = [Table(f"Seconds of each step, {compose.name} {compose.version}", ("", "first", "second"), rows)]
    tables += [weights(image) for image in IMAGES]
    bars = [
        Bar("build, up, batch and down from a clean Docker state", totals[0], "at most", 240, "s"),
        Bar("the same again, with caches", totals[1], "at most", 60, "s"),
    ]
    return Outcome(
        bars, tables, [f"goldmar-api {megabytes(IMAGES[0]):,.0f} MB, goldmar-batch {megabytes(IMAGES[1]):,.0f} MB."]
    )


def copied(target: Path) -> Path:
    """The parts of the repository that compose works on, with archives of their own; the wheels as hard links."""
    for part in ("compose", "handlers", "golden", "ci", "src/goldmar"):
        shutil.copytree(ROOT / part, target / part, ignore=shutil.ignore_patterns("__pycache__", "obtained*"))
    shutil.copyfile(ROOT / ".dockerignore", target / ".dockerignore")
    (target / "wheelhouse").mkdir()
    for wheel in (ROOT / "wheelhouse").glob("*.whl"):
        try:
            os.link(wheel, target / "wheelhouse" / wheel.name)
        except OSError:
            shutil.copyfile(wheel, target / "wheelhouse" / wheel.name)
    (target / "reports").mkdir()
    (target / "reports").chmod(0o777)
    subprocess.run([ROOT / ".venv/bin/goldmar", "archive"], cwd=target, check=True, capture_output=True)
    return target


def clean() -> None:
    """No image of goldmar but the base, and no build cache."""
    said = output("docker", "images", "--format", "{{.Repository}}:{{.Tag}}")
    ours = [name for name in said.split() if re.match(r"goldmar-(api|batch):", name)]
    if ours:
        subprocess.run(["docker", "image", "rm", "--force", *ours], check=True, capture_output=True)
    subprocess.run(["docker", "image", "prune", "--force"], check=True, capture_output=True)
    subprocess.run(["docker", "builder", "prune", "--all", "--force"], check=True, capture_output=True)


def through(project: Path, compose: tuple[str, ...]) -> dict[tuple[str, ...], float]:
    """Seconds of each step, by step."""
    environment = os.environ | {
        "COMPOSE_PROJECT_NAME": f"goldmar-bench-{secrets.token_hex(4)}",
        "GOLDMAR_TAG": "bench",
        "GOLDMAR_PORT": "0",
        "GOLDMAR_BUILD_NETWORK": "none",
    }
    files = ["-f", "compose/docker-compose.yml", "--env-file", "compose/env/dev.env"]
    seconds = {}
    try:
        for step in STEPS:
            started = time.perf_counter()
            done = subprocess.run(
                [*compose, *files, *step], cwd=project, env=environment, capture_output=True, text=True
            )
            seconds[step] = time.perf_counter() - started
            if done.returncode:
                raise SystemExit(f"error: compose {' '.join(step)} failed.\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    finally:
        subprocess.run([*compose, *files, "down", "--volumes"], cwd=project, env=environment, capture_output=True)
    return seconds


# ---- what an image weighs -------------------------------------------------------------------------------------------

WEIGH = """
import json, os
from pathlib import Path
def size(top):
    return sum(os.lstat(os.path.join(at, name)).st_size for at, _, names in os.walk(top) for name in names)
site = next(Path("/opt/venv/lib").glob("*/site-packages"))
found = {entry.name: size(entry) for entry in site.iterdir() if entry.is_dir()}
found["the archives, scripts of compose/"] = size("/opt/goldmar")
print(json.dumps(found))
"""


def weights(image: str) -> Table:
    """The base, then the largest packages, in MB."""
    base = megabytes(os.environ["BASE_IMAGE"])
    found = json.loads(
        output("docker", "run", "--rm", "--network", "none", "--entrypoint", "python3", image, "-c", WEIGH)
    )
    largest = sorted(found.items(), key=lambda pair: -pair[1])[:LARGEST]
    rows = [("base image", base), *((name, size / 1e6) for name, size in largest)]
    rest = megabytes(image) - sum(size for _, size in rows)
    return Table(
        f"What makes up {image.split(':')[0]}",
        ("", "MB"),
        [*rows, ("everything else", rest), ("all", megabytes(image))],
    )


def megabytes(image: str) -> float:
    return int(output("docker", "image", "inspect", "--format", "{{.Size}}", image)) / 1e6


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main(__doc__, measure)
