"""One training loop for the three models."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import nn

from .dataset import HEIGHT, WIDTH, DrawingSet

Labels = dict[str, Any]
Shift = tuple[int, int]
#: model, ink [B, 1, 448, 640], the labels, by how many pixels (x, y) each sheet was moved -> loss
Loss = Callable[[nn.Module, torch.Tensor, list[Labels], list[Shift]], torch.Tensor]

LARGEST_SHIFT = 10  # px


@dataclass(frozen=True)
class Recipe:
    epochs: int
    learning_rate: float = 4e-3
    weight_decay: float = 1e-4
    seed: int = 7
    batch: int = 8  # sheets
    threads: int = 1  # for torch: another number shares sums out otherwise, rounds otherwise, and gives another network
    crop: bool = True  # leave out paper that no sheet of a batch covers; half of the work with A4 sheets


# What cropped batches do not teach: how the rim of an A4 sheet looks, and a title block near it, when paper goes on
# beyond it as it does in production. Without it the rim was taken for an edge view.
FINISH = Recipe(epochs=2, learning_rate=1.5e-3, seed=8, crop=False)


def to_ink(sheets: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 [B, 448, 640] -> float32 [B, 1, 448, 640], as handlers/common/tensor.py does: 1 ink, 0 paper."""
    ink = torch.from_numpy(255 - sheets)[:, None].float() / 255
    return ink.to(memory_format=torch.channels_last)


def grouped(labels: list[Labels], batch: int, rng: Generator) -> list[NDArray[np.int64]]:
    """Batches of indices in random order, sheets of about one size together; what is left over waits an epoch."""
    sizes: dict[tuple[int, int], list[int]] = {}
    for i, label in enumerate(labels):
        sizes.setdefault(canvas_of([label]), []).append(i)
    found = []
    for members in sizes.values():
        order = rng.permutation(members)
        found += [order[i : i + batch] for i in range(0, len(order) - batch + 1, batch)]
    return [found[i] for i in rng.permutation(len(found))]


def canvas_of(labels: list[Labels]) -> tuple[int, int]:
    """The smallest canvas, in multiples of 32 pixels, that holds these sheets however they are moved."""
    sizes = [max(label["size"][axis] for label in labels) + LARGEST_SHIFT for axis in (0, 1)]
    height, width = (-(-size // 32) * 32 for size in sizes)
    return min(height, HEIGHT), min(width, WIDTH)


def augmented(sheets: NDArray[np.uint8], rng: Generator) -> tuple[torch.Tensor, list[Shift]]:
    """Ink of sheets [B, 448, 640], each moved a little, fainter or darker, with the noise of a bad scan."""
    moved, shifts = np.full_like(sheets, 255), []
    _, height, width = sheets.shape
    for i, sheet in enumerate(sheets):
        dx, dy = (int(v) for v in rng.integers(-LARGEST_SHIFT, LARGEST_SHIFT + 1, 2))
        moved[i, max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = sheet[
            max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
        ]
        shifts.append((dx, dy))
    ink = to_ink(moved)
    gain = torch.from_numpy(rng.uniform(0.7, 1.2, (len(sheets), 1, 1, 1)).astype(np.float32))
    spread = torch.from_numpy(rng.uniform(0.0, 0.04, (len(sheets), 1, 1, 1)).astype(np.float32))
    noise = torch.from_numpy(rng.standard_normal((height, width), dtype=np.float32))
    return (ink * gain + noise * spread).clamp(0, 1), shifts


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Inside, torch has `count` threads, however many cores there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit(
    model: nn.Module,
    examples: DrawingSet,
    loss: Loss,
    recipe: Recipe,
    report: Callable[[str], None] = lambda line: None,
) -> nn.Module:
    """Train `model` in place with AdamW, the learning rate rising and then falling to zero; returns it in eval mode.

    Seeded: the same examples and recipe give the same weights, byte for byte, on one kind of CPU, whatever the number
    of its cores. Raises ValueError when there are too few examples for a batch.
    """
    with torch_threads(recipe.threads):
        _fit(model, examples, loss, recipe, report)
    return model.eval()


def _fit(model: nn.Module, examples: DrawingSet, loss: Loss, recipe: Recipe, report: Callable[[str], None]) -> None:
    rng = np.random.default_rng(recipe.seed)
    model.train().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = len(grouped(examples.labels, recipe.batch, rng))
    if not steps:
        msg = f"training needs at least {recipe.batch} drawings on paper of one size"
        raise ValueError(msg)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=steps * recipe.epochs, pct_start=0.15
    )
    began = time.monotonic()
    for epoch in range(recipe.epochs):
        total = 0.0
        for chosen in grouped(examples.labels, recipe.batch, rng):
            labels = [examples.labels[i] for i in chosen]
            height, width = canvas_of(labels) if recipe.crop else (HEIGHT, WIDTH)
            ink, shifts = augmented(examples.sheets[chosen, :height, :width], rng)
            value = loss(model, ink, labels, shifts)
            optimiser.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            total += float(value.detach())
        took = time.monotonic() - began
        report(f"epoch {epoch + 1}/{recipe.epochs}: loss {total / steps:.4f}, {took:.0f} s")


def finish(
    model: nn.Module, examples: DrawingSet, loss: Loss, recipe: Recipe, report: Callable[[str], None]
) -> nn.Module:
    """Train on as FINISH says, in the batches of `recipe`."""
    return fit(model, examples, loss, replace(FINISH, batch=recipe.batch, threads=recipe.threads), report)


def train(name: str, examples: DrawingSet, loss: Loss, recipe: Recipe, report: Callable[[str], None]) -> nn.Module:
    """A new network of handlers/<name>, trained. The seed decides its first weights as well."""
    from .handlers import new_model

    torch.manual_seed(recipe.seed)
    return fit(new_model(name), examples, loss, recipe, report)


def batches(sheets: NDArray[np.uint8], size: int = 16) -> list[torch.Tensor]:
    """Ink of all sheets [N, 448, 640] in batches, for prediction."""
    return [to_ink(sheets[i : i + size]) for i in range(0, len(sheets), size)]
