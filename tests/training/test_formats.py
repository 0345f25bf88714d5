"""Files of every kind decode to what an office would send."""

import io

import pypdfium2
import pytest
from PIL import Image

from training.drawings import generate
from training.formats import FORMATS
from training.handlers import read_sheet

MODES = {"png": "L", "g4": "1", "g4_scan": "1", "g4_multipage": "1", "jpeg_gray": "L", "jpeg_colour": "RGB"}


@pytest.mark.parametrize(("kind", "mode"), MODES.items())
def test_images_have_their_mode_and_300_dpi(kind: str, mode: str) -> None:
    image = Image.open(io.BytesIO(generate(21, kind, "bracket", "A4").data))
    assert image.mode == mode
    assert image.size == (3508, 2480)
    assert tuple(round(float(v)) for v in image.info["dpi"]) == (300, 300)
    if mode == "1":
        assert image.info["compression"] == "group4"
    assert getattr(image, "n_frames", 1) == (2 if kind == "g4_multipage" else 1)


def test_a3_has_its_size() -> None:
    image = Image.open(io.BytesIO(generate(22, "g4", "plate", "A3").data))
    assert image.size == (4961, 3508)


@pytest.mark.parametrize("kind", ["pdf_vector", "pdf_scan"])
def test_pdf_pages(kind: str) -> None:
    drawing = generate(23, kind, "flange", "A4")
    with pypdfium2.PdfDocument(drawing.data) as document:
        assert len(document) == 1
        assert document.get_page_size(0) == pytest.approx((841.9, 595.3), abs=0.2)
        kinds = {item.type for item in document[0].get_objects()}
    image_object = 3  # FPDF_PAGEOBJ_IMAGE
    assert (image_object in kinds) == (kind == "pdf_scan")


@pytest.mark.parametrize("kind", FORMATS)
def test_handlers_see_the_same_sheet_in_every_format(kind: str) -> None:
    """Reduced, the ink of a straight sheet lies in the same place whatever the file."""
    drawing = generate(24, kind, "plate", "A4")
    sheet = read_sheet(drawing.data)
    assert sheet.pixels.shape == (310, 438)
    assert sheet.mm_per_px == pytest.approx(25.4 / 37.5, rel=1e-3)
    x0, y0, x1, _ = (v * 25.4 / 300 / sheet.mm_per_px for v in drawing.labels.title_block)
    top = sheet.pixels[int(y0) - 3 : int(y0) + 5, int(x0) + 30 : int(x1) - 30]
    assert top.min(axis=0).mean() < 160
