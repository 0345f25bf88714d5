"""A sheet as a DXF document: layers, line types, real DIMENSION and HATCH entities, frame, title block."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import cos, pi, radians, sin, tan

from ezdxf.document import Drawing as DxfDocument
from ezdxf.enums import TextEntityAlignment
from ezdxf.filemanagement import new
from ezdxf.layouts.layout import Modelspace

from .specs import MARGIN, MARGIN_LEFT, PAPERS, TITLE_HEIGHT, TITLE_WIDTH, Hole, Point, SheetSpec
from .strokes import text_width

QUARTER = tan(pi / 8)  # bulge of a quarter circle
Box = tuple[float, float, float, float]

#: line type: total length, then dashes and gaps in mm (ISO 128, 02 and 04)
LINETYPES = {"ISO_HIDDEN": [4.0, 2.75, -1.25], "ISO_CENTRE": [11.0, 7.5, -1.25, 1.0, -1.25]}

#: layer: (colour index, line type, line weight in 1/100 mm)
LAYERS = {
    "OUTLINE": (7, "CONTINUOUS", 50),
    "HIDDEN": (8, "ISO_HIDDEN", 25),
    "CENTRE": (1, "ISO_CENTRE", 18),
    "HATCH": (8, "CONTINUOUS", 18),
    "DIM": (5, "CONTINUOUS", 18),
    "TEXT": (7, "CONTINUOUS", 25),
    "FRAME": (7, "CONTINUOUS", 70),
    "GRID": (7, "CONTINUOUS", 25),
}


@dataclass(frozen=True)
class Truth:
    """What is on the sheet: boxes in mm, y up from the lower left corner of the paper."""

    family: str
    thickness: float | None
    holes: tuple[tuple[float, float, float], ...]  # centre x, y, radius
    title_block: Box
    edges: tuple[Box, ...]  # where the thickness can be measured


class Drafter:
    """Draws views into a model space and remembers what can be asked about them."""

    def __init__(self, doc: DxfDocument, origin: Point, style: int) -> None:
        self.doc, self.msp = doc, doc.modelspace()
        self.ox, self.oy = origin
        self.style = style
        self.holes: list[tuple[float, float, float]] = []
        self.edges: list[Box] = []

    def at(self, x: float, y: float) -> Point:
        return self.ox + x, self.oy + y

    def line(self, x0: float, y0: float, x1: float, y1: float, layer: str = "OUTLINE") -> None:
        self.msp.add_line(self.at(x0, y0), self.at(x1, y1), dxfattribs={"layer": layer})

    def poly(self, points: Sequence[Sequence[float]], layer: str = "OUTLINE", closed: bool = True) -> None:
        """Points are (x, y) or (x, y, bulge)."""
        moved = [(*self.at(p[0], p[1]), p[2] if len(p) > 2 else 0.0) for p in points]
        self.msp.add_lwpolyline(moved, format="xyb", close=closed, dxfattribs={"layer": layer})

    def rect(self, x0: float, y0: float, x1: float, y1: float, layer: str = "OUTLINE") -> None:
        self.poly([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], layer)

    def circle(self, x: float, y: float, r: float, layer: str = "OUTLINE") -> None:
        self.msp.add_circle(self.at(x, y), r, dxfattribs={"layer": layer})

    def arc(self, x: float, y: float, r: float, start: float, end: float, layer: str = "OUTLINE") -> None:
        self.msp.add_arc(self.at(x, y), r, start, end, dxfattribs={"layer": layer})

    def cross(self, x: float, y: float, r: float) -> None:
        """Centre lines that reach a little beyond the circle."""
        reach = r + min(4.0, 1.5 + 0.3 * r)
        self.line(x - reach, y, x + reach, y, "CENTRE")
        self.line(x, y - reach, x, y + reach, "CENTRE")

    def hole(self, hole: Hole) -> None:
        self.circle(hole.x, hole.y, hole.diameter / 2)
        self.cross(hole.x, hole.y, hole.diameter / 2)
        self.holes.append((*self.at(hole.x, hole.y), hole.diameter / 2))

    def edge(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Remember a place where the drawn width is the thickness."""
        self.edges.append((*self.at(x0, y0), *self.at(x1, y1)))

    def hatch(self, outline: Sequence[Sequence[float]], spacing: float | None = None) -> None:
        hatch = self.msp.add_hatch(dxfattribs={"layer": "HATCH"})
        scale = (spacing or (2.0 + self.style % 3)) / 3.175  # ANSI31 has lines 3.175 mm apart
        hatch.set_pattern_fill("ANSI31", scale=scale, angle=90.0 * (self.style % 2))
        moved = [(*self.at(p[0], p[1]), p[2] if len(p) > 2 else 0.0) for p in outline]
        hatch.paths.add_polyline_path(moved, is_closed=True)

    def text(self, words: str, x: float, y: float, height: float = 3.0, align: str = "LEFT") -> None:
        text = self.msp.add_text(words, height=height, dxfattribs={"layer": "TEXT"})
        text.set_placement(self.at(x, y), align=TextEntityAlignment[align])

    def hdim(self, x0: float, x1: float, y: float, base: float, text: str = "<>") -> None:
        """A horizontal dimension from x0 to x1 at height y with its line at `base`."""
        self._linear((x0, y), (x1, y), (x0, base), 0.0, text)

    def vdim(self, y0: float, y1: float, x: float, base: float, text: str = "<>") -> None:
        self._linear((x, y0), (x, y1), (base, y0), 90.0, text)

    def _linear(self, p: Point, q: Point, base: Point, angle: float, text: str) -> None:
        self.msp.add_linear_dim(
            base=self.at(*base),
            p1=self.at(*p),
            p2=self.at(*q),
            angle=angle,
            text=text,
            dimstyle="MM",
            dxfattribs={"layer": "DIM"},
        ).render()

    def leader(self, x: float, y: float, r: float, angle: float, text: str, reach: float | None = None) -> None:
        """A diameter dimension; its text starts outside of the circle, or `reach` mm off the rim."""
        out = r + (4.0 + text_width(text, 3.0) / 2 if reach is None else reach)
        a = radians(angle)
        self.msp.add_diameter_dim(
            center=self.at(x, y),
            radius=r,
            angle=angle,
            location=self.at(x + out * cos(a), y + out * sin(a)),
            text=text,
            dimstyle="MM_RADIAL",
            dxfattribs={"layer": "DIM"},
        ).render()


def new_document() -> DxfDocument:
    """An empty metric R2010 document with the house layers and dimension styles."""
    doc = new("R2010")
    doc.header["$INSUNITS"] = 4
    for name, pattern in LINETYPES.items():
        doc.linetypes.add(name, pattern=pattern)
    for name, (color, linetype, weight) in LAYERS.items():
        doc.layers.add(name, color=color, linetype=linetype, lineweight=weight)
    for name in ("MM", "MM_RADIAL"):
        style = doc.dimstyles.new(name)
        style.dxf.dimtxt = 3.0
        style.dxf.dimasz = 2.8
        style.dxf.dimexe = 1.5
        style.dxf.dimexo = 1.0
        style.dxf.dimgap = 0.8
        style.dxf.dimtad = 1  # text above the line
        style.dxf.dimdec = 1
        style.dxf.dimzin = 8  # no trailing zeros
        style.dxf.dimdsep = ord(".")
        style.dxf.dimlwd = style.dxf.dimlwe = 18
        style.dxf.dimclrd = style.dxf.dimclre = style.dxf.dimclrt = 256
    doc.dimstyles.get("MM_RADIAL").dxf.dimtmove = 1
    return doc


def _zones(msp: Modelspace, width: float, height: float) -> None:
    """Frame with zone letters and centring marks (ISO 5457)."""
    x0, y0, x1, y1 = MARGIN_LEFT, MARGIN, width - MARGIN, height - MARGIN
    thin = {"layer": "GRID"}
    msp.add_lwpolyline([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], close=True, dxfattribs={"layer": "FRAME"})
    msp.add_lwpolyline(
        [(x0 - 5, y0 - 5), (x1 + 5, y0 - 5), (x1 + 5, y1 + 5), (x0 - 5, y1 + 5)], close=True, dxfattribs=thin
    )
    columns, rows = (6, 4) if width < 300 else (8, 6)
    for i in range(columns):
        left, mid = x0 + (x1 - x0) * i / columns, x0 + (x1 - x0) * (i + 0.5) / columns
        for y in (y0 - 5, y1):
            if i:
                msp.add_line((left, y), (left, y + 5), dxfattribs=thin)
            label = msp.add_text(str(i + 1), height=2.5, dxfattribs=thin)
            label.set_placement((mid, y + 2.5), align=TextEntityAlignment.MIDDLE_CENTER)
    for j in range(rows):
        low, mid = y0 + (y1 - y0) * j / rows, y0 + (y1 - y0) * (j + 0.5) / rows
        for x in (x0 - 5, x1):
            if j:
                msp.add_line((x, low), (x + 5, low), dxfattribs=thin)
            label = msp.add_text("ABCDEF"[rows - 1 - j], height=2.5, dxfattribs=thin)
            label.set_placement((x + 2.5, mid), align=TextEntityAlignment.MIDDLE_CENTER)


def _projection_symbol(pen: Drafter, x: float, y: float) -> None:
    """First-angle projection: a cone from the side and from the end. Its circles are no holes."""
    pen.poly([(x - 7, y - 1.5), (x - 1, y - 3), (x - 1, y + 3), (x - 7, y + 1.5)], "GRID")
    pen.circle(x + 6, y, 3, "GRID")
    pen.circle(x + 6, y, 1.5, "GRID")
    pen.line(x - 8.5, y, x + 10.5, y, "CENTRE")
    pen.line(x + 6, y - 4.5, x + 6, y + 4.5, "CENTRE")


def _title_block(doc: DxfDocument, spec: SheetSpec) -> Box:
    width, _ = PAPERS[spec.paper]
    x0, y0 = width - MARGIN - TITLE_WIDTH, MARGIN
    pen = Drafter(doc, (x0, y0), spec.style)
    w, h, title = TITLE_WIDTH, TITLE_HEIGHT, spec.title
    pen.rect(0, 0, w, h, "FRAME")
    for y in (h / 3, 2 * h / 3):
        pen.line(0, y, w, y, "GRID")
    # three rows of cells; each cell: left edge, caption, value, letter height
    rows: list[list[tuple[float, str, str, float]]] = [
        [(0, "SCALE", title.scale, 4), (30, "SHEET", "1 / 1", 3.5), (60, "REV.", title.revision, 4)],
        [(0, "MATERIAL", title.material, 3.5), (60, "THICKNESS", title.thickness, 4), (95, "MASS", title.mass, 3)],
        [(0, "TITLE", title.title, 4), (85, "DATE", title.date, 3.5)],
    ]
    rows[0].append((85, "DRAWING NO.", title.number, 4.4))
    for j, row in enumerate(rows):
        for x, caption, value, height in row:
            if x:
                pen.line(x, j * h / 3, x, (j + 1) * h / 3, "GRID")
            pen.text(caption, x + 1.2, (j + 1) * h / 3 - 3, 1.8)
            pen.text(value, x + 3, j * h / 3 + 1.8, height)
    pen.line(130, h / 3, 130, h, "GRID")
    _projection_symbol(pen, 150, 2 * h / 3)
    return (x0, y0, x0 + w, y0 + h)


def _notes(doc: DxfDocument, lines: Iterable[str]) -> None:
    pen = Drafter(doc, (MARGIN_LEFT + 4, MARGIN + TITLE_HEIGHT - 8), 0)
    for i, line in enumerate(lines):
        pen.text(f"{i + 1}. {line}", 0, -5.5 * i, 2.0)


def build(spec: SheetSpec) -> tuple[DxfDocument, Truth]:
    """The sheet of `spec` at scale 1:1, in mm, lower left corner of the paper at (0, 0)."""
    from .families import draw_views

    doc = new_document()
    width, height = PAPERS[spec.paper]
    _zones(doc.modelspace(), width, height)
    title_box = _title_block(doc, spec)
    _notes(doc, spec.notes)
    pen = Drafter(doc, spec.origin, spec.style)
    draw_views(pen, spec.part)
    truth = Truth(spec.part.family, spec.part.thickness, tuple(pen.holes), title_box, tuple(pen.edges))
    return doc, truth
