"""How far the file's black level is off at each position of the CFA's period."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_DARKEST = 0.1
"""Share of the places, the darkest, in which positions are compared."""
_SURE = 3.0
"""Standard errors from which on a difference counts."""
_FEWEST = 16
"""Places needed."""
_LOWEST = 0.02
"""Share of the places, the darkest, that tell whether light lies below black."""


def black_errors(
    level: NDArray[np.float64], pattern: NDArray[np.uint8], variance: float, pixels: int
) -> NDArray[np.float32]:
    """(period, period) DN by which the true black is above the file's.

    `level` (n, P) is the mean of `pixels` pixels at n places and each position, DN above black;
    `variance` a pixel's there. Two positions of one colour see the same light, so in the darkest
    places their difference is black's; what all positions of a colour share cannot be told from
    light, except that light is not below 0.
    """
    errors = np.zeros(level.shape[1])
    if len(level) < _FEWEST:
        return errors.reshape(pattern.shape).astype(np.float32)
    overall = level.mean(axis=1)
    dark = level[overall <= np.quantile(overall, _DARKEST)]
    colours = pattern.ravel()
    for colour in np.unique(colours):
        same = np.flatnonzero(colours == colour)
        if len(same) > 1:
            errors[same] += _between(dark[:, same], variance / pixels)
    for position in range(level.shape[1]):
        errors[position] += _below(level[:, position] - errors[position], variance / pixels)
    return errors.reshape(pattern.shape).astype(np.float32)


def _between(dark: NDArray[np.float64], variance: float) -> NDArray[np.float64]:
    """(k,) how far each of k positions of one colour is above their mean; 0 where not sure."""
    off = dark - dark.mean(axis=1, keepdims=True)
    middle = np.median(off, axis=0)
    scatter = 1.4826 * np.median(np.abs(off - middle), axis=0)
    error = 1.25 * np.maximum(scatter, variance**0.5) / len(dark) ** 0.5
    return np.where(np.abs(middle) > _SURE * error, middle - middle.mean(), 0.0)


def _below(level: NDArray[np.float64], variance: float) -> float:
    """How far the darkest places lie below black, beyond what noise explains; 0 or negative."""
    lowest = np.sort(level)[: max(int(_LOWEST * len(level)), _FEWEST)]
    expected = -2.4 * variance**0.5  # the mean of the lowest 2 % of normal deviates
    lower = float(np.median(lowest)) - expected
    return min(lower, 0.0)
