"""Periodic offsets of lines, and what of a profile over lines is offsets and not the scene."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from undark.sensor.windows import robust_sigma

Array64 = NDArray[np.float64]

_MOST = 8
"""Sinusoids that are taken off at most."""
_NARROW = 25.0
"""Power of a peak in that of its neighbours: scenes have broad spectra."""
_AROUND = 12
"""Bins on each side that are neighbours."""
_FIRST = 4
"""Periods in the frame below which a wave may be the scene's."""
_ALIKE = 0.35
"""Scatter of a band's amplitude over the parts of the frame, of itself: a band has one."""
_EXPONENTIAL = 0.693
"""Median of the power of noise, in its mean."""


def bands(profiles: Array64) -> Array64:
    """(n,) sum of the sinusoids that parts (P, n) of a frame have alike; zeros where none are."""
    lines = profiles.shape[1]
    found = np.zeros(lines)
    if lines < 4 * _AROUND:
        return found
    left = profiles.copy()
    for _ in range(_MOST):
        frequency = _peak(np.median(left, axis=0))
        if frequency is None:
            break
        phase = 2 * np.pi * frequency * np.arange(lines)
        waves = np.stack([np.cos(phase), np.sin(phase)])
        amplitudes = 2 * left @ waves.T / lines  # (P, 2)
        usual = np.median(amplitudes, axis=0)
        scatter = robust_sigma(amplitudes - usual, axis=0)
        if np.hypot(*scatter) > _ALIKE * np.hypot(*usual):
            break
        wave = usual @ waves
        found += wave
        left -= wave
    return found


def _peak(profile: Array64) -> float | None:
    """Frequency in periods a line of the highest narrow peak of the spectrum."""
    lines = len(profile)
    window = np.hanning(lines)
    power = np.abs(np.fft.rfft(profile * window)) ** 2
    around = sliding_window_view(np.pad(power, _AROUND, mode="reflect"), 2 * _AROUND + 1)
    beside = np.median(around, axis=1) / _EXPONENTIAL
    excess = power / np.maximum(beside, 1e-12)
    excess[: _FIRST + 1] = 0
    excess[-2:] = 0
    best = int(np.argmax(np.where(excess > _NARROW, power, 0)))
    if excess[best] <= _NARROW:
        return None
    sizes = np.sqrt(power[best - 1 : best + 2])
    beyond = (sizes[2] - sizes[0]) / (sizes[0] + sizes[1] + sizes[2])
    return float((best + 1.5 * beyond) / lines)


def only_white(profile: Array64, variance: float, error: float) -> Array64:
    """(n,) of a profile, what independent offsets of this variance may be.

    Their power is the same at all frequencies; where the profile has more, at low ones, that is
    the scene's. `error` is the variance of the profile's own noise.
    """
    lines = len(profile)
    spectrum = np.fft.rfft(np.concatenate([profile, profile[::-1]]))
    power = np.abs(spectrum) ** 2 / (2 * lines)
    half = min(_AROUND // 2, len(power) // 4)
    around = sliding_window_view(np.pad(power, half, mode="reflect"), 2 * half + 1)
    beside = np.median(around, axis=1) / _EXPONENTIAL
    # the smoothed power of white noise itself scatters by a third
    share = np.where(beside > 2 * (variance + error), variance / np.maximum(beside, 1e-12), 1.0)
    kept: Array64 = np.fft.irfft(spectrum * share, 2 * lines)[:lines]
    return kept
