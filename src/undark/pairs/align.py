"""Laying a pair: the part of the bright photo that shows what the dark one does."""

from __future__ import annotations

from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.errors import UnsupportedError
from undark.pairs.table import Row

Place = tuple[int, int, int, int]
"""Top, left, height, width."""
TAPS = 2
"""Pixels beyond a crop that the interpolation looks at."""


def check_sizes(row: Row, dark: tuple[int, ...], bright: tuple[int, ...]) -> None:
    if dark != bright:
        raise UnsupportedError(
            f"{row.bright}: {bright[1]}×{bright[0]} pixels, but its dark photo {row.dark.name} has "
            f"{dark[1]}×{dark[0]}; take the pair out"
        )


def starts(first: int, last: int, shift: float, side: int) -> range:
    """Starts of `side` pixels between `first` and `last` that `moved` can follow."""
    before, after = (TAPS if shift else 0) + max(-floor(shift), 0), max(floor(shift), 0)
    return range(first + before, last - side - after - (TAPS if shift else 0) + 1)


def common(row: Row, shape: tuple[int, int]) -> Place:
    """The largest place of a dark photo (H, W) that its bright one, moved as the row says, covers.

    Raises `UnsupportedError` where there is none.
    """
    tops, lefts = starts(0, shape[0], row.align_dy, 0), starts(0, shape[1], row.align_dx, 0)
    if min(len(tops), len(lefts)) < 2:
        raise UnsupportedError(
            f"{row.dark}: no part of it is in {row.bright.name}, moved by {row.align_dx:g} and "
            f"{row.align_dy:g} pixels; take the pair out"
        )
    return tops[0], lefts[0], tops[-1] - tops[0], lefts[-1] - lefts[0]


def moved(bright: NDArray[Any], place: Place, row: Row) -> NDArray[np.float32]:
    """The part of the bright photo that shows what the dark one does at `place`.

    By fractions of a pixel with Catmull-Rom's cubic (Keys, 1981), rows, then columns.
    """
    top, left, height, width = place
    down, across = floor(row.align_dy), floor(row.align_dx)
    part = bright
    for axis, (start, size, whole, shift) in enumerate(
        ((top, height, down, row.align_dy), (left, width, across, row.align_dx))
    ):
        part = _shifted(part, axis, start + whole, size, shift - whole)
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
