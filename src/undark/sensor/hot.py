"""Find and mend hot and dead pixels of a mosaic, and leave stars alone.

A star is at least as wide as the lens draws it and shines in all colours, so it also lights the
pixels beside its brightest one, which see other colours. A hot pixel is one pixel of the sensor:
those beside it are at the background, within the noise. For each pixel that stands out, the two
explanations are compared by how far they leave its eight neighbours from what they predict.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from undark.sensor.cfa import CFA, extend
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel

_STANDS_OUT = 4.5
"""Standard deviations that a pixel is off the background before it is looked at."""
_SCREEN = 3.0
"""The same against its nearest neighbours of the same colour, in the first, coarse selection."""
_AROUND = 12
"""Pixels of each colour outside the 3x3 neighbours that tell the background of that colour."""
_PRICE = 12.0
"""Misfit, in variances, at which a neighbour is rather taken for a hot pixel too: about
2·ln(1/density) for 0.3 % of hot pixels."""
_MARGIN = 1.0
"""By how much the misfit as a star must exceed that as a hot pixel."""
_TOLERANCE = 0.2
"""Relative error of a star's predicted neighbour: real stars are no exact Gaussians."""
_WIDTHS = (1.2, 1.6, 2.2, 3.0)
"""Stars' full widths at half maximum that are tried, in pixels."""
_PLACES = (-0.4, 0.0, 0.4)
"""Their centres, in pixels from that of the brightest pixel, down and across."""
_TINTS = ((1.0, 1.0, 1.0), (1.5, 1.0, 0.6), (0.7, 1.0, 1.4))
"""Their colours (R, G, B) after white balance."""
_PASSES = 3
"""Each mends the brightest of adjacent hot pixels."""
_CHUNK = 1 << 13
"""Pixels that are decided at once."""
_BAND = 128
"""Rows that are screened at once, about: a multiple of the CFA's period is taken."""

_NEIGHBOURS = tuple(at for at in product((-1, 0, 1), repeat=2) if at != (0, 0))


@dataclass(frozen=True, eq=False)
class Mended:
    """A mosaic without its hot and dead pixels."""

    mosaic: Mosaic
    pixels: NDArray[np.intp]
    """Flat positions in the frame of the pixels that were replaced, ascending."""

    @property
    def count(self) -> int:
        """How many pixels were replaced."""
        return len(self.pixels)


def mend(mosaic: Mosaic, noise: NoiseModel) -> Mended:
    """Replace hot and dead pixels by their nearest neighbours of the same colour.

    `noise` is that of the mosaic, its parameters numbers. The mean of the middle two of four
    neighbours is put in. Frames smaller than two periods of the CFA are returned as they are.
    """
    if min(mosaic.shape) < 2 * mosaic.cfa.period:
        return Mended(mosaic, np.empty(0, np.intp))
    frame = _Frame(mosaic, noise)
    left = frame.screen()
    found = []
    for _ in range(_PASSES):
        defective = frame.judge(left)
        if not defective.any():
            break
        found.append(left[defective])
        frame.replace(found[-1])
        left = left[~defective]
    pixels = np.sort(frame.positions(np.concatenate(found) if found else left[:0]))
    return Mended(mosaic.replace(plane=frame.inner()) if len(pixels) else mosaic, pixels)


class _Frame:
    """A mosaic with a border, in flat positions, and what is known of each phase of its CFA."""

    def __init__(self, mosaic: Mosaic, noise: NoiseModel) -> None:
        self._cfa, self._noise, self._shape = mosaic.cfa, noise, mosaic.shape
        self._black, self._balance = mosaic.black, tuple(mosaic.white_balance.tolist())
        self._border = 6  # holds the CFA's period twice or once, and all offsets of a `_Phase`
        border = (self._border, self._border)
        self._plane = np.ascontiguousarray(extend(mosaic.plane, border, border, mosaic.cfa.period))
        self._width = self._plane.shape[1]

    def inner(self) -> NDArray[np.uint16]:
        """(H, W): the frame as it is now."""
        height, width = self._shape
        return self._plane[self._border :, self._border :][:height, :width].copy()

    def positions(self, flat: NDArray[np.intp]) -> NDArray[np.intp]:
        """Flat positions with the border → those in the frame itself."""
        y, x = np.divmod(flat, self._width)
        positions: NDArray[np.intp] = (y - self._border) * self._shape[1] + x - self._border
        return positions

    def screen(self) -> NDArray[np.intp]:
        """Pixels that differ from the middle two of four neighbours by much more than those do."""
        period = self._cfa.period
        rows = -(-_BAND // period) * period
        found = [
            self._screen_band(top, min(top + rows, self._shape[0]), phase)
            for top in range(0, self._shape[0], rows)
            for phase in product(range(period), repeat=2)
        ]
        return np.concatenate(found)

    def _screen_band(self, top: int, bottom: int, phase: tuple[int, int]) -> NDArray[np.intp]:
        period, border = self._cfa.period, self._border
        y, x = top + phase[0] + border, phase[1] + border
        ends = bottom + border, self._shape[1] + border

        def seen(dy: int, dx: int) -> NDArray[np.float32]:
            part = self._plane[y + dy : ends[0] + dy : period, x + dx : ends[1] + dx : period]
            return part.astype(np.float32)

        centre = seen(0, 0)
        low, high = _middle_two(*(seen(*at) for at in _nearest(self._cfa, phase)))
        off = np.maximum(centre - high, low - centre)
        level = low - np.float32(self._black[phase])
        variance = np.float32(self._noise.gain) * np.maximum(level, 0) + self._at_black
        stands_out = (off > high - low) & (off > 0)
        stands_out &= off * off > np.float32(_SCREEN**2) * variance
        rows, columns = np.nonzero(stands_out)
        return (rows * period + y) * self._width + columns * period + x

    @property
    def _at_black(self) -> np.float32:
        return np.float32(self._noise.variance(np.float32(0)))

    def judge(self, flat: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of these pixels are hot or dead."""
        defective = np.zeros(len(flat), np.bool_)
        for phase, members in self._by_phase(flat):
            for start in range(0, len(members), _CHUNK):
                some = members[start : start + _CHUNK]
                defective[some] = self._judge_phase(flat[some], phase)
        return defective

    def _by_phase(
        self, flat: NDArray[np.intp]
    ) -> list[tuple[tuple[int, int], NDArray[np.intp]]]:
        """Phase of the CFA → which of these pixels have it."""
        period = self._cfa.period
        y, x = np.divmod(flat, self._width)
        number = (y - self._border) % period * period + (x - self._border) % period
        order = np.argsort(number, kind="stable")
        bounds = np.searchsorted(number[order], np.arange(period**2 + 1))
        phases = product(range(period), repeat=2)
        return [(p, order[bounds[i] : bounds[i + 1]]) for i, p in enumerate(phases)]

    def _gather(
        self, flat: NDArray[np.intp], phase: tuple[int, int], offsets: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        """(n, k): DN above black at offsets (k, 2) from each of these pixels."""
        where = offsets[:, 0] * self._width + offsets[:, 1]
        at = (np.array(phase) + offsets) % self._cfa.period
        values = self._plane.ravel()[flat[:, None] + where].astype(np.float32)
        return values - self._black[at[:, 0], at[:, 1]]

    def _judge_phase(self, flat: NDArray[np.intp], phase: tuple[int, int]) -> NDArray[np.bool_]:
        near = np.array(((0, 0), *_NEIGHBOURS))
        colours = [_colour(self._cfa, phase, at) for at in near]
        level, variance = self._background(flat, phase)
        off = self._gather(flat, phase, near) - level[:, colours]
        variance = variance[:, colours]
        sign = np.where(off[:, :1] < 0, np.float32(-1), np.float32(1))
        off *= sign
        deviations = off / np.sqrt(variance)
        most = deviations[:, 0]
        chosen = (most > _STANDS_OUT) & (most >= deviations[:, 1:].max(axis=1))
        stars = _stars(self._cfa, phase, self._balance)
        gain = np.where(sign > 0, np.float32(self._noise.gain), 0)  # of a dark spot: none
        defective = np.zeros(len(flat), np.bool_)
        defective[chosen] = _is_one_pixel(
            off[chosen], variance[chosen], gain[chosen], stars
        )
        return defective

    def _background(
        self, flat: NDArray[np.intp], phase: tuple[int, int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Level (n, 3) of each colour around each pixel in DN, and a pixel's variance there.

        Where the scene itself varies more than the noise does, that counts as variance.
        """
        around = np.sort(self._gather(flat, phase, _around(self._cfa, phase)).reshape(-1, 3, _AROUND))
        half, quarter = _AROUND // 2, _AROUND // 4
        level = (around[..., half - 1] + around[..., half]) / 2
        spread = (around[..., -quarter - 1] - around[..., quarter]) / np.float32(1.2)
        expected = np.float32(self._noise.gain) * np.maximum(level, 0) + self._at_black
        return level, expected + np.maximum(spread * spread - 2 * expected, 0)

    def replace(self, flat: NDArray[np.intp]) -> None:
        """Put the mean of the middle two of four neighbours in the place of these pixels."""
        plane = self._plane.ravel()
        new = np.empty(len(flat), np.uint16)
        for phase, members in self._by_phase(flat):
            where = [dy * self._width + dx for dy, dx in _nearest(self._cfa, phase)]
            low, high = _middle_two(*(plane[flat[members] + w].astype(np.float32) for w in where))
            new[members] = np.rint((low + high) / 2)
        plane[flat] = new


def _is_one_pixel(
    off: NDArray[np.float32],
    variance: NDArray[np.float32],
    gain: NDArray[np.float32],
    stars: NDArray[np.float32],
) -> NDArray[np.bool_]:
    """Whether neighbours (n, 1 + 8) off the background fit a defect better than any star."""
    peak, beside, variance = off[:, :1], off[:, 1:], variance[:, 1:]
    alone = np.minimum(beside**2 / variance, np.float32(_PRICE)).sum(axis=1)
    likely = np.zeros(len(off), np.float32)
    for star in stars:
        light = peak * star
        unsure = variance + gain * light + (np.float32(_TOLERANCE) * light) ** 2
        misfit = np.minimum((beside - light) ** 2 / unsure, np.float32(_PRICE)).sum(axis=1)
        likely += np.exp((alone - misfit) / 2)
    return likely < np.float32(len(stars) * _MARGIN)


def _middle_two(
    a: NDArray[np.float32], b: NDArray[np.float32], c: NDArray[np.float32], d: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The second and third of four values by size."""
    first, second = np.minimum(a, b), np.maximum(a, b)
    third, fourth = np.minimum(c, d), np.maximum(c, d)
    one, other = np.maximum(first, third), np.minimum(second, fourth)
    return np.minimum(one, other), np.maximum(one, other)


def _colour(cfa: CFA, phase: tuple[int, int], offset: NDArray[np.intp] | tuple[int, int]) -> int:
    return cfa.rows[(phase[0] + offset[0]) % cfa.period][(phase[1] + offset[1]) % cfa.period]


@cache
def _by_distance(cfa: CFA, phase: tuple[int, int], colour: int) -> list[tuple[int, int]]:
    """Offsets of up to 6 pixels to pixels of a colour, the nearest first."""
    reach = [at for at in product(range(-6, 7), repeat=2) if _colour(cfa, phase, at) == colour]
    return sorted(reach, key=lambda at: at[0] ** 2 + at[1] ** 2)


@cache
def _nearest(cfa: CFA, phase: tuple[int, int]) -> list[tuple[int, int]]:
    """Offsets of the four nearest neighbours of the same colour."""
    return _by_distance(cfa, phase, _colour(cfa, phase, (0, 0)))[1:5]


@cache
def _around(cfa: CFA, phase: tuple[int, int]) -> NDArray[np.intp]:
    """(3·_AROUND, 2): offsets of the pixels that tell the background of red, green and blue."""
    outside = [
        [at for at in _by_distance(cfa, phase, colour) if max(map(abs, at)) > 1][:_AROUND]
        for colour in range(3)
    ]
    return np.array(outside).reshape(-1, 2)


@cache
def _stars(
    cfa: CFA, phase: tuple[int, int], balance: tuple[float, ...]
) -> NDArray[np.float32]:
    """(k, 8): what stars put into the neighbours of a pixel, as a share of what they put into it.

    Stars are Gaussians. `balance` are the gains that make white light equal in all colours.
    """
    here = _colour(cfa, phase, (0, 0))
    stars = []
    for width, y, x, tint in product(_WIDTHS, _PLACES, _PLACES, _TINTS):
        light = [t / g for t, g in zip(tint, balance, strict=True)]
        stars.append(
            [
                light[_colour(cfa, phase, (dy, dx))]
                / light[here]
                * 0.5 ** (4 * ((dy - y) ** 2 + (dx - x) ** 2 - y**2 - x**2) / width**2)
                for dy, dx in _NEIGHBOURS
            ]
        )
    return np.array(stars, np.float32)
