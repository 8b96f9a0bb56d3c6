"""The filter of a registration of two noisy planes.

For planes of equal white noise and an unknown common scene of power spectrum S (in units of the
noise's), the maximum likelihood registration correlates them with the weight S / (1 + 2·S) at
each frequency (Hannan & Thomson, "Estimating group delay", Biometrika 1973; Knapp & Carter, "The
generalized correlation method for estimation of time delay", IEEE TASSP 1976). Each plane is
filtered with the square root of it over S.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_RINGS = 48
"""Rings of the radially averaged power spectrum."""
_SLOWEST = 1 / 32
"""Cycles a pixel below which differences are taken to be of the light, not of the scene."""
_UNIT = (0.7, 1.4)
"""The least and the largest variance that noise of a nominal variance of 1 is taken to have."""
_BORDER = 16
"""Pixels by which a plane is mirrored beyond its border before it is filtered."""


@dataclass(frozen=True, eq=False)
class Filter:
    """Gains of the rings, and what the plane's white noise has after filtering."""

    gains: NDArray[np.float64]
    """(`_RINGS`,), from frequency 0 to that of the corners."""
    noise: float
    """Variance of the plane's noise as its spectrum shows it: about 1."""
    power: float
    """Variance of filtered noise."""
    gradient: float
    """Variance of its central differences along one axis."""
    from_signal: float
    """Variance of a normal equation's right side for each unit of its left, the squared gradients
    of the scene."""
    from_noise: float
    """Variance of a pixel's share of the right side where the scene has no detail."""

    def apply(self, plane: Floats) -> Floats:
        """(h, w) → (h, w), without its mean and its slow variations."""
        height, width = plane.shape
        wide = np.pad(without_lines(plane), _BORDER, mode="symmetric")
        spectrum = np.fft.rfft2(wide)
        spectrum *= self.gains[_rings(wide.shape)].astype(np.float32)
        found: Floats = np.fft.irfft2(spectrum, wide.shape).astype(np.float32)
        return np.ascontiguousarray(found[_BORDER:, _BORDER:][:height, :width])


def filter_for(plane: Floats) -> Filter:
    """The filter for a plane (h, w) of noise variance 1, from its own power spectrum."""
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in plane.shape)).astype(np.float32)
    spectrum = np.fft.rfft2(without_lines(plane) * window)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    rings = _rings(plane.shape)
    count = np.maximum(np.bincount(rings.ravel(), minlength=_RINGS), 1)
    mean = np.bincount(rings.ravel(), power.ravel(), minlength=_RINGS) / count
    mean = mean / float(np.square(window).sum())
    noise = float(np.clip(np.median(mean[_RINGS // 2 : _RINGS * 7 // 8]), *_UNIT))
    return _filter_of(np.maximum(mean / noise - 1, 1e-4), noise)


def without_lines(plane: Floats) -> Floats:
    """(h, w) less the means of its rows and columns: offsets of both are noise, and those of
    columns do not move with the scene."""
    across = plane - plane.mean(axis=1, keepdims=True)
    found: Floats = across - across.mean(axis=0, keepdims=True)
    return found


def _filter_of(scene: NDArray[np.float64], noise: float) -> Filter:
    """From the scene's power in each ring, in units of the noise's variance."""
    radius = (np.arange(_RINGS) + 0.5) / _RINGS * np.sqrt(0.5)
    keep = 1 - np.exp(-((radius / _SLOWEST) ** 2))
    gains = np.sqrt(scene / (1 + 2 * scene)) * keep
    share = np.bincount(_rings((256, 256)).ravel(), minlength=_RINGS) / (256 * 129)
    # mean over the ring of sin²: the squared transfer function of a central difference
    sines = np.sin(2 * np.pi * _axis()) ** 2
    slope = np.bincount(_rings((256, 256)).ravel(), sines.ravel(), minlength=_RINGS) / (256 * 129)
    square = gains**2
    left = float((slope * square * scene).sum()) * noise
    return Filter(
        gains,
        noise,
        float((share * square).sum()) * noise,
        float((slope * square).sum()) * noise,
        float((slope * square**2 * 2 * scene).sum()) * noise**2 / max(left, 1e-12),
        float((slope * square**2).sum()) * noise**2,
    )


def _axis() -> NDArray[np.float64]:
    return np.broadcast_to(np.fft.fftfreq(256)[:, None], (256, 129))


def _rings(shape: tuple[int, ...]) -> NDArray[np.intp]:
    """The ring of each frequency of `rfft2` of a plane of this shape."""
    down, across = np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1])
    radius = np.hypot(down[:, None], across)
    return np.asarray(np.minimum(radius / np.sqrt(0.5) * _RINGS, _RINGS - 1), np.intp)
