"""Register two frames that are equally noisy, as those of a burst are: rotation, then a field.

Planes are given with a noise of variance 1 everywhere. Each level of a pyramid is filtered for the
maximum likelihood (`spectrum`). The normal equations of a block of the reference are

    left  = Σ ∇R·∇Rᵀ - (its expectation for noise alone),    right = Σ ∇R·(R - M moved)

with the gradients of the reference R (inverse compositional: Baker & Matthews, IJCV 2004), at its
own pixels: noise of the moved frame M is independent of them, and the reference's own noise is
uncorrelated with its central differences at the same pixel. So noise adds variance and no bias,
neither towards 0 nor towards the pixel grid. A robust fit of a motion over the blocks comes first,
with a rolling shutter where there surely is one, then a smooth field of what blocks move beside it:
depth, a lens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from undark.align.field import Field, resized
from undark.align.fitting import ROWS, fitted_field, fitted_motion, sure_rows
from undark.align.planes import MARGIN, blocks, halved, patches
from undark.align.resample import moved_patches
from undark.align.search import BORDER, LARGEST, Search, evened
from undark.align.spectrum import Filter, filter_for
from undark.cpus import in_threads

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

SMALLEST = 48
"""Pixels of a plane's shorter side, at least."""
_COARSEST = 192
"""Longest side in pixels of the plane on which a shift is first looked for."""
_BLOCK, _SMALL_BLOCK = 32, 16
"""Side of a block in pixels of its plane; the second where the plane has few."""
_BLOCKS = 256
"""Blocks that a thread works on at a time."""
_FIRST_STEPS, _STEPS, _LAST_STEPS, _LOCAL_STEPS = 10, 4, 2, 2
"""Steps of the motion at the coarsest level, at each other, and at the finest without what its rows
do not surely have; and of the field at each of the finest `_LOCAL_LEVELS`."""
_LOCAL_LEVELS = 3
_MISFIT = 0.05
"""Standard error of a block's shift that does not come from noise, in pixels of its plane."""
_APART, _AWAY = 0.1, 2.0
"""Standard deviations of the prior of the field, in pixels of the finest plane: between
neighbouring blocks of the finest level, and of a block."""
_LEAST_COHERENCE = 0.5
"""Share of the reference's power that the frame must hold where the motion puts it."""
_ROLLS = [(y, x) for y in range(5) for x in range(5) if y or x]
"""Fifths of the frame, by which planes are rolled to see how far unrelated ones agree by chance."""
_LEAST_SIGNIFICANCE = 4.0
_LARGEST_ERROR = 0.25
"""Standard error of the motion in pixels of the plane above which it is not known."""
_LEAST_AGREEMENT = 0.95
"""Least `Alignment.agreement`. Of 210 frames of seven photographs, half of them with something that
moves, those aligned with the scene had 0.96 to 1.15, those aligned with what moves 0.55 to 0.91."""
_SAME = 4.0
"""Pixels of a level up to which two motions are the same, root mean square: the search tries few
rotations and nothing but whole pixels."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """How a frame lies on its reference, and how sure that is."""

    field: Field
    error: float
    """Standard error of the motion's shift in its less certain direction, pixels of the plane."""
    coherence: float
    """Power that both have in common, as a share of the reference's: 1 for the same scene, 0 for
    another."""
    significance: float
    """The common power in standard errors of that of two planes without a common scene."""
    agreement: float
    """Correlation of planes in which every part counts alike (`search.evened`), as a share of the
    largest that a search over shifts and rotations finds; 1 where that one is the same motion."""

    @property
    def fault(self) -> str | None:
        """Why the frame cannot be merged; None where it can."""
        too_little = "too little detail stands out of the noise to align it"
        if self.error > _LARGEST_ERROR:
            return too_little
        if self.coherence < _LEAST_COHERENCE:
            return (
                "it does not show what the first frame shows, or too little stands out of the noise"
            )
        if self.significance < _LEAST_SIGNIFICANCE:
            return too_little
        if self.agreement < _LEAST_AGREEMENT:
            return "something that moves has more detail than all the rest of the scene"
        return None


@dataclass(frozen=True, eq=False)
class _Level:
    """The reference at one scale."""

    light: Floats
    """(h, w), filtered."""
    filtered: Filter
    scale: int
    """Pixels of the finest plane per pixel of this one, along a side."""
    side: int
    """Of a block."""
    gradients: tuple[Floats, Floats]
    """(n, side, side) along x and y."""
    left: Doubles
    """(n, 2, 2): of the normal equations, positive semidefinite."""
    precision: Doubles
    """(n, 2, 2): inverse covariance of each block's shift, pixels of this plane."""

    @property
    def grid(self) -> tuple[int, int]:
        height, width = (n // self.side for n in self.light.shape)
        return height, width

    @property
    def corners(self) -> NDArray[np.int_]:
        """(n, 2) top left pixels (x, y) of the blocks."""
        rows, columns = (np.arange(n) * self.side for n in self.grid)
        y, x = np.meshgrid(rows, columns, indexing="ij")
        return np.stack([x.ravel(), y.ravel()], axis=1)


class Reference:
    """A plane (h, w) of noise variance 1 that others are aligned with; at least `SMALLEST`."""

    def __init__(self, plane: Floats) -> None:
        self.shape = (plane.shape[0], plane.shape[1])
        self._levels = [_level(p, scale) for p, scale in _pyramid(plane)]
        # a plane with few rows has no smaller level, however long they are
        fit = [level for level in self._levels if max(level.light.shape) <= LARGEST]
        small = fit or self._levels[-1:]
        self._first_small = len(self._levels) - len(small)
        self._search = Search([level.light for level in small])
        self._even_search = Search([evened(level.light, level.filtered.power) for level in small])

    def align(self, plane: Floats) -> Alignment:
        """Where the content of this plane, of the same shape and noise, lies."""
        planes = [
            level.filtered.apply(p)
            for level, (p, _) in zip(self._levels, _pyramid(plane), strict=True)
        ]
        peak = self._search.highest(planes[self._first_small :])
        start = self._first_small + peak.number
        motion = peak.motion(self._levels[start].scale)
        field = Field(motion, np.zeros((1, 1, 2)), self._side, self.shape)
        for number in range(start, -1, -1):
            level, moved = self._levels[number], planes[number]
            field = replace(field, local=np.zeros((*level.grid, 2)))
            for _ in range(_FIRST_STEPS if number == start else _STEPS):
                field, covariance = _motion_step(level, moved, field, ROWS)
        rows = sure_rows(field, covariance)
        for _ in range(_LAST_STEPS if rows < ROWS else 0):
            field, covariance = _motion_step(self._levels[0], planes[0], field, rows)
        for number in reversed(range(min(_LOCAL_LEVELS, len(planes)))):
            level = self._levels[number]
            local = resized(field.local, level.grid)
            field = replace(field, local=local, side=float(level.side * level.scale))
            for _ in range(_LOCAL_STEPS):
                field = replace(field, local=_local_step(level, planes[number], field))
        error = math.sqrt(float(np.linalg.eigvalsh(covariance[:2, :2])[-1]))
        common = _common_power(self._levels, planes, field)
        return Alignment(field, error, *common, self._agreement(planes, field))

    def _agreement(self, planes: list[Floats], field: Field) -> float:
        """`Alignment.agreement`, of the level whose largest correlation stands out most."""
        levels, small = self._levels[self._first_small :], planes[self._first_small :]
        moved = [evened(p, level.filtered.power) for p, level in zip(small, levels, strict=True)]
        peak = self._even_search.highest(moved)
        scale = levels[peak.number].scale
        if field.motion.apart(peak.motion(scale), field.shape) < _SAME * scale:
            return 1.0
        there, _ = _nearest(moved[peak.number], field, scale)
        reference = self._even_search.planes[peak.number]
        return float((reference * there).sum()) / max(peak.value, 1e-30)

    @property
    def _side(self) -> float:
        return float(self._levels[0].side)


def _pyramid(plane: Floats) -> Iterator[tuple[Floats, int]]:
    """Planes of noise variance 1 from fine to coarse, and their scale."""
    scale = 1
    while True:
        yield plane, scale
        if max(plane.shape) <= _COARSEST or min(plane.shape) < 2 * SMALLEST:
            return
        plane, scale = halved(plane) * np.float32(2), 2 * scale


def _level(plane: Floats, scale: int) -> _Level:
    filtered = filter_for(plane)
    light = filtered.apply(plane)
    side = _BLOCK if min(light.shape) >= 6 * _BLOCK else _SMALL_BLOCK
    x, y = (blocks(gradient, side) for gradient in _gradients(light))
    products = [
        np.einsum("nij,nij->n", a, b, dtype=np.float64) for a, b in ((x, x), (x, y), (y, y))
    ]
    left = np.stack([products[0], products[1], products[1], products[2]], axis=1).reshape(-1, 2, 2)
    used = blocks(_inside(light.shape), side).sum(axis=(1, 2))
    used = used[:, None, None] * np.eye(2)
    left = _positive(left - filtered.gradient * used)
    noise = filtered.from_signal * left + filtered.from_noise * (used + np.eye(2))
    covariance_of = np.linalg.inv(noise)
    own = left @ covariance_of @ left
    # bounded: aliasing moves blocks of strong detail by more than noise does
    precision = np.linalg.inv(np.linalg.inv(own + 1e-6 * np.eye(2)) + _MISFIT**2 * np.eye(2))
    return _Level(light, filtered, scale, side, (x, y), left, np.asarray(precision, np.float64))


def _gradients(light: Floats) -> tuple[Floats, Floats]:
    """Central differences (h, w) along x and y; 0 near the border."""
    found = np.zeros((2, *light.shape), np.float32)
    inner = (slice(BORDER, -BORDER),) * 2
    across = light[:, 2:] - light[:, :-2]
    found[0][inner] = across[BORDER:-BORDER, BORDER - 1 : 1 - BORDER]
    down = light[2:] - light[:-2]
    found[1][inner] = down[BORDER - 1 : 1 - BORDER, BORDER:-BORDER]
    found *= np.float32(0.5)
    return found[0], found[1]


def _inside(shape: tuple[int, int]) -> Floats:
    """(h, w): 1 where `_gradients` takes differences, else 0."""
    found = np.zeros(shape, np.float32)
    found[BORDER:-BORDER, BORDER:-BORDER] = 1
    return found


def _positive(matrices: Doubles) -> Doubles:
    """The nearest positive semidefinite matrices, (n, 2, 2)."""
    values, vectors = np.linalg.eigh(matrices)
    found: Doubles = (vectors * np.maximum(values, 1e-3)[:, None]) @ vectors.swapaxes(1, 2)
    return found


def _shifts(level: _Level, moved: Floats, field: Field) -> tuple[Doubles, Doubles]:
    """Each block's remaining shift (n, 2) in pixels of the level, and its precision (n, 2, 2).

    The precision is 0 where the frame does not show the block.
    """
    step = float(level.side * level.scale)
    rows, columns = (np.arange(0.5, n, dtype=np.float64) * step - 0.5 for n in level.grid)
    shift = np.stack([s.ravel() for s in field.at(rows, columns)], axis=1) / level.scale
    corner = level.corners + np.floor(shift).astype(int)
    most = np.array(moved.shape[::-1]) - level.side - MARGIN - 1
    inside = np.all((corner >= MARGIN) & (corner <= most), axis=1)
    corner = np.clip(corner, MARGIN, most)
    light = blocks(level.light, level.side)

    def right_of(first: int) -> Doubles:
        """(m, 2): the right sides of some blocks."""
        part = slice(first, first + _BLOCKS)
        wide = patches(moved, corner[part] - MARGIN, level.side + 2 * MARGIN + 1)
        parts = (shift[part] % 1).astype(np.float32)
        apart = light[part] - _turned(moved_patches(wide, parts), field.motion.turn)
        apart -= apart.mean(axis=(1, 2), keepdims=True)
        sums = [np.einsum("nij,nij->n", g[part], apart, dtype=np.float64) for g in level.gradients]
        return np.stack(sums, axis=1)

    right = np.concatenate(in_threads(right_of, range(0, len(light), _BLOCKS)))
    found = np.linalg.solve(level.left, right[..., None])[..., 0]
    return found, level.precision * inside[:, None, None]


def _turned(patch: Floats, turn: float) -> Floats:
    """(n, s+2, s+2) → (n, s, s), rotated about its centre by its gradients."""
    across: Floats = (patch[:, 1:-1, 2:] - patch[:, 1:-1, :-2]) * np.float32(0.5)
    down: Floats = (patch[:, 2:, 1:-1] - patch[:, :-2, 1:-1]) * np.float32(0.5)
    x: Floats = np.arange(across.shape[1], dtype=np.float32)
    x -= np.float32((across.shape[1] - 1) / 2)
    found = patch[:, 1:-1, 1:-1] + np.float32(turn) * (down * x - across * x[:, None])
    return np.asarray(found, np.float32)


def _motion_step(level: _Level, moved: Floats, field: Field, rows: int) -> tuple[Field, Doubles]:
    """The field after a step of `fitted_motion`, and the covariance of its motion."""
    shift, precision = _shifts(level, moved, field)
    scale = level.scale
    centres = np.asarray((level.corners + level.side / 2) * scale, np.float64)
    return fitted_motion(field, centres, shift * scale, precision / scale**2, rows, 2.0 * scale)


def _local_step(level: _Level, moved: Floats, field: Field) -> Doubles:
    """The field's `local` after a step of `fitted_field`."""
    rest, precision = _shifts(level, moved, field)
    total = field.local + rest.reshape(*level.grid, 2) * level.scale
    precision = precision.reshape(*level.grid, 2, 2) / level.scale**2
    return fitted_field(total, precision, _APART * level.scale, _AWAY)


def _common_power(levels: list[_Level], planes: list[Floats], field: Field) -> tuple[float, float]:
    """`Alignment.coherence` and `Alignment.significance`, of the level that has most detail."""
    best = (-1.0, 0.0, 0.0)
    for level, moved in zip(levels, planes, strict=True):
        there, seen = _nearest(moved, field, level.scale)
        scene = np.square(level.light) - np.float32(level.filtered.power)
        own, both = (
            blocks(p * seen, level.side).sum(axis=(1, 2), dtype=np.float64)
            for p in (scene, level.light * there)
        )
        # a bright thing that moves counts little more than any other block
        weight = 1 / (np.maximum(own, 0) + level.filtered.power * level.side**2)
        own, both = float((weight * own).sum()), float((weight * both).sum())
        weight = weight.reshape(level.grid).repeat(level.side, 0).repeat(level.side, 1)
        light = level.light[: weight.shape[0], : weight.shape[1]] * weight.astype(np.float32)
        there = there[: weight.shape[0], : weight.shape[1]]
        rolls = [(y * s[0] // 5, x * s[1] // 5) for s in [there.shape] for y, x in _ROLLS]
        others = [float((light * np.roll(there, r, (0, 1))).sum()) for r in rolls]
        sure = both / max(float(np.sqrt(np.mean(np.square(others)))), 1e-9)
        best = max(best, (own, both, sure))
    scene_power, common, sure = best
    return (common / scene_power if scene_power > 0 else 0.0), sure


def _nearest(plane: Floats, field: Field, scale: int) -> tuple[Floats, NDArray[np.bool_]]:
    """(h, w) nearest pixels of a level's plane where the field says, 0 outside; which are in it."""
    height, width = plane.shape
    middle = (scale - 1) / 2
    rows, columns = (np.arange(n, dtype=np.float64) * scale + middle for n in plane.shape)
    x, y = (s / scale for s in field.at(rows, columns))
    down = np.rint(np.arange(height)[:, None] + y).astype(int)
    across = np.rint(np.arange(width)[None] + x).astype(int)
    seen = (down >= 0) & (down < height) & (across >= 0) & (across < width)
    found: Floats = plane[down.clip(0, height - 1), across.clip(0, width - 1)] * seen
    return found, seen
