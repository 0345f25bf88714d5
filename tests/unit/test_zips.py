"""Zips that two readers would read in two ways are refused; what the usual writers write is not.

Most archives here are made byte by byte: zipfile would not write them.
"""

import hashlib
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from goldmar import zips
from goldmar.archive import verify
from goldmar.errors import ArchiveError
from goldmar.mar import digest, read, unpack
from goldmar.zips import Ambiguous, Broken

MANIFEST = json.dumps(
    {"runtime": "python", "model": {"modelName": "part", "modelVersion": "1.0", "handler": "base_handler"}}
).encode()


@dataclass
class Member:
    """A member as the central directory has it; `local` overrides what its local header says."""

    name: bytes
    content: bytes = b"content"
    flags: int = 0
    method: int = 0
    extra: bytes = b""
    attributes: int = 0
    disk: int = 0
    comment: bytes = b""
    descriptor: bytes | None = None
    before: bytes = b""
    behind_data: bytes = b""
    local: dict[str, object] = field(default_factory=dict)
    central: dict[str, object] = field(default_factory=dict)


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def build(*members: Member, prefix: bytes = b"", gap: bytes = b"", comment: bytes = b"", tail: bytes = b"") -> bytes:
    body, directory = bytearray(prefix), bytearray()
    for member in members:
        body += member.before
        data = deflated(member.content) if member.method == 8 else member.content
        data += member.behind_data
        said = {
            "name": member.name,
            "flags": member.flags,
            "method": member.method,
            "crc": zlib.crc32(member.content),
            "compressed": len(data),
            "size": len(member.content),
            "extra": member.extra,
            "at": len(body),
        }
        here = said | ({"crc": 0, "compressed": 0, "size": 0} if member.descriptor is not None else {}) | member.local
        body += struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, here["flags"], here["method"], 0, 33, here["crc"],
                            here["compressed"], here["size"], len(here["name"]), len(here["extra"]))  # fmt: skip
        body += here["name"] + here["extra"] + data + (member.descriptor or b"")
        there = said | member.central
        directory += struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, there["flags"], there["method"], 0, 33,
                                 there["crc"], there["compressed"], there["size"], len(there["name"]),
                                 len(there["extra"]), len(member.comment), member.disk, 0, member.attributes,
                                 there["at"])  # fmt: skip
        directory += there["name"] + there["extra"] + member.comment
    body += gap
    end = struct.pack(
        "<4s4H2IH", b"PK\x05\x06", 0, 0, len(members), len(members), len(directory), len(body), len(comment)
    )
    return bytes(body + directory + end) + comment + tail


def described(content: bytes) -> bytes:
    return struct.pack("<4s3I", b"PK\x07\x08", zlib.crc32(content), len(deflated(content)), len(content))


PLAIN = Member(b"MAR-INF/MANIFEST.json", MANIFEST)
NET = Member(b"net.pt", b"weights")


def names(data: bytes) -> list[str]:
    return [member.name for member in zips.members(io.BytesIO(data))]


def contents(data: bytes) -> dict[str, str]:
    file = io.BytesIO(data)
    return {member.name: zips.sha256_of(file, member) for member in zips.members(file)}


def wide(*values: int) -> bytes:
    return struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values)


SOUND = {
    "stored": build(PLAIN, NET),
    "deflated": build(PLAIN, replace(NET, method=8)),
    "with a data descriptor": build(replace(NET, method=8, flags=8, descriptor=described(b"weights")), PLAIN),
    "with folders": build(Member(b"a/", b""), Member(b"a/b", b"x"), PLAIN),
    "with a time stamp": build(replace(NET, extra=struct.pack("<2HBI", 0x5455, 5, 1, 0)), PLAIN),
    "other extra fields in the local header": build(
        replace(NET, local={"extra": struct.pack("<2HBI", 0x5455, 5, 1, 0)}), PLAIN
    ),
    "with modes": build(replace(NET, attributes=0o100755 << 16), PLAIN),
    "with a name that is not ASCII": build(Member("図面.txt".encode(), flags=0x800), PLAIN),
    "with zip64 sizes, which are not needed": build(
        replace(NET, local={"compressed": 0xFFFFFFFF, "size": 0xFFFFFFFF, "extra": wide(7, 7)}), PLAIN
    ),
    "with the directory in another order": None,  # made below
    "with zip64 sizes, as the directory says them": build(
        replace(
            NET,
            local={"compressed": 0xFFFFFFFF, "size": 0xFFFFFFFF, "extra": wide(7, 7)},
            central={"compressed": 0xFFFFFFFF, "size": 0xFFFFFFFF, "extra": wide(7, 7)},
        ),
        PLAIN,
    ),
    "with a zip64 place": build(replace(NET, central={"at": 0xFFFFFFFF, "extra": wide(0)}), PLAIN),
    "with a zip64 size alone": build(replace(NET, central={"size": 0xFFFFFFFF, "extra": wide(7)}), PLAIN),
    "with a folder by its mode": build(Member(b"a/", b"", attributes=0o040755 << 16), PLAIN),
    "with a deflated folder": build(Member(b"a/", b"", method=8), PLAIN),
    "with an extra field of nothing": build(replace(NET, extra=struct.pack("<2H", 0x5455, 0)), PLAIN),
    "with nothing in it": build(),
    "with an empty file": build(Member(b"empty", b""), PLAIN),
    "a comment beside a name": build(replace(NET, comment=b"the weights"), PLAIN),
}


def _turned_round() -> bytes:
    plain = SOUND["stored"]
    start, size = plain.index(b"PK\x01\x02"), len(plain) - 22
    second = plain.index(b"PK\x01\x02", start + 4)
    return plain[:start] + plain[second:size] + plain[start:second] + plain[size:]


SOUND["with the directory in another order"] = _turned_round()


@pytest.mark.parametrize("data", SOUND.values(), ids=SOUND)
def test_what_there_is_one_answer_to_is_taken(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = [info for info in archive.infolist() if not info.is_dir()]
        assert contents(data) == {info.filename: hashlib.sha256(archive.read(info)).hexdigest() for info in files}


NOT_SOUND = {
    "bytes before the first entry": (build(PLAIN, NET, prefix=b"#!/bin/sh\n"), "10 bytes before"),
    "a whole entry that the directory does not have": (None, "bytes before"),
    "bytes between two entries": (build(PLAIN, replace(NET, before=b"hidden")), "6 bytes before 'net.pt'"),
    "bytes before the directory": (build(PLAIN, NET, gap=b"hidden"), "6 bytes before its directory"),
    "a comment": (build(PLAIN, NET, comment=b"hello"), "has a comment"),
    "bytes behind the end": (build(PLAIN, NET, tail=b"\0"), "bytes follow its end"),
    "a second zip behind the first": (build(PLAIN, NET) + build(PLAIN), "does not lie where"),
    "a name twice": (build(PLAIN, NET, replace(NET, content=b"other")), "is there twice"),
    "a name in other letters": (build(PLAIN, NET, Member(b"NET.pt")), "is there twice"),
    "an accent in two ways": (
        build(PLAIN, Member("é".encode(), flags=0x800), Member("e\u0301".encode(), flags=0x800)),
        "is there twice",
    ),
    "a folder and a file of one name": (build(PLAIN, Member(b"net.pt/", b""), NET), "is there twice"),
    "a file below a file": (build(PLAIN, NET, Member(b"net.pt/x")), "lies below a file"),
    "./": (build(PLAIN, Member(b"./net.pt")), "roundabout"),
    "//": (build(PLAIN, Member(b"a//net.pt")), "roundabout"),
    "/./": (build(PLAIN, Member(b"a/./net.pt")), "roundabout"),
    "a backslash": (build(PLAIN, Member(b"a\\b")), "outside"),
    "..": (build(PLAIN, Member(b"../b")), "outside"),
    "from the root": (build(PLAIN, Member(b"/b")), "outside"),
    "a folder from the root": (build(PLAIN, Member(b"/", b"")), "outside"),
    "a line break, which would forge a line of the digest": (build(PLAIN, Member(b"a\nb")), "control character"),
    "a name that is not UTF-8": (build(PLAIN, Member(b"\x81")), "not UTF-8"),
    "a name of unknown encoding": (build(PLAIN, Member("é".encode())), "encoding is not declared"),
    "another name in the local header": (build(PLAIN, replace(NET, local={"name": b"not.pt"})), "has another name"),
    "another size in the local header": (build(PLAIN, replace(NET, local={"size": 6})), "has another size"),
    "another method in the local header": (build(PLAIN, replace(NET, local={"method": 8})), "has another method"),
    "other flags in the local header": (build(PLAIN, replace(NET, local={"flags": 8})), "has another flags"),
    "another CRC in the local header": (build(PLAIN, replace(NET, local={"crc": 1})), "has another CRC"),
    "a local zip64 field that says otherwise": (build(PLAIN, replace(NET, local={"extra": wide(6, 6)})), "zip64"),
    "two zip64 fields": (build(PLAIN, replace(NET, local={"extra": wide(7, 7) * 2})), "two zip64"),
    "a zip64 field too much in the directory": (build(PLAIN, replace(NET, central={"extra": wide(7)})), "zip64"),
    "a zip64 field and a data descriptor": (
        build(PLAIN, replace(NET, method=8, flags=8, descriptor=described(b"weights"), local={"extra": wide(0, 0)})),
        "zip64",
    ),
    "extra fields cut short": (build(PLAIN, replace(NET, extra=b"\x55\x54\x09\x00\x01")), "cut short"),
    "a second name": (
        build(PLAIN, replace(NET, extra=struct.pack("<2HBI5s", 0x7075, 10, 1, zlib.crc32(b"net.pt"), b"other"))),
        "second name",
    ),
    "a data descriptor behind stored data": (
        build(PLAIN, replace(NET, flags=8, descriptor=described(b"weights"))),
        "end is a guess",
    ),
    "a data descriptor that says otherwise": (
        build(PLAIN, replace(NET, method=8, flags=8, descriptor=described(b"weight5"))),
        "says something else",
    ),
    "a data descriptor without its mark": (
        build(PLAIN, replace(NET, method=8, flags=8, descriptor=described(b"weights")[4:])),
        "reaches into",
    ),
    "a data descriptor, and other sizes before": (
        build(PLAIN, replace(NET, method=8, flags=8, descriptor=described(b"weights"), local={"size": 3})),
        "has another size",
    ),
    "bytes behind the deflated ones": (build(PLAIN, replace(NET, method=8, behind_data=b"hidden")), "follow the end"),
    "encrypted": (build(PLAIN, replace(NET, flags=1)), "encrypted"),
    "patched": (build(PLAIN, replace(NET, flags=0x20)), "flags"),
    "masked headers": (build(PLAIN, replace(NET, flags=0x2000)), "flags"),
    "another method": (build(PLAIN, replace(NET, method=14)), "method 14"),
    "a link": (build(PLAIN, replace(NET, attributes=0o120777 << 16)), "symbolic link"),
    "a pipe": (build(PLAIN, replace(NET, attributes=0o010644 << 16)), "no plain file"),
    "a folder by its mode alone": (build(PLAIN, replace(NET, attributes=0o040755 << 16)), "no plain file"),
    "a folder with content": (build(PLAIN, Member(b"a/", b"content")), "is a folder and has content"),
    "in another part": (build(PLAIN, replace(NET, disk=1)), "another part"),
    "two entries for one local header": (
        build(PLAIN, NET, replace(NET, name=b"b", central={"at": 30 + 21 + len(MANIFEST)})),
        "to two",
    ),
    "an entry that points elsewhere": (build(PLAIN, replace(NET, central={"at": 3})), "bytes before"),
    "more entries than the end says": (None, "its end says"),
    "a part of several": (None, "one part of several"),
    "a zip64 end that says otherwise": (None, "two ends"),
}


def _hidden_entry() -> bytes:
    """The classic: an entry for TorchServe alone, of a name that the directory has with other content further on."""
    whole = build(replace(NET, content=b"evil"), PLAIN, NET)
    first = whole.index(b"PK\x01\x02")
    second = whole.index(b"PK\x01\x02", first + 4)
    end = bytearray(whole[-22:])
    struct.pack_into("<2HI", end, 8, 2, 2, len(whole) - 22 - second)
    struct.pack_into("<I", end, 16, first)
    return whole[:first] + whole[second:-22] + bytes(end)


def _end(**said: int) -> bytes:
    data = bytearray(SOUND["stored"])
    for name, value in said.items():
        struct.pack_into("<H", data, len(data) - 22 + {"disk": 4, "first": 6, "here": 8, "count": 10}[name], value)
    return bytes(data)


def _two_ends(count: int = 1, gap: bytes = b"") -> bytes:
    data = SOUND["stored"]
    end = data[-22:]
    size, start = struct.unpack_from("<2I", end, 12)
    record = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
    return data[:-22] + record + gap + struct.pack("<4sIQI", b"PK\x06\x07", 0, len(data) - 22, 1) + end


def _patched(old: bytes, new: bytes, data: bytes = SOUND["stored"]) -> bytes:
    """With the last `old` in it replaced; of equal length."""
    at = data.rindex(old)
    return data[:at] + new + data[at + len(old) :]


def _directory(size: int, tail: bytes = b"") -> bytes:
    """The size of the directory said anew, with these bytes behind it."""
    data = bytearray(SOUND["stored"])
    end = bytearray(data[-22:])
    struct.pack_into("<I", end, 12, struct.unpack_from("<I", end, 12)[0] + size)
    return bytes(data[:-22] + tail + end)


NOT_SOUND |= {
    "a comment that is announced": (SOUND["stored"][:-2] + b"\5\0", "announces a comment"),
    "half the entries on this disk": (_end(here=1), "one part of several"),
    "the directory in another part": (_end(first=1), "one part of several"),
    "bytes behind the entries": (_directory(3, b"odd"), "something else than entries"),
    "half an entry behind the entries": (_directory(4, b"PK\1\2"), "something else than entries"),
    "as many bytes as an entry has": (_directory(46, bytes(46)), "something else than entries"),
    "a stored folder with a byte": (build(PLAIN, Member(b"a/", b"x")), "is a folder and has content"),
    "no name": (build(PLAIN, Member(b"")), "outside"),
    "a point": (build(PLAIN, Member(b".")), "outside"),
    "a drive": (build(PLAIN, Member(b"C:x")), "outside"),
    "a NUL": (build(PLAIN, Member(b"a\0b")), "control character"),
    "a local zip64 field of one number": (build(PLAIN, replace(NET, local={"extra": wide(7)})), "zip64"),
    "another size beside a local zip64 field": (
        build(PLAIN, replace(NET, local={"size": 3, "extra": wide(7, 7)})),
        "zip64",
    ),
    "another compressed size beside a local zip64 field": (
        build(PLAIN, replace(NET, local={"compressed": 3, "extra": wide(7, 7)})),
        "zip64",
    ),
    "a data descriptor with another mark": (
        build(PLAIN, replace(NET, method=8, flags=8, descriptor=b"PK\7\7" + described(b"weights")[4:])),
        "says something else",
    ),
    "a data descriptor, and another CRC before": (
        build(PLAIN, replace(NET, method=8, flags=8, descriptor=described(b"weights"), local={"crc": 1})),
        "has another CRC",
    ),
    "a data descriptor, and another compressed size before": (
        build(PLAIN, replace(NET, method=8, flags=8, descriptor=described(b"weights"), local={"compressed": 3})),
        "has another size",
    ),
    "a name that is longer than the directory": (
        _patched(b"\6\0\0\0\0\0", b"\7\0\0\0\0\0"),
        "something else than entries",
    ),
    "no local header": (_patched(b"PK\3\4", b"PK\3\5"), "no local header"),
    "stored with two sizes": (build(PLAIN, replace(NET, local={"size": 3}, central={"size": 3})), "two sizes"),
    "a deflated folder with content": (
        build(PLAIN, Member(b"a/", b"", method=8, behind_data=b"x")),
        "is a folder and has",
    ),
    "an extra field of three bytes": (build(PLAIN, replace(NET, extra=b"abc")), "cut short"),
    "bytes before the locator of zip64": (_two_ends(gap=b"odd"), "between its directory and its end"),
    "an end of zip64 that is none": (_patched(b"PK\6\6", b"PK\6\5", _two_ends(2)), "zip64 end is none"),
    "a longer end of zip64": (
        _patched(struct.pack("<Q", 44), struct.pack("<Q", 45), _two_ends(2)),
        "zip64 end is none",
    ),
    "a directory of zip64 in another part": (
        _patched(struct.pack("<4sI", b"PK\6\7", 0), struct.pack("<4sI", b"PK\6\7", 1), _two_ends(2)),
        "one part of several",
    ),
    "zip64 of another part": (
        _patched(struct.pack("<2H2I", 45, 45, 0, 0), struct.pack("<2H2I", 45, 45, 1, 0), _two_ends(2)),
        "one part of several",
    ),
    "zip64 that begins in another part": (
        _patched(struct.pack("<2H2I", 45, 45, 0, 0), struct.pack("<2H2I", 45, 45, 0, 1), _two_ends(2)),
        "one part of several",
    ),
    "half the entries of zip64 in this part": (
        _patched(struct.pack("<2Q", 2, 2), struct.pack("<2Q", 1, 2), _two_ends(2)),
        "one part of several",
    ),
    "zip64 in several parts": (
        _patched(struct.pack("<I", 1) + b"PK\5\6", struct.pack("<I", 2) + b"PK\5\6", _two_ends(2)),
        "one part of several",
    ),
}


def test_with_the_zip64_end_that_it_should_have_it_is_sound():
    assert names(_two_ends(2)) == ["MAR-INF/MANIFEST.json", "net.pt"]


def test_a_file_that_shrinks_while_it_is_read():
    shrunk = zips.Member("x", 0, 10, 10, 0, deflated=False)
    with pytest.raises(Broken, match="ends within"):
        list(zips.chunks(io.BytesIO(b"abc"), shrunk))


NOT_SOUND["a whole entry that the directory does not have"] = (_hidden_entry(), "bytes before")
NOT_SOUND["more entries than the end says"] = (_end(here=1, count=1), "its end says")
NOT_SOUND["a part of several"] = (_end(disk=1), "one part of several")
NOT_SOUND["a zip64 end that says otherwise"] = (_two_ends(), "two ends")


@pytest.mark.parametrize(("data", "said"), NOT_SOUND.values(), ids=NOT_SOUND)
def test_what_two_readers_would_read_in_two_ways_is_refused(tmp_path, data, said):
    with pytest.raises(Ambiguous, match=said):
        contents(data)
    path, out = tmp_path / "part.mar", tmp_path / "out"
    path.write_bytes(data)
    out.mkdir()
    readers: list[Callable[[object], object]] = [verify, digest, lambda mar: unpack(mar, out)]
    for reader in readers if "follow the end" in said else [*readers, read]:
        with pytest.raises(ArchiveError, match=said) as caught:
            reader(path)
        assert caught.value.fix
    assert [found.name for found in out.rglob("*") if found.is_file() and found.stat().st_size] in (
        [],
        ["MANIFEST.json"],
    )


BROKEN = {
    "nothing": b"",
    "no zip": b"torch" * 20,
    "half an end": b"PK\5\6" + bytes(10),
    "a local name that is longer than the file": build(PLAIN)[:26] + b"\xff\xff" + build(PLAIN)[28:],
    "a CRC that is wrong": build(PLAIN, replace(NET, local={"crc": 1}, central={"crc": 1})),
    "deflated without an end": build(PLAIN, Member(b"x", b"", method=0, local={"method": 8}, central={"method": 8})),
    "what cannot be inflated": build(PLAIN, Member(b"x", b"\xff" * 9, local={"method": 8}, central={"method": 8})),
    "longer than it says": build(PLAIN, replace(NET, method=8, local={"size": 3}, central={"size": 3})),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_what_is_broken(data):
    with pytest.raises(Broken):
        contents(data)


def test_bytes_behind_what_unfolds_to_several_parts():
    with pytest.raises(Ambiguous, match="follow the end"):
        contents(build(Member(b"x", bytes(3 * zips.CHUNK), method=8, behind_data=b"hidden")))


def test_content_that_unfolds_to_far_more_than_it_says_is_not_unfolded():
    data = build(Member(b"x", bytes(10**8), method=8, local={"size": 5}, central={"size": 5}))
    file = io.BytesIO(data)
    (member,) = zips.members(file)
    parts = zips.chunks(file, member)
    with pytest.raises(Broken):
        next(parts)


@pytest.mark.parametrize("size", [0, 1, zips.CHUNK - 1, zips.CHUNK, 3 * zips.CHUNK + 7])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_content_of_any_size(size, method):
    content = random.Random(1).randbytes(size)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("x", content)
        archive.writestr("zeros", bytes(size))
    assert contents(stream.getvalue()) == {
        "x": hashlib.sha256(content).hexdigest(),
        "zeros": hashlib.sha256(bytes(size)).hexdigest(),
    }


def test_zip64_as_python_writes_it():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, archive.open("x", "w", force_zip64=True) as sink:
        sink.write(b"x")
    assert names(stream.getvalue()) == ["x"]


def test_more_entries_than_fit_in_16_bits():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(66_000):
            archive.writestr(zipfile.ZipInfo(str(number)), b"")
    assert len(names(stream.getvalue())) == 66_000


def test_zips_of_a_writer_that_cannot_go_back():
    """Data descriptors, as `zip -` and Java's jar write them."""

    class Pipe(io.RawIOBase):
        written = b""

        def writable(self):
            return True

        def write(self, data):
            self.written += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", b"content" * 100)
    assert names(pipe.written) == ["x"]
