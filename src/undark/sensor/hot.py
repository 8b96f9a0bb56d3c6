"""Find and mend hot and dead pixels of a mosaic, and leave stars alone (see `starlight`).

A coarse selection over the frame leaves the pixels that differ from others of their colour. Each is
then compared with its surroundings of all three colours. Of adjacent pixels only the one that
stands out most can be a defect; the next pass looks at the others after it has been mended.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from undark.cpus import in_threads
from undark.sensor.mosaic import Mosaic
from undark.sensor.neighbours import (
    AROUND,
    NEIGHBOURS,
    Floats,
    around,
    colour_at,
    middle_two,
    nearest,
)
from undark.sensor.noise import NoiseModel, reached
from undark.sensor.starlight import star_odds, stars_of

_STANDS_OUT = 3.85
"""Standard deviations that a pixel is off the background before it is looked at."""
_SCREEN = 3.5
"""The same against its nearest neighbours of the same colour, in the first, coarse selection."""
_PHOTONS = np.float32(2.5)
"""Photons that a pixel is off its nearest neighbours, at least: fewer come by chance."""
_FEW = np.float32(4)
"""Photons below which the background's level, as far as the noise depends on it, is a mean: the
median of few photons is below it, by up to all of it."""
_CONTRAST = np.float32(0.1)
"""Share of the background that counts as a standard deviation more: scenes have detail."""
_BUSY = np.float32(2.4)
"""Variance of the surroundings, in variances of the noise, beyond which they are detail."""
_CAUTION = np.float32(8)
"""Factor of that detail's variance: its smallest parts stand out of it more than noise does."""
_ALONE = 4.0
"""Ratio to the largest deviation of the eight neighbours above which a bright pixel needs no
caution, if the frame has many hot pixels: detail is mostly as wide as the lens draws it."""
_ALIKE = 1.2
"""Ratio up to which adjacent deviations are judged both: each is measured against a background of
its own, and two that are alike may otherwise each wait for the other."""
_MARGIN = 24.0
"""Pixels are mended unless a star is this many times as likely, in a frame with many hot pixels."""
_MANY = 0.005
"""Share of hot pixels from which on that holds. With fewer the margin falls with the square of
their share: what stands out little is then rather the scene's detail."""
_CERTAIN, _SURELY = 8.0, 0.01
"""Hot pixels that are counted for it: standard deviations, and likelihood of a star."""
_PASSES = 3
"""Each mends the brightest of adjacent hot pixels."""
_CHUNK = 1 << 9
"""Pixels that are judged at once: what is computed of them fits a processor's cache, and OpenBLAS
does not take threads of its own for its product, which would wait for each other."""
_BORDER = 6
"""Pixels around the frame: whole periods, and no less than the offsets that are looked at."""
_BAND = 96
"""Rows that are screened at once: whole periods."""


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


def mend(mosaic: Mosaic, noise: NoiseModel, known: NDArray[np.intp] | None = None) -> Mended:
    """Replace hot and dead pixels by their nearest neighbours of the same colour.

    `noise` is that of the mosaic, its parameters numbers; `known` are flat positions of pixels to
    replace in any case, as those that a dark frame shows. The mean of the middle two of four
    neighbours' light is put in. Frames smaller than two periods of the CFA are returned as they
    are.
    """
    if min(mosaic.shape) < 2 * mosaic.cfa.period:
        return Mended(mosaic, np.empty(0, np.intp))
    frame = _Frame(mosaic, noise)
    found = [np.empty(0, np.intp) if known is None else frame.with_border(known)]
    was = [frame.replace(found[0])]
    left = frame.screen()
    off, star = frame.judge(left)
    share = ((off > _CERTAIN) & (star < _SURELY)).sum() / mosaic.plane.size
    many = min(share / _MANY, 1)
    for number in range(_PASSES):
        if number:
            left = np.union1d(left[np.isnan(star)], frame.revealed_by(found[-1]))
        if number or many == 1:
            _, star = frame.judge(left, _ALONE if many == 1 else math.inf)
        found.append(left[star < _MARGIN * many**2])
        was.append(frame.replace(found[-1]))
    flat, first = np.unique(np.concatenate(found), return_index=True)
    pixels, change = frame.positions(flat), frame.light(flat) - np.concatenate(was)[first]
    return Mended(_with_change(mosaic, pixels, change) if len(flat) else mosaic, pixels)


def _with_change(mosaic: Mosaic, pixels: NDArray[np.intp], change: Floats) -> Mosaic:
    """The mosaic with DN added at flat positions."""
    plane = mosaic.plane.copy()
    new = np.rint(plane.ravel()[pixels] + change)
    plane.ravel()[pixels] = np.clip(new, 0, np.iinfo(plane.dtype).max)
    return mosaic.replace(plane=plane)


class _Frame:
    """A mosaic's light, DN above black, with a border; pixels are named by flat positions in it."""

    def __init__(self, mosaic: Mosaic, noise: NoiseModel) -> None:
        self._cfa, self._shape = mosaic.cfa, mosaic.shape
        self._balance = tuple(mosaic.white_balance.tolist())
        self._gain = np.float32(noise.gain)
        self._at_black = np.float32(noise.variance(np.float32(0)))
        self._rows, self._columns = (_with_border(n, mosaic.cfa.period) for n in mosaic.shape)
        self._width = len(self._columns)
        self._light: Floats = np.empty((len(self._rows), self._width), np.float32)
        height, width = mosaic.shape
        inside = self._light[_BORDER : _BORDER + height, _BORDER : _BORDER + width]

        def fill(top: int) -> None:
            rows = slice(top, min(top + _BAND, height))
            inside[rows] = mosaic.signal(rows)

        in_threads(fill, range(0, height, _BAND))
        self._renew_border()

    def light(self, flat: NDArray[np.intp]) -> Floats:
        """DN above black of these pixels as they are now."""
        values: Floats = self._light.ravel()[flat]
        return values

    def positions(self, flat: NDArray[np.intp]) -> NDArray[np.intp]:
        """Flat positions with the border → those in the frame itself."""
        y, x = np.divmod(flat, self._width)
        positions: NDArray[np.intp] = (y - _BORDER) * self._shape[1] + x - _BORDER
        return positions

    def with_border(self, positions: NDArray[np.intp]) -> NDArray[np.intp]:
        """Flat positions in the frame itself → those with the border."""
        y, x = np.divmod(positions, self._shape[1])
        flat: NDArray[np.intp] = (y + _BORDER) * self._width + x + _BORDER
        return flat

    def screen(self) -> NDArray[np.intp]:
        """Pixels that differ from the middle two of four neighbours by much more than those do."""
        bottom = self._light.shape[0] - _BORDER
        bands = [(top, min(top + _BAND, bottom)) for top in range(_BORDER, bottom, _BAND)]
        found = np.concatenate(in_threads(self._screen_band, bands))
        y, x = np.divmod(found, self._width)
        inside: NDArray[np.intp] = found[
            (y < self._shape[0] + _BORDER) & (x < self._shape[1] + _BORDER)
        ]
        return inside

    def revealed_by(self, mended: NDArray[np.intp]) -> NDArray[np.intp]:
        """Pixels that stand out like those of `screen` now that pixels near them are mended."""
        found = [np.empty(0, np.intp)]
        for phase, members in self._by_phase(mended):
            near = np.array(nearest(self._cfa, phase))
            beside = (mended[members] + near[:, :1] * self._width + near[:, 1:]).ravel()
            y, x = np.divmod(beside, self._width)
            inside = (y >= _BORDER) & (y < self._shape[0] + _BORDER)
            found.append(beside[inside & (x >= _BORDER) & (x < self._shape[1] + _BORDER)])
        some = np.unique(np.concatenate(found))
        stands_out = np.zeros(len(some), bool)
        for phase, members in self._by_phase(some):
            near = self._gather(some[members], np.array(nearest(self._cfa, phase)))
            stands_out[members] = self._stands_out(self.light(some[members]), near)
        return some[stands_out]

    def _screen_band(self, rows: tuple[int, int]) -> NDArray[np.intp]:
        """The same of some rows, whole periods."""
        top, bottom = rows
        period = self._cfa.period
        band = self._light[top - _BORDER : bottom + _BORDER]
        cells = band.reshape(len(band) // period, period, self._width // period, period)
        planes: Floats = np.ascontiguousarray(cells.transpose(1, 3, 0, 2))
        first = _BORDER // period

        def seen(y: int, x: int) -> Floats:
            plane: Floats = planes[y % period, x % period]
            down, across = (first + n // period for n in (y, x))
            height, width = (n - 2 * first for n in plane.shape)
            part: Floats = plane[down : down + height, across : across + width]
            return part

        found = []
        for phase in product(range(period), repeat=2):
            near = (seen(phase[0] + y, phase[1] + x) for y, x in nearest(self._cfa, phase))
            down, across = np.nonzero(self._stands_out(seen(*phase), near))
            down, across = down * period + phase[0] + top, across * period + phase[1] + _BORDER
            found.append(down * self._width + across)
        return np.concatenate(found)

    def _stands_out(self, light: Floats, near: Iterable[Floats]) -> NDArray[np.bool_]:
        low, high = middle_two(*near)
        off = np.maximum(light - high, low - light)
        variance = np.maximum(low, 0) * self._gain + self._at_black
        found: NDArray[np.bool_] = (off > 0) & (off > high - low)
        found &= off * off > np.float32(_SCREEN**2) * variance
        found &= off > _PHOTONS * self._gain
        return found

    def judge(self, flat: NDArray[np.intp], alone: float = math.inf) -> tuple[Floats, Floats]:
        """How far each of these pixels is off its background, in standard deviations, and how
        many times as likely it is part of a star as a defect: infinite where it does not stand
        out, NaN where that is to be seen when a brighter neighbour is mended. For `alone` see
        `_ALONE`."""
        off, star = np.empty(len(flat), np.float32), np.empty(len(flat), np.float32)
        chunks = [
            (phase, members[start : start + _CHUNK])
            for phase, members in self._by_phase(flat)
            for start in range(0, len(members), _CHUNK)
        ]

        def judge_one(chunk: tuple[tuple[int, int], NDArray[np.intp]]) -> None:
            phase, some = chunk
            off[some], star[some] = self._judge_phase(flat[some], phase, alone)

        in_threads(judge_one, chunks)
        return off, star

    def _by_phase(self, flat: NDArray[np.intp]) -> list[tuple[tuple[int, int], NDArray[np.intp]]]:
        """Phase of the CFA → which of these pixels have it."""
        period = self._cfa.period
        y, x = np.divmod(flat, self._width)
        number = (y - _BORDER) % period * period + (x - _BORDER) % period
        order = np.argsort(number, kind="stable")
        bounds = np.searchsorted(number[order], np.arange(period**2 + 1))
        phases = [(y, x) for y in range(period) for x in range(period)]
        return [(p, order[bounds[i] : bounds[i + 1]]) for i, p in enumerate(phases)]

    def _gather(self, flat: NDArray[np.intp], offsets: NDArray[np.intp]) -> Floats:
        """(k, n): the light at offsets (k, 2) from each of these pixels."""
        return self.light(flat + offsets[:, :1] * self._width + offsets[:, 1:])

    def _judge_phase(
        self, flat: NDArray[np.intp], phase: tuple[int, int], alone: float
    ) -> tuple[Floats, Floats]:
        near = np.array(((0, 0), *NEIGHBOURS))
        colours = [colour_at(self._cfa, phase, at) for at in near]
        level, lit, variance, detail = self._background(flat, phase)
        sigma = np.sqrt(variance)[colours]
        off = (self._gather(flat, near) - level[colours]) / sigma
        sign = np.where(off[0] < 0, np.float32(-1), np.float32(1))
        off *= sign
        least = reached(_STANDS_OUT, float(self._gain), lit[colours[0]], sigma[0])
        is_alone = (sign > 0) & (off[0] > alone * np.maximum(np.abs(off[1:]).max(axis=0), 2))
        stands_out = off[0] > least * np.sqrt(1 + np.where(is_alone, 0, _CAUTION * detail))
        outshone = off[0] * np.float32(_ALIKE) < off[1:].max(axis=0)
        chosen = stands_out & ~outshone
        gain = np.where(sign > 0, self._gain, np.float32(0)) / sigma  # a dark spot has no photons
        stars = stars_of(self._cfa, phase, self._balance)
        star = np.where(stands_out & outshone, np.float32(np.nan), np.float32(np.inf))
        star[chosen] = star_odds(off[:, chosen], sigma[:, chosen], gain[1:, chosen], stars)
        return off[0], star

    def _background(
        self, flat: NDArray[np.intp], phase: tuple[int, int]
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Level (3, n) of each colour around each pixel in DN, that which its noise has, 0 or more,
        a pixel's variance there, and the variance (n,) of the scene's detail, in variances of the
        noise."""
        values = self._gather(flat, around(self._cfa, phase)).reshape(3, AROUND, -1)
        values.sort(axis=1)
        half = AROUND // 2
        level: Floats = (values[:, half - 1] + values[:, half]) / 2
        mean = (values.sum(axis=1) - values[:, -1] + values[:, -2]) / np.float32(AROUND)
        lit: Floats = np.where(mean < _FEW * self._gain, np.maximum(level, mean), level)
        np.maximum(lit, 0, out=lit)
        variance: Floats = lit * self._gain + self._at_black
        # the third of 12 from either end are 1.586 standard deviations apart; hot pixels are beyond
        spread = ((values[:, -3] - values[:, 2]) / np.float32(1.586)) ** 2 / variance
        detail: Floats = np.maximum(spread.mean(axis=0) - _BUSY, 0)
        return level, lit, variance + (_CONTRAST * level) ** 2, detail

    def replace(self, flat: NDArray[np.intp]) -> Floats:
        """Put the mean of the middle two of four neighbours in the place of these pixels; their
        light before that."""
        new = np.empty(len(flat), np.float32)
        for phase, members in self._by_phase(flat):
            near = self._gather(flat[members], np.array(nearest(self._cfa, phase)))
            low, high = middle_two(*near)
            new[members] = (low + high) / 2
        was = self.light(flat)
        self._light.ravel()[flat] = new
        self._renew_border()
        return was

    def _renew_border(self) -> None:
        """What is copied around the frame is what the frame holds now."""
        for source, light in ((self._rows, self._light), (self._columns, self._light.T)):
            outside = np.flatnonzero(source != np.arange(len(source)) - _BORDER)
            light[outside] = light[source[outside] + _BORDER]


def _with_border(size: int, period: int) -> NDArray[np.intp]:
    """Rows (or columns) of a frame with `_BORDER` around and whole periods: which is put where.

    Around are copies of those a period from the edge, so that no pixel is beside its own copy.
    """
    index = np.arange(-_BORDER, size + _BORDER + -size % period)
    index = np.where(index < 0, index % period + period, index)
    beyond = index >= size
    index[beyond] = size - 2 * period + (index[beyond] - size) % period
    return index
