"""Variance of the pixels at each brightness, from the flattest blocks, and the line through it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from undark.cpus import in_threads
from undark.sensor.blind.blocks import Floats, Haar
from undark.sensor.blind.clipped import MOST, unclip

_BINS, _FEWEST = 48, 40
"""Bins of brightness, and blocks in one; smaller frames have fewer bins."""
_FLATTEST = 0.25
"""Share of the blocks of a brightness that noise is taken from."""
_NOISE_ONLY = 1.15
"""Texture, in the noise of the flattest blocks, up to which blocks are used beside these."""
_TEXTURE_LIMIT = 2.5
"""Sigma at which a coefficient is cut before a block's texture is judged: one heavy tail or hot
pixel in a block is no texture, and leaving such blocks out would lose the tails of the noise."""
_IN_NOISE = 3.0
"""Standard errors from black within which a block's level is mostly its noise."""
_BURNT = 0.1
"""Share of a block at white that is more than hot pixels."""
_OUTLIER = 5.0
"""Sigma from which on a coefficient is a hot pixel's."""
_BETTER = 9.0
"""What a term for texture must take off chi squared, so that it is not fitted to chance."""

Array64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Points:
    """Variance at levels of brightness, DN² against DN above black."""

    level: Array64
    variance: Array64
    error: Array64
    """Relative standard error of the variance."""
    clipped: float
    """Share of all blocks that were left out because of clipping."""


@dataclass(frozen=True)
class Line:
    """variance = gain · level + at_black, with the texture's share taken off."""

    gain: float
    at_black: float
    covariance: tuple[tuple[float, float], tuple[float, float]]

    def variance(self, level: float) -> float:
        """DN² at DN above black."""
        return self.gain * max(level, 0.0) + self.at_black

    def error(self, level: float) -> float:
        """Relative standard error of sigma at a level."""
        x = np.array([max(level, 0.0), 1.0])
        of_variance = math.sqrt(max(float(x @ np.array(self.covariance) @ x), 0.0))
        return 0.5 * of_variance / max(self.variance(level), 1e-12)


def block_levels(coefficients: Haar, step: float) -> Array64:
    """(m,) mean of each block without hot pixels, DN; `step` is the converter's."""
    squares = coefficients.mean / 2
    if not squares.size:
        return np.zeros(len(squares))
    middle = np.median(squares, axis=1, keepdims=True)
    off = np.abs(squares - middle)
    # with coarse steps most squares may be alike
    reach = 6 * np.median(off, axis=1, keepdims=True) + 3 * np.median(off) + np.float32(step)
    kept = off <= reach
    return np.asarray((squares * kept).sum(axis=1, dtype=np.float64) / kept.sum(axis=1))


def variances(
    coefficients: Haar,
    level: Array64,
    low: NDArray[np.bool_] | None,
    floor: float,
    brightest: float,
) -> Points:
    """Variance in bins of brightness, from the flattest blocks of each.

    A block's texture is judged by all coefficients but the diagonal ones, and its variance taken
    from the diagonal ones: under white noise they are independent, so choosing has no bias. `low`
    (m, pixels) marks pixels that are clipped at `floor`, DN above black; blocks above
    `brightest` DN are left out.
    """
    burnt = (coefficients.mean / 2 > brightest).mean(axis=1) > _BURNT
    order = np.argsort(level)
    order = order[(level[order] < brightest) & ~burnt[order]]
    bins = _bins(coefficients, level, order)

    def point(chosen: NDArray[np.int_]) -> tuple[float, float, float] | None:
        """Level, variance and its relative error; None where too much is clipped."""
        share = 0.0 if low is None else float(low[chosen].mean())
        if share > MOST:
            return None
        variance, error, flattest = _of_bin(coefficients, chosen)
        mean = float(level[chosen[flattest]].mean())  # dark blocks have less noise: seem flatter
        variance, mean = unclip(variance, mean, share, floor)
        return mean, variance, error * (1 + 2 * share)

    found = in_threads(point, bins)
    lost = sum(len(chosen) for chosen, of_bin in zip(bins, found, strict=True) if not of_bin)
    points = np.array([of_bin for of_bin in found if of_bin], np.float64).reshape(-1, 3)
    return Points(points[:, 0], points[:, 1], points[:, 2], lost / max(len(order), 1))


def _bins(coefficients: Haar, level: Array64, order: NDArray[np.int_]) -> list[NDArray[np.int_]]:
    """Blocks, by brightness; `order` sorts them.

    Blocks whose level is within its own noise are not sorted by it: their bins would differ by
    chance alone, and the line through them would be too flat (errors in variables).
    """
    if not len(order):
        return []
    count = min(max(len(order) // _FEWEST, 1), _BINS)
    sigma = float(np.quantile(np.abs(coefficients.diagonal[order[: len(order) // 4 + 1]]), 0.683))
    pixels = 4 * coefficients.mean.shape[1]
    dark = int(np.searchsorted(level[order], _IN_NOISE * sigma / math.sqrt(pixels)))
    of_dark = round(count * dark / len(order))
    unsorted = np.array_split(np.sort(order[:dark]), of_dark) if of_dark else []
    rest = order[dark:] if of_dark else order
    return unsorted + (np.array_split(rest, max(count - of_dark, 1)) if len(rest) else [])


def _of_bin(coefficients: Haar, chosen: NDArray[np.int_]) -> tuple[float, float, NDArray[np.bool_]]:
    """Variance of the pixels of these blocks, its relative error, which blocks it is from.

    The error grows with the texture that even the flattest of the blocks have.
    """
    diagonal = coefficients.diagonal[chosen]
    sigma = max(float(np.quantile(np.abs(diagonal), 0.683)), 1e-3)
    for limit in (0.0, 0.0, _NOISE_ONLY):
        texture = _texture(coefficients, chosen, sigma)
        flattest = texture <= max(float(np.quantile(texture, _FLATTEST)), limit)
        flat = diagonal[flattest].astype(np.float64)
        near = np.abs(flat) <= _OUTLIER * max(sigma, 1e-3)
        variance = float((flat[near] ** 2).mean()) if near.any() else sigma**2
        sigma = max(math.sqrt(variance), 1e-3)
    textured = max(float(texture[flattest].mean()), 1.0)
    return variance, math.sqrt(2 / max(int(near.sum()), 1)) * textured, flattest


def _texture(coefficients: Haar, chosen: NDArray[np.int_], sigma: float) -> Floats:
    """(m,) mean square of the coefficients that are not diagonal, in sigma squared.

    An even slope of the light is no texture.
    """
    limit = np.float32(_TEXTURE_LIMIT * sigma)
    parts = (coefficients.mean, coefficients.across, coefficients.down)
    level, across, down = (part[chosen] for part in parts)
    flat = [part - part.mean(axis=1, keepdims=True) for part in (level, across, down)]
    flat[0] = _without_slope(flat[0])
    cut = [(np.clip(p, -limit, limit) ** 2).sum(axis=1) for p in flat]
    freedom = max(3 * level.shape[1] - 5, 1)
    total: Floats = (cut[0] + cut[1] + cut[2]) / np.float32(freedom * sigma**2)
    return total


def _without_slope(level: Floats) -> Floats:
    """(m, q) deviations of a square's values from their mean, without a linear slope."""
    side = math.isqrt(level.shape[1])
    if side < 2:
        return level
    at = np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
    for direction in (np.repeat(at, side), np.tile(at, side)):
        unit = direction / np.linalg.norm(direction)
        level = level - (level @ unit)[:, None] * unit
    return level


def _steepness(x: Array64, y: Array64) -> float:
    """Slope between the darker and the brighter half of the range, unweighted."""
    bright = x > (x.min() + x.max()) / 2
    apart = float(x[bright].mean() - x[~bright].mean()) if bright.any() else 0.0
    return max(float(y[bright].mean() - y[~bright].mean()) / apart, 0.0) if apart > 0 else 0.0


def fit_line(points: Points, least_gain: float, least: float, black_error: float = 0.0) -> Line:
    """The line through the points, weighted by their precision; `least` is at black, DN².

    `black_error` is the error of the points' levels in DN: that of the black level at each position
    of the CFA.

    Reflecting texture grows with the light, so its variance grows with the light's square: such a
    term is fitted beside the line and left out of it where it is needed.
    """
    if not len(points.level):
        return Line(least_gain, max(1.0, least), ((0.0, 0.0), (0.0, 1.0)))
    x = np.maximum(points.level, 0)
    predicted, slope = points.variance, _steepness(x, points.variance)
    kept = np.ones(len(x), bool)
    for _ in range(4):
        # of the variance itself, and by the level's error
        error = np.hypot(points.error * np.maximum(predicted, least), slope * black_error)
        weight = kept / np.maximum(error, 1e-6)
        terms, chi = _best(x, points.variance, weight)
        predicted = terms[0] + terms[1] * x + terms[2] * x**2
        slope = terms[1]
        scatter = math.sqrt(max(chi / max(kept.sum() - 2, 1), 1.0))
        trusted = points.variance - predicted < 4 * scatter * error
        kept = trusted if trusted.sum() >= max(len(x) // 2, 1) else kept
    design = np.stack([x, np.ones_like(x)], axis=1) * weight[:, None]
    inverse = np.linalg.pinv(design.T @ design) * scatter**2
    covariance = ((inverse[0, 0], inverse[0, 1]), (inverse[1, 0], inverse[1, 1]))
    return Line(max(float(terms[1]), least_gain), max(float(terms[0]), least), covariance)


def _best(x: Array64, y: Array64, weight: Array64) -> tuple[Array64, float]:
    """Constant, slope and curvature, none negative, and chi squared.

    Curvature only where it improves the fit by more than chance.
    """
    powers = np.stack([np.ones_like(x), x, x**2], axis=1)
    best: tuple[Array64, float] | None = None
    for last in (2, 3):
        fits = [
            fit
            for size in range(1, last + 1)
            for columns in combinations(range(last), size)
            if (fit := _non_negative(powers, columns, y, weight)) is not None
        ]
        found = min(fits, key=lambda fit: fit[1], default=None)
        scatter = max(found[1] / max((weight > 0).sum() - last, 1), 1.0) if found else 1.0
        if found and (best is None or found[1] < best[1] - _BETTER * scatter):
            best = found
    return best or (np.array([float(np.median(y)), 0.0, 0.0]), 0.0)


def _non_negative(
    powers: Array64, columns: tuple[int, ...], y: Array64, weight: Array64
) -> tuple[Array64, float] | None:
    """Least squares by some powers; None where a term is negative."""
    chosen = powers[:, list(columns)]
    scale = np.maximum(np.abs(chosen * weight[:, None]).max(axis=0), 1e-12)
    found = np.linalg.lstsq(chosen * weight[:, None] / scale, y * weight, rcond=None)[0] / scale
    if (found < 0).any():
        return None
    terms = np.zeros(3)
    terms[list(columns)] = found
    return terms, float(((powers @ terms - y) ** 2 * weight**2).sum())
