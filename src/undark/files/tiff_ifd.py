"""TIFF directories (IFDs) as lists of entries, and TIFF files with EXIF and GPS directories.

tifffile does not write EXIF and GPS directories: they are appended to its finished file, and the
offsets in the entries that point at them are set afterwards.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL, DOUBLE = 1, 2, 3, 4, 5, 7, 10, 12
_FORMATS = {
    BYTE: "B",
    ASCII: "s",
    SHORT: "H",
    LONG: "I",
    RATIONAL: "2I",
    UNDEFINED: "s",
    SRATIONAL: "2i",
    DOUBLE: "d",
}


class Entry(NamedTuple):
    """One entry of a directory; rationals as numerator, denominator, numerator, …"""

    code: int
    kind: int
    length: int
    value: tuple[int, ...] | tuple[float, ...] | bytes

    @property
    def packed(self) -> bytes:
        """The value as little-endian bytes."""
        if isinstance(self.value, bytes):
            return self.value
        return struct.pack("<" + _FORMATS[self.kind] * self.length, *self.value)


def text(code: int, value: str) -> Entry:
    """A zero-terminated string; characters outside ASCII are stored as UTF-8 (EXIF 3)."""
    encoded = value.replace("\0", " ").encode("utf-8") + b"\0"
    return Entry(code, ASCII, len(encoded), encoded)


def raw_bytes(code: int, value: bytes) -> Entry:
    return Entry(code, UNDEFINED, len(value), value)


def numbers(code: int, kind: int, *values: int) -> Entry:
    """BYTE, SHORT or LONG."""
    return Entry(code, kind, len(values), values)


def rational(code: int, *values: float) -> Entry:
    """Numbers from 0 to 2³²-1, each as the nearest fraction."""
    return Entry(code, RATIONAL, len(values), _fractions(values, 2**32 - 1))


def signed_rational(code: int, *values: float) -> Entry:
    """Numbers within ±(2³¹-1), each as the nearest fraction."""
    return Entry(code, SRATIONAL, len(values), _fractions(values, 2**31 - 1))


def doubles(code: int, *values: float) -> Entry:
    return Entry(code, DOUBLE, len(values), values)


def _fractions(values: Sequence[float], most: int) -> tuple[int, ...]:
    flat: list[int] = []
    for value in values:
        denominator = max(1, min(most, int(most / max(abs(value), 1e-30))))
        fraction = Fraction(value).limit_denominator(denominator)
        flat += [fraction.numerator, fraction.denominator]
    return tuple(flat)


def write_tiff(
    path: Path,
    pixels: Any,
    entries: Sequence[Entry],
    children: Mapping[int, Sequence[Entry]],
    **layout: Any,
) -> None:
    """Write a TIFF file with additional `entries` and child directories.

    `children`: code of the pointing entry (EXIF, GPS) → entries of the child directory; `pixels`
    and `layout` are arguments of `tifffile.imwrite`. Raises `OSError`.
    """
    import tifffile  # a large module that few photos need

    # as numbers, tifffile would drop these entries
    pointers = [(tifffile.TIFF.TAGS[code], LONG, 1, (0,), True) for code in children]
    tifffile.imwrite(
        path,
        pixels,
        byteorder="<",
        metadata=None,
        resolution=(72, 72),
        resolutionunit=2,  # inch
        extratags=[*((e.code, e.kind, e.length, e.value, True) for e in entries), *pointers],
        **layout,
    )
    with path.open("r+b") as file:
        for code, child in children.items():
            _append(file, code, child)


def _append(file: BinaryIO, pointer: int, entries: Sequence[Entry]) -> None:
    """Append a directory and write its offset into an entry of the first directory."""
    place = _value_place(file, pointer)
    end = file.seek(0, 2)
    offset = end + end % 2  # directories start at even offsets
    file.write(b"\0" * (offset - end) + directory(entries, offset))
    file.seek(place)
    file.write(struct.pack("<I", offset))


def _value_place(file: BinaryIO, code: int) -> int:
    """The file offset of the value of an entry of the first directory."""
    file.seek(0)
    magic, start = struct.unpack("<4sI", file.read(8))
    if magic != b"II*\0":
        raise ValueError("not a little-endian TIFF file")
    file.seek(start)
    (count,) = struct.unpack("<H", file.read(2))
    codes = [struct.unpack("<H10x", file.read(12))[0] for _ in range(count)]
    return int(start) + 2 + 12 * codes.index(code) + 8


def directory(entries: Sequence[Entry], offset: int) -> bytes:
    """A directory for the file offset `offset`, followed by values longer than 4 bytes."""
    table, heap = [], b""
    heap_at = offset + 2 + 12 * len(entries) + 4
    for entry in sorted(entries):
        value = entry.packed
        if len(value) > 4:
            where = struct.pack("<I", heap_at + len(heap))
            heap += value + b"\0" * (len(value) % 2)
        else:
            where = value.ljust(4, b"\0")
        table.append(struct.pack("<HHI", entry.code, entry.kind, entry.length) + where)
    return struct.pack("<H", len(table)) + b"".join(table) + b"\0\0\0\0" + heap
