"""How a bright photo lies on a dark one: shift, turn and scale, found in the noise of ×300.

1. Where about: cross-correlation of small planes (Fourier), variance-stabilised and clipped, so
   that lamps and hot pixels do not rule.
2. Where exactly: Gauss-Newton (Lucas & Kanade, IJCAI 1981; Baker & Matthews, IJCV 2004) from coarse
   planes to fine. The clean bright plane is moved and compared with the noisy dark one, each pixel
   weighted by the noise that it must have. Every block of the frame gives its own equations, with
   a brightness of its own, and a block that contradicts the others counts little (Tukey's
   biweight): a person who walked on does not pull the frame along.
3. How sure: the blocks' scatter around the motion found, not the theory alone, sets its error.

Planes are green, a cell of the CFA each (2 or 3 sensor pixels), so that no interpolation of colours
comes between; both photos have one CFA, so a cell's middle is the same place in both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

BLOCK = 32
"""Side of a block in pixels of the plane: large enough to show a shift at ×300, small enough that a
turned frame moves all of it by the same."""
_MARGIN = 2
"""Pixels around a block that interpolation and slopes look at."""
_COARSEST = 256
"""Largest side of the planes that are correlated: noise is averaged away, lamps are dots."""
_FARTHEST = 0.25
"""The largest shift looked for, as a share of the frame: beyond, too little is in both photos."""
_SATURATED = 0.95
"""Share of white from which a bright pixel tells nothing of the scene's shape."""
_MISFIT = 0.05
"""How far the bright plane may be from the truth, as a share of itself: no pixel counts more than
this allows, however bright."""
_BLOCK_MISFIT = 0.05
"""How far a block's shift may be off for reasons other than noise (aliasing), in pixels: textures
of any strength count as no better known than this."""
_TURN, _SCALE = 0.01, 0.01
"""How far frames of a pair are turned or scaled, at most about (radians, share): holds both at 0
where the photo does not tell."""
_TUKEY = 4.685
"""Tukey's biweight: 95 % of the efficiency of least squares under normal noise."""
_MOST_GAIN = 3000.0
"""Ten times the most that undark amplifies; a dark photo's mean may be below black by error."""
_RAYLEIGH = 1.1774
"""Median of the length of a pair of standard normal deviates."""


@dataclass(frozen=True)
class Noise:
    """Variance of a pixel of the dark plane: `slope`·signal + `still`, in its own unit."""

    slope: float
    still: float


@dataclass(frozen=True)
class Motion:
    """Content at x in the dark plane is at x + u in the bright one; pixels of the plane.

    u = (x - turn·y, y + turn·x) + growth·(x, y), with (x, y) from the frame's middle, y down.
    """

    x: float = 0.0
    y: float = 0.0
    turn: float = 0.0
    """Radians, clockwise as one looks at the picture."""
    growth: float = 0.0
    """How much larger the bright photo's content is, less 1."""

    def at(self, points: Doubles) -> Doubles:
        """(n, 2) shifts (x, y) at (n, 2) places from the middle."""
        x, y = points.T
        across = self.x - self.turn * y + self.growth * x
        return np.stack([across, self.y + self.turn * x + self.growth * y], axis=1)

    def moved(self, step: Doubles) -> Motion:
        """With (x, y, turn, growth) added."""
        x, y, turn, growth = (float(s) for s in step)
        return Motion(self.x + x, self.y + y, self.turn + turn, self.growth + growth)


@dataclass(frozen=True, eq=False)
class Registration:
    """The motion found, how sure it is, and both planes laid on each other, block by block."""

    motion: Motion
    covariance: Doubles
    """(4, 4) of the motion's x, y, turn and growth."""
    gain: float
    """What the dark plane has to be multiplied by to be as bright as the bright one."""
    gain_error: float
    """Its standard error, as a share of it."""
    offset: float
    """And what is then to be subtracted: the dark photo's error of black, amplified."""
    grid: tuple[int, int]
    """Blocks in a column and in a row of the frame."""
    dark: Floats
    """(n, side, side): blocks of the dark plane, multiplied by the gain, black level matched."""
    bright: Floats
    """The bright plane at the same places."""
    variance: Floats
    """Of `dark`, by the noise model; infinite where there is nothing to compare."""
    block_error: Doubles
    """(n, 2): how far each block is off the motion (x, y), in pixels."""
    surprise: Doubles
    """(n,): the same in standard deviations."""

    @property
    def error(self) -> float:
        """Standard error of the shift, of the worse direction, in pixels of the plane."""
        return math.sqrt(float(np.linalg.eigvalsh(self.covariance[:2, :2])[-1]))


def register(dark: Floats, bright: Floats, noise: Noise) -> Registration:
    """Lay a bright plane (h, w) on a dark one of the same shape.

    Both are linear light above black; white, where the bright one saturates, is 1. The dark one is
    not amplified: what it needs is found. Planes have at least 32 pixels a side.
    """
    levels = list(_pyramid(dark, bright, noise))
    coarsest = levels[-1]
    gain = _first_gain(coarsest)
    state = _State(_coarse_motion(coarsest, gain), gain)
    for level in reversed(levels):
        for _ in range(8 if level is coarsest else 3):
            state, answer = _improve(level, state)
    return _registration(levels[0], state, answer)


def _registration(level: _Level, state: _State, answer: _Answer) -> Registration:
    dark, bright, _, variance = _laid(level, state)
    return Registration(
        motion=state.motion,
        covariance=answer.covariance,
        gain=state.gain,
        gain_error=state.gain_error,
        offset=state.offset,
        grid=level.grid,
        dark=dark - np.float32(state.offset),
        bright=bright,
        variance=variance,
        block_error=answer.rest,
        surprise=answer.surprise,
    )


@dataclass(frozen=True, eq=False)
class _Level:
    """Both planes at one scale of the pyramid."""

    dark: Floats
    bright: Floats
    usable: NDArray[np.bool_]
    noise: Noise
    scale: int
    """Pixels of the finest plane in one of this, along a side."""
    shape: tuple[int, int]
    """Of the finest plane."""

    @property
    def side(self) -> int:
        """Of a block: whole to the coarsest detail that is looked at."""
        return int(min(BLOCK, min(self.dark.shape) // 32 * 16))

    @property
    def grid(self) -> tuple[int, int]:
        height, width = (n // self.side for n in self.dark.shape)
        return height, width

    @property
    def middles(self) -> Doubles:
        """(n, 2) middles (x, y) of blocks from the frame's middle, in pixels of the finest."""
        rows, columns = ((np.arange(n) + 0.5) * self.side * self.scale for n in self.grid)
        y, x = np.meshgrid(rows - self.shape[0] / 2, columns - self.shape[1] / 2, indexing="ij")
        return np.stack([x.ravel(), y.ravel()], axis=1)


@dataclass(frozen=True)
class _State:
    """What is known so far: the motion (pixels of the finest plane) and gain·dark = B + offset."""

    motion: Motion
    gain: float
    offset: float = 0.0
    gain_error: float = math.inf


@dataclass(frozen=True, eq=False)
class _Answer:
    """What the blocks of a level say together, in pixels of the finest plane."""

    step: Doubles
    """(4,): what is to be added to the motion's x, y, turn and growth."""
    covariance: Doubles
    """(4, 4) of the step."""
    rest: Doubles
    """(n, 2): how far each block is off, the step taken."""
    surprise: Doubles
    """(n,): the same in standard deviations."""


def _pyramid(dark: Floats, bright: Floats, noise: Noise) -> Iterator[_Level]:
    """From fine to coarse, each half as large as the one before."""
    usable = (bright < _SATURATED).astype(np.float32)
    shape, scale = (dark.shape[0], dark.shape[1]), 1
    while True:
        # a little blur: finer detail is aliased differently in both photos
        smooth = blurred(bright)
        yield _Level(blurred(dark), smooth, _eroded(usable > 0.99), noise, scale, shape)
        if max(dark.shape) <= _COARSEST or min(dark.shape) < 4 * BLOCK:
            return
        dark, bright, usable = (halved(plane) for plane in (dark, bright, usable))
        noise, scale = Noise(noise.slope / 4, noise.still / 4), 2 * scale


def halved(plane: Floats) -> Floats:
    """Means of 2×2 pixels of (…, h, w); an odd row or column at the end is left out."""
    height, width = (n // 2 * 2 for n in plane.shape[-2:])
    rows: Floats = plane[..., :height:2, :width] + plane[..., 1:height:2, :width]
    return (rows[..., ::2] + rows[..., 1::2]) * np.float32(0.25)


def blurred(plane: Floats) -> Floats:
    """By the binomial kernel (1, 2, 1)/4 along both sides."""
    wide = np.pad(plane, 1, mode="edge")
    rows: Floats = wide[:-2] + 2 * wide[1:-1] + wide[2:]
    both: Floats = rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]
    return both * np.float32(1 / 16)


def _eroded(usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without the pixels that interpolation would mix with unusable ones."""
    wide = np.pad(usable, _MARGIN, mode="edge")
    size = 2 * _MARGIN + 1
    rows = sliding_window_view(wide, size, axis=0).all(axis=-1)
    return np.asarray(sliding_window_view(rows, size, axis=1).all(axis=-1))


def _first_gain(level: _Level) -> float:
    """Ratio of brightness where the bright plane is not saturated."""
    seen = level.usable if level.usable.any() else np.ones_like(level.usable)
    bright, dark = (float(np.mean(p[seen], dtype=np.float64)) for p in (level.bright, level.dark))
    return max(bright, 1e-6) / max(dark, bright / _MOST_GAIN, 1e-9)


def _coarse_motion(level: _Level, gain: float) -> Motion:
    """The highest peak of the correlation, to a pixel of the coarsest plane."""
    still = math.sqrt(level.noise.still) * gain
    dark, bright = (
        np.sqrt(np.clip(plane, 0, 1) + still + 1e-3)
        for plane in (level.dark * np.float32(gain), level.bright)
    )
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in dark.shape))
    a, b = (np.fft.rfft2((p - _local_mean(p)) * window) for p in (dark, bright))
    size = np.abs(b)
    correlation = np.fft.irfft2(b * a.conj() / (size + size.mean()), dark.shape)
    height, width = dark.shape
    down, across = (np.fft.fftfreq(n, 1 / n) for n in dark.shape)
    near = np.outer(np.abs(down) <= _FARTHEST * height, np.abs(across) <= _FARTHEST * width)
    best = int(np.argmax(np.where(near, correlation, -np.inf)))
    y, x = divmod(best, width)
    return Motion(float(across[x]) * level.scale, float(down[y]) * level.scale)


def _local_mean(plane: NDArray[np.floating]) -> Doubles:
    """Blurred in the Fourier plane to a sixteenth of the frame: what is left out as lighting."""
    down, across = np.fft.fftfreq(plane.shape[0]), np.fft.rfftfreq(plane.shape[1])
    sigma = max(plane.shape) / 16
    keep = np.exp(-2 * (math.pi * sigma) ** 2 * (down[:, None] ** 2 + across**2))
    return np.fft.irfft2(np.fft.rfft2(plane) * keep, plane.shape)


def _improve(level: _Level, state: _State) -> tuple[_State, _Answer]:
    """One step of Gauss-Newton."""
    matrices = _matrices(level, state)
    gain, offset, gain_error = _brightness(matrices)
    answer = _solve(level, matrices, gain, offset)
    # the dark plane, amplified so far, is gain·B + offset
    after = state.motion.moved(_careful(answer.step, level))
    return _State(after, state.gain / gain, offset / gain, gain_error / gain), answer


def _careful(step: Doubles, level: _Level) -> Doubles:
    """A step no longer than slopes can tell, about a pixel in the corners of the level."""
    radius = math.hypot(*level.shape) / 2
    length = float(np.hypot(*step[:2]) + radius * np.hypot(*step[2:]))
    return step * min(1.0, 2 * level.scale / max(length, 1e-9))


def _matrices(level: _Level, state: _State) -> Doubles:
    """(n, 5, 5): for each block the weighted products of B, 1, its slopes in x and y, and D."""
    dark, bright, slopes, variance = _laid(level, state)
    # hot pixels and lamps that flicker count as no more than 4 sigma
    expected = bright + np.float32(state.offset)
    reach = 4 * np.sqrt(variance)
    dark = np.clip(dark, expected - reach, expected + reach)
    count, ones = len(dark), np.ones_like(bright)
    columns = np.stack([bright, ones, *slopes, dark], axis=1).reshape(count, 5, -1)
    weighted = columns / variance.reshape(count, 1, -1)
    return np.asarray(weighted @ columns.swapaxes(1, 2), np.float64)


def _laid(level: _Level, state: _State) -> tuple[Floats, Floats, tuple[Floats, Floats], Floats]:
    """Blocks (n, side, side): D amplified, B moved, B's slopes (x, y), and the variance of D."""
    bright, slopes, usable = _moved_blocks(level, state.motion)
    gain, noise = np.float32(state.gain), level.noise
    signal: Floats = np.maximum(bright, np.float32(0)) * np.float32(1 / state.gain)
    variance: Floats = (signal * np.float32(noise.slope) + np.float32(noise.still)) * gain * gain
    variance += np.square(bright * np.float32(_MISFIT))
    variance[~usable] = np.inf
    dark: Floats = blocks(level.dark, level.side) * gain
    return dark, bright, slopes, variance


def blocks(plane: NDArray[Any], side: int) -> NDArray[Any]:
    """(h, w) → (n, side, side), row by row; what is over at the ends is left out."""
    rows, columns = (n // side for n in plane.shape)
    cut = plane[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return cut.swapaxes(1, 2).reshape(-1, side, side)


def _moved_blocks(
    level: _Level, motion: Motion
) -> tuple[Floats, tuple[Floats, Floats], NDArray[np.bool_]]:
    """The bright plane where the motion puts each block: light, slopes (x, y), which is usable.

    A block moves by the motion at its middle, by cubic interpolation, and what a turn or a scale
    adds within it by its slopes.
    """
    side = level.side
    shift = motion.at(level.middles) / level.scale
    whole = np.floor(shift).astype(int)
    part: Floats = (shift - whole).astype(np.float32)
    corner = _corners(level) + whole
    most = np.array(level.bright.shape[::-1]) - side - _MARGIN - 1
    inside = np.all((corner >= _MARGIN) & (corner <= most), axis=1)
    corner = np.clip(corner, _MARGIN, most)
    wide = _patches(level.bright, corner - _MARGIN, side + 2 * _MARGIN + 1)
    light, slopes = _turned(_interpolated(wide, part), motion)
    usable = _patches(level.usable, corner + np.rint(part).astype(int), side)
    return light, slopes, usable & inside[:, None, None]


def _turned(patch: Floats, motion: Motion) -> tuple[Floats, tuple[Floats, Floats]]:
    """(n, s+2, s+2) → light (n, s, s), turned and scaled about its middle, and slopes (x, y)."""
    across: Floats = (patch[:, 1:-1, 2:] - patch[:, 1:-1, :-2]) * np.float32(0.5)
    down: Floats = (patch[:, 2:, 1:-1] - patch[:, :-2, 1:-1]) * np.float32(0.5)
    side = across.shape[1]
    x = np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
    y = x[:, None]
    turn, growth = np.float32(motion.turn), np.float32(motion.growth)
    light: Floats = patch[:, 1:-1, 1:-1] + across * (growth * x - turn * y)
    light += down * (growth * y + turn * x)
    return light, (across, down)


def _corners(level: _Level) -> NDArray[np.int_]:
    """(n, 2) top left pixels (x, y) of blocks."""
    rows, columns = (np.arange(n) * level.side for n in level.grid)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _patches(plane: NDArray[Any], corners: NDArray[np.int_], size: int) -> NDArray[Any]:
    """(n, size, size) from top left corners (x, y)."""
    found: NDArray[Any] = sliding_window_view(plane, (size, size))[corners[:, 1], corners[:, 0]]
    return found


def _interpolated(patch: Floats, shift: Floats) -> Floats:
    """(n, s, s) → (n, s-3, s-3), each patch by its shift (x, y) of [0, 1) and one pixel.

    Catmull and Rom's cubic (1974), along one side and then the other.
    """
    x, y = (_cubic(s)[:, :, None, None] for s in shift.T)
    size = patch.shape[1] - 3
    rows = [y[i] * patch[:, i : i + size] for i in range(4)]
    down: Floats = rows[0] + rows[1] + rows[2] + rows[3]
    columns = [x[i] * down[:, :, i : i + size] for i in range(4)]
    across: Floats = columns[0] + columns[1] + columns[2] + columns[3]
    return across


def _cubic(t: Floats) -> Floats:
    """(4, n) weights of the pixels at -1, 0, 1 and 2."""
    return np.stack(
        [
            ((2 - t) * t - 1) * t / 2,
            ((3 * t - 5) * t * t + 2) / 2,
            ((4 - 3 * t) * t + 1) * t / 2,
            (t - 1) * t * t / 2,
        ]
    )


def _brightness(matrices: Doubles) -> tuple[float, float, float]:
    """Gain and offset of D = gain·B + offset over the frame, and the gain's error."""
    total = matrices.sum(axis=0)
    normal = total[:2, :2] + np.eye(2) * 1e-9 * max(float(np.trace(total[:2, :2])), 1e-12)
    gain, offset = np.linalg.solve(normal, total[:2, 4])
    error = math.sqrt(max(float(np.linalg.inv(normal)[0, 0]), 0.0))
    # a gain far from 1 is noise: the first guess was a ratio of means
    return float(np.clip(gain, 0.5, 2.0)), float(offset), error


def _solve(level: _Level, matrices: Doubles, gain: float, offset: float) -> _Answer:
    """What blocks say of the shift that is left, and what the frame makes of it."""
    common = matrices[:, :2, :2] + 1e-6 * np.eye(2)
    left = matrices[:, :4, 4] - matrices[:, :4, :2] @ np.array([gain, offset])
    # a block's own brightness is left open: Schur's complement
    share = matrices[:, 2:4, :2] @ np.linalg.inv(common)
    information = matrices[:, 2:4, 2:4] - share @ matrices[:, :2, 2:4] + 1e-9 * np.eye(2)
    pull = left[:, 2:, None] - share @ left[:, :2, None]
    shift = np.linalg.solve(information, pull)[..., 0]
    covariance = np.linalg.inv(information) + _BLOCK_MISFIT**2 * np.eye(2)
    known = np.linalg.inv(covariance) / level.scale**2
    return _agreement(_jacobian(level), known, shift * level.scale)


def _agreement(jacobian: Doubles, known: Doubles, shift: Doubles) -> _Answer:
    """Reweighted least squares over blocks: those far from what the others say count less.

    `known` is (n, 2, 2), the inverse covariance of the blocks' shifts (n, 2).
    """
    weight = np.ones(len(shift))
    for _ in range(5):
        step, covariance = _least_squares(jacobian, known * weight[:, None, None], shift)
        rest = shift - jacobian @ step
        surprise = np.sqrt(np.maximum(np.einsum("ni,nij,nj->n", rest, known, rest), 0))
        spread = max(1.0, float(np.median(surprise)) / _RAYLEIGH)
        weight = np.clip(1 - (surprise / spread / _TUKEY) ** 2, 0, None) ** 2
    return _Answer(step, covariance * spread**2, rest, surprise)


def _least_squares(jacobian: Doubles, known: Doubles, shift: Doubles) -> tuple[Doubles, Doubles]:
    """The motion (4,) that explains the blocks' shifts, and its covariance."""
    seen = jacobian.swapaxes(1, 2) @ known
    prior = np.diag([1e-9, 1e-9, 1 / _TURN**2, 1 / _SCALE**2])
    covariance = np.linalg.inv((seen @ jacobian).sum(axis=0) + prior)
    return covariance @ (seen @ shift[..., None]).sum(axis=0)[:, 0], covariance


def _jacobian(level: _Level) -> Doubles:
    """(n, 2, 4): how (x, y, turn, growth) shift each block's middle."""
    x, y = level.middles.T
    one, none = np.ones_like(x), np.zeros_like(x)
    across, down = np.stack([one, none, -y, x], axis=1), np.stack([none, one, x, y], axis=1)
    return np.stack([across, down], axis=1)
