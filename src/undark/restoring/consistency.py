"""Where a frame of a burst shows what the first one shows.

Means of each colour over windows of cells are compared, the frame's moved onto the first frame's.
Their difference is judged by the noise model, as Wronski et al. (2019) do, and by the contrast of
the first frame there, which bounds what an error of the alignment can do. Small windows see small
or bright things that move, large ones those whose light is hidden in the noise of few pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undark.align.field import Field
from undark.align.resample import Between
from undark.cpus import in_threads
from undark.sensor.cfa import CFA
from undark.sensor.noise import NoiseModel
from undark.sensor.windows import box_means, over_3x3

Floats = NDArray[np.float32]

_REACHES = (0, 2, 5)
"""Cells around each over which the differences of means over 3×3 cells are averaged further."""
_BAND, _AROUND = 96, max(_REACHES) + 1
"""Rows of cells that a thread compares at a time, and rows around them that they depend on."""
_KEPT, _REJECTED = 16.0, 30.0
"""Squared difference in variances (three colours) up to which a frame counts in full, and from
which it does not: noise alone exceeds them in 3 % and 0.02 % of the windows."""
_DISPLACED = 0.12
"""Share of the contrast in 5×5 cells by which means may differ: errors of the alignment."""
_FLICKER = 0.02
"""Share of the light by which frames may differ in brightness."""


@dataclass(frozen=True, eq=False)
class Summed:
    """Pixels of each colour in the cells of a mosaic."""

    sums: Floats
    """(3, h, w)"""
    counts: Floats
    """(3, h, w)"""


def summed(signal: Floats, cfa: CFA) -> Summed:
    """Of a mosaic (H, W); rows and columns beyond the last whole cell are left out."""
    cell = cfa.cell
    height, width = (n // cell for n in signal.shape)
    sums = np.zeros((3, height, width), np.float32)
    counts = np.zeros_like(sums)
    steps = cfa.period // cell
    for y in range(cfa.period):
        for x in range(cfa.period):
            part = signal[y : height * cell : cfa.period, x : width * cell : cfa.period]
            at = (cfa.pattern[y, x], slice(y // cell, None, steps), slice(x // cell, None, steps))
            sums[at] += part
            counts[at] += 1
    return Summed(sums, counts)


class Consistency:
    """Compares frames with the first one, whose noise is `noise`."""

    def __init__(self, first: Summed, noise: NoiseModel) -> None:
        counts = box_means(first.counts, 1)
        self._light = box_means(first.sums, 1) / counts
        mean, square = box_means(self._light, 2), box_means(self._light**2, 2)
        variance = np.asarray(noise.variance(np.maximum(mean, 0)), np.float32)
        own = variance / (9 * counts)
        contrast = np.maximum(square - mean**2 - own, 0)
        self._tolerance = _DISPLACED**2 * contrast + np.square(np.float32(_FLICKER) * mean)
        self._variance = 2 * own

    def weights(self, frame: Summed, field: Field) -> Floats:
        """(h, w): 1 where a frame that lies as `field` says shows the same, 0 where it does not."""
        light = box_means(frame.sums, 1)
        light /= box_means(frame.counts, 1)
        weights = np.empty(light.shape[1:], np.float32)
        height = len(weights)

        def work(top: int) -> None:
            begin, end = max(top - _AROUND, 0), min(top + _BAND + _AROUND, height)
            same = self._same(light, field, slice(begin, end))
            weights[top : top + _BAND] = same[top - begin :][:_BAND]

        in_threads(work, range(0, height, _BAND))
        return weights

    def _same(self, light: Floats, field: Field, rows: slice) -> Floats:
        """`weights` of some rows from the frame's light (3, h, w)."""
        apart = _moved(light, field, rows) - self._light[:, rows]
        same = np.ones(apart.shape[1:], np.float32)
        for reach in _REACHES:
            mean = box_means(apart, reach) if reach else apart
            # means over 3×3 cells overlap: over (2·reach + 3)² cells in all
            share = np.float32((3 / (2 * reach + 3)) ** 2)
            expected = self._variance[:, rows] * share + self._tolerance[:, rows] * np.sqrt(share)
            off = (np.square(mean) / expected).sum(axis=0)
            np.minimum(same, (_REJECTED - off) / (_REJECTED - _KEPT), out=same)
        # a window at the edge of what moves holds little of it
        return over_3x3(np.clip(same, 0, 1), np.minimum)


def _moved(light: Floats, field: Field, rows: slice) -> Floats:
    """(3, h, w) at the places of some rows of the reference's cells, bilinear; borders replicated.

    `light` is the whole frame's.
    """
    height, width = light.shape[1:]
    y, x = np.arange(rows.start, rows.stop, dtype=float), np.arange(width, dtype=float)
    across, down = field.at(y, x)
    places = Between.of(y[:, None] + down, x[None] + across, (height, width))
    return np.stack([places.values(plane.ravel()) for plane in light])
