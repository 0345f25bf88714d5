"""A PDF page that is one scanned image: decoded as that image, to the very pixels that pdfium would render.

pdfium takes most of its time for a scan to stretch it. Here the image is decoded as pdfium does it, and averaged by
`averages`. Whatever is not known to come out the same is left to pdfium: `scan_rendered` then returns None.
"""

import io
import logging
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import imagecodecs
import numpy as np
import pypdfium2 as pdfium
from averages import averaged
from numpy.typing import NDArray
from PIL import Image
from pypdfium2 import raw
from sheet import Gray

SLACK = 0.25  # pixels by which the scan may fall short of the page
OVER = 0.002  # or stand out
WHOLE = 8  # pixels on a side of a JPEG's blocks
MOST_PIXELS = 50_000_000  # from 60 million on pdfium leaves out pixels
CHUNK = 256  # rows; what is worked on stays in the cache

# The dictionary of an image of which nothing but its samples matters: no mask, no Decode array, a plain colour space.
_ATOM = rb"(?:/\w+|[-\d.]+|true|false|null|\d+\s+\d+\s+R)"
_PARAMETERS = rb"<<(?:\s*/\w+\b\s*" + _ATOM + rb")*\s*>>"
# not JPX, which pdfium decodes at a lower resolution
_FILTER = rb"/(?:DCT|CCITTFax|JBIG2|Flate|LZW|RunLength|ASCII85|ASCIIHex)Decode"
_ONE_BIT = re.compile(rb"/BitsPerComponent\s+1\b")
_STREAM = re.compile(rb"stream\r?\n")
_PLAIN_IMAGE = re.compile(
    rb"\s*<<(?:\s*(?:/Type\s*/XObject|/Subtype\s*/Image|/Name\s*/\w+|/Width\s+\d+|/Height\s+\d+"
    rb"|/BitsPerComponent\s+[1248]|/ColorSpace\s*/Device(?:Gray|RGB)|/Interpolate\s+(?:true|false)"
    rb"|/Length\s+\d+(?:\s+\d+\s+R)?|/Filter\s*(?:" + _FILTER + rb"|\[(?:\s*" + _FILTER + rb")*\s*\])"
    rb"|/DecodeParms\s*(?:" + _PARAMETERS + rb"|\[(?:\s*(?:null|" + _PARAMETERS + rb"))*\s*\])))*\s*>>\s*stream\r?\n"
)
# What can change how an image shows and pdfium does not tell: layers, transfer functions, default colour spaces; also
# where such things can hide, compressed objects and names with escapes.
_MORE = re.compile(rb"/(?:OC|TR|Default|ObjStm|[A-Za-z]*#[0-9A-Fa-f]{2})")


def scan_rendered(page: pdfium.PdfPage, data: bytes, columns: int, rows: int) -> Gray | None:
    """What pdfium renders of `page`, the first of the PDF `data`, as gray pixels: uint8 [rows, columns].

    None when the page is more than one plain image that fills it, or when this is not known to give the same pixels.
    """
    image = _only_image(page)
    if image is None or not _fills(page, image, columns, rows):
        return None
    stream = bytes(image.get_data(decode_simple=False))
    if not stream or _STREAM.search(stream):
        return None
    places = [start.end() for start in _STREAM.finditer(data) if data.startswith(stream, start.end())]
    if len(places) != 1:
        return None
    (at,) = places
    dictionary = data[data.rfind(b"obj", max(0, at - 1000), at) + 3 : at]
    if not _PLAIN_IMAGE.fullmatch(dictionary) or _MORE.search(data, 0, at) or _MORE.search(data, at + len(stream)):
        return None
    turns = page.get_rotation() // 90
    if turns % 2:  # as the image lies in the file
        columns, rows = rows, columns
    width, height = image.get_px_size()
    if width < columns or height < rows or width * height > MOST_PIXELS:
        return None
    filters = image.get_filters()
    if (width, height) != (4 * columns, 4 * rows) and _ONE_BIT.search(dictionary):  # which pdfium stretches fast
        return None
    fine = None
    if filters == ["CCITTFaxDecode"]:
        fine = _group4(stream, dictionary, width, height)
    if fine is None:
        if "DCTDecode" in filters and width % WHOLE == height % WHOLE == 0:
            sides = (rows, columns) if turns % 2 else (columns, rows)
            gray = _shrunk(image, *sides) if b"/DeviceGray" in dictionary else None
        else:
            gray = _decoded(image, width, height)
        if gray is None:
            return None
        fine = averaged(gray, columns, rows)
    return np.ascontiguousarray(np.rot90(fine, -turns))


def _only_image(page: pdfium.PdfPage) -> pdfium.PdfImage | None:
    """The page's one object, if that is an image drawn plainly and nothing else shows on the page."""
    if raw.FPDFPage_CountObjects(page) != 1 or raw.FPDFPage_GetAnnotCount(page) != 0:
        return None
    image = next(page.get_objects(max_depth=1))
    if not isinstance(image, pdfium.PdfImage):
        return None
    clipped = raw.FPDFClipPath_CountPaths(raw.FPDFPageObj_GetClipPath(image)) > 0
    if clipped or raw.FPDFPageObj_HasTransparency(image) or raw.FPDFPageObj_CountMarks(image) != 0:
        return None
    return image


def _fills(page: pdfium.PdfPage, image: pdfium.PdfImage, columns: int, rows: int) -> bool:
    """Whether pdfium lays the image upright on exactly the pixels of the page."""
    left, bottom, right, top = page.get_bbox()
    if page.get_rotation() % 180:
        columns, rows = rows, columns
    a, b, c, d, e, f = image.get_matrix().get()
    if b or c:
        return False
    gaps = (
        (e - left) * columns / (right - left),
        (right - e - a) * columns / (right - left),
        (f - bottom) * rows / (top - bottom),
        (top - f - d) * rows / (top - bottom),
    )
    return all(-OVER < gap < SLACK for gap in gaps)


def _decoded(image: pdfium.PdfImage, width: int, height: int) -> Gray | None:
    """The image as pdfium decodes it: uint8 [height, width]."""
    try:
        bitmap = image.get_bitmap()
    except pdfium.PdfiumError:
        return None
    if (bitmap.width, bitmap.height) != (width, height):
        return None
    pixels: Gray = bitmap.to_numpy()
    if bitmap.format == raw.FPDFBitmap_Gray:
        return pixels
    if bitmap.format == raw.FPDFBitmap_BGR:
        return _gray(pixels)
    return None


def _shrunk(image: pdfium.PdfImage, columns: int, rows: int) -> Gray | None:
    """A gray JPEG of whole blocks, as pdfium has libjpeg shrink it: by a power of two that leaves enough for a page of
    `columns` x `rows`, the turn of the page disregarded.
    """
    data = bytes(image.get_data(decode_simple=True))
    try:
        jpeg = Image.open(io.BytesIO(data), formats=["JPEG"])
        ratio = min(jpeg.width // columns, jpeg.height // rows)
        scale = max(power for power in (1, 2, 4, 8) if power <= max(1, ratio))
        if jpeg.mode != "L" or jpeg.size != image.get_px_size():
            return None
        jpeg.draft("L", (jpeg.width // scale, jpeg.height // scale))
        return np.asarray(jpeg)
    except Exception:  # damaged in some way; pdfium may make more of it
        return None


def _gray(colours: NDArray[np.uint8]) -> Gray:
    """uint8 [H, W, 3], blue first -> [H, W], weighed as pdfium does (FXRGB2GRAY)."""
    gray = np.empty(colours.shape[:2], np.uint8)
    for top in range(0, len(gray), CHUNK):
        part = colours[top : top + CHUNK]
        total = part[..., 0] * np.uint16(11)
        total += part[..., 1] * np.uint16(59)
        total += part[..., 2] * np.uint16(30)
        gray[top : top + CHUNK] = total // np.uint16(100)
    return gray


# --- Group 4, which libtiff decodes five times as fast as pdfium


def _group4(stream: bytes, dictionary: bytes, width: int, height: int) -> Gray | None:
    """What `averaged` makes of a Group-4 image: uint8 [height // 4, width // 4]; None when libtiff finds it damaged.

    Of what libtiff takes, pdfium gives up rows with a run of no length, which one in a thousand changed bits makes.
    """
    found = re.findall(rb"/DecodeParms\s*\[?\s*<<([^<>]*)>>", dictionary)
    if len(found) != 1:
        return None
    settings = dict(re.findall(rb"/(\w+)\s+([-\w.]+)", found[0]))
    white_is_one = settings.pop(b"BlackIs1", b"false") == b"true"
    settings.pop(b"Rows", None)
    if settings != {b"K": b"-1", b"Columns": b"%d" % width}:
        return None
    with _complaints() as complaints:
        try:
            bits = imagecodecs.tiff_decode(_tiff(stream, width, height), verbose=1).view(np.uint8)
        except imagecodecs.TiffError:
            return None
    if complaints:
        return None
    sums = np.einsum("bij->bj", bits.reshape(height // 4, 4, width))  # at most 4 in a byte
    ones = ((sums.view("<u4") * np.uint32(0x01010101)) >> np.uint32(24)).astype(np.uint8)  # of 16
    white = ones if white_is_one else 16 - ones
    return (white << 4) - (white > 0)  # 255 / 16 of it, rounded down; 256 - 1 comes out as 255 in a byte


def _tiff(stream: bytes, width: int, height: int) -> bytes:
    """`stream` as a TIFF of one strip (TIFF 6.0, section 2): a header, the data, the directory."""
    fields = {256: width, 257: height, 258: 1, 259: 4, 262: 1, 273: 8, 277: 1, 278: height, 279: len(stream)}
    data = stream + b"\0" * (len(stream) % 2)
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    return (
        struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + struct.pack("<H", len(fields)) + directory + b"\0" * 4
    )


@contextmanager
def _complaints() -> Iterator[list[logging.LogRecord]]:
    """What libtiff says about the data while this lasts; not passed on."""
    heard: list[logging.LogRecord] = []

    def hear(record: logging.LogRecord) -> bool:
        heard.append(record)
        return False

    logger = logging.getLogger("imagecodecs")
    logger.addFilter(hear)
    try:
        yield heard
    finally:
        logger.removeFilter(hear)
