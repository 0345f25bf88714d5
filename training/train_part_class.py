"""Train PartClassNet: from data, from path, from the command line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import nn
from torch.nn import functional

from .dataset import TRAIN_SEEDS, DrawingSet, drawing_set
from .fit import Labels, Recipe, Shift, train
from .handlers import load, save_weights, weights_path

WEIGHTS = weights_path("part_class")
# pooling takes the mean of the whole canvas, so the canvas is that of production
RECIPE = Recipe(epochs=12, learning_rate=3e-3, batch=16, threads=2, crop=False)


def loss(model: nn.Module, ink: torch.Tensor, labels: list[Labels], shifts: list[Shift]) -> torch.Tensor:
    """Cross entropy of the family."""
    classes: tuple[str, ...] = load("part_class", "model").CLASSES
    want = torch.tensor([classes.index(label["family"]) for label in labels])
    return functional.cross_entropy(model(ink), want, label_smoothing=0.02)


def train_from_data(
    examples: DrawingSet, recipe: Recipe = RECIPE, report: Callable[[str], None] = lambda line: None
) -> nn.Module:
    return train("part_class", examples, loss, recipe, report)


def train_from_path(weights: Path, recipe: Recipe = RECIPE, report: Callable[[str], None] = lambda line: None) -> None:
    """Train on the generated training set and write the weights."""
    save_weights(train_from_data(drawing_set(TRAIN_SEEDS), recipe, report), weights)


def main(
    weights: Annotated[Path, typer.Option(help="Where to write the weights.")] = WEIGHTS,
    epochs: Annotated[int, typer.Option(help="Passes over the training set.")] = RECIPE.epochs,
) -> None:
    """Train the part_class model on generated drawings. Example: python -m training.train_part_class"""
    train_from_path(weights, replace(RECIPE, epochs=epochs), typer.echo)


if __name__ == "__main__":
    typer.run(main)
