"""Bytes of a drawing -> what CalloutsNet takes, sheets that were scanned askew turned straight."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from drawing import Sheet, read_sheet
from sheet import Gray
from tensor import batch_tensor

INK = 128  # darker is ink


def read(data: bytes) -> Sheet:
    """One file -> sheet, gray uint8 [H <= 448, W <= 640]. Raises BadDrawing."""
    return read_sheet(data)


def batch(sheets: Sequence[Sheet]) -> torch.Tensor:
    """B sheets -> ink, float32 [B, 1, 448, 640], 1 ink, 0 paper, the frame of each upright."""
    return batch_tensor([replace(sheet, pixels=straight(sheet.pixels)) for sheet in sheets])


def straight(pixels: Gray) -> Gray:
    """Turn a sheet by the slant of its frame, which is the smallest rectangle around its ink. pixels: [H, W]."""
    ink = cv2.findNonZero((pixels < INK).astype(np.uint8))
    if ink is None:
        return pixels
    centre, _, angle = cv2.minAreaRect(ink)
    angle = (angle + 45) % 90 - 45  # to the nearest upright, from whichever side it was measured
    turn = cv2.getRotationMatrix2D(centre, angle, 1.0)
    height, width = pixels.shape
    return cv2.warpAffine(pixels, turn, (width, height), flags=cv2.INTER_LINEAR, borderValue=255)
