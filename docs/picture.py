"""Draws docs/report.svg from a real run: the three models, after somebody nudged the weights of one of them.

Run it with `make picture`. The report is what `goldmar check` prints on a terminal.
"""

import contextlib
import io
import re
import shutil
import tempfile
from pathlib import Path

import torch
from rich.console import Console

from goldmar.pipeline.archives import build_archives
from goldmar.pipeline.jobs import Job, check
from goldmar.pipeline.reports import run as report
from goldmar.pipeline.selection import load_project, select_handlers, select_models
from goldmar.pipeline.servers import way_to
from goldmar.progress import ConsoleProgress
from goldmar.records import Reach

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "report.svg"
NUDGED, BY = "thickness", 1.1
WIDTH = 116


def nudge(weights: Path) -> None:
    """Scale the last layer a little, which nobody would see by looking at an answer."""
    state = torch.load(weights, weights_only=True)
    torch.save({name: value * BY if name.startswith("head.") else value for name, value in state.items()}, weights)


def main() -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        root = Path(folder)
        for name in ("handlers", "golden"):
            shutil.copytree(ROOT / name, root / name)
        nudge(root / "handlers" / NUDGED / "weights.pt")
        project = load_project(root)
        progress = ConsoleProgress(Console(stderr=True))
        models = select_models(project, [])
        build_archives(project, select_handlers(project, models), progress)
        job = Job(project, models, way_to(Reach()), progress, clients=project.clients)
        run, verdict = check(job)
        console.print("$ goldmar check", style="bold")
        report.terminal.render(run, verdict, console)
        svg = console.export_svg(title="goldmar check")
    # rich would fetch its font from the web; the reader's own monospaced one will do.
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace")
    PICTURE.write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
