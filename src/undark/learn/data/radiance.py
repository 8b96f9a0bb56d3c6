"""Radiance RGBE environment maps (.hdr): photographs in linear light, light sources above white."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from undark.errors import ReadError

SUFFIX = ".hdr"
MEDIAN = 0.12
"""Linear light that the median of a map is scaled to; white is 1."""
_HORIZON = (0.22, 0.8)
"""Fractions of the height, from the top, between which a full sphere is little distorted."""


def read_radiance(path: Path) -> NDArray[np.float32]:
    """(H, W, 3) linear sRGB of a map near its horizon, median luminance `MEDIAN`.

    Raises `ReadError`.
    """
    try:
        light = imagecodecs.rgbe_decode(path.read_bytes())
    except (OSError, imagecodecs.RgbeError) as error:
        raise ReadError(f"{path}: cannot be read as a Radiance picture ({error})") from error
    top, bottom = (round(share * len(light)) for share in _HORIZON)
    near: NDArray[np.float32] = light[top:bottom]
    level = max(float(np.median(near.mean(axis=2))), 1e-6)
    return np.ascontiguousarray(near * np.float32(MEDIAN / level))
