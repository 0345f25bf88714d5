"""From CalloutsNet's maps to boxes, in the same order every time. Pure functions; needs torch alone."""

from dataclasses import dataclass

import torch
from torch.nn import functional

LABELS = ("hole", "title_block")
CELL = 4  # px of the sheet to a cell of the maps
UNIT = 16.0  # px; sizes are predicted as log(size / UNIT)
THRESHOLD = 0.4
OVERLAP = 0.4  # of two boxes of a label that overlap more (IoU), the better one stays


@dataclass(frozen=True)
class Box:
    """x0, y0, x1, y1 in pixels of the sheet, y down."""

    label: str
    score: float
    x0: float
    y0: float
    x1: float
    y1: float


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = (a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0)
    return both / (areas - both)


def decode(heat: torch.Tensor, geometry: torch.Tensor, threshold: float = THRESHOLD) -> list[Box]:
    """Boxes of one sheet: heat logits [2, h, w], geometry [4, h, w] as CalloutsNet gives them for it.

    A box stands where the heat has a peak (the largest of 3 x 3 cells) above `threshold`. Ordered by label, then by
    the peak's row, then by its column; at most one title block.
    """
    scores = heat.sigmoid()
    highest = functional.max_pool2d(scores[None], 3, stride=1, padding=1)[0]
    peaks = ((scores == highest) & (scores > threshold)).nonzero().tolist()
    boxes: list[Box] = []
    for index, label in enumerate(LABELS):
        found = [_box(label, float(scores[k, y, x]), geometry[:, y, x], y, x) for k, y, x in peaks if k == index]
        boxes += _best(found, 1 if label == "title_block" else len(found))
    return boxes


def _box(label: str, score: float, geometry: torch.Tensor, row: int, column: int) -> Box:
    dx, dy, log_width, log_height = geometry.tolist()
    x, y = (column + dx) * CELL, (row + dy) * CELL
    half_width, half_height = (UNIT / 2 * float(torch.tensor(v).clamp(-4, 5).exp()) for v in (log_width, log_height))
    return Box(label, score, x - half_width, y - half_height, x + half_width, y + half_height)


def _best(found: list[Box], most: int) -> list[Box]:
    """At most `most` boxes that do not overlap, the highest scores first choice, in the order they came."""
    kept: list[int] = []
    for i in sorted(range(len(found)), key=lambda i: -found[i].score):
        if len(kept) < most and all(iou(found[i], found[j]) <= OVERLAP for j in kept):
            kept.append(i)
    return [found[i] for i in sorted(kept)]
