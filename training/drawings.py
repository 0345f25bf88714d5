"""Seeded engineering drawings: one seed, one file with its ground truth.

The steps are modules: `specs` draws a part by lot, `dxf` and `families` draft it, `render` turns it into ink,
`formats` into a file. Same arguments and same package versions give the same bytes.
"""

from dataclasses import asdict, dataclass
from random import Random
from typing import Any

import numpy as np
from ezdxf.document import Drawing as DxfDocument

from .dxf import Truth, build, new_document
from .formats import DPI, FORMATS, encode
from .render import ink_of, rotated
from .specs import PAPERS, SheetSpec, sample_spec

Box = tuple[float, float, float, float]

#: how often each kind of file turns up, when it is not asked for
SHARES = {
    "png": 4,
    "g4": 2,
    "g4_scan": 4,
    "g4_multipage": 1,
    "jpeg_gray": 3,
    "jpeg_colour": 2,
    "pdf_vector": 2,
    "pdf_scan": 1,
}


@dataclass(frozen=True)
class Labels:
    """Ground truth of one file. Boxes are x0, y0, x1, y1 in page pixels at 300 dpi, y down."""

    family: str
    thickness: float | None  # mm
    holes: tuple[Box, ...]
    title_block: Box
    edges: tuple[Box, ...]  # views whose drawn width is the thickness

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class SampleDrawing:
    spec: SheetSpec
    kind: str
    degrees: float
    data: bytes
    labels: Labels

    @property
    def suffix(self) -> str:
        return FORMATS[self.kind].suffix

    @property
    def content_type(self) -> str:
        return FORMATS[self.kind].content_type


def _page_box(box: Box, paper: tuple[float, float], degrees: float) -> Box:
    """The upright box around a turned one: mm, y up -> pixels, y down."""
    x0, y0, x1, y1 = box
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    turned = rotated(corners, degrees, (paper[0] / 2, paper[1] / 2))
    turned[:, 1] = paper[1] - turned[:, 1]
    pixels = turned * DPI / 25.4
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def page_labels(truth: Truth, paper: tuple[float, float], degrees: float) -> Labels:
    """Truth of the drafting table -> labels of the page turned by `degrees`."""
    scale = DPI / 25.4
    holes: list[Box] = []
    for x, y, r in truth.holes:
        ((cx, cy),) = rotated(np.array([(x, y)]), degrees, (paper[0] / 2, paper[1] / 2))
        px, py, pr = float(cx) * scale, (paper[1] - float(cy)) * scale, r * scale
        holes.append((px - pr, py - pr, px + pr, py + pr))
    return Labels(
        truth.family,
        truth.thickness,
        tuple(holes),
        _page_box(truth.title_block, paper, degrees),
        tuple(_page_box(edge, paper, degrees) for edge in truth.edges),
    )


def document(seed: int, family: str | None = None, paper: str | None = None) -> tuple[DxfDocument, SheetSpec]:
    """The DXF document behind the drawing of `seed`."""
    spec = sample_spec(seed, family, paper)
    return build(spec)[0], spec


def _parts_list(spec: SheetSpec) -> DxfDocument:
    """The second page of a multi-page scan: a short parts list."""
    doc = new_document()
    msp = doc.modelspace()
    rows = [
        ("POS", "QTY", "NUMBER"),
        ("1", "1", spec.title.number),
        ("2", "4", "ISO 4017 M8x25"),
        ("3", "4", "ISO 7089 8"),
    ]
    for i, row in enumerate(rows):
        y = 150 - 9 * i
        msp.add_line((25, y - 3), (180, y - 3), dxfattribs={"layer": "GRID"})
        for x, cell in zip((28, 48, 70), row, strict=True):
            msp.add_text(cell, height=3.5, dxfattribs={"layer": "TEXT", "insert": (x, y)})
    return doc


def generate(
    seed: int,
    kind: str | None = None,
    family: str | None = None,
    paper: str | None = None,
    small: bool = False,
) -> SampleDrawing:
    """The drawing of `seed` as a file; kind (see `formats.FORMATS`), family and paper may be fixed.

    Raises ValueError for an unknown kind.
    """
    rng = Random(f"file-{seed}")
    drawn_kind = rng.choices(list(SHARES), list(SHARES.values()))[0]
    turn = rng.uniform(-1.2, 1.2)
    kind = kind or drawn_kind
    if kind not in FORMATS:
        msg = f"no such format: {kind}; choose from {', '.join(FORMATS)}"
        raise ValueError(msg)
    degrees = round(turn, 3) if FORMATS[kind].scanned else 0.0
    spec = sample_spec(seed, family, paper)
    doc, truth = build(spec)
    size = PAPERS[spec.paper]
    back = ink_of(_parts_list(spec)) if kind == "g4_multipage" else None
    data = encode(kind, ink_of(doc), size, degrees, np.random.default_rng(seed), back, small)
    return SampleDrawing(spec, kind, degrees, data, page_labels(truth, size, degrees))
