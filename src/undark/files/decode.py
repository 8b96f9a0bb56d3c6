"""Pixels and colour profile of JPEG (Pillow), PNG (imagecodecs) and TIFF (tifffile) files.

Each decoder gives the stored values without following Orientation: (H, W) or (H, W, channels),
uint8 or uint16. Alpha is dropped without compositing.
"""

from __future__ import annotations

import io
import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from undark.errors import ReadError
from undark.files.exif_read import read_tags
from undark.files.regular import read_start

# tifffile logs what it ignores, and logging prints that where no handler is set up
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_MOST_PROFILE = 1 << 24
"""Bytes of the largest colour profile that is read."""
_WANTED = "a JPEG, PNG or TIFF"
_NO_SEGMENT = (b"\xda", b"\xff", b"")
"""After 0xFF: start of scan, a fill byte, or the end of the file."""
_INTEROPERABILITY = "Interoperability InteroperabilityIndex"


@dataclass(frozen=True, eq=False)
class Decoded:
    """Stored pixels: grey or RGB, and how they are to be understood."""

    pixels: NDArray[Any]
    """(H, W, 1 or 3), uint8 or uint16."""
    profile: bytes | None = None
    """The ICC profile of the file."""
    adobe_rgb: bool = False
    """Whether EXIF says Adobe RGB (DCF's option file), as cameras write without a profile."""


class _UnsupportedPixelsError(Exception):
    """Intact, but not of a kind that is read; says which."""


def decode(path: Path) -> Decoded:
    """Read a JPEG, PNG or TIFF, detected by its first bytes. Raises `ReadError`."""
    decoder = _decoder(read_start(path, 4, _WANTED))
    if decoder is None:
        raise ReadError(f"{path}: not a picture that can be read; give {_WANTED}")
    try:
        return decoder(path)
    except _UnsupportedPixelsError as error:
        raise ReadError(f"{path}: {error}; convert it to RGB of 8 or 16 bits") from error
    except Exception as error:  # decoders raise exceptions of many types for damaged files
        raise ReadError(f"{path}: the picture is damaged or cut short; replace it") from error


def _decoder(head: bytes) -> Callable[[Path], Decoded] | None:
    if head[:2] == b"\xff\xd8":
        return _jpeg
    if head == b"\x89PNG":
        return _png
    return _tiff if head in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") else None


def _jpeg(path: Path) -> Decoded:
    from PIL.JpegImagePlugin import JpegImageFile  # restoring RAW photos need not wait for it

    content = path.read_bytes()
    # not Image.open, which rejects photos of more than 89 megapixels as an attack
    with JpegImageFile(io.BytesIO(_without_exif(content))) as image:
        profile = image.info.get("icc_profile")
        if image.mode not in ("L", "RGB"):  # CMYK and YCCK: their profiles are for printers
            return Decoded(np.asarray(image.convert("RGB")))
        pixels = _channels(np.asarray(image))
    return Decoded(pixels, profile, profile is None and _says_adobe_rgb(content))


def _without_exif(content: bytes) -> bytes:
    """A JPEG without EXIF: Pillow prints warnings of damaged tags and refuses some pictures."""
    kept, at = [content[:2]], 2
    while content[at : at + 1] == b"\xff" and content[at + 1 : at + 2] not in _NO_SEGMENT:
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if content[at + 1] != 0xE1:  # APP1: EXIF and XMP
            kept.append(content[at:end])
        at = end
    return b"".join((*kept, content[at:]))


def _says_adobe_rgb(content: bytes) -> bool:
    return str(read_tags(io.BytesIO(content)).get(_INTEROPERABILITY, "")) == "R03"


def _png(path: Path) -> Decoded:
    content = path.read_bytes()
    return Decoded(_channels(np.asarray(imagecodecs.png_decode(content))), _png_profile(content))


def _png_profile(content: bytes) -> bytes | None:
    """The ICC profile of a PNG's iCCP chunk, which comes before the pixels."""
    at = 8
    while at + 8 <= len(content):
        length, name = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        if name == b"iCCP":
            _, _, packed = content[at + 8 : at + 8 + length].partition(b"\0")
            try:  # after the compression method
                return zlib.decompressobj().decompress(packed[1:], _MOST_PROFILE)
            except zlib.error:  # the pixels may be intact
                return None
        if name == b"IDAT":
            return None
        at += 12 + length
    return None


def _tiff(path: Path) -> Decoded:
    """The first picture of a TIFF, which is the full one."""
    import tifffile  # a large module that few photos need

    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        _check_complete(page, path.stat().st_size)
        pixels = _bits(np.asarray(page.asarray()), page)
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        return Decoded(_colours(pixels, page), page.iccprofile or None)


def _check_complete(page: Any, size: int) -> None:
    """Raises `ValueError` where strips or tiles lie outside the file: tifffile reads zeros."""
    places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if not places or any(offset + count > size or not count for offset, count in places):
        raise ValueError("strips or tiles are missing")


def _bits(pixels: NDArray[Any], page: Any) -> NDArray[Any]:
    """Any number type → uint8 or uint16 of the same brightness."""
    if pixels.dtype == np.uint8 and page.bitspersample in (1, 2, 4) and page.photometric != 3:
        return pixels * np.uint8(255 // (2**page.bitspersample - 1))
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype == np.uint16:
        most = 2**page.bitspersample - 1  # 10, 12 and 14 bits are packed
        return pixels if most == 65535 else _scaled(pixels, most)
    if pixels.dtype == np.uint32:
        return _scaled(pixels, 2**page.bitspersample - 1)
    if pixels.dtype.kind == "f":
        return _scaled(pixels, 1)
    raise _UnsupportedPixelsError(f"pixels of type {pixels.dtype}")


def _scaled(pixels: NDArray[Any], white: int) -> NDArray[np.uint16]:
    levels = np.nan_to_num(pixels.astype(np.float64) / white, nan=0, posinf=1, neginf=0)
    scaled: NDArray[np.uint16] = np.rint(levels.clip(0, 1) * 65535).astype(np.uint16)
    return scaled


def _colours(pixels: NDArray[Any], page: Any) -> NDArray[Any]:
    """Pixels of any photometric interpretation → (H, W, 1 or 3) grey or RGB."""
    from tifffile import PHOTOMETRIC as kinds  # noqa: N811

    white = np.iinfo(pixels.dtype).max
    if page.photometric == kinds.PALETTE:
        colours = np.moveaxis(page.colormap[:, pixels], 0, -1) // 257
        return np.ascontiguousarray(colours, np.uint8)
    if page.photometric == kinds.MINISWHITE:
        return _channels(white - pixels)
    if page.photometric == kinds.SEPARATED and pixels.shape[-1] >= 4:  # CMYK, without its profile
        inks = white - pixels[..., :4].astype(np.uint32)
        return (inks[..., :3] * inks[..., 3:] // white).astype(pixels.dtype)
    jpeg = page.photometric == kinds.YCBCR and page.compression in (6, 7)  # decoded as RGB
    if page.photometric in (kinds.MINISBLACK, kinds.RGB) or jpeg:
        return _channels(pixels)
    raise _UnsupportedPixelsError(f"colours of kind {kinds(page.photometric).name}")


def _channels(pixels: NDArray[Any]) -> NDArray[Any]:
    """(H, W) or (H, W, 1 to n channels) → (H, W, 1 or 3), without alpha."""
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return np.ascontiguousarray(pixels[..., : 3 if pixels.shape[-1] >= 3 else 1])
