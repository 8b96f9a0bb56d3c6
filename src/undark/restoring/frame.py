"""A mosaic as the network's input, tile by tile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from undark.develop.demosaic import demosaic
from undark.sensor.cfa import pack, unpack
from undark.sensor.conditioning import HIGHLIGHT_CEILING, condition, scale
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel

Floats = NDArray[np.float32]


class Frame:
    """A mosaic at the canonical phase and the network's multiple, read in parts."""

    def __init__(self, mosaic: Mosaic, noise: NoiseModel, amplification: float) -> None:
        self._mosaic, self._noise = mosaic, noise
        like = np.empty(0, np.float32)
        balance = mosaic.white_balance
        self._factor = scale(mosaic.cfa, balance, mosaic.span, amplification, like)

    def inputs(self, tile: tuple[slice, slice]) -> NDArray[np.float32]:
        """(1, C, h, w) for rows and columns of packed pixels."""
        cell = self._mosaic.cfa.cell
        rows, columns = (slice(s.start * cell, s.stop * cell) for s in tile)
        signal, merged = self._mosaic.signal(rows, columns), self._mosaic.merged
        excess = merged and merged.excess(rows, columns)
        made = condition(signal, self._mosaic.cfa, self._noise, self._factor, excess)
        return np.asarray(made[None], np.float32)

    def add_highlights(self, light: Floats, rows: slice, columns: slice) -> None:
        """Add the light above `HIGHLIGHT_CEILING`, which the network is not given, to some rows and
        columns of pixels, (3, h, w), in place."""
        inside = (rows, columns)
        near = self._bright_window(_grown(inside, self._mosaic.cfa.period))
        if near is None:
            return
        period = self._mosaic.cfa.period  # demosaicing reaches less than a period
        window = [
            slice(max(s.start, i.start), min(s.stop, i.stop))
            for s, i in zip(_grown(near, period), inside, strict=True)
        ]
        around = _grown(window, period)
        signal, cfa = self._mosaic.signal(*around), self._mosaic.cfa
        above = np.clip(pack(signal, cfa) * self._factor - HIGHLIGHT_CEILING, 0, None)
        found = demosaic(unpack(above, cfa, signal.shape), cfa)
        light[:, *_within(inside, window)] += np.moveaxis(found[*_within(around, window)], -1, 0)

    def _bright_window(self, wide: Sequence[slice]) -> Sequence[slice] | None:
        """Rows and columns, whole periods, of pixels that may be above the ceiling; None: none."""
        offsets, period = self._mosaic.offsets, self._mosaic.cfa.period
        least = HIGHLIGHT_CEILING / self._factor.max() + self._mosaic.black.min()
        bright = self._mosaic.plane[*wide] > least + (offsets.lowest if offsets else 0)
        if not bright.any():
            return None
        window = []
        for span, axis in zip(wide, (1, 0), strict=True):
            at = np.flatnonzero(bright.any(axis=axis)) + span.start
            window.append(slice(at[0] // period * period, (at[-1] // period + 1) * period))
        return window


def _within(outer: Sequence[slice], spans: Sequence[slice]) -> tuple[slice, ...]:
    """Rows and columns of the frame as those of a part of it."""
    starts = (o.start for o in outer)
    return tuple(slice(s.start - o, s.stop - o) for s, o in zip(spans, starts, strict=True))


def _grown(spans: Sequence[slice], by: int) -> list[slice]:
    """Rows and columns with some more on each side; at its end a frame ends by itself."""
    return [slice(max(s.start - by, 0), s.stop + by) for s in spans]
