"""The first page of a PDF as a sheet, rendered by pdfium close to the resolution of the sheet.

pdfium is not thread-safe: call this from one thread of a process, as a TorchServe worker does.
"""

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pypdfium2 as pdfium
from PIL import Image
from pypdfium2 import raw
from scan import scan_rendered
from sheet import (
    ASSUMED_DPI,
    CANVAS_HEIGHT,
    CANVAS_WIDTH,
    MAX_PIXELS,
    MAX_SHEET_MM,
    MM_PER_INCH,
    NOMINAL_DPI,
    BadDrawing,
    Gray,
    Sheet,
    check_shape,
)

POINTS_PER_INCH = 72.0
DOTS = ASSUMED_DPI / POINTS_PER_INCH  # pixels at 300 dpi in a point
FINER = 2
HAIR = 0.01  # points
MAX_DEPTH = 15  # of forms in forms that are searched for images


def read_pdf(data: bytes) -> Sheet:
    """Raises BadDrawing when the PDF is damaged, locked, empty or larger than A0."""
    with _open(data) as document:
        try:
            page = document[0]
        except pdfium.PdfiumError as error:
            msg = "the first page of the PDF is damaged: export it again."
            raise BadDrawing(msg) from error
        width, height = page.get_size()
        _check_page(width, height)
        _check_images(page)
        factor = max(ASSUMED_DPI / NOMINAL_DPI, width * DOTS / CANVAS_WIDTH, height * DOTS / CANVAS_HEIGHT)
        pixels = _pixels(page, data, width * DOTS / factor, height * DOTS / factor)
    return Sheet(pixels, MM_PER_INCH / ASSUMED_DPI * factor, factor)


def _pixels(page: pdfium.PdfPage, data: bytes, width: float, height: float) -> Gray:
    """The page as width x height pixels, from a rendering twice as fine.

    pdfium stretches a page to whole pixels and draws no line thinner than one. Rendered at the size of the sheet
    itself, lines come out too heavy, and at the far corner a pixel from where the same sheet has them as a scan.
    """
    columns, rows = round(width * FINER), round(height * FINER)
    fine = scan_rendered(page, data, columns, rows)
    if fine is None:
        fine = _render(page, columns, rows)
    return np.asarray(Image.fromarray(fine).reduce(FINER, box=(0, 0, columns // FINER * FINER, rows // FINER * FINER)))


def _render(page: pdfium.PdfPage, columns: int, rows: int) -> Gray:
    _widen(page)
    bitmap = pdfium.PdfBitmap.new_native(columns, rows, raw.FPDFBitmap_Gray)
    bitmap.fill_rect((255, 255, 255, 255), 0, 0, columns, rows)
    raw.FPDF_RenderPageBitmap(bitmap, page, 0, 0, columns, rows, 0, raw.FPDF_GRAYSCALE | raw.FPDF_ANNOT)
    pixels: Gray = bitmap.to_numpy()
    return pixels


def _widen(page: pdfium.PdfPage) -> None:
    """Move the edges of the page out by a hair, 0.004 mm.

    pdfium lays an image on the pixels that it touches. One that fills the page exactly, as in most scans, touches
    one row more by an error of rounding, and would be stretched over it.
    """
    for box, set_box in ((page.get_mediabox(), page.set_mediabox), (page.get_cropbox(), page.set_cropbox)):
        left, right = sorted(box[::2])
        bottom, top = sorted(box[1::2])
        set_box(left - HAIR, bottom - HAIR, right + HAIR, top + HAIR)


def _open(data: bytes) -> pdfium.PdfDocument:
    """`data` must outlive the document."""
    # PdfDocument(data) does the same, but reports a file without pages by whatever error came before it.
    handle = raw.FPDF_LoadMemDocument64(data, len(data), None)
    if not handle:
        raise BadDrawing(_why_not_opened(raw.FPDF_GetLastError()))
    document = pdfium.PdfDocument(handle)
    if len(document) == 0:
        document.close()
        msg = "the PDF has no pages: export the drawing again."
        raise BadDrawing(msg)
    return document


def _check_images(page: pdfium.PdfPage) -> None:
    """Refuse a page with an image of more than MAX_PIXELS, before any of it is decoded.

    pdfium is asked for the size, however it is written. Images in patterns, glyphs and masks are not looked at: they,
    like all else, are held by the limits of the process that reads drawings.
    """
    for image in _images(page, raw.FPDFPage_CountObjects, raw.FPDFPage_GetObject):
        width, height = ctypes.c_uint(), ctypes.c_uint()
        if raw.FPDFImageObj_GetImagePixelSize(image, width, height) and width.value * height.value > MAX_PIXELS:
            msg = (
                f"the PDF holds an image of more than {MAX_PIXELS // 1_000_000} million pixels: "
                "scan the sheet again at 300 dpi or less."
            )
            raise BadDrawing(msg)


def _images(holder: Any, count: Callable[[Any], int], get: Callable[[Any, int], Any], depth: int = 0) -> Iterator[Any]:
    """The image objects of a page or form, and of the forms in it."""
    for number in range(count(holder)):
        item = get(holder, number)
        kind = raw.FPDFPageObj_GetType(item)
        if kind == raw.FPDF_PAGEOBJ_IMAGE:
            yield item
        elif kind == raw.FPDF_PAGEOBJ_FORM and depth < MAX_DEPTH:
            yield from _images(item, raw.FPDFFormObj_CountObjects, raw.FPDFFormObj_GetObject, depth + 1)


def _why_not_opened(code: int) -> str:
    match code:
        case raw.FPDF_ERR_PASSWORD:
            return "the PDF is protected by a password: save it without one and send it again."
        case raw.FPDF_ERR_SECURITY:
            return "the PDF is encrypted in a way that cannot be read: save it without protection and send it again."
        case _:
            return "the PDF is damaged or incomplete: export it again and send the whole file."


def _check_page(width: float, height: float) -> None:
    """width, height: points, the page's rotation applied; pdfium takes a page without a size for US Letter."""
    mm = MM_PER_INCH / POINTS_PER_INCH
    if max(width, height) * mm > MAX_SHEET_MM:
        msg = (
            f"the PDF page measures {width * mm:.0f} x {height * mm:.0f} mm, more than A0: "
            "plot the drawing to a paper size up to A0."
        )
        raise BadDrawing(msg)
    check_shape(width * DOTS, height * DOTS)
