"""Bytes of a drawing -> what CalloutsNet takes. Pure functions, nothing of TorchServe."""

from collections.abc import Sequence

import torch
from drawing import Sheet, read_sheet
from tensor import batch_tensor


def read(data: bytes) -> Sheet:
    """One file -> sheet, gray uint8 [H <= 448, W <= 640]. Raises BadDrawing."""
    return read_sheet(data)


def batch(sheets: Sequence[Sheet]) -> torch.Tensor:
    """B sheets -> ink, float32 [B, 1, 448, 640], 1 ink, 0 paper."""
    return batch_tensor(sheets)
