"""The views of each part family. Coordinates are mm from the lower left corner of the front view."""

from collections.abc import Callable
from math import cos, radians, sin

from .dxf import QUARTER, Drafter
from .specs import Hole, Part


def _rounded(x0: float, y0: float, x1: float, y1: float, r: float) -> list[tuple[float, float, float]]:
    """A rectangle with round corners as (x, y, bulge), counter-clockwise."""
    b = QUARTER
    return [
        (x0 + r, y0, 0.0), (x1 - r, y0, b), (x1, y0 + r, 0.0), (x1, y1 - r, b),
        (x1 - r, y1, 0.0), (x0 + r, y1, b), (x0, y1 - r, 0.0), (x0, y0 + r, b),
    ]  # fmt: skip


def _call_out_holes(pen: Drafter, holes: tuple[Hole, ...]) -> None:
    """One diameter dimension for each size of hole, with the count."""
    by_size: dict[float, list[Hole]] = {}
    for hole in holes:
        by_size.setdefault(hole.diameter, []).append(hole)
    for i, (d, same) in enumerate(by_size.items()):
        count = f"{len(same)}x " if len(same) > 1 else ""
        first = max(same, key=lambda h: (h.x + h.y, h.x))
        pen.leader(first.x, first.y, d / 2, (38, 52, 24, 65, 45)[i % 5], f"{count}Ø{d:g}")


def _edge_view(pen: Drafter, x: float, y0: float, y1: float, t: float, part: Part) -> None:
    """The plate seen on its edge: a strip of width t from x, with the holes hidden or cut."""
    pen.rect(x, y0, x + t, y1)
    pen.edge(x, y0, x + t, y1)
    if part.dims.get("section"):
        middle = max(part.holes, key=lambda h: h.diameter, default=None)
        spans = [(y0, y1)]
        if middle is not None:
            low, high = middle.y - middle.diameter / 2, middle.y + middle.diameter / 2
            spans = [(y0, low), (high, y1)]
            pen.line(x, low, x + t, low)
            pen.line(x, high, x + t, high)
            pen.line(x - 4, middle.y, x + t + 4, middle.y, "CENTRE")
        for low, high in spans:
            pen.hatch([(x, low), (x + t, low), (x + t, high), (x, high)])
        pen.text("A-A", x + t / 2, y1 + 5, 4.0, "CENTER")
        return
    seen: set[float] = set()
    for hole in part.holes:
        if round(hole.y) in seen or len(seen) >= 3:
            continue
        seen.add(round(hole.y))
        for y in (hole.y - hole.diameter / 2, hole.y + hole.diameter / 2):
            pen.line(x, y, x + t, y, "HIDDEN")
        pen.line(x - 4, hole.y, x + t + 4, hole.y, "CENTRE")


def _section_marks(pen: Drafter, x: float, y0: float, y1: float) -> None:
    """The cutting plane A-A through the front view."""
    for y, turn in ((y0 - 4, -1), (y1 + 4, 1)):
        pen.line(x, y, x, y + 5 * turn)
        pen.line(x, y + 5 * turn, x - 5, y + 5 * turn)
        pen.text("A", x + 2.5, y + (1.5 if turn > 0 else -4.5), 3.5)


def _plate(pen: Drafter, part: Part) -> None:
    d, t = part.dims, part.thickness or 0.0
    w, h, c = d["width"], d["height"], d["corner"]
    if not c:
        pen.rect(0, 0, w, h)
    elif d["chamfered"]:
        pen.poly([(c, 0), (w - c, 0), (w, c), (w, h - c), (w - c, h), (c, h), (0, h - c), (0, c)])
    else:
        pen.poly(_rounded(0, 0, w, h, c))
    for hole in part.holes:
        pen.hole(hole)
    if "slot_x" in d:
        x, y, half, r = d["slot_x"], d["slot_y"], d["slot_length"] / 2, d["slot_width"] / 2
        pen.poly([(x - half, y - r, 0), (x + half, y - r, 1), (x + half, y + r, 0), (x - half, y + r, 1)])
        pen.line(x - half - r - 3, y, x + half + r + 3, y, "CENTRE")
        pen.line(x, y - r - 3, x, y + r + 3, "CENTRE")
    _call_out_holes(pen, part.holes)
    pen.hdim(0, w, 0, -12)
    pen.vdim(0, h, 0, -13)
    side = w + d["gap"]
    if d["section"]:
        _section_marks(pen, max(part.holes, key=lambda hole: hole.diameter).x, 0, h)
    _edge_view(pen, side, 0, h, t, part)
    pen.hdim(side, side + t, 0, -12)
    if d["below"]:
        low = -d["gap"] - t
        pen.rect(0, low, w, low + t)
        pen.edge(0, low, w, low + t)
        for hole in part.holes[:3]:
            for x in (hole.x - hole.diameter / 2, hole.x + hole.diameter / 2):
                pen.line(x, low, x, low + t, "HIDDEN")
            pen.line(hole.x, low - 3, hole.x, low + t + 3, "CENTRE")


def _bracket(pen: Drafter, part: Part) -> None:
    d, t = part.dims, part.thickness or 0.0
    w, h, r, depth = d["width"], d["height"], d["round"], d["depth"]
    b = QUARTER
    pen.poly([(0, 0), (w, 0), (w, h - r, b), (w - r, h), (r, h, b), (0, h - r)])
    pen.line(0, t, w, t)
    for hole in part.holes:
        pen.hole(hole)
    _call_out_holes(pen, part.holes)
    pen.hdim(0, w, 0, -12)
    pen.vdim(0, h, 0, -13)
    side, bend = w + d["gap"], d["bend"]
    inner = min(bend, 0.4 * (depth - t), 0.4 * (h - t))
    corner: list[tuple[float, ...]] = [(side + t, t + inner, b), (side + t + inner, t)] if inner else [(side + t, t)]
    pen.poly([(side, 0), (side + depth, 0), (side + depth, t), *reversed(_flip(corner)), (side + t, h), (side, h)])
    pen.edge(side, t + inner, side + t, h)
    pen.edge(side + t + inner, 0, side + depth, t)
    if d["gusset"]:
        reach, rise = depth * 0.7, (h - t) * 0.55
        pen.line(side + t, t + rise, side + t + reach - t, t)
        rib = max(3.0, t * 0.8)
        for x in (w / 2 - rib / 2, w / 2 + rib / 2):
            pen.line(x, t, x, t + rise)
        pen.line(w / 2 - rib / 2, t + rise, w / 2 + rib / 2, t + rise)
    hole = part.holes[0]
    for y in (hole.y - hole.diameter / 2, hole.y + hole.diameter / 2):
        pen.line(side, y, side + t, y, "HIDDEN")
    pen.line(side - 4, hole.y, side + t + 4, hole.y, "CENTRE")
    foot = side + t + (depth - t) * 0.6
    for x in (foot - hole.diameter / 2, foot + hole.diameter / 2):
        pen.line(x, 0, x, t, "HIDDEN")
    pen.line(foot, -3, foot, t + 3, "CENTRE")
    pen.hdim(side, side + depth, 0, -12)
    pen.hdim(side, side + t, h, h + 9)


def _flip(corner: list[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """The inner corner walked the other way round bends the other way."""
    if len(corner) == 1:
        return corner
    (x0, y0, bulge), (x1, y1) = corner[0], corner[1]
    return [(x0, y0), (x1, y1, -bulge)]


def _angle(pen: Drafter, part: Part) -> None:
    d, t = part.dims, part.thickness or 0.0
    w, h, other, root, toe = d["width"], d["height"], d["other"], d["root"], d["toe"]
    pen.rect(0, 0, w, h)
    pen.line(0, t, w, t)
    for hole in part.holes:
        pen.hole(hole)
    gauge = part.holes[0].y
    pen.line(-4, gauge, w + 4, gauge, "CENTRE")
    _call_out_holes(pen, part.holes)
    pen.hdim(0, w, 0, -12)
    pen.vdim(0, h, 0, -13)
    pen.hdim(part.holes[0].x, part.holes[1].x, h, h + 9)
    x, b = w + d["gap"], QUARTER
    profile = [
        (x, 0.0), (x + other, 0.0), (x + other, t - toe, b), (x + other - toe, t), (x + t + root, t, -b),
        (x + t, t + root), (x + t, h - toe, b), (x + t - toe, h), (x, h),
    ]  # fmt: skip
    pen.poly(profile)
    pen.hatch(profile, spacing=1.6 + 0.4 * (pen.style % 3))
    pen.edge(x, t + root, x + t, h - toe)
    pen.edge(x + t + root, 0, x + other - toe, t)
    pen.hdim(x, x + other, 0, -12)
    pen.hdim(x, x + t, h, h + 9)


def _flange(pen: Drafter, part: Part) -> None:
    d, t = part.dims, part.thickness or 0.0
    outer, neck, bore, pitch, long = d["outer"], d["neck"], d["bore"], d["pitch"], d["neck_length"]
    c = outer / 2
    pen.circle(c, c, c)
    pen.circle(c, c, neck / 2, "HIDDEN" if d["flip"] else "OUTLINE")
    pen.circle(c, c, pitch / 2, "CENTRE")
    for hole in part.holes:
        pen.hole(hole)
    pen.line(-5, c, outer + 5, c, "CENTRE")
    pen.line(c, -5, c, outer + 5, "CENTRE")
    _call_out_holes(pen, part.holes[1:])
    pen.leader(c, c, pitch / 2, 205, f"Ø{pitch:g}", 6)
    pen.vdim(0, outer, 0 + c, -13, "Ø<>")
    # section: the disc from x to x + t, the neck on either side of it
    x = outer + d["gap"] + (long if d["flip"] else 0)
    n0, n1 = (x - long, x) if d["flip"] else (x + t, x + t + long)
    low, high = c - neck / 2, c + neck / 2
    for y0, y1 in ((0.0, c - bore / 2), (c + bore / 2, outer)):
        step = low if y0 == 0 else high
        rim, bored = (y0, y1) if y0 == 0 else (y1, y0)
        if d["flip"]:
            upper = [(x, rim), (x + t, rim), (x + t, bored), (n0, bored), (n0, step), (x, step)]
        else:
            upper = [(x, rim), (x + t, rim), (x + t, step), (n1, step), (n1, bored), (x, bored)]
        pen.poly(upper)
        pen.hatch(upper)
        pen.edge(x, min(rim, step), x + t, max(rim, step))
    ends = (min(x, n0), max(x + t, n1))
    for end in ends:
        pen.line(end, c - bore / 2, end, c + bore / 2)
    pen.line(ends[0] - 5, c, ends[1] + 5, c, "CENTRE")
    bolt = part.holes[1].diameter / 2
    for y in (c - pitch / 2, c + pitch / 2):
        pen.line(x - 3, y, x + t + 3, y, "CENTRE")
        for side in (y - bolt, y + bolt):
            pen.line(x, side, x + t, side)
    pen.hdim(x, x + t, 0, -12)
    pen.hdim(*ends, high, outer + 9)
    pen.vdim(c - bore / 2, c + bore / 2, ends[1], ends[1] + 12, "Ø<>")


def _gasket(pen: Drafter, part: Part) -> None:
    d, t = part.dims, part.thickness or 0.0
    w, h = d["width"], d["height"]
    if d["ring"]:
        c = w / 2
        pen.circle(c, c, c)
        pen.circle(c, c, (w + d["inner"]) / 4, "CENTRE")
        _call_out_holes(pen, part.holes[1:])
        pen.leader(c, c, d["inner"] / 2, 215, f"Ø{d['inner']:g}", -d["inner"] * 0.35)
        pen.line(-5, c, w + 5, c, "CENTRE")
        pen.line(c, -5, c, w + 5, "CENTRE")
    else:
        rim = d["rim"]
        pen.poly(_rounded(0, 0, w, h, d["corner"]))
        pen.poly(_rounded(rim, rim, w - rim, h - rim, max(2.0, d["corner"] - 4)))
        _call_out_holes(pen, part.holes)
        pen.vdim(rim, h - rim, rim, rim + 10)
    for hole in part.holes:
        pen.hole(hole)
    if d["section"]:
        _section_marks(pen, w / 2, 0, h)
    pen.hdim(0, w, h / 2 if d["ring"] else 0, -13)
    pen.vdim(0, h, w / 2 if d["ring"] else 0, -13)
    x = w + d["gap"]
    _edge_view(pen, x, 0, h, t, part)
    pen.hdim(x, x + t, 0, -12)


def _shaft(pen: Drafter, part: Part) -> None:
    d = part.dims
    c, x, count = d["largest"] / 2, 0.0, int(d["steps"])
    for i in range(count):
        r, long = d[f"d{i}"] / 2, d[f"l{i}"]
        ch = 1.5 if i in (0, count - 1) else 0.0  # chamfers at both ends
        left, right = (ch if i == 0 else 0.0), (ch if i == count - 1 else 0.0)
        pen.poly(
            [
                (x, c - r + left), (x + left, c - r), (x + long - right, c - r), (x + long, c - r + right),
                (x + long, c + r - right), (x + long - right, c + r), (x + left, c + r), (x, c + r - left),
            ]
        )  # fmt: skip
        if left:
            pen.line(x + left, c - r, x + left, c + r)
        if right:
            pen.line(x + long - right, c - r, x + long - right, c + r)
        base = d["largest"] + 9 if i % 2 else -7
        pen.hdim(x, x + long, c + r if i % 2 else c - r, base)
        if i % 2 == 0:
            pen.vdim(c - r, c + r, x + long * 0.86, x + long * 0.86, "Ø<>")
        x += long
    pen.hdim(0, x, c - d["d0"] / 2, -15)
    pen.line(-6, c, x + 6, c, "CENTRE")
    key = min(d["d0"] * 0.3, 10.0)
    if d["key"]:
        k0, k1, half = 4 + key / 2, d["l0"] - 4 - key / 2, key / 2
        pen.poly([(k0, c - half, 0), (k1, c - half, 1), (k1, c + half, 0), (k0, c + half, 1)])
    end = -d["gap"] - c if d["left"] else x + d["gap"] + c
    for r in sorted({d["largest"] / 2, d["d0"] / 2}):
        pen.circle(end, c, r)
    pen.cross(end, c, c)
    if d["key"]:
        r = d["d0"] / 2
        pen.line(end - key / 2, c + r * 0.6, end + key / 2, c + r * 0.6, "HIDDEN")
        for side in (-key / 2, key / 2):
            pen.line(end + side, c + r * 0.6, end + side, c + r * cos(radians(17)), "HIDDEN")
    _surface_mark(pen, 8, c + d["d0"] / 2)


def _surface_mark(pen: Drafter, x: float, y: float) -> None:
    """ISO 1302: the basic symbol with a roughness value."""
    dx, dy = 2.0, 2.0 * sin(radians(60)) * 2
    pen.line(x - dx, y + dy, x, y, "DIM")
    pen.line(x, y, x + 2 * dx, y + 2 * dy, "DIM")
    pen.line(x - dx, y + dy, x + dx, y + dy, "DIM")
    pen.text("1.6", x - dx, y + dy + 0.8, 2.2)


_VIEWS: dict[str, Callable[[Drafter, Part], None]] = {
    "angle": _angle,
    "bracket": _bracket,
    "flange": _flange,
    "gasket": _gasket,
    "plate": _plate,
    "shaft": _shaft,
}


def draw_views(pen: Drafter, part: Part) -> None:
    """Front view, edge or end view and their dimensions."""
    _VIEWS[part.family](pen, part)
