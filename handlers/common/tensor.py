"""Sheets to the tensor that the models take."""

from collections.abc import Sequence

import numpy as np
import torch
from drawing import CANVAS_HEIGHT, CANVAS_WIDTH, Sheet


def sheet_tensor(sheet: Sheet) -> torch.Tensor:
    """float32 [1, 448, 640]: 1 ink, 0 paper, the sheet at the top left on a background of paper."""
    return batch_tensor([sheet])[0]


def batch_tensor(sheets: Sequence[Sheet]) -> torch.Tensor:
    """float32 [B, 1, 448, 640], each sheet as in `sheet_tensor`, written straight into its place in the batch."""
    batch = np.zeros((len(sheets), 1, CANVAS_HEIGHT, CANVAS_WIDTH), dtype=np.float32)
    for canvas, sheet in zip(batch, sheets, strict=True):
        height, width = sheet.pixels.shape
        place = canvas[0, :height, :width]
        np.subtract(255, sheet.pixels, out=place, dtype=np.float32)
        place *= np.float32(1 / 255)
    return torch.from_numpy(batch)
