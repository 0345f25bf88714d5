"""Drawings made by lot to do harm: damaged, spliced, with headers that lie, and PDFs that point at themselves."""

import random
import struct
from collections.abc import Iterator

from .attacks import ATTACKS, png
from .bad_drawings import GOOD, Request, damaged, encoded, sheet_image
from .pdf_graphs import graph

SIDES = (0, 1, 63, 64, 65, 300, 2000, 8900, 9000, 30000, 65535, 2**31 - 1, 2**32 - 1)
TIFF_VALUES = (0, 1, 2, 3, 4, 5, 8, 16, 32, 64, 300, 30000, 65535, 2**31, 2**32 - 1)
TIFFS = tuple(
    encoded(sheet_image(320, 240).convert(mode), "TIFF", compression=compression)
    for mode, compression in (
        ("1", "group4"),
        ("1", "group3"),
        ("L", "tiff_lzw"),
        ("L", "raw"),
        ("RGB", "jpeg"),
        ("P", None),
    )
)


def mutants(count: int, seed: int, attacks: float = 0.002) -> Iterator[Request]:
    """`count` requests, the same for the same seed. attacks: the share of those that are known to do harm."""
    rng = random.Random(seed)
    originals, known = list(GOOD.values()), list(ATTACKS.values())
    for _ in range(count):
        lot = rng.random()
        if lot < attacks:
            yield rng.choice(known)
        elif lot < 0.4:
            yield graph(rng), "application/pdf"
        elif lot < 0.8:
            data, content_type = rng.choice(originals)
            yield damaged(data, rng), content_type
        elif lot < 0.88:
            yield _spliced(rng.choice(originals), rng.choice(originals), rng)
        elif lot < 0.95:
            yield _tiff(rng), "image/tiff"
        else:
            yield _png(rng), "image/png"


def _spliced(one: Request, other: Request, rng: random.Random) -> Request:
    """The head of one file and the tail of another; often of the same format."""
    head = one[0][: rng.randrange(1, len(one[0]))]
    return head + other[0][rng.randrange(len(other[0])) :], one[1]


def _tiff(rng: random.Random) -> bytes:
    """Tags that lie: some entries of the first directory get another type, count or value."""
    data = bytearray(rng.choice(TIFFS))
    (start,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, start)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = start + 2 + 12 * rng.randrange(entries)
        match rng.randrange(4):
            case 0:
                struct.pack_into("<H", data, at + 2, rng.randrange(14))
            case 1:
                struct.pack_into("<I", data, at + 4, rng.choice(TIFF_VALUES))
            case 2:
                struct.pack_into(
                    "<H", data, at, rng.choice((256, 257, 258, 259, 262, 273, 277, 278, 279, 320, 322, 338))
                )
            case _:
                struct.pack_into("<I", data, at + 8, rng.choice(TIFF_VALUES))
    return bytes(data)


def _png(rng: random.Random) -> bytes:
    """A PNG whose header and data do not agree, with whole check sums."""
    depth, colour = rng.choice(
        ((1, 0), (8, 0), (16, 0), (8, 2), (16, 2), (1, 3), (8, 3), (8, 4), (8, 6), (16, 6), (4, 2))
    )
    width, height = rng.choice(SIDES[2:6]), rng.choice(SIDES[2:6])
    return png(
        width, height, depth, colour, claimed=(rng.choice(SIDES), rng.choice(SIDES)) if rng.random() < 0.7 else None
    )
