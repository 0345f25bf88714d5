"""The handler that TorchServe calls. A model of your own: model.py, preprocess.py, and `answers` below."""

import torch
from drawing_handler import Answer, DrawingHandler
from model import LABELS, SmallNet


class Handler(DrawingHandler):
    """Drawing -> {"label": the likeliest, "scores": {label: probability}}."""

    network = SmallNet

    def answers(self, output: torch.Tensor) -> list[Answer]:
        """output: logits [B, len(LABELS)]."""
        rows = [dict(zip(LABELS, row, strict=True)) for row in output.softmax(dim=1).tolist()]
        return [{"label": max(scores, key=scores.__getitem__), "scores": scores} for scores in rows]
