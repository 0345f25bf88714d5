"""From a request to the bytes of its drawing, and from what was read in them to a tensor; needs no TorchServe."""

import base64
import binascii

import numpy as np
import torch
from PIL import Image
from sheet import BadDrawing, Sheet


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


def to_tensor(sheet: Sheet, side: int, channels: int) -> torch.Tensor:
    """A drawing reduced to float32 [channels, side, side]: 0 is white paper, 1 is ink."""
    planes = [Image.fromarray(plane) for plane in np.split(sheet.pixels, channels)]
    small = np.stack([plane.resize((side, side), Image.Resampling.BOX) for plane in planes])
    ink = 1 - small.astype(np.float32) / 255  # [channels, side, side]
    return torch.from_numpy(ink)
