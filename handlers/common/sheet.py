"""The sheet that every reader of drawings makes, the error it raises instead, and the limits they share."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CANVAS_WIDTH = 640
CANVAS_HEIGHT = 448
NOMINAL_DPI = 37.5
ASSUMED_DPI = 300.0
MM_PER_INCH = 25.4
NOMINAL_MM_PER_PX = MM_PER_INCH / NOMINAL_DPI

MAX_SHEET_MM = 1250.0  # A0 is 1189 mm long
MAX_PIXELS = 80_000_000  # A1 at 300 dpi has 70 million
MIN_SIDE_PX = 64
MAX_ASPECT = 32

WANTED = "send one drawing as PNG, JPEG, TIFF, PDF, BMP, WebP or GIF"

Gray = NDArray[np.uint8]


class BadDrawing(ValueError):
    """The bytes are no drawing that can be read; str() is a sentence for the person who sent them."""


@dataclass(frozen=True)
class Sheet:
    """One page of a drawing, reduced.

    pixels: uint8 [H, W], 0 ink, 255 paper, H at most 448 and W at most 640.
    mm_per_px: millimetres of paper that one pixel covers; 25.4 / 37.5 unless the page had to be shrunk to fit.
    source_px_per_px: pixels of the file sent that one pixel covers, for a PDF pixels at 300 dpi.
    """

    pixels: Gray
    mm_per_px: float
    source_px_per_px: float


def check_shape(width: float, height: float) -> None:
    """Raise BadDrawing unless width x height, in pixels (for a PDF at 300 dpi), can be a sheet."""
    if min(width, height) < MIN_SIDE_PX:
        msg = f"the drawing has {width:.0f} x {height:.0f} pixels, too few to read: send the sheet at 150 to 300 dpi."
        raise BadDrawing(msg)
    if max(width, height) > MAX_ASPECT * min(width, height):
        msg = f"the drawing has {width:.0f} x {height:.0f} pixels, a strip rather than a sheet: send the whole sheet."
        raise BadDrawing(msg)


def whole_blocks(width: float, height: float, factor: float) -> tuple[int, int]:
    """Columns and rows of a page reduced by `factor`, incomplete blocks at the right and bottom left out."""
    return max(1, int(width / factor + 1e-6)), max(1, int(height / factor + 1e-6))
