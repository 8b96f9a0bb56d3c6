"""The first estimate of a registration: brightness ratio and shift to a pixel of a small plane.

Cross-correlation in the Fourier domain, of planes whose variance is stabilised by a square root
and whose values are clipped, so that light sources and hot pixels do not dominate.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from undark.align.motion import Motion
from undark.align.planes import Level

_FARTHEST = 0.25
"""Largest shift searched for, as a share of the frame: beyond it the overlap is too small."""
_MOST_GAIN = 3000.0
"""Ten times undark's largest amplification; an error of the black level can bring the mean of the
dark photo to 0 or below."""


def first_gain(level: Level) -> float:
    """Ratio of the means of the bright and the dark plane where the bright one is not saturated."""
    seen = level.usable if level.usable.any() else np.ones_like(level.usable)
    bright, dark = (float(np.mean(p[seen], dtype=np.float64)) for p in (level.bright, level.dark))
    return max(bright, 1e-6) / max(dark, bright / _MOST_GAIN, 1e-9)


def coarse_motion(level: Level, gain: float) -> Motion:
    """The shift at the highest peak of the correlation, in pixels of the finest plane.

    `gain` amplifies the dark plane. The precision is a pixel of the `level`.
    """
    sigma_at_black = math.sqrt(level.noise.variance_at_black) * gain
    dark, bright = (
        np.sqrt(np.clip(plane, 0, 1) + sigma_at_black + 1e-3)
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


def _local_mean(plane: NDArray[np.floating]) -> NDArray[np.float64]:
    """Gaussian blur with a sigma of a sixteenth of the longer side: illumination, not texture."""
    down, across = np.fft.fftfreq(plane.shape[0]), np.fft.rfftfreq(plane.shape[1])
    sigma = max(plane.shape) / 16
    keep = np.exp(-2 * (math.pi * sigma) ** 2 * (down[:, None] ** 2 + across**2))
    return np.fft.irfft2(np.fft.rfft2(plane) * keep, plane.shape)
