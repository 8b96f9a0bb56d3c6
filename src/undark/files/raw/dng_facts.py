"""A DNG's own tags about its sensor: exact where LibRaw rounds, present where it has none."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

# tifffile logs tags that it cannot read, and Python prints log messages that have no handler
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_CFA = 32803
_VERSION = 50706
# temperatures (K) of EXIF's light sources, to find the matrix for the one nearest to daylight
_TEMPERATURES = {1: 5500, 2: 4200, 3: 2850, 4: 5500, 9: 5500, 10: 6500, 11: 7500, 17: 2856}
_TEMPERATURES |= {18: 4874, 19: 6774, 20: 5503, 21: 6504, 22: 7504, 23: 5003, 24: 3200}
_D65_TEMPERATURE = 6504


@dataclass(frozen=True)
class DngFacts:
    """Values of tags; None where a tag is missing or invalid."""

    black: NDArray[np.float32] | None = None
    """(rows, columns) of its repeat pattern, DN."""
    neutral: NDArray[np.float64] | None = None
    """(3,): camera RGB of a neutral surface."""
    camera_from_xyz: NDArray[np.float32] | None = None
    """(3, 3), for the illuminant nearest to D65."""
    default_crop: tuple[int, int, int, int] | None = None
    """(top, left, height, width) within the visible frame."""
    noise_profile: tuple[tuple[float, float], ...] | None = None


def read_facts(path: Path) -> DngFacts | None:
    """The facts of a DNG file; None for any other file."""
    try:
        with tifffile.TiffFile(path) as tiff:
            first = tiff.pages.first
            if _VERSION not in first.tags:
                return None
            main = _main_image(first)
            return _facts(first, main) if main is not None else DngFacts()
    except Exception:  # tifffile raises many kinds for damaged tags; LibRaw decides what is damaged
        return None


def _main_image(first: Any) -> Any:
    """The directory with the mosaic: the largest among the first one and its children."""
    pages = [first, *(first.pages or [])]
    mosaics = [p for p in pages if p.photometric == _CFA]
    return max(mosaics, key=lambda p: p.imagewidth * p.imagelength, default=None)


def _facts(first: Any, main: Any) -> DngFacts:
    return DngFacts(
        black=_black(main),
        neutral=_positive(_numbers(first, 50728), 3),
        camera_from_xyz=_matrix(first),
        default_crop=_crop(main),
        noise_profile=_noise(_numbers(main, 51041) or _numbers(first, 51041)),
    )


def _numbers(page: Any, code: int) -> list[float]:
    """A tag's numbers, fractions divided; empty if it is missing."""
    tag = page.tags.get(code)
    if tag is None or isinstance(tag.value, str):
        return []
    flat = [float(v) for v in np.ravel(list(tag.value) if _many(tag.value) else [tag.value])]
    if tag.dtype not in (tifffile.DATATYPE.RATIONAL, tifffile.DATATYPE.SRATIONAL):
        return flat
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return [n / d if d else float("nan") for n, d in pairs]


def _many(value: object) -> bool:
    return isinstance(value, tuple | list | bytes | np.ndarray)


def _positive(values: list[float], count: int) -> NDArray[np.float64] | None:
    array = np.array(values)
    return array if array.shape == (count,) and np.all(array > 0) else None


def _black(main: Any) -> NDArray[np.float32] | None:
    """The black level pattern; None where it varies by row or column (rare)."""
    levels = _numbers(main, 50714)
    rows, columns = (int(n) for n in _numbers(main, 50713) or (1, 1))
    differs_along = _numbers(main, 50715) + _numbers(main, 50716)  # BlackLevelDeltaH, V
    if (
        not levels
        or len(levels) != rows * columns
        or not np.all(np.isfinite(levels))
        or any(differs_along)
    ):
        return None
    return np.array(levels, np.float32).reshape(rows, columns)


def _matrix(first: Any) -> NDArray[np.float32] | None:
    """AnalogBalance · CameraCalibration · ColorMatrix, as the DNG specification combines them."""
    found = []
    for matrix, calibration, light in ((50721, 50723, 50778), (50722, 50724, 50779)):
        values = _numbers(first, matrix)
        if len(values) == 9 and np.all(np.isfinite(values)):
            number = int((_numbers(first, light) or [0])[0])
            away = abs(_TEMPERATURES.get(number, 0) - _D65_TEMPERATURE)
            found.append((away, np.reshape(values, (3, 3)), _numbers(first, calibration)))
    if not found:
        return None
    _, colour, values = min(found, key=lambda f: f[0])
    unit = np.reshape(values, (3, 3)) if len(values) == 9 else np.eye(3)
    balance = _positive(_numbers(first, 50727), 3)
    scaled: NDArray[np.float32] = (
        np.diag(np.ones(3) if balance is None else balance) @ unit @ colour
    ).astype(np.float32)
    return scaled


def _crop(main: Any) -> tuple[int, int, int, int] | None:
    origin, size = _numbers(main, 50719), _numbers(main, 50720)
    if len(origin) != 2 or len(size) != 2 or not np.all(np.isfinite(origin + size)):
        return None
    return round(origin[1]), round(origin[0]), round(size[1]), round(size[0])


def _noise(values: list[float]) -> tuple[tuple[float, float], ...] | None:
    if len(values) not in (2, 6) or not np.all(np.isfinite(values)) or min(values) < 0:
        return None
    return tuple(zip(values[::2], values[1::2], strict=True))
