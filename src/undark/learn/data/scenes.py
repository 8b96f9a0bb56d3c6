"""Synthetic piecewise-constant scenes: colours and contrasts that photographs do not contain.

A network trained on photographs only fails on flat saturated colours: cyan beside grey had errors
of 176 sigma. All light here is amplified white-balanced camera RGB, white 1.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Light = NDArray[np.float32]
Labels = NDArray[np.intp]

DARKEST = 0.1
"""Smallest light of an area that is not black, in sigma at black."""
BRIGHTEST = 1e4
"""Largest light of an area, in sigma at black."""


def draw_scene(random: np.random.Generator, side: int, sigma: Light, ceiling: float) -> Light:
    """(3, side, side) light; `sigma` (3,) is the noise at black in the same unit.

    A few areas are negative, by at most 3 sigma: a sensor's mean there is below black.
    """
    if random.random() < 0.14:
        return _stars(random, side, sigma, ceiling)
    draws = (_rectangles, _halves, _steps, _stripes, _checkers)
    draw = draws[random.choice(len(draws), p=(0.35, 0.3, 0.1, 0.13, 0.12))]
    labels = draw(random, side)
    colours = draw_colours(random, int(labels.max()) + 1, sigma, ceiling)
    if draw is _steps:
        colours = colours[np.argsort(colours.sum(axis=1))]
    return np.ascontiguousarray(colours.T[:, labels])


def draw_colours(random: np.random.Generator, count: int, sigma: Light, ceiling: float) -> Light:
    """(count, 3) light of areas: black, below black, grey, tinted, or each colour by itself."""
    return np.stack([_colour(random, sigma, ceiling) for _ in range(count)]).astype(np.float32)


def _colour(random: np.random.Generator, sigma: Light, ceiling: float) -> NDArray[np.floating]:
    """(3,) light of one area."""
    kind = random.random()
    if kind < 0.12:
        return np.zeros(3)
    if kind < 0.18:
        return -sigma * random.uniform(0, 3)
    if kind < 0.4:  # grey, or one hue whose colours differ by up to 4 decades
        most = 0.0 if kind < 0.26 else 9.0
        level = _level(random, float(sigma[1]), ceiling)
        return np.minimum(level * np.exp(-random.uniform(0, most, 3)), 2 * ceiling)
    levels = np.array([_level(random, float(s), ceiling) for s in sigma])
    return np.where(random.random(3) < 0.12, 0.0, levels)


def _level(random: np.random.Generator, sigma: float, ceiling: float) -> float:
    """Light of one colour, log-uniform over 5 decades but not far above what a network is given."""
    low = DARKEST * sigma
    high = max(min(BRIGHTEST * sigma, 2 * ceiling), 2 * low)
    return math.exp(random.uniform(math.log(low), math.log(high)))


def _grid(side: int) -> tuple[Labels, Labels]:
    """Row and column of each pixel: (side, 1) and (1, side)."""
    return np.arange(side)[:, None], np.arange(side)[None]


def _rectangles(random: np.random.Generator, side: int) -> Labels:
    """(side, side) numbers of 1 to 6 rectangles over a background 0."""
    labels = np.zeros((side, side), np.intp)
    for number in range(1, random.integers(2, 8)):
        size = np.exp(random.uniform(math.log(4), math.log(side), 2)).astype(int)
        top, left = (int(random.integers(-s // 2, side - s // 2)) for s in size)
        labels[max(top, 0) : top + size[0], max(left, 0) : left + size[1]] = number
    return labels


def _halves(random: np.random.Generator, side: int) -> Labels:
    """Two areas with a straight edge: horizontal, vertical or at any angle."""
    y, x = _grid(side)
    angle = random.uniform(0, 2 * math.pi)
    if random.random() < 0.6:
        angle = math.pi / 2 * random.integers(4)
    away = math.cos(angle) * (x - side / 2) + math.sin(angle) * (y - side / 2)
    return (away > side * random.uniform(-0.35, 0.35)).astype(np.intp)


def _steps(random: np.random.Generator, side: int) -> Labels:
    """3 to 8 stripes of equal width; their colours are put in order of brightness."""
    count = int(random.integers(3, 9))
    return _across(random, np.arange(side) * count // side, side)


def _stripes(random: np.random.Generator, side: int) -> Labels:
    """Two colours in turn, 1 to 32 pixels each."""
    width = _width(random)
    return _across(random, (np.arange(side) + random.integers(width)) // width % 2, side)


def _checkers(random: np.random.Generator, side: int) -> Labels:
    """Two colours as on a chessboard, squares of 1 to 32 pixels."""
    (y, x), width = _grid(side), _width(random)
    start = random.integers(width, size=2)
    return ((y + start[0]) // width + (x + start[1]) // width) % 2


def _width(random: np.random.Generator) -> int:
    return round(math.exp(random.uniform(0, math.log(32))))


def _across(random: np.random.Generator, line: Labels, side: int) -> Labels:
    """(side, side) whose rows, or columns, are `line`."""
    labels = np.broadcast_to(line, (side, side))
    return labels if random.random() < 0.5 else labels.T


def _stars(random: np.random.Generator, side: int, sigma: Light, ceiling: float) -> Light:
    """1 to 30 points of light, 1.2 to 3 pixels wide (FWHM), before a dark background."""
    (y, x) = _grid(side)
    background = random.choice((0.0, 1.0)) * sigma * np.exp(random.uniform(-2, 2, 3))
    light = np.broadcast_to(background[:, None, None], (3, side, side)).astype(np.float32)
    width = random.uniform(1.2, 3) / 2.355
    for _ in range(random.integers(1, 31)):
        cy, cx = random.uniform(0, side, 2)
        top, left = max(int(cy) - 6, 0), max(int(cx) - 6, 0)
        rows, columns = slice(top, int(cy) + 7), slice(left, int(cx) + 7)
        spread = np.exp(-((y[rows] - cy) ** 2 + (x[:, columns] - cx) ** 2) / (2 * width**2))
        peak = _level(random, float(sigma[1]) * 30, 5 * ceiling)
        peaks = peak * np.exp(random.normal(0, random.choice((0.2, 1.0)), 3))
        light[:, rows, columns] += (peaks[:, None, None] * spread).astype(np.float32)
    return light


def saturate(random: np.random.Generator, light: Light) -> None:
    """Put 1 to 3 areas far above white into (3, H, W) light, in place: they clip on any sensor."""
    y, x = _grid(light.shape[-1])
    for _ in range(random.integers(1, 4)):
        size = math.exp(random.uniform(math.log(3), math.log(light.shape[-1])))
        cy, cx = random.uniform(0, light.shape[-1], 2)
        dy, dx = (y - cy) / size, (x - cx) / size * math.exp(random.uniform(-1, 1))
        is_ellipse = random.random() < 0.5
        away = np.hypot(dy, dx) if is_ellipse else np.maximum(abs(dy), abs(dx))
        colour = 2 ** random.uniform(0, 8) * np.exp(-random.uniform(0, random.choice((0, 4)), 3))
        light[:, away < 0.5] = colour[:, None].astype(np.float32)
