"""Train CalloutsNet: from data, from path, from the command line."""

from collections.abc import Callable
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import nn
from torch.nn import functional

from .dataset import TRAIN_SEEDS, DrawingSet, drawing_set
from .fit import Labels, Recipe, Shift, finish, train
from .handlers import load, save_weights, weights_path

WEIGHTS = weights_path("callouts")
RECIPE = Recipe(epochs=6)


def targets(label: Labels, shift: Shift, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Heat [2, h, w] with a bell of 1 at each centre, geometry [4, h, w], and the cells [h, w] it is known in."""
    boxes = load("callouts", "boxes")
    heat = torch.zeros(2, height, width)
    geometry, known = torch.zeros(4, height, width), torch.zeros(height, width, dtype=torch.bool)
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None, :]
    everything = [(0, box) for box in label["holes"]] + [(1, label["title_block"])]
    for k, (x0, y0, x1, y1) in everything:
        x, y = ((x0 + x1) / 2 + shift[0]) / boxes.CELL, ((y0 + y1) / 2 + shift[1]) / boxes.CELL
        column, row = int(x), int(y)
        if not (0 <= column < width and 0 <= row < height):
            continue
        sigma = max(0.6, min(x1 - x0, y1 - y0) / boxes.CELL / 8)
        bell = torch.exp(-((columns - column) ** 2 + (rows - row) ** 2) / (2 * sigma**2))
        heat[k] = torch.maximum(heat[k], bell)
        known[row, column] = True
        size = (log((x1 - x0) / boxes.UNIT), log((y1 - y0) / boxes.UNIT))
        geometry[:, row, column] = torch.tensor((x - column, y - row, *size))
    return heat, geometry, known


def loss(model: nn.Module, ink: torch.Tensor, labels: list[Labels], shifts: list[Shift]) -> torch.Tensor:
    """Focal loss of the heat (Law and Deng 2018) and distance of the geometry at the centres."""
    heat, geometry = model(ink)
    made = [targets(label, shift, *heat.shape[2:]) for label, shift in zip(labels, shifts, strict=True)]
    want, place, known = (torch.stack(parts) for parts in zip(*made, strict=True))
    centre = want == 1
    hit = -functional.logsigmoid(heat) * (1 - heat.sigmoid()) ** 2 * centre
    miss = -functional.logsigmoid(-heat) * heat.sigmoid() ** 2 * (1 - want) ** 4 * ~centre
    found = (hit.sum() + miss.sum()) / centre.sum()
    got, right = geometry.permute(0, 2, 3, 1)[known], place.permute(0, 2, 3, 1)[known]
    return found + 2.0 * functional.l1_loss(got, right)


def train_from_data(
    examples: DrawingSet, recipe: Recipe = RECIPE, report: Callable[[str], None] = lambda line: None
) -> nn.Module:
    """Train on cropped batches as `recipe` says, then on the whole canvas as FINISH says."""
    model = train("callouts", examples, loss, recipe, report)
    return finish(model, examples, loss, recipe, report)


def train_from_path(weights: Path, recipe: Recipe = RECIPE, report: Callable[[str], None] = lambda line: None) -> None:
    """Train on the generated training set and write the weights."""
    save_weights(train_from_data(drawing_set(TRAIN_SEEDS), recipe, report), weights)


def main(
    weights: Annotated[Path, typer.Option(help="Where to write the weights.")] = WEIGHTS,
    epochs: Annotated[int, typer.Option(help="Passes over the training set.")] = RECIPE.epochs,
) -> None:
    """Train the callouts model on generated drawings. Example: python -m training.train_callouts"""
    train_from_path(weights, replace(RECIPE, epochs=epochs), typer.echo)


if __name__ == "__main__":
    typer.run(main)
