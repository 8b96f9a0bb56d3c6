"""How a RAW photo was taken: EXIF, the preview's EXIF, and LibRaw's fields.

Runs in a RAW worker.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import rawpy

from undark.files.exif_read import Tags, has_no_orientation, read_tags, shot_from_tags
from undark.files.raw.libraw import first_bytes, opened
from undark.files.raw.preview import ORIENTATIONS
from undark.sensor.mosaic import Shot


@dataclass(frozen=True)
class Header:
    """What a RAW file says of itself before its data."""

    shot: Shot
    orientation: int
    """EXIF's, 1 to 8."""
    shape: tuple[int, int]
    """(H, W) of the visible frame."""


def header(path: Path) -> Header:
    """See `reading.read_header`. Errors do not name the file."""
    with opened(path, unpack=False) as raw, path.open("rb") as file:
        tags = read_tags(file)
        shot = read_shot(raw, tags, first_bytes(path))
        orientation = ORIENTATIONS.get(raw.sizes.flip, 1)
        shape = (raw.sizes.height, raw.sizes.width)
    return Header(shot, 1 if has_no_orientation(tags) else orientation, shape)


def read_shot(raw: rawpy.RawPy, tags: Tags, start: bytes) -> Shot:
    """From EXIF; what is missing there from LibRaw, which also reads formats other than TIFF.

    `start` is the file's first bytes.
    """
    shot = shot_from_tags(tags)
    if shot.make is None and shot.model is None:
        shot = _fill(shot, _shot_of_thumbnail(raw))
    return _fill(shot, _shot_of_libraw(raw, is_crw=start[6:14] == b"HEAPCCDR"))


def _fill(shot: Shot, other: Shot) -> Shot:
    """The first shot with its gaps filled from the other."""
    gaps = {name: value for name, value in vars(other).items() if getattr(shot, name) is None}
    return replace(shot, **gaps)


def _shot_of_thumbnail(raw: rawpy.RawPy) -> Shot:
    """Camera, lens and place from the preview's EXIF; LibRaw writes one where there is none."""
    try:
        thumbnail = raw.extract_thumb()
    except (rawpy.LibRawError, rawpy.NotSupportedError):
        return Shot()
    if thumbnail.format != rawpy.ThumbFormat.JPEG:
        return Shot()
    found = shot_from_tags(read_tags(io.BytesIO(bytes(thumbnail.data))))
    # LibRaw's own EXIF writes 1 s where it knows nothing: exposure and date come from its fields
    return Shot(make=found.make, model=found.model, lens=found.lens, gps=found.gps)


def _shot_of_libraw(raw: rawpy.RawPy, is_crw: bool) -> Shot:
    """LibRaw's fields; it says 1.0 s, f/1.0, 0 and 1970 for what it does not know."""
    other = raw.other
    return Shot(
        lens=raw.lens.model.strip("\0 ") or None,
        exposure_time=_known(other.shutter_speed, 1.0),
        aperture=_known(other.aperture, 1.0),
        iso=_known(other.iso_speed, 0.0),
        focal_length=_known(other.focal_length, 0.0),
        taken=_taken(other.timestamp, is_crw),
    )


def _known(value: float, unknown: float) -> float | None:
    """The shortest decimal of a single precision number: 0.0037, not 0.003700000001117587."""
    return float(f"{value:.6g}") if value != unknown and 0 < value < float("inf") else None


def _taken(timestamp: datetime, is_crw: bool) -> datetime | None:
    """The camera's clock. LibRaw reads it as local time, but a CRW's as UTC."""
    if timestamp.timestamp() <= 86400:
        return None
    return timestamp.astimezone(UTC).replace(tzinfo=None) if is_crw else timestamp
