"""Colour conversions shared by rendering and training: camera RGB, linear sRGB, sRGB's curve.

"Camera RGB" here is white-balanced: a neutral surface has three equal values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.sensor.arrays import Array, namespace

XYZ_FROM_SRGB = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
"""Linear sRGB → CIE XYZ, D65 (IEC 61966-2-1)."""

# CIE XYZ → camera RGB of four cameras, from Brooks et al. (Apache-2.0), and of the Sony A7S
# family from Adobe's published DNG colour matrices.
CAMERA_MATRICES = np.array(
    [
        [[1.0234, -0.2969, -0.2266], [-0.5625, 1.6328, -0.0469], [-0.0703, 0.2188, 0.6406]],
        [[0.4913, -0.0541, -0.0202], [-0.6130, 1.3513, 0.2906], [-0.1564, 0.2151, 0.7183]],
        [[0.8380, -0.2630, -0.0639], [-0.2887, 1.0725, 0.2496], [-0.0627, 0.1427, 0.5438]],
        [[0.6596, -0.2079, -0.0562], [-0.4782, 1.3016, 0.1933], [-0.0970, 0.1581, 0.5181]],
        [[0.5838, -0.1430, -0.0246], [-0.3497, 1.1477, 0.2297], [-0.0748, 0.1885, 0.5778]],
    ]
)


def camera_from_srgb(camera_from_xyz: NDArray[np.floating]) -> NDArray[np.float64]:
    """(3, 3): linear sRGB → white-balanced camera RGB; rows sum to 1: neutrals stay neutral.

    Raises `ValueError` for a matrix that cannot be inverted.
    """
    given = np.asarray(camera_from_xyz, np.float64)
    # infinite values are left out of the product: some processors warn of the NaN in it
    matrix = np.where(np.isfinite(given), given, 0) @ XYZ_FROM_SRGB
    sums = matrix.sum(axis=1, keepdims=True)
    if not np.all(np.isfinite(given)) or np.any(sums <= 0):
        raise ValueError("the colour matrix does not map white to white")
    balanced: NDArray[np.float64] = np.asarray(matrix / sums, np.float64)
    if np.linalg.cond(balanced) > 1e3:
        raise ValueError("the colour matrix is singular")
    return balanced


def srgb_from_camera(camera_from_xyz: NDArray[np.floating]) -> NDArray[np.float64]:
    """(3, 3): white-balanced camera RGB → linear sRGB: the inverse of `camera_from_srgb`."""
    inverse = np.linalg.inv(camera_from_srgb(camera_from_xyz))
    return np.asarray(inverse, np.float64)


KNEE = 0.0031308
"""Linear light below which sRGB's curve is a straight line (IEC 61966-2-1)."""


def encode_srgb(linear: Array) -> Array:
    """Linear light in [0, 1] → sRGB's curve in [0, 1]; outside is clipped."""
    return srgb_curve(namespace(linear).clip(linear, 0, 1))


def srgb_curve(linear: Array) -> Array:
    """Linear light → sRGB's curve, continued above 1 by its power and below 0 by its line."""
    xp = namespace(linear)
    # the smaller is the linear segment below the knee, where the power is constant (with a finite
    # gradient), and the power above; `where` takes longer on a CPU
    return xp.minimum(12.92 * linear, 1.055 * xp.clip(linear, KNEE, None) ** (1 / 2.4) - 0.055)


def decode_srgb(encoded: Array) -> Array:
    """sRGB's curve → linear light: the inverse of `encode_srgb`, and of `srgb_curve`."""
    xp = namespace(encoded)
    curve = ((xp.clip(encoded, 0.04045, None) + 0.055) / 1.055) ** 2.4
    return xp.where(encoded <= 0.04045, encoded / 12.92, curve)


def light_of(levels: NDArray[Any]) -> NDArray[np.float32]:
    """Levels of an sRGB picture, uint8 or uint16 → linear light in [0, 1]."""
    light: NDArray[np.float32] = decode_srgb(levels / np.float32(np.iinfo(levels.dtype).max))
    return light


def encode_rec709(linear: Array) -> Array:
    """Linear light in [0, 1] → the curve of ITU-R BT.709, LibRaw's default; outside is clipped."""
    xp = namespace(linear)
    linear = xp.clip(linear, 0, 1)
    # LibRaw's constants, which make its gamma (2.222, 4.5) continuous
    curve = 1.0992968 * xp.clip(linear, 0.0180540, None) ** (1 / 2.222) - 0.0992968
    return xp.where(linear < 0.0180540, 4.5 * linear, curve)


def decode_rec709(encoded: Array) -> Array:
    """LibRaw's curve in [0, 1] → linear light in [0, 1]: the inverse of `encode_rec709`."""
    xp = namespace(encoded)
    curve = ((xp.clip(encoded, 0.081243, None) + 0.0992968) / 1.0992968) ** 2.222
    return xp.where(encoded < 0.081243, encoded / 4.5, curve)
