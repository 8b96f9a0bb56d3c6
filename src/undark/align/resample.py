"""Resample a picture by a fraction of a pixel: the one resampler of pairs and bursts.

Catmull-Rom's cubic (Keys, "Cubic convolution interpolation for digital image processing", IEEE
TASSP 1981), rows, then columns.
"""

from __future__ import annotations

from math import floor
from typing import Any

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
    """(height, width, …) float32: `pixels` at `place` + `shift`, interpolated."""
    part = pixels
    for axis, by in enumerate(shift):
        whole = floor(by)
        part = _shifted(part, axis, place[axis] + whole, place[2 + axis], by - whole)
    return np.asarray(part, np.float32)


def _shifted(pixels: NDArray[Any], axis: int, start: int, size: int, by: float) -> NDArray[Any]:
    """`size` values along an axis from `start` + `by` on, 0 ≤ `by` < 1."""

    def run(first: int) -> NDArray[Any]:
        return pixels[(slice(None),) * axis + (slice(first, first + size),)]

    if not by:
        return run(start)
    weights = _cubic(by)
    parts = [
        np.float32(w) * run(start + tap) for tap, w in zip((-1, 0, 1, 2), weights, strict=True)
    ]
    return sum(parts[1:], start=parts[0])


def _cubic(t: float) -> tuple[float, float, float, float]:
    """Catmull-Rom's weights of the four pixels around a place `t` behind the second."""
    return (
        0.5 * (-t + 2 * t**2 - t**3),
        0.5 * (2 - 5 * t**2 + 3 * t**3),
        0.5 * (t + 4 * t**2 - 3 * t**3),
        0.5 * (-(t**2) + t**3),
    )
