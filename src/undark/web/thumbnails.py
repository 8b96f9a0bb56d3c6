"""Thumbnails, amplified: the previews of dark photos are black.

The camera's own preview comes first, since it is read in a few hundredths of a second. Where it is
so dark that its 8 bits leave only a few levels, or where there is none, the RAW data gives a better
one, which takes about a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from undark.develop.colour import light_of
from undark.develop.render import Rendering, oriented, quantise, shoulder
from undark.files.picture import is_picture, plain_jpeg
from undark.files.raw import Preview, read_mosaic, read_preview
from undark.files.small import reduced, small_jpeg, small_light
from undark.sensor.exposure import LIGHT_SOURCES, propose_exposure, wanted_amplification
from undark.sensor.mosaic import Mosaic

Floats = NDArray[np.float32]

SIDE = 400
"""Pixels along the longer side, at most."""
QUALITY = 82
ROUGH = 12.0
"""Amplification of 8-bit levels above which a preview shows only a few of them."""
MOST = 256.0
"""Amplification of a preview, at most: below, its levels are all 0 or 1."""


@dataclass(frozen=True)
class Thumbnail:
    """A JPEG."""

    jpeg: bytes
    rough: bool
    """Whether the RAW data would give a better one."""


def quick_thumbnail(path: Path) -> Thumbnail | None:
    """From the camera's preview, or the picture itself; None where there is no preview.

    Raises `PhotoError`.
    """
    if is_picture(path):
        light, orientation = small_light(path, SIDE)
        return _amplified(light, orientation, rough_possible=False)
    preview = read_preview(path)
    if preview is None:
        return None
    light = _preview_light(preview, path)
    return _amplified(light, _turn(preview, light), rough_possible=True)


def raw_thumbnail(path: Path) -> Thumbnail:
    """From the RAW data, with the amplification that restoring proposes. Raises `PhotoError`."""
    mosaic = read_mosaic(path)
    amplification = propose_exposure(mosaic).amplification
    light = binned(mosaic, amplification)
    rendering = Rendering(light.shape[:2], mosaic, amplification, 8)
    rendering.add(0, light)
    return Thumbnail(plain_jpeg(rendering.picture.astype(np.uint8), QUALITY), rough=False)


def binned(mosaic: Mosaic, amplification: float) -> Floats:
    """(h, w, 3) linear camera RGB of a mosaic: means over blocks, at most `SIDE` long."""
    period, pattern = mosaic.cfa.period, mosaic.cfa.pattern
    height, width = (n // period for n in mosaic.shape)
    signal = mosaic.signal(slice(0, height * period), slice(0, width * period))
    light = np.zeros((height, width, 3), np.float32)
    for (y, x), colour in np.ndenumerate(pattern):
        light[..., colour] += signal[y::period, x::period]
    light /= np.bincount(pattern.ravel(), minlength=3).astype(np.float32)
    light = reduced(light, SIDE)
    light *= mosaic.white_balance * np.float32(amplification / mosaic.span)
    return light


def _preview_light(preview: Preview, path: Path) -> Floats:
    if preview.jpeg is not None:
        return small_jpeg(preview.jpeg, SIDE, str(path))[0]
    assert preview.pixels is not None
    return reduced(light_of(preview.pixels), SIDE)


def _turn(preview: Preview, light: Floats) -> int:
    """The orientation to apply: 1 where the preview is upright already, unlike the RAW frame."""
    is_landscape = light.shape[1] >= light.shape[0]
    return preview.orientation if is_landscape == preview.landscape else 1


def _amplified(light: Floats, orientation: int, rough_possible: bool) -> Thumbnail:
    """Bright by the rule of `propose_exposure`, with the renderer's shoulder."""
    gain = _gain(light)
    planes = shoulder((light[..., 0] * gain, light[..., 1] * gain, light[..., 2] * gain))
    upright, frame = oriented(light.shape[:2], orientation, 8)
    for channel, plane in enumerate(planes):
        frame[..., channel] = quantise(plane, 8)
    rough = rough_possible and float(gain) > ROUGH
    return Thumbnail(plain_jpeg(upright.astype(np.uint8), QUALITY), rough)


def _gain(light: Floats) -> np.float32:
    green = light[..., 1]
    middle = max(float(np.median(green)), 1e-6)
    bright = max(float(np.quantile(green, 1 - LIGHT_SOURCES)), 1e-6)
    wanted, _ = wanted_amplification(middle, bright)
    return np.float32(min(max(wanted, 1.0), MOST))
