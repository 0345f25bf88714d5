"""A page that is one scan, decoded as that scan, against the same page rendered by pdfium."""

import base64
import io
import random
import struct
import time
import zlib

import imagecodecs
import numpy as np
import pdf as pdf_reader
import pytest
from drawing import read_sheet
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .bad_drawings import CATALOGUE, encoded, pdf, sheet_image

WIDTH, HEIGHT = 652, 476
PAGE = (WIDTH * 72 / 300, HEIGHT * 72 / 300)


def scan() -> Image.Image:
    """Noisy paper with lines of every slope, as a scanner's."""
    image = sheet_image(WIDTH, HEIGHT)
    draw = ImageDraw.Draw(image)
    for step in range(40):
        draw.line((step * 15, 10, WIDTH - step * 9, HEIGHT - 20), fill=step * 5, width=1 + step % 4)
    noise = np.random.default_rng(1).normal(0, 9, (HEIGHT, WIDTH))
    return Image.fromarray(np.clip(np.asarray(image, float) + noise, 0, 255).astype(np.uint8))


GRAY = scan()
BITS = GRAY.point(lambda value: 255 * (value > 127)).convert("1")
COLOURS = Image.merge("RGB", (GRAY, GRAY.transpose(Image.Transpose.ROTATE_180), GRAY.point(lambda v: v // 2 + 90)))
PACKED = np.packbits(np.asarray(BITS), axis=1).tobytes()  # 1 is white


def strip(tiff: bytes) -> bytes:
    with Image.open(io.BytesIO(tiff)) as image:
        at, count = image.tag_v2[273][0], image.tag_v2[279][0]
    return tiff[at : at + count]


def group4(black_is_one: bool = False) -> bytes:
    """BITS as T.6 data; libtiff codes a 1 as black, a PDF takes black for 0 unless told otherwise."""
    image = BITS if black_is_one else BITS.point(lambda value: 255 - value)
    return strip(encoded(image.convert("1"), "TIFF", compression="group4"))


def one_image(
    stream: bytes,
    entries: bytes,
    *,
    page: bytes = b"",
    resources: bytes = b"",
    content: bytes = b"q %g 0 0 %g 0 0 cm /Im Do Q" % PAGE,
    box: tuple[float, ...] = (0, 0, *PAGE),
    more: tuple[bytes, ...] = (),
    size: tuple[int, int] = (WIDTH, HEIGHT),
    packed: bool = False,
) -> bytes:
    """A PDF page that shows an image; `more` are objects from number 6 on. packed: the page's content is compressed."""
    content = zlib.compress(content) if packed else content
    return pdf(
        CATALOGUE,
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [%g %g %g %g] /Contents 4 0 R %s " % (*box, page)
        + b"/Resources << /XObject << /Im 5 0 R /Other 6 0 R >> %s >> >>" % resources,
        b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), b"/Filter /FlateDecode" * packed, content),
        b"<< /Type /XObject /Subtype /Image /Width %d /Height %d %s /Length %d >>\nstream\n%s\nendstream"
        % (*size, entries, len(stream), stream),
        *more,
    )


def gray_entries(entries: bytes, bits: int = 8, colours: bytes = b"/DeviceGray") -> bytes:
    return b"/BitsPerComponent %d /ColorSpace %s %s" % (bits, colours, entries)


def flate(image: Image.Image) -> bytes:
    return zlib.compress(image.tobytes())


JPEG = encoded(GRAY, "JPEG", quality=60)


def jbig2(mmr: bytes) -> bytes:
    """T.6 data as an embedded JBIG2 page of one generic region (ITU-T T.88, 7.4.6 and 7.4.8)."""
    page = struct.pack(">IIIIBH", WIDTH, HEIGHT, 0, 0, 0, 0)
    region = struct.pack(">IIIIBB", WIDTH, HEIGHT, 0, 0, 0, 1) + mmr
    return b"".join(
        struct.pack(">IBBBI", number, kind, 0, 1, len(data)) + data
        for number, (kind, data) in enumerate([(48, page), (38, region)])
    )


NULLS = b" /DecodeParms [null null]"
FAX = b"/Filter /CCITTFaxDecode /DecodeParms << /K -1 /Columns 652 /Rows 476 "
FLATE = gray_entries(b"/Filter /FlateDecode")
PLAIN = {
    "dct": (JPEG, gray_entries(b"/Filter /DCTDecode")),
    "dct of few colours": (encoded(GRAY, "JPEG", quality=15), gray_entries(b"/Filter [/DCTDecode]")),
    "dct as text": (
        JPEG.hex().encode() + b">",
        gray_entries(b"/Filter [/ASCIIHexDecode /DCTDecode]" + NULLS),
    ),
    "dct in colour": (encoded(COLOURS, "JPEG", quality=80), gray_entries(b"/Filter /DCTDecode", 8, b"/DeviceRGB")),
    "flate": (flate(GRAY), FLATE),
    "flate in colour": (flate(COLOURS), gray_entries(b"/Filter /FlateDecode", 8, b"/DeviceRGB")),
    "flate of bits": (zlib.compress(PACKED), gray_entries(b"/Filter /FlateDecode", 1)),
    "nothing packed": (GRAY.tobytes(), gray_entries(b"/Interpolate true")),
    "run length": (imagecodecs.packbits_encode(PACKED) + b"\x80", gray_entries(b"/Filter /RunLengthDecode", 1)),
    "four bits": (
        np.packbits(np.unpackbits(np.asarray(GRAY)[..., None], axis=2)[..., :4].reshape(HEIGHT, -1), axis=1).tobytes(),
        gray_entries(b"", 4),
    ),
    "bits in colour": (
        np.packbits(np.asarray(COLOURS).reshape(HEIGHT, -1) > 127, axis=1).tobytes(),
        gray_entries(b"", 1, b"/DeviceRGB"),
    ),
    "lzw as text": (
        base64.a85encode(imagecodecs.lzw_encode(GRAY.tobytes())) + b"~>",
        gray_entries(b"/Filter [/ASCII85Decode /LZWDecode]"),
    ),
    "jbig2": (jbig2(group4(black_is_one=True)), gray_entries(b"/Filter /JBIG2Decode", 1)),
    "predictor": (
        zlib.compress(b"".join(b"\0" + GRAY.crop((0, y, WIDTH, y + 1)).tobytes() for y in range(HEIGHT))),
        gray_entries(b"/Filter /FlateDecode /DecodeParms << /Predictor 15 /Columns 652 >>"),
    ),
    "group 4": (group4(), gray_entries(FAX + b">>", 1)),
    "group 4, told twice": (
        group4(black_is_one=True),
        gray_entries(FAX + b">> /DecodeParms << /K -1 /Columns 652 /BlackIs1 true >>", 1),
    ),
    "group 4, black is one": (group4(black_is_one=True), gray_entries(FAX + b"/BlackIs1 true >>", 1)),
}


WHOLE_BLOCKS = (
    encoded(GRAY.crop((0, 0, 648, 472)), "JPEG", quality=60),
    gray_entries(b"/Filter /DCTDecode"),
    (648, 472),
)


def rendered(data: bytes, monkeypatch: pytest.MonkeyPatch) -> NDArray[np.uint8]:
    """The sheet as pdfium renders it."""
    with monkeypatch.context() as patch:
        patch.setattr(pdf_reader, "scan_rendered", lambda *page: None)
        return read_sheet(data).pixels


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each page read whether it was taken for a scan."""
    seen: list[bool] = []
    ours = pdf_reader.scan_rendered

    def watched(*page: object) -> NDArray[np.uint8] | None:
        fine = ours(*page)
        seen.append(fine is not None)
        return fine

    monkeypatch.setattr(pdf_reader, "scan_rendered", watched)
    return seen


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("name", PLAIN)
def test_a_scan_comes_out_as_pdfium_renders_it(
    name: str, turn: int, taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = one_image(*PLAIN[name], page=b"/Rotate %d" % turn)
    pixels = read_sheet(data).pixels
    assert taken == [True]
    assert pixels.flags.c_contiguous
    assert pixels.std() > 20
    np.testing.assert_array_equal(pixels, rendered(data, monkeypatch))


# Of the page's 163 x 119 pixels: somewhat more, twice, some more, four times across alone, five and eight times. Of
# those with sides in multiples of eight pdfium lets libjpeg shrink a JPEG by 2, 4 or 8, the others it decodes whole.
SIZES = [(164, 120), (326, 238), (437, 319), (652, 500), (869, 637), (1304, 952), (1311, 957), (328, 240), (648, 472)]
SIZES += [(656, 480), (872, 640), (664, 960), (656, 500), (652, 480), (663, 504)]


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_scans_of_any_resolution_come_out_so(
    size: tuple[int, int], turn: int, taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = GRAY.resize(size, Image.Resampling.NEAREST)
    for stream, entries in (
        (encoded(image, "JPEG", quality=40), gray_entries(b"/Filter /DCTDecode")),
        (flate(image), FLATE),
    ):
        data = one_image(stream, entries, page=b"/Rotate %d" % turn, size=size)
        np.testing.assert_array_equal(read_sheet(data).pixels, rendered(data, monkeypatch))
    assert taken == [True, True]


@pytest.mark.parametrize("name", ["dct", "group 4"])
def test_the_box_of_the_page_may_lie_anywhere(name: str, taken: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    width, height = PAGE
    data = one_image(
        *PLAIN[name],
        content=b"q %g 0 0 %g -50 20.5 cm /Im Do Q" % PAGE,
        box=(-100, -100, 500, 500),
        page=b"/CropBox [-50 20.5 %g %g] /UserUnit 2" % (width - 50, height + 20.5),
    )
    pixels = read_sheet(data).pixels
    assert taken == [True]
    np.testing.assert_array_equal(pixels, rendered(data, monkeypatch))


@pytest.mark.parametrize("turn", [0, 90])
@pytest.mark.parametrize("name", ["dct", "group 4"])
def test_a_scan_may_fall_somewhat_short_of_its_page(
    name: str, turn: int, taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    width, height = PAGE
    content = b"q %g 0 0 %g 0.1 0 cm /Im Do Q" % (width - 0.2, height - 0.19)
    data = one_image(*PLAIN[name], content=content, page=b"/Rotate %d" % turn)
    pixels = read_sheet(data).pixels
    assert taken == [True]
    np.testing.assert_array_equal(pixels, rendered(data, monkeypatch))


WHITE = b"<< /Type /XObject /Subtype /Image /Width 1 /Height 1 %s /Length 1 >>\nstream\n\xf0\nendstream"
MASK = WHITE % gray_entries(b"")
DRAWN = b"q %g 0 0 %g 0 0 cm /Im Do Q" % PAGE
NOT_PLAIN = {
    "soft mask": {"entries": FLATE + b" /SMask 6 0 R", "more": (MASK,)},
    "stencil": {"entries": FLATE + b" /Mask 6 0 R", "more": (WHITE % b"/ImageMask true",)},
    "colours left out": {"entries": FLATE + b" /Mask [0 90]"},
    "turned to negative": {"entries": FLATE + b" /Decode [1 0]"},
    "palette": {"entries": gray_entries(b"/Filter /FlateDecode", 8, b"[/Indexed /DeviceGray 1 <00FF>]")},
    "colour space of its own": {
        "entries": gray_entries(b"/Filter /FlateDecode", 8, b"6 0 R"),
        "more": (b"/DeviceGray",),
    },
    "a layer": {"entries": FLATE + b" /OC 6 0 R", "more": (b"<< /Type /OCG /Name (off) >>",)},
    "transfer function": {
        "content": b"/Gs gs " + DRAWN,
        "resources": b"/ExtGState << /Gs << /TR 6 0 R >> >>",
        "more": (b"<< /FunctionType 2 /Domain [0 1] /N 1 /C0 [1] /C1 [0] >>",),
    },
    "transfer function with an escaped name": {
        "content": b"/Gs gs " + DRAWN,
        "resources": b"/ExtGState << /Gs << /#54R 6 0 R >> >>",
        "more": (b"<< /FunctionType 2 /Domain [0 1] /N 1 /C0 [1] /C1 [0] >>",),
    },
    "gray by default": {
        "resources": b"/ColorSpace << /DefaultGray [/Separation /Ink /DeviceGray 6 0 R] >>",
        "more": (b"<< /FunctionType 2 /Domain [0 1] /N 1 /C0 [1] /C1 [0] >>",),
    },
    "half transparent": {"content": b"/Gs gs " + DRAWN, "resources": b"/ExtGState << /Gs << /ca 0.5 >> >>"},
    "blended": {"content": b"/Gs gs " + DRAWN, "resources": b"/ExtGState << /Gs << /BM /Difference >> >>"},
    "marked": {"content": b"/OC /Off BDC " + DRAWN + b" EMC"},
    "hidden by a mark": {
        "content": b"/OC /Off BDC " + DRAWN + b" EMC",
        "packed": True,
        "resources": b"/Properties << /Off << /Usage << /View << /ViewState /OFF >> >> >> >>",
    },
    "transfer function after the image": {
        "content": b"/Gs gs " + DRAWN,
        "resources": b"/ExtGState << /Gs 6 0 R >>",
        "more": (
            b"<< /TR 7 0 R >>",
            b"<< /FunctionType 2 /Domain [0 1] /N 1 /C0 [1] /C1 [0] >>",
        ),
    },
    "objects that are compressed": {"more": (b"<< /Type /ObjStm /N 0 /First 0 /Length 1 >>\nstream\n \nendstream",)},
    "a form": {
        "content": b"q %g 0 0 %g 0 0 cm /Other Do Q" % PAGE,
        "more": (
            (
                b"<< /Type /XObject /Subtype /Form /BBox [0 0 1 1] /Length 6 "
                b"/Resources << /XObject << /Im 5 0 R >> >> >>\nstream\n/Im Do\nendstream"
            ),
        ),
    },
    "clipped": {"content": b"q 10 10 50 50 re W n " + DRAWN + b" Q"},
    "a line": {"content": DRAWN + b" 5 w 0 0 m 100 100 l S"},
    "twice": {"content": DRAWN + DRAWN},
    "a note": {
        "page": b"/Annots [6 0 R]",
        "more": (
            b"<< /Type /Annot /Subtype /Square /Rect [10 10 60 60] /AP << /N 7 0 R >> >>",
            b"<< /Type /XObject /Subtype /Form /BBox [0 0 50 50] /Length 17 >>\nstream\n0 0 50 50 re f   \nendstream",
        ),
    },
    "half the page": {"content": b"q %g 0 0 %g 0 0 cm /Im Do Q" % (PAGE[0], PAGE[1] / 2)},
    "beyond the page": {"content": b"q %g 0 0 %g 0 0 cm /Im Do Q" % (PAGE[0], PAGE[1] + 1)},
    "mirrored": {"content": b"q -%g 0 0 %g %g 0 cm /Im Do Q" % (*PAGE, PAGE[0])},
    "upside down": {"content": b"q %g 0 0 -%g 0 %g cm /Im Do Q" % (*PAGE, PAGE[1])},
    "aslant": {"content": b"q %g 1 0 %g 0 0 cm /Im Do Q" % PAGE},
    "aslant the other way": {"content": b"q %g 0 1 %g 0 0 cm /Im Do Q" % PAGE},
    "fewer pixels than are wanted": {
        "stream": flate(GRAY.resize((150, 110))),
        "size": (150, 110),
    },
    "bits at another resolution": {
        "stream": zlib.compress(bytes(105 * 560)),
        "entries": gray_entries(b"/Filter /FlateDecode", 1),
        "size": (840, 560),
    },
    "more than fifty million pixels": {"stream": zlib.compress(bytes(8000 * 6300)), "size": (8000, 6300)},
    "jpeg 2000": {
        "stream": imagecodecs.jpeg2k_encode(np.asarray(GRAY), codecformat="jp2"),
        "entries": gray_entries(b"/Filter /JPXDecode"),
    },
    "colour jpeg of whole blocks": {
        "stream": encoded(COLOURS.crop((0, 0, 648, 472)), "JPEG", quality=30),
        "entries": gray_entries(b"/Filter /DCTDecode", 8, b"/DeviceRGB"),
        "size": (648, 472),
    },
    "data that stand there twice": {
        "more": (b"<< /Length %d >>\nstream\n%s\nendstream" % (len(flate(GRAY)), flate(GRAY)),)
    },
}


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_everything_else_is_rendered(name: str, taken: list[bool]) -> None:
    changed = {"stream": flate(GRAY), "entries": FLATE} | NOT_PLAIN[name]
    read_sheet(one_image(**changed))  # type: ignore[arg-type]
    assert taken == [False]


@pytest.mark.parametrize("name", ["dct", "dct of whole blocks", "flate", "group 4", "predictor"])
def test_damaged_scans_come_out_as_pdfium_renders_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Group 4 a changed bit shifts all that follows, and decoders differ in what they make of that."""
    rng = random.Random(5)
    stream, entries, *size = PLAIN.get(name, WHOLE_BLOCKS)
    for number in range(60 if name == "group 4" else 12):
        damaged = bytearray(stream)
        for _ in range(1 + number % 3):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        cut = damaged if number % 4 else damaged[: rng.randrange(len(damaged))]
        data = one_image(bytes(cut), entries, size=size[0] if size else (WIDTH, HEIGHT))
        np.testing.assert_array_equal(read_sheet(data).pixels, rendered(data, monkeypatch))


STRANGE = {
    "colours": gray_entries(FAX + b">>", 1, b"/DeviceRGB"),
    "eight bits": gray_entries(FAX + b">>", 8),
    "fewer rows": gray_entries(FAX.replace(b"476", b"400") + b">>", 1),
    "more rows": gray_entries(FAX.replace(b"476", b"500") + b">>", 1),
    "no rows": gray_entries(FAX.replace(b"476", b"0") + b">>", 1),
    "far too many rows": gray_entries(FAX.replace(b"476", b"70000") + b">>", 1),
    "fewer columns": gray_entries(FAX.replace(b"652", b"640") + b">>", 1),
    "more columns": gray_entries(FAX.replace(b"652", b"660") + b">>", 1),
    "group 3": gray_entries(FAX.replace(b"-1", b"0") + b">>", 1),
    "whole bytes": gray_entries(FAX + b"/EncodedByteAlign true >>", 1),
    "ends of lines": gray_entries(FAX + b"/EndOfLine true >>", 1),
    "no settings": gray_entries(b"/Filter /CCITTFaxDecode", 1),
    "settings of nothing": gray_entries(b"/Filter [/CCITTFaxDecode] /DecodeParms [null]", 1),
}


@pytest.mark.parametrize("name", STRANGE)
def test_group_4_with_strange_settings_comes_out_as_pdfium_renders_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = one_image(group4(), STRANGE[name])
    np.testing.assert_array_equal(read_sheet(data).pixels, rendered(data, monkeypatch))


@pytest.mark.parametrize("said", [(652, 476), (648, 472), (700, 516)], ids=str)
@pytest.mark.parametrize("real", [(652, 476), (648, 472), (704, 520), (600, 440)], ids=str)
def test_a_jpeg_of_another_size_than_the_file_says_comes_out_as_pdfium_renders_it(
    said: tuple[int, int], real: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = encoded(GRAY.resize(real), "JPEG", quality=50)
    data = one_image(stream, gray_entries(b"/Filter /DCTDecode"), size=said)
    np.testing.assert_array_equal(read_sheet(data).pixels, rendered(data, monkeypatch))


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("space", [b"/DeviceGray", b"/DeviceRGB"], ids=["gray", "colour"])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_of_other_colours_than_the_file_says_comes_out_as_pdfium_renders_it(
    mode: str, space: bytes, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for image in (COLOURS, COLOURS.crop((0, 0, 640, 480))):
        stream = encoded(image.convert(mode), "JPEG", quality=50)
        data = one_image(stream, gray_entries(b"/Filter /DCTDecode", bits, space), size=image.size)
        np.testing.assert_array_equal(read_sheet(data).pixels, rendered(data, monkeypatch))


def test_what_libtiff_says_of_a_damaged_scan_stays_here(caplog: pytest.LogCaptureFixture) -> None:
    stream, entries = PLAIN["group 4"]
    read_sheet(one_image(stream[:300] + b"\x55\x01" + stream[302:], entries))
    assert not caplog.records


@pytest.mark.parametrize(
    ("stream", "entries"),
    [
        (b"stream\n" * 40_000, gray_entries(b"")),
        (flate(GRAY), FLATE + b" /DecodeParms <<" + b" /A123" * 60 + b" >> /Other 1"),
        (flate(GRAY), FLATE + b" " * 800 + b"/Other 1"),
        (flate(GRAY), FLATE + b" /Filter [" + b"/FlateDecode " * 50 + b"] /Other 1"),
    ],
    ids=["the mark of data in the data", "names that end in numbers", "white space", "filters"],
)
def test_files_made_to_be_slow_are_read_at_once(stream: bytes, entries: bytes, taken: list[bool]) -> None:
    started = time.process_time()
    read_sheet(one_image(stream, entries))
    assert time.process_time() - started < 0.5
    assert taken == [False]
