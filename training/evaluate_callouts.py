"""How well CalloutsNet finds boxes on held-out drawings: from data, from path, from the command line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import nn

from .dataset import DrawingSet, held_out
from .fit import Labels
from .handlers import load, trained_model, weights_path
from .predict_callouts import predict_from_data

WEIGHTS = weights_path("callouts")
SAME = 0.5  # IoU from which a box counts as found


@dataclass(frozen=True)
class Count:
    """Boxes found, missed, and made up."""

    hits: int = 0
    missed: int = 0
    false: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.hits + other.hits, self.missed + other.missed, self.false + other.false)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        return 2 * self.hits / max(1, 2 * self.hits + self.missed + self.false)


@dataclass(frozen=True)
class Evaluation:
    drawings: int
    by_label: dict[str, Count]

    @property
    def total(self) -> Count:
        return sum(self.by_label.values(), Count())

    def __str__(self) -> str:
        lines = [
            f"callouts: F1 {self.total.f1:.3f} at IoU {SAME} on {self.drawings} held-out drawings",
            *(
                f"  {label}: F1 {n.f1:.3f} ({n.hits} found, {n.missed} missed, {n.false} false)"
                for label, n in self.by_label.items()
            ),
        ]
        return "\n".join(lines)


def match(found: list[Any], truth: list[Any]) -> Count:
    """Match boxes of one label on one sheet: the best score takes the truth that it overlaps most."""
    iou = load("callouts", "boxes").iou
    left, hits = list(truth), 0
    for box in sorted(found, key=lambda b: -b.score):
        near = max(left, key=lambda t: iou(box, t), default=None)
        if near is not None and iou(box, near) >= SAME:
            left.remove(near)
            hits += 1
    return Count(hits, len(left), len(found) - hits)


def true_boxes(label: Labels) -> list[Any]:
    box = load("callouts", "boxes").Box
    holes = [box("hole", 1.0, *corners) for corners in label["holes"]]
    return [*holes, box("title_block", 1.0, *label["title_block"])]


def evaluate_from_data(model: nn.Module, examples: DrawingSet) -> Evaluation:
    """Compare with the truth."""
    labels = load("callouts", "boxes").LABELS
    counts = {name: Count() for name in labels}
    for boxes, label in zip(predict_from_data(model, examples.sheets), examples.labels, strict=True):
        truth = true_boxes(label)
        for name in labels:
            mine, right = ([b for b in some if b.label == name] for some in (boxes, truth))
            counts[name] += match(mine, right)
    return Evaluation(len(examples), counts)


def evaluate_from_path(weights: Path) -> Evaluation:
    """Evaluate a weights file on the held-out drawings."""
    return evaluate_from_data(trained_model("callouts", weights), held_out())


def main(
    weights: Annotated[Path, typer.Option(help="Weights to evaluate.")] = WEIGHTS,
    threads: Annotated[int, typer.Option(help="Threads for torch.")] = 2,
) -> None:
    """Print the figure of the model card. Example: python -m training.evaluate_callouts"""
    torch.set_num_threads(threads)
    typer.echo(str(evaluate_from_path(weights)))


if __name__ == "__main__":
    typer.run(main)
