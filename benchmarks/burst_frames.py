"""Hand-held bursts of dark frames with known motions, made from photographs.

Each frame is the photograph sampled at shifted and rotated positions by SciPy's quintic spline,
which shares nothing with the resampler of `undark.align`, then darkened as `darkroom` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from classical_planes import Plane
from darkroom import BLACK, WHITE, Cell, Frame, as_mosaic, darken
from undark.sensor.cfa import RGGB
from undark.sensor.mosaic import Mosaic, Shot

SHAKE, TURN = 20.0, 1.0
"""Largest shift in pixels and largest rotation in degrees between two frames of a burst."""
MARGIN = 48
"""Pixels of the photograph around a frame: what the largest motion needs."""
_OBJECT = (72, 96)
"""Half height and half width in pixels of the ellipse that moves."""


@dataclass(frozen=True)
class Pose:
    """Content at x of the reference is at x + shift + turn × (x - centre) of a frame.

    Pixels (down, across) and radians; `rolling` is how far a rolling shutter makes the last row
    lean across (half as far down), by a shake that turns: about a third of it bends the frame.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    turn: float = 0.0
    rolling: float = 0.0

    def moved(self, rows: Plane, columns: Plane, shape: tuple[int, int]) -> tuple[Plane, Plane]:
        """Where these places of the reference are in the frame."""
        y, x = rows - (shape[0] - 1) / 2, columns - (shape[1] - 1) / 2
        down, across = self.shift
        u = 2 * rows / shape[0] - 1
        bent = 0.5 * (u**2 - 1 / 3)
        lower = down + self.rolling * (0.5 * u - 0.6 * bent)
        later = across + self.rolling * (u + bent)
        return rows + lower + self.turn * x, columns + later - self.turn * y

    def source(self, rows: Plane, columns: Plane, shape: tuple[int, int]) -> tuple[Plane, Plane]:
        """Where these places of the frame are in the reference: the inverse, by iteration."""
        y, x = rows, columns
        for _ in range(8):  # each reduces the error to a fiftieth
            there = self.moved(y, x, shape)
            y, x = y + rows - there[0], x + columns - there[1]
        return y, x


@dataclass(frozen=True)
class Burst:
    """Noisy frames of one scene; the first is the reference."""

    frames: tuple[Mosaic, ...]
    poses: tuple[Pose, ...]
    first: Frame
    """The reference with its true light."""
    moving: NDArray[np.bool_]
    """(H, W): where in the reference something moves in any frame."""


def poses(count: int, seed: int, rolling: float = 0.0) -> tuple[Pose, ...]:
    """The reference, then frames anywhere within half of `SHAKE` and `TURN` around it."""
    random = np.random.default_rng((seed, 77))
    found = [Pose()]
    for _ in range(count - 1):
        down, across = random.uniform(-SHAKE, SHAKE, 2) / np.sqrt(2)
        turn = np.radians(random.uniform(-TURN, TURN))
        found.append(Pose((down, across), turn, rolling * random.uniform(-1, 1)))
    return tuple(found)


def shoot(
    light: Plane,
    moves: Sequence[Pose],
    cell: Cell,
    seed: int,
    moving: Plane | None = None,
    speed: float = 14.0,
) -> Burst:
    """Frames of the middle of a photograph's `light` (H, W, 3), `MARGIN` smaller on each side.

    `moving` is the light of another photograph, an ellipse of which moves by `speed` pixels a
    frame along the rows.
    """
    shape = (light.shape[0] - 2 * MARGIN, light.shape[1] - 2 * MARGIN)
    coefficients = [ndimage.spline_filter(light[..., c], 5, mode="mirror") for c in range(3)]
    touched = np.zeros(shape, bool)
    made = []
    for number, pose in enumerate(moves):
        along = speed * (number - len(moves) / 2)
        seen = light[MARGIN:-MARGIN, MARGIN:-MARGIN].copy()  # the photograph's own pixels
        for colour, (y, x) in _places(shape):
            rows, columns = pose.source(y, x, shape)
            at = seen[y.astype(int), x.astype(int), colour]
            if pose != Pose():
                at = _sampled(coefficients[colour], rows + MARGIN, columns + MARGIN, 5)
            if moving is not None:
                opacity = _ellipse(rows, columns, shape, along)
                at = at + opacity * (_sampled(moving[..., colour], rows, columns - along, 3) - at)
            seen[y.astype(int), x.astype(int), colour] = at
        if moving is not None and pose == Pose():  # its other colours, which the score looks at
            seen = _all_colours(light[MARGIN:-MARGIN, MARGIN:-MARGIN], moving, along)
        if moving is not None:
            rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
            touched |= _ellipse(rows, columns, shape, along) > 0
        made.append(darken(np.maximum(seen, 0), cell, (seed, number)))
    frames = tuple(as_photo(frame) for frame in made)
    return Burst(frames, tuple(moves), made[0], touched)


def _all_colours(seen: Plane, moving: Plane, along: float) -> Plane:
    """(H, W, 3): the ellipse of `moving` in the reference's light."""
    rows, columns = np.mgrid[: seen.shape[0], : seen.shape[1]].astype(float)
    opacity = _ellipse(rows, columns, seen.shape[:2], along)[..., None]
    texture = [_sampled(moving[..., c], rows, columns - along, 3) for c in range(3)]
    mixed: Plane = seen + opacity * (np.stack(texture, axis=-1) - seen)
    return mixed


def as_photo(frame: Frame) -> Mosaic:
    """A frame as the camera writes it."""
    plane = np.rint(frame.signal + BLACK).clip(0, WHITE).astype(np.uint16)
    shot = Shot("SONY", "ILCE-7SM2", exposure_time=1 / 20, iso=float(frame.cell.iso))
    return as_mosaic(plane, BLACK, WHITE).replace(shot=shot)


def _places(shape: tuple[int, int]) -> Iterator[tuple[int, tuple[Plane, Plane]]]:
    """Colour, rows and columns of the pixels at each position of the CFA: all that a frame sees."""
    for top, line in enumerate(RGGB.rows):
        for left, colour in enumerate(line):
            y, x = np.mgrid[top : shape[0] : 2, left : shape[1] : 2].astype(float)
            yield colour, (y, x)


def _sampled(plane: Plane, rows: Plane, columns: Plane, order: int) -> Plane:
    """`plane` holds the coefficients of a spline of order 5, or for order 3 pixels."""
    found: Plane = ndimage.map_coordinates(
        plane, [rows, columns], order=order, mode="mirror", prefilter=order == 3
    )
    return found


def _ellipse(rows: Plane, columns: Plane, shape: tuple[int, int], along: float) -> Plane:
    """(h, w) opacity 0 to 1 at places of the reference; the edge is soft over two pixels."""
    down = (rows - shape[0] / 2) / _OBJECT[0]
    across = (columns - shape[1] / 2 - along) / _OBJECT[1]
    edge = (1 - np.hypot(down, across)) * min(_OBJECT) / 2
    return np.clip(edge + 0.5, 0, 1)
