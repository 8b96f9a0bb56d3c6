"""Camera, lens, exposure, date and GPS position of a photo, from its EXIF tags (exifread)."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import exifread

from undark.sensor.mosaic import GPS, Shot

Tags = Mapping[str, Any]
"""exifread's tags by name, as "EXIF ExposureTime"."""
_ORIENTATIONS = range(1, 9)

# exifread logs files that it does not know, and logging prints that where no handler is set up
logging.getLogger("exifread").addHandler(logging.NullHandler())


def read_tags(file: BinaryIO) -> Tags:
    """All EXIF tags of a file; empty where it has none or they are damaged."""
    try:
        tags: Tags = exifread.process_file(file, details=False, extract_thumbnail=False)
    except Exception:  # exifread raises errors of every kind on damaged tags
        return {}
    return tags


def has_no_orientation(tags: Tags) -> bool:
    """Whether EXIF's value is not one of 1 to 8: LibRaw reads some others as 90°, such as 0, which
    some cameras write for "unknown", and 65535. False without the tag."""
    values = _values(tags, "Image Orientation")[:1]
    return bool(values) and values[0] not in _ORIENTATIONS


def orientation_of(tags: Tags) -> int:
    """The EXIF orientation; 1 (upright) where it is not one of 1 to 8."""
    values = _values(tags, "Image Orientation")[:1]
    return int(values[0]) if values and values[0] in _ORIENTATIONS else 1


def dimensions_of(tags: Tags) -> tuple[int, ...]:
    """Width and height as EXIF has them, of the photo or its preview; empty where it has none."""
    names = ("EXIF ExifImageWidth", "EXIF ExifImageLength", "Image ImageWidth", "Image ImageLength")
    return tuple(int(n) for name in names for n in map(_number, _values(tags, name)[:1]) if n > 0)


def shot_of(path: Path) -> Shot:
    """The EXIF of a photo or a picture as a `Shot`; an empty one where it cannot be read."""
    try:
        with path.open("rb") as file:
            return shot_from_tags(read_tags(file))
    except OSError:
        return Shot()


def shot_from_tags(tags: Tags) -> Shot:
    """EXIF tags as a `Shot`; zeros, blanks and fractions like 0/0 count as missing."""
    return Shot(
        make=_text(tags, "Image Make"),
        model=_text(tags, "Image Model"),
        lens=_text(tags, "EXIF LensModel", "Image LensModel"),
        exposure_time=_positive(tags, "EXIF ExposureTime", "Image ExposureTime"),
        aperture=_positive(tags, "EXIF FNumber", "Image FNumber"),
        iso=_iso(tags),
        focal_length=_positive(tags, "EXIF FocalLength", "Image FocalLength"),
        taken=_date(tags),
        gps=_gps(tags),
    )


def _values(tags: Tags, name: str) -> list[Any]:
    values = getattr(tags.get(name), "values", [])
    return list(values) if isinstance(values, list | tuple) else [values]


def _text(tags: Tags, *names: str) -> str | None:
    for name in names:
        for value in _values(tags, name):
            if isinstance(value, str) and value.strip(" \0"):
                return value.strip(" \0")
    return None


def _number(value: Any) -> float:
    """A number or a fraction as a float; NaN for anything else."""
    try:
        return float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return math.nan


def _positive(tags: Tags, *names: str) -> float | None:
    for name in names:
        for value in map(_number, _values(tags, name)[:1]):
            if 0 < value < math.inf:
                return value
    return None


def _iso(tags: Tags) -> float | None:
    """The ISO; 65535 means that the value is in a 32-bit tag."""
    short = _positive(tags, "EXIF ISOSpeedRatings", "Image ISOSpeedRatings")
    long = _positive(tags, "EXIF RecommendedExposureIndex", "EXIF ISOSpeed")
    return long if short is None or short == 65535 else short


def _date(tags: Tags) -> datetime | None:
    """When the photo was taken, by the camera's clock."""
    for name in ("EXIF DateTimeOriginal", "Image DateTimeOriginal", "Image DateTime"):
        text = _text(tags, name)
        try:
            taken = datetime.strptime((text or "")[:19], "%Y:%m:%d %H:%M:%S")
            return taken.replace(microsecond=_microsecond(tags))
        except ValueError:  # cameras whose clock was never set write zeros or blanks
            continue
    return None


def _microsecond(tags: Tags) -> int:
    """EXIF's fraction of a second: "27" is 0.27 s; 0 where there is none."""
    digits = (_text(tags, "EXIF SubSecTimeOriginal", "EXIF SubSecTime") or "").strip()
    return int(digits[:6].ljust(6, "0")) if digits.isascii() and digits.isdigit() else 0


def _gps(tags: Tags) -> GPS | None:
    latitude = _angle(tags, "GPS GPSLatitude", "S")
    longitude = _angle(tags, "GPS GPSLongitude", "W")
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):  # NaN too
        return None
    altitude = [_number(v) for v in _values(tags, "GPS GPSAltitude")]
    if not altitude or not math.isfinite(altitude[0]):
        return GPS(latitude, longitude)
    below = _values(tags, "GPS GPSAltitudeRef")[:1] == [1]
    return GPS(latitude, longitude, -altitude[0] if below else altitude[0])


def _angle(tags: Tags, name: str, negative: str) -> float:
    """Degrees from degrees, minutes and seconds; NaN where they are missing."""
    parts = [_number(v) for v in _values(tags, name)]
    if not parts or not math.isfinite(parts[0]):
        return math.nan
    finite = [p if math.isfinite(p) else 0.0 for p in parts]  # some write seconds as 0/0
    angle = float(sum(part / 60**n for n, part in enumerate(finite[:3])))
    return -angle if _text(tags, f"{name}Ref") == negative else angle
