"""PDFs grown by lot: forms, patterns, shadings, images, groups and pages that point at each other, and at themselves.

Each is a whole file that pdfium opens; what is wrong with it lies in what it asks for.
"""

import hashlib
import random
import struct
import zlib
from collections.abc import Callable

from .bad_drawings import encoded, pdf, sheet_image

NUMBERS = (
    *(b"0", b"1", b"-1", b"0.5", b"2", b"3", b"7.25", b"10", b"100", b"300", b"842", b"1191", b"5000"),
    *(b"1e9", b"-32768", b"65536", b"2147483647", b"-2147483648", b"4294967296", b"0.00001", b"-0.001", b"99999999999"),
)
CALM = NUMBERS[:13]
SPACES = (
    b"/DeviceGray",
    b"/DeviceRGB",
    b"/DeviceCMYK",
    b"/Pattern",
    b"[/Indexed /DeviceRGB 255 %r]",
    b"[/Indexed %r 3 <00ff7f>]",
    b"[/ICCBased %r]",
    b"[/Separation /Ink /DeviceGray %r]",
    b"[/DeviceN [/A /B /C] /DeviceCMYK %r]",
    b"[/Lab << /WhitePoint [0.9 1 1.1] >>]",
    b"[/CalRGB << /WhitePoint [0.9 1 1.1] /Gamma [%n %n %n] >>]",
    b"[/Pattern %r]",
    b"%r",
)
BLENDS = (b"/Normal", b"/Multiply", b"/Luminosity", b"/Difference", b"/ColorBurn", b"/Nowhere")
JPEG = encoded(sheet_image(160, 120), "JPEG", quality=60)
JPX = encoded(sheet_image(160, 120), "JPEG2000")
SIZES = (1, 2, 8, 64, 160, 300, 1000, 4000, 9000, 40000, 70000)


class Graph:
    """Makes one file from `rng`. Objects 1 to 4 are catalogue, page tree, page and its content."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._count = rng.randrange(6, 16)
        self._wild = rng.choice((0.02, 0.1, 0.4))
        makers: tuple[Callable[[], bytes], ...] = (
            *(self._form, self._form, self._image, self._image, self._tiling, self._shading, self._state),
            *(self._function, self._type3, self._shading_pattern, self._any),
        )
        self._objects = [rng.choice(makers)() for _ in range(self._count - 4)]

    def file(self) -> bytes:
        rng = self._rng
        pages = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
        if rng.random() < 0.1:
            kids = b" ".join(self._reference((2, 3)) for _ in range(rng.randrange(1, 5)))
            pages = b"<< /Type /Pages /Kids [%s] /Count %s /Parent %s >>" % (
                kids,
                self._number(),
                self._reference((2, 3)),
            )
        box = rng.choice((b"0 0 1191 842", b"0 0 595 842", b"-100 -100 800 700", b"%n %n %n %n"))
        page = self._filled(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [%b] /Contents %c /Rotate %d /Group %g %x /Resources %R >>"
            if rng.random() < 0.5
            else b"<< /Type /Page /Parent 2 0 R /MediaBox [%b] /Contents %c /Resources %R >>",
            b=self._filled(box),
            d=rng.choice((b"0", b"90", b"180", b"45")),
            c=b"[%s]" % (b"4 0 R " * rng.randrange(1, 6)) if rng.random() < 0.1 else b"4 0 R",
            g=self._group(),
            x=b"/Annots [%s]" % self._annotation() if rng.random() < 0.3 else b"",
        )
        content = self._stream(b"", self._content(rng.randrange(2, 12)))
        objects = [b"<< /Type /Catalog /Pages 2 0 R >>", pages, page, content, *self._objects]
        if rng.random() < 0.05:
            return _encrypted(objects, rng)
        return pdf(*objects)

    # --- small parts

    def _number(self) -> bytes:
        return self._rng.choice(NUMBERS if self._rng.random() < self._wild else CALM)

    def _reference(self, among: tuple[int, ...] = ()) -> bytes:
        return b"%d 0 R" % (self._rng.choice(among) if among else self._rng.randrange(3, self._count + 2))

    def _filled(self, text: bytes, **given: bytes) -> bytes:
        """%n a number, %r a reference, %R resources, and what is given by other letters."""
        out = []
        parts = text.split(b"%")
        for part in parts[1:]:
            letter, rest = part[:1], part[1:]
            match letter:
                case b"n":
                    value = self._number()
                case b"r":
                    value = self._reference()
                case b"R":
                    value = self._resources()
                case _:
                    value = given[letter.decode()]
            out.append(value + rest)
        return parts[0] + b"".join(out)

    def _resources(self) -> bytes:
        kinds = (b"XObject", b"Pattern", b"Shading", b"ExtGState", b"Font", b"ColorSpace")
        return b"<< %s >>" % b" ".join(
            b"/%s << %s >>" % (kind, b" ".join(b"/N%d %s" % (name, self._reference()) for name in range(4)))
            for kind in kinds
        )

    def _space(self) -> bytes:
        return self._filled(self._rng.choice(SPACES))

    def _group(self) -> bytes:
        return b"<< /S /Transparency /I %s /K %s >>" % tuple(self._rng.choice((b"true", b"false")) for _ in range(2))

    def _annotation(self) -> bytes:
        return self._filled(b"<< /Type /Annot /Subtype /Stamp /Rect [0 0 %n %n] /AP << /N %r >> /F 4 >>")

    def _stream(self, dictionary: bytes, content: bytes) -> bytes:
        """With a chain of filters, now and then."""
        chain = []
        while self._rng.random() < 0.25 and len(chain) < 4:
            name = self._rng.choice((b"Flate", b"ASCIIHex", b"RunLength", b"LZW", b"ASCII85"))
            if name == b"Flate":
                content = zlib.compress(content)
            elif name == b"ASCIIHex":
                content = content.hex().encode() + b">"
            elif name == b"RunLength":
                content = (
                    b"".join(
                        bytes([len(content[at : at + 128]) - 1]) + content[at : at + 128]
                        for at in range(0, len(content), 128)
                    )
                    + b"\x80"
                )
            elif self._rng.random() < 0.8:
                continue  # these would be damage
            chain.insert(0, b"/%sDecode" % name)
        filters = b"/Filter [%s]" % b" ".join(chain) if chain else b""
        return b"<< %s %s /Length %d >>\nstream\n%s\nendstream" % (dictionary, filters, len(content), content)

    def _content(self, length: int) -> bytes:
        operators = (
            *(b"/N%d Do" % name for name in range(4)),
            *(b"/N%d Do" % name for name in range(4)),
            *(b"/N%d sh" % name for name in range(2)),
            *(b"/Pattern cs /N%d scn 0 0 1191 842 re f" % name for name in range(4)),
            *(b"/N%d gs" % name for name in range(4)),
            *(b"/N%d cs %%n %%n %%n scn" % name for name in range(2)),
            *(b"BT /N%d %%n Tf (abca) Tj ET" % name for name in range(2)),
            b"q %n 0 0 %n %n %n cm",
            b"q %n %n %n %n %n %n cm",
            b"q 500 0 0 500 10 10 cm",
            b"Q",
            b"%n %n %n %n re f",
            b"%n %n %n %n re W n",
            b"%n %n m %n %n l %n %n %n %n %n %n c B*",
            b"[%n %n] %n d %n w 0 0 m %n %n l S",
            b"0 0 m %n 700 l 900 %n l h f*",
            b"BI /W %n /H %n /CS /G /BPC 8 /F /AHx ID 00ff00ff> EI",
            b"%n i %n M 1 j 2 J",
            b"0.5 g 0 0 300 300 re f 10 10 m 800 700 l S",
        )
        lines = [self._filled(self._rng.choice(operators)) for _ in range(length)]
        return b"\n".join(lines * self._rng.choice((1, 1, 1, 2, 10, 100)))

    # --- objects

    def _form(self) -> bytes:
        group = b"/Group %s" % self._group() if self._rng.random() < 0.5 else b""
        box = self._rng.choice((b"[0 0 1191 842]", b"[0 0 1191 842]", b"[%n %n %n %n]"))
        matrix = b"/Matrix [%n %n %n %n %n %n]" if self._rng.random() < 0.2 else b""
        head = self._filled(b"/Type /XObject /Subtype /Form /BBox " + box + matrix + b" /Resources %R ")
        return self._stream(head + group, self._content(self._rng.randrange(1, 8)))

    def _tiling(self) -> bytes:
        head = (
            b"/Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 %n %n] /XStep %n /YStep %n "
            b"/Resources %R"
        )
        return self._stream(self._filled(head), self._content(self._rng.randrange(1, 5)))

    def _shading_pattern(self) -> bytes:
        return self._filled(b"<< /Type /Pattern /PatternType 2 /Shading %r /Matrix [%n 0 0 %n 0 0] >>")

    def _shading(self) -> bytes:
        kind = self._rng.randrange(1, 8)
        head = self._filled(b"/ShadingType %k /ColorSpace %s /Function %r ", k=b"%d" % kind, s=self._space())
        if kind <= 3:
            coordinates = b"%n " * (4 if kind == 2 else 6)
            return self._filled(
                b"<< %h /Domain [0 1 0 1] /Matrix [%n 0 0 %n 0 0] /Coords ["
                + coordinates
                + b"] /Extend [true true] >>",
                h=head,
            )
        mesh = b"/BitsPerCoordinate 8 /BitsPerComponent 8 /BitsPerFlag 8 /VerticesPerRow %n /Decode [0 %n 0 %n 0 1]"
        return self._stream(head + self._filled(mesh), self._rng.randbytes(self._rng.choice((10, 300, 5000))))

    def _function(self) -> bytes:
        match self._rng.randrange(4):
            case 0:
                head = self._filled(b"/FunctionType 0 /Domain [0 1 0 1] /Range [0 1] /Size [%n %n] /BitsPerSample 8")
                return self._stream(head, self._rng.randbytes(200))
            case 1:
                return self._filled(b"<< /FunctionType 2 /Domain [0 1] /N %n /C0 [0] /C1 [1] >>")
            case 2:
                return self._filled(
                    b"<< /FunctionType 3 /Domain [0 1] /Functions [%r %r] /Bounds [%n] /Encode [0 1 0 1] >>"
                )
            case _:
                words = (
                    b"dup",
                    b"mul",
                    b"add",
                    b"exch",
                    b"sin",
                    b"2 copy",
                    b"3 1 roll",
                    b"%n",
                    b"pop",
                    b"sqrt",
                    b"idiv",
                )
                program = b" ".join(
                    self._filled(self._rng.choice(words)) for _ in range(self._rng.choice((5, 50, 2000)))
                )
                return self._stream(b"/FunctionType 4 /Domain [0 1 0 1] /Range [0 1]", b"{ %s }" % program)

    def _state(self) -> bytes:
        return self._filled(
            b"<< /Type /ExtGState /BM %b /ca %n /CA %n /LW %n /SMask << /S %s /G %r /BC [0] /TR %r >> >>",
            b=self._rng.choice(BLENDS),
            s=self._rng.choice((b"/Luminosity", b"/Alpha")),
        )

    def _type3(self) -> bytes:
        return self._filled(
            b"<< /Type /Font /Subtype /Type3 /FontBBox [0 0 %n %n] /FontMatrix [%n 0 0 %n 0 0] "
            b"/FirstChar 97 /LastChar 99 "
            b"/Widths [%n %n %n] /Encoding << /Differences [97 /a /b /c] >> /CharProcs << /a %r /b %r /c %r >> "
            b"/Resources %R >>"
        )

    def _any(self) -> bytes:
        return self._filled(self._rng.choice((b"%r", b"%n", b"[%r %r %n]", b"<< /Length %r >>", b"null", b"(%n)")))

    def _image(self) -> bytes:
        rng = self._rng
        width, height = (rng.choice(SIZES if rng.random() < 0.5 else SIZES[:6]) for _ in range(2))
        name, content = rng.choice((self._flate, self._dct, self._jpx, self._fax, self._jbig2))(width, height)
        extra = self._filled(
            rng.choice((b"", b"", b"/SMask %r", b"/Mask %r", b"/Mask [0 10]", b"/ImageMask true", b"/Decode [1 0]"))
        )
        head = b"/Type /XObject /Subtype /Image /Width %d /Height %d /BitsPerComponent %d /ColorSpace %s %s %s"
        bits = rng.choice((1, 2, 4, 8, 8, 8, 16, 7))
        space = rng.choice((b"/DeviceGray", b"/DeviceGray", b"/DeviceRGB", self._space()))
        dictionary = head % (width, height, bits, space, extra, name)
        return b"<< %s /Length %d >>\nstream\n%s\nendstream" % (dictionary, len(content), content)

    def _flate(self, width: int, height: int) -> tuple[bytes, bytes]:
        much = min(width * height, self._rng.choice((100, 10_000, 2_000_000)))
        parameters = b"/DecodeParms << /Predictor %d /Columns %s >>" % (
            self._rng.choice((1, 2, 10, 15)),
            self._number(),
        )
        return b"/Filter /FlateDecode " + parameters * (self._rng.random() < 0.3), zlib.compress(bytes(much), 9)

    def _dct(self, width: int, height: int) -> tuple[bytes, bytes]:
        return b"/Filter /DCTDecode", self._damaged(JPEG)

    def _jpx(self, width: int, height: int) -> tuple[bytes, bytes]:
        return b"/Filter /JPXDecode", self._damaged(JPX)

    def _fax(self, width: int, height: int) -> tuple[bytes, bytes]:
        parameters = b"/DecodeParms << /K %s /Columns %d /Rows %d >>"
        code = self._rng.choice((b"-1", b"0", b"1"))
        return b"/Filter /CCITTFaxDecode " + parameters % (code, width, height), self._rng.randbytes(300)

    def _jbig2(self, width: int, height: int) -> tuple[bytes, bytes]:
        """Page information and a generic region of random bytes (ITU-T T.88, 7.4.8 and 7.4.6)."""
        page = struct.pack(">IBBBI", 0, 48, 0, 1, 19) + struct.pack(">IIIIBH", width, height, 0, 0, 0, 0)
        data = self._rng.randbytes(200)
        region = struct.pack(">IIIIB", width, height, 0, 0, 0) + bytes([self._rng.randrange(16)]) + data
        kind = self._rng.choice((38, 38, 0, 4, 6, 16, 20, 36, 40))
        return b"/Filter /JBIG2Decode", page + struct.pack(">IBBBI", 1, kind, 0, 1, len(region)) + region

    def _damaged(self, data: bytes) -> bytes:
        out = bytearray(data)
        for _ in range(self._rng.randrange(6)):
            out[self._rng.randrange(len(out))] = self._rng.randrange(256)
        return bytes(out)


def graph(rng: random.Random) -> bytes:
    return Graph(rng).file()


# --- encryption with an empty password (PDF 1.7, 7.6: version 1, 40 bits)

PAD = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


def _rc4(key: bytes, data: bytes) -> bytes:
    box, j = list(range(256)), 0
    for i in range(256):
        j = (j + box[i] + key[i % len(key)]) % 256
        box[i], box[j] = box[j], box[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + box[i]) % 256
        box[i], box[j] = box[j], box[i]
        out.append(byte ^ box[(box[i] + box[j]) % 256])
    return bytes(out)


def _encrypted(objects: list[bytes], rng: random.Random) -> bytes:
    owner = _rc4(hashlib.md5(PAD).digest()[:5], PAD)
    identity = bytes(16)
    key = hashlib.md5(PAD + owner + struct.pack("<i", -44) + identity).digest()[:5]
    if rng.random() < 0.3:
        key = rng.randbytes(5)
    user = _rc4(key, PAD)
    locked = []
    for number, body in enumerate(objects, 1):
        head, found, rest = body.partition(b"stream\n")
        content, _, tail = rest.rpartition(b"\nendstream")
        if found and len(content) < 5000:
            own = hashlib.md5(key + struct.pack("<I", number)[:3] + b"\0\0").digest()[:10]
            body = head + found + _rc4(own, content) + b"\nendstream" + tail
        locked.append(body)
    dictionary = b"<< /Filter /Standard /V 1 /R 2 /P -44 /O <%s> /U <%s> >>" % (
        owner.hex().encode(),
        user.hex().encode(),
    )
    trailer = b"/Encrypt %d 0 R /ID [<%s> <%s>] " % (len(locked) + 1, *([identity.hex().encode()] * 2))
    return pdf(*locked, dictionary, trailer=trailer)
