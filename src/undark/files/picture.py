"""RGB pictures on disk: JPEG, PNG and TIFF, 8 and 16 bit, with EXIF, GPS and an sRGB profile.

`decode` reads them, `icc_read` converts them to sRGB. imagecodecs and tifffile write them, with
EXIF made by `exif_write`: the same entries go into TIFF and DNG, which Pillow cannot write here.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from undark.develop.colour import light_of
from undark.errors import OutputError, ReadError
from undark.files.decode import decode
from undark.files.exif_read import orientation_of, read_tags, shot_from_tags
from undark.files.exif_write import (
    COLOUR_IS_SRGB,
    EXIF_POINTER,
    GPS_POINTER,
    camera_entries,
    exif_block,
    exif_entries,
    exif_time,
    gps_entries,
    software,
)
from undark.files.icc import srgb_profile
from undark.files.icc_read import to_srgb
from undark.files.output import writing
from undark.files.provenance import JPEG_XMP, PNG_XMP, xmp_entries, xmp_packet
from undark.files.suffixes import PICTURE_SUFFIXES
from undark.files.tiff_ifd import SHORT, numbers, write_tiff
from undark.sensor.cfa import RGGB, mosaic
from undark.sensor.mosaic import Mosaic, Shot

_AFTER_HEADER = 33
"""Bytes of a PNG file's signature and header chunk."""
_LIGHT_WHITE = 16.0
"""Linear light at code 65535 of a scene file, whose transfer curve is a cube root."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A finished sRGB picture."""

    levels: NDArray[np.uint8] | NDArray[np.uint16]
    """(H, W, 3) in the file's pixel order: `orientation` is not applied."""
    orientation: int = 1
    """The EXIF orientation, 1 to 8."""
    shot: Shot = field(default_factory=Shot)

    @cached_property
    def mosaic(self) -> Mosaic:
        """Its linear light as an RGGB sensor would record it, for code that takes mosaics."""
        white = np.iinfo(np.uint16).max
        levels = np.arange(np.iinfo(self.levels.dtype).max + 1, dtype=self.levels.dtype)
        counts = np.rint(light_of(levels) * white).astype(np.uint16)
        return Mosaic(
            plane=mosaic(np.moveaxis(counts[self.levels], -1, 0), RGGB),
            cfa=RGGB,
            black=np.zeros((2, 2), np.float32),
            white=white,
            white_balance=np.ones(3, np.float32),
            shot=self.shot,
        )


def is_picture(path: Path) -> bool:
    """Whether a file is a JPEG, PNG or TIFF, by its suffix."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def open_picture(path: str | Path) -> Picture:
    """Read a JPEG, PNG or TIFF with its EXIF, in 16 bits where it has more than 8.

    Colours are converted to sRGB by the file's profile. Raises `ReadError`, also for another
    suffix: a RAW file is no finished picture, though many are TIFF files with a preview in them.
    """
    path = Path(path)
    if not is_picture(path):
        raise ReadError(f"{path}: no JPEG, PNG or TIFF; for RAW photos choose a model for RAW")
    levels = _read(path, deep=True)
    if min(levels.shape[:2]) < 2:
        raise ReadError(f"{path}: a picture of a single row of pixels; give a photo")
    with path.open("rb") as file:
        tags = read_tags(file)
    return Picture(levels, orientation_of(tags), shot_from_tags(tags))


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read a picture as (H, W, 3) uint8 sRGB; grey is repeated in three channels, alpha dropped.

    The Orientation tag is not followed. Raises `ReadError`.
    """
    return _read(path, deep=False)


def _read(path: Path, deep: bool) -> NDArray[Any]:
    """(H, W, 3) sRGB, uint8, or uint16 where the file has more bits and `deep` asks for them."""
    levels = to_srgb(decode(path))
    if levels.dtype == np.uint8 or deep:
        return levels
    return ((levels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def write_picture(
    path: Path,
    rgb: NDArray[np.uint8] | NDArray[np.uint16],
    shot: Shot,
    quality: int = 95,
    source: str | None = None,
) -> None:
    """Write an upright sRGB picture (H, W, 3) as JPEG, PNG or TIFF, by the suffix.

    JPEG takes uint8 only, without chroma subsampling, at `quality` of 100. `source` is the digest
    of the file that the picture was made of (`provenance.digest_of`). Raises `OutputError`, also
    for another suffix or 16 bits in a JPEG.
    """
    kind = PICTURE_SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise OutputError(f"{path}: cannot write {path.suffix or 'this'}; use .jpg, .png or .tif")
    if kind == "jpeg" and rgb.dtype != np.uint8:
        raise OutputError(f"{path}: JPEG holds 8 bits; write 8 bits, or choose PNG or TIFF")
    pixels: NDArray[Any] = np.ascontiguousarray(rgb)
    with writing(path):
        if kind == "tiff":
            _write_tiff(path, pixels, shot, source)
        elif kind == "jpeg":
            path.write_bytes(_jpeg(pixels, shot, quality, source))
        else:
            path.write_bytes(_png(pixels, shot, source))


def write_grey_png(
    path: Path, levels: NDArray[np.uint16], text: Mapping[str, str], source: str | None = None
) -> None:
    """Write (H, W) levels as a grey PNG of 16 bits with text chunks. Raises `OutputError`.

    `text` is Latin-1, its keywords at most 79 bytes; `source` as for `write_picture`.
    """
    plain = _png_encode(levels)
    chunks = [
        _chunk(b"tEXt", f"{key}\0{value}".encode("latin-1"))
        for key, value in {"Software": software(), **text}.items()
    ]
    if source:
        chunks.append(_chunk(b"iTXt", PNG_XMP + xmp_packet(source)))
    with writing(path):
        path.write_bytes(
            b"".join((plain[:_AFTER_HEADER], *chunks, memoryview(plain)[_AFTER_HEADER:]))
        )


def plain_jpeg(pixels: NDArray[np.uint8], quality: int, subsampling: str = "420") -> bytes:
    """A picture (H, W, 3) as a JPEG file without metadata."""
    return bytes(
        imagecodecs.jpeg8_encode(
            np.ascontiguousarray(pixels), level=quality, subsampling=subsampling
        )
    )


def _jpeg(pixels: NDArray[np.uint8], shot: Shot, quality: int, source: str | None) -> bytes:
    """A JPEG file: pixels without chroma subsampling, segments for EXIF, XMP and profile."""
    plain = plain_jpeg(pixels, quality, "444")
    after_jfif = 4 + int.from_bytes(plain[4:6], "big")  # the JFIF segment must be the first
    exif = b"\xff\xe1" + _sized(b"Exif\0\0" + exif_block(pixels.shape[0], pixels.shape[1], shot))
    profile = b"\xff\xe2" + _sized(b"ICC_PROFILE\0\1\1" + srgb_profile())
    xmp = b"\xff\xe1" + _sized(JPEG_XMP + xmp_packet(source)) if source else b""
    return b"".join((plain[:after_jfif], exif, xmp, profile, memoryview(plain)[after_jfif:]))


def _sized(body: bytes) -> bytes:
    """The body of a JPEG segment with its length, which counts itself."""
    return (len(body) + 2).to_bytes(2, "big") + body


def _png(pixels: NDArray[Any], shot: Shot, source: str | None) -> bytes:
    """A PNG file with chunks for profile, EXIF and XMP after its header chunk."""
    plain = _png_encode(pixels)
    profile = _chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(srgb_profile()))
    exif = _chunk(b"eXIf", exif_block(pixels.shape[0], pixels.shape[1], shot))
    xmp = _chunk(b"iTXt", PNG_XMP + xmp_packet(source)) if source else b""
    return b"".join((plain[:_AFTER_HEADER], profile, exif, xmp, memoryview(plain)[_AFTER_HEADER:]))


def _png_encode(pixels: NDArray[Any]) -> bytes:
    # a third of the time of zlib's default level, 2 % more bytes
    pixels = np.ascontiguousarray(pixels)
    return bytes(imagecodecs.png_encode(pixels, level=3, filter=imagecodecs.PNG.FILTER.SUB))


def _chunk(name: bytes, body: bytes) -> bytes:
    """A PNG chunk: length, name, body, checksum."""
    crc = zlib.crc32(name + body).to_bytes(4, "big")
    return len(body).to_bytes(4, "big") + name + body + crc


def _write_tiff(path: Path, rgb: NDArray[Any], shot: Shot, source: str | None) -> None:
    children = {EXIF_POINTER: [*exif_entries(shot), COLOUR_IS_SRGB]}
    if shot.gps:
        children[GPS_POINTER] = gps_entries(shot.gps)
    write_tiff(
        path,
        rgb,
        # Orientation 1: the pixels are upright
        [*camera_entries(shot), numbers(274, SHORT, 1), *xmp_entries(source)],
        children,
        photometric="rgb",
        compression="adobe_deflate",
        predictor=True,
        rowsperstrip=64,
        iccprofile=srgb_profile(),
        software=software(),
        datetime=exif_time(shot.taken) if shot.taken else None,
    )


def read_light(path: Path) -> NDArray[np.float32]:
    """Read a scene in linear light: (H, W, 3) float32, linear sRGB, white 1, light sources above.

    The file is a 16-bit JPEG XL whose codes are 65535 · (light / 16)^(1/3). Raises `ReadError`.
    """
    try:
        codes = imagecodecs.jpegxl_decode(path.read_bytes())
    except FileNotFoundError as error:
        raise ReadError(f"{path}: there is no such file; install undark again") from error
    except (OSError, ValueError, imagecodecs.JpegxlError) as error:
        raise ReadError(f"{path}: the scene is damaged ({error}); install undark again") from error
    return (_LIGHT_WHITE * (codes.astype(np.float32) / 65535) ** 3).astype(np.float32)
