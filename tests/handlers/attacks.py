"""Drawings that mean harm, made here from nothing: they hang a decoder, bloat it, break it, or hide what they are.

`ATTACKS` has a request for each by name. What becomes of one is a matter of the decoders' versions: some are only slow,
and some are answered. None may harm anything but itself.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeVar

from PIL import Image

from .bad_drawings import CATALOGUE, GOOD, Request, encoded, pdf, png_chunk, sheet_image

Drawing = TypeVar("Drawing")


class Made(Mapping[str, Drawing]):
    """Drawings by name, each made when it is first asked for: who reads the names alone waits for none of them."""

    def __init__(self, makers: Mapping[str, Callable[[], Drawing]]) -> None:
        self._makers = makers
        self._made: dict[str, Drawing] = {}

    def __getitem__(self, name: str) -> Drawing:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


PAGES = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"


def stream(dictionary: bytes, content: bytes, *, squeeze: bool = False) -> bytes:
    """A stream object; `dictionary` without its brackets and its length."""
    if squeeze:
        content, dictionary = zlib.compress(content, 9), dictionary + b" /Filter /FlateDecode"
    return b"<< %s /Length %d >>\nstream\n%s\nendstream" % (dictionary, len(content), content)


def zeros(length: int) -> bytes:
    """As zlib packs so many zeros. Pieces of a megabyte, since to pack 600 of them takes seconds (RFC 1950, 1951)."""
    pack, rest = zlib.compressobj(9, wbits=-15), zlib.compressobj(9, wbits=-15)
    piece = pack.compress(bytes(2**20)) + pack.flush(zlib.Z_FULL_FLUSH)
    packed = piece * (length // 2**20) + rest.compress(bytes(length % 2**20)) + rest.flush()
    return b"\x78\xda" + packed + struct.pack(">HH", length % 65521, 1)


def page(resources: bytes, content: bytes, *others: bytes, extra: bytes = b"") -> bytes:
    """A PDF of one A3 page: objects 1 to 3 are catalogue, pages and page, 4 the content; `others` are 5 and so on."""
    return pdf(
        CATALOGUE,
        PAGES,
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 1191 842] /Contents 4 0 R /Resources << %s >> %s >>"
        % (resources, extra),
        stream(b"", content),
        *others,
    )


def form(resources: bytes, content: bytes, extra: bytes = b"") -> bytes:
    return stream(
        b"/Type /XObject /Subtype /Form /BBox [0 0 1191 842] /Resources << %s >> %s" % (resources, extra), content
    )


def laughs(levels: int = 14, fan: int = 6, extra: bytes = b"") -> bytes:
    """Forms that draw the next one `fan` times: fan ** levels of them in a few hundred bytes."""
    forms = [form(b"/XObject << /F %d 0 R >>" % (6 + level), b"/F Do " * fan, extra) for level in range(levels - 1)]
    return page(b"/XObject << /F 5 0 R >>", b"/F Do", *forms, form(b"", b"0 0 9 9 re f", extra))


def loop_of_forms() -> bytes:
    return page(b"/XObject << /F 5 0 R >>", b"/F Do", form(b"/XObject << /F 5 0 R >>", b"/F Do /F Do"))


def groups(levels: int = 10, fan: int = 4) -> bytes:
    """Nested transparency groups, each the size of the page."""
    return laughs(levels, fan, b"/Group << /S /Transparency /I true /K true >>")


def tiles(step: bytes = b"0.01") -> bytes:
    """A pattern repeated every hundredth of a point over the page."""
    pattern = stream(
        b"/Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 5 5] /XStep %s /YStep %s /Resources << >>"
        % (step, step),
        b"0 0 3 3 re f",
    )
    return page(b"/Pattern << /P 5 0 R >>", b"/Pattern cs /P scn 0 0 1191 842 re f", pattern)


def pattern_in_pattern(levels: int = 8) -> bytes:
    patterns = [
        stream(
            b"/Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 50 50] /XStep 1 /YStep 1 "
            b"/Resources << /Pattern << /P %d 0 R >> >>" % (6 + level % levels),
            b"/Pattern cs /P scn 0 0 50 50 re f",
        )
        for level in range(levels)
    ]
    return page(b"/Pattern << /P 5 0 R >>", b"/Pattern cs /P scn 0 0 1191 842 re f", *patterns)


def shading(program: bytes, kind: int = 1) -> bytes:
    """A shading whose colour is computed by a PostScript function, for each pixel."""
    function = stream(b"/FunctionType 4 /Domain [0 1 0 1] /Range [0 1]", program)
    shade = (
        b"<< /ShadingType %d /ColorSpace /DeviceGray /Domain [0 1 0 1] /Matrix [1191 0 0 842 0 0] /Function 5 0 R >>"
    )
    return page(b"/Shading << /S 6 0 R >>", b"/S sh " * 20, function, shade % kind)


def image_object(width: int, height: int, content: bytes, *, size: bytes = b"", rest: bytes = b"") -> bytes:
    """An image in a PDF. size: how its size is written, where not as usual."""
    size = size or b"/Width %d /Height %d" % (width, height)
    return stream(
        b"/Type /XObject /Subtype /Image %s /ColorSpace /DeviceGray /BitsPerComponent 8 %s" % (size, rest),
        content,
        squeeze=True,
    )


def hidden_size(size: bytes, side: int = 30000, *others: bytes) -> bytes:
    """A huge image whose size a reader of the text does not see."""
    image = image_object(side, side, bytes(side), size=size)
    return page(b"/XObject << /Im 5 0 R >>", b"q 1191 0 0 842 0 0 cm /Im Do Q", image, *others)


def inline_image(side: int = 30000) -> bytes:
    content = zlib.compress(bytes(side))
    return page(b"", b"q 1191 0 0 842 0 0 cm BI /W %d /H %d /CS /G /BPC 8 /F /Fl ID %s EI Q" % (side, side, content))


def object_stream(side: int = 30000) -> bytes:
    """The size of the image lies in a compressed object stream (PDF 1.7, 7.5.7 and 7.5.8)."""
    image = image_object(side, side, bytes(side), size=b"/Width 7 0 R /Height 7 0 R")
    packed = zlib.compress(b"7 0 %d" % side)
    holder = b"<< /Type /ObjStm /N 1 /First 4 /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream"
    old = page(b"/XObject << /Im 5 0 R >>", b"q 1191 0 0 842 0 0 cm /Im Do Q", image, holder % (len(packed), packed))
    body = old[: old.rindex(b"xref\n0 ")]
    places = [body.index(b"\n%d 0 obj" % number) + 1 for number in range(1, 7)]
    entries = [(0, 0, 65535), *((1, place, 0) for place in places), (2, 6, 0), (1, len(body), 0)]
    table = b"".join(struct.pack(">BIH", *entry) for entry in entries)
    head = b"<< /Type /XRef /Size 9 /Root 1 0 R /W [1 4 2] /Length %d >>\nstream\n%s\nendstream"
    return body + b"8 0 obj\n%s\nendobj\nstartxref\n%d\n%%%%EOF\n" % (head % (len(table), table), len(body))


def in_a_form(side: int = 30000) -> bytes:
    """The image is drawn by a form in a form."""
    image = image_object(side, side, bytes(side), size=b"/#57idth %d /He#69ght %d" % (side, side))
    return page(
        b"/XObject << /F 5 0 R >>",
        b"/F Do",
        form(b"/XObject << /F 6 0 R >>", b"/F Do"),
        form(b"/XObject << /Im 7 0 R >>", b"q 1191 0 0 842 0 0 cm /Im Do Q"),
        image,
    )


def filters(times: int = 12) -> bytes:
    """A content stream packed again and again: a few hundred bytes that become gigabytes."""
    content = zeros(2**27)
    for _ in range(2):
        content = zlib.compress(content, 9)
    chain = b"/Filter [%s]" % (b"/FlateDecode " * 3)
    packed = b"<< %s /Length %d >>\nstream\n%s\nendstream" % (chain, len(content), content)
    return pdf(
        CATALOGUE,
        PAGES,
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 1191 842] /Contents [%s] >>" % (b"4 0 R " * times),
        packed,
    )


def looping_pages() -> bytes:
    return pdf(CATALOGUE, b"<< /Type /Pages /Kids [2 0 R 2 0 R 3 0 R] /Count 3 >>", b"<< /Type /Pages /Kids [2 0 R] >>")


def dashes() -> bytes:
    return page(b"", b"[0.0001 0.0001] 0 d 0.001 w " + b"0 0 m 1191 842 l S " * 50)


def many_paths() -> bytes:
    return page(b"", b"%s f*" % (b"0 0 m 1191 842 l 0 842 l 1191 0 l h " * 20000))


def png(
    width: int, height: int, depth: int, colour: int, *chunks: bytes, claimed: tuple[int, int] | None = None
) -> bytes:
    """A PNG of so many pixels, all zero: a thousandth of its size. claimed: the size in its header, where that lies."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    line = 1 + (width * channels * depth + 7) // 8
    head = struct.pack(">IIBBBBB", *(claimed or (width, height)), depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", head)
        + b"".join(chunks)
        + png_chunk(b"IDAT", zeros(line * height))
        + png_chunk(b"IEND", b"")
    )


def without_palette() -> bytes:
    return png(300, 200, 8, 3)


def cut_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = encoded(sheet_image(), "JPEG", exif=exif)
    at = whole.index(b"Exif\0\0")
    length = struct.unpack(">H", whole[at - 2 : at])[0]
    return whole[: at - 2] + struct.pack(">H", 17) + whole[at : at + 15] + whole[at - 2 + length :]


# An image of 900 million pixels in a PDF, its size written as one that looks for it in the text would not find it.
HIDDEN = Made(
    {
        "width by reference": lambda: hidden_size(b"/Width 6 0 R /Height 6 0 R", 30000, b"30000"),
        "width escaped": lambda: hidden_size(b"/#57idth 30000 /He#69ght 30000"),
        "width after a comment": lambda: hidden_size(b"/Width % how wide\n30000 /Height % how high\n30000"),
        "width far from height": lambda: hidden_size(b"/Width 30000 /Name (%s) /Height 30000" % (b"x" * 2000)),
        "inline image": lambda: inline_image(),
        "width in an object stream": lambda: object_stream(),
        "image in a form in a form": lambda: in_a_form(),
    }
)


PDFS: dict[str, Callable[[], bytes]] = {
    "forms in forms": laughs,
    "a form in itself": loop_of_forms,
    "groups in groups": groups,
    "tiles": tiles,
    "tiles of nothing": lambda: tiles(b"0.0000001"),
    "patterns in patterns": pattern_in_pattern,
    "a shading that computes": lambda: shading(b"{ %s pop }" % (b"dup mul sqrt sin cos " * 2000)),
    **{name: partial(HIDDEN.__getitem__, name) for name in HIDDEN},
    "filters in a chain": filters,
    "pages in a loop": looping_pages,
    "dashes": dashes,
    "paths": many_paths,
}
PNGS: dict[str, Callable[[], bytes]] = {
    "rgba within the limit": lambda: png(8900, 8900, 8, 6),
    "rgba of 16 bits within the limit": lambda: png(8900, 8900, 16, 6),
    "gray of 16 bits within the limit": lambda: png(8900, 8900, 16, 0),
    "palette with transparency within the limit": lambda: png(
        8900, 8900, 8, 3, png_chunk(b"PLTE", bytes(9)), png_chunk(b"tRNS", bytes(2))
    ),
    "palette missing": without_palette,
}


def of_type(content_type: str, make: Callable[[], bytes]) -> Callable[[], Request]:
    return lambda: (make(), content_type)


ATTACKS = Made(
    {
        **{name: of_type("application/pdf", make) for name, make in PDFS.items()},
        **{name: of_type("image/png", make) for name, make in PNGS.items()},
        "exif cut": of_type("image/jpeg", cut_exif),
        "float tiff": lambda: (encoded(sheet_image().convert("F"), "TIFF"), "image/tiff"),
        "exif of nothing": lambda: (GOOD["jpeg turned"][0].replace(b"Exif\0\0II*\0", b"Exif\0\0II*\xff"), "image/jpeg"),
    }
)
