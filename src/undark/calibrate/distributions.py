"""The distribution of the read noise: Gaussian or Tukey-lambda, by their probability plots.

Filliben, "The probability plot correlation coefficient test for normality" (Technometrics 1975):
the shape whose quantiles are most nearly proportional to the sorted data fits best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
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
_SIGMAS = np.linspace(0.02, 1, 99)
"""In steps: `unrounded_sigma` looks between these."""
_BETWEEN = np.linspace(0, 1, 41)
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


def unrounded_sigma(means: Values, variances: Values, step: float) -> float:
    """Standard deviation of Gaussian noise before it was rounded to multiples of `step`.

    Below half a step rounding takes noise away rather than adding step²/12. What it leaves depends
    on where between two steps a mean lies, so `means` and `variances` are those of small blocks of
    the rounded values: the result is the sigma by which the blocks' variance, on average, is
    what is expected at their means. It is at most a step.
    """
    between, measured = (means / step) % 1, float(variances.mean()) / step**2
    expected = [float(np.interp(between, mean, var).mean()) for mean, var in _rounded_tables()]
    return step * float(np.interp(measured, np.maximum.accumulate(expected), _SIGMAS))


@cache
def _rounded_tables() -> tuple[tuple[Values, Values], ...]:
    """For each of `_SIGMAS`: mean and variance of rounded noise whose own mean goes from 0 to 1."""
    steps = np.arange(-8.0, 10.0)
    tables = []
    for sigma in _SIGMAS:
        normal = NormalDist(0, float(sigma))
        edges = np.append(steps - 0.5, steps[-1] + 0.5)
        below = np.array([[normal.cdf(edge - mean) for edge in edges] for mean in _BETWEEN])
        share = np.diff(below, axis=1)
        mean = share @ steps
        tables.append((mean, share @ steps**2 - mean**2))
    return tuple(tables)


def _correlation(data: Values, quantiles: Values) -> float:
    if data[0] == data[-1]:
        return 0.0
    return float(np.corrcoef(data, quantiles)[0, 1])
