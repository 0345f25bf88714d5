"""read_sheet against a plain reference: decode in Pillow, convert to L, average exact blocks."""

import io
import warnings
from typing import Any

import numpy as np
import pytest
from drawing import BadDrawing, read_sheet
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFile, PngImagePlugin, TiffImagePlugin

from .attacks import ATTACKS, HIDDEN
from .bad_drawings import BAD, GOOD, encoded, pdf_page, sheet_image, tiff_pages

SCAN = (300, 300)


def drawing(width: int = 1001, height: int = 707, mode: str = "L") -> Image.Image:
    """Thin and thick lines, curves and shades; a size that is no multiple of 8."""
    image = sheet_image(width, height)
    draw = ImageDraw.Draw(image)
    for step in range(40):
        draw.line((step * 23, 40, width - step * 9, height - 40), fill=step * 5, width=1 + step % 4)
    return image.convert(mode)


def block_means(gray: Image.Image, factor: int = 8) -> NDArray[np.float64]:
    """Exact mean of each whole factor x factor block of an L image."""
    values = np.asarray(gray, dtype=np.float64)
    rows, columns = (side // factor for side in values.shape)
    blocks = values[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
    return np.asarray(blocks.mean(axis=(1, 3)))


def worst(pixels: NDArray[np.uint8], want: NDArray[np.float64]) -> float:
    assert pixels.shape == want.shape
    return float(np.abs(pixels - want).max())


LOSSLESS = {
    "png gray": ("L", "PNG", {}),
    "png colour": ("RGB", "PNG", {}),
    "png gray, compressed in haste": ("L", "PNG", {"compress_level": 1}),
    "png colour, compressed in haste": ("RGB", "PNG", {"compress_level": 1}),
    "png 1-bit": ("1", "PNG", {}),
    "png palette": ("P", "PNG", {}),
    "png 16-bit": ("I;16", "PNG", {}),
    "tiff group 4": ("1", "TIFF", {"compression": "group4"}),
    "tiff group 4, paper as zeros": ("1", "TIFF", {"compression": "group4", "tiffinfo": {262: 0}}),
    "tiff group 4, bits reversed": ("1", "TIFF", {"compression": "group4", "tiffinfo": {266: 2}}),
    "tiff group 3": ("1", "TIFF", {"compression": "group3"}),
    "tiff lzw": ("L", "TIFF", {"compression": "tiff_lzw"}),
    "tiff 16-bit": ("I;16", "TIFF", {}),
    "tiff cmyk": ("CMYK", "TIFF", {}),
    "tiff lab": ("LAB", "TIFF", {}),
    "webp": ("RGB", "WEBP", {"lossless": True}),
    "gif": ("L", "GIF", {}),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_blocks_are_averaged_to_within_one_gray_level(name: str) -> None:
    mode, kind, options = LOSSLESS[name]
    gray = drawing()
    if mode == "I;16":
        image = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    elif mode == "LAB":
        image = Image.merge("LAB", (gray, *(Image.new("L", gray.size, 128) for _ in range(2))))
    else:
        image = gray.convert(mode)
        gray = image.convert("L")
    sheet = read_sheet(encoded(image, kind, dpi=SCAN, **options))
    assert worst(sheet.pixels, block_means(gray)) <= 1
    assert sheet.source_px_per_px == 8


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_scaled_while_decoding_stays_close_to_the_full_decode(mode: str) -> None:
    """At 1/8 only the DC coefficients are used: the mean of a block before its pixels are clipped to 0..255.

    Where lines make the decoder overshoot, clipping moves the mean of a block by a few levels; on average by none.
    """
    data = encoded(drawing().convert(mode), "JPEG", quality=85, dpi=SCAN)
    with Image.open(io.BytesIO(data)) as image:
        want = block_means(image.convert("L"))
    got = read_sheet(data).pixels
    assert worst(got, want) <= 12
    assert abs(float((got - want).mean())) <= 0.5


@pytest.mark.parametrize("dpi", [100, 150, 200, 240, 400, 600])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_any_resolution_gives_the_same_sheet(dpi: int, kind: str) -> None:
    """200 x 140 mm with a bar of 100 x 40 mm: its place and its ink do not depend on the scan's resolution."""
    px = dpi / 25.4
    image = Image.new("L", (round(200 * px), round(140 * px)), 255)
    ImageDraw.Draw(image).rectangle((50 * px, 30 * px, 150 * px, 70 * px), fill=0)
    sheet = read_sheet(encoded(image, kind, dpi=(dpi, dpi)))
    assert sheet.mm_per_px == pytest.approx(25.4 / 37.5, rel=0.001)
    assert sheet.source_px_per_px == pytest.approx(dpi / 37.5, rel=0.001)
    ink = (255 - sheet.pixels.astype(float)) / 255
    assert ink.sum() * sheet.mm_per_px**2 == pytest.approx(100 * 40, rel=0.02)
    rows, columns = np.nonzero(ink > 0.5)
    assert columns.mean() * sheet.mm_per_px == pytest.approx(100, abs=0.7)
    assert rows.mean() * sheet.mm_per_px == pytest.approx(50, abs=0.7)


@pytest.mark.parametrize("dpi", [200, 300, 400, 500])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_equal_lines_come_out_equal_at_any_resolution(dpi: int, kind: str) -> None:
    """Lines 4 px wide at odd distances: none is lost or doubled between the blocks."""
    image = Image.new("L", (3400, 800), 255)
    starts = range(100, 3300, 97)
    for x in starts:
        ImageDraw.Draw(image).rectangle((x, 0, x + 3, 799), fill=0)
    sheet = read_sheet(encoded(image, kind, dpi=(dpi, dpi)))
    ink = (255 - sheet.pixels[5].astype(float)) / 255 * sheet.source_px_per_px
    centres = [round(x / sheet.source_px_per_px) for x in starts]
    widths = [ink[max(0, at - 3) : at + 4].sum() for at in centres]
    assert widths == pytest.approx([4] * len(widths), abs=0.8)


@pytest.mark.parametrize(
    ("dpi", "size", "believed"),
    [
        (300, (2000, 1400), 300),
        (49, (500, 350), 300),  # below any scan
        (1201, (2000, 1400), 300),
        (100, (6000, 4000), 300),  # would be 1.5 m of paper
        (72, (3508, 2480), 300),  # A4 at 300 dpi, saved by software that knows screens only
        (72, (842, 595), 72),  # A4 exported at 72 dpi
        (None, (2000, 1400), 300),
    ],
)
def test_a_resolution_is_believed_when_it_makes_a_sheet_of_paper(
    dpi: int | None, size: tuple[int, int], believed: int
) -> None:
    options = {"dpi": (dpi, dpi)} if dpi else {}
    sheet = read_sheet(encoded(Image.new("1", size, 1), "PNG", **options))
    assert sheet.mm_per_px / sheet.source_px_per_px == pytest.approx(25.4 / believed, rel=0.001)


def test_dots_per_centimetre_round_to_the_scan_resolution() -> None:
    data = bytearray(encoded(drawing(), "JPEG", dpi=SCAN))
    at = data.index(b"JFIF\0") + 7
    data[at : at + 5] = b"\x02\x00\x76\x00\x76"  # 118 dots per cm, 299.72 dpi
    assert read_sheet(bytes(data)).source_px_per_px == 8


@pytest.mark.parametrize("size", [(7016, 4961), (2480, 3508), (4961, 3508), (9000, 300)])
def test_a_page_larger_than_the_canvas_is_shrunk_to_fit(size: tuple[int, int]) -> None:
    sheet = read_sheet(encoded(Image.new("1", size, 1), "PNG", dpi=SCAN))
    height, width = sheet.pixels.shape
    factor = max(8, size[0] / 640, size[1] / 448)
    assert (width, height) == (int(size[0] / factor + 1e-6), int(size[1] / factor + 1e-6))
    assert sheet.source_px_per_px == pytest.approx(factor)
    assert sheet.mm_per_px == pytest.approx(25.4 / 300 * factor)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation_turns_the_sheet_upright(kind: str, orientation: int) -> None:
    upright = Image.new("L", (960, 640), 255)
    ImageDraw.Draw(upright).rectangle((0, 0, 300, 100), fill=0)
    ImageDraw.Draw(upright).rectangle((800, 320, 960, 480), fill=90)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions that store it lying
    lying = upright.transpose(Image.Transpose(undo[orientation])) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"tiffinfo": {0x0112: orientation}} if kind == "TIFF" else {"exif": exif}
    sheet = read_sheet(encoded(lying, kind, dpi=SCAN, **options))
    assert worst(sheet.pixels, block_means(upright)) <= 2


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_what_is_transparent_is_paper(mode: str) -> None:
    image = drawing().convert("LA" if mode == "LA" else "RGBA")
    hidden = Image.new("L", image.size, 255)
    hidden.paste(0, (0, 0, image.width // 2, image.height))
    image.putalpha(hidden)
    if mode == "PA":
        image = image.quantize(64)
    sheet = read_sheet(encoded(image, "PNG", dpi=SCAN))
    middle = sheet.pixels.shape[1] // 2
    assert (sheet.pixels[:, : middle - 1] == 255).all()
    assert sheet.pixels[:, middle + 1 :].min() < 200


def test_a_colour_declared_transparent_is_paper() -> None:
    image = Image.new("L", (400, 300), 17)
    assert (read_sheet(encoded(image, "PNG", transparency=17)).pixels == 255).all()


@pytest.mark.parametrize("pages", [1, 3, 20])
def test_the_first_page_of_a_tiff_is_read(pages: int) -> None:
    one = read_sheet(tiff_pages(1))
    many = read_sheet(tiff_pages(pages))
    assert np.array_equal(one.pixels, many.pixels)


def test_the_first_page_is_not_the_last() -> None:
    blank = Image.new("L", (480, 340), 255)
    data = encoded(sheet_image(), "TIFF", save_all=True, append_images=[blank])
    assert read_sheet(data).pixels.min() < 255
    data = encoded(blank, "TIFF", save_all=True, append_images=[sheet_image()])
    assert read_sheet(data).pixels.min() == 255


def test_pdf_is_rendered_at_the_resolution_of_the_sheet() -> None:
    millimetres = 72 / 25.4
    bar = b"%g %g %g %g re f" % (50 * millimetres, 70 * millimetres, 100 * millimetres, 40 * millimetres)
    sheet = read_sheet(pdf_page(200 * millimetres, 140 * millimetres, bar))
    assert sheet.mm_per_px == pytest.approx(25.4 / 37.5)
    assert sheet.source_px_per_px == pytest.approx(8)
    ink = (255 - sheet.pixels.astype(float)) / 255
    # pdfium draws what it fills up to half a pixel larger: 280 mm of outline by 0.34 mm.
    assert ink.sum() * sheet.mm_per_px**2 == pytest.approx(100 * 40, rel=0.03)
    rows, columns = np.nonzero(ink > 0.5)
    assert columns.mean() * sheet.mm_per_px == pytest.approx(100, abs=0.7)
    assert rows.mean() * sheet.mm_per_px == pytest.approx(50, abs=0.7)


@pytest.mark.parametrize("corner", ["whole", "top left", "bottom right"])
def test_a_scan_in_a_pdf_looks_like_the_scan(corner: str) -> None:
    """The image fills its page exactly, as in most scans: nothing in it may move, in either direction."""
    image = Image.new("L", (4961, 3508), 255)
    for step in range(0, 4961, 400):
        ImageDraw.Draw(image).line((step, 0, 4960 - step, 3507), fill=0, width=60)
        ImageDraw.Draw(image).line((0, step, 4960, step), fill=0, width=60)
    scan = read_sheet(encoded(image, "PNG", dpi=SCAN)).pixels.astype(float)
    page = read_sheet(encoded(image, "PDF", resolution=300.0, quality=95)).pixels.astype(float)
    assert page.shape == scan.shape
    part = {"whole": np.s_[:, :], "top left": np.s_[:100, :100], "bottom right": np.s_[-100:, -100:]}[corner]
    assert page[part].mean() == pytest.approx(scan[part].mean(), abs=0.5)
    assert np.abs(page[part] - scan[part]).mean() < 0.04 * (255 - scan[part]).mean()


def test_a_line_in_a_pdf_is_as_heavy_as_in_a_scan() -> None:
    """0.35 mm, half a pixel of the sheet: pdfium by itself would draw a whole one."""
    millimetres = 72 / 25.4
    line = b"%g w %g %g m %g %g l S" % tuple(value * millimetres for value in (0.35, 20, 30.1, 180, 110.1))
    sheet = read_sheet(pdf_page(200 * millimetres, 140 * millimetres, line))
    ink = (255 - sheet.pixels.astype(float)).sum() / 255 * sheet.mm_per_px**2
    assert ink == pytest.approx(0.35 * np.hypot(160, 80), rel=0.1)


def test_a_large_pdf_page_is_shrunk_to_fit() -> None:
    sheet = read_sheet(pdf_page(2384, 1684))  # A1
    height, width = sheet.pixels.shape
    assert (width, height) <= (640, 448)
    assert max(width / 640, height / 448) > 0.99
    assert sheet.mm_per_px == pytest.approx(2384 / 72 * 25.4 / 633.4, rel=0.01)


@pytest.mark.parametrize("name", GOOD)
def test_good_drawings_are_read(name: str) -> None:
    sheet = read_sheet(GOOD[name][0])
    assert sheet.pixels.dtype == np.uint8
    assert sheet.pixels.flags.c_contiguous
    assert sheet.pixels.min() < 200
    assert sheet.pixels.max() == 255


@pytest.mark.parametrize(
    "name", [name for name, (data, _) in BAD.items() if not data.lstrip().startswith((b"{", b"["))]
)
def test_bad_drawings_are_refused_in_a_sentence(name: str) -> None:
    with pytest.raises(BadDrawing) as refusal:
        read_sheet(BAD[name][0])
    sentence = str(refusal.value)
    assert sentence.endswith(".")
    assert len(sentence.split()) >= 8
    assert "Error" not in sentence
    assert "0x7f" not in sentence


@pytest.mark.parametrize(
    ("name", "says"),
    {
        "empty body": "no drawing in it",
        "text": "this is text",
        "truncated png": "damaged or incomplete",
        "truncated tiff group 4": "damaged or incomplete",
        "truncated pdf": "damaged or incomplete",
        "encrypted pdf": "password",
        "pdf without pages": "no pages",
        "pdf page of five metres": "5080 x 3528 mm",
        "pdf bomb": "more than 80 million",
        "1x1 png": "too few",
        "strip of 100x9000": "a strip",
        "bomb of 30000x30000": "more than 80 million",
        "bomb of 9000x9000": "9000 x 9000 pixels, more than 80 million",
        "tiff of 200 pages": "more than 20 pages",
        "tiff of floating point": "floating-point",
        "fax of two resolutions": "not square",
    }.items(),
)
def test_a_refusal_says_what_is_wrong(name: str, says: str) -> None:
    with pytest.raises(BadDrawing, match=says):
        read_sheet(BAD[name][0])


@pytest.mark.parametrize("name", HIDDEN)
def test_an_image_in_a_pdf_is_measured_however_its_size_is_written(name: str) -> None:
    with pytest.raises(BadDrawing, match="more than 80 million"):
        read_sheet(HIDDEN[name])


@pytest.mark.parametrize("name", ["palette missing", "exif cut"])
def test_whatever_a_decoder_raises_is_a_refusal(name: str) -> None:
    with pytest.raises(BadDrawing, match="damaged or incomplete"):
        read_sheet(ATTACKS[name][0])


@pytest.mark.parametrize("kind", [AssertionError, AttributeError, NameError, ImportError, RuntimeError, Exception])
def test_whatever_pillow_raises_is_a_refusal(monkeypatch: pytest.MonkeyPatch, kind: type[Exception]) -> None:
    broken = compile("def load(self):\n    raise kind('no palette')", "a file of Pillow's", "exec")
    names: dict[str, Any] = {"kind": kind}
    exec(broken, names)
    monkeypatch.setattr(ImageFile.ImageFile, "load", names["load"])
    with pytest.raises(BadDrawing, match=r"whole file \(no palette\)\."):
        read_sheet(GOOD["bmp"][0])


def test_pdf_without_pages_is_told_apart_even_after_a_locked_one() -> None:
    with pytest.raises(BadDrawing, match="password"):
        read_sheet(BAD["encrypted pdf"][0])
    with pytest.raises(BadDrawing, match="no pages"):
        read_sheet(BAD["pdf without pages"][0])


def test_what_pillow_only_warns_of_is_refused_whatever_the_filters_say() -> None:
    """An EXIF block cut short: Pillow reads on with a warning, which a server would never show anybody."""
    exif = Image.Exif()
    exif[0x010E] = "a description that is long enough to lie outside of the directory"
    data = bytearray(encoded(sheet_image(), "JPEG", exif=exif))
    at = data.index(b"Exif\0\0") + 6
    entry = data.index(b"\x01\x0e", at) if data[at : at + 2] == b"MM" else data.index(b"\x0e\x01", at)
    data[entry + 4 : entry + 8] = b"\0\0\xff\xff" if data[at : at + 2] == b"MM" else b"\xff\xff\0\0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(BadDrawing, match="damaged or incomplete"):
            read_sheet(bytes(data))


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    """9000 x 9000 with real data behind it: decoding would take 81 MB."""
    import tracemalloc

    data = encoded(Image.new("L", (9000, 9000)), "PNG", compress_level=1)
    tracemalloc.start()
    try:
        with pytest.raises(BadDrawing):
            read_sheet(data)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_reading_leaves_no_setting_behind() -> None:
    before = list(warnings.filters)
    for data, _ in [*GOOD.values(), BAD["truncated png"], BAD["bomb of 10000x9000"]]:
        try:
            read_sheet(data)
        except BadDrawing:
            continue
    assert warnings.filters == before
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_fault_in_the_code_is_not_blamed_on_the_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    import shortcuts

    monkeypatch.delattr(shortcuts, "group4_reduced")
    with pytest.raises(AttributeError):
        read_sheet(GOOD["tiff group 4"][0])


@pytest.mark.parametrize("name", ["png", "tiff group 4"])
def test_the_shortcuts_spare_the_decoding_in_pillow(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_image: object) -> None:
        pytest.fail("decoded twice")

    data, _ = GOOD[name]
    for plugin in (PngImagePlugin.PngImageFile, TiffImagePlugin.TiffImageFile):
        monkeypatch.setattr(plugin, "load", load)
    assert read_sheet(data).pixels.min() < 255
