"""A normal deviate that is clipped from below: its variance and mean undone."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

MOST = 0.7
"""Largest share of clipped pixels from which variance and mean are still estimated."""


def unclip(variance: float, mean: float, share: float, floor: float) -> tuple[float, float]:
    """Variance and mean before clipping at `floor`, where a share of the pixels lies there.

    With α = (floor - mean)/sigma, Φ(α) = share; the clipped variable has the mean
    sigma·(αΦ + φ) and the second moment sigma²·((1 + α²)(1 - Φ) - αφ + α²Φ ...), tabulated here.
    """
    if share <= 0:
        return variance, mean
    shares, ratio, lift = _table()
    at = min(share, MOST)
    sigma = math.sqrt(variance / float(np.interp(at, shares, ratio)))
    return sigma**2, mean - sigma * float(np.interp(at, shares, lift))


@cache
def _table() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Share clipped → variance that is left, and how far the mean is raised, of sigma 1."""
    alpha = np.linspace(-4, 1.5, 221)
    below = np.array([0.5 * (1 + math.erf(a / math.sqrt(2))) for a in alpha])
    density = np.exp(-(alpha**2) / 2) / math.sqrt(2 * math.pi)
    mean = alpha * below + density
    second = alpha**2 * below + (1 - below) + alpha * density
    return below, second - mean**2, mean
