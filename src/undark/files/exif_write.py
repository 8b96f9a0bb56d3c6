"""A `Shot` as EXIF and GPS directories, and as the EXIF block of JPEG and PNG."""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from undark.files.tiff_ifd import (
    BYTE,
    LONG,
    SHORT,
    Entry,
    directory,
    numbers,
    rational,
    raw_bytes,
    text,
)
from undark.sensor.mosaic import GPS, Shot

EXIF_POINTER, GPS_POINTER = 34665, 34853
COLOUR_IS_SRGB = numbers(40961, SHORT, 1)


def software() -> str:
    """The Software tag: "undark" and its version."""
    try:
        return f"undark {version('undark')}"
    except PackageNotFoundError:  # run from a source tree
        return "undark"


def exif_time(moment: datetime) -> str:
    """A date in EXIF's format: "2024:05:06 07:08:09", by the camera's clock."""
    return moment.replace(tzinfo=None).isoformat(" ", "seconds").replace("-", ":")


def exif_entries(shot: Shot) -> list[Entry]:
    """Entries of the EXIF directory: exposure, lens and date, where known."""
    entries = [raw_bytes(36864, b"0231"), raw_bytes(40960, b"0100")]  # Exif, FlashpixVersion
    for code, value in ((33434, shot.exposure_time), (33437, shot.aperture)):
        entries += [rational(code, value)] if value is not None else []
    if shot.iso is not None:
        entries += _sensitivity(round(shot.iso))
    if shot.focal_length is not None:
        entries.append(rational(37386, shot.focal_length))
    if shot.taken is not None:
        entries.append(text(36867, exif_time(shot.taken)))
        if shot.taken.microsecond:
            entries.append(text(37521, f"{shot.taken.microsecond:06d}".rstrip("0")))
    if shot.lens is not None:
        entries.append(text(42036, shot.lens))
    return entries


def _sensitivity(iso: int) -> list[Entry]:
    """ISO; above 65535 the value is in the recommended exposure index (32 bits)."""
    if iso <= 65535:
        return [numbers(34855, SHORT, iso)]
    return [numbers(34855, SHORT, 65535), numbers(34864, SHORT, 2), numbers(34866, LONG, iso)]


def camera_entries(shot: Shot) -> list[Entry]:
    """Make and model: entries of the first directory."""
    named = ((271, shot.make), (272, shot.model))
    return [text(code, value) for code, value in named if value]


def exif_block(height: int, width: int, shot: Shot) -> bytes:
    """EXIF of an upright sRGB picture for JPEG and PNG: a TIFF file without pixels."""
    first = [
        *camera_entries(shot),
        numbers(274, SHORT, 1),  # Orientation: the pixels are upright
        rational(282, 72),  # XResolution
        rational(283, 72),
        numbers(296, SHORT, 2),  # ResolutionUnit: inch
        text(305, software()),
        numbers(531, SHORT, 1),  # YCbCrPositioning
    ]
    if shot.taken:
        first.append(text(306, exif_time(shot.taken)))
    exif = [
        *exif_entries(shot),
        raw_bytes(37121, b"\1\2\3\0"),  # ComponentsConfiguration: Y Cb Cr
        COLOUR_IS_SRGB,
        numbers(40962, LONG, width),
        numbers(40963, LONG, height),
    ]
    children = {EXIF_POINTER: exif}
    if shot.gps:
        children[GPS_POINTER] = gps_entries(shot.gps)
    return _nested(first, children)


def _nested(first: list[Entry], children: dict[int, list[Entry]]) -> bytes:
    """A TIFF file of the first directory and the directories that it points to."""
    start = 8
    pointers = dict.fromkeys(children, 0)
    at = start + len(directory([*first, *_as_entries(pointers)], start))
    bodies = b""
    for code, entries in children.items():
        pointers[code] = at + len(bodies)
        bodies += directory(entries, pointers[code])
    head = b"II*\0" + start.to_bytes(4, "little")
    return head + directory([*first, *_as_entries(pointers)], start) + bodies


def _as_entries(pointers: dict[int, int]) -> list[Entry]:
    return [numbers(code, LONG, place) for code, place in pointers.items()]


def gps_entries(gps: GPS) -> list[Entry]:
    """Entries of the GPS directory."""
    entries = [
        numbers(0, BYTE, 2, 3, 0, 0),
        text(1, "N" if gps.latitude >= 0 else "S"),
        rational(2, *degrees(gps.latitude)),
        text(3, "E" if gps.longitude >= 0 else "W"),
        rational(4, *degrees(gps.longitude)),
    ]
    if gps.altitude is not None:
        entries += [numbers(5, BYTE, int(gps.altitude < 0)), rational(6, abs(gps.altitude))]
    return entries


def degrees(angle: float) -> tuple[float, float, float]:
    """Degrees, minutes and seconds of |angle|, in steps of 1e-7 seconds."""
    tick = 10_000_000  # units of a second
    ticks = round(abs(angle) * 3600 * tick)
    minutes, rest = divmod(ticks, 60 * tick)
    return float(minutes // 60), float(minutes % 60), rest / tick
