"""Blocks of pixels spread over a frame, and what is computed of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undark.sensor.mosaic import Mosaic
from undark.sensor.offsets import LineOffsets

Floats = NDArray[np.float32]

_SIDE = 8
"""Pixels of one position of the CFA's period along a block's side."""
_PIXELS = 2_000_000
"""Pixels of the mosaic that are looked at."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """n blocks of s × s pixels, s even, of each of the P positions of the CFA's period."""

    counts: NDArray[np.uint16]
    """(n, P, s, s) DN as they lie in the frame."""
    rows: NDArray[np.int_]
    """(n,) first row of each block."""
    columns: NDArray[np.int_]

    def every(self, step: int) -> Blocks:
        """A part of them, evenly spread."""
        return Blocks(self.counts[::step], self.rows[::step], self.columns[::step])

    def signal(self, black: Floats, offsets: Sequence[LineOffsets] = ()) -> Floats:
        """(n, P, s, s) DN above black (period, period), offsets of rows and columns taken off."""
        signal = self.counts.astype(np.float32)
        signal -= black.reshape(-1)[:, None, None]
        period, side = len(black), self.counts.shape[-1]
        within = np.arange(period)[:, None] + period * np.arange(side)  # (period, s)
        for one in offsets:
            rows = one.rows[:, 0][self.rows[:, None, None] + within]  # (n, period, s)
            columns = one.columns[0][self.columns[:, None, None] + within]
            signal -= np.repeat(rows, period, axis=1)[:, :, :, None]
            signal -= np.tile(columns, (1, period, 1))[:, :, None, :]
        return signal


def sample_blocks(mosaic: Mosaic) -> Blocks:
    """Whole blocks, evenly spread, of about `_PIXELS` pixels; none where the frame is too small."""
    period = mosaic.cfa.period
    side = min(_SIDE, *(n // period // 2 * 2 for n in mosaic.shape))
    if side < 2:
        none = np.zeros(0, int)
        return Blocks(np.zeros((0, period**2, 2, 2), np.uint16), none, none)
    block = side * period
    down, across = (n // block for n in mosaic.shape)
    stride = max(1.0, (down * across * block**2 / _PIXELS) ** 0.5)
    rows, columns = (np.arange(0, n, stride).astype(int) for n in (down, across))
    cuts = [_cut(mosaic.plane[r * block : (r + 1) * block], side, columns, period) for r in rows]
    return Blocks(
        np.concatenate(cuts),
        np.repeat(rows * block, len(columns)),
        np.tile(columns * block, len(rows)),
    )


def _cut(
    band: NDArray[np.uint16], side: int, columns: NDArray[np.int_], period: int
) -> NDArray[np.uint16]:
    """Some blocks of a band of rows (side·period, W): (n, period², side, side)."""
    across = band.shape[1] // (side * period)
    parts = band[:, : across * side * period].reshape(side, period, across, side, period)
    chosen = parts[:, :, columns].transpose(2, 1, 4, 0, 3)
    return chosen.reshape(len(columns), period**2, side, side)


@dataclass(frozen=True, eq=False)
class Haar:
    """Of 2 × 2 pixels a, b / c, d of one position: all have the pixels' own variance, as noise.

    Each is (m, q): q squares of m blocks.
    """

    mean: Floats
    """(a + b + c + d) / 2"""
    across: Floats
    """(a - b + c - d) / 2: columns' offsets and the scene, but no row's."""
    down: Floats
    """(a + b - c - d) / 2: rows' offsets and the scene."""
    diagonal: Floats
    """(a - b - c + d) / 2: neither rows' nor columns' offsets, and least of the scene."""


def haar(signal: Floats) -> Haar:
    """Coefficients of blocks (n, P, s, s); m = n·P."""
    a, b = signal[..., ::2, ::2], signal[..., ::2, 1::2]
    c, d = signal[..., 1::2, ::2], signal[..., 1::2, 1::2]
    half, squares = np.float32(0.5), a.shape[2] * a.shape[3]
    sums, others = ((a + b) * half, (a - b) * half), ((c + d) * half, (c - d) * half)
    parts = (sums[0] + others[0], sums[1] + others[1], sums[0] - others[0], sums[1] - others[1])
    count = signal.shape[0] * signal.shape[1]
    return Haar(*(part.reshape(count, squares) for part in parts))
