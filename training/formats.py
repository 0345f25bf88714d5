"""Ink as the files that offices have: PNG, Group-4 TIFF, JPEG and PDF, with the traces of scanning."""

import io
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from PIL import Image

from .render import Ink, Pixels, paint, rotated

DPI = 300


@dataclass(frozen=True)
class Format:
    suffix: str
    content_type: str
    scanned: bool  # may be slightly rotated and noisy


FORMATS = {
    "png": Format(".png", "image/png", False),
    "g4": Format(".tif", "image/tiff", False),
    "g4_scan": Format(".tif", "image/tiff", True),
    "g4_multipage": Format(".tif", "image/tiff", True),
    "jpeg_gray": Format(".jpg", "image/jpeg", True),
    "jpeg_colour": Format(".jpg", "image/jpeg", False),
    "pdf_vector": Format(".pdf", "application/pdf", False),
    "pdf_scan": Format(".pdf", "application/pdf", True),
}


def scan_noise(pixels: Pixels, rng: Generator, specks: float = 2e-5, tint: bool = False) -> Pixels:
    """Specks of dust and dropped ink on gray [H, W]; with `tint` uneven paper as well."""
    height, width = pixels.shape
    noisy = pixels.copy()
    for ink, share in ((0, specks), (255, specks / 2)):
        count = int(height * width * share)
        ys, xs = rng.integers(0, height - 3, count), rng.integers(0, width - 3, count)
        for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
            noisy[ys + dy, xs + dx] = ink
    if tint:
        low = rng.normal(243, 4, (12, 16)).astype(np.float32)
        paper = cv2.resize(low, (width, height), interpolation=cv2.INTER_LINEAR)
        noisy = cv2.multiply(noisy, paper, scale=1 / 255, dtype=cv2.CV_8U).astype(np.uint8)
    return noisy


def _png(pixels: Pixels, small: bool) -> bytes:
    out = io.BytesIO()
    level = 9 if small else 1
    Image.fromarray(pixels).save(out, "PNG", dpi=(DPI, DPI), compress_level=level, optimize=small)
    return out.getvalue()


def _group4(pages: list[Pixels]) -> bytes:
    out = io.BytesIO()
    images = [Image.fromarray(page > 127) for page in pages]
    images[0].save(
        out,
        "TIFF",
        compression="group4",
        dpi=(DPI, DPI),
        save_all=len(images) > 1,
        append_images=images[1:],
    )
    return out.getvalue()


def _jpeg(pixels: Pixels, quality: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality, dpi=(DPI, DPI))
    return out.getvalue()


def _pdf_vector(ink: list[Ink], paper: tuple[float, float], degrees: float) -> bytes:
    from reportlab.pdfgen.canvas import Canvas

    out, pt = io.BytesIO(), 72 / 25.4
    page = Canvas(out, pagesize=(paper[0] * pt, paper[1] * pt), invariant=1, pageCompression=1)
    page.setLineCap(1)
    page.setLineJoin(1)
    for stroke in ink:
        points = rotated(stroke.points, degrees, (paper[0] / 2, paper[1] / 2)) * pt
        rgb = tuple(c / 255 for c in stroke.rgb)
        path = page.beginPath()
        path.moveTo(*points[0])
        for point in points[1:]:
            path.lineTo(*point)
        if stroke.filled:
            page.setFillColorRGB(*rgb)
        else:
            page.setStrokeColorRGB(*rgb)
            page.setLineWidth(stroke.width * pt)
        page.drawPath(path, stroke=not stroke.filled, fill=stroke.filled)
    page.save()
    return out.getvalue()


def _pdf_scan(pixels: Pixels, paper: tuple[float, float], quality: int) -> bytes:
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen.canvas import Canvas

    out, pt = io.BytesIO(), 72 / 25.4
    page = Canvas(out, pagesize=(paper[0] * pt, paper[1] * pt), invariant=1)
    image = ImageReader(io.BytesIO(_jpeg(pixels, quality)))
    page.drawImage(image, 0, 0, paper[0] * pt, paper[1] * pt)
    page.save()
    return out.getvalue()


def encode(
    kind: str,
    ink: list[Ink],
    paper: tuple[float, float],
    degrees: float,
    rng: Generator,
    back_page: list[Ink] | None = None,
    small: bool = False,
) -> bytes:
    """The sheet as a file of `kind`, one of FORMATS; `small` trades time for size."""
    if kind == "pdf_vector":
        return _pdf_vector(ink, paper, degrees)
    if kind == "jpeg_colour":
        return _jpeg(paint(ink, paper, DPI, degrees, colour=True), 40 if small else 80)
    pixels = paint(ink, paper, DPI, degrees)
    quality = 35 if small else int(rng.integers(70, 92))
    if kind == "png":
        return _png(pixels, small)
    if kind == "g4":
        return _group4([pixels])
    if kind == "g4_scan":
        return _group4([scan_noise(pixels, rng)])
    if kind == "g4_multipage":
        back = paint(back_page or [], paper, DPI)
        return _group4([scan_noise(pixels, rng, 1e-5), back])
    if kind == "jpeg_gray":
        return _jpeg(scan_noise(pixels, rng, tint=True), quality)
    if kind == "pdf_scan":
        return _pdf_scan(scan_noise(pixels, rng, 1e-5, tint=not small), paper, quality)
    msg = f"no such format: {kind}; choose from {', '.join(FORMATS)}"
    raise ValueError(msg)
