"""Bilinear demosaicing, for any Bayer order and X-Trans.

A pixel keeps its own colour; each other colour is the mean of the pixels of that colour in the
3×3 neighbourhood, weighted by the inverse of the squared distance (normalised convolution; Knutsson
& Westin, CVPR 1993). For Bayer this is bilinear interpolation exactly.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from undark.cpus import in_threads
from undark.sensor.cfa import CFA, extend

Floats = NDArray[np.float32]

BAND = 48
"""Rows that a thread processes at a time: a multiple of every period; small, to bound memory."""

Tap = tuple[int, int, float]
"""Row and column offset of a neighbour, and its weight in the mean."""


def demosaic(plane: Floats, cfa: CFA, rows: tuple[int, int] | None = None) -> Floats:
    """Mosaic (H, W) → (H, W, 3) float32 in the same unit, white-balanced only if the mosaic was.

    `rows` (first, one past the last) computes only these rows, with the same result as in the full
    frame. The mosaic must be at least a period (2 or 6 pixels) wide and high.
    """
    first, last = rows or (0, plane.shape[0])
    out = np.empty((last - first, plane.shape[1], 3), np.float32)

    def work(begin: int) -> None:
        end = min(begin + BAND, last)
        _band(plane, cfa, begin, out[begin - first : end - first])

    in_threads(work, range(first, last, BAND))
    return out


def _band(plane: Floats, cfa: CFA, top: int, out: Floats) -> None:
    """Write the demosaiced rows from `top` on into `out`."""
    near = _surrounded(plane, top, top + len(out), cfa.period)
    taps = _taps(cfa.crop(top % cfa.period, 0))
    period, height = cfa.period, len(out)
    for y in range(min(period, height)):
        for x in range(period):
            for colour in range(3):
                target = out[y::period, x::period, colour]
                _mean(near, y, x, period, taps[y, x, colour], target)


def _surrounded(plane: Floats, top: int, end: int, period: int) -> Floats:
    """Rows `top` to `end`, padded by a pixel on each side; borders repeat pixels of equal phase."""
    height = plane.shape[0]
    index = np.arange(top - 1, end + 1)
    index = np.where(index < 0, index % period, index)
    index = np.where(index >= height, height - period + (index - height) % period, index)
    near: Floats = extend(plane[index], (0, 1), (0, 1), period)
    return near


def _mean(near: Floats, y: int, x: int, period: int, taps: tuple[Tap, ...], target: Floats) -> None:
    """Write the weighted mean of neighbours of every pixel at phase (y, x) into `target`."""
    rows, columns = target.shape

    def neighbour(dy: int, dx: int) -> Floats:
        return near[y + 1 + dy :: period, x + 1 + dx :: period][:rows, :columns]

    if len(taps) == 1:
        dy, dx, share = taps[0]
        np.multiply(neighbour(dy, dx), np.float32(share), out=target)
        return
    groups: dict[float, Floats] = {}
    for dy, dx, share in taps:  # neighbours of equal weight are summed before the multiplication
        if share in groups:
            groups[share] += neighbour(dy, dx)
        else:
            groups[share] = neighbour(dy, dx).copy()
    parts = [group * np.float32(share) for share, group in groups.items()]
    target[...] = sum(parts[1:], start=parts[0])


@cache
def _taps(cfa: CFA) -> dict[tuple[int, int, int], tuple[Tap, ...]]:
    """(row phase, column phase, colour) → neighbours that the colour is interpolated from."""
    phases = [(y, x) for y in range(cfa.period) for x in range(cfa.period)]
    return {
        (y, x, colour): _neighbours(cfa, y, x, colour) for y, x in phases for colour in range(3)
    }


def _neighbours(cfa: CFA, y: int, x: int, colour: int) -> tuple[Tap, ...]:
    period, near = cfa.period, (-1, 0, 1)
    if cfa.rows[y][x] == colour:
        return ((0, 0, 1.0),)
    of_colour = [
        (dy, dx, 1 / (dy * dy + dx * dx))
        for dy in near
        for dx in near
        if cfa.rows[(y + dy) % period][(x + dx) % period] == colour
    ]
    total = sum(weight for _, _, weight in of_colour)
    return tuple((dy, dx, weight / total) for dy, dx, weight in of_colour)
