"""Estimate the noise of a photo from its own pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from undark.sensor.cfa import pack
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel

_BINS = 96
_FEWEST = 400
"""Differences a bin needs to count."""
LEAST_GAIN = 3e-6
"""DN per electron as a share of the span: a full well of 330,000 electrons, more than any has."""


def estimate_noise(mosaic: Mosaic) -> NoiseModel:
    """Gain and read noise (rows and black included) from the photo's own pixels.

    The difference of diagonal neighbours of one colour holds noise and little else; its median
    size at each brightness gives sigma there (texture only reaches the largest differences), and
    variance = K·signal + read² is fitted through them (after Foi et al., "Practical
    Poissonian-Gaussian noise modeling and fitting for single-image raw-data", 2008).
    """
    inner = _whole_periods(mosaic)
    mean, difference = _quads(pack(inner.signal(), inner.cfa))
    lit = mean < 0.9 * mosaic.span
    level, variance, count = _variance_by_level(mean[lit], difference[lit])
    if len(level) < 2 or np.ptp(level) < 1:  # in DN: of one level no line can be drawn
        total = float(np.median(variance)) if len(variance) else 1.0
        return NoiseModel(LEAST_GAIN * mosaic.span, max(total, 0.1) ** 0.5)
    gain, still = _fit_line(level, variance, count)
    return NoiseModel(max(gain, LEAST_GAIN * mosaic.span), max(still - 1 / 12, 0.1) ** 0.5)


def _whole_periods(mosaic: Mosaic) -> Mosaic:
    """From the canonical phase on, so that packing copies nothing: copies differ by nothing."""
    period = mosaic.cfa.period
    top, left = (-s % period for s in mosaic.cfa.shift)
    height, width = (
        (n - first) // period * period for n, first in zip(mosaic.shape, (top, left), strict=True)
    )
    return mosaic.crop(top, left, height, width)


def _quads(planes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean, and difference of diagonals (of the pixels' own sigma), of 2×2 pixels of a plane."""
    height, width = (n // 2 * 2 for n in planes.shape[1:])
    a, b = planes[:, :height:2, :width:2], planes[:, :height:2, 1:width:2]
    c, d = planes[:, 1:height:2, :width:2], planes[:, 1:height:2, 1:width:2]
    mean: NDArray[np.float32] = (a + b + c + d) / np.float32(4)
    difference: NDArray[np.float32] = (a - b - c + d) / np.float32(2)
    return mean.ravel(), difference.ravel()


def _variance_by_level(
    mean: NDArray[np.float32], difference: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Level, variance and number of differences in bins of equal number, dark to bright."""
    order = np.argsort(mean)
    bins = [b for b in np.array_split(order, _BINS) if len(b) >= _FEWEST]
    level = np.array([mean[b].mean(dtype=np.float64) for b in bins])
    variance = np.array([_robust_variance(difference[b]) for b in bins])
    return level, variance, np.array([float(len(b)) for b in bins])


def _robust_variance(difference: NDArray[np.float32]) -> float:
    """Of a normal deviate, from the median size; steps of the converter are spread out first."""
    size = np.abs(difference.astype(np.float64))
    spread = size + np.random.default_rng(0).uniform(-0.25, 0.25, size.shape)
    return float((np.median(np.abs(spread)) / 0.6745) ** 2)


def _fit_line(
    level: NDArray[np.float64], variance: NDArray[np.float64], count: NDArray[np.float64]
) -> tuple[float, float]:
    """Gain and variance at black, both above 0, of the line through the points.

    Weighted by how well each variance is known, and fitted twice more with points far above the
    line (texture) left out.
    """
    keep = np.ones(len(level), bool)
    gain, still = 1e-3, 1e-3
    for _ in range(3):
        weight = np.sqrt(count[keep]) / np.maximum(variance[keep], 1e-3)
        gain, still = np.polyfit(level[keep], variance[keep], 1, w=weight)
        predicted = gain * level + still
        chosen = variance < 1.5 * np.maximum(predicted, 1e-3)
        keep = chosen if chosen.sum() >= 2 else keep
    darkest = float(variance[np.argmin(level)])
    return max(float(gain), 1e-3), max(float(still), 0.05 * darkest, 1e-3)
