"""From the bytes of a request to the tensor of a drawing; pure functions that need no TorchServe to be tested."""

import base64
import binascii
import io

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 80_000_000  # A1 at 300 dpi; more is refused before it is decoded
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")  # Pillow knows more: for EPS it runs another program


class BadDrawing(ValueError):
    """The request holds no drawing that can be read; str() is a sentence for whoever sent it."""


def drawing_bytes(item: dict) -> bytes:
    """The drawing of one request: the raw body, the multipart field `data`, or base64 in the JSON field `data`."""
    # `item.get("data") or item.get("body")` would take an empty field for an absent one.
    content = item["data"] if "data" in item else item.get("body")
    if isinstance(content, dict):
        content = content.get("data")
    if isinstance(content, str):
        try:
            content = base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError):
            raise BadDrawing('The field "data" is not base64.') from None
    if not isinstance(content, bytes | bytearray) or not content:
        raise BadDrawing('The request holds no drawing: send it as the body, or as "data".')
    return bytes(content)


def decode(data: bytes, mode: str) -> Image.Image:
    """The drawing in a file, upright, in shades of gray (mode L) or in colours (RGB). Raises BadDrawing."""
    try:
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
    except BadDrawing:
        raise
    except UnidentifiedImageError:
        raise BadDrawing("This is no image, or one in a format that is not read here.") from None
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise BadDrawing(f"The drawing is damaged: {error}") from error


def to_tensor(drawing: Image.Image, side: int) -> torch.Tensor:
    """A drawing reduced to float32 [channels, side, side]: 0 is white paper, 1 is ink."""
    small = drawing.resize((side, side), Image.Resampling.BOX)
    ink = 1 - np.asarray(small, dtype=np.float32).reshape(side, side, -1) / 255  # [side, side, channels]
    return torch.from_numpy(ink).permute(2, 0, 1).contiguous()
