"""A bound on what a network may add: the measured light around each pixel, within its noise.

On colours that did not occur in its training a network may give light that is nowhere in the scene,
hundreds of sigmas off and many pixels wide. Its output is therefore limited: a pixel stays in the
range of the measured light of the 3×3 packed pixels around it. Photographs restored by the shipped
model stay in it by themselves except at high signal-to-noise ratios: `benchmarks/adversarial.py
--photos 6` says what it costs.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray

from undark.sensor.windows import box_means

Floats = NDArray[np.float32]

FROM_MEAN = 3.0
"""Sigmas of a pixel beyond the means over 3×3 packed pixels."""
CONTRAST = 4.0
"""Times the range of those means beyond them: beside an edge the finest detail exceeds them."""
NOISE = 1.5
"""Sigmas of that range that are noise."""
BELOW_PEAK = 1.0
"""Sigmas by which single pixels, which noise may have raised, must exceed what they allow."""


def bound(output: Floats, inputs: Floats, colours: tuple[int, ...]) -> Floats:
    """Clip a network's output (1, 3, H, W), in place, to what its input (1, 2·cell², h, w) allows.

    `colours` is that of each packed plane. The upper limit of a colour is the largest, over 3×3
    packed pixels, of their mean over 3×3 plus `FROM_MEAN` sigmas and of the single pixels minus
    `BELOW_PEAK` sigmas (a star may be one pixel), or more beside an edge: what an edge allows
    reaches no farther than two packed pixels from it. The lower limit is its mirror image, but for
    what is below black: no light is, so there only the means allow more.
    """
    count = len(colours)
    cell = output.shape[-1] // inputs.shape[-1]
    for colour in range(3):
        planes = [n for n, c in enumerate(colours) if c == colour]
        light = inputs[0, planes]
        sigma = inputs[0, [count + n for n in planes]]
        middle, spread = box_means(light.mean(axis=0), 1), box_means(sigma.mean(axis=0), 1)
        reach = np.float32(FROM_MEAN) * spread
        contrast = over_3x3(middle, np.maximum) - over_3x3(middle, np.minimum)
        detail = reach + CONTRAST * np.maximum(contrast - NOISE * spread, np.float32(0))
        peaks = (light - BELOW_PEAK * sigma).max(axis=0)
        dips = (light + BELOW_PEAK * sigma).min(axis=0)
        most = over_3x3(np.maximum(middle + reach, peaks), np.maximum)
        most = np.maximum(most, middle + detail)
        dark = np.minimum(over_3x3(dips, np.minimum), middle - detail)
        least = over_3x3(middle - reach, np.minimum)
        least = np.minimum(least, np.maximum(dark, np.float32(0)))
        for row, column in product(range(cell), repeat=2):  # the limits hold for a whole cell
            pixels = output[0, colour, row::cell, column::cell]
            np.clip(pixels, least, most, out=pixels)
    return output


def over_3x3(plane: Floats, combine: Callable[[Floats, Floats], Floats]) -> Floats:
    """Combine each pixel of (h, w) with the eight around it; the border is repeated."""
    wide = np.pad(plane, 1, mode="edge")
    lines = combine(combine(wide[:-2], wide[1:-1]), wide[2:])
    return combine(combine(lines[:, :-2], lines[:, 1:-1]), lines[:, 2:])
