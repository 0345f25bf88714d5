"""Holes and title blocks on drawings: from data, from path, from the command line."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import nn

from .dataset import reduced
from .fit import batches
from .handlers import load, read_sheet, trained_model


def predict_from_data(model: nn.Module, sheets: NDArray[np.uint8]) -> list[list[Any]]:
    """For each sheet [N, 448, 640] its boxes (see handlers/callouts/boxes.py), in pixels of the sheet."""
    decode = load("callouts", "boxes").decode
    found: list[list[Any]] = []
    with torch.inference_mode():
        for ink in batches(sheets):
            heat, geometry = model(ink)
            found += [decode(one, place) for one, place in zip(heat, geometry, strict=True)]
    return found


def predict_from_path(path: Path, model: nn.Module | None = None) -> list[dict[str, Any]]:
    """Boxes on one drawing file, in pixels of that file (of a PDF at 300 dpi)."""
    data = path.read_bytes()
    scale = read_sheet(data).source_px_per_px
    (boxes,) = predict_from_data(model or trained_model("callouts"), reduced(data)[0][None])
    corners = ("x0", "y0", "x1", "y1")
    return [{"label": box.label, "score": box.score, **{c: getattr(box, c) * scale for c in corners}} for box in boxes]


def main(drawings: Annotated[list[Path], typer.Argument(help="PNG, TIFF, JPEG or PDF files.")]) -> None:
    """Print the boxes on each drawing. Example: python -m training.predict_callouts part.png"""
    model = trained_model("callouts")
    for path in drawings:
        for box in predict_from_path(path, model):
            place = " ".join(f"{box[c]:.0f}" for c in ("x0", "y0", "x1", "y1"))
            typer.echo(f"{path}: {box['label']} {box['score']:.3f} at {place}")


if __name__ == "__main__":
    typer.run(main)
