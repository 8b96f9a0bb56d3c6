"""Statistics that several modules need: sums over square windows, robust deviations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


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


def robust_sigma(
    deviations: NDArray[Any], axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> NDArray[Any]:
    """Standard deviation from the median size of the deviations; exact for Gaussian ones.

    Half of the values may be outliers.
    """
    middle: NDArray[Any] = np.median(np.abs(deviations), axis=axis, keepdims=keepdims)
    return 1.4826 * middle
