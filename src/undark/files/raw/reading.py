"""What other packages call: RAW files in a folder, a file's mosaic, LibRaw's picture of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.errors import PhotoError, ReadError
from undark.files.cameras import calibrated
from undark.files.folder import find_files
from undark.files.raw import pool
from undark.files.raw.advice import AGAIN
from undark.files.raw.metadata import Header
from undark.files.raw.preview import Preview
from undark.files.raw.rendering import check_rendering
from undark.files.raw.suffixes import RAW_SUFFIXES
from undark.files.regular import read_start
from undark.sensor.mosaic import Mosaic


def find_raws(folder: Path) -> list[Path]:
    """All RAW photos in a folder and its folders, sorted; hidden files and folders are left out."""
    return find_files(folder, RAW_SUFFIXES)


def read_mosaic(path: Path) -> Mosaic:
    """Read a RAW photo of a Bayer or X-Trans sensor.

    It comes with the user's own calibration of its camera, where there is one. Raises `ReadError`
    for a file that is missing, empty, damaged, cut short or not a RAW photo, `UnsupportedError`
    for a RAW photo of another kind.
    """
    return calibrated(read_uncalibrated(path))


def read_uncalibrated(path: Path) -> Mosaic:
    """The same without the user's calibration, as `undark calibrate` needs it."""
    mosaic: Mosaic = _run("decode", Path(path))
    return mosaic


def render_with_libraw(path: Path, **options: Any) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """LibRaw's own rendering of a RAW photo: (H, W, 3), of 8 bits, or 16 with `output_bps=16`.

    `options` are those of rawpy's `postprocess`; see `check_rendering`. LibRaw rotates the picture
    upright unless `user_flip=0`. Raises as `read_mosaic` does, but accepts any sensor.
    """
    check_rendering(**options)
    if options.get("bad_pixels_path"):  # the child may have another working folder
        options["bad_pixels_path"] = str(Path(options["bad_pixels_path"]).absolute())
    picture: NDArray[np.uint8] | NDArray[np.uint16] = _run("render", Path(path), **options)
    return picture


def read_preview(path: Path) -> Preview | None:
    """The camera's own preview of a RAW photo, None where it has none; the RAW data is not decoded.

    Raises as `read_mosaic` does, but accepts any sensor.
    """
    found: Preview | None = _run("preview", Path(path))
    return found


def read_header(path: Path) -> Header:
    """How a RAW photo was taken, its orientation and its size; the RAW data is not decoded.

    Raises as `read_mosaic` does, but accepts any sensor.
    """
    found: Header = _run("header", Path(path))
    return found


def _run(task: str, path: Path, **options: Any) -> Any:
    """A child's answer; its errors with the file's name."""
    if not read_start(path, 1, "a RAW file"):
        raise ReadError(f"{path}: the file is empty; {AGAIN}")
    try:
        return pool.run(task, path, **options)
    except PhotoError as error:
        if str(error).startswith(str(path)):
            raise
        raise type(error)(f"{path}: {error}") from error
