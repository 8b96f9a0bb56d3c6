"""Between the noisy and the restored photo: `strength`, and what it does to the confidence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from undark.develop.demosaic import demosaic
from undark.restoring.confidence import Law, half_widths, noise_half_widths
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel

Floats = NDArray[np.float32]


def check_strength(strength: float) -> None:
    """Raises `ValueError` for other than 0 to 1."""
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is 0 to 1, not {strength}")


def blended(
    light: Floats, top: int, mosaic: Mosaic, amplification: float, strength: float
) -> Floats:
    """Rows of restored light (h, W, 3), mixed with the amplified and demosaiced ones."""
    blended = amplify_and_demosaic(mosaic, amplification, (top, top + len(light)))
    blended += np.float32(strength) * (light - blended)
    return blended


def widths_of(
    law: Law,
    light: Floats,
    mosaic: Mosaic,
    noise: NoiseModel,
    amplification: float,
    strength: float,
) -> Floats:
    """(h, W): `Restored.confidence` of rows of light (h, W, 3) that were restored at strength 1."""
    widths = half_widths(law, light, mosaic, noise, amplification)
    if strength == 1:
        return widths
    return mixed_widths(widths, noise_half_widths(light, mosaic, noise, amplification), strength)


def mixed_widths(widths: Floats, noisy: Floats, strength: float) -> Floats:
    """(h, w): half widths at a strength, of those at strength 1 and at 0."""
    mixed: Floats = np.hypot(np.float32(strength) * widths, np.float32(1 - strength) * noisy)
    return mixed


def amplify_and_demosaic(
    mosaic: Mosaic, amplification: float, rows: tuple[int, int] | None = None
) -> Floats:
    """(H, W, 3) linear camera RGB: amplified and demosaiced, nothing else.

    `rows` (first, one past the last) gives only these rows of the frame.
    """
    first, last = rows or (0, mosaic.shape[0])
    period = mosaic.cfa.period
    # demosaicing looks a pixel around, and repeats a period at the border of what it is given
    begin, end = max(first // period - 1, 0) * period, min(last + period, mosaic.shape[0])
    signal = mosaic.signal(slice(begin, end))
    light = demosaic(signal, mosaic.cfa, (first - begin, last - begin))
    light *= mosaic.white_balance * np.float32(amplification / mosaic.span)
    return light
