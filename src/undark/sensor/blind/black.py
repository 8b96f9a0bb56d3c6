"""How far the file's black level is off at each position of the CFA's period."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undark.sensor.windows import robust_sigma

_SURE = 3.0
"""Standard errors from which on a difference counts."""
_FEWEST = 16
"""Places needed."""
_BINS = 12
"""Bins of brightness in which positions are compared."""
_SPREAD = 0.3
"""Share of the mean level that levels must differ by, so that a line may be followed to 0."""
_FAINT = 1.0
"""Offsets' variance, in that of a level, up to which differences may be said to grow with light."""
_LOWEST = 0.02
"""Share of the places, the darkest, by which light below black is detected."""

Array64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Black:
    """The black level's error, estimated from the frame."""

    errors: NDArray[np.float32]
    """(period, period) DN by which the true black is above the file's; 0 where not sure."""
    variance: float
    """Of such errors between positions of one colour, DN²."""
    left: float
    """Variance of the part that `errors` leaves out, DN²: of a colour's positions the mean is not
    known, and of positions without another of their colour nothing."""


def find_black(
    level: Array64,
    pattern: NDArray[np.uint8],
    at: NDArray[np.float64],
    variance: float,
    stripes: float,
) -> Black:
    """From the mean `level` (n, P) at n places and each position, DN above the file's black.

    Two positions of one colour get the same light, so their difference at zero light is the black
    level's. An error that all positions of a colour share looks like light, except that light is
    not below 0. `at` (n, 2) are the places in pixels, `variance` that of a level by its
    pixels' noise, `stripes` the standard deviation of what is left of the offsets of lines. These
    neighbouring places share, so by chance they go with the light of a part of the frame.
    """
    errors, count = np.zeros(level.shape[1]), 0
    if len(level) < _FEWEST:
        return Black(errors.reshape(pattern.shape).astype(np.float32), 0.0, 0.0)
    colours, total, missed = pattern.ravel(), 0.0, 0.0
    tilt = stripes**2 < _FAINT * variance
    slope = _slope(level.mean(axis=1), at)
    where = np.argwhere(np.ones(pattern.shape, bool))
    for colour in np.unique(colours):
        same = np.flatnonzero(colours == colour)
        if len(same) < 2:
            continue
        off, error = _between(level[:, same] - where[same] @ slope, variance, tilt)
        errors[same] = np.where(np.abs(off) > _SURE * error, off, 0.0)
        total += float((off**2 - error**2).sum()) * len(same) / (len(same) - 1)
        missed += float((error**2).sum())
        count += len(same)
    of_colours = errors.copy()
    for colour in np.unique(colours):
        same = np.flatnonzero(colours == colour)
        one = (level[:, same] - errors[same]).mean(axis=1)
        errors[same] += _below(one, variance / len(same) + stripes**2)
    shared = float(((errors - of_colours) ** 2).mean())
    spread = max(total / max(count, 1), 0.0)
    means = len(np.unique(colours)) / len(colours)  # of k positions it has a k-th of the variance
    return Black(
        errors.reshape(pattern.shape).astype(np.float32),
        spread + shared,
        missed / max(count, 1) + means * spread,
    )


def _slope(level: Array64, at: Array64) -> Array64:
    """(2,) DN a pixel down and across: between positions, that is light."""
    design = np.column_stack([at, np.ones(len(at))])
    return np.asarray(np.linalg.lstsq(design, level, rcond=None)[0][:2], np.float64)


def _between(level: Array64, variance: float, tilt: bool) -> tuple[Array64, Array64]:
    """(k,) how far each of k positions is above their mean without light, and standard errors.

    The greens of real sensors differ by a share of the light too: a line is fitted over
    brightness, through medians.
    """
    off = level - level.mean(axis=1, keepdims=True)
    overall = level.mean(axis=1)
    bins = np.array_split(np.argsort(overall), min(_BINS, max(len(level) // _FEWEST, 1)))
    x = np.array([overall[b].mean() for b in bins])
    y = np.array([_middle(off[b]) for b in bins])
    scatter = np.array([[max(s, variance) for s in _scatter(off[b])] for b in bins])
    error = (scatter / np.array([len(b) for b in bins])[:, None]) ** 0.5
    # over the whole frame alike: what is left of the offsets of lines averages out
    plain = _middle(off), (np.maximum(_scatter(off), variance) / len(off)) ** 0.5
    if not tilt or len(bins) < 4:
        return plain
    mean, mean_error = _weighted(y, error)
    share = (1 / error**2) / (1 / error**2).sum(axis=0)
    middle = (share * x[:, None]).sum(axis=0)
    away = x[:, None] - middle
    spread = np.maximum((share * away**2).sum(axis=0), 1e-12)
    steepness = (share * away * y).sum(axis=0) / spread
    steep_error = mean_error / spread**0.5
    tilted = (np.abs(steepness) > _SURE * steep_error) & (spread > (_SPREAD * middle) ** 2)
    return (
        np.where(tilted, mean - steepness * middle, plain[0]),
        np.where(tilted, np.hypot(mean_error, steep_error * middle), plain[1]),
    )


def _middle(off: Array64) -> Array64:
    """(k,) mean without far values: hot pixels and edges."""
    middle = np.median(off, axis=0)
    reach = 3 * np.sqrt(_scatter(off)) + 1e-9
    near: Array64 = np.clip(off, middle - reach, middle + reach).mean(axis=0)
    return near


def _scatter(off: Array64) -> Array64:
    """(k,) variance, from the median size."""
    spread: Array64 = robust_sigma(off - np.median(off, axis=0), axis=0) ** 2
    return spread


def _weighted(y: Array64, error: Array64) -> tuple[Array64, Array64]:
    weight = 1 / error**2
    return (weight * y).sum(axis=0) / weight.sum(axis=0), weight.sum(axis=0) ** -0.5


def _below(level: Array64, variance: float) -> float:
    """How far the darkest places lie below black, beyond what noise explains; 0 or negative."""
    lowest = np.sort(level)[: max(int(_LOWEST * len(level)), _FEWEST)]
    expected = -2.4 * variance**0.5  # the mean of the lowest 2 % of normal deviates
    lower: float = float(np.median(lowest)) - expected
    return min(lower, 0.0)
