"""Whether a bright pixel is a defect or a star, from its eight neighbours.

A star is at least as wide as the lens draws it and shines in all colours, so it also lights the
pixels beside its brightest one. Beside a defect they are at the background, within the noise. The
likelihood of the neighbours is compared between the two, for stars averaged over widths, places
and colours.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np

from undark.sensor.cfa import CFA
from undark.sensor.neighbours import NEIGHBOURS, Floats, colour_at

_PRICE = 16.0
"""Misfit, in variances, at which a neighbour is rather taken for a hot pixel too: about
2·ln(1/density) for 0.3 % of hot pixels."""
_FAINTER = 0.5
"""Share of the pixel's own deviation below which a second neighbour may be hot too."""
_TOLERANCE = 0.25
"""Relative error of a star's predicted neighbour: real stars are no exact Gaussians."""
_WIDTHS = (1.2, 1.6, 2.2, 3.0)
"""Stars' full widths at half maximum that are tried, in pixels."""
_PLACES = (-0.4, 0.0, 0.4)
"""Their centres, in pixels from that of the brightest pixel, down and across."""
_TINTS = ((1.0, 1.0, 1.0), (1.5, 1.0, 0.6), (0.7, 1.0, 1.4))
"""Their colours (R, G, B) after white balance."""


def star_odds(
    off: Floats,
    sigma: Floats,
    gain: Floats,
    stars: Floats,
) -> Floats:
    """(n,): how many times as likely the neighbours are those of a star as those of a defect.

    `off` (1 + 8, n) is the distance from the background in standard deviations `sigma`, DN, of a
    pixel and its neighbours; `gain` (8, n) is the variance of a neighbour's star light for each
    standard deviation of it. One neighbour may itself be hot, at the cost of `_PRICE`, and a second
    one that is fainter; where two are as bright it is a line, such as a hair.
    """
    beside, scale = off[1:], off[0] * sigma[0] / sigma[1:]
    squares = beside * beside
    hot = np.partition(squares, -2, axis=0)[-2:]
    over = np.maximum(hot - np.float32(_PRICE), 0)
    over[0] *= hot[0] < (np.float32(_FAINTER) * off[0]) ** 2
    alone = squares.sum(axis=0) - over.sum(axis=0)
    lit = np.maximum(beside, 0)
    weight = 1 / (1 + lit * (gain + np.float32(_TOLERANCE**2) * lit))
    # Σ weight·(beside - star·scale)², the square multiplied out
    misfit = stars**2 @ (weight * scale**2) - 2 * stars @ (weight * beside * scale)
    misfit += (weight * squares).sum(axis=0)
    likelihood = np.exp(np.minimum((alone - misfit) / 2, np.float32(60)))
    odds: Floats = likelihood.mean(axis=0)  # over the stars, alike in probability
    return odds


@cache
def stars_of(cfa: CFA, phase: tuple[int, int], balance: tuple[float, ...]) -> Floats:
    """(k, 8): what stars put into the neighbours of a pixel, as a share of what they put into it.

    Stars are Gaussians. `balance` are the gains that make white light equal in all colours.
    """
    here = colour_at(cfa, phase, (0, 0))
    stars = []
    for width, y, x, tint in product(_WIDTHS, _PLACES, _PLACES, _TINTS):
        light = [t / g for t, g in zip(tint, balance, strict=True)]
        stars.append(
            [
                light[colour_at(cfa, phase, (dy, dx))]
                / light[here]
                * 0.5 ** (4 * ((dy - y) ** 2 + (dx - x) ** 2 - y**2 - x**2) / width**2)
                for dy, dx in NEIGHBOURS
            ]
        )
    return np.array(stars, np.float32)
