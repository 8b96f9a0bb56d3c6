"""The image pyramid of a registration: planes, their noise and their blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float32]

BLOCK = 32
"""Side of a block in pixels of the plane: large enough to measure a shift at an amplification of
300, small enough that a rotated frame moves all of a block by nearly the same shift."""
MARGIN = 2
"""Pixels around a block that interpolation and gradients read."""
_COARSEST = 256
"""Largest side of the coarsest plane in pixels: averaging reduces noise before correlation."""
_SATURATED = 0.95
"""Share of white from which a bright pixel is excluded: clipping hides the scene."""


@dataclass(frozen=True)
class Noise:
    """Noise variance of a pixel of the dark plane, in squared units of the plane:
    `slope` · signal + `variance_at_black`."""

    slope: float
    variance_at_black: float


@dataclass(frozen=True, eq=False)
class Level:
    """Both planes at one scale of the pyramid."""

    dark: Floats
    bright: Floats
    usable: NDArray[np.bool_]
    """Where neither a pixel nor its neighbourhood of `MARGIN` pixels is saturated."""
    noise: Noise
    scale: int
    """Pixels of the finest plane per pixel of this one, along a side."""
    shape: tuple[int, int]
    """(h, w) of the finest plane."""

    @property
    def side(self) -> int:
        """Side of a block in pixels of this plane: `BLOCK`, or less for small planes."""
        return int(min(BLOCK, min(self.dark.shape) // 32 * 16))

    @property
    def grid(self) -> tuple[int, int]:
        """Number of blocks in a column and in a row."""
        height, width = (n // self.side for n in self.dark.shape)
        return height, width

    @property
    def centres(self) -> NDArray[np.float64]:
        """(n, 2) block centres (x, y) relative to the frame's centre, in pixels of the finest."""
        rows, columns = ((np.arange(n) + 0.5) * self.side * self.scale for n in self.grid)
        y, x = np.meshgrid(rows - self.shape[0] / 2, columns - self.shape[1] / 2, indexing="ij")
        return np.stack([x.ravel(), y.ravel()], axis=1)

    @property
    def corners(self) -> NDArray[np.int_]:
        """(n, 2) top left pixels (x, y) of the blocks, in pixels of this plane."""
        rows, columns = (np.arange(n) * self.side for n in self.grid)
        y, x = np.meshgrid(rows, columns, indexing="ij")
        return np.stack([x.ravel(), y.ravel()], axis=1)


def pyramid(dark: Floats, bright: Floats, noise: Noise) -> Iterator[Level]:
    """Levels from fine to coarse; each has half the side of the level before."""
    usable = (bright < _SATURATED).astype(np.float32)
    shape, scale = (dark.shape[0], dark.shape[1]), 1
    while True:
        # a slight blur: the finest detail is aliased differently in the two photos
        smooth = blurred(bright)
        yield Level(blurred(dark), smooth, _eroded(usable > 0.99), noise, scale, shape)
        if max(dark.shape) <= _COARSEST or min(dark.shape) < 4 * BLOCK:
            return
        dark, bright, usable = (halved(plane) for plane in (dark, bright, usable))
        noise, scale = Noise(noise.slope / 4, noise.variance_at_black / 4), 2 * scale


def halved(plane: Floats) -> Floats:
    """Means of 2×2 pixels of (…, h, w); an odd last row or column is left out."""
    height, width = (n // 2 * 2 for n in plane.shape[-2:])
    rows: Floats = plane[..., :height:2, :width] + plane[..., 1:height:2, :width]
    return (rows[..., ::2] + rows[..., 1::2]) * np.float32(0.25)


def blurred(plane: Floats) -> Floats:
    """Filter (h, w) with the binomial kernel (1, 2, 1)/4 along both axes; borders replicated."""
    wide = np.pad(plane, 1, mode="edge")
    rows: Floats = wide[:-2] + 2 * wide[1:-1] + wide[2:]
    both: Floats = rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]
    return both * np.float32(1 / 16)


def _eroded(usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Exclude the pixels whose interpolation would read unusable pixels."""
    wide = np.pad(usable, MARGIN, mode="edge")
    size = 2 * MARGIN + 1
    rows = sliding_window_view(wide, size, axis=0).all(axis=-1)
    return np.asarray(sliding_window_view(rows, size, axis=1).all(axis=-1))


def blocks(plane: NDArray[Any], side: int) -> NDArray[Any]:
    """(h, w) → (n, side, side) in row order; an incomplete last row or column is left out."""
    rows, columns = (n // side for n in plane.shape)
    cut = plane[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return cut.swapaxes(1, 2).reshape(-1, side, side)


def patches(plane: NDArray[Any], corners: NDArray[np.int_], size: int) -> NDArray[Any]:
    """(n, size, size) of (h, w), from (n, 2) top left corners (x, y)."""
    found: NDArray[Any] = sliding_window_view(plane, (size, size))[corners[:, 1], corners[:, 0]]
    return found
