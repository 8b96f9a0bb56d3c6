"""RGB pictures on disk: JPEG, PNG and TIFF, 8 and 16 bit, with EXIF, GPS and an sRGB profile.

OpenImageIO reads them all and writes JPEG and PNG, tifffile TIFF. The EXIF block is undark's own:
OpenImageIO 3.2 puts the lens into the wrong directory, and leaves ISO and the sign of the
altitude out of TIFF.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import OpenImageIO as oiio
from numpy.typing import NDArray

from undark.errors import OutputError, ReadError
from undark.files.exif import (
    COLOUR_IS_SRGB,
    EXIF_POINTER,
    EXIF_TIME,
    GPS_POINTER,
    camera_entries,
    exif_block,
    exif_entries,
    gps_entries,
    software,
)
from undark.files.icc import srgb_profile
from undark.files.output import writing
from undark.files.tiff_ifd import SHORT, numbers, write_tiff
from undark.sensor.mosaic import Shot

PICTURE_SUFFIXES = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".tif": "tiff", ".tiff": "tiff"}
_LIGHT_WHITE = 16.0
"""The linear value that a code of 65535 means in a scene file; its curve is a cube root."""


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read an sRGB picture as (H, W, 3) uint8; grey is spread to three channels, alpha dropped.

    Pixels come as they lie: an Orientation tag is not followed. Raises `ReadError`.
    """
    image = oiio.ImageInput.open(str(path))
    if image is None:
        oiio.geterror()  # take the message off OpenImageIO's list: it may tell little
        why = "not a picture that can be read" if path.exists() else "there is no such file"
        raise ReadError(f"{path}: {why}; give a JPEG, PNG or TIFF")
    try:
        pixels = image.read_image(oiio.UINT8)
    finally:
        image.close()
    if pixels is None or image.has_error:
        raise ReadError(f"{path}: the picture is damaged or cut short; replace it")
    return _three_channels(np.asarray(pixels, np.uint8))


def _three_channels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 1 to 4 channels) → (H, W, 3)."""
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    colour = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., [0, 0, 0]]
    return np.ascontiguousarray(colour)


def write_picture(
    path: Path, rgb: NDArray[np.uint8] | NDArray[np.uint16], shot: Shot, quality: int = 95
) -> None:
    """Write an upright sRGB picture (H, W, 3) as JPEG, PNG or TIFF, by the suffix.

    JPEG takes uint8 only, at full colour resolution and `quality` of 100. Raises `OutputError`,
    also for another suffix or 16 bits in a JPEG.
    """
    kind = PICTURE_SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise OutputError(f"{path}: cannot write {path.suffix or 'this'}; use .jpg, .png or .tif")
    if kind == "jpeg" and rgb.dtype != np.uint8:
        raise OutputError(f"{path}: JPEG holds 8 bits; write 8 bits, or choose PNG or TIFF")
    pixels: NDArray[Any] = np.ascontiguousarray(rgb)
    with writing(path):
        if kind == "tiff":
            _write_tiff(path, pixels, shot)
            return
        _write_pixels(path, pixels, quality)
        wrap, place = _EXIF_WRAPS[kind]
        height, width = rgb.shape[:2]
        _insert(path, wrap(exif_block(height, width, shot)), place)


def _write_pixels(path: Path, rgb: NDArray[Any], quality: int) -> None:
    """JPEG or PNG without EXIF. Raises `OSError` if OpenImageIO says that something went wrong."""
    spec = oiio.ImageSpec(rgb.shape[1], rgb.shape[0], 3, oiio.TypeDesc(str(rgb.dtype)))
    profile = np.frombuffer(srgb_profile(), np.uint8)
    spec.attribute("ICCProfile", oiio.TypeDesc(f"uint8[{len(profile)}]"), profile)
    spec.attribute("oiio:ColorSpace", "unknown")  # or PNG says sRGB twice, and once with gamma 2.2
    spec.attribute("Compression", f"jpeg:{quality}")
    spec.attribute("jpeg:subsampling", "4:4:4")
    output = oiio.ImageOutput.create(str(path))
    if output is None:
        raise OSError(0, oiio.geterror())
    written = output.open(str(path), spec) and output.write_image(rgb)
    closed = output.close()
    if not (written and closed):
        raise OSError(0, output.geterror() or "is the disk full?")


def _jpeg_segment(block: bytes) -> bytes:
    body = b"Exif\0\0" + block
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body


def _png_chunk(block: bytes) -> bytes:
    body = b"eXIf" + block
    return len(block).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def _jpeg_place(start: bytes) -> slice:
    """Behind the JFIF segment, which must come first."""
    has_jfif = start[2:4] == b"\xff\xe0"
    at = 4 + int.from_bytes(start[4:6], "big") if has_jfif else 2
    return slice(at, at)


def _png_place(start: bytes) -> slice:
    """The EXIF chunk, which OpenImageIO writes without anything in it, or before the pixels."""
    at = 8
    while start[at + 4 : at + 8] not in (b"eXIf", b"IDAT", b""):
        at += 12 + int.from_bytes(start[at : at + 4], "big")
    size = int.from_bytes(start[at : at + 4], "big")
    return slice(at, at + 12 + size if start[at + 4 : at + 8] == b"eXIf" else at)


_EXIF_WRAPS = {"jpeg": (_jpeg_segment, _jpeg_place), "png": (_png_chunk, _png_place)}


def _insert(path: Path, block: bytes, place: Callable[[bytes], slice]) -> None:
    """Put bytes into a finished file, at the place that `place` finds among its first bytes."""
    with path.open("r+b") as file:
        where = place(file.read(65536))
        file.seek(where.stop)
        rest = file.read()
        file.seek(where.start)
        file.write(block)
        file.write(rest)
        file.truncate()


def _write_tiff(path: Path, rgb: NDArray[Any], shot: Shot) -> None:
    children = {EXIF_POINTER: [*exif_entries(shot), COLOUR_IS_SRGB]}
    if shot.gps:
        children[GPS_POINTER] = gps_entries(shot.gps)
    write_tiff(
        path,
        rgb,
        [*camera_entries(shot), numbers(274, SHORT, 1)],  # Orientation: turned already
        children,
        photometric="rgb",
        compression="adobe_deflate",
        predictor=True,
        rowsperstrip=64,
        iccprofile=srgb_profile(),
        software=software(),
        datetime=shot.taken.strftime(EXIF_TIME) if shot.taken else None,
    )


def read_light(path: Path) -> NDArray[np.float32]:
    """Read a scene in linear light: (H, W, 3) float32, linear sRGB, white 1, lamps above.

    The file is a 16-bit JPEG XL whose codes are 65535 · (light / 16)^(1/3). Raises `ReadError`.
    """
    try:
        codes = imagecodecs.jpegxl_decode(path.read_bytes())
    except FileNotFoundError as error:
        raise ReadError(f"{path}: there is no such file; install undark again") from error
    except (OSError, imagecodecs.JpegxlError) as error:
        raise ReadError(f"{path}: the scene is damaged ({error}); install undark again") from error
    return (_LIGHT_WHITE * (codes.astype(np.float32) / 65535) ** 3).astype(np.float32)
