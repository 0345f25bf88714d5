"""Families of drawn parts: from data, from path, from the command line."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import nn

from .dataset import reduced
from .fit import batches
from .handlers import load, trained_model


def predict_from_data(model: nn.Module, sheets: NDArray[np.uint8]) -> list[dict[str, float]]:
    """For each sheet [N, 448, 640] a score, 0 to 1, for each class."""
    classes = load("part_class", "model").CLASSES
    with torch.inference_mode():
        scores = torch.cat([model(ink).softmax(1) for ink in batches(sheets)]).tolist()
    return [dict(zip(classes, row, strict=True)) for row in scores]


def best(scores: dict[str, float]) -> str:
    return max(scores, key=lambda label: scores[label])


def predict_from_path(path: Path, model: nn.Module | None = None) -> dict[str, Any]:
    """{"label": ..., "scores": {...}} of one drawing file."""
    sheet, _, _ = reduced(path.read_bytes())
    (scores,) = predict_from_data(model or trained_model("part_class"), sheet[None])
    return {"label": best(scores), "scores": scores}


def main(drawings: Annotated[list[Path], typer.Argument(help="PNG, TIFF, JPEG or PDF files.")]) -> None:
    """Print the family on each drawing. Example: python -m training.predict_part_class part.png"""
    model = trained_model("part_class")
    for path in drawings:
        answer = predict_from_path(path, model)
        typer.echo(f"{path}: {answer['label']} ({answer['scores'][answer['label']]:.3f})")


if __name__ == "__main__":
    typer.run(main)
