"""A DXF document as ink: a list of polylines in mm, then pixels at any resolution."""

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import cos, radians, sin

import cv2
import numpy as np
from ezdxf.addons.drawing.backend import Backend, BkPath2d, BkPoints2d, ImageData
from ezdxf.addons.drawing.config import BackgroundPolicy, ColorPolicy, Configuration
from ezdxf.addons.drawing.frontend import UniversalFrontend
from ezdxf.addons.drawing.pipeline import RenderPipeline2d
from ezdxf.addons.drawing.properties import BackendProperties, RenderContext
from ezdxf.document import Drawing as DxfDocument
from ezdxf.math import Vec2
from numpy.typing import NDArray

from .strokes import StrokeText

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Ink:
    """One stroke (or, if filled, one area): points [n, 2] in mm, y up; pen width in mm; RGB colour."""

    points: NDArray[np.float64]
    width: float
    rgb: tuple[int, int, int]
    filled: bool = False


class _InkList(Backend):
    """Collects what ezdxf's drawing add-on would paint."""

    def __init__(self) -> None:
        super().__init__()
        self.ink: list[Ink] = []

    def _add(self, points: Iterable[Vec2], properties: BackendProperties, filled: bool = False) -> None:
        array = np.array([(p.x, p.y) for p in points], dtype=np.float64)
        rgb = properties.rgb
        self.ink.append(Ink(array, properties.lineweight, (rgb.r, rgb.g, rgb.b), filled))

    def draw_point(self, pos: Vec2, properties: BackendProperties) -> None:
        self._add((pos, pos), properties)

    def draw_line(self, start: Vec2, end: Vec2, properties: BackendProperties) -> None:
        self._add((start, end), properties)

    def draw_path(self, path: BkPath2d, properties: BackendProperties) -> None:
        if len(path):
            self._add(path.flattening(distance=0.02), properties)

    def draw_filled_polygon(self, points: BkPoints2d, properties: BackendProperties) -> None:
        self._add(points.vertices(), properties, filled=True)

    def draw_image(self, image_data: ImageData, properties: BackendProperties) -> None:
        msg = "a generated drawing holds no images"
        raise NotImplementedError(msg)

    def set_background(self, color: str) -> None:
        """Paper is white; nothing to do."""

    def clear(self) -> None:
        self.ink.clear()


def ink_of(doc: DxfDocument) -> list[Ink]:
    """Everything that the model space shows, in drawing order."""
    backend = _InkList()
    pipeline = RenderPipeline2d(backend)
    pipeline.text_engine = StrokeText()
    config = Configuration(
        background_policy=BackgroundPolicy.WHITE, color_policy=ColorPolicy.COLOR, max_flattening_distance=0.02
    )
    frontend = UniversalFrontend(RenderContext(doc), pipeline, config=config)
    with _seeded():
        frontend.draw_layout(doc.modelspace())
    return backend.ink


@contextmanager
def _seeded() -> Iterator[None]:
    """ezdxf moves the origin of each hatch by a random hair's breadth; make it the same one each time."""
    before = random.getstate()
    random.seed(0)
    try:
        yield
    finally:
        random.setstate(before)


def rotated(points: NDArray[np.float64], degrees: float, centre: tuple[float, float]) -> NDArray[np.float64]:
    """Points [n, 2] turned counter-clockwise about `centre`, y up."""
    a = radians(degrees)
    turn = np.array([[cos(a), sin(a)], [-sin(a), cos(a)]])
    turned: NDArray[np.float64] = (points - centre) @ turn + centre
    return turned


def paint(ink: list[Ink], paper: tuple[float, float], dpi: float, degrees: float = 0.0, colour: bool = False) -> Pixels:
    """Pixels [H, W] gray, or [H, W, 3] RGB, 255 paper; the sheet turned by `degrees` about its centre."""
    scale = dpi / 25.4
    width, height = round(paper[0] * scale), round(paper[1] * scale)
    canvas = np.full((height, width, 3) if colour else (height, width), 255, dtype=np.uint8)
    centre = (paper[0] / 2, paper[1] / 2)
    shift = 4  # cv2 takes fixed-point coordinates: 4 bits after the point
    flip = np.array([scale, -scale])
    for stroke in ink:
        points = rotated(stroke.points, degrees, centre) if degrees else stroke.points
        # pixel i covers [i, i + 1), cv2 draws at pixel centres
        pixels = points * flip + np.array([-0.5, height - 0.5])
        fixed = np.round(pixels * (1 << shift)).astype(np.int32)
        value = stroke.rgb if colour else (0, 0, 0)
        if stroke.filled:
            cv2.fillPoly(canvas, [fixed], value, cv2.LINE_AA, shift)
        else:
            pen = max(1, round(stroke.width * scale))
            cv2.polylines(canvas, [fixed], False, value, pen, cv2.LINE_AA, shift)
    return canvas
