"""The sRGB ICC profile that undark embeds: version 2, a matrix and one tone curve."""

from __future__ import annotations

import struct
from functools import cache

import numpy as np

# sRGB's primaries and white, adapted to the profile space's D50 (Bradford), as in IEC 61966-2-1
_COLUMNS = {
    b"rXYZ": (0.43607, 0.22249, 0.01392),
    b"gXYZ": (0.38515, 0.71687, 0.09708),
    b"bXYZ": (0.14307, 0.06061, 0.71410),
}
_D50 = (0.9642, 1.0, 0.8249)
_CURVE_POINTS = 1024


@cache
def srgb_profile() -> bytes:
    """The bytes of an ICC profile for sRGB (2.6 kB)."""
    curve = _curve()
    tags = {
        b"desc": _description("sRGB (undark)"),
        b"cprt": b"text\0\0\0\0No copyright, use freely\0",
        b"wtpt": _xyz(_D50),
        **{name: _xyz(column) for name, column in _COLUMNS.items()},
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    return _assemble(tags)


def _assemble(tags: dict[bytes, bytes]) -> bytes:
    """Header, tag table and tags; tags of equal content share one offset."""
    at = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    places: dict[bytes, int] = {}
    for name, data in tags.items():
        if data not in places:
            places[data] = at + len(body)
            body += data + b"\0" * (-len(data) % 4)
        table += struct.pack(">4sII", name, places[data], len(data))
    return _header(at + len(body)) + table + body


def _header(size: int) -> bytes:
    date = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    head = struct.pack(">I4sI4s4s4s", size, b"\0\0\0\0", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head += date + b"acsp" + bytes(24)
    head += struct.pack(">I", 0)  # rendering intent: perceptual
    return (head + b"".join(_s15f16(v) for v in _D50)).ljust(128, b"\0")


def _s15f16(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(_s15f16(v) for v in values)


def _description(name: str) -> bytes:
    text = name.encode("ascii") + b"\0"
    # an ASCII string, then empty Unicode and Macintosh strings of fixed size
    return b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(4 + 4 + 2 + 1 + 67)


def _curve() -> bytes:
    encoded = np.linspace(0, 1, _CURVE_POINTS)
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    points: bytes = np.rint(linear * 65535).astype(">u2").tobytes()
    return b"curv\0\0\0\0" + struct.pack(">I", _CURVE_POINTS) + points
