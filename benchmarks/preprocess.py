"""Preprocessing of A3 drawings at 300 dpi beside the bare decoding of the same bytes by each library that can.

    python -m benchmarks.preprocess --drawings 3 --rounds 15

Preprocessing is `read_sheet` of handlers/common: from bytes to the reduced gray sheet, with its limits checked. A
library only decodes: to an array in memory, at full size, or for JPEG also at the scale at which it decodes fastest,
or for PDF also at the size of the sheet. It leaves undone what the model needs next. All run in this process, one
after the other, in turns; a figure is for all drawings of a format together, and counts CPU time: a worker has one core
to itself, and what else the machine does should not decide.

A scan in a PDF is held against the same scan as a file as well, A4 as most are, read by `read_sheet` both times.

Two kinds of sheet: one part each, as the models are trained on, nearly empty paper; and full sheets, six parts drawn
over each other and scanned, as dense as an assembly.

Accuracy is the sheet against exact means of 8 x 8 blocks of the full decode by Pillow (PDF: of pdfium at 300 dpi).
"""

import argparse
import io
import itertools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import numpy as np

from benchmarks.common import ROOT, Bar, Outcome, Table, interleaved, main, median_ratio

sys.path.append(str(ROOT / "handlers" / "common"))  # where an archive has these modules beside its handler

import cv2
import imagecodecs
import pypdfium2
import pyvips
from drawing import read_sheet
from PIL import Image

from training.drawings import generate
from training.formats import scan_noise

OURS = "read_sheet"
BAR = 1.5
PDF_BAR = 1.3
KINDS = {"PNG, 8-bit gray": "png", "TIFF, Group 4": "g4_scan", "JPEG, gray": "jpeg_gray", "PDF of a scan": "pdf_scan"}
SHEET_SCALE = 37.5 / 72

Decoder = Callable[[bytes], object]


def pillow(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def pillow_eighth(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.draft("L", (image.width // 8, image.height // 8))
    image.load()
    return image


def opencv(data: bytes, flag: int = cv2.IMREAD_GRAYSCALE) -> object:
    return cv2.imdecode(np.frombuffer(data, np.uint8), flag)


def vips(data: bytes) -> object:
    return pyvips.Image.new_from_buffer(data, "", access="sequential").numpy()


def vips_jpeg_eighth(data: bytes) -> object:
    return pyvips.Image.jpegload_buffer(data, shrink=8, access="sequential").numpy()


def pdfium(data: bytes, scale: float) -> np.ndarray:
    with pypdfium2.PdfDocument(data) as document:
        return document[0].render(scale=scale, grayscale=True).to_numpy().copy()


PEERS: dict[str, dict[str, Decoder]] = {
    "png": {
        "Pillow": pillow,
        "OpenCV": opencv,
        "pyvips": vips,
        "imagecodecs": imagecodecs.png_decode,
    },
    "g4_scan": {
        "Pillow": pillow,
        "OpenCV": opencv,
        "pyvips": vips,
        "imagecodecs": imagecodecs.tiff_decode,
    },
    "jpeg_gray": {
        "Pillow": pillow,
        "Pillow at 1/8": pillow_eighth,
        "OpenCV": opencv,
        "OpenCV at 1/8": lambda data: opencv(data, cv2.IMREAD_REDUCED_GRAYSCALE_8),
        "pyvips": vips,
        "pyvips at 1/8": vips_jpeg_eighth,
        "imagecodecs": imagecodecs.jpeg8_decode,
    },
    "pdf_scan": {
        "pypdfium2 at 300 dpi": lambda data: pdfium(data, 300 / 72),
        "pypdfium2 at 512 px": lambda data: pdfium(data, 512 / (420 / 25.4 * 72)),
        "pypdfium2 at 37.5 dpi": lambda data: pdfium(data, SHEET_SCALE),
    },
}


def single_parts(kind: str, count: int) -> list[bytes]:
    """A3 drawings from the generator of the training data, seeds 1 to `count`."""
    return [generate(seed, kind=kind, paper="A3").data for seed in range(1, count + 1)]


def full_sheets(kind: str, count: int) -> list[bytes]:
    """`count` A3 sheets of six parts each."""
    return [full_sheet(kind, range(6 * number, 6 * number + 6)) for number in range(count)]


def full_sheet(kind: str, seeds: Sequence[int]) -> bytes:
    """The drawings of `seeds` over each other, all but the first mirrored in some way, in the format of `kind`."""
    pages = [np.asarray(pillow(generate(seed, kind="png", paper="A3").data)) for seed in seeds]
    mirrored = [page[:: (1, -1)[at % 2], :: (1, 1, -1, -1)[at % 4]] for at, page in enumerate(pages)]
    sheet = scan_noise(np.minimum.reduce(mirrored), np.random.default_rng(seeds[0]), tint=kind == "jpeg_gray")
    image = Image.fromarray(sheet)
    out = io.BytesIO()
    match kind:
        case "png":
            image.save(out, "PNG", dpi=(300, 300))
        case "g4_scan":
            Image.fromarray(sheet > 127).save(out, "TIFF", compression="group4", dpi=(300, 300))
        case "jpeg_gray":
            image.save(out, "JPEG", quality=80, dpi=(300, 300))
        case _:
            image.save(out, "PDF", resolution=300.0, quality=80)
    return out.getvalue()


def in_a_pdf(scan: bytes) -> bytes:
    """A scan, JPEG or Group-4 TIFF, as the only image of a PDF page of its size."""
    image = pillow(scan)
    if image.format == "JPEG":
        data, coding = scan, b"/BitsPerComponent 8 /Filter /DCTDecode"
    else:
        out = io.BytesIO()
        image.save(out, "TIFF", compression="group4", strip_size=2**30)
        (at,), (count,) = (pillow(out.getvalue()).tag_v2[tag] for tag in (273, 279))  # type: ignore[attr-defined]
        data = out.getvalue()[at : at + count]
        coding = b"/BitsPerComponent 1 /Filter /CCITTFaxDecode /DecodeParms << /K -1 /Columns %d /BlackIs1 true >>"
        coding %= image.width
    page = tuple(side * 72 / 300 for side in image.size)
    content = b"q %g 0 0 %g 0 0 cm /Im Do Q" % page
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %g %g] /Contents 4 0 R " % page
        + b"/Resources << /XObject << /Im 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray %s /Length %d >>\nstream\n"
        % (*image.size, coding, len(data))
        + data
        + b"\nendstream",
    ]
    pdf, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(bodies, 1):
        offsets.append(len(pdf))
        pdf += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(pdf)
    return pdf + b"xref\n0 6\n" + table + end


def pdf_beside_file(drawings: int, rounds: int) -> tuple[list[Bar], list[tuple[str, float, float, float]]]:
    """A4 scans in a PDF and as files."""
    bars, rows = [], []
    for name, kind in {"JPEG, gray": "jpeg_gray", "TIFF, Group 4": "g4_scan"}.items():
        files = [generate(seed, kind=kind, paper="A4").data for seed in range(1, drawings + 1)]
        contestants = {"file": all_of(read_sheet, files), "pdf": all_of(read_sheet, [in_a_pdf(file) for file in files])}
        interleaved(1, contestants)
        seconds = interleaved(rounds, contestants)
        ratio = median_ratio(seconds["pdf"], seconds["file"])
        rows.append((name, *(median(seconds[who]) / drawings * 1000 for who in ("file", "pdf")), ratio))
        bars.append(Bar(f"A4 scan in a PDF beside the same scan as {name}", ratio, "at most", PDF_BAR))
    return bars, rows


CONTENTS = {"single parts": single_parts, "full sheets": full_sheets}


def all_of(decode: Decoder, files: Sequence[bytes]) -> Callable[[], float]:
    """Seconds of CPU to decode all of them, as a contestant."""

    def work() -> float:
        started = time.process_time()
        for data in files:
            decode(data)
        return time.process_time() - started

    return work


def gray_levels_off(kind: str, data: bytes) -> tuple[float, float]:
    """Largest and mean difference of the sheet from exact block means, in gray levels."""
    full = pdfium(data, 300 / 72) if kind == "pdf_scan" else np.asarray(pillow(data).convert("L"))
    sheet = read_sheet(data).pixels
    rows, columns = sheet.shape
    blocks = full[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8)
    off = np.abs(sheet - blocks.mean(axis=(1, 3)))
    return float(off.max()), float(off.mean())


def measure(asked: argparse.Namespace) -> Outcome:
    cv2.setNumThreads(1)
    drawings, rounds = (1, 2) if asked.quick else (asked.drawings, asked.rounds)
    rows: list[tuple[str, str, float, float]] = []
    bars: list[Bar] = []
    accuracy: list[tuple[str, float, float]] = []
    for (name, kind), (content, make) in itertools.product(KINDS.items(), CONTENTS.items()):
        files = make(kind, drawings)
        what = f"{name}, {content}"
        contestants = {OURS: all_of(read_sheet, files)}
        contestants |= {peer: all_of(decode, files) for peer, decode in PEERS[kind].items()}
        interleaved(1, contestants)  # the first call of each library is its slowest
        seconds = interleaved(rounds, contestants)
        fastest = min(PEERS[kind], key=lambda peer: median(seconds[peer]))
        rows += milliseconds(what, seconds, fastest, drawings)
        ratio = median_ratio(seconds[OURS], seconds[fastest])
        bars.append(Bar(f"{what}: read_sheet beside {fastest} decoding", ratio, "at most", BAR))
        off = [gray_levels_off(kind, data) for data in files]
        accuracy.append((what, max(most for most, _ in off), median(mean for _, mean in off)))
    pdf_bars, pdf_rows = pdf_beside_file(drawings, rounds)
    return Outcome(
        bars=bars + pdf_bars,
        tables=[
            Table("A4 scans at 300 dpi, read_sheet", ("scan", "as a file, ms", "in a PDF, ms", "ratio"), pdf_rows),
            Table("Milliseconds a drawing", ("format", "contestant", "ms", "times the fastest decode"), rows),
            Table("Gray levels off the mean of each block", ("format", "at most", "on average"), accuracy),
        ],
    )


def milliseconds(
    name: str, seconds: Mapping[str, Sequence[float]], fastest: str, drawings: int
) -> list[tuple[str, str, float, float]]:
    return [
        (name, contestant, median(times) / drawings * 1000, median_ratio(times, seconds[fastest]))
        for contestant, times in seconds.items()
    ]


if __name__ == "__main__":
    main(
        __doc__,
        measure,
        drawings={"type": int, "default": 3, "help": "drawings of each format"},
        rounds={"type": int, "default": 15, "help": "rounds"},
    )
