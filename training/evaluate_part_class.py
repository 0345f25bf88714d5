"""How often PartClassNet is right on held-out drawings: from data, from path, from the command line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import nn

from .dataset import DrawingSet, held_out
from .handlers import trained_model, weights_path
from .predict_part_class import best, predict_from_data

WEIGHTS = weights_path("part_class")


@dataclass(frozen=True)
class Evaluation:
    drawings: int
    right: int
    lowest_score: float  # of a winning class: how close the closest decision was
    wrong: tuple[str, ...]

    @property
    def accuracy(self) -> float:
        return self.right / self.drawings

    def __str__(self) -> str:
        summary = (
            f"part_class: accuracy {100 * self.accuracy:.1f} % on {self.drawings} held-out drawings "
            f"(lowest winning score {self.lowest_score:.3f})"
        )
        return "\n".join([summary, *self.wrong])


def evaluate_from_data(model: nn.Module, examples: DrawingSet) -> Evaluation:
    """Compare with the truth."""
    answers = predict_from_data(model, examples.sheets)
    wrong = [
        f"  seed {label['seed']}: {label['family']} taken for {best(scores)}"
        for label, scores in zip(examples.labels, answers, strict=True)
        if best(scores) != label["family"]
    ]
    lowest = min(max(scores.values()) for scores in answers)
    return Evaluation(len(examples), len(examples) - len(wrong), lowest, tuple(wrong))


def evaluate_from_path(weights: Path) -> Evaluation:
    """Evaluate a weights file on the held-out drawings."""
    return evaluate_from_data(trained_model("part_class", weights), held_out())


def main(
    weights: Annotated[Path, typer.Option(help="Weights to evaluate.")] = WEIGHTS,
    threads: Annotated[int, typer.Option(help="Threads for torch.")] = 2,
) -> None:
    """Print the figure of the model card. Example: python -m training.evaluate_part_class"""
    torch.set_num_threads(threads)
    typer.echo(str(evaluate_from_path(weights)))


if __name__ == "__main__":
    typer.run(main)
