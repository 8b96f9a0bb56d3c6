"""The distribution of the read noise: Gaussian or Tukey-lambda, by their probability plots.

Filliben, "The probability plot correlation coefficient test for normality" (Technometrics 1975):
the shape whose quantiles are most nearly proportional to the sorted data fits best.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from undark.sensor.noise import tukey_std

Values = NDArray[np.float64]

QUANTILES = 2000
"""Points of a probability plot."""
_SHAPES = np.arange(-0.3, 0.301, 0.01)
_BETTER = 0.7
"""1 - correlation² of the Tukey-lambda fit, in the Gaussian's, from which it is preferred."""
_ORDER = (np.arange(QUANTILES) + 0.5) / QUANTILES


@dataclass(frozen=True, eq=False)
class Shape:
    """A fitted distribution of standard deviation 1."""

    tukey: float | None
    """Tukey-lambda shape; None: Gaussian, which fits as well."""
    best: float
    """The Tukey-lambda shape that fits best, also where the Gaussian is preferred."""
    gaussian_fit: float
    """Correlation of the probability plot with the Gaussian."""
    tukey_fit: float
    """The same with the best Tukey-lambda."""
    quantiles: Values
    """(QUANTILES,) of the data, in their own standard deviation: for the plot."""

    def expected(self) -> Values:
        """(QUANTILES,) of the fitted distribution."""
        return gaussian_quantiles() if self.tukey is None else tukey_quantiles(self.tukey)


def fit_shape(samples: Sequence[NDArray[np.float32]], step: float) -> Shape:
    """The distribution of residuals; the steps of the converter are spread out first."""
    values = np.concatenate([np.asarray(s, np.float64) for s in samples])
    values += np.random.default_rng(0).uniform(-step / 2, step / 2, values.shape)
    values.sort()
    data = values[(_ORDER * len(values)).astype(int)]
    correlations = [_correlation(data, tukey_quantiles(float(shape))) for shape in _SHAPES]
    best = int(np.argmax(correlations))
    gaussian = _correlation(data, gaussian_quantiles())
    heavy = 1 - correlations[best] ** 2 < _BETTER * (1 - gaussian**2)
    shape = float(round(_SHAPES[best], 2))
    spread = float(values.std()) or 1.0
    return Shape(shape if heavy else None, shape, gaussian, correlations[best], data / spread)


def gaussian_quantiles() -> Values:
    """(QUANTILES,) of the normal distribution."""
    normal = NormalDist()
    return np.array([normal.inv_cdf(p) for p in _ORDER])


def tukey_quantiles(shape: float) -> Values:
    """(QUANTILES,) of the Tukey-lambda distribution of standard deviation 1."""
    if abs(shape) < 1e-3:
        quantiles = np.log(_ORDER / (1 - _ORDER))
    else:
        quantiles = (_ORDER**shape - (1 - _ORDER) ** shape) / shape
    scaled: Values = quantiles / tukey_std(shape)
    return scaled


def unrounded_sigma(values: NDArray[np.float32], step: float) -> float:
    """Standard deviation of Gaussian noise before it was rounded to whole steps.

    Below half a step rounding takes noise away rather than adding step²/12: what it leaves
    depends on where between two steps the mean lies, so both are found together, from the mean
    and the variance of the rounded values. 0 where nothing is left.
    """
    mean, variance = float(values.mean(dtype=np.float64)), float(values.var(dtype=np.float64))
    offset = float(np.median(values)) % step  # black levels need not be whole numbers
    mean, variance = (mean - offset) / step, variance / step**2
    if variance == 0:
        return 0.0
    sigma = before = 0.5
    for _ in range(25):
        centre = _solve(partial(_rounded_mean, sigma=sigma), mean, mean - 1, mean + 1)
        sigma = _solve(partial(_rounded_variance, centre), variance, 0.01, 3.0)
        if abs(sigma - before) < 1e-3 * sigma:
            break
        before = sigma
    return sigma * step


def _rounded_mean(mean: float, sigma: float) -> float:
    return _rounded(mean, sigma)[0]


def _rounded_variance(mean: float, sigma: float) -> float:
    return _rounded(mean, sigma)[1]


def _rounded(mean: float, sigma: float) -> tuple[float, float]:
    """Mean and variance of a normal deviate rounded to whole numbers."""
    steps = np.arange(math.floor(mean - 8 * sigma) - 1, math.ceil(mean + 8 * sigma) + 2)
    normal = NormalDist(mean, sigma)
    below = np.array([normal.cdf(edge) for edge in (*(steps - 0.5), steps[-1] + 0.5)])
    share = np.diff(below)
    centre = float(share @ steps)
    return centre, float(share @ (steps - centre) ** 2)


def _solve(function: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """Where a function that rises is `wanted`, by bisection."""
    for _ in range(20):
        middle = (low + high) / 2
        if function(middle) < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _correlation(data: Values, quantiles: Values) -> float:
    if data[0] == data[-1]:
        return 0.0
    return float(np.corrcoef(data, quantiles)[0, 1])
