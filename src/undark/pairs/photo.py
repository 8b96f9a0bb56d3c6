"""Read the photos of a pair, RAW files or pictures, as mosaics, and get their exposure ratio."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from undark.files.picture import is_picture, open_picture
from undark.files.raw import read_mosaic
from undark.sensor.cfa import GREEN, pack
from undark.sensor.exposure import exposure_ratio
from undark.sensor.mosaic import Mosaic, Shot

_SID_NAME = re.compile(r"(\d{5})_(\d\d)_(\d+(?:\.\d+)?)s")


def read_photo(path: Path) -> Mosaic:
    """A RAW photo, or a picture decoded to linear light and sampled with an RGGB pattern.

    The last two photos are cached: one bright photo may be in several pairs. Raises `PhotoError`.
    """
    return _read(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=2)
def _read(path: Path, changed: int) -> Mosaic:
    """`changed`: the file's modification time, part of the key of the cache."""
    return open_picture(path).mosaic if is_picture(path) else read_mosaic(path)


def green_plane(photo: Mosaic) -> NDArray[np.float32]:
    """(h, w): mean of the green pixels of each cell of the CFA, less black; white is 1."""
    greens = [i for i, colour in enumerate(photo.cfa.colours) if colour == GREEN]
    plane: NDArray[np.float32] = pack(photo.signal(), photo.cfa)[greens].mean(axis=0)
    return plane / np.float32(photo.span)


def sid_name(path: Path) -> tuple[str, float] | None:
    """Scene and exposure time in seconds of a name as in SID, 00001_00_0.1s.ARW; else None."""
    found = _SID_NAME.fullmatch(path.stem)
    return (found[1], float(found[3])) if found and float(found[3]) > 0 else None


def exposure_of(shot: Shot) -> float | None:
    """Relative exposure: time · ISO / aperture²; None without a time.

    An unknown ISO or aperture counts as 1; compare photos of one camera only.
    """
    if not shot.exposure_time:
        return None
    return shot.exposure_time * (shot.iso or 1.0) / (shot.aperture or 1.0) ** 2


def pair_ratio(dark: Path, dark_shot: Shot, bright: Path, bright_shot: Shot) -> float | None:
    """Exposure of the bright photo over that of the dark one; None if it is not known.

    From names as in SID if both have them, else from EXIF. With nearly equal exposures it is not
    known: then the scene's light has changed.
    """
    names = sid_name(dark), sid_name(bright)
    if names[0] and names[1]:
        return names[1][1] / names[0][1]
    ratio = exposure_ratio(dark_shot, bright_shot)
    return None if ratio is None or abs(math.log2(ratio)) < 0.5 else ratio
