"""`goldmar affected` on a repository of 500 models: from the start of its process to its end, interpreter included.

    python -m benchmarks.affected --models 500
    python -m benchmarks.affected --models 50 --drawings 400    # 20,000 files

A repository is made once, with shared files, requirements of several kinds and a lock file that says who needs what.
`goldmar affected --base main --matrix` is timed on a change of a single model, and on those that make it read most: a
shared file that half of the models list, a package that two thirds of them need, both and more in 200 commits, and a
change of every file there is.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.common import Bar, Outcome, Table, interleaved, main, timed

GOLDMAR = Path(sys.executable).with_name("goldmar")
FILES = ("handler.py", "model.py", "preprocess.py", "weights.pt", "model-config.yaml", "MODEL_CARD.md")
GOLDEN = ("expected.csv", "provenance.toml", "tolerance.toml")
SHARED = ("drawing.py", "payload.py", "pdf.py", "raster.py", "sheet.py", "tensor.py")
KINDS = (("numpy>=1.26", "pillow>=11"), ("imagecodecs>=2025", "pillow>=11"), ("pypdfium2>=4.30",))


def measure(asked: argparse.Namespace) -> Outcome:
    models = 40 if asked.quick else asked.models
    with tempfile.TemporaryDirectory(prefix="goldmar-bench-") as folder:
        root = Path(folder) / "models"
        make(root, models, asked.drawings)
        before = git(root, "rev-parse", "main")
        reached: dict[str, int] = {}

        def affected(branch: str) -> Callable[[], float]:
            def run() -> float:
                git(root, "checkout", "-q", branch)
                said: list[str] = []
                seconds = timed(lambda: said.append(goldmar(root)))
                reached[branch] = sum(len(job["models"].split()) for job in json.loads(said[0])["include"])
                return seconds

            return run

        branches = {
            "one model": lambda: edit(root, "handlers/model-0007/handler.py"),
            "a shared file": lambda: edit(root, "handlers/common/pdf.py"),
            "a package": lambda: relock(root),
            "200 commits, all of it": lambda: many(root, models),
            "every file": lambda: everything(root),
        }
        for name, change in branches.items():
            git(root, "checkout", "-q", "-b", name.replace(" ", "-").replace(",", ""), before)
            change()
            git(root, "commit", "-q", "-a", "--allow-empty", "-m", name)
        seconds = interleaved(
            1 if asked.quick else asked.rounds,
            {name: affected(name.replace(" ", "-").replace(",", "")) for name in branches},
        )
        nothing = [timed(lambda: goldmar(root, "--version", command=())) for _ in range(1 if asked.quick else 5)]
    rows = [
        (name, reached[name.replace(" ", "-").replace(",", "")], median(of), max(of)) for name, of in seconds.items()
    ]
    worst = max(median(of) for of in seconds.values())
    return Outcome(
        [Bar(f"goldmar affected on {models} models, the slowest kind of change", worst, "at most", 1, "s")],
        [
            Table(
                f"goldmar affected --matrix, {models} models, {len(next(iter(seconds.values())))} rounds",
                ("change", "reached", "median s", "worst s"),
                rows,
            )
        ],
        [f"Of that, `goldmar --version` takes {median(nothing):.2f} s: the interpreter, and the command line itself."],
    )


# ---- the repository -------------------------------------------------------------------------------------------------


def make(root: Path, models: int, drawings: int) -> None:
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    for name in SHARED:
        write(root / "handlers/common" / name, f"# {name}\n")
    write(root / "ci/locks/api.txt", lock("13.0.0"))
    for number in range(models):
        model = f"model-{number:04}"
        listed = SHARED if number % 2 else SHARED[:2]
        write(root / "handlers" / model / "archive.toml", f'version = "1.0"\ncommon = {json.dumps(list(listed))}\n')
        write(root / "handlers" / model / "requirements.txt", "\n".join(KINDS[number % len(KINDS)]) + "\n")
        for name in FILES:
            write(root / "handlers" / model / name, f"# {name} of {model}\n" * 20)
        for name in (*GOLDEN, *(f"drawings/{each}.png" for each in range(drawings))):
            write(root / "golden" / model / name, f"{name} of {model}\n" * 20)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "all models")


def lock(pillow: str) -> str:
    pins = [
        ("filelock", "4.2.11", "torch"),
        ("imagecodecs", "2026.3.6", "-r api.in"),
        ("numpy", "2.4.6", "imagecodecs"),
        ("pillow", pillow, "-r api.in"),
        ("pypdfium2", "5.1.0", "-r api.in"),
        ("torch", "2.13.0", "-r api.in"),
        ("torchserve", "0.12.0", "-r api.in"),
        *((f"package-{number}", "1.0", "torchserve") for number in range(60)),
    ]
    return "".join(f"{name}=={version}\n    # via {via}\n" for name, version, via in sorted(pins))


def edit(root: Path, path: str) -> None:
    with (root / path).open("a", encoding="utf-8") as stream:
        stream.write("# one more line\n")


def relock(root: Path) -> None:
    write(root / "ci/locks/api.txt", lock("13.1.0"))


def many(root: Path, models: int) -> None:
    for number in range(200):
        edit(root, f"golden/model-{number % models:04}/expected.csv")
        git(root, "commit", "-q", "-a", "-m", f"change {number}")
    relock(root)
    edit(root, "handlers/common/pdf.py")


def everything(root: Path) -> None:
    for path in [*(root / "handlers").rglob("*"), *(root / "golden").rglob("*")]:
        if path.is_file() and path.name not in {"archive.toml", "requirements.txt"}:
            edit(root, str(path.relative_to(root)))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def git(root: Path, *arguments: str) -> str:
    said = ("user.name=bench", "user.email=bench@example.org", "commit.gpgsign=false", "gc.auto=0")
    who = [part for setting in said for part in ("-c", setting)]
    done = subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def goldmar(root: Path, *arguments: str, command: tuple[str, ...] = ("affected", "--base", "main", "--matrix")) -> str:
    return subprocess.run(
        [GOLDMAR, *command, *arguments],
        cwd=root,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


if __name__ == "__main__":
    main(
        __doc__,
        measure,
        models={"type": int, "default": 500, "help": "how many"},
        drawings={"type": int, "default": 2, "help": "of each model"},
        rounds={"type": int, "default": 5, "help": "each change so often"},
    )
