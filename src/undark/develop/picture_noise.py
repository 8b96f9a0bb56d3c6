"""How strong the noise of a finished picture is, from the picture alone.

A camera's picture does not say what its noise was: demosaicing, smoothing, sharpening and JPEG have
changed it. Networks are told these estimates, in training as in restoring, because nothing nearby
tells fine texture from noise.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from undark.develop.colour import light_of, srgb_curve

BLOCK = 16
"""Side in pixels of the blocks that are looked at."""
_MOST_BLOCKS = 32
"""Rows and columns of blocks that are looked at, evenly spaced, at most."""
_APART = 4
"""Distance in pixels of the pixels that are compared: the noise of nearer ones is correlated."""
_FLAT = 0.2
"""Quantile of the blocks' variances: a fifth of a picture is taken to be flat."""
_USABLE = (0.02, 0.97)
"""Mean level of the blocks that count, white 1: others have lost their noise below black or above
white."""


class PictureNoise(NamedTuple):
    """Standard deviations after sRGB's curve, white 1."""

    level: float
    """Of the three colours. Too high where even the flattest fifth of a picture is textured."""
    difference: float
    """Of the differences of red and blue from green, by √2: texture is mostly grey, and adds little
    to it. Too low where the camera has blurred colours. Of a picture without colours that of the
    levels."""


def picture_noise(picture: NDArray[Any], amplification: float) -> PictureNoise:
    """The noise of a picture that is amplified.

    `picture` (H, W, 3) holds levels (integers) or linear light (floats) as stored. Zeros where it
    is smaller than a block.
    """
    stored = _blocks(picture)
    if not stored.size:
        return PictureNoise(0.0, 0.0)
    light = light_of(stored) if np.issubdtype(stored.dtype, np.integer) else stored
    blocks = srgb_curve(light * np.float32(amplification))
    mean = blocks.mean(axis=(1, 2, 3))
    usable = (mean > _USABLE[0]) & (mean < _USABLE[1])
    if usable.any():
        blocks = blocks[usable]
    level = _sigma(blocks)
    differences = (blocks[..., 0::2] - blocks[..., 1:2]) * np.float32(0.5**0.5)
    return PictureNoise(level, _sigma(differences) if differences.any() else level)


def _sigma(blocks: NDArray[Any]) -> float:
    """That of the flattest of blocks (N, `BLOCK`, `BLOCK`, C)."""
    down = np.square(blocks[:, _APART:] - blocks[:, :-_APART]).mean(axis=(1, 2, 3))
    across = np.square(blocks[:, :, _APART:] - blocks[:, :, :-_APART]).mean(axis=(1, 2, 3))
    return float(np.sqrt(np.quantile(down + across, _FLAT) / 4))


def _blocks(picture: NDArray[Any]) -> NDArray[Any]:
    """(N, `BLOCK`, `BLOCK`, 3) parts of a picture (H, W, 3), evenly spaced."""
    starts = []
    for size in picture.shape[:2]:
        count = size // BLOCK
        some = np.linspace(0, max(count - 1, 0), min(count, _MOST_BLOCKS))
        starts.append(BLOCK * some.astype(int))
    inside = np.arange(BLOCK)
    rows, columns = (start[:, None] + inside for start in starts)
    found: NDArray[Any] = picture[rows[:, None, :, None], columns[None, :, None, :]]
    return found.reshape(-1, BLOCK, BLOCK, picture.shape[-1])
