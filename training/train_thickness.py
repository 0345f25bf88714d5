"""Train ThicknessNet: from data, from path, from the command line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import nn
from torch.nn import functional

from .dataset import NOMINAL_MM_PER_PX, TRAIN_SEEDS, DrawingSet, drawing_set
from .fit import Labels, Recipe, Shift, finish, train
from .handlers import save_weights, weights_path

WEIGHTS = weights_path("thickness")
RECIPE = Recipe(epochs=10)
CELL = 8  # px of the sheet to a cell of the net's output


def _edge_mask(label: Labels, shift: Shift, height: int, width: int) -> torch.Tensor:
    """Bool [height, width]: cells whose middle lies in an edge view, or next to a thin one."""
    ys = (torch.arange(height) + 0.5) * CELL - shift[1]
    xs = (torch.arange(width) + 0.5) * CELL - shift[0]
    mask = torch.zeros(height, width, dtype=torch.bool)
    for x0, y0, x1, y1 in label["edges"]:
        grow = CELL / 2
        across, down = (0.0, grow) if y1 - y0 < x1 - x0 else (grow, 0.0)
        inside_x = (xs >= x0 - across) & (xs <= x1 + across)
        inside_y = (ys >= y0 - down) & (ys <= y1 + down)
        mask |= inside_y[:, None] & inside_x[None, :]
    return mask


def loss(model: Any, ink: torch.Tensor, labels: list[Labels], shifts: list[Shift]) -> torch.Tensor:
    """Where the edge views are, how wide they are there, and how far the pooled answer is off."""
    edge, width = model.dense(ink)
    scaled = [label["thickness"] * NOMINAL_MM_PER_PX / label["mm_per_px"] for label in labels]
    want = torch.tensor(scaled)
    pairs = zip(labels, shifts, strict=True)
    mask = torch.stack([_edge_mask(label, shift, *edge.shape[1:]) for label, shift in pairs])
    positive = torch.tensor(8.0)  # edge views are a small part of a sheet
    where = functional.binary_cross_entropy_with_logits(edge, mask.float(), pos_weight=positive)
    # the true width shared between the two bins on either side of it
    place = (want - model.bins[0]) / (model.bins[1] - model.bins[0])
    low, share = place.floor().long(), place - place.floor()
    item = mask.nonzero()[:, 0]
    logs = width.permute(0, 2, 3, 1)[mask].log_softmax(1)
    at_low = logs.gather(1, low[item, None])[:, 0]
    at_high = logs.gather(1, low[item, None] + 1)[:, 0]
    how_wide = -((1 - share[item]) * at_low + share[item] * at_high).mean()
    off = functional.smooth_l1_loss(model.pool(edge, width), want, beta=0.5)
    return where + how_wide + off


def train_from_data(
    examples: DrawingSet, recipe: Recipe = RECIPE, report: Callable[[str], None] = lambda line: None
) -> nn.Module:
    """Train on those of `examples` that have a thickness: as `recipe` says, then as FINISH says."""
    known = examples.only(i for i, label in enumerate(examples.labels) if label["thickness"] is not None)
    model = train("thickness", known, loss, recipe, report)
    return finish(model, known, loss, recipe, report)


def train_from_path(weights: Path, recipe: Recipe = RECIPE, report: Callable[[str], None] = lambda line: None) -> None:
    """Train on the generated training set and write the weights."""
    save_weights(train_from_data(drawing_set(TRAIN_SEEDS), recipe, report), weights)


def main(
    weights: Annotated[Path, typer.Option(help="Where to write the weights.")] = WEIGHTS,
    epochs: Annotated[int, typer.Option(help="Passes over the training set.")] = RECIPE.epochs,
) -> None:
    """Train the thickness model on generated drawings. Example: python -m training.train_thickness"""
    train_from_path(weights, replace(RECIPE, epochs=epochs), typer.echo)


if __name__ == "__main__":
    typer.run(main)
