"""The noise of a photo, estimated again after a part of it was restored.

Texture is easier to see in a restored photo than in a noisy one: where restored light is flat, the
measured light's difference from it is noise. After Feng et al., "YOND: practical blind raw image
denoising free from camera-specific data dependency" (2025), which refines the noise estimate by a
first restoration.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from undark.cpus import in_threads
from undark.restoring.blocks import clipped_below
from undark.sensor.blind.flat import Points, fit_line
from undark.sensor.conditioning import signal_per_light
from undark.sensor.hot import mend
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel, reached
from undark.sensor.windows import box_means

Floats = NDArray[np.float32]
Run = Callable[[Mosaic, NoiseModel, float], Floats]
"""A photo, its noise and the amplification → restored light (H, W, 3), camera RGB, 1 is white."""

SIDE = 432
"""Sides of the parts that are restored, in pixels: whole periods of every CFA."""
_BRIGHTNESSES = (0.1, 0.5, 0.9, 0.99)
"""Quantiles of the brightness of the frame's parts that are restored: four, 0.75 megapixels."""
_REACH = 4
"""Pixels in each direction over which light has to be flat."""
_FLAT, _FLATTEST = 0.2, 0.15
"""Standard deviation of flat light in sigmas of the noise; share of the pixels used at least."""
_FEWEST = 4000
"""Flat pixels without which the first estimate stays."""
_BINS = 32
_OUTLIER = 5.0
"""Sigmas beyond which a difference is cut: pixels that are hot or dead."""
_RESOLVED = 4.0
"""Read noises in a photon's signal from which single photons stand out of it."""
_BURNT = 0.9
"""Share of the span above which pixels may be clipped at white."""


def second_look(mosaic: Mosaic, noise: NoiseModel, amplification: float, run: Run) -> NoiseModel:
    """Gain and read noise from the differences of measured and restored light in four parts.

    `mosaic` is the corrected photo, `noise` the first estimate. It is returned where black was
    clipped, which hides the noise, where little of the photo is flat, and where there is less than
    a photon a pixel: the first one is right there, texture being less than noise. Row noise,
    bias and steps stay as they are.
    """
    if clipped_below(mosaic.plane) is not None:
        return noise

    def look(part: Mosaic) -> tuple[Floats, Floats, Floats]:
        return _differences(part, noise, amplification, run)

    found = in_threads(look, _parts(mosaic))
    level, difference, texture = (np.concatenate(values) for values in zip(*found, strict=True))
    if noise.gain > _RESOLVED * noise.read and float(level.mean()) < noise.gain:
        return noise
    flat = texture <= max(_FLAT, float(np.quantile(texture, _FLATTEST)))
    if flat.sum() < _FEWEST:
        return noise
    points = _points(level[flat], difference[flat], noise)
    least = noise.step**2 / 12 + noise.row**2
    line = fit_line(points, 0.25 * noise.gain, float(least))
    read = math.sqrt(max(line.at_black - least, (0.5 * noise.read) ** 2))
    return replace(noise, gain=min(line.gain, 2 * noise.gain), read=min(read, 2 * noise.read))


def _parts(mosaic: Mosaic) -> list[Mosaic]:
    """Parts of the frame with the brightnesses `_BRIGHTNESSES`; of a small frame its middle."""
    height, width = mosaic.shape
    if height < 2 * SIDE or width < 2 * SIDE:
        top, left = max(height - SIDE, 0) // 12 * 6, max(width - SIDE, 0) // 12 * 6
        return [mosaic.crop(top, left, min(SIDE, height), min(SIDE, width))]
    corners = [
        (top, left)
        for top in range(0, height - SIDE + 1, SIDE)
        for left in range(0, width - SIDE + 1, SIDE)
    ]
    brightness = [mosaic.plane[y : y + SIDE : 4, x : x + SIDE : 4].mean() for y, x in corners]
    order = np.argsort(brightness)
    chosen = dict.fromkeys(order[round(q * (len(order) - 1))] for q in _BRIGHTNESSES)
    return [mosaic.crop(corners[n][0], corners[n][1], SIDE, SIDE) for n in chosen]


def _differences(
    part: Mosaic, noise: NoiseModel, amplification: float, run: Run
) -> tuple[Floats, Floats, Floats]:
    """Of each pixel: restored level in DN, measured minus restored, and texture in sigmas."""
    mended = mend(part, noise).mosaic
    light = run(mended, noise, amplification)
    light = light * signal_per_light(part, amplification)
    colours = mended.cfa.colour_map(mended.shape)[..., None].astype(np.intp)
    planes = np.moveaxis(light, -1, 0)
    mean, square = box_means(planes, _REACH), box_means(planes**2, _REACH)
    deviation = np.sqrt(np.maximum(square - mean**2, 0)) / noise.sigma(np.maximum(mean, 0))
    level, texture = (
        np.take_along_axis(values, colours, -1)[..., 0]
        for values in (light, np.moveaxis(deviation, 0, -1))
    )
    usable = level < _BURNT * part.span
    return level[usable], (mended.signal() - level)[usable], texture[usable]


def _points(level: Floats, difference: Floats, noise: NoiseModel) -> Points:
    """Mean squares of the differences in bins of brightness."""
    lit = np.maximum(level, 0)
    sigma = noise.sigma(lit)
    most = reached(_OUTLIER, noise.gain, lit, sigma) * sigma
    squares = np.clip(difference, -most, most).astype(np.float64) ** 2
    bins = np.array_split(np.argsort(level), _BINS)
    return Points(
        np.array([level[b].mean(dtype=np.float64) for b in bins]),
        np.array([squares[b].mean() for b in bins]),
        np.array([math.sqrt(2 / len(b)) + 0.01 for b in bins]),
        0.0,
    )
