"""Stored pixels → sRGB, by the ICC profile of their file, through Little CMS (imagecodecs).

The conversion is relative colorimetric: white stays white; colours outside sRGB are clipped.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from undark.files.decode import Decoded

_RELATIVE_COLORIMETRIC = 1
_NO_OPTIMISATION = 0x0100
"""Little CMS else interpolates 16 bits and grey in a coarse table: wrong by up to 20 of 255 near
black. RGB of 8 bits is exact to rounding with it, and 20 times as fast."""
_SPACES = {b"RGB ": ("rgb", 3), b"GRAY": ("gray", 1)}


def to_srgb(decoded: Decoded) -> NDArray[Any]:
    """(H, W, 3) sRGB levels of the same type.

    Pixels stay as they are where there is no profile, where it is sRGB's own, and where it is
    damaged or for another number of channels: sRGB is then the most likely meaning.
    """
    pixels = decoded.pixels
    profile = decoded.profile or (_adobe_rgb() if decoded.adobe_rgb else None)
    space, channels = _SPACES.get(profile[16:20], ("", 0)) if profile else ("", 0)
    if profile and channels == pixels.shape[-1] and not _is_srgb(profile):
        converted = _converted(pixels, profile, space)
        pixels = pixels if converted is None else converted
    if pixels.shape[-1] == 1:
        pixels = np.repeat(pixels, 3, axis=-1)
    return np.ascontiguousarray(pixels)


def _converted(pixels: NDArray[Any], profile: bytes, space: str) -> NDArray[Any] | None:
    """(H, W, 3) sRGB; None where Little CMS does not take the profile."""
    try:
        out = imagecodecs.cms_transform(
            pixels[..., 0] if space == "gray" else pixels,
            profile,
            _srgb(),
            colorspace=space,
            outcolorspace="rgb",
            intent=_RELATIVE_COLORIMETRIC,
            flags=None if space == "rgb" and pixels.dtype == np.uint8 else _NO_OPTIMISATION,
        )
    except (imagecodecs.CmsError, ValueError):
        return None
    return np.asarray(out)


@cache
def _is_srgb(profile: bytes) -> bool:
    """Whether a profile changes no 8-bit level by more than 1, as the many variants of sRGB do.

    Such pixels are kept bit by bit, where the transform would only add rounding.
    """
    if profile[16:20] != b"RGB ":
        return False
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    converted = _converted(lattice, profile, "rgb")
    return converted is None or bool(np.abs(converted.astype(int) - lattice).max() <= 1)


@cache
def _srgb() -> bytes:
    return bytes(imagecodecs.cms_profile("srgb"))


@cache
def _adobe_rgb() -> bytes:
    """Adobe RGB (1998): its primaries as xyY, D65, gamma 563/256."""
    primaries = [0.64, 0.33, 1, 0.21, 0.71, 1, 0.15, 0.06, 1]
    white = (0.3127, 0.3290, 1.0)
    profile = imagecodecs.cms_profile("rgb", whitepoint=white, primaries=primaries, gamma=563 / 256)
    return bytes(profile)
