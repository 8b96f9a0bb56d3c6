"""Which source file a result was made of: a digest in the result's own metadata.

The digest is the SHA-256 of the source's content, in hex; the source's name and path are not
stored. It is kept as XMP (`xmpMM:DerivedFrom`), which JPEG, PNG, TIFF and DNG all carry.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from undark.errors import ReadError
from undark.files.exif_read import read_tags
from undark.files.exif_write import EXIF_POINTER, GPS_POINTER
from undark.files.tiff_ifd import BYTE, Entry

JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
"""Begins a JPEG's APP1 segment that holds XMP."""
PNG_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"
"""Begins a PNG's iTXt chunk that holds XMP: keyword, not compressed, no language."""
TIFF_XMP = 700
"""The TIFF tag that holds XMP."""

_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
 xmlns:stRef="http://ns.adobe.com/xap/1.0/sType/ResourceRef#">
<xmpMM:DerivedFrom stRef:documentID="undark:sha256:{digest}"/>
</rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""
_DIGEST = re.compile(rb'<xmpMM:DerivedFrom stRef:documentID="undark:sha256:([0-9a-f]{64})"/>')
_MOST_XMP = 1 << 16
_HEAD = 1 << 17
"""Bytes at the start of a file that hold its Software tag, where undark has written it."""
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_PIXEL_PLACES = {273: 279, 324: 325}
"""Tags of offsets of strips and tiles, and of their sizes in bytes."""


class _DamagedError(Exception):
    """The file is cut, damaged, or of another kind than its first bytes say."""


def digest_of(path: Path) -> str:
    """The SHA-256 of a file's content as 64 hex digits. Raises `ReadError`."""
    if path.exists() and not path.is_file():  # a pipe would wait for a writer, a device never end
        raise ReadError(f"{path}: cannot be read (not a regular file); give a photo")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ReadError(f"{path}: cannot be read ({why}); check the file") from error


def source_of(path: Path) -> str | None:
    """The digest of the source that a result of undark was made of, from its metadata.

    None where the file is missing, unreadable, cut short, not made by undark, made by a version
    that wrote no digest, or saved by an editor that dropped it. Never raises. Pixels are not
    decoded: the file's structure is checked to be complete.
    """
    try:
        if not path.is_file():  # opening a pipe would wait for a writer
            return None
        with path.open("rb") as file:
            found = _DIGEST.search(_xmp(file))
    except (OSError, ValueError, struct.error, _DamagedError):
        return None
    return found[1].decode("ascii") if found else None


def is_made_by_undark(path: Path) -> bool:
    """Whether a JPEG, PNG or TIFF was written by undark, of any version, by its Software tag.

    False where the file cannot be read. Never raises.
    """
    try:
        with path.open("rb") as file:
            if b"undark" not in file.read(_HEAD):  # much faster than to parse every photo
                return False
            file.seek(0)
            return str(read_tags(file).get("Image Software", "")).startswith("undark")
    except (OSError, ValueError):
        return False


def xmp_packet(digest: str) -> bytes:
    """XMP that names the source's digest. Raises `ValueError` where it is no SHA-256 in hex."""
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ValueError(f"a source is named by 64 hex digits, not {digest!r}")
    return _PACKET.format(digest=digest).encode("utf-8")


def xmp_entries(source: str | None) -> list[Entry]:
    """TIFF entries that name the source's digest; none where it is not known."""
    if source is None:
        return []
    packet = xmp_packet(source)
    return [Entry(TIFF_XMP, BYTE, len(packet), packet)]


def _xmp(file: BinaryIO) -> bytes:
    """A complete file's XMP, empty if it has none. Raises `_DamagedError`, `OSError`, …"""
    size = file.seek(0, 2)
    file.seek(0)
    readers: dict[bytes, Callable[[BinaryIO, int], bytes]] = {
        b"\xff\xd8": _jpeg_xmp,
        b"\x89P": _png_xmp,
        b"II": _tiff_xmp,
    }
    reader = readers.get(file.read(2))
    return reader(file, size) if reader else b""


def _read(file: BinaryIO, count: int) -> bytes:
    """Exactly `count` bytes. Raises `_DamagedError`, before memory for a false count is taken."""
    if file.tell() + count > os.fstat(file.fileno()).st_size:
        raise _DamagedError
    return file.read(count)


def _jpeg_xmp(file: BinaryIO, size: int) -> bytes:
    """XMP of the segments before the scan; the file must end with an end-of-image marker."""
    file.seek(-2, 2)
    if _read(file, 2) != b"\xff\xd9":
        raise _DamagedError
    file.seek(2)
    found = b""
    while True:
        marker, length = struct.unpack(">2sH", _read(file, 4))
        if marker[:1] != b"\xff" or length < 2:
            raise _DamagedError
        body = _read(file, length - 2)
        if marker == b"\xff\xe1" and body.startswith(JPEG_XMP):
            found = body
        if marker == b"\xff\xda":  # start of scan
            return found


def _png_xmp(file: BinaryIO, size: int) -> bytes:
    """XMP of the iTXt chunks; all chunks must be complete and IEND the last."""
    file.seek(8)
    found = b""
    while True:
        length, name = struct.unpack(">I4s", _read(file, 8))
        if file.tell() + length + 4 > size:
            raise _DamagedError
        if name not in (b"iTXt", b"IEND") or length > _MOST_XMP:
            file.seek(length + 4, 1)
            continue
        body, (crc,) = _read(file, length), struct.unpack(">I", _read(file, 4))
        if zlib.crc32(name + body) != crc:
            raise _DamagedError
        if name == b"IEND":
            return found
        found = body if body.startswith(PNG_XMP) else found


def _tiff_xmp(file: BinaryIO, size: int) -> bytes:
    """XMP of the first directory; all values, strips, tiles, EXIF and GPS must be in the file."""
    file.seek(0)
    magic, start = struct.unpack("<4sI", _read(file, 8))
    if magic != b"II*\0":
        raise _DamagedError
    first = dict(_tiff_entries(file, start))
    for pointer in (EXIF_POINTER, GPS_POINTER):
        if pointer in first:
            dict(_tiff_entries(file, *struct.unpack("<I", first[pointer])))
    for offsets, counts in _PIXEL_PLACES.items():
        if offsets in first:
            places = zip(_integers(first[offsets]), _integers(first.get(counts, b"")), strict=True)
            if any(offset + count > size for offset, count in places):
                raise _DamagedError
    return first.get(TIFF_XMP, b"")


def _integers(packed: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(packed) // 4}I", packed)


def _tiff_entries(file: BinaryIO, offset: int) -> Iterator[tuple[int, bytes]]:
    """(code, little-endian value) of each entry; SHORT values are widened to LONG."""
    file.seek(offset)
    (count,) = struct.unpack("<H", _read(file, 2))
    table = _read(file, 12 * count + 4)
    if count == 0:
        raise _DamagedError
    for code, kind, length, value in struct.iter_unpack("<HHI4s", table[:-4]):
        packed = length * _TYPE_SIZES.get(kind, 1)
        if packed > 4:
            file.seek(*struct.unpack("<I", value))
            value = _read(file, packed)
        value = value[:packed]
        if kind == 3:  # SHORT
            value = struct.pack(f"<{length}I", *struct.unpack(f"<{length}H", value))
        yield code, value
