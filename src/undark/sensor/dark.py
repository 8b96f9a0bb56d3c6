"""Dark frames: photos taken with the lens covered, subtracted from photos of the same camera.

What a dark frame has above black is dark current, which grows with the exposure time, and the
sensor's fixed pattern. The mean of n frames has a noise of its own, 1/n of one frame's variance;
scaled and subtracted, it adds to the photo's noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from undark.sensor.cfa import CFA, extend
from undark.sensor.mosaic import Mosaic, Shot
from undark.sensor.neighbours import middle_two, nearest
from undark.sensor.noise import NoiseModel
from undark.sensor.windows import robust_sigma

_ISO_APART = 1.5
"""Ratio of ISO settings beyond which a sensor's dark signal and pattern are others."""
_NOISIEST = 3.0
"""Noise of the scaled mean, in noises of one frame, beyond which a dark frame does not help."""
_LIT = 0.05
"""Share of the span that half of a dark frame's pixels stay below."""
_VISIBLE = 5.0
"""Standard deviations by which a hot pixel of a dark frame differs from its neighbours."""
_SAMPLE = 1_000_000
"""Pixels that suffice to measure the noise."""


@dataclass(frozen=True, eq=False)
class DarkFrame:
    """The mean of dark frames of one camera at one setting."""

    level: NDArray[np.float32]
    """(H, W): DN above black; negative values stay, so that noise does not bias the mean."""
    cfa: CFA
    shot: Shot
    """Of the first frame: camera, exposure time and ISO are those of all."""
    frames: int
    variance: float
    """Of a pixel of one frame, over frames; DN²."""

    def scale(self, shot: Shot) -> float:
        """Dark signal of a photo over that of these frames: exposure time times gain.

        What a file does not say counts as the same.
        """
        times = _ratio(shot.exposure_time, self.shot.exposure_time)
        return times * _ratio(shot.iso, self.shot.iso)

    def noise(self, shot: Shot) -> float:
        """Variance that the subtraction adds to each pixel of a photo, DN²."""
        return self.scale(shot) ** 2 * self.variance / self.frames

    def misfit(self, mosaic: Mosaic) -> str | None:
        """Why these frames cannot be subtracted from a photo, after "it is "; None if they can."""
        shot, other = self.shot, mosaic.shot
        if shot.camera.lower() != other.camera.lower():
            return f"of another camera ({shot.camera}, not {other.camera})"
        if self.level.shape != mosaic.shape:
            sizes = [f"{width} x {height}" for height, width in (self.level.shape, mosaic.shape)]
            return f"of another size ({sizes[0]}, not {sizes[1]})"
        if self.cfa != mosaic.cfa:
            return f"of another colour filter ({self.cfa.name}, not {mosaic.cfa.name})"
        iso = _ratio(other.iso, shot.iso)
        if max(iso, 1 / iso) > _ISO_APART:
            return f"of another ISO ({shot.iso:g}, not {other.iso:g})"
        if self.scale(other) > _NOISIEST * self.frames**0.5:
            return f"too short ({shot.exposure_time:g} s for {other.exposure_time:g} s)"
        return None


def _ratio(one: float | None, other: float | None) -> float:
    return one / other if one and other else 1.0


def is_lit(mosaic: Mosaic) -> bool:
    """Whether this is no dark frame: half of its pixels are far above black."""
    step = _step(mosaic.plane)
    return float(np.median(mosaic.plane[::step, ::step])) > (
        float(mosaic.black.mean()) + _LIT * mosaic.span
    )


class DarkSum:
    """Adds up dark frames of one camera and setting, one at a time."""

    def __init__(self) -> None:
        self._sum: NDArray[np.float32] | None = None
        self._first: Mosaic | None = None
        self._last: NDArray[np.float32] | None = None
        self._variances: list[float] = []
        self._frames = 0

    def add(self, mosaic: Mosaic) -> None:
        """Add a frame. Raises `ValueError` if its size or colour filter is another."""
        signal, step = mosaic.signal(), _step(mosaic.plane)
        sample = signal[::step, ::step].copy()
        if self._sum is None or self._first is None:
            self._sum, self._first = signal, mosaic
        elif (mosaic.shape, mosaic.cfa) != (self._first.shape, self._first.cfa):
            raise ValueError("dark frames of different sizes or colour filters have no mean")
        else:
            self._sum += signal
        if self._last is not None:
            self._variances.append(_variance_of_difference(sample - self._last))
        self._last = sample
        self._frames += 1

    def mean(self) -> DarkFrame:
        """The mean of the frames added. Raises `ValueError` if there is none."""
        if self._sum is None or self._first is None:
            raise ValueError("no dark frames to average")
        level = self._sum / np.float32(self._frames)
        variances = self._variances or [_variance_in_frame(level, self._first.cfa.period)]
        first, variance = self._first, float(np.mean(variances))
        return DarkFrame(level, first.cfa, first.shot, self._frames, variance)


def average(frames: Iterable[Mosaic]) -> DarkFrame:
    """The mean of dark frames of one camera and setting.

    Raises `ValueError` for none, or for frames of different sizes or colour filters.
    """
    total = DarkSum()
    for frame in frames:
        total.add(frame)
    return total.mean()


def subtract(
    mosaic: Mosaic, noise: NoiseModel, dark: DarkFrame
) -> tuple[Mosaic, NoiseModel, NDArray[np.intp]]:
    """The photo without its dark signal, the noise it then has, and the hot pixels to mend.

    Only what is above black is scaled. To the noise are added that of the dark frames, the
    rounding to whole DN, and the shot noise of the dark current, which stays. Hot pixels, flat
    positions in the frame, are those that the dark frames show and whose own shot noise the photo
    would show. Clipped pixels stay as they are. The dark frames must fit (see `misfit`).
    """
    scale = dark.scale(mosaic.shot)
    plane = mosaic.plane - np.float32(scale) * dark.level
    np.rint(plane, out=plane)
    np.clip(plane, 0, 65535, out=plane)
    clipped = mosaic.plane >= mosaic.white
    plane[clipped] = mosaic.plane[clipped]
    step = _step(plane)
    current = max(scale * float(np.median(dark.level[::step, ::step])), 0.0)
    added = dark.noise(mosaic.shot) + noise.gain * current + 1 / 12
    noisier = replace(noise, read=float((noise.read**2 + added) ** 0.5))
    own = (dark.variance / dark.frames) ** 0.5
    least = max(_VISIBLE * own, _VISIBLE * float(noise.sigma(np.float32(0))) / scale)
    hot = np.flatnonzero(_above_neighbours(dark) > least)
    return mosaic.replace(plane=plane.astype(np.uint16), masked=None), noisier, hot


def _above_neighbours(dark: DarkFrame) -> NDArray[np.float32]:
    """(H, W): DN above the mean of the middle two of four neighbours of the same colour."""
    (height, width), period = dark.level.shape, dark.cfa.period
    border = 6  # whole periods, no less than the nearest neighbours' distance
    level = extend(dark.level, (border, border), (border, border), period)
    above = np.empty_like(dark.level)
    for y, x in product(range(period), repeat=2):

        def seen(dy: int, dx: int, y: int = y, x: int = x) -> NDArray[np.float32]:
            top, left = border + y + dy, border + x + dx
            part: NDArray[np.float32] = level[top : top + height - y, left : left + width - x]
            return part[::period, ::period]

        low, high = middle_two(*(seen(*at) for at in nearest(dark.cfa, (y, x))))
        above[y::period, x::period] = seen(0, 0) - (low + high) / 2
    return above


def _variance_of_difference(difference: NDArray[np.float32]) -> float:
    """Variance of a pixel from differences of two, without hot pixels; not below rounding's."""
    off = difference - np.median(difference)
    reach = 4 * (float(robust_sigma(off)) + 0.5)
    near = off[np.abs(off) < reach]
    return max(float(near.var(dtype=np.float64)) / 2, 1 / 12)


def _variance_in_frame(level: NDArray[np.float32], period: int) -> float:
    """The same of one frame, from neighbours of the same colour: its pattern counts as noise."""
    step = _step(level)
    rows = level[::step]
    return _variance_of_difference((rows[:, period:] - rows[:, :-period])[:, ::step])


def _step(plane: NDArray[np.uint16] | NDArray[np.float32]) -> int:
    return max(1, int((plane.size / _SAMPLE) ** 0.5))
