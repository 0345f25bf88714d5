"""Write the drawings that the golden files hold the models to: golden/<model>/drawings/.

Only drawings: what the models say about them is recorded and approved with goldmar itself.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from .drawings import SampleDrawing, generate
from .specs import FAMILIES, sample_spec

MODELS = ("callouts", "part_class", "thickness")
FIRST_SEED = 2_000_000  # neither trained on nor held out
KINDS = ("png", "g4", "g4_scan", "jpeg_gray", "pdf_vector", "g4_multipage", "jpeg_colour", "pdf_scan") * 3
ON_A3 = frozenset({1, 4, 10, 13, 17, 20})  # light formats alone: an A3 page has 17 million pixels
SECOND_SHEET = frozenset({5, 11, 18})  # filed under the number of the drawing before


@dataclass(frozen=True)
class GoldenDrawing:
    """name: path under drawings/ with its suffix."""

    name: str
    drawing: SampleDrawing


def golden_drawings(model: str) -> list[GoldenDrawing]:
    """The drawings of one model: every kind of file and, where it makes sense, every family. Same bytes each time."""
    families = [f for f in FAMILIES if f != "shaft" or model != "thickness"]
    made: list[GoldenDrawing] = []
    folder, sheet = "", 1
    for i, kind in enumerate(KINDS):
        seed = FIRST_SEED + 1000 * MODELS.index(model) + i
        family, paper = families[i % len(families)], "A3" if i in ON_A3 else "A4"
        drawing = generate(seed, kind, family, paper, small=True)
        if i in SECOND_SHEET:
            sheet += 1
        else:
            folder, sheet = sample_spec(seed, family, paper).title.number, 1
        made.append(GoldenDrawing(f"{folder}/RT-{sheet}{drawing.suffix}", drawing))
    return made


def write_golden_drawings(root: Path, model: str) -> int:
    """Write the drawings of `model` under root/<model>/drawings; returns how many bytes they have together."""
    total = 0
    for item in golden_drawings(model):
        path = root / model / "drawings" / item.name
        path.parent.mkdir(parents=True, exist_ok=True)
        total += path.write_bytes(item.drawing.data)
    return total


def main(
    root: Annotated[Path, typer.Option(help="The folder of all goldens.")] = Path("golden"),
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may be repeated.")] = None,
) -> None:
    """Write the golden drawings. Example: python -m training.make_golden_drawings"""
    for name in model or MODELS:
        size = write_golden_drawings(root, name)
        typer.echo(f"{name}: {len(KINDS)} drawings, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    typer.run(main)
