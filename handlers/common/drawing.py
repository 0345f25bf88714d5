"""Read an engineering drawing from bytes into a small gray sheet.

Every handler that looks at drawings sees them through `read_sheet`, in training and in production alike: one page,
gray, reduced to 37.5 dpi by averaging square blocks of pixels, which is a 300-dpi scan divided by exactly 8.

Needs Pillow and numpy, and pypdfium2 for PDF. Knows nothing of TorchServe or torch.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pypdfium2 as pdfium
from numpy.typing import NDArray

# Image.open is held to these formats, so each plugin is imported here rather than all of Pillow's at the first bad file.
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)
from pypdfium2 import raw as pdfium_c

CANVAS_WIDTH = 640
CANVAS_HEIGHT = 448
NOMINAL_DPI = 37.5
ASSUMED_DPI = 300.0
MM_PER_INCH = 25.4
POINTS_PER_INCH = 72.0

SANE_DPI = (50.0, 1200.0)
MAX_SHEET_MM = 1250.0  # A0 is 1189 mm long: metadata that claims more describes a screen, not the paper
MAX_PIXELS = 80_000_000  # A1 at 300 dpi has 70 million
MIN_SIDE_PX = 64
MAX_ASPECT = 32
MAX_PAGES = 20

PLUGINS = (
    PngImagePlugin.PngImageFile,
    JpegImagePlugin.JpegImageFile,
    TiffImagePlugin.TiffImageFile,
    BmpImagePlugin.BmpImageFile,
    WebPImagePlugin.WebPImageFile,
    GifImagePlugin.GifImageFile,
)
FORMATS = tuple(plugin.format for plugin in PLUGINS)
WANTED = "send one drawing as PNG, JPEG, TIFF, PDF, BMP, WebP or GIF"

ORIENTATION_TAG = 0x0112
QUARTER_TURNS = frozenset({5, 6, 7, 8})

# What Pillow raises on a damaged file. NameError, ImportError and AttributeError are left out on purpose: they mean
# that the code is wrong, not the drawing.
DAMAGED = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    ArithmeticError,
    TypeError,
    RuntimeError,
    MemoryError,
    Warning,
    Image.DecompressionBombError,
)

_PDF_WIDTH = re.compile(rb"/Width\s*(\d{1,9})")
_PDF_HEIGHT = re.compile(rb"/Height\s*(\d{1,9})")

Gray = NDArray[np.uint8]


class BadDrawing(ValueError):
    """The bytes are no drawing that can be read; str() is a sentence for the person who sent them."""


@dataclass(frozen=True)
class Sheet:
    """One page of a drawing, reduced.

    pixels: uint8 [H, W], 0 ink, 255 paper, H at most 448 and W at most 640.
    mm_per_px: millimetres of paper that one pixel covers; 25.4 / 37.5 unless the page had to be shrunk to fit.
    source_px_per_px: pixels of the file sent that one pixel covers, for a PDF pixels at 300 dpi.
    """

    pixels: Gray
    mm_per_px: float
    source_px_per_px: float


def read_sheet(data: bytes) -> Sheet:
    """Decode the first page of a drawing and reduce it to 37.5 dpi, or further until it fits 640 x 448.

    The resolution comes from the file when it is between 50 and 1200 dpi and makes a sheet no longer than A0; else
    300 dpi is assumed. Incomplete blocks at the right and bottom edge, under 0.7 mm of paper, are left out.

    Raises BadDrawing when the bytes are not a drawing, are damaged, or exceed a limit.
    """
    if not data:
        raise BadDrawing(f"the request has no drawing in it: {WANTED}.")
    if b"%PDF-" in data[:1024]:
        return _read_pdf(bytes(data))
    return _read_image(bytes(data))


# --- images


def _read_image(data: bytes) -> Sheet:
    with _damage_explained(data):
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    with image:
        _check_size(*image.size)
        with _damage_explained(data):
            if isinstance(image, TiffImagePlugin.TiffImageFile):
                _check_pages(image)
            orientation = image.getexif().get(ORIENTATION_TAG, 1)
        size = image.size
        dpi = _dpi(image)
        factor = _factor(size, dpi, turned=orientation in QUARTER_TURNS)
        with _damage_explained(data):
            scale = _scale_in_decoder(image, factor)
            image.load()
            orientation = image.getexif().get(ORIENTATION_TAG, 1)
        # Pillow turns a TIFF upright by itself, and then no longer reports an orientation.
        size = size if scale > 1 else image.size
        pixels = _reduce(_gray(image), _whole_blocks(size, factor), factor / scale)
    return Sheet(_upright(pixels, orientation), MM_PER_INCH / dpi * factor, factor)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        msg = (
            f"the drawing has {width} x {height} pixels, more than the {MAX_PIXELS // 1_000_000} million that are read: "
            "send it at 300 dpi or less."
        )
        raise BadDrawing(msg)
    _check_shape(width, height)


def _check_shape(width: float, height: float) -> None:
    """width, height: pixels, for a PDF at 300 dpi."""
    if min(width, height) < MIN_SIDE_PX:
        msg = f"the drawing has {width:.0f} x {height:.0f} pixels, too few to read: send the sheet at 150 to 300 dpi."
        raise BadDrawing(msg)
    if max(width, height) > MAX_ASPECT * min(width, height):
        msg = f"the drawing has {width:.0f} x {height:.0f} pixels, a strip rather than a sheet: send the whole sheet."
        raise BadDrawing(msg)


def _check_pages(image: TiffImagePlugin.TiffImageFile) -> None:
    """Walk at most MAX_PAGES + 1 directories, however many the file holds."""
    try:
        image.seek(MAX_PAGES)
    except EOFError:
        image.seek(0)
    else:
        msg = f"the TIFF has more than {MAX_PAGES} pages: send the page with the drawing as a file of its own."
        raise BadDrawing(msg)


def _dpi(image: Image.Image) -> float:
    """Resolution of the scan; ASSUMED_DPI when the file does not say or what it says cannot be a sheet of paper."""
    try:
        across, down = (float(value) for value in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return ASSUMED_DPI
    low, high = SANE_DPI
    if not (low <= across <= high and low <= down <= high):
        return ASSUMED_DPI
    if max(image.size) / across * MM_PER_INCH > MAX_SHEET_MM:
        return ASSUMED_DPI
    if not 0.95 < across / down < 1.05:
        msg = (
            f"the drawing's pixels are not square ({across:.0f} dpi across, {down:.0f} dpi down): "
            "scan it again at 300 dpi both ways."
        )
        raise BadDrawing(msg)
    # PNG and JPEG keep whole dots per metre or centimetre: 300 dpi comes back as 299.9994 or 299.72.
    factor = across / NOMINAL_DPI
    return round(factor) * NOMINAL_DPI if abs(factor / round(factor) - 1) < 0.002 else across


def _factor(size: tuple[int, int], dpi: float, *, turned: bool) -> float:
    """Side of the square block of source pixels behind one pixel of the sheet."""
    width, height = reversed(size) if turned else size
    return max(dpi / NOMINAL_DPI, width / CANVAS_WIDTH, height / CANVAS_HEIGHT)


def _whole_blocks(size: tuple[float, float], factor: float) -> tuple[int, int]:
    width, height = size
    return max(1, int(width / factor + 1e-6)), max(1, int(height / factor + 1e-6))


def _scale_in_decoder(image: Image.Image, factor: float) -> int:
    """Let libjpeg scale a JPEG by 8, 4 or 2 as it decodes; returns the scale.

    At 8 each pixel is the mean of its 8 x 8 block, taken from the DC coefficient without an inverse DCT. Where a
    fraction would remain, at least 2 is left to `_reduce`, because a box narrower than two pixels is uneven.
    """
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return 1
    for scale in (8, 4, 2):
        rest = factor / scale
        if rest == 1 or rest >= 2:
            small = (image.width // scale, image.height // scale)
            return scale if image.draft("L", small) is not None else 1
    image.draft("L", image.size)
    return 1


def _gray(image: Image.Image) -> Image.Image:
    """The loaded image in mode L, transparent parts shown on white paper."""
    if image.mode == "L" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        return _gray_from_deep(image)
    if image.mode == "F":
        raise BadDrawing("the drawing holds floating-point numbers, not shades of gray: send it as 8-bit or 1-bit.")
    if image.mode == "LAB":
        return image.getchannel("L")
    if image.has_transparency_data:
        clear = image.convert("LA" if image.mode in ("L", "LA", "La", "1") else "RGBA")
        paper = Image.new("L", image.size, 255)
        paper.paste(clear.convert("L"), mask=clear.getchannel("A"))
        return paper
    return image.convert("L")


def _gray_from_deep(image: Image.Image) -> Image.Image:
    """16-bit gray (modes I;16, I;16B, and I where that is what it holds) to 8-bit."""
    values = np.asarray(image)
    if values.dtype.itemsize > 2 and (values.min() < 0 or values.max() > 65535):
        raise BadDrawing("the drawing holds 32-bit numbers, not shades of gray: send it as 8-bit or 1-bit.")
    return Image.fromarray((values >> 8).astype(np.uint8))


def _reduce(gray: Image.Image, size: tuple[int, int], factor: float) -> Gray:
    """Mean of each block of factor x factor pixels, from the top left. size: columns, rows of the result."""
    columns, rows = size
    if factor == round(factor):
        whole = round(factor)
        return np.asarray(gray.reduce(whole, box=(0, 0, columns * whole, rows * whole)))
    box = (0, 0, min(columns * factor, gray.width), min(rows * factor, gray.height))
    return np.asarray(gray.resize(size, Image.Resampling.BOX, box=box))


def _upright(pixels: Gray, orientation: int) -> Gray:
    """Undo the EXIF orientation (EXIF 2.32, tag 0x0112). pixels: [H, W], returned contiguous."""
    if orientation in QUARTER_TURNS:
        pixels = pixels.T
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


@contextmanager
def _damage_explained(data: bytes) -> Iterator[None]:
    """Raise what Pillow says about a bad file as BadDrawing; only Pillow's own calls belong inside."""
    try:
        with warnings.catch_warnings():
            # A truncated file is only a warning to some plugins. The one left out concerns colours, not damage.
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", message="Palette images with Transparency")
            yield
    except BadDrawing:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        msg = f"the drawing has more than {MAX_PIXELS // 1_000_000} million pixels: send it at 300 dpi or less."
        raise BadDrawing(msg) from error
    except UnidentifiedImageError as error:
        raise BadDrawing(_not_a_drawing(data)) from error
    except DAMAGED as error:
        raise BadDrawing(
            f"the drawing is damaged or incomplete: export it again and send the whole file ({error})."
        ) from error


def _not_a_drawing(data: bytes) -> str:
    try:
        text = data[:256].decode("utf-8", "strict" if len(data) <= 256 else "ignore")
    except UnicodeDecodeError:
        text = "\0"
    if all(char.isprintable() or char.isspace() for char in text):
        return f"this is text, not a drawing: {WANTED}."
    return f"this is not a drawing in a format that is read here, or its first bytes are damaged: {WANTED}."


# --- PDF


def _read_pdf(data: bytes) -> Sheet:
    _check_embedded_images(data)
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        raise BadDrawing(_why_not_opened(error)) from error
    with document:
        try:
            page = document[0]
        except pdfium.PdfiumError as error:
            raise BadDrawing("the first page of the PDF is damaged: export it again.") from error
        width, height = page.get_size()
        _check_page(width, height)
        scale = min(NOMINAL_DPI / POINTS_PER_INCH, CANVAS_WIDTH / width, CANVAS_HEIGHT / height)
        bitmap = page.render(scale=scale, grayscale=True)
        # The bitmap is rounded up to whole pixels, and its memory goes with it.
        columns, rows = _whole_blocks((width, height), 1 / scale)
        pixels = bitmap.to_numpy()[:rows, :columns].copy()
    mm_per_px = MM_PER_INCH / (POINTS_PER_INCH * scale)
    return Sheet(pixels, mm_per_px, ASSUMED_DPI / (POINTS_PER_INCH * scale))


def _check_page(width: float, height: float) -> None:
    """width, height: points, the page's rotation applied."""
    if not (width > 0 and height > 0):
        raise BadDrawing("the first page of the PDF has no size: export the drawing again.")
    mm = MM_PER_INCH / POINTS_PER_INCH
    if max(width, height) * mm > MAX_SHEET_MM:
        msg = (
            f"the PDF page measures {width * mm:.0f} x {height * mm:.0f} mm, more than A0: "
            "plot the drawing to a paper size up to A0."
        )
        raise BadDrawing(msg)
    dots = ASSUMED_DPI / POINTS_PER_INCH
    _check_shape(width * dots, height * dots)


def _check_embedded_images(data: bytes) -> None:
    """Refuse an image inside the PDF that would decode to more than MAX_PIXELS, before pdfium is given any of it.

    Dictionaries of streams are never compressed, so the size of an image stands in the file as plain text.
    """
    for found in _PDF_WIDTH.finditer(data):
        nearby = data[max(0, found.start() - 500) : found.end() + 500]
        height = max((int(value) for value in _PDF_HEIGHT.findall(nearby)), default=0)
        if int(found[1]) * height > MAX_PIXELS:
            msg = (
                f"the PDF holds an image of more than {MAX_PIXELS // 1_000_000} million pixels: "
                "scan the sheet again at 300 dpi or less."
            )
            raise BadDrawing(msg)


def _why_not_opened(error: pdfium.PdfiumError) -> str:
    if error.err_code == pdfium_c.FPDF_ERR_PASSWORD:
        return "the PDF is protected by a password: save it without one and send it again."
    if error.err_code == pdfium_c.FPDF_ERR_SECURITY:
        return "the PDF is encrypted in a way that cannot be read: save it without protection and send it again."
    if error.err_code == pdfium_c.FPDF_ERR_SUCCESS:
        return "the PDF has no pages: export the drawing again."
    return "the PDF is damaged or incomplete: export it again and send the whole file."
