"""Estimate the noise of a photo from its own pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel

LEAST_GAIN = 3e-6
"""DN per electron as a share of the span: a full well of 330,000 electrons, more than any has."""
_BINS = 96
_FEWEST = 400
"""Differences in a bin; smaller frames get fewer bins."""
_MINIMUM = 30
"""Differences that tell a variance at all: to a quarter."""
_FEWEST_ROWS, _FEWEST_COLUMNS, _PARTS = 32, 4, 8
"""Rows, and columns in each of the parts of their width, that tell the rows' offsets."""
_COLUMNS = 1024
"""Columns that suffice for them."""
_CELLS = 1_000_000
"""Cells that suffice to compare black levels."""
_DARKEST = 0.1
"""Share of the cells, the darkest, in which black levels are compared."""


def estimate_noise(mosaic: Mosaic) -> NoiseModel:
    """Gain, read noise, row noise and black-level error from the photo's own pixels.

    The difference of diagonal neighbours at one position of the CFA's period holds shot and read
    noise and little else; its median size at each brightness gives sigma there (texture only
    reaches the largest differences), and variance = K·signal + read² is fitted through them (after
    Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for single-image
    raw-data", 2008). Offsets of rows and of positions cancel in it; they are estimated apart.
    """
    planes = _planes(mosaic)
    mean, difference = _quads(planes)
    lit = mean < 0.9 * mosaic.span
    level, variance, count = _variance_by_level(mean[lit], difference[lit])
    gain, at_black = LEAST_GAIN * mosaic.span, 1.0
    if len(level) == 1:  # a small frame
        at_black = float(variance[0])
    elif len(level):
        gain, at_black = _fit_line(level, variance, count)
    row = _row_variance(planes)
    pixel = gain * max(float(level[0]), 0.0) + at_black if len(level) else 0.0
    bias = _black_variance(planes, mosaic.cfa.pattern, pixel, row)
    read = max(at_black - 1 / 12, 0.1) ** 0.5
    return NoiseModel(max(gain, LEAST_GAIN * mosaic.span), read, row=row**0.5, bias=bias**0.5)


def _planes(mosaic: Mosaic) -> NDArray[np.float32]:
    """(period, period, h, w) in DN above black: a plane for each position of the CFA's period."""
    period = mosaic.cfa.period
    height, width = (n // period for n in mosaic.shape)
    signal = mosaic.signal()[: height * period, : width * period]
    blocks: NDArray[np.float32] = signal.reshape(height, period, width, period)
    return np.ascontiguousarray(blocks.transpose(1, 3, 0, 2))


def _quads(planes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean, and difference of diagonals (of a pixel's own sigma), of 2×2 pixels of each plane."""
    height, width = (n // 2 * 2 for n in planes.shape[2:])
    a, b = planes[:, :, :height:2, :width:2], planes[:, :, :height:2, 1:width:2]
    c, d = planes[:, :, 1:height:2, :width:2], planes[:, :, 1:height:2, 1:width:2]
    mean: NDArray[np.float32] = (a + b + c + d) / np.float32(4)
    difference: NDArray[np.float32] = (a - b - c + d) / np.float32(2)
    return mean.ravel(), difference.ravel()


def _variance_by_level(
    mean: NDArray[np.float32], difference: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Level, variance and number of differences in bins of equal number, dark to bright."""
    bins = np.array_split(np.argsort(mean), min(max(len(mean) // _FEWEST, 1), _BINS))
    bins = [b for b in bins if len(b) >= _MINIMUM]
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

    Each point is weighted by the precision of its variance. Fitted twice more without the points
    far above the line (texture).
    """
    keep = np.ones(len(level), bool)
    gain, variance_at_black = 1e-3, 1e-3
    for _ in range(3):
        weight = count[keep] / np.maximum(variance[keep], 1e-3) ** 2
        gain, variance_at_black = _weighted_line(level[keep], variance[keep], weight)
        predicted = gain * level + variance_at_black
        chosen = variance < 1.5 * np.maximum(predicted, 1e-3)
        keep = chosen if chosen.sum() >= 2 else keep
    darkest = float(variance[np.argmin(level)])
    return max(gain, 1e-3), max(variance_at_black, 0.05 * darkest, 1e-3)


def _weighted_line(
    x: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[float, float]:
    """Slope and value at 0 by weighted least squares; slope 0 where all x are the same."""
    share = weight / weight.sum()
    x_mean, y_mean = float(share @ x), float(share @ y)
    spread = float(share @ (x - x_mean) ** 2)
    slope = float(share @ ((x - x_mean) * (y - y_mean))) / spread if spread > 1e-6 else 0.0
    return slope, y_mean - slope * x_mean


def _row_variance(planes: NDArray[np.float32]) -> float:
    """Variance of the offset that the pixels of a row of the mosaic share.

    `planes` is (period, period, h, w). Each row is compared with its neighbours of the same
    colours, in parts of its width: what the parts have in common is the row's offset, since the
    noise of their pixels is independent and texture mostly is.
    """
    _, _, height, width = planes.shape
    if height < _FEWEST_ROWS or width < _PARTS * _FEWEST_COLUMNS:
        return 0.0
    planes = planes[..., :: -(-width // _COLUMNS)]  # enough of them
    bend = planes[:, :, 1:-1] - (planes[:, :, :-2] + planes[:, :, 2:]) / np.float32(2)
    parts = np.stack([np.median(p, axis=-1) for p in np.array_split(bend, _PARTS, axis=-1)])
    offsets = parts.mean(axis=2, dtype=np.float64).reshape(_PARTS, -1)  # over a row's colours
    reach = 3 * np.median(np.abs(offsets), axis=1, keepdims=True) / 0.6745
    offsets = np.clip(offsets, -reach, reach)  # edges in the scene
    products = offsets @ offsets.T / offsets.shape[1]
    common = float(np.median(products[np.triu_indices(_PARTS, 1)]))
    return max(common, 0.0) / 1.5  # of a - (b + c) / 2


def _black_variance(
    planes: NDArray[np.float32], colours: NDArray[np.uint8], pixel: float, row: float
) -> float:
    """Variance of the black level's error between positions of the CFA's period.

    From how far the positions of one colour (two greens, or all of X-Trans) lie apart in the
    darkest cells; `pixel` and `row` are the variances of a pixel and of a row's offset there.
    """
    if min(planes.shape[2:]) < 2 or planes[0, 0].size < _FEWEST:
        return 0.0
    step = max(1, int((planes[0, 0].size / _CELLS) ** 0.5))
    planes = planes[..., ::step, ::step]
    level = planes.mean(axis=(0, 1))
    dark = level <= np.quantile(level, _DARKEST)
    spacing = step * len(colours)
    same = [_levels(planes[colours == c], colours == c, dark, spacing) for c in np.unique(colours)]
    freedom = sum(len(s) - 1 for s in same)
    apart = sum(float(((s - s.mean()) ** 2).sum()) for s in same) / freedom
    rows = max(int(dark.any(axis=1).sum()), 1)
    return max(apart - pixel / int(dark.sum()) - row / rows, 0.0)


def _levels(
    planes: NDArray[np.float32], at: NDArray[np.bool_], dark: NDArray[np.bool_], spacing: int
) -> NDArray[np.float64]:
    """Mean level of each plane (n, h, w) of one colour in the dark cells, all at one place.

    `at` (period, period) marks their n positions: the slope of the light between them is removed.
    `spacing` is the distance between two cells in pixels of the mosaic.
    """
    down, across = np.gradient(planes.mean(axis=0))
    slope = np.array([g[dark].mean(dtype=np.float64) for g in (down, across)]) / spacing
    levels: NDArray[np.float64] = planes[:, dark].mean(axis=1, dtype=np.float64)
    return levels - np.argwhere(at) @ slope
