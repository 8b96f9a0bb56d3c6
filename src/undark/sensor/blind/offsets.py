"""Offsets that all pixels of a row, or of a column, share."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from undark.cpus import in_threads
from undark.sensor.blind.bands import colourless_bands, narrow_bands, only_white
from undark.sensor.mosaic import Mosaic
from undark.sensor.offsets import MaskedLines
from undark.sensor.windows import robust_sigma

Floats = NDArray[np.float32]
Array64 = NDArray[np.float64]

_PARTS, _WIDTH = 8, 96
"""Parts of a row that are looked at, and pixels in each."""
_FEWEST_LINES, _FEWEST_PIXELS = 32, 8
"""Lines, and pixels of a part, below which nothing can be estimated."""
_LINES = 192
"""Lines over which the running median of those of one phase is the scene."""
_MEDIANS = 1000
"""Running medians that are computed of a profile; longer ones have straight lines between."""
_MISSED = 5.0
"""Share of their variance that independent offsets have left in the scene, times the lines of the
running median: 1.57 of a median, what the second one takes, and low frequencies."""
_APART = 3
"""Parts from one to another of those that are compared."""
_REACH = 4.0
"""Sigma from a part's median at which its pixels are cut: hot pixels."""
_SURE = 4.0
"""Standard errors that the variance is above 0 where the offsets count as found."""
_FARTHEST = 3.0
"""Standard deviations at which offsets are cut when their variance is measured: a few far larger
ones are the scene's."""
_LARGEST = 4.0
"""Standard deviations at which the offsets themselves are cut."""
_DRIFT = 3
"""Degrees of the polynomial over all lines that is not offsets: warmth, and light that leaks in."""
_ALIKE = 0.5
"""Share of the masked pixels' offsets that the frame has at least where it has the same."""


@dataclass(frozen=True, eq=False)
class Offsets:
    """Offsets of all rows or columns."""

    values: Floats | None
    """(n,) DN, each shrunk by its uncertainty; None where none were found."""
    sigma: float
    """Standard deviation of the offsets in the frame, DN."""
    left: float
    """Standard deviation of what is left after `values` have been subtracted, DN."""
    masked: bool = False
    """Whether masked pixels have a part in `values`."""


def row_offsets(mosaic: Mosaic, gain: float, at_black: float) -> Offsets:
    """Offsets of the rows of a frame whose pixels have these variances.

    Where there are masked pixels beside the rows, and the frame has the offsets that these have,
    they are taken off first.
    """
    parts = [mosaic.signal(columns=part) for part in _parts(mosaic.shape[1], mosaic.cfa.period)]
    masked = _masked(mosaic)
    lines = None if masked is None else (masked.means.rows[:, 0], masked.row_error)
    return _offsets(parts, mosaic.cfa.pattern, gain, at_black, lines)


def column_offsets(mosaic: Mosaic, gain: float, at_black: float) -> Offsets:
    """Offsets of the columns, as `row_offsets`."""
    parts = [mosaic.signal(rows=part).T for part in _parts(mosaic.shape[0], mosaic.cfa.period)]
    masked = _masked(mosaic)
    lines = None if masked is None else (masked.means.columns[0], masked.column_error)
    return _offsets(parts, mosaic.cfa.pattern.T, gain, at_black, lines)


def _masked(mosaic: Mosaic) -> MaskedLines | None:
    """What the masked pixels say beside the offsets that are known already."""
    if mosaic.masked is None or mosaic.offsets is None:
        return mosaic.masked
    return replace(mosaic.masked, means=mosaic.masked.means - mosaic.offsets)


def _parts(length: int, period: int) -> list[slice]:
    """Parts of whole periods, evenly spread over a line; none if it is too short."""
    size = min(length // _PARTS, _WIDTH) // period * period
    if size < max(_FEWEST_PIXELS, period):
        return []
    starts = np.linspace(0, length - size, _PARTS).astype(int) // period * period
    return [slice(int(s), int(s) + size) for s in starts]


def _offsets(
    parts: list[Floats],
    colours: NDArray[np.uint8],
    gain: float,
    at_black: float,
    masked: tuple[Floats, float] | None = None,
) -> Offsets:
    """What parts (n, w) of n lines have in common beside the scene.

    `colours` (period, period) are those of lines and of the pixels along them, `masked` means (n,)
    of masked pixels in the same lines, and their standard error.
    """
    period = len(colours)
    if not parts or len(parts[0]) < _FEWEST_LINES * period / 2:
        return Offsets(None, 0.0, 0.0)

    def without_scene(profile: Array64) -> Array64:
        return _without_scene(profile, period)

    by_colour = np.stack(in_threads(lambda part: _profiles(part, period, gain, at_black), parts))
    slow = colourless_bands(by_colour, colours)
    profiles = [*(by_colour.mean(axis=1) - slow)]
    beside = np.stack(in_threads(without_scene, profiles))
    waves = _narrow(beside, by_colour, colours)
    beside = beside - waves
    known = np.zeros_like(waves)
    if masked:
        known = _shared(masked[0] - slow - waves, masked[1], beside, period)
    if known.any():
        waves = waves + known
        beside = np.stack(in_threads(without_scene, [line - waves for line in profiles]))
    waves = waves + slow
    variance, error = _common_variance(_bends(beside, period))
    values, left = np.zeros(len(waves)), max(variance, 0.0) ** 0.5
    sure = variance > _SURE * error
    if sure:
        window = min(_LINES // period, beside.shape[1] // period)
        values, left = _most_likely(beside, variance, period, _MISSED / window)
    # of independent offsets, what is taken for drift
    left = math.hypot(left, (float(known.var()) * _DRIFT / len(known)) ** 0.5)
    total = (max(variance, 0.0) + float(waves.var())) ** 0.5
    if not sure and not waves.any():
        return Offsets(None, total, total)
    values = values + waves
    for phase in range(period):  # their mean is the black level's
        values[phase::period] -= values[phase::period].mean()
    return Offsets(values.astype(np.float32), total, left, bool(known.any()))


def _narrow(beside: Array64, by_colour: Array64, colours: NDArray[np.uint8]) -> Array64:
    """(n,) narrow bands in the lines of each phase by themselves.

    Of parts (P, n) without the scene; `by_colour` (P, period, n) says how their colours differ.
    """
    found, period = np.empty(beside.shape[1]), len(colours)
    profiles = beside[:, None] + by_colour - by_colour.mean(axis=1, keepdims=True)
    for phase in range(period):
        found[phase::period] = narrow_bands(profiles[..., phase::period], colours[phase])
    return found


def _shared(masked: Array64, error: float, beside: Array64, period: int) -> Array64:
    """(n,) offsets of masked pixels, shrunk by their error, that the frame's parts (P, n) have too.

    Zeros where the parts do not go with them: some cameras take offsets off the frame, but not off
    its border. What changes over the whole frame is not taken from the border: it may be warmer.
    """
    own = _without_drift(masked)
    mine = _without_scene(own, period)[None]
    for lines, parts in ((mine, beside), (_bends(mine, period), _bends(beside, period))):
        near = _near(lines)
        variance = float(np.square(near).mean()) - error**2
        if variance <= 0:
            continue
        slopes = (_near(parts) * near).mean(axis=1) / variance
        uncertainty = float(slopes.std()) / (len(slopes) - 1) ** 0.5
        if slopes.mean() > max(_SURE * uncertainty, _ALIKE):
            whole = max(float(np.square(_near(own[None])).mean()) - error**2, variance)
            return own * (whole / (whole + error**2))
    return np.zeros_like(own)


def _without_drift(lines: Array64) -> Array64:
    """(n,) less the polynomial of `_DRIFT` degrees that is next to it."""
    at = np.linspace(-1, 1, len(lines))
    beside: Array64 = lines - np.polynomial.Chebyshev.fit(at, lines, _DRIFT)(at)
    return beside


def _near(lines: Array64) -> Array64:
    """Of each of the parts (P, n), without far values."""
    reach = _FARTHEST * robust_sigma(lines, axis=1, keepdims=True)
    near: Array64 = np.clip(lines, -reach, reach)
    return near


def _bends(beside: Array64, period: int) -> Array64:
    """(P, n) each line against its two neighbours of one phase, of the offsets' own variance.

    The scene changes less between neighbours than over many lines; independent offsets do not.
    """
    bend = beside[:, period:-period] - (beside[:, : -2 * period] + beside[:, 2 * period :]) / 2
    own: Array64 = bend / 1.5**0.5
    return own


def _profiles(part: Floats, period: int, gain: float, at_black: float) -> Array64:
    """(period, n) mean level of each line of a part without hot pixels.

    Of the columns of each phase, of one colour in a line, by themselves.
    """
    means = []
    for phase in range(period):
        pixels = part[:, phase::period]
        middle = np.median(pixels, axis=1, keepdims=True)
        reach = np.float32(_REACH) * np.sqrt(gain * np.clip(middle, 0, None) + at_black)
        near = np.clip(pixels, middle - reach, middle + reach)
        means.append(near.mean(axis=1, dtype=np.float64))
    return np.stack(means)


def _without_scene(profile: Array64, period: int) -> Array64:
    """Each line against the running median of the lines of its phase, which keeps edges.

    The running median of a curved profile is biased: the remainder is subtracted the same way.
    """
    beside = np.empty_like(profile)
    for phase in range(period):
        line = profile[phase::period]
        half = min(_LINES // period, len(line) - 1) // 2
        line = line - _running_median(line, half, max(len(line) // _MEDIANS, 1))
        beside[phase::period] = line - _running_median(line, half, max(half // 8, 1))
    return beside


def _running_median(line: Array64, half: int, stride: int) -> Array64:
    """(n,) medians of `half` values on each side, every `stride` of them, straight lines between.

    Beyond the last whole window it goes on with the slope inside that window.
    """
    windows = sliding_window_view(line, 2 * half + 1)[::stride]
    medians = np.median(windows, axis=1)
    centres = half + stride * np.arange(len(windows))
    at = np.arange(len(line))
    running = np.interp(at, centres, medians)
    for window, centre, beyond in (
        (windows[0], centres[0], at < centres[0]),
        (windows[-1], centres[-1], at > centres[-1]),
    ):
        rise = np.median(window[half + 1 :]) - np.median(window[:half]) if half else 0.0
        running[beyond] += rise / (half + 1) * (at[beyond] - centre)
    return running


def _common_variance(beside: Array64) -> tuple[float, float]:
    """Of what distant ones of the parts (P, n) share, with its standard error.

    They have neither noise nor, mostly, the scene in common.
    """
    near = _near(beside)
    products = near @ near.T / near.shape[1]
    pairs = products[np.triu_indices(len(near), _APART)]
    own = float(np.median(np.diag(products)))
    chance = own / (near.shape[1] * len(pairs)) ** 0.5
    return float(np.median(pairs)), max(float(pairs.std()) / len(pairs) ** 0.5, chance)


def _most_likely(
    beside: Array64, variance: float, period: int, missed: float
) -> tuple[Array64, float]:
    """(n,) offsets shrunk towards 0 where the parts disagree, and what is left of them, DN.

    `missed` is the share of their variance that was taken for the scene.
    """
    count = len(beside)
    middle = np.median(beside, axis=0)
    scatter = robust_sigma(beside - middle, axis=0)
    usual = float(np.median(scatter))
    near = np.clip(beside, middle - 2 * usual, middle + 2 * usual)
    mean: Array64 = near.mean(axis=0)
    error = np.maximum(scatter, usual) ** 2 / count
    typical = float(np.median(error))
    lost = 0.0
    for phase in range(period):
        lines = slice(phase, None, period)
        mean[lines], taken = only_white(mean[lines], variance, typical)
        lost += taken / period
    shrunk = mean * variance / (variance + error)
    reach = _LARGEST * variance**0.5
    left = float(np.mean(variance * error / (variance + error)))
    return np.clip(shrunk, -reach, reach), (left + missed * variance + lost) ** 0.5
