"""Where the content of one frame is in another: a motion of the frame, and a field beside it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from undark.align.motion import Motion

Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Field:
    """Content at x of the reference is at x + u of the frame, in pixels of the plane.

    u is the `motion`'s shift plus that of its `rows`, as a rolling shutter makes of a shake, plus
    `local`, bilinear between the centres of square blocks of `side` pixels, the first of which
    begins at the top left corner of the plane.
    """

    motion: Motion
    local: Doubles
    """(rows, columns, 2): a further shift (x, y) of each block."""
    side: float
    shape: tuple[int, int]
    """(h, w) of the plane."""
    rows: Doubles = field(default_factory=lambda: np.zeros((0, 2)))
    """(k, 2): a further shift (x, y) of each row, in `along_rows`."""

    def at(self, rows: Doubles, columns: Doubles) -> tuple[Doubles, Doubles]:
        """Shifts (x, y), (n, m) each, at rows (n,) and columns (m,) of the plane.

        Positions are those of pixels' centres: 0 is the centre of the first pixel.
        """
        y, x = (p + 0.5 - n / 2 for p, n in zip((rows, columns), self.shape, strict=True))
        turn, growth = self.motion.turn, self.motion.growth
        across = self.motion.x + growth * x[None] - turn * y[:, None]
        down = self.motion.y + turn * x[None] + growth * y[:, None]
        leaning = along_rows(rows, self.shape[0], len(self.rows)) @ self.rows
        across, down = across + leaning[:, :1], down + leaning[:, 1:]
        if self.local.any():
            bent = self._local_at(rows, columns)
            across, down = across + bent[..., 0], down + bent[..., 1]
        return across, down

    def _local_at(self, rows: Doubles, columns: Doubles) -> Doubles:
        """(n, m, 2)"""
        (top, below, lower), (left, right, later) = (
            _between(place, self.side, count)
            for place, count in zip((rows, columns), self.local.shape, strict=False)
        )
        lower, later = lower[:, None, None], later[None, :, None]
        lines = self.local[top] * (1 - lower) + self.local[below] * lower
        found: Doubles = lines[:, left] * (1 - later) + lines[:, right] * later
        return found


def along_rows(rows: Doubles, height: int, count: int) -> Doubles:
    """(n, count): Legendre polynomials, from the linear one on, at rows (n,) of a plane."""
    found = legendre.legvander(2 * (rows + 0.5) / height - 1, count)[:, 1:]
    return np.asarray(found, np.float64)


def _between(
    place: Doubles, side: float, count: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], Doubles]:
    """The blocks before and after each place of a line, and the share of the latter."""
    at = np.clip((place + 0.5) / side - 0.5, 0, count - 1)
    first = at.astype(np.intp)
    return first, np.minimum(first + 1, count - 1), at - first


def resized(local: Doubles, grid: tuple[int, int]) -> Doubles:
    """A field (rows, columns, 2) on another grid over the same frame, bilinear."""
    if local.shape[:2] == grid:
        return local
    lines = _lines(local, grid[0])
    return _lines(lines.swapaxes(0, 1), grid[1]).swapaxes(0, 1)


def _lines(local: Doubles, count: int) -> Doubles:
    places = (np.arange(count) + 0.5) * len(local) / count - 0.5
    first, after, share = _between(places, 1.0, len(local))
    share = share[:, None, None]
    return local[first] * (1 - share) + local[after] * share


def smoothest(
    shift: Doubles, precision: Doubles, apart: float, away: float, steps: int = 60
) -> Doubles:
    """The smooth field (rows, columns, 2) that best explains the blocks' own shifts.

    `shift` is (rows, columns, 2), `precision` (rows, columns, 2, 2) its inverse covariance.
    `apart` is the standard deviation of the difference of neighbouring blocks, `away` that of a
    block, both of the prior, in pixels. Solved by conjugate gradients.
    """

    def product(field: Doubles) -> Doubles:
        out = np.einsum("abij,abj->abi", precision, field) + field / away**2
        for axis in (0, 1):
            step = np.diff(field, axis=axis) / apart**2
            before = [(0, 0), (0, 0), (0, 0)]
            after = before.copy()
            before[axis], after[axis] = (1, 0), (0, 1)
            out += np.pad(step, before) - np.pad(step, after)
        return np.asarray(out)

    # divided by the diagonal, so that precise and vague blocks converge alike
    diagonal = np.einsum("abii->abi", precision) + 1 / away**2 + 4 / apart**2
    field = np.zeros_like(shift)
    rest = np.einsum("abij,abj->abi", precision, shift)
    ahead = rest / diagonal
    direction, energy = ahead, float((rest * ahead).sum())
    for _ in range(steps):
        if energy < 1e-12:
            break
        moved = product(direction)
        length = energy / float((direction * moved).sum())
        field = field + length * direction
        rest = rest - length * moved
        ahead = rest / diagonal
        before, energy = energy, float((rest * ahead).sum())
        direction = ahead + energy / before * direction
    return field
