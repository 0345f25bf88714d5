"""Sheets on the canvas."""

import numpy as np
import torch
from drawing import Sheet
from tensor import batch_tensor, sheet_tensor


def sheet(height: int, width: int, value: int) -> Sheet:
    return Sheet(np.full((height, width), value, np.uint8), 25.4 / 37.5, 8)


def test_ink_is_one_and_what_the_sheet_leaves_free_is_paper() -> None:
    ink = sheet_tensor(sheet(100, 200, 0))
    assert ink.shape == (1, 448, 640)
    assert ink.dtype == torch.float32
    assert (ink[0, :100, :200] == 1).all()
    assert ink.sum() == 100 * 200


def test_gray_is_in_between() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    ink = sheet_tensor(Sheet(values, 1, 8))[0, :16, :16]
    assert torch.allclose(ink, (255 - torch.from_numpy(values).float()) / 255)


def test_a_batch_is_its_sheets() -> None:
    sheets = [sheet(448, 640, 0), sheet(1, 1, 128), sheet(300, 500, 255)]
    batch = batch_tensor(sheets)
    assert batch.shape == (3, 1, 448, 640)
    assert all(torch.equal(one, sheet_tensor(alone)) for one, alone in zip(batch, sheets, strict=True))
