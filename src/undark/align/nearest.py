"""The nearest pixel of a colour to a place in a mosaic, for any colour filter array."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from undark.sensor.cfa import CFA

Floats = NDArray[np.float32]
Integers = NDArray[np.intp]

_PARTS = 8
"""Parts of a pixel, along a side, that the table tells apart: ties are off by a sixteenth."""
_REACH = 3
"""Pixels around a place among which every colour occurs."""


def nearest_pixels(
    cfa: CFA, colours: NDArray[np.uint8], rows: Floats, columns: Floats
) -> tuple[Integers, Integers]:
    """Rows and columns of the pixels with these `colours` that are nearest to these places.

    Arrays of one shape; places are those of pixels' centres, and may be outside the frame.
    """
    table = _table(cfa)
    down, across = np.floor(rows), np.floor(columns)
    part = _part(rows - down) * _PARTS + _part(columns - across)
    y, x = down.astype(np.intp), across.astype(np.intp)
    phase = (y % cfa.period) * cfa.period + x % cfa.period
    step = table[phase, colours, part]
    return y + step[..., 0], x + step[..., 1]


def _part(share: Floats) -> Integers:
    """Which of the parts of a pixel; the last one at 1, to which 1e-9 below a pixel is rounded."""
    return np.minimum((share * _PARTS).astype(np.intp), _PARTS - 1)


@cache
def _table(cfa: CFA) -> NDArray[np.int8]:
    """(period², 3, `_PARTS`², 2): steps down and across from the pixel above and left."""
    period, centres = cfa.period, (np.arange(_PARTS) + 0.5) / _PARTS
    v, u = (c.ravel() for c in np.meshgrid(centres, centres, indexing="ij"))
    steps = [(y, x) for y in range(-_REACH, _REACH + 2) for x in range(-_REACH, _REACH + 2)]
    table = np.zeros((period**2, 3, _PARTS**2, 2), np.int8)
    for phase in range(period**2):
        y, x = divmod(phase, period)
        seen = np.array([cfa.rows[(y + dy) % period][(x + dx) % period] for dy, dx in steps])
        for colour in range(3):
            own = np.array(steps)[seen == colour]
            away = (own[:, :1] - v) ** 2 + (own[:, 1:] - u) ** 2
            table[phase, colour] = own[np.argmin(away, axis=0)]
    return table
