"""Steps of the converter, and the level at which it clips, from the histogram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

_STRAY = 0.03
"""Share of the pixels of levels on both sides below which a level is not the converter's: cameras
mend bad pixels after converting."""
_FEWEST = 30
"""Pixels of a level's neighbours below which its absence may be chance."""
_AROUND = 8
"""Levels on each side that are neighbours."""
_SPIKE = 1.6
"""How many times the next level's pixels the lowest has where the frame is clipped there."""
_CLIPPED = 0.005
"""Share of pixels at the lowest level below which clipping does not matter."""


@dataclass(frozen=True)
class Steps:
    """The converter's steps, from the histogram."""

    step: float
    """Root mean square width of a level at the pixels of the frame, DN; 1 or more."""
    even: bool
    """Whether all levels are about equally wide: not for a lossy curve."""
    floor: NDArray[np.float64]
    """(P,) DN to which each position is clipped from below; NaN: it is not."""
    levels: int
    """Levels that hold 98 % of the pixels, at the position that has the fewest."""


def find_steps(counts: NDArray[np.uint16], black: NDArray[np.float32]) -> Steps:
    """From blocks (n, P, s, s) in DN; `black` (period, period) is where clipping is possible."""
    if not counts.size:
        return Steps(1.0, True, np.full(black.size, np.nan), 0)
    found = [_of_position(counts[:, p]) for p in range(counts.shape[1])]
    widths = np.array([f[0] for f in found])
    spread = max(f[1] for f in found)
    step = float(np.sqrt((widths**2).mean()))
    lowest = zip((f[2] for f in found), black.ravel().tolist(), strict=True)
    floor = np.array([low if low <= level + 2 * step else np.nan for low, level in lowest])
    return Steps(step, spread < 1.5, floor, min(f[3] for f in found))


def _of_position(values: NDArray[np.uint16]) -> tuple[float, float, float, int]:
    """Width of a level, how much it grows, the clipping level or NaN, levels of 98 % of pixels."""
    histogram = np.bincount(values.ravel())
    levels = np.flatnonzero(histogram)
    count = histogram[levels]
    share = np.cumsum(count) / count.sum()
    inside = (share > 0.01) & (share - count / count.sum() < 0.99)
    width, growth = _widths(levels[inside], count[inside])
    spike = len(levels) > 1 and count[0] > _SPIKE * count[1] and share[0] > _CLIPPED
    only = len(levels) == 1
    return width, growth, float(levels[0]) if spike or only else np.nan, int(inside.sum())


def _widths(levels: NDArray[np.int_], count: NDArray[np.int_]) -> tuple[float, float]:
    """Root mean square width of these levels weighted by their pixels, and top over bottom."""
    around = sliding_window_view(np.pad(count, _AROUND), 2 * _AROUND + 1).max(axis=1)
    usual = float(np.median(around)) if len(around) else 0.0
    dense = ~_stray(count) & (around >= min(_FEWEST, usual))
    levels, count = levels[dense], count[dense]
    if len(levels) < 3:
        return (float(np.diff(levels)[0]) if len(levels) == 2 else 1.0), 1.0
    gaps = np.diff(levels).astype(np.float64)
    usual = float(np.median(np.repeat(gaps, np.minimum(count[1:], 1000))))
    gaps = np.where(gaps > 3 * usual, usual, gaps)  # between a dark and a bright part
    width = (gaps[:-1] + gaps[1:]) / 2
    weight = count[1:-1].astype(np.float64)
    third = max(len(width) // 3, 1)
    growth = width[-third:].mean() / width[:third].mean()
    return float(np.sqrt((weight @ width**2) / weight.sum())), float(growth)


def _stray(count: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Which levels have far fewer pixels than levels on both sides, two or less away."""
    padded = np.pad(count, 2)
    below = np.maximum(padded[:-4], padded[1:-3])
    above = np.maximum(padded[3:-1], padded[4:])
    stray: NDArray[np.bool_] = count < _STRAY * np.minimum(below, above)
    return stray
