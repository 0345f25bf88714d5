"""Bad drawings, made here from nothing: what a server must refuse with a 4xx and a sentence.

`BAD` and `GOOD` hold requests as they go over the wire, body and content type, by name. `mutations` damages the good
ones by lot; most of those are bad.
"""

import base64
import io
import json
import random
import struct
import zlib
from collections.abc import Iterator

from PIL import Image, ImageDraw

Request = tuple[bytes, str]


def sheet_image(width: int = 480, height: int = 340) -> Image.Image:
    """A plate with a hole and a frame, mode L."""
    image = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(image)
    draw.rectangle((10, 10, width - 10, height - 10), outline=0, width=3)
    draw.rectangle((width * 0.2, height * 0.3, width * 0.6, height * 0.7), outline=0, width=2)
    draw.ellipse((width * 0.3, height * 0.4, width * 0.45, height * 0.6), outline=0, width=2)
    draw.rectangle((width - 160, height - 70, width - 10, height - 10), outline=0, width=2)
    return image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims width x height pixels, with almost no data behind the claim."""
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + png_chunk(b"IDAT", zlib.compress(bytes(1000)))
        + png_chunk(b"IEND", b"")
    )


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tiff_pages(pages: int) -> bytes:
    page = sheet_image().convert("1")
    return encoded(page, "TIFF", compression="group4", save_all=True, append_images=[page] * (pages - 1))


def pdf(*objects: bytes, trailer: bytes = b"") -> bytes:
    """A PDF of the given objects, numbered from 1, the first one its catalogue."""
    out, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R %s>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)
    return bytes(out)


CATALOGUE = b"<< /Type /Catalog /Pages 2 0 R >>"


def pdf_page(width: float, height: float, content: bytes = b"0 0 100 100 re S", resources: bytes = b"") -> bytes:
    """A PDF of one page of width x height points."""
    return pdf(
        CATALOGUE,
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %g %g] /Contents 4 0 R /Resources << %s >> >>"
        % (width, height, resources),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
    )


def pdf_bomb(side: int = 30000) -> bytes:
    """A page with an image of side x side pixels, all of it zeros that compress to almost nothing."""
    squeezed = zlib.compress(bytes(side), 9)
    image = (
        b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 8 "
        b"/Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (side, side, len(squeezed), squeezed)
    )
    content = b"q 1000 0 0 700 0 0 cm /Im Do Q"
    return pdf(
        CATALOGUE,
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 1191 842] /Contents 4 0 R "
        b"/Resources << /XObject << /Im 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        image,
    )


def locked_pdf() -> bytes:
    """Encrypted with a user password (the hashes stand for one that nobody knows)."""
    locked = b"<< /Filter /Standard /V 2 /R 3 /Length 128 /P -44 /O <%s> /U <%s> >>" % (b"11" * 32, b"22" * 32)
    return pdf(
        CATALOGUE,
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 1191 842] >>",
        locked,
        trailer=b"/Encrypt 4 0 R /ID [<00112233445566778899aabbccddeeff> <00112233445566778899aabbccddeeff>] ",
    )


def _good() -> dict[str, Request]:
    """A small good drawing in each format."""
    gray = sheet_image()
    exif = Image.Exif()
    exif[0x0112] = 6
    scan = gray.convert("RGB")
    return {
        "png": (encoded(gray, "PNG", dpi=(150, 150)), "image/png"),
        "png in haste": (encoded(gray, "PNG", compress_level=1), "image/png"),
        "png 1-bit": (encoded(gray.convert("1"), "PNG"), "image/png"),
        "png palette": (encoded(gray.convert("P"), "PNG"), "image/png"),
        "png alpha": (encoded(gray.convert("RGBA"), "PNG"), "image/png"),
        "jpeg": (encoded(gray, "JPEG", quality=80, dpi=(300, 300)), "image/jpeg"),
        "jpeg turned": (encoded(scan, "JPEG", quality=80, exif=exif), "image/jpeg"),
        "tiff group 4": (encoded(gray.convert("1"), "TIFF", compression="group4", dpi=(300, 300)), "image/tiff"),
        "tiff lzw": (encoded(gray, "TIFF", compression="tiff_lzw"), "image/tiff"),
        "tiff pages": (tiff_pages(3), "image/tiff"),
        "pdf scan": (encoded(gray, "PDF", resolution=100.0), "application/pdf"),
        "pdf lines": (pdf_page(842, 595, b"2 w 20 20 800 550 re S 100 100 m 300 400 l S"), "application/pdf"),
        "bmp": (encoded(gray, "BMP"), "image/bmp"),
        "gif": (encoded(gray, "GIF"), "image/gif"),
        "webp": (encoded(gray, "WEBP", lossless=True), "image/webp"),
    }


def _cut(request: Request, share: float = 0.6) -> Request:
    data, content_type = request
    return data[: int(len(data) * share)], content_type


def _json(value: object) -> Request:
    return json.dumps(value).encode(), "application/json"


def _bad(good: dict[str, Request]) -> dict[str, Request]:
    """Requests that must be refused, by what is wrong with them."""
    png = good["png"][0]
    text = base64.b64encode(png).decode()
    return {
        "empty body": (b"", "image/png"),
        "empty body without a content type": (b"", ""),
        "blanks": (b" \n\t ", "image/png"),
        "text": (b"a drawing of a flange", "text/plain"),
        "text called a picture": (b"a drawing of a flange", "image/png"),
        "html": (b"<html><body>404 not found</body></html>", "text/html"),
        "random bytes": (random.Random(1).randbytes(5000), "image/png"),
        "a program": (b"\x7fELF\x02\x01\x01" + bytes(200), "application/octet-stream"),
        "truncated png": _cut(good["png"]),
        "truncated png in haste": _cut(good["png in haste"]),
        "truncated png 1-bit": _cut(good["png 1-bit"]),
        "truncated jpeg": _cut(good["jpeg"]),
        "truncated tiff group 4": _cut(good["tiff group 4"]),
        "truncated tiff lzw": _cut(good["tiff lzw"]),
        "truncated pdf": _cut(good["pdf scan"], 0.3),
        "truncated webp": _cut(good["webp"]),
        "truncated gif": _cut(good["gif"]),
        "truncated bmp": _cut(good["bmp"]),
        "signature of png alone": (png[:8], "image/png"),
        "signature of jpeg alone": (b"\xff\xd8\xff", "image/jpeg"),
        "signature of tiff alone": (b"II*\0", "image/tiff"),
        "signature of pdf alone": (b"%PDF-1.7\n", "application/pdf"),
        "header of png alone": (png[:33], "image/png"),
        "encrypted pdf": (locked_pdf(), "application/pdf"),
        "pdf without pages": (pdf(CATALOGUE, b"<< /Type /Pages /Kids [] /Count 0 >>"), "application/pdf"),
        "pdf page of five metres": (pdf_page(14400, 10000), "application/pdf"),
        "pdf page of a postage stamp": (pdf_page(10, 10), "application/pdf"),
        "pdf page that is a strip": (pdf_page(3000, 20), "application/pdf"),
        "pdf bomb": (pdf_bomb(), "application/pdf"),
        "0x0 png": (png_header(0, 0), "image/png"),
        "0x500 png": (png_header(0, 500), "image/png"),
        "1x1 png": (encoded(Image.new("L", (1, 1)), "PNG"), "image/png"),
        "1x1 jpeg": (encoded(Image.new("L", (1, 1)), "JPEG"), "image/jpeg"),
        "1x1 tiff": (encoded(Image.new("1", (1, 1)), "TIFF", compression="group4"), "image/tiff"),
        "1x4000 png": (encoded(Image.new("L", (1, 4000)), "PNG"), "image/png"),
        "strip of 100x9000": (encoded(Image.new("1", (9000, 100)), "PNG"), "image/png"),
        "bomb of 30000x30000": (png_header(30000, 30000), "image/png"),
        "bomb of 9000x9000": (png_header(9000, 9000), "image/png"),
        "bomb of 10000x9000": (png_header(10000, 9000), "image/png"),
        "tiff of 200 pages": (tiff_pages(200), "image/tiff"),
        "tiff of floating point": (encoded(sheet_image().convert("F"), "TIFF"), "image/tiff"),
        "fax of two resolutions": (encoded(sheet_image(), "TIFF", dpi=(204, 98)), "image/tiff"),
        "text called json": (b"a drawing of a flange", "application/json"),
        "broken base64": _json({"data": text[:-3] + "!!!"}),
        "base64 cut short": _json({"data": text[:-5]}),
        "base64 of text": _json({"data": base64.b64encode(b"no drawing").decode()}),
        "json without the field": _json({"image": text}),
        "json with an empty field": _json({"data": ""}),
        "json with a number": _json({"data": 7}),
        "json with null": _json({"data": None}),
        "json that is a list": _json([text]),
        "json that is null": _json(None),
        "json that is false": _json(False),
        "json that is zero": _json(0),
        "json that is a string": _json(text),
        "json cut short": (json.dumps({"data": text}).encode()[:-20], "application/json"),
        "json nested without end": (b'{"data":' * 50_000, "application/json"),
        "json without the content type, and without the field": (b'{"image": 1}', "application/octet-stream"),
    }


def mutations(count: int, seed: int = 20) -> Iterator[Request]:
    """`count` damaged copies of the good drawings: bytes changed, cut out, doubled, ends cut off, numbers blown up."""
    rng = random.Random(seed)
    originals = list(GOOD.values())
    for index in range(count):
        data, content_type = originals[index % len(originals)]
        yield damaged(data, rng), content_type


def damaged(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        # Half of the damage goes to the first bytes, where sizes and offsets are.
        at = rng.randrange(min(len(out), 256) if rng.random() < 0.5 else len(out))
        match rng.randrange(6):
            case 0:
                out[at] ^= 1 << rng.randrange(8)
            case 1:
                out[at] = rng.choice((0, 1, 127, 128, 255))
            case 2:
                del out[at : at + rng.randrange(1, 40)]
            case 3:
                out[at:at] = out[at : at + rng.randrange(1, 40)]
            case 4:
                out[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
            case 5:
                if rng.random() < 0.3:
                    del out[max(1, at) :]
        out = out or bytearray(b"\0")
    return bytes(out)


GOOD = _good()
BAD = _bad(GOOD)
