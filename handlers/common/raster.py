"""Images to sheets: Pillow's formats, any depth and colour, reduced by averaging square blocks of pixels."""

import io
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import shortcuts

# Image.open is held to these formats, so each plugin is imported here: Pillow would load all of its plugins when the
# first bad file comes.
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
from sheet import (
    ASSUMED_DPI,
    CANVAS_HEIGHT,
    CANVAS_WIDTH,
    MAX_PIXELS,
    MAX_SHEET_MM,
    MM_PER_INCH,
    NOMINAL_DPI,
    WANTED,
    BadDrawing,
    Gray,
    Sheet,
    check_shape,
    whole_blocks,
)

SANE_DPI = (50.0, 1200.0)
# Software that knows no resolution writes that of a screen, 72 or 96. Below 100 dpi it is believed up to A3, so that
# a scan of A4 at 300 dpi does not pass for a sheet of 1.2 m.
SCREEN_DPI = 100.0
MAX_SCREEN_MM = 450.0
MAX_PAGES = 20

FORMATS = tuple(
    plugin.format
    for plugin in (
        PngImagePlugin.PngImageFile,
        JpegImagePlugin.JpegImageFile,
        TiffImagePlugin.TiffImageFile,
        BmpImagePlugin.BmpImageFile,
        WebPImagePlugin.WebPImageFile,
        GifImagePlugin.GifImageFile,
    )
)

ORIENTATION = 0x0112
QUARTER_TURNS = frozenset({5, 6, 7, 8})
PHOTOMETRIC = 262

# Raised by a line of this file, they mean that the code is wrong, not the drawing.
WRONG_CODE = (NameError, ImportError, AttributeError)


def read_image(data: bytes) -> Sheet:
    """The first page or frame of an image file.

    Raises BadDrawing when the bytes are no image, are damaged, or exceed a limit.
    """
    with _damage_explained(data):
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    with image:
        _check_size(*image.size)
        with _damage_explained(data):
            if isinstance(image, TiffImagePlugin.TiffImageFile):
                _check_pages(image)
            orientation = _orientation(image, data)
        dpi = _dpi(image)
        factor = _factor(image.size, dpi, turned=orientation in QUARTER_TURNS)
        pixels = _shortcut(image, data, factor, orientation)
        if pixels is None:
            pixels = _decode(image, data, factor)
    return Sheet(pixels, MM_PER_INCH / dpi * factor, factor)


def _shortcut(image: Image.Image, data: bytes, factor: float, orientation: int) -> Gray | None:
    """Upright pixels [H, W] from a faster decoder, or None when the file is not of a kind that it takes."""
    if orientation != 1 or factor != round(factor):
        return None
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        if image.mode == "1" and image.info.get("compression") == "group4" and factor == shortcuts.BLOCK:
            with _damage_explained(data):
                return shortcuts.group4_reduced(data, paper_is_zero=image.tag_v2.get(PHOTOMETRIC) == 0)
    elif image.format == "PNG" and image.mode in ("L", "RGB") and not image.has_transparency_data:
        with _damage_explained(data):
            pixels = shortcuts.png_reduced(data, round(factor))
        if image.mode == "L":
            return pixels
        return np.asarray(Image.fromarray(pixels).convert("L"))
    return None


def _decode(image: Image.Image, data: bytes, factor: float) -> Gray:
    """Upright pixels [H, W] by way of Pillow."""
    size = image.size
    with _damage_explained(data):
        scale = _scale_in_decoder(image, factor)
        image.load()
        # Asked only now: Pillow turns a TIFF upright by itself, and then no longer reports an orientation.
        orientation = _orientation(image, data)
        width, height = size if scale > 1 else image.size
        return _upright(_reduce(_gray(image), whole_blocks(width, height, factor), factor / scale), orientation)


def _orientation(image: Image.Image, data: bytes) -> int:
    """EXIF orientation, 1 to 8. Before a PNG is decoded, only if it can have one: Pillow would decode it to look."""
    if image.format == "PNG" and not any(mark in data for mark in (b"eXIf", b"exif", b"XML:com.adobe.xmp")):
        return 1
    value = image.getexif().get(ORIENTATION, 1)
    return value if isinstance(value, int) else 1


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        msg = (
            f"the drawing has {width} x {height} pixels, more than {MAX_PIXELS // 1_000_000} million: "
            "send it at 300 dpi or less."
        )
        raise BadDrawing(msg)
    check_shape(width, height)


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
    longest = MAX_SHEET_MM if across >= SCREEN_DPI else MAX_SCREEN_MM
    if max(image.size) / across * MM_PER_INCH > longest:
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


def _scale_in_decoder(image: Image.Image, factor: float) -> int:
    """Let libjpeg scale a JPEG by 8, 4 or 2 as it decodes; returns the scale.

    At 8 each pixel is the mean of its 8 x 8 block, taken from the DC coefficient without an inverse DCT. Where more
    than that remains to be done, at least 4 is left to `_reduce`: its boxes take whole pixels, and one of 1.3 pixels
    would be of one here and of two there.
    """
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return 1
    for scale in (8, 4, 2):
        rest = factor / scale
        if rest == 1 or rest >= 4:
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
        mode = "LA" if image.mode in ("L", "LA", "La", "1") else "RGBA"
        clear = image if image.mode == mode else image.convert(mode)  # which copies
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
            # To some plugins a truncated file is only worth a warning. Deprecations are no fault of the drawing's.
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except BadDrawing:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        msg = f"the drawing has more than {MAX_PIXELS // 1_000_000} million pixels: send it at 300 dpi or less."
        raise BadDrawing(msg) from error
    except UnidentifiedImageError as error:
        raise BadDrawing(_not_a_drawing(data)) from error
    except Exception as error:  # decoders raise nearly anything
        if isinstance(error, WRONG_CODE) and _raised_here(error):
            raise
        msg = f"the drawing is damaged or incomplete: export it again and send the whole file{_in_brackets(error)}."
        raise BadDrawing(msg) from error


def _raised_here(error: BaseException) -> bool:
    return traceback.extract_tb(error.__traceback__)[-1].filename == __file__


def _in_brackets(error: BaseException) -> str:
    """What the decoder said, in brackets, if anything."""
    lines = str(error).strip().splitlines() or [""]
    said = lines[0].strip().rstrip(".")[:120]
    return f" ({said})" if said else ""


def _not_a_drawing(data: bytes) -> str:
    try:
        text = data[:256].decode("utf-8", "strict" if len(data) <= 256 else "ignore")
    except UnicodeDecodeError:
        text = "\0"
    if all(char.isprintable() or char.isspace() for char in text):
        return f"this is text, not a drawing: {WANTED}."
    return f"this is not a drawing in a format that is read here, or its first bytes are damaged: {WANTED}."
