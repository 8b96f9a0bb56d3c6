"""Gain by photon transfer: how the variance of evenly lit pixels grows with their mean.

variance = K · mean + variance at black (Janesick, "Photon Transfer", 2007). The difference of two
flats at equal settings holds their noise alone, whatever the lens shades; in a single flat the
differences of neighbours do, with the pixels' unequal sensitivity added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from undark.calibrate.survey import positions
from undark.sensor.mosaic import Mosaic

BLOCK = 16
"""Pixels of one position, a side, whose mean and variance make a point."""
_FREEDOM = BLOCK * (BLOCK - 1)
"""Independent differences in a block of which each row's mean is taken out."""
_BRIGHTEST = 0.8
"""Share of the span up to which blocks count: sensors are less linear near white."""
_OUTLIER = 5.0
"""Standard errors from the line beyond which a block is left out (dust, hot pixels, texture)."""

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Points:
    """Blocks of flats, or of dark frames."""

    mean: Values
    """DN above black."""
    variance: Values
    """DN²: of a pixel of one frame."""
    count: Values
    """Independent differences in a block."""
    position: NDArray[np.int64]
    """Number of the position in the CFA's period."""

    @classmethod
    def joined(cls, parts: list[Points]) -> Self:
        """All points of several."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("mean", "variance", "count", "position")
            )
        )

    def chosen(self, which: NDArray[np.bool_]) -> Points:
        """Some of them."""
        return Points(*(getattr(self, n)[which] for n in ("mean", "variance", "count", "position")))


@dataclass(frozen=True)
class Transfer:
    """The line through the points of one ISO."""

    gain: float
    """DN per electron."""
    error: float
    """Standard error of the gain, as a share of it."""
    at_black: float
    """Variance at black in DN²: measured in dark frames, or the line's own."""
    uneven: float
    """Standard deviation of the pixels' sensitivity, as a share; 0 where pairs cancel it."""
    by_position: tuple[float, ...]
    """The gain of each position of the CFA alone."""


def pair_points(first: Mosaic, second: Mosaic) -> Points:
    """Points of two flats (or dark frames) at equal settings, free of row noise.

    Lamps flicker: the second's light is scaled to the first's, and differences of whole rows,
    which a rolling shutter makes of it, are taken out.
    """
    parts = []
    limit = _BRIGHTEST * first.span
    both = zip(positions(first).values(), positions(second).values(), strict=True)
    for number, (one, other) in enumerate(both):
        a, b = _blocks(one), _blocks(other)
        means = float(a.mean(dtype=np.float64)), float(b.mean(dtype=np.float64))
        scale = means[0] / means[1] if min(means) > 0.01 * first.span else 1.0
        difference = (a - scale * b).astype(np.float64)
        difference -= difference.mean(axis=3, keepdims=True)
        squares = (difference**2).sum(axis=(2, 3)) / (1 + scale**2)
        mean = (a.mean(axis=(2, 3), dtype=np.float64) + scale * b.mean(axis=(2, 3))) / 2
        found = _points(mean, squares / _FREEDOM, _FREEDOM, number)
        parts.append(found.chosen(_below(a, b, limit)))
    return Points.joined(parts)


def single_points(mosaic: Mosaic) -> Points:
    """Points of one frame: diagonal differences of 2×2 pixels, free of slopes and of row noise."""
    parts = []
    limit = _BRIGHTEST * mosaic.span
    for number, plane in enumerate(positions(mosaic).values()):
        blocks = _blocks(plane)
        a, b = blocks[..., ::2, ::2], blocks[..., ::2, 1::2]
        c, d = blocks[..., 1::2, ::2], blocks[..., 1::2, 1::2]
        variance = ((a - b - c + d) / 2).astype(np.float64) ** 2
        mean = blocks.mean(axis=(2, 3), dtype=np.float64)
        found = _points(mean, variance.mean(axis=(2, 3)), BLOCK**2 // 4, number)
        parts.append(found.chosen(_below(blocks, blocks, limit)))
    return Points.joined(parts)


def typical_variance(points: Points) -> float:
    """The mean variance of dark blocks, those with hot pixels left out."""
    middle = float(np.median(points.variance))
    sure = points.variance <= middle * (1 + _OUTLIER * np.sqrt(2 / points.count)) + 1e-9
    return float(np.average(points.variance[sure], weights=points.count[sure]))


def fit_transfer(points: Points, at_black: float | None, single: bool) -> Transfer:
    """The gain, with the variance at black given (by dark frames) or fitted.

    Of `single` flats the variance also grows with the square of the mean (unequal sensitivity of
    the pixels), which is fitted where the means differ enough to measure it. Raises `ValueError`
    where there are too few points.
    """
    if len(points.mean) < 8:
        raise ValueError("too few blocks below saturation")
    powers = [1]
    wide = np.quantile(points.mean, 0.98) > 3 * np.quantile(points.mean, 0.02)
    if single and wide:
        powers.append(2)
    if at_black is None:
        powers.append(0)
    values, errors, kept = _fitted(points, at_black or 0.0, powers)
    known = dict(zip(powers, values.tolist(), strict=True))
    black = at_black if at_black is not None else max(known.get(0, 0.0), 0.0)
    gain = max(known[1], 1e-9)
    squared = max(known.get(2, 0.0), 0.0)
    used = points.chosen(kept)
    return Transfer(
        gain=gain,
        error=float(errors[0]) / gain,
        at_black=black,
        uneven=squared**0.5,
        by_position=_by_position(used, black, squared),
    )


def _fitted(
    points: Points, at_black: float, powers: list[int]
) -> tuple[Values, Values, NDArray[np.bool_]]:
    """Coefficients of the powers of the mean, their standard errors, and which points counted.

    Each point has the weight of the variance's own precision, 2·v²/n, by the fit, not by the
    point: a point that is low by chance must not count for more.
    """
    columns = np.stack([points.mean**power for power in powers], axis=1)
    target = points.variance - at_black
    expected = np.maximum(points.variance.mean(), 1e-6) * np.ones_like(target)
    keep = np.ones(len(target), bool)
    for _ in range(4):
        root = np.sqrt(points.count / 2) / expected
        values, *_ = np.linalg.lstsq(
            columns[keep] * root[keep, None], target[keep] * root[keep], rcond=None
        )
        expected = np.maximum(columns @ values + at_black, 1e-3 * points.variance.mean() + 1e-9)
        away = abs(points.variance - expected) * np.sqrt(points.count / 2) / expected
        keep = away < _OUTLIER if (away < _OUTLIER).sum() >= 8 else keep
    weighted = columns[keep] * (np.sqrt(points.count / 2) / expected)[keep, None]
    errors = np.sqrt(np.diag(np.linalg.pinv(weighted.T @ weighted)))
    return values, errors, keep


def _by_position(points: Points, at_black: float, squared: float) -> tuple[float, ...]:
    gains = []
    for number in np.unique(points.position):
        own = points.chosen(points.position == number)
        shot = own.variance - at_black - squared * own.mean**2
        weight = own.count / np.maximum(own.variance.mean(), 1e-9) ** 2
        gains.append(float((weight * shot * own.mean).sum() / (weight * own.mean**2).sum()))
    return tuple(gains)


def _points(mean: Values, variance: Values, count: int, position: int) -> Points:
    number = np.full(mean.size, position, np.int64)
    return Points(mean.ravel(), variance.ravel(), np.full(mean.size, float(count)), number)


def _blocks(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """(rows, columns, BLOCK, BLOCK): what does not fill a block at the ends is left out."""
    rows, columns = (n // BLOCK for n in plane.shape)
    cut = plane[: rows * BLOCK, : columns * BLOCK]
    return cut.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2)


def _below(a: NDArray[np.float32], b: NDArray[np.float32], limit: float) -> NDArray[np.bool_]:
    below: NDArray[np.bool_] = np.maximum(a.max(axis=(2, 3)), b.max(axis=(2, 3))) < limit
    return below.ravel()
