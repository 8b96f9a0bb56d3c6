"""Gauss-Newton refinement of a registration (Lucas & Kanade, IJCAI 1981; Baker & Matthews, IJCV
2004).

The clean bright plane is warped and compared with the noisy dark plane; each pixel is weighted by
the inverse of its noise variance. Every block of the frame gives normal equations of its own, with
a brightness of its own. A robust fit (Tukey's biweight) combines the blocks, so that a moved object
has little influence. Their scatter around the fit sets the standard error, where it exceeds the
noise model's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undark.align.motion import Motion
from undark.align.planes import MARGIN, Floats, Level, blocks, patches
from undark.align.resample import moved_patches

Doubles = NDArray[np.float64]

_MISFIT = 0.05
"""Relative error of the bright plane as a model of the dark one: bounds the weight of bright
pixels."""
_BLOCK_MISFIT = 0.05
"""Standard error of a block's shift from causes other than noise (aliasing), in pixels: bounds the
weight of blocks with strong texture."""
_TURN, _SCALE = 0.01, 0.01
"""Standard deviations of the prior of rotation (radians) and scale: without texture both stay near
0."""
_TUKEY = 4.685
"""Constant of Tukey's biweight: 95 % efficiency under normal noise."""
_RAYLEIGH = 1.1774
"""Median length of a vector of two standard normal deviates."""


@dataclass(frozen=True)
class State:
    """The estimate so far: motion (pixels of the finest plane), and gain·dark = bright + offset."""

    motion: Motion
    gain: float
    offset: float = 0.0
    gain_error: float = math.inf


@dataclass(frozen=True, eq=False)
class Update:
    """The robust fit over the blocks of a level, in pixels of the finest plane."""

    step: Doubles
    """(4,): to be added to the motion's x, y, turn and growth."""
    covariance: Doubles
    """(4, 4) of the step."""
    residual: Doubles
    """(n, 2): shift of each block that the step does not explain."""
    mahalanobis: Doubles
    """(n,): length of the residual in standard deviations."""


@dataclass(frozen=True, eq=False)
class Warped:
    """Blocks of both planes, registered by a `State`."""

    dark: Floats
    """(n, side, side): the dark plane times the gain."""
    bright: Floats
    """(n, side, side): the bright plane at the same places of the scene."""
    gradients: tuple[Floats, Floats]
    """Of `bright`, along x and y."""
    variance: Floats
    """Of `dark`; infinite where the bright photo is saturated or outside its frame."""


def refine(level: Level, state: State) -> tuple[State, Update]:
    """One Gauss-Newton step."""
    matrices = _normal_matrices(level, state)
    gain, offset, gain_error = _brightness(matrices)
    update = _solve(level, matrices, gain, offset)
    # the dark plane, amplified so far, is gain·bright + offset
    after = state.motion.moved(_limited(update.step, level))
    return State(after, state.gain / gain, offset / gain, gain_error / gain), update


def _limited(step: Doubles, level: Level) -> Doubles:
    """Limit a step to two pixels of the level in the corners: gradients are local."""
    radius = math.hypot(*level.shape) / 2
    length = float(np.hypot(*step[:2]) + radius * np.hypot(*step[2:]))
    return step * min(1.0, 2 * level.scale / max(length, 1e-9))


def _normal_matrices(level: Level, state: State) -> Doubles:
    """(n, 5, 5): per block the weighted inner products of B, 1, its gradients in x and y, and D.

    B is the bright plane, D the amplified dark plane.
    """
    warped = warp(level, state)
    # clipped at 4 sigma: hot pixels and flickering light sources
    expected = warped.bright + np.float32(state.offset)
    reach = 4 * np.sqrt(warped.variance)
    dark = np.clip(warped.dark, expected - reach, expected + reach)
    count, ones = len(dark), np.ones_like(warped.bright)
    columns = np.stack([warped.bright, ones, *warped.gradients, dark], axis=1)
    columns = columns.reshape(count, 5, -1)
    weighted = columns / warped.variance.reshape(count, 1, -1)
    return np.asarray(weighted @ columns.swapaxes(1, 2), np.float64)


def warp(level: Level, state: State) -> Warped:
    """Blocks of the dark plane, amplified, and of the bright plane, moved onto them."""
    bright, gradients, usable = _moved_blocks(level, state.motion)
    gain, noise = np.float32(state.gain), level.noise
    signal: Floats = np.maximum(bright, np.float32(0)) * np.float32(1 / state.gain)
    at_black = np.float32(noise.variance_at_black)
    variance: Floats = (signal * np.float32(noise.slope) + at_black) * gain * gain
    variance += np.square(bright * np.float32(_MISFIT))
    variance[~usable] = np.inf
    dark: Floats = blocks(level.dark, level.side) * gain
    return Warped(dark, bright, gradients, variance)


def _moved_blocks(
    level: Level, motion: Motion
) -> tuple[Floats, tuple[Floats, Floats], NDArray[np.bool_]]:
    """The bright plane's blocks as the motion places them: values, gradients (x, y), usable.

    A block is moved by the motion at its centre with cubic interpolation; rotation and scale within
    it are approximated with its gradients.
    """
    side = level.side
    shift = motion.at(level.centres) / level.scale
    whole_pixels = np.floor(shift).astype(int)
    fraction: Floats = (shift - whole_pixels).astype(np.float32)
    corner = level.corners + whole_pixels
    most = np.array(level.bright.shape[::-1]) - side - MARGIN - 1
    inside = np.all((corner >= MARGIN) & (corner <= most), axis=1)
    corner = np.clip(corner, MARGIN, most)
    wide = patches(level.bright, corner - MARGIN, side + 2 * MARGIN + 1)
    bright, gradients = _rotated_and_scaled(moved_patches(wide, fraction), motion)
    usable = patches(level.usable, corner + np.rint(fraction).astype(int), side)
    return bright, gradients, usable & inside[:, None, None]


def _rotated_and_scaled(patch: Floats, motion: Motion) -> tuple[Floats, tuple[Floats, Floats]]:
    """(n, s+2, s+2) → (n, s, s), rotated and scaled about its centre, and gradients (x, y)."""
    across: Floats = (patch[:, 1:-1, 2:] - patch[:, 1:-1, :-2]) * np.float32(0.5)
    down: Floats = (patch[:, 2:, 1:-1] - patch[:, :-2, 1:-1]) * np.float32(0.5)
    side = across.shape[1]
    x = np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
    y = x[:, None]
    turn, growth = np.float32(motion.turn), np.float32(motion.growth)
    light: Floats = patch[:, 1:-1, 1:-1] + across * (growth * x - turn * y)
    light += down * (growth * y + turn * x)
    return light, (across, down)


def _brightness(matrices: Doubles) -> tuple[float, float, float]:
    """Gain and offset of D = gain·B + offset over the frame, and the gain's standard error."""
    total = matrices.sum(axis=0)
    normal = total[:2, :2] + np.eye(2) * 1e-9 * max(float(np.trace(total[:2, :2])), 1e-12)
    gain, offset = np.linalg.solve(normal, total[:2, 4])
    error = math.sqrt(max(float(np.linalg.inv(normal)[0, 0]), 0.0))
    # a gain far from 1 is noise: the first estimate is a ratio of means
    return float(np.clip(gain, 0.5, 2.0)), float(offset), error


def _solve(level: Level, matrices: Doubles, gain: float, offset: float) -> Update:
    """Each block's remaining shift with its covariance, then the fit over the frame."""
    common = matrices[:, :2, :2] + 1e-6 * np.eye(2)
    left = matrices[:, :4, 4] - matrices[:, :4, :2] @ np.array([gain, offset])
    # a block's own brightness is eliminated: Schur complement
    share = matrices[:, 2:4, :2] @ np.linalg.inv(common)
    information = matrices[:, 2:4, 2:4] - share @ matrices[:, :2, 2:4] + 1e-9 * np.eye(2)
    right = left[:, 2:, None] - share @ left[:, :2, None]
    shift = np.linalg.solve(information, right)[..., 0]
    covariance = np.linalg.inv(information) + _BLOCK_MISFIT**2 * np.eye(2)
    precision = np.linalg.inv(covariance) / level.scale**2
    return _robust_fit(_jacobian(level), precision, shift * level.scale)


def _robust_fit(jacobian: Doubles, precision: Doubles, shift: Doubles) -> Update:
    """Iteratively reweighted least squares over blocks.

    `precision` is (n, 2, 2), the inverse covariance of the blocks' shifts (n, 2).
    """
    weight = np.ones(len(shift))
    for _ in range(5):
        step, covariance = _least_squares(jacobian, precision * weight[:, None, None], shift)
        residual = shift - jacobian @ step
        squares = np.einsum("ni,nij,nj->n", residual, precision, residual)
        mahalanobis = np.sqrt(np.maximum(squares, 0))
        spread = max(1.0, float(np.median(mahalanobis)) / _RAYLEIGH)
        weight = np.clip(1 - (mahalanobis / spread / _TUKEY) ** 2, 0, None) ** 2
    return Update(step, covariance * spread**2, residual, mahalanobis)


def _least_squares(
    jacobian: Doubles, precision: Doubles, shift: Doubles
) -> tuple[Doubles, Doubles]:
    """The step (4,) that best explains the blocks' shifts, and its covariance."""
    seen = jacobian.swapaxes(1, 2) @ precision
    prior = np.diag([1e-9, 1e-9, 1 / _TURN**2, 1 / _SCALE**2])
    covariance = np.linalg.inv((seen @ jacobian).sum(axis=0) + prior)
    return covariance @ (seen @ shift[..., None]).sum(axis=0)[:, 0], covariance


def _jacobian(level: Level) -> Doubles:
    """(n, 2, 4): derivative of each block centre's shift by (x, y, turn, growth)."""
    x, y = level.centres.T
    one, none = np.ones_like(x), np.zeros_like(x)
    across, down = np.stack([one, none, -y, x], axis=1), np.stack([none, one, x, y], axis=1)
    return np.stack([across, down], axis=1)
