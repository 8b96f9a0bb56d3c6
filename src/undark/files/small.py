"""Pictures at a fraction of their size, for thumbnails, and their size without decoding them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.develop.colour import light_of
from undark.errors import ReadError
from undark.files.exif_read import orientation_of, read_tags
from undark.files.picture import open_picture

Floats = NDArray[np.float32]


def small_light(path: Path, side: int) -> tuple[Floats, int]:
    """Linear light (h, w, 3), at most `side` pixels long, of a JPEG, PNG or TIFF; its orientation.

    A JPEG is decoded at a half to an eighth of its size where that is enough. Raises `ReadError`.
    """
    if path.suffix.lower() in (".jpg", ".jpeg"):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ReadError(f"{path}: cannot be read ({error.strerror}); check the file") from error
        return small_jpeg(content, side, str(path))
    picture = open_picture(path)
    return reduced(light_of(picture.levels), side), picture.orientation


def small_jpeg(content: bytes, side: int, name: str) -> tuple[Floats, int]:
    """The same of a JPEG file's content. Raises `ReadError`, which names `name`."""
    from PIL.JpegImagePlugin import JpegImageFile

    try:
        # not Image.open, which rejects photos of more than 89 megapixels as an attack
        with JpegImageFile(io.BytesIO(content)) as image:
            image.draft("RGB", (2 * side, 2 * side))
            levels = np.asarray(image.convert("RGB"))
        orientation = orientation_of(read_tags(io.BytesIO(content)))
    except Exception as error:  # decoders raise exceptions of many types for damaged files
        raise ReadError(f"{name}: the picture is damaged or cut short; replace it") from error
    return reduced(light_of(levels), side), orientation


def reduced(light: Floats, side: int) -> Floats:
    """(H, W, …) → means of square blocks, so that no side is longer than `side`.

    Rows and columns that fill no block at the end are left out.
    """
    factor = -(-max(light.shape[:2]) // side)
    factor = min(factor, *light.shape[:2])
    height, width = (n // factor for n in light.shape[:2])
    blocks = light[: height * factor, : width * factor]
    shape = (height, factor, width, factor, *light.shape[2:])
    means: Floats = blocks.reshape(shape).mean(axis=(1, 3), dtype=np.float32)
    return means


def picture_size(path: Path) -> tuple[int, int]:
    """(height, width) that a JPEG, PNG or TIFF declares; pixels are not decoded.

    Raises `ReadError` for a file that is no such picture.
    """
    try:
        width, height = _declared(path)
    except Exception as error:  # parsers raise exceptions of many types for damaged files
        raise ReadError(f"{path.name}: not a picture that can be read; give a photo") from error
    if min(width, height) < 2:
        raise ReadError(f"{path.name}: a picture of a single row of pixels; give a photo")
    return height, width


def _declared(path: Path) -> tuple[int, int]:
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile

    with path.open("rb") as file:
        head = file.read(4)
    if head[:2] == b"\xff\xd8" or head == b"\x89PNG":
        plugin: Any = JpegImageFile if head[:2] == b"\xff\xd8" else PngImageFile
        with plugin(path) as image:
            return int(image.size[0]), int(image.size[1])
    import tifffile  # a large module that few photos need

    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages.first
        return int(page.imagewidth), int(page.imagelength)
