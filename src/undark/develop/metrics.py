"""PSNR, SSIM and the brightness correction of RAW scores.

PSNR and SSIM equal those of scikit-image 0.26 with its defaults to 1e-6 (`tests/test_metrics.py`),
computed in float64 with NumPy alone, so that they need no optional package.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Plane = NDArray[np.float64]

WINDOW = 7
"""Side of SSIM's window, in pixels."""
BAND = 64
"""Rows worked on at a time: they fit a CPU cache."""
K1, K2 = 0.01, 0.03
"""SSIM's constants (Wang et al., "Image quality assessment", IEEE TIP 2004)."""


def psnr(a: ArrayLike, b: ArrayLike, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB of two arrays of the same shape; equal arrays give inf.

    `data_range` is the value of white: 1 for floats in [0, 1]. Nothing is clipped.
    """
    first, second = _pair(a, b)
    squares = sum(float(np.sum((p - q) ** 2)) for p, q in _bands(first, second))
    error = squares / first.size
    return 10 * math.log10(data_range**2 / error) if error else math.inf


def ssim(a: ArrayLike, b: ArrayLike, data_range: float = 1.0) -> float:
    """Structural similarity, at most 1, of two pictures (H, W) or (H, W, C): the mean of channels.

    Uniform windows of 7×7 inside the picture, sample covariances: after Wang et al. (IEEE TIP
    2004), as in scikit-image. Raises `ValueError` below 7×7 pixels.
    """
    first, second = _pair(a, b)
    if min(first.shape[:2]) < WINDOW:
        raise ValueError(f"SSIM needs at least {WINDOW}×{WINDOW} pixels, not {first.shape}")
    height = first.shape[0] - WINDOW + 1

    def work(top: int) -> float:
        rows = slice(top, min(top + BAND, height) + WINDOW - 1)
        return _band_sum(first[rows], second[rows], data_range)

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        total = sum(pool.map(work, range(0, height, BAND)))
    windows: int = height * (first.shape[1] - WINDOW + 1) * math.prod(first.shape[2:])
    return total / windows


def brightness_correction(p: ArrayLike, g: ArrayLike, data_range: float = 1.0) -> float:
    """The least-squares scale of a prediction `p` to the ground truth `g`: ⟨p,g⟩ / ⟨p,p⟩.

    Over the pixels where `g` is below `data_range`, with `p` clipped to [0, data_range], as Wei et
    al. score RAW pictures ("Physics-based noise modeling", TPAMI 2021). 1 for a black `p`.
    """
    common, energy = 0.0, 0.0
    for prediction, truth in _bands(*_pair(p, g)):
        unsaturated = truth < data_range
        prediction = np.clip(prediction[unsaturated], 0, data_range)
        common += float(prediction @ truth[unsaturated])
        energy += float(prediction @ prediction)
    return common / energy if energy else 1.0


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    first, second = np.asarray(a), np.asarray(b)
    if first.shape != second.shape:
        raise ValueError(f"pictures of different sizes: {first.shape} and {second.shape}")
    return first, second


def _bands(a: NDArray[Any], b: NDArray[Any]) -> Iterator[tuple[Plane, Plane]]:
    """Both pictures in bands of rows as float64, to bound memory."""
    for top in range(0, len(a), BAND):
        first, second = (np.asarray(p[top : top + BAND], np.float64) for p in (a, b))
        yield first, second


def _band_sum(a: NDArray[Any], b: NDArray[Any], data_range: float) -> float:
    """SSIM summed over the windows and channels of two bands, (h, W) or (h, W, C)."""
    # contiguous planes: sums over windows are faster
    first, second = (
        np.ascontiguousarray(np.moveaxis(np.atleast_3d(p), 2, 0), np.float64) for p in (a, b)
    )
    return sum(_plane_sum(x, y, data_range) for x, y in zip(first, second, strict=True))


def _plane_sum(a: Plane, b: Plane, data_range: float) -> float:
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    mean_a, mean_b = _window_mean(a), _window_mean(b)
    sample = WINDOW**2 / (WINDOW**2 - 1)  # sample covariance: n - 1 below
    variances = sample * (_window_mean(a * a + b * b) - mean_a**2 - mean_b**2)
    covariance = sample * (_window_mean(a * b) - mean_a * mean_b)
    light = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (variances + c2)
    return float(np.sum(light * structure))


def _window_mean(plane: Plane) -> Plane:
    """Mean of each window that lies inside: (H, W) → (H - 6, W - 6)."""
    height, width = (n - WINDOW + 1 for n in plane.shape)
    rows = plane[:height].copy()
    for offset in range(1, WINDOW):
        rows += plane[offset : offset + height]
    both = rows[:, :width].copy()
    for offset in range(1, WINDOW):
        both += rows[:, offset : offset + width]
    both /= WINDOW**2
    return both
