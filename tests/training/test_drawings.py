"""The generator: same seed, same bytes; labels that agree with what is drawn."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from training.drawings import document, generate, page_labels
from training.dxf import build
from training.formats import FORMATS
from training.specs import FAMILIES, PAPERS, free_area, sample_spec


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("kind", FORMATS)
def test_same_seed_gives_the_same_bytes(kind: str) -> None:
    first, again, other = generate(5, kind, paper="A4"), generate(5, kind, paper="A4"), generate(6, kind, paper="A4")
    assert digest(first.data) == digest(again.data)
    assert first.labels == again.labels
    assert digest(first.data) != digest(other.data)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="no such format: bmp; choose from png, "):
        generate(1, "bmp")


@pytest.mark.parametrize("family", FAMILIES)
def test_specs_fit_the_sheet_and_holes_can_be_seen(family: str) -> None:
    for seed in range(40):
        spec = sample_spec(seed, family)
        part = spec.part
        x0, y0, x1, y1 = free_area(spec.paper)
        assert part.family == family
        assert x0 <= spec.origin[0] - part.extent.left
        assert spec.origin[0] + part.extent.right <= x1
        assert y0 <= spec.origin[1] - part.extent.bottom
        assert spec.origin[1] + part.extent.top <= y1
        assert all(hole.diameter >= 6 for hole in part.holes)
        if family == "shaft":
            assert part.thickness is None
            assert not part.holes
        else:
            assert 2 <= (part.thickness or 0) <= 25
            assert part.holes


def test_all_families_papers_and_formats_turn_up() -> None:
    specs = [sample_spec(seed) for seed in range(80)]
    assert {spec.part.family for spec in specs} == set(FAMILIES)
    assert {spec.paper for spec in specs} == set(PAPERS)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_document_is_a_drawing(family: str) -> None:
    doc, spec = document(11, family)
    msp = doc.modelspace()
    kinds = {entity.dxftype() for entity in msp}
    assert "DIMENSION" in kinds
    assert any(line.dxf.layer == "CENTRE" for line in msp.query("LINE"))
    words = {text.dxf.text for text in msp.query("TEXT")}
    assert {spec.title.number, spec.title.material, "1:1", spec.title.thickness} <= words
    if spec.part.thickness is not None:
        measured = [dim.get_measurement() for dim in msp.query("DIMENSION")]
        assert any(abs(float(value) - spec.part.thickness) < 1e-6 for value in measured if isinstance(value, float))
    if family in ("angle", "flange"):
        assert "HATCH" in kinds


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "shaft"])
def test_labels_agree_with_the_geometry(family: str) -> None:
    spec = sample_spec(3, family)
    doc, truth = build(spec)
    circles = {(round(c.dxf.center.x, 3), round(c.dxf.center.y, 3), c.dxf.radius) for c in doc.query("CIRCLE")}
    assert len(truth.holes) == len(spec.part.holes)
    for x, y, r in truth.holes:
        assert (round(x, 3), round(y, 3), r) in circles
    for x0, y0, x1, y1 in truth.edges:
        assert min(x1 - x0, y1 - y0) == pytest.approx(spec.part.thickness)


def test_hole_boxes_stand_on_the_ink() -> None:
    """The rim of a hole is black and its inside, off the centre lines, is white: on the page, at 300 dpi."""
    drawing = generate(4, "png", "gasket", "A4")
    page = np.asarray(Image.open(io.BytesIO(drawing.data)))
    assert drawing.labels.holes
    for x0, y0, x1, y1 in drawing.labels.holes:
        cx, cy, r = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2
        on_rim = [page[round(cy + r * np.sin(a)), round(cx + r * np.cos(a))] for a in np.arange(0.3, 6.3, 0.5)]
        assert np.mean(on_rim) < 40
    x0, y0, x1, y1 = (round(v) for v in drawing.labels.title_block)
    assert page[y0 : y0 + 2, x0 + 20 : x1 - 20].mean() < 40
    assert page[y0 + 20 : y1 - 20, x1 - 2 : x1 + 1].mean() < 40


def test_labels_turn_with_the_page() -> None:
    _, truth = build(sample_spec(8, "plate", "A4"))
    straight, turned = (page_labels(truth, PAPERS["A4"], degrees) for degrees in (0.0, 1.0))
    centre = np.array(PAPERS["A4"]) / 2 * 300 / 25.4
    for before, after in zip(straight.holes, turned.holes, strict=True):
        v, w = ((np.array([b[0] + b[2], b[1] + b[3]]) / 2) - centre for b in (before, after))
        # counter-clockwise on paper; pixels run downwards
        assert np.degrees(np.arctan2(v[1], v[0]) - np.arctan2(w[1], w[0])) % 360 == pytest.approx(1.0, abs=1e-6)
        assert np.hypot(*v) == pytest.approx(np.hypot(*w))
    assert turned.title_block[3] - turned.title_block[1] > straight.title_block[3] - straight.title_block[1]
