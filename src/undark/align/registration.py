"""Register a bright photo to a dark one: shift, rotation and scale, at amplifications up to 300.

1. `correlation`: a first estimate on small planes.
2. `refinement`: Gauss-Newton steps from coarse planes to fine ones (`planes`).

Planes are the green channel with one pixel per cell of the CFA (2 or 3 sensor pixels), so that
demosaicing does not influence the result. Both photos have one CFA: the centre of a cell is at the
same place in both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from undark.align.correlation import coarse_motion, first_gain
from undark.align.motion import Motion
from undark.align.planes import Floats, Level, Noise, pyramid
from undark.align.refinement import Doubles, State, Update, refine, warp

_FIRST_STEPS, _STEPS = 8, 3
"""Gauss-Newton steps at the coarsest level and at each of the others."""


@dataclass(frozen=True, eq=False)
class Registration:
    """The estimated motion with its uncertainty, and the registered blocks of both planes."""

    motion: Motion
    covariance: Doubles
    """(4, 4) of the motion's x, y, turn and growth."""
    gain: float
    """Factor that brings the dark plane to the brightness of the bright one."""
    gain_error: float
    """Its relative standard error."""
    offset: float
    """To be subtracted afterwards: the error of the dark photo's black level, amplified."""
    grid: tuple[int, int]
    """Number of blocks in a column and in a row of the frame."""
    dark: Floats
    """(n, side, side): blocks of the dark plane times the gain, less the offset."""
    bright: Floats
    """The bright plane at the same places."""
    variance: Floats
    """Of `dark`, by the noise model; infinite where the planes cannot be compared."""
    block_error: Doubles
    """(n, 2): shift (x, y) of each block that the motion does not explain, in pixels."""
    mahalanobis: Doubles
    """(n,): length of `block_error` in standard deviations."""

    @property
    def error(self) -> float:
        """Standard error of the shift in its less certain direction, in pixels of the plane."""
        return math.sqrt(float(np.linalg.eigvalsh(self.covariance[:2, :2])[-1]))


def register(dark: Floats, bright: Floats, noise: Noise) -> Registration:
    """Register a bright plane (h, w) to a dark one of the same shape.

    Both are linear light above black; 1 is white, where the bright one saturates. The dark plane is
    not amplified: the gain is estimated. Planes have at least 32 pixels a side.
    """
    levels = list(pyramid(dark, bright, noise))
    coarsest = levels[-1]
    gain = first_gain(coarsest)
    state = State(coarse_motion(coarsest, gain), gain)
    for level in reversed(levels):
        for _ in range(_FIRST_STEPS if level is coarsest else _STEPS):
            state, update = refine(level, state)
    return _registration(levels[0], state, update)


def _registration(level: Level, state: State, update: Update) -> Registration:
    warped = warp(level, state)
    return Registration(
        motion=state.motion,
        covariance=update.covariance,
        gain=state.gain,
        gain_error=state.gain_error,
        offset=state.offset,
        grid=level.grid,
        dark=warped.dark - np.float32(state.offset),
        bright=warped.bright,
        variance=warped.variance,
        block_error=update.residual,
        mahalanobis=update.mahalanobis,
    )
