"""From a file to an image small enough for the network. Runs in another process (see `decoder`), without torch.

`decoder` and `readers` import the names in capitals, BadDrawing and Sheet; the functions are yours.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 80_000_000  # A1 at 300 dpi; more is refused before it is decoded
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")  # Pillow knows more: for EPS it runs another program
LONGEST = 1024  # pixels that are left of the longer side
CANVAS_HEIGHT, CANVAS_WIDTH = 3 * LONGEST, LONGEST  # the most that `Sheet.pixels` may have


class BadDrawing(ValueError):
    """The request holds no drawing that can be read; str() is a sentence for whoever sent it."""


@dataclass(frozen=True)
class Sheet:
    """What the other process hands over.

    pixels: uint8 [channels * H, W], the channels one below the other. The two numbers are there to be used: they come
    along, and have to be above 0.
    """

    pixels: np.ndarray
    mm_per_px: float = 1.0
    source_px_per_px: float = 1.0


def read_gray(data: bytes) -> Sheet:
    """The drawing in a file, upright, in shades of gray. Raises BadDrawing."""
    return _read(data, "L")


def read_colours(data: bytes) -> Sheet:
    """The same in red, green and blue."""
    return _read(data, "RGB")


def _read(data: bytes, mode: str) -> Sheet:
    """What else decoders raise is a refusal as well: decoder_process.py sees to that."""
    try:
        image = _decode(data, mode)
    except UnidentifiedImageError:
        raise BadDrawing("This is no image, or one in a format that is not read here.") from None
    share = min(1, LONGEST / max(image.size))
    image = image.resize([max(1, round(side * share)) for side in image.size], Image.Resampling.BOX)
    return Sheet(np.concatenate([np.asarray(channel) for channel in image.split()]))


def _decode(data: bytes, mode: str) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise BadDrawing(f"The drawing has {image.width} x {image.height} pixels, more than is read here.")
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            paper = Image.new("RGBA", upright.size, "white")
            upright = Image.alpha_composite(paper, upright.convert("RGBA"))
        if upright.mode.startswith("I"):  # 16 bits, which convert("L") would clip rather than scale
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        return upright.convert(mode)
