"""Thickness of the part on a drawing, read off its edge view.

To make a handler of your own, copy this folder and change four things: the network in model.py, what it takes in
preprocess.py, what its output means in `answers` below, and the sizes in model-config.yaml.
"""

from collections.abc import Sequence

import torch
from drawing import NOMINAL_MM_PER_PX, Sheet
from drawing_handler import Answer, DrawingHandler


class ThicknessHandler(DrawingHandler):
    """Drawing -> {"thickness": millimetres}."""

    def answers(self, output: torch.Tensor, sheets: Sequence[Sheet]) -> list[Answer]:
        """output: [B] mm as if each pixel covered 25.4 / 37.5 mm; a page shrunk to fit has pixels that cover more."""
        return [
            {"thickness": mm * sheet.mm_per_px / NOMINAL_MM_PER_PX}
            for mm, sheet in zip(output.tolist(), sheets, strict=True)
        ]
