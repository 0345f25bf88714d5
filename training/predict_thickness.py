"""Thickness of drawings: from data, from path, from the command line."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import nn

from .dataset import NOMINAL_MM_PER_PX, reduced
from .fit import batches
from .handlers import trained_model


def predict_from_data(model: nn.Module, sheets: NDArray[np.uint8], mm_per_px: list[float]) -> list[float]:
    """Thickness in mm of each sheet [N, 448, 640]."""
    with torch.inference_mode():
        nominal = torch.cat([model(ink) for ink in batches(sheets)]).tolist()
    return [value * scale / NOMINAL_MM_PER_PX for value, scale in zip(nominal, mm_per_px, strict=True)]


def predict_from_path(path: Path, model: nn.Module | None = None) -> dict[str, Any]:
    """{"thickness": mm} of one drawing file."""
    sheet, _, mm_per_px = reduced(path.read_bytes())
    (value,) = predict_from_data(model or trained_model("thickness"), sheet[None], [mm_per_px])
    return {"thickness": value}


def main(drawings: Annotated[list[Path], typer.Argument(help="PNG, TIFF, JPEG or PDF files.")]) -> None:
    """Print the thickness on each drawing. Example: python -m training.predict_thickness part.png"""
    model = trained_model("thickness")
    for path in drawings:
        typer.echo(f"{path}: {predict_from_path(path, model)['thickness']:.2f} mm")


if __name__ == "__main__":
    typer.run(main)
