"""The geometric model of a registration: a shift, a rotation and a change of scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Motion:
    """Content at x in the dark plane is at x + u in the bright plane; pixels of the plane.

    u = (x - turn·y, y + turn·x) + growth·(x, y), with (x, y) from the centre of the frame, y down.
    """

    x: float = 0.0
    y: float = 0.0
    turn: float = 0.0
    """Rotation in radians, clockwise on the displayed picture."""
    growth: float = 0.0
    """Scale of the bright photo's content, less 1."""

    def at(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 2) shifts (x, y) at (n, 2) positions relative to the centre."""
        x, y = points.T
        across = self.x - self.turn * y + self.growth * x
        return np.stack([across, self.y + self.turn * x + self.growth * y], axis=1)

    def moved(self, step: NDArray[np.float64]) -> Motion:
        """The sum of this motion and a `step` (x, y, turn, growth)."""
        x, y, turn, growth = (float(s) for s in step)
        return Motion(self.x + x, self.y + y, self.turn + turn, self.growth + growth)

    def apart(self, other: Motion, shape: tuple[int, int]) -> float:
        """Distance between the places of two motions, root mean square over a plane (h, w)."""
        shift = (self.x - other.x) ** 2 + (self.y - other.y) ** 2
        linear = (self.turn - other.turn) ** 2 + (self.growth - other.growth) ** 2
        return float(np.sqrt(shift + linear * (shape[0] ** 2 + shape[1] ** 2) / 12))
