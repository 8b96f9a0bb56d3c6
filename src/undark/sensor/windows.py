"""Statistics that several modules need: over square windows, and robust deviations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Combine = Callable[..., Floats]
"""`np.maximum` or `np.minimum`."""


def box_sums(planes: NDArray[Any], side: int) -> NDArray[Any]:
    """(…, H, W) → (…, H - side + 1, W - side + 1): sums over the windows that lie inside."""
    height, width = (n - side + 1 for n in planes.shape[-2:])
    lines = planes[..., :height, :].copy()
    for step in range(1, side):
        lines += planes[..., step : step + height, :]
    sums = lines[..., :width].copy()
    for step in range(1, side):
        sums += lines[..., step : step + width]
    return sums


def box_means(planes: NDArray[Any], reach: int) -> NDArray[Any]:
    """(…, H, W) → (…, H, W): means over (2·reach + 1)² pixels; the border is repeated."""
    around = [(0, 0)] * (planes.ndim - 2) + [(reach, reach)] * 2
    side = 2 * reach + 1
    sums = box_sums(np.pad(planes, around, mode="edge"), side)
    sums *= planes.dtype.type(1 / side**2)
    return sums


def near_sums(plane: Floats) -> Floats:
    """(h, w): sums over those of the 5×5 pixels around each that are inside."""
    return np.asarray(box_sums(np.pad(plane, 2), 5))


def over_3x3(plane: Floats, combine: Combine) -> Floats:
    """Combine each pixel of (h, w) with the eight around it; the border is repeated."""
    height, width = plane.shape
    wide = width + 2
    # as one line of pixels, of which the two that are put around a row are cut off: a third faster
    flat = np.pad(plane, 1, mode="edge").ravel()
    lines = combine(flat[: -2 * wide], flat[wide:-wide])
    combine(lines, flat[2 * wide :], out=lines)
    found = np.empty_like(lines)
    combine(lines[:-2], lines[1:-1], out=found[:-2])
    combine(found[:-2], lines[2:], out=found[:-2])
    return found.reshape(height, wide)[:, :width]


def robust_sigma(
    deviations: NDArray[Any], axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> NDArray[Any]:
    """Standard deviation from the median size of the deviations; exact for Gaussian ones.

    Half of the values may be outliers.
    """
    middle: NDArray[Any] = np.median(np.abs(deviations), axis=axis, keepdims=keepdims)
    return 1.4826 * middle
