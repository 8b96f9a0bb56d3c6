"""Periodic offsets of lines, and what of a profile over lines is offsets and not the scene."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from undark.sensor.windows import robust_sigma

Array64 = NDArray[np.float64]
Complex = NDArray[np.complex128]

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
_SURE = 3.0
"""Standard errors by which amplitudes of colours surely differ."""
_STANDS_OUT = 2.0
"""Amplitude of a band in the median of those of `_NEAR` bins, beyond what a window leaks."""
_NEAR = np.array([-5, -4, -3, 3, 4, 5])
_ONE_SIZE = 0.25
"""Most that the amplitudes of any two colours differ by, of their mean, in an offset. The scene's
differ: under white light a sensor's green is 1.5 to 2.5 times its red and blue."""


def narrow_bands(profiles: Array64, colours: NDArray[np.uint8]) -> Array64:
    """(n,) sum of the sinusoids with a narrow peak that parts of a frame have alike; zeros where
    there are none.

    `profiles` (P, C, n) are means over the columns of each phase, by themselves, of lines of one
    phase; `colours` (C,) those of the columns. Stripes of the scene have not the same size in all.
    """
    lines = profiles.shape[-1]
    found = np.zeros(lines)
    if lines < 4 * _AROUND:
        return found
    left = profiles.copy()
    for _ in range(_MOST):
        frequency = _peak(np.median(left.mean(axis=1), axis=0))
        if frequency is None:
            break
        phase = 2 * np.pi * frequency * np.arange(lines)
        waves = np.stack([np.cos(phase), np.sin(phase)])
        amplitudes = 2 * left @ waves.T / lines  # (P, C, 2)
        of_parts = amplitudes.mean(axis=1)
        usual = np.median(of_parts, axis=0)
        size = float(np.hypot(*usual))
        scatter = robust_sigma(of_parts - usual, axis=0)
        if np.hypot(*scatter) > _ALIKE * size or _surely_tinted(amplitudes, colours, size):
            break
        wave = usual @ waves
        found += wave
        left -= wave
    return found


def _surely_tinted(amplitudes: Array64, colours: NDArray[np.uint8], size: float) -> bool:
    """Whether amplitudes (P, C, 2) differ between colours by more than an offset's, and noise."""
    seen = sorted(set(colours.tolist()))
    of_colour = np.stack([amplitudes[:, colours == c].mean(axis=1) for c in seen])
    apart = of_colour - np.roll(of_colour, 1, axis=0)  # (colours, P, 2)
    usual = np.median(apart, axis=1)
    scatter = robust_sigma(apart - usual[:, None], axis=1)
    error = np.hypot(scatter[:, 0], scatter[:, 1]) / apart.shape[1] ** 0.5
    tint = np.hypot(usual[:, 0], usual[:, 1])
    return bool((tint > _ONE_SIZE * size + _SURE * error).any())


def colourless_bands(profiles: Array64, colours: NDArray[np.uint8]) -> Array64:
    """(n,) sum of the sinusoids that all colours and all parts of the frame have alike.

    `profiles` (P, period, n) are means over the columns of each phase, by themselves, in P parts of
    the frame; `colours` (period, period) those of lines and of columns. A band is an offset, so it
    has one size in all colours; stripes of the scene have not. So slow bands are found among the
    scene's low frequencies, where their peak is not narrow. Zeros where there are none.
    """
    period, lines = len(colours), profiles.shape[-1]
    whole = lines // period * period
    found = np.zeros(lines)
    if whole < 4 * _AROUND * period:
        return found
    left = profiles - profiles.mean(axis=-1, keepdims=True)
    for _ in range(_MOST):
        frequency = _colourless_peak(left[..., :whole], colours)
        if frequency is None:
            break
        turns = 2j * np.pi * frequency
        window = np.hanning(whole)
        seen = left[..., :whole] @ (window * np.exp(-turns * np.arange(whole)))
        usual = 2 / window.sum() * _middle(seen.ravel())
        wave = (usual * np.exp(turns * np.arange(lines))).real
        found += wave
        left -= wave
    return found


def _colourless_peak(profiles: Array64, colours: NDArray[np.uint8]) -> float | None:
    """Frequency in periods a line of the largest wave of the same size in parts and colours."""
    period, lines = len(colours), profiles.shape[-1]
    size = lines // period
    # of the lines of each phase, (P, period of columns, period of lines, size)
    phases = np.moveaxis(profiles.reshape(*profiles.shape[:2], size, period), -1, 2)
    frequencies = np.fft.rfftfreq(size) / period
    shift = np.exp(-2j * np.pi * np.arange(period)[:, None] * frequencies)
    spectra = np.fft.rfft(phases * np.hanning(size)) * shift
    sizes, bands = _bands_among(spectra, colours)
    bands[: _FIRST + 1] = bands[-2:] = False
    if not bands.any():
        return None
    best = int(np.argmax(np.where(bands, sizes, 0)))
    return float((best + _between_bins(sizes, best)) / lines)


def _bands_among(spectra: Complex, colours: NDArray[np.uint8]) -> tuple[Array64, NDArray[np.bool_]]:
    """(F,) size of the wave that spectra (P, columns, lines, F) share, and whether it is a band.

    A band is alike in all parts and colours, and larger than the waves next to it, where an edge
    across the frame has many.
    """
    usual = _middle(spectra.reshape(-1, spectra.shape[-1]))
    sizes, apart = np.abs(usual), spectra - usual
    scatter = np.hypot(*(robust_sigma(a, axis=(0, 1, 2)) for a in (apart.real, apart.imag)))
    of_phase = spectra.mean(axis=0).swapaxes(0, 1)  # (lines, columns, F)
    of_colour = np.stack([of_phase[colours == c].mean(axis=0) for c in range(3)])
    tint = np.abs(of_colour - np.roll(of_colour, 1, axis=0)).max(axis=0)
    reach = _NEAR.max()
    places = np.arange(len(sizes))[:, None] + reach + _NEAR
    near = np.median(np.pad(sizes, reach, mode="reflect")[places], axis=1)
    alike = (scatter < _ALIKE * sizes) & (tint < _ONE_SIZE * sizes)
    peaks = (sizes > np.roll(sizes, 1)) & (sizes > np.roll(sizes, -1))
    return sizes, alike & peaks & (sizes > _STANDS_OUT * near)


def _middle(waves: Complex) -> Complex:
    """Medians of complex amplitudes over the first axis, real and imaginary part by themselves."""
    middle: Complex = np.median(waves.real, axis=0) + 1j * np.median(waves.imag, axis=0)
    return middle


def _between_bins(sizes: Array64, best: int) -> float:
    """How far from a bin a peak of a spectrum under a Hann window is, by its two neighbours."""
    below, peak, above = sizes[best - 1 : best + 2]
    return float(1.5 * (above - below) / (below + peak + above))


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
    return float((best + _between_bins(np.sqrt(power), best)) / lines)


def only_white(profile: Array64, variance: float, error: float) -> tuple[Array64, float]:
    """(n,) of a profile, what independent offsets of this variance may be, and the variance of
    those that are not in it.

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
    return kept, variance * float(np.mean(1 - share))
