"""What is in a zip, where there is but one answer; what two readers could read in two ways is refused.

TorchServe unpacks an archive with java.util.zip.ZipInputStream (`ZipUtils.unzip` of 0.12.0): the local headers from the
first byte on, in their order, a later file over an earlier one of that name, until something else than a local header
comes. It never sees the central directory, by which Python's zipfile, `unzip` and most other readers go. So a zip can
contain one model for a reviewer and another for the server. Here both views must agree on every byte: local
headers and their data lie without a gap from the first byte to the central directory, that one has exactly these
entries, and nothing follows its end. What Python, Info-ZIP, Java's jar and torch-model-archiver write passes: stored or
deflated, folders, time stamps, data descriptors behind deflated data, zip64.

Format: PKWARE APPNOTE.TXT 6.3.10. How Java reads it: ZipInputStream.readLOC and readEnd of OpenJDK 17 to 25: it decodes
names as UTF-8 whatever the flag, takes the sizes of a local zip64 field where there is one, inflates up to the end of
the deflate stream, and refuses a data descriptor behind stored data.

Nothing but the standard library is imported: compose/archives.py uses this file where goldmar is not installed.
"""

import hashlib
import stat
import struct
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

CHUNK = 1024 * 1024
"""Bytes copied at a time: large enough that the calls cost nothing, small enough to stay in the cache."""

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END64, _LOCATOR64, _DESCRIPTOR = b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08"
_LOCAL_FIELDS = struct.Struct("<4s5H3I2H")
_CENTRAL_FIELDS = struct.Struct("<4s6H3I5H2I")
_END_FIELDS = struct.Struct("<4s4H2IH")
_END64_FIELDS = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64_FIELDS = struct.Struct("<4sIQI")
_DESCRIPTOR_FIELDS = struct.Struct("<4s3I")
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF

_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _HAS_DESCRIPTOR, _UTF8 = 1, 8, 0x800
_HARMLESS_FLAGS = _HAS_DESCRIPTOR | _UTF8 | 0b110  # the two bits of deflate's effort
_ZIP64 = 1
_OTHER_NAME = 0x7075  # Info-ZIP's Unicode path: some readers take the name from there


class Broken(ValueError):
    """It is no zip, cut short, or its bytes are not those that its checksums are of."""


class Ambiguous(ValueError):
    """It may be read, but not every reader would find the same in it, or would find it in the folder it belongs to."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the zip: where its data lie, in bytes from the start, and what they are."""

    name: str
    at: int
    compressed: int
    size: int
    crc: int
    deflated: bool


@dataclass(frozen=True, slots=True)
class _Entry:
    """One line of the central directory. `at` is where its local header is."""

    raw_name: bytes
    name: str
    flags: int
    method: int
    crc: int
    compressed: int
    size: int
    at: int


def members(file: BinaryIO) -> list[Member]:
    """The files of the zip, sorted by name, folders left out; their data are not read yet.

    Raises Broken and Ambiguous, whose words go on from the archive's name, and OSError.
    """
    length = file.seek(0, 2)
    start, entries = _directory(file, length)
    found = []
    at = 0
    for entry in sorted(entries, key=lambda entry: entry.at):
        if entry.at != at:
            raise Ambiguous(f"{abs(entry.at - at)} bytes before {entry.name!r} belong to no entry, or to two")
        member = _local(file, entry, start)
        at = member.at + member.compressed + (_DESCRIPTOR_FIELDS.size if entry.flags & _HAS_DESCRIPTOR else 0)
        if not entry.name.endswith("/"):
            found.append(member)
    if at != start:
        raise Ambiguous(f"{abs(start - at)} bytes before its directory belong to no entry, or to two")
    _refuse_names([entry.name for entry in entries])
    return sorted(found, key=lambda member: member.name)


def chunks(file: BinaryIO, member: Member) -> Iterator[bytes]:
    """The content of a member, a part at a time, checked by size and CRC. Raises Broken, Ambiguous, OSError."""
    file.seek(member.at)
    left, size, crc = member.compressed, 0, 0
    inflater = zlib.decompressobj(-zlib.MAX_WBITS) if member.deflated else None
    waiting = b""
    while left or waiting:
        if not waiting:
            waiting = file.read(min(left, CHUNK))
            if not waiting:
                raise Broken(f"it ends within {member.name!r}")
            left -= len(waiting)
        if inflater is None:
            part, waiting = waiting, b""
        else:
            try:
                part = inflater.decompress(waiting, CHUNK)
            except zlib.error as error:
                raise Broken(f"{member.name!r} cannot be inflated: {error}") from error
            waiting = inflater.unconsumed_tail
            if inflater.unused_data:  # what is read once the stream has ended goes there, too
                raise Ambiguous(f"bytes follow the end of what {member.name!r} was deflated to")
        size += len(part)
        crc = zlib.crc32(part, crc)
        if size > member.size:
            break
        if part:
            yield part
    # What is in the inflater's window still; a stream that never ends is read to its end by one and not by another.
    while inflater is not None and not inflater.eof and size <= member.size:
        part = inflater.decompress(inflater.unconsumed_tail, CHUNK)
        if not part:
            raise Broken(f"{member.name!r} is deflated without an end")
        size += len(part)
        crc = zlib.crc32(part, crc)
        yield part
    if size != member.size or crc != member.crc:
        raise Broken(f"{member.name!r} has another size or CRC than the archive says")


def sha256_of(file: BinaryIO, member: Member) -> str:
    """The hexadecimal SHA-256 of a member's content. Raises Broken, Ambiguous, OSError."""
    hasher = hashlib.sha256()
    for part in chunks(file, member):
        hasher.update(part)
    return hasher.hexdigest()


def content_digest(members: Iterable[tuple[str, str]]) -> str:
    """`sha256:...` over pairs of member name and hexadecimal SHA-256 of its bytes, one line each, sorted by name.

    The lines are those of `sha256sum`, so the digest of an unpacked archive can be had without goldmar:
    `find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum`. Order in the zip, times,
    permissions and compression do not enter.
    """
    lines = (f"{sha256}  {name}\n".encode() for name, sha256 in sorted(members, key=lambda pair: pair[0].encode()))
    return f"sha256:{hashlib.sha256(b''.join(lines)).hexdigest()}"


# ---- the directory at the end --------------------------------------------------------------------------------------


def _directory(file: BinaryIO, length: int) -> tuple[int, list[_Entry]]:
    """Where the central directory begins, and its entries."""
    tail = _read(file, max(0, length - _END_FIELDS.size), min(length, _END_FIELDS.size))
    if not tail.startswith(_END) or len(tail) < _END_FIELDS.size:
        window = min(length, _END_FIELDS.size + _MAX16)
        if 0 <= _read(file, length - window, window).rfind(_END) <= window - _END_FIELDS.size:
            raise Ambiguous("bytes follow its end, or it has a comment")
        raise Broken("its end is missing")
    _, disk, first_disk, here, count, size, start, comment = _END_FIELDS.unpack(tail)
    if comment:
        raise Ambiguous("it announces a comment")
    end = length - _END_FIELDS.size
    count, size, start, end = _with_zip64(file, end, (here, count, size, start))
    if disk not in (0, _MAX16) or first_disk not in (0, _MAX16):
        raise Ambiguous("it is one part of several")
    if start + size != end:
        raise Ambiguous("its directory does not lie where its end says")
    content = memoryview(_read(file, start, size))
    entries = []
    at = 0
    while at < size:
        entry, at = _entry(content, at)
        entries.append(entry)
    if len(entries) != count:
        raise Ambiguous(f"its directory has {len(entries)} entries, and its end says {count}")
    return start, entries


def _with_zip64(file: BinaryIO, end: int, short_end: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Count, size and start of the directory, and where what follows it begins: zip64's record comes before the end."""
    here, count, size, start = short_end
    at = end - _LOCATOR64_FIELDS.size
    locator = _read(file, at, _LOCATOR64_FIELDS.size) if at >= 0 else b""
    if not locator.startswith(_LOCATOR64):
        if here != count:
            raise Ambiguous("it is one part of several")
        return count, size, start, end
    _, disk, record_at, disks = _LOCATOR64_FIELDS.unpack(locator)
    if record_at + _END64_FIELDS.size != at:
        raise Ambiguous("bytes lie between its directory and its end")
    record = _END64_FIELDS.unpack(_read(file, record_at, _END64_FIELDS.size))
    signature, rest, _, _, this_disk, first_disk, here64, count64, size64, start64 = record
    if signature != _END64 or rest != _END64_FIELDS.size - 12:
        raise Ambiguous("its zip64 end is none")
    if disk or disks > 1 or this_disk or first_disk or here64 != count64:
        raise Ambiguous("it is one part of several")
    short = ((here, here64, _MAX16), (count, count64, _MAX16), (size, size64, _MAX32), (start, start64, _MAX32))
    if any(value not in (true, limit) for value, true, limit in short):
        raise Ambiguous("its two ends do not say the same")
    return count64, size64, start64, record_at


def _entry(content: memoryview, at: int) -> tuple[_Entry, int]:
    if len(content) - at < _CENTRAL_FIELDS.size or content[at : at + 4] != _CENTRAL:
        raise Ambiguous("its directory holds something else than entries")
    fields = _CENTRAL_FIELDS.unpack_from(content, at)
    _, _, _, flags, method, _, _, crc, compressed, size, names, extras, comments, disk, _, attributes, offset = fields
    at += _CENTRAL_FIELDS.size
    raw_name = bytes(content[at : at + names])
    extra = bytes(content[at + names : at + names + extras])
    end = at + names + extras + comments
    if end > len(content):
        raise Ambiguous("its directory holds something else than entries")
    name = _name(raw_name, flags)
    wide = _zip64_field(name, extra)
    if wide is not None:
        wanted = [value for value, limit in ((size, _MAX32), (compressed, _MAX32), (offset, _MAX32)) if value == limit]
        if len(wide) != 8 * len(wanted):
            raise _wrong(name, "has a zip64 field that does not fit")
        values = iter(struct.unpack(f"<{len(wanted)}Q", wide))
        size = next(values) if size == _MAX32 else size
        compressed = next(values) if compressed == _MAX32 else compressed
        offset = next(values) if offset == _MAX32 else offset
    kind = stat.S_IFMT(attributes >> 16)
    if flags & _ENCRYPTED:
        raise _wrong(name, "is encrypted")
    if flags & ~_HARMLESS_FLAGS:
        raise _wrong(name, f"has flags that not every reader knows ({flags:#x})")
    if method not in (_STORED, _DEFLATED):
        raise _wrong(name, f"is compressed by method {method}, and TorchServe knows stored and deflated alone")
    if disk:
        raise _wrong(name, "is in another part")
    if kind == stat.S_IFLNK:
        raise _wrong(name, "is a symbolic link")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFDIR and not name.endswith("/")):
        raise _wrong(name, "is no plain file")
    return _Entry(raw_name, name, flags, method, crc, compressed, size, offset), end


# ---- the header before the data ------------------------------------------------------------------------------------


def _local(file: BinaryIO, entry: _Entry, start: int) -> Member:
    """Check that the local header, and the data descriptor if there is one, agree with the entry."""
    header = _read(file, entry.at, _LOCAL_FIELDS.size)
    if not header.startswith(_LOCAL):
        raise _wrong(entry.name, "has no local header where the directory says")
    _, _, flags, method, _, _, crc, compressed, size, names, extras = _LOCAL_FIELDS.unpack(header)
    rest = _read(file, entry.at + _LOCAL_FIELDS.size, names + extras)
    at = entry.at + _LOCAL_FIELDS.size + names + extras
    wide = _zip64_field(entry.name, rest[names:])
    behind = entry.flags & _HAS_DESCRIPTOR
    if at + entry.compressed + (_DESCRIPTOR_FIELDS.size if behind else 0) > start:
        raise _wrong(entry.name, "reaches into what follows it")
    if wide is not None:
        # Java takes these whatever the fields of 32 bits say, and expects wider descriptors: one of the two is enough.
        if len(wide) != 16 or behind:
            raise _wrong(entry.name, "has a zip64 field that does not fit")
        wide_size, wide_compressed = struct.unpack("<2Q", wide)
        if size not in (wide_size, _MAX32) or compressed not in (wide_compressed, _MAX32):
            raise _wrong(entry.name, "has a zip64 field that does not fit")
        size, compressed = wide_size, wide_compressed
    if behind:
        if entry.method != _DEFLATED:
            raise _wrong(entry.name, "is stored and has a data descriptor, so that its end is a guess")
        signature, *after = _DESCRIPTOR_FIELDS.unpack(_read(file, at + entry.compressed, _DESCRIPTOR_FIELDS.size))
        if signature != _DESCRIPTOR or after != [entry.crc, entry.compressed, entry.size]:
            raise _wrong(entry.name, "has a data descriptor that says something else than the directory")
        # Most writers leave these at nothing, since they are not known yet.
        crc, compressed, size = crc or entry.crc, compressed or entry.compressed, size or entry.size
    same = {
        "name": (rest[:names], entry.raw_name),
        "flags": (flags, entry.flags),
        "method": (method, entry.method),
        "CRC": (crc, entry.crc),
        "size": ((compressed, size), (entry.compressed, entry.size)),
    }
    for what, (here, there) in same.items():
        if here != there:
            raise _wrong(entry.name, f"has another {what} in its local header, which TorchServe reads")
    deflated = method == _DEFLATED
    if not deflated and compressed != size:
        raise _wrong(entry.name, "is stored and has two sizes")
    if entry.name.endswith("/") and compressed > (2 if deflated else 0):
        raise _wrong(entry.name, "is a folder and has content")
    return Member(entry.name, at, compressed, size, crc, deflated)


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    content = file.read(count)
    if len(content) < count:
        raise Broken("it is cut short")
    return content


def _zip64_field(name: str, extra: bytes) -> bytes | None:
    """The zip64 field among the extra fields; those that could give another name or content are refused."""
    found = None
    at = 0
    while at < len(extra):
        if len(extra) - at < 4:
            raise _wrong(name, "has extra fields that are cut short")
        kind, size = struct.unpack_from("<2H", extra, at)
        at += 4 + size
        if at > len(extra):
            raise _wrong(name, "has extra fields that are cut short")
        if kind == _OTHER_NAME:
            raise _wrong(name, "has a second name in an extra field")
        if kind == _ZIP64:
            if found is not None:
                raise _wrong(name, "has two zip64 fields")
            found = extra[at - size : at]
    return found


# ---- names -----------------------------------------------------------------------------------------------------------


def _name(raw: bytes, flags: int) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _wrong(raw.decode("cp437"), "has a name that is not UTF-8, which TorchServe reads") from None
    if not name.isascii() and not flags & _UTF8:
        raise _wrong(name, "has a name whose encoding is not declared")
    return name


def _refuse_names(names: list[str]) -> None:
    """Whatever would land outside the folder that the zip is unpacked to, or on something else of it."""
    seen: dict[str, bool] = {}
    for name in names:
        path = PurePosixPath(name)
        if not path.parts or name.startswith("/") or ".." in path.parts or "\\" in name:
            raise _wrong(name, "would be written outside the model's folder")
        if ":" in path.parts[0]:
            raise _wrong(name, "would be written outside the model's folder")
        if str(path) != name.removesuffix("/"):
            raise _wrong(name, "is a roundabout way to write a name")
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
            raise _wrong(name, "has a control character in its name")
        # One file on a disk that tells neither case nor ways to write an accent apart.
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold())
        if key in seen:
            raise _wrong(name, "is there twice, or again in other letters")
        seen[key] = name.endswith("/")
    for key in seen:
        for parent in PurePosixPath(key).parents:
            if seen.get(str(parent), True) is False:
                raise _wrong(key, "lies below a file")


def _wrong(name: str, how: str) -> Ambiguous:
    return Ambiguous(f"the member {name!r} {how}")
