"""Holes and the title block on a drawing, as boxes."""

from collections.abc import Sequence

import boxes
import torch
from drawing import Sheet
from drawing_handler import Answer, DrawingHandler


class CalloutsHandler(DrawingHandler):
    """Drawing -> {"boxes": [{"label", "score", "x0", "y0", "x1", "y1"}, ...]}.

    Corners are in pixels of the file sent, for a PDF at 300 dpi, from its top left; the order is that of boxes.decode.
    """

    def answers(self, output: tuple[torch.Tensor, torch.Tensor], sheets: Sequence[Sheet]) -> list[Answer]:
        """output: heat [B, 2, 112, 160] and geometry [B, 4, 112, 160]."""
        heat, geometry = (maps.cpu() for maps in output)
        return [
            {"boxes": [_in_file(box, sheet.source_px_per_px) for box in boxes.decode(h, g)]}
            for h, g, sheet in zip(heat, geometry, sheets, strict=True)
        ]


def _in_file(box: boxes.Box, scale: float) -> Answer:
    """A box in pixels of the sheet -> the JSON of it in pixels of the file."""
    return {
        "label": box.label,
        "score": box.score,
        "x0": box.x0 * scale,
        "y0": box.y0 * scale,
        "x1": box.x1 * scale,
        "y1": box.y1 * scale,
    }
