"""Resample by a fraction of a pixel: the one resampler of registration, pairs and bursts.

Catmull-Rom's cubic (Keys, "Cubic convolution interpolation for digital image processing", IEEE
TASSP 1981), rows, then columns; at places that differ from pixel to pixel bilinear (`Between`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Place = tuple[int, int, int, int]
"""Top, left, height, width."""
Shift = tuple[float, float]
"""Pixels down and right."""
TAPS = 2
"""Pixels beyond a crop that the interpolation reads."""


def starts(first: int, last: int, shift: float, side: int) -> range:
    """Starts of `side` pixels between `first` and `last` for which `moved` stays in the frame."""
    before, after = (TAPS if shift else 0) + max(-floor(shift), 0), max(floor(shift), 0)
    return range(first + before, last - side - after - (TAPS if shift else 0) + 1)


def overlap(shape: tuple[int, int], shift: Shift) -> Place | None:
    """The largest part of a frame (H, W) that another, moved by `shift`, covers; None if none."""
    tops, lefts = starts(0, shape[0], shift[0], 0), starts(0, shape[1], shift[1], 0)
    if min(len(tops), len(lefts)) < 2:
        return None
    return tops[0], lefts[0], tops[-1] - tops[0], lefts[-1] - lefts[0]


def moved(pixels: NDArray[Any], place: Place, shift: Shift) -> NDArray[np.float32]:
    """(height, width, …) float32: `pixels` (H, W, …) at `place` + `shift`, interpolated."""
    part = pixels
    for axis, by in enumerate(shift):
        whole_pixels = floor(by)
        start = place[axis] + whole_pixels
        part = _shifted(part, axis, start, place[2 + axis], by - whole_pixels)
    return np.asarray(part, np.float32)


def moved_patches(patch: NDArray[np.float32], shift: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, s, s) → (n, s-3, s-3): each patch at 1 + its own shift (x, y), (n, 2) in [0, 1)."""
    x, y = (np.stack(catmull_rom(s))[:, :, None, None] for s in shift.T)
    size = patch.shape[1] - 3
    rows = [y[i] * patch[:, i : i + size] for i in range(4)]
    down = rows[0] + rows[1] + rows[2] + rows[3]
    columns = [x[i] * down[:, :, i : i + size] for i in range(4)]
    across: NDArray[np.float32] = columns[0] + columns[1] + columns[2] + columns[3]
    return across


@dataclass(frozen=True, eq=False)
class Between:
    """Places between the pixels of a plane, each with the four pixels around it."""

    first: NDArray[np.intp]
    """Of the pixel above and left, in the flat plane."""
    width: int
    """Of the plane."""
    lower: NDArray[np.float32]
    """Share of the pixels below, 0 to 1."""
    later: NDArray[np.float32]
    """Share of the pixels to the right, 0 to 1."""

    @classmethod
    def of(cls, rows: NDArray[Any], columns: NDArray[Any], shape: tuple[int, int]) -> Self:
        """Of places in a plane of this shape, at least 2×2; outside it the nearest inside."""
        height, width = shape
        down, across = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
        top = np.minimum(down.astype(np.intp), height - 2)
        left = np.minimum(across.astype(np.intp), width - 2)
        lower, later = (down - top).astype(np.float32), (across - left).astype(np.float32)
        return cls(top * width + left, width, lower, later)

    def corners(
        self, flat: NDArray[Any], start: NDArray[np.intp] | int = 0
    ) -> list[NDArray[np.float32]]:
        """Values of the pixels around, above before below, left before right, of a plane that
        begins at `start` of a flat array."""
        at = self.first + start
        steps = (0, 1, self.width, self.width + 1)
        return [flat[at + step].astype(np.float32, copy=False) for step in steps]

    def between(self, corners: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Bilinear between values of the pixels around."""
        one, (top_left, top_right, low_left, low_right) = np.float32(1), corners
        above = top_left * (one - self.later) + top_right * self.later
        below = low_left * (one - self.later) + low_right * self.later
        found: NDArray[np.float32] = above * (one - self.lower) + below * self.lower
        return found

    def values(self, flat: NDArray[Any]) -> NDArray[np.float32]:
        """Bilinear between the values of a flat plane."""
        return self.between(self.corners(flat))


def _shifted(pixels: NDArray[Any], axis: int, start: int, size: int, by: float) -> NDArray[Any]:
    """`size` values along an axis, the first at `start` + `by`; 0 ≤ `by` < 1."""

    def run(first: int) -> NDArray[Any]:
        return pixels[(slice(None),) * axis + (slice(first, first + size),)]

    if not by:
        return run(start)
    weights = catmull_rom(by)
    parts = [
        np.float32(w) * run(start + tap) for tap, w in zip((-1, 0, 1, 2), weights, strict=True)
    ]
    return sum(parts[1:], start=parts[0])


def catmull_rom(t: Any) -> tuple[Any, Any, Any, Any]:
    """The weights of the pixels at -1, 0, 1 and 2 for a value at `t`.

    `t` is in [0, 1), a number or an array; the weights are of its kind.
    """
    return (
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    )
