"""Two kinds of file that Pillow decodes much slower than the fastest library, decoded by that library.

An A3 scan at 300 dpi on one core: Group-4 TIFF 5 ms in Pillow, 1.2 ms in imagecodecs; 8-bit gray PNG 42 ms in Pillow,
22 ms in libvips, and if it was compressed in haste 17, 14 and 11 ms in Pillow, libvips and imagecodecs. Everything
else stays with Pillow. Both return what `raster` would have made of the file by averaging blocks in Pillow, to within
one gray level.
"""

import os

import imagecodecs
import numpy as np
from PIL import Image
from sheet import Gray

# A worker is one process of several and has its threads set in model-config.yaml; libvips would take one a core.
os.environ.setdefault("VIPS_CONCURRENCY", "1")
import pyvips

# By default libvips keeps results, and the request bytes behind them, for the next equal call.
pyvips.cache_set_max(0)

BLOCK = 8


def group4_reduced(data: bytes, *, paper_is_zero: bool) -> Gray:
    """First page of a 1-bit Group-4 TIFF, each block of 8 x 8 pixels averaged: uint8 [H // 8, W // 8].

    Raises what the decoder raises when the file is damaged.
    """
    bits = imagecodecs.tiff_decode(data).view(np.uint8)  # [H, W] of 0 and 1
    rows, columns = bits.shape[0] // BLOCK, bits.shape[1] // BLOCK
    blocks = bits[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns * BLOCK)
    sums = np.einsum("bij->bj", blocks)  # at most 8 in each byte; in a byte einsum adds twice as fast as np.add.reduce
    # Eight neighbouring bytes added by one multiplication: the sum, at most 64, ends in the highest byte.
    total = ((sums.view("<u8") * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.uint8)
    gray: Gray = (total << 2) - (total > 32)  # round(total * 255 / 64); 256 - 1 comes out as 255 in a byte
    return ~gray if paper_is_zero else gray


def png_reduced(data: bytes, factor: int) -> Gray:
    """8-bit gray or RGB PNG, each block of factor x factor pixels averaged.

    uint8 [H // factor, W // factor] or [H // factor, W // factor, 3]. Raises what the decoder raises.
    """
    if _compressed_in_haste(data):
        full = imagecodecs.png_decode(data)
        if full.ndim == 2 and factor == BLOCK:
            return _block_means(full)
        rows, columns = full.shape[0] // factor, full.shape[1] // factor
        return np.asarray(Image.fromarray(full).reduce(factor, box=(0, 0, columns * factor, rows * factor)))
    image = pyvips.Image.pngload_buffer(data, access="sequential", fail_on="error")
    whole = image.crop(0, 0, image.width // factor * factor, image.height // factor * factor)
    pixels: Gray = whole.shrink(factor, factor).numpy()  # streams: never the full image in memory
    return pixels


def _block_means(gray: Gray) -> Gray:
    """Mean of each block of 8 x 8, rounded half up: uint8 [H, W] -> [H // 8, W // 8]. Half the time of Image.reduce."""
    rows, columns = gray.shape[0] // BLOCK, gray.shape[1] // BLOCK
    blocks = gray[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns * BLOCK)
    sums = np.add.reduce(blocks, axis=1, dtype=np.uint16)  # at most 2,040
    fours = sums.view("<u8")  # four of them in each number
    pairs = fours[:, ::2] + fours[:, 1::2]  # four of at most 4,080
    total = (pairs * np.uint64(0x0001000100010001)) >> np.uint64(48)  # all four, at most 16,320, on top
    means: Gray = ((total + np.uint64(32)) >> np.uint64(6)).astype(np.uint8)
    return means


def _compressed_in_haste(data: bytes) -> bool:
    """Whether the first image data says that its writer chose the fastest compression (RFC 1950, FLEVEL)."""
    flags = data.find(b"IDAT") + 5
    return 5 <= flags < len(data) and data[flags] >> 6 == 0
