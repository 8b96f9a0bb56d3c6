"""How one noisy plane lies on another, by correlation over all shifts and a few rotations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undark.align.motion import Motion
from undark.align.resample import Between
from undark.sensor.windows import box_means

Floats = NDArray[np.float32]

BORDER = 10
"""Pixels of a level at its border that are left out: there the filter has seen what the plane was
padded with, which does not move with the scene."""
_TURNS = np.radians((-1.2, -0.8, -0.4, 0.0, 0.4, 0.8, 1.2))
"""Rotations that are tried."""
LARGEST = 800
"""Longest side in pixels of the planes that are searched."""
_FARTHEST = 0.25
"""Largest shift looked for, as a share of the frame."""
_EVENED = 8
"""Reach of the windows whose power `evened` evens out, in pixels."""


@dataclass(frozen=True, order=True)
class Peak:
    """The largest correlation of two planes; planes are compared by `height`."""

    height: float
    """In standard deviations of the correlation over all shifts."""
    x: float
    """Of the frame turned back: content at p of the reference is at p + (x, y)."""
    y: float
    turn: float
    """Radians."""
    number: int
    """Of the planes."""
    value: float

    def motion(self, scale: int) -> Motion:
        """Of the frame, in pixels that are smaller by `scale`."""
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        x, y = cos * self.x - sin * self.y, sin * self.x + cos * self.y
        return Motion(x * scale, y * scale, self.turn)


class Search:
    """Planes of a reference, of several scales, for frames whose planes are of the same."""

    def __init__(self, planes: Sequence[Floats]) -> None:
        self.planes = [tapered(plane) for plane in planes]
        self._spectra = [np.fft.rfft2(plane).conj() for plane in self.planes]

    def highest(self, planes: Sequence[Floats]) -> Peak:
        """The most certain peak of all scales and rotations."""
        found = []
        for number, (spectrum, plane) in enumerate(zip(self._spectra, planes, strict=True)):
            for turn in _TURNS:
                moved = np.fft.rfft2(tapered(_rotated(plane, float(turn))))
                correlation = np.fft.irfft2(moved * spectrum, plane.shape)
                found.append(_peak(correlation, float(turn), number))
        return max(found)


def evened(light: Floats, noise: float) -> Floats:
    """(h, w) → (h, w), divided by its power there, so that what is brightest decides nothing.

    `noise` is the power of noise. What moves may have most of the detail, but not most of the area.
    """
    power = box_means(np.square(light), _EVENED) + np.float32(noise)
    return np.asarray(light / power, np.float32)


def tapered(plane: Floats) -> Floats:
    """(h, w), and towards its borders, where rotated planes have nothing, less."""
    down, across = (_taper(n) for n in plane.shape)
    return np.asarray(plane * np.outer(down, across), np.float32)


def _taper(count: int) -> Floats:
    place = np.arange(count) + 0.5
    found: Floats = np.clip(np.minimum(place, count - place) / (2 * BORDER), 0, 1)
    return found.astype(np.float32)


def _rotated(plane: Floats, turn: float) -> Floats:
    """(h, w) → (h, w): the plane's content turned back by `turn`, bilinear."""
    height, width = plane.shape
    y, x = np.arange(height)[:, None] - (height - 1) / 2, np.arange(width) - (width - 1) / 2
    down = math.cos(turn) * y + math.sin(turn) * x + (height - 1) / 2
    across = math.cos(turn) * x - math.sin(turn) * y + (width - 1) / 2
    return Between.of(down, across, (height, width)).values(plane.ravel())


def _peak(correlation: NDArray[np.floating], turn: float, number: int) -> Peak:
    height, width = correlation.shape
    down, across = (np.fft.fftfreq(n, 1 / n) for n in correlation.shape)
    near = np.outer(np.abs(down) <= _FARTHEST * height, np.abs(across) <= _FARTHEST * width)
    y, x = divmod(int(np.argmax(np.where(near, correlation, -np.inf))), width)
    spread = max(float(correlation.std()), 1e-30)  # planes without any detail
    value = float(correlation[y, x])
    return Peak(value / spread, float(across[x]), float(down[y]), turn, number, value)
