"""Family of the part on a drawing: angle, bracket, flange, gasket, plate or shaft."""

from collections.abc import Sequence

import torch
from drawing import Sheet
from drawing_handler import Answer, DrawingHandler
from model import CLASSES


class PartClassHandler(DrawingHandler):
    """Drawing -> {"label": the likeliest family, "scores": {family: probability}}."""

    def answers(self, output: torch.Tensor, sheets: Sequence[Sheet]) -> list[Answer]:
        """output: logits [B, 6] in the order of CLASSES."""
        rows = [dict(zip(CLASSES, row, strict=True)) for row in output.softmax(1).tolist()]
        return [{"label": max(scores, key=scores.__getitem__), "scores": scores} for scores in rows]
