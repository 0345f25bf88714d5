"""Text as strokes: the Hershey letters that plotters used, so that sheets do not depend on installed fonts."""

from functools import cache
from math import cos, pi, sin

from ezdxf.addons.drawing.text_renderer import TextRenderer
from ezdxf.fonts.font_face import FontFace
from ezdxf.fonts.font_measurements import FontMeasurements
from ezdxf.npshapes import NumpyPath2d

_CAP, _BASE = -12.0, 9.0  # Hershey units, y down
_HEIGHT = _BASE - _CAP

Stroke = tuple[tuple[float, float], ...]


def _circle(x: float, y: float, r: float) -> Stroke:
    return tuple((x + r * cos(i * pi / 8), y + r * sin(i * pi / 8)) for i in range(17))


@cache
def _glyphs() -> dict[str, tuple[tuple[Stroke, ...], float]]:
    """Strokes in units of the cap height, y up from the baseline, and the advance width."""
    from HersheyFonts import HersheyFonts

    font = HersheyFonts()
    font.load_default_font("rowmans")
    table: dict[str, tuple[tuple[Stroke, ...], float]] = {}
    for char, glyph in font.all_glyphs.items():
        strokes = tuple(
            tuple(((x - glyph.left_offset) / _HEIGHT, (_BASE - y) / _HEIGHT) for x, y in stroke)
            for stroke in glyph.strokes
        )
        table[char] = (strokes, glyph.char_width / _HEIGHT)
    diameter = (_circle(0.5, 0.5, 0.42), ((0.15, -0.05), (0.85, 1.05)))
    table["Ø"] = table["⌀"] = (diameter, 1.0)
    table["°"] = ((_circle(0.25, 0.85, 0.16),), 0.5)
    table["±"] = ((((0.1, 0.5), (0.8, 0.5)), ((0.45, 0.15), (0.45, 0.85)), ((0.1, 0.0), (0.8, 0.0))), 0.9)
    return table


def text_width(text: str, cap_height: float) -> float:
    """Width of one line in the units of `cap_height`."""
    table = _glyphs()
    return cap_height * sum(table.get(c, table["?"])[1] for c in text)


def text_strokes(text: str, cap_height: float) -> list[list[tuple[float, float]]]:
    """Polylines of one line of text that starts at (0, 0) on the baseline."""
    table = _glyphs()
    at, lines = 0.0, []
    for char in text:
        strokes, advance = table.get(char, table["?"])
        lines += [[((x + at) * cap_height, y * cap_height) for x, y in s] for s in strokes if len(s) > 1]
        at += advance
    return lines


class StrokeText(TextRenderer):
    """ezdxf's interface to a font; every font face is drawn with the same letters."""

    def get_font_measurements(self, font_face: FontFace, cap_height: float = 1.0) -> FontMeasurements:
        return FontMeasurements(0.0, cap_height, cap_height * 0.67, cap_height * 0.33)

    def get_text_line_width(self, text: str, font_face: FontFace, cap_height: float = 1.0) -> float:
        return text_width(text, cap_height)

    def get_text_path(self, text: str, font_face: FontFace, cap_height: float = 1.0) -> NumpyPath2d:
        path = NumpyPath2d(None)
        path.extend(self.get_text_glyph_paths(text, font_face, cap_height))
        return path

    def get_text_glyph_paths(self, text: str, font_face: FontFace, cap_height: float = 1.0) -> list[NumpyPath2d]:
        from ezdxf.math import Vec2

        return [NumpyPath2d.from_vertices([Vec2(p) for p in line]) for line in text_strokes(text, cap_height)]

    def is_stroke_font(self, font_face: FontFace) -> bool:
        return True
