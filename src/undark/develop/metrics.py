"""PSNR, SSIM, the brightness correction of RAW scores, and the error of colour in dark blocks.

PSNR and SSIM equal those of scikit-image 0.26 with its defaults to 1e-6 (`tests/test_metrics.py`),
computed in float64 with NumPy alone, so that they need no optional package.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from undark.cpus import in_threads
from undark.sensor.windows import box_sums

Plane = NDArray[np.float64]

WINDOW = 7
"""Side of SSIM's window, in pixels."""
BAND = 64
"""Rows worked on at a time: they fit a CPU cache."""
BLOCK = 16
"""Pixels of the side of a block whose mean is compared."""
DARKEST = 1 / 3
"""Share of the blocks that is the dark part of a picture."""
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

    total = sum(in_threads(work, range(0, height, BAND)))
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


def dark_block_errors(light: ArrayLike, truth: ArrayLike) -> Plane:
    """(blocks, C): errors of the mean of each block of a picture (H, W, C), in its dark part.

    Blocks are `BLOCK` pixels a side, those that do not fill one are left out; the `DARKEST` share
    of them counts, by the mean of the truth. What is left in such means is not noise of pixels but
    blotches and casts. Raises `ValueError` for pictures smaller than a block.
    """
    made, true = (block_means(picture) for picture in _pair(light, truth))
    errors: Plane = (made - true)[dark_part(true)]
    return errors


def dark_part(means: Plane) -> NDArray[np.bool_]:
    """(blocks,): which blocks, of means (blocks, C), are the `DARKEST` share."""
    level = means.mean(axis=1)
    dark: NDArray[np.bool_] = level <= np.quantile(level, DARKEST)
    return dark


def colour_error(errors: Plane) -> float:
    """Root mean square of errors (blocks, C) less each block's mean over the colours."""
    return float(np.sqrt(np.mean((errors - errors.mean(axis=1, keepdims=True)) ** 2)))


def block_means(picture: ArrayLike) -> Plane:
    """(H, W, C) → (blocks, C), row by row of blocks of `BLOCK` pixels a side.

    Raises `ValueError` for pictures smaller than a block.
    """
    light = np.asarray(picture, np.float64)
    if min(light.shape[:2]) < BLOCK:
        raise ValueError(f"no block of {BLOCK} pixels in a picture of {light.shape}")
    down, across = (n // BLOCK for n in light.shape[:2])
    cut = light[: down * BLOCK, : across * BLOCK]
    means: Plane = cut.reshape(down, BLOCK, across, BLOCK, -1).mean(axis=(1, 3))
    return means.reshape(down * across, -1)


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
    return box_sums(plane, WINDOW) / WINDOW**2
