"""A mosaic as the network's input, tile by tile."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from undark.develop.demosaic import demosaic
from undark.sensor.cfa import pack, unpack
from undark.sensor.conditioning import HIGHLIGHT_CEILING, condition, scale
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel


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

    def highlights(self, rows: slice, columns: slice) -> NDArray[np.float32] | float:
        """(3, H, W): light above `HIGHLIGHT_CEILING`, which the network is not given; 0 if none."""
        cfa = self._mosaic.cfa
        # a period more on each side, which demosaicing looks at
        wide = [slice(max(s.start - cfa.period, 0), s.stop + cfa.period) for s in (rows, columns)]
        offsets = self._mosaic.offsets
        brightest = self._mosaic.plane[*wide].max() - self._mosaic.black.min()
        brightest -= offsets.lowest if offsets else 0
        if brightest * self._factor.max() <= HIGHLIGHT_CEILING:
            return 0.0
        signal = self._mosaic.signal(*wide)
        above = np.clip(pack(signal, cfa) * self._factor - HIGHLIGHT_CEILING, 0, None)
        light = demosaic(unpack(above, cfa, signal.shape), cfa)
        top, left = rows.start - wide[0].start, columns.start - wide[1].start
        inside = light[top:, left:][: rows.stop - rows.start, : columns.stop - columns.start]
        return np.moveaxis(inside, -1, 0)
