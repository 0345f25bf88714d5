"""How far ThicknessNet is off on held-out drawings: from data, from path, from the command line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import nn

from .dataset import DrawingSet, held_out_with_thickness
from .handlers import trained_model, weights_path
from .predict_thickness import predict_from_data

WEIGHTS = weights_path("thickness")


@dataclass(frozen=True)
class Evaluation:
    """Errors in mm over `drawings` drawings."""

    drawings: int
    mean: float
    p95: float
    worst: float
    worst_seed: int

    def __str__(self) -> str:
        return (
            f"thickness: mean absolute error {self.mean:.3f} mm on {self.drawings} held-out drawings "
            f"(95 % within {self.p95:.3f} mm, worst {self.worst:.3f} mm, seed {self.worst_seed})"
        )


def evaluate_from_data(model: nn.Module, examples: DrawingSet) -> Evaluation:
    """Compare with the truth; every example must have a thickness."""
    got = predict_from_data(model, examples.sheets, [label["mm_per_px"] for label in examples.labels])
    want = [label["thickness"] for label in examples.labels]
    errors = np.abs(np.array(got) - np.array(want))
    worst = int(errors.argmax())
    return Evaluation(
        len(errors),
        float(errors.mean()),
        float(np.quantile(errors, 0.95)),
        float(errors[worst]),
        examples.labels[worst]["seed"],
    )


def evaluate_from_path(weights: Path) -> Evaluation:
    """Evaluate a weights file on the held-out drawings."""
    return evaluate_from_data(trained_model("thickness", weights), held_out_with_thickness())


def main(
    weights: Annotated[Path, typer.Option(help="Weights to evaluate.")] = WEIGHTS,
    threads: Annotated[int, typer.Option(help="Threads for torch.")] = 2,
) -> None:
    """Print the figure of the model card. Example: python -m training.evaluate_thickness"""
    torch.set_num_threads(threads)
    typer.echo(str(evaluate_from_path(weights)))


if __name__ == "__main__":
    typer.run(main)
