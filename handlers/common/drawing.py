"""Read an engineering drawing from bytes into a small gray sheet.

Every handler that looks at drawings sees them through `read_sheet`, in training and in production alike: one page,
gray, reduced to 37.5 dpi by averaging square blocks of pixels, which is a 300-dpi scan divided by exactly 8.

Knows nothing of TorchServe or torch. Images are read in `raster`, PDF in `pdf`; where `read_elsewhere` says so, in
another process.
"""

from collections.abc import Callable

from pdf import read_pdf
from raster import read_image
from sheet import CANVAS_HEIGHT, CANVAS_WIDTH, NOMINAL_MM_PER_PX, WANTED, BadDrawing, Sheet

__all__ = ["CANVAS_HEIGHT", "CANVAS_WIDTH", "NOMINAL_MM_PER_PX", "BadDrawing", "Sheet", "read_elsewhere", "read_sheet"]

_elsewhere: Callable[[bytes], Sheet] | None = None


def read_sheet(data: bytes) -> Sheet:
    """Decode the first page of a drawing and reduce it to 37.5 dpi, or further until it fits 640 x 448.

    The resolution comes from the file when it is between 50 and 1200 dpi and makes a sheet no longer than A0, or A3
    below 100 dpi; else 300 dpi is assumed. Incomplete blocks at the right and bottom edge, under 0.7 mm of paper, are
    left out.

    Raises BadDrawing when the bytes are not a drawing, are damaged, or exceed a limit.
    """
    if not data:
        msg = f"the request has no drawing in it: {WANTED}."
        raise BadDrawing(msg)
    if _elsewhere is not None:
        return _elsewhere(data)
    if b"%PDF-" in data[:1024]:
        return read_pdf(data)
    return read_image(data)


def read_elsewhere(read: Callable[[bytes], Sheet] | None) -> None:
    """From now on `read_sheet` leaves all that is in a drawing to `read`; None takes that back."""
    global _elsewhere
    _elsewhere = read
