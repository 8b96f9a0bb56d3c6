"""Which pixels of a mosaic lie around one, by colour: offsets (rows, columns) for a CFA's phase."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.sensor.cfa import CFA

Floats = NDArray[np.floating[Any]]
"""float32: mypy takes its products with NumPy's scalars for more."""
NEIGHBOURS = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0))
"""The eight beside a pixel, whatever their colours."""
AROUND = 12
"""Pixels of each colour outside the 3x3 neighbours that give the background of that colour."""


def colour_at(cfa: CFA, phase: tuple[int, int], offset: NDArray[np.intp] | tuple[int, int]) -> int:
    """The colour (0 red, 1 green, 2 blue) at an offset from a pixel of this phase."""
    return cfa.rows[(phase[0] + offset[0]) % cfa.period][(phase[1] + offset[1]) % cfa.period]


@cache
def _by_distance(cfa: CFA, phase: tuple[int, int], colour: int) -> list[tuple[int, int]]:
    """Offsets of up to 6 pixels to pixels of a colour, the nearest first."""
    square = [(y, x) for y in range(-6, 7) for x in range(-6, 7)]
    reach = [at for at in square if colour_at(cfa, phase, at) == colour]
    return sorted(reach, key=lambda at: at[0] ** 2 + at[1] ** 2)


@cache
def nearest(cfa: CFA, phase: tuple[int, int]) -> list[tuple[int, int]]:
    """Offsets of the four nearest neighbours of the same colour."""
    return _by_distance(cfa, phase, colour_at(cfa, phase, (0, 0)))[1:5]


@cache
def around(cfa: CFA, phase: tuple[int, int]) -> NDArray[np.intp]:
    """(3·AROUND, 2): offsets of the pixels for the background of red, green and blue."""
    outside = [
        [at for at in _by_distance(cfa, phase, colour) if max(map(abs, at)) > 1][:AROUND]
        for colour in range(3)
    ]
    return np.array(outside).reshape(-1, 2)


def middle_two(a: Floats, b: Floats, c: Floats, d: Floats) -> tuple[Floats, Floats]:
    """The second and third of four values by size."""
    first, second = np.minimum(a, b), np.maximum(a, b)
    third, fourth = np.minimum(c, d), np.maximum(c, d)
    one, other = np.maximum(first, third), np.minimum(second, fourth)
    return np.minimum(one, other), np.maximum(one, other)
