"""The input of a network: amplified, white-balanced planes of a mosaic, and their noise maps.

Training and restoring both use these functions, so their inputs are equal bit for bit. Values
below black are kept: clipping them would brighten and tint the shadows.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from undark.sensor.arrays import Array, like, namespace
from undark.sensor.cfa import CFA, pack
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel

HIGHLIGHT_CEILING = 4.0
"""Amplified values above this (white is 1) are not given to a network: light sources have little
relative noise."""
_ABOVE_NOISE = 8.0
"""Standard deviations of white's noise that the ceiling is above white, at least."""


FIRST_LEVEL = 1 / (255 * 12.92)
"""Linear light of level 1 of an 8-bit sRGB picture."""


def scale(
    cfa: CFA,
    white_balance: NDArray[np.float32],
    span: float,
    amplification: NDArray[np.float32] | float,
    other: Array,
) -> Array:
    """(…, cell², 1, 1): factor from DN above black to amplified, white-balanced light.

    `white_balance` is (…, 3) with green 1, `amplification` (…); the result is like `other`.
    """
    gains = white_balance[..., list(cfa.colours)]
    factor = gains * (np.asarray(amplification) / span)[..., None]
    placed: Array = like(factor, other)
    return placed[..., None, None]


def signal_per_light(mosaic: Mosaic, amplification: float) -> NDArray[np.float32]:
    """(3,): DN above black of restored light of 1 (white) in red, green and blue."""
    found: NDArray[np.float32] = np.float32(mosaic.span / amplification) / (
        mosaic.white_balance.astype(np.float32)
    )
    return found


def most_amplification(mosaic: Mosaic, noise: NoiseModel, amplification: float) -> float:
    """The largest amplification, at most this one, at which a network can work on a photo.

    Beyond it the noise of what this one shows passes `HIGHLIGHT_CEILING`, is cut off the network's
    input and added to its output as coloured dots. A network's output at a smaller one, multiplied,
    is the same. It is smaller by a power of two, so that multiplying rounds nothing.
    """
    white = signal_per_light(mosaic, amplification)
    reached = (white + np.float32(_ABOVE_NOISE) * noise.sigma(white)) / white
    halvings = math.ceil(math.log2(float(reached.max()) / HIGHLIGHT_CEILING))
    return float(amplification / 2.0 ** max(halvings, 0))


def condition(
    signal: Array, cfa: CFA, noise: NoiseModel, factor: Array, excess: Array | None = None
) -> Array:
    """Mosaic (…, H, W) in DN above black → network input (…, 2·cell², h, w).

    First the packed planes times `factor` (see `scale`), then their predicted standard deviation
    in the same unit. The noise is predicted from the noisy signal, the only estimate of the light.
    `excess` (…, H, W) multiplies the variance of each pixel; None: 1.
    """
    xp = namespace(signal)
    planes = pack(signal, cfa)
    sigma = _of_planes(noise).sigma(planes)
    if excess is not None:
        sigma = sigma * xp.sqrt(pack(excess, cfa))
    light = xp.clip(planes * factor, None, HIGHLIGHT_CEILING)
    return xp.concat([light, sigma * factor], axis=-3)


def condition_picture(light: Array, amplification: Array | float, noise: Array) -> Array:
    """Linear sRGB (…, 3, H, W) of a finished picture → network input (…, 6, H, W).

    First the amplified light; then, at every pixel, the amplified light of `FIRST_LEVEL`, which
    says how coarse the picture's levels have become; then `noise` (…, 2, 1, 1), the fields of
    `undark.develop.picture_noise.PictureNoise`. `amplification` is a number or (…, 1, 1, 1).
    """
    xp = namespace(light)
    none = xp.zeros_like(light[..., :1, :, :])
    return xp.concat(
        [light * amplification, none + FIRST_LEVEL * amplification, none + noise], axis=-3
    )


def _of_planes(noise: NoiseModel) -> NoiseModel:
    """Parameters of a batch, (N, 1, 1), reshaped to broadcast with packed planes (N, C, h, w)."""

    def lift(value: Array) -> Array:
        return value[:, None] if getattr(value, "ndim", 0) == 3 else value

    names = ("gain", "read", "row", "bias")
    return replace(noise, **{name: lift(getattr(noise, name)) for name in names})
