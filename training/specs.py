"""What a drawing shows, drawn by lot from a seed: part, sheet and title block, in mm and in words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random

FAMILIES = ("angle", "bracket", "flange", "gasket", "plate", "shaft")
PAPERS = {"A4": (297.0, 210.0), "A3": (420.0, 297.0)}  # landscape, mm

MARGIN_LEFT, MARGIN = 20.0, 10.0  # ISO 5457: filing margin on the left
TITLE_WIDTH, TITLE_HEIGHT = 170.0, 34.0

Point = tuple[float, float]


@dataclass(frozen=True)
class Hole:
    """A round through hole; centre relative to the lower left corner of the front view."""

    x: float
    y: float
    diameter: float


@dataclass(frozen=True)
class Extent:
    """What the views with their dimensions need around the lower left corner of the front view."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def size(self) -> tuple[float, float]:
        return self.left + self.right, self.bottom + self.top


@dataclass(frozen=True)
class Part:
    """One part at scale 1:1. `thickness` is None for a shaft, which has none. `dims` are the family's own."""

    family: str
    thickness: float | None
    holes: tuple[Hole, ...]
    extent: Extent
    dims: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TitleBlock:
    number: str
    title: str
    material: str
    scale: str
    thickness: str
    date: str
    revision: str
    mass: str


@dataclass(frozen=True)
class SheetSpec:
    """Everything on one sheet. `origin` is where the front view's lower left corner goes, mm."""

    seed: int
    paper: str
    part: Part
    title: TitleBlock
    origin: Point
    notes: tuple[str, ...]
    style: int


def _step(rng: Random, low: float, high: float, step: float = 1.0) -> float:
    """A value of [low, high] on a grid, as dimensions of real parts are."""
    return round(low + step * rng.randint(0, max(0, int((high - low) / step))), 3)


def _thickness(rng: Random, low: float = 3.0, high: float = 24.0) -> float:
    if rng.random() < 0.3:
        stock = [t for t in (3, 4, 5, 6, 8, 10, 12, 15, 16, 18, 20, 22, 24) if low <= t <= high]
        return float(rng.choice(stock))
    return _step(rng, low, high, 0.1)


def _free_holes(rng: Random, want: int, width: float, height: float, taken: list[Hole], largest: float) -> list[Hole]:
    """Up to `want` more holes that keep clear of the rim and of each other."""
    found: list[Hole] = []
    for _ in range(want * 6):
        if len(found) == want:
            break
        d = _step(rng, 6, largest, 0.5)
        rim = d / 2 + 5
        if width < 2 * rim or height < 2 * rim:
            continue
        new = Hole(_step(rng, rim, width - rim), _step(rng, rim, height - rim), d)
        if all((h.x - new.x) ** 2 + (h.y - new.y) ** 2 > ((h.diameter + d) / 2 + 5) ** 2 for h in taken + found):
            found.append(new)
    return found


def _plate(rng: Random, s: float) -> Part:
    w, h, t = _step(rng, 60, 150 * s), _step(rng, 45, 105 * s), _thickness(rng)
    dims: dict[str, float] = {"width": w, "height": h, "gap": _step(rng, 26, 40)}
    dims["corner"] = rng.choice([0.0, 0.0, 4.0, 6.0, 10.0])
    dims["chamfered"] = float(rng.random() < 0.3)
    dims["section"] = float(rng.random() < 0.4)
    dims["below"] = float(rng.random() < 0.35)
    holes: list[Hole] = []
    if rng.random() < 0.7:
        d, inset = _step(rng, 6, 12, 0.5), _step(rng, 11, 16)
        holes += [Hole(x, y, d) for x in (inset, w - inset) for y in (inset, h - inset)]
    if rng.random() < 0.3 and w > 90:  # a slot: round ends, yet no hole
        dims["slot_length"], dims["slot_width"] = _step(rng, 20, 34), _step(rng, 7, 12)
        dims["slot_x"], dims["slot_y"] = w / 2, h / 2
        keep_out = Hole(w / 2, h / 2, dims["slot_length"] + dims["slot_width"])
        holes += _free_holes(rng, rng.randint(0, 2), w, h, [*holes, keep_out], 16)
    else:
        holes += _free_holes(rng, rng.randint(1, 4), w, h, holes, 34)
    bottom = 18 + (dims["gap"] + t if dims["below"] else 0)
    extent = Extent(20, bottom, w + dims["gap"] + t + 24, h + 14)
    return Part("plate", t, tuple(holes), extent, dims)


def _bracket(rng: Random, s: float) -> Part:
    w, h, t = _step(rng, 45, 110 * s), _step(rng, 50, 105 * s), _thickness(rng, 3, 16)
    depth = _step(rng, 40, 80 * s)
    dims = {"width": w, "height": h, "depth": depth, "gap": _step(rng, 28, 42)}
    dims["round"] = min(w, h) * rng.choice([0.15, 0.25, 0.35])
    dims["gusset"] = float(rng.random() < 0.75)
    dims["bend"] = rng.choice([0.0, 2.0, 4.0])
    face = h - t  # the horizontal leg covers the lowest strip of the front view
    d = _step(rng, 7, 16, 0.5)
    y = t + face * rng.uniform(0.6, 0.75)
    if dims["gusset"] or rng.random() < 0.6:
        x = _step(rng, d / 2 + 6, max(d / 2 + 6, w / 2 - d / 2 - 5))
        holes = [Hole(x, round(y), d), Hole(w - x, round(y), d)]
    else:
        holes = [Hole(w / 2, round(y), _step(rng, 8, min(w, face) * 0.5, 0.5))]
    extent = Extent(20, 18, w + dims["gap"] + depth + 24, h + 16)
    return Part("bracket", t, tuple(holes), extent, dims)


def _angle(rng: Random, s: float) -> Part:
    length, leg, other = _step(rng, 95, 160 * s), _step(rng, 30, 60 * s), _step(rng, 30, 55 * s)
    t = _thickness(rng, 3, 12)
    dims = {"width": length, "height": leg, "other": other, "gap": _step(rng, 26, 36)}
    dims["root"], dims["toe"] = round(t * 0.9, 1), round(t * 0.45, 1)
    count, d = rng.randint(2, 5), _step(rng, 6, min(16, leg - t - 12), 0.5)
    gauge, inset = round(t + (leg - t) * 0.55), _step(rng, 14, 22)
    pitch = (length - 2 * inset) / (count - 1)
    holes = [Hole(inset + i * pitch, gauge, d) for i in range(count)]
    extent = Extent(20, 18, length + dims["gap"] + other + 24, leg + 16)
    return Part("angle", t, tuple(holes), extent, dims)


def _bolt_circle(rng: Random, centre: float, pitch: float, count: int, d: float) -> list[Hole]:
    from math import cos, pi, sin

    start = rng.choice([0.0, pi / count, pi / 2])
    angles = [start + 2 * pi * i / count for i in range(count)]
    return [Hole(centre + pitch / 2 * cos(a), centre + pitch / 2 * sin(a), d) for a in angles]


def _flange(rng: Random, s: float) -> Part:
    outer, t = _step(rng, 75, 118 * s), _thickness(rng, 6, 24)
    bore = _step(rng, outer * 0.2, outer * 0.36)
    neck = round(bore + _step(rng, 8, 14))
    d = _step(rng, 6, min(16, (outer - neck) / 2 - 9), 0.5)
    pitch = round((outer + neck) / 2)
    dims = {"outer": outer, "bore": bore, "neck": neck, "pitch": pitch, "gap": _step(rng, 28, 40)}
    dims["neck_length"] = _step(rng, 10, 24)
    dims["flip"] = float(rng.random() < 0.5)
    holes = [Hole(outer / 2, outer / 2, bore)]
    holes += _bolt_circle(rng, outer / 2, pitch, rng.choice([3, 4, 4, 6, 8]), d)
    extent = Extent(20, 18, outer + dims["gap"] + t + dims["neck_length"] + 28, outer + 16)
    return Part("flange", t, tuple(holes), extent, dims)


def _gasket(rng: Random, s: float) -> Part:
    t = _thickness(rng, 3, 8)
    dims: dict[str, float] = {"gap": _step(rng, 26, 40), "section": float(rng.random() < 0.5)}
    if rng.random() < 0.5:  # a ring; otherwise a frame
        outer = _step(rng, 70, 115 * s)
        d = _step(rng, 6, 10, 0.5)
        inner = _step(rng, outer * 0.5, outer - 2 * (d + 10))
        dims |= {"ring": 1.0, "width": outer, "height": outer, "inner": inner}
        holes = [Hole(outer / 2, outer / 2, inner)]
        holes += _bolt_circle(rng, outer / 2, (outer + inner) / 2, rng.choice([4, 6, 6, 8]), d)
    else:
        w, h, d = _step(rng, 80, 150 * s), _step(rng, 60, 105 * s), _step(rng, 6, 11, 0.5)
        rim = round(d + _step(rng, 8, 12))
        dims |= {"ring": 0.0, "width": w, "height": h, "rim": rim, "corner": _step(rng, 6, rim)}
        xs = [rim / 2, w - rim / 2] + ([w / 2] if w > 100 else [])
        holes = [Hole(x, y, d) for x in xs for y in (rim / 2, h - rim / 2)]
        if h > 85:
            holes += [Hole(x, h / 2, d) for x in (rim / 2, w - rim / 2)]
    extent = Extent(20, 18, dims["width"] + dims["gap"] + t + 24, dims["height"] + 16)
    return Part("gasket", t, tuple(holes), extent, dims)


def _shaft(rng: Random, s: float) -> Part:
    count = rng.randint(3, 5)
    dims: dict[str, float] = {"steps": float(count), "gap": _step(rng, 26, 40)}
    largest = _step(rng, 32, 72 * s)
    peak, x = rng.randint(1, count - 2), 0.0
    for i in range(count):
        dims[f"d{i}"] = largest if i == peak else round(largest * rng.uniform(0.45, 0.85))
        dims[f"l{i}"] = _step(rng, 18, 44 * s)
        x += dims[f"l{i}"]
    dims["length"], dims["largest"] = x, largest
    dims["key"] = float(rng.random() < 0.6)
    dims["left"] = float(rng.random() < 0.3)
    extent = Extent(20 + (largest + dims["gap"] if dims["left"] else 0), 20, 0, largest + 20)
    right = x + 24 + (0 if dims["left"] else dims["gap"] + largest)
    return Part("shaft", None, (), Extent(extent.left, extent.bottom, right, extent.top), dims)


_MAKERS: dict[str, Callable[[Random, float], Part]] = {
    "angle": _angle,
    "bracket": _bracket,
    "flange": _flange,
    "gasket": _gasket,
    "plate": _plate,
    "shaft": _shaft,
}
_MATERIALS = {
    "gasket": ("NBR 70", "EPDM 65", "FKM 75", "PTFE", "GRAPHITE"),
    "shaft": ("42CrMo4", "C45", "16MnCr5", "X20Cr13"),
}
_METALS = ("S235JR", "S355J2", "EN AW-5083", "X5CrNi18-10", "P250GH", "EN-GJL-250")
_NOTES = (
    "UNSPECIFIED TOLERANCES ISO 2768-m",
    "BREAK SHARP EDGES 0.5",
    "DEBURR ALL HOLES",
    "SURFACE Ra 3.2",
    "DO NOT SCALE DRAWING",
    "WELDING ISO 5817-C",
)
_DENSITY = 7.85e-6  # kg/mm3, for a plausible mass in the title block


def _title(rng: Random, part: Part) -> TitleBlock:
    day = date(2019, 1, 1) + timedelta(days=rng.randrange(2000))
    letters = "".join(rng.choice("ABCDEFGHKLMNPRSTUVW") for _ in range(3))
    area = part.extent.size[0] * part.extent.size[1] / 3
    mass = area * (part.thickness or 30.0) * _DENSITY
    return TitleBlock(
        number=f"WA-{day:%Y%m%d}-{letters}-{rng.randint(1, 20):02d}",
        title=f"{part.family.upper()} {rng.choice(['ASSY', 'TYPE', 'NO.'])} {rng.randint(1, 99)}",
        material=rng.choice(_MATERIALS.get(part.family, _METALS)),
        scale="1:1",
        thickness="-" if part.thickness is None else f"{part.thickness:g}",
        date=f"{day:%Y-%m-%d}",
        revision=rng.choice("ABCD"),
        mass=f"{mass:.2f} kg",
    )


def free_area(paper: str) -> tuple[float, float, float, float]:
    """Where views may lie: inside the frame and above the title block (x0, y0, x1, y1 in mm, y up)."""
    width, height = PAPERS[paper]
    return MARGIN_LEFT + 2, MARGIN + TITLE_HEIGHT + 2, width - MARGIN - 2, height - MARGIN - 2


def sample_spec(seed: int, family: str | None = None, paper: str | None = None) -> SheetSpec:
    """The sheet that belongs to `seed`; `family` and `paper` may be fixed. Same arguments, same spec."""
    rng = Random(f"sheet-{seed}")
    family = family or rng.choice(FAMILIES)
    paper = paper or rng.choice(("A4", "A4", "A4", "A3"))
    x0, y0, x1, y1 = free_area(paper)
    for _ in range(200):
        part = _MAKERS[family](rng, 1.0 if paper == "A4" else 1.45)
        width, height = part.extent.size
        holed = bool(part.holes) or family == "shaft"
        if holed and width <= x1 - x0 and height <= y1 - y0:
            break
    else:
        msg = f"no {family} fits on {paper} with seed {seed}"
        raise RuntimeError(msg)
    origin = (
        round(rng.uniform(x0, x1 - width) + part.extent.left, 2),
        round(rng.uniform(y0, y1 - height) + part.extent.bottom, 2),
    )
    notes = tuple(rng.sample(_NOTES, rng.randint(1, 4)))
    return SheetSpec(seed, paper, part, _title(rng, part), origin, notes, rng.randrange(1000))
