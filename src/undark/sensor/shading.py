"""Dark shading: the smooth part of a sensor's mean dark frame, as a small grid for each position.

After Feng et al., "Learnability enhancement for low-light raw denoising" (TPAMI 2023), which
subtracts the mean dark frame; a grid keeps its smooth part, that a profile can hold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Shading:
    """Offsets in DN over a mosaic, bilinear between the nodes of a grid.

    Half a cell beyond the outer nodes, to the frame's edges, the slope goes on.

    Node i lies at grid coordinate i; pixel n of an axis at `origin + n * step`.
    """

    grid: NDArray[np.float32]
    """(period, period, rows, columns) DN for each position of the mosaic's CFA; 2 nodes or more."""
    origin: tuple[float, float]
    """Grid coordinates (row, column) of the top left pixel."""
    step: tuple[float, float]
    """Grid coordinates from one pixel to the next, down and across."""

    @classmethod
    def over_frame(cls, grid: NDArray[np.float32], shape: tuple[int, int]) -> Self:
        """The shading of a frame (H, W) that was divided into equal cells, one a node."""
        step = grid.shape[2] / shape[0], grid.shape[3] / shape[1]
        return cls(grid, (step[0] / 2 - 0.5, step[1] / 2 - 0.5), step)

    def at(self, top: int, left: int, shape: tuple[int, int]) -> NDArray[np.float32]:
        """(h, w) DN for the part of the mosaic that begins at (top, left)."""
        period, (rows, columns) = len(self.grid), self.grid.shape[2:]
        down = _weights(self.origin[0] + self.step[0] * (top + np.arange(shape[0])), rows)
        across = _weights(self.origin[1] + self.step[1] * (left + np.arange(shape[1])), columns)
        out = np.empty(shape, np.float32)
        for y in range(period):
            for x in range(period):
                nodes = self.grid[(top + y) % period, (left + x) % period]
                out[y::period, x::period] = down[y::period] @ nodes @ across[x::period].T
        return out

    def crop(self, top: int, left: int) -> Self:
        """As seen from another top left pixel; negative where pixels are put before the first."""
        origin = self.origin[0] + top * self.step[0], self.origin[1] + left * self.step[1]
        return replace(self, grid=np.roll(self.grid, (-top, -left), (0, 1)), origin=origin)

    def turned(
        self,
        positions: NDArray[np.int64],
        flips: tuple[bool, bool],
        swap: bool,
        shape: tuple[int, int],
    ) -> Self:
        """Of a mosaic (H, W) of `shape` that is flipped (down, across), then transposed if `swap`.

        `positions` (period, period) holds, for each new position of the CFA's period, the old
        one's number, row by row.
        """
        period, _, rows, columns = self.grid.shape
        grid = self.grid.reshape(period * period, rows, columns)[positions]
        axes = list(zip(self.origin, self.step, flips, shape, strict=True))
        axes = axes[::-1] if swap else axes
        origin = [o + s * (n - 1) if flip else o for o, s, flip, n in axes]
        step = [-s if flip else s for _, s, flip, _ in axes]
        grid = grid.swapaxes(2, 3) if swap else grid
        return replace(self, grid=grid, origin=(origin[0], origin[1]), step=(step[0], step[1]))


def _weights(at: NDArray[Any], nodes: int) -> NDArray[np.float32]:
    """(n, nodes): the share that each node has in each of n places: linear, ends prolonged."""
    at = np.clip(at, -0.5, nodes - 0.5)
    first = np.clip(np.floor(at), 0, nodes - 2).astype(np.int64)
    shares = np.zeros((len(at), nodes), np.float32)
    every = np.arange(len(at))
    shares[every, first] = 1 - (at - first)
    shares[every, first + 1] = at - first
    return shares
