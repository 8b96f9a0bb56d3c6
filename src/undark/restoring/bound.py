"""A bound on what a network may add: the measured light around each pixel, within its noise.

On colours that did not occur in its training a network may give light that is nowhere in the scene,
hundreds of sigmas off and many pixels wide. Its output is therefore limited: a pixel stays in the
range of the measured light of the 3×3 packed pixels around it. Photographs restored by the shipped
model stay in it by themselves except at high signal-to-noise ratios: `benchmarks/adversarial.py
--photos 6` says what it costs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from itertools import product

import numpy as np
from numpy.typing import NDArray

from undark.engine.backends import Margins
from undark.engine.tiling import cut
from undark.sensor.windows import box_means

Floats = NDArray[np.float32]
Combine = Callable[..., Floats]
"""`np.maximum` or `np.minimum`."""

FROM_MEAN = 2.75
"""Sigmas of a pixel beyond the means over 3×3 packed pixels."""
CONTRAST = 4.0
"""Times the range of those means beyond them: beside an edge the finest detail exceeds them."""
NOISE = 1.5
"""Sigmas of that range that are noise."""
_REACH = 2
"""Packed pixels around a pixel on which its limits depend."""
BELOW_PEAK = 1.0
"""Sigmas by which single pixels, which noise may have raised, must exceed what they allow."""


def bound(output: Floats, inputs: Floats, margins: Margins, colours: tuple[int, ...]) -> Floats:
    """Clip a network's output (1, 3, H, W), in place, to what its input (1, 2·cell², h, w) allows.

    The input has `margins` around the output, of packed pixels. `colours` is that of each packed
    plane. The upper limit of a colour is the largest, over 3×3 packed pixels, of their mean over
    3×3 plus `FROM_MEAN` sigmas and of the single pixels minus `BELOW_PEAK` sigmas (a star may be
    one pixel), or more beside an edge: what an edge allows reaches no farther than two packed
    pixels from it. The lower limit is its mirror image, but for what is below black: no light is,
    so there only the means allow more.
    """
    near = tuple(min(margin, _REACH) for margin in margins)
    around = cut(inputs[0], tuple(m - n for m, n in zip(margins, near, strict=True)), 1)
    for colour in range(3):
        least, most = (cut(limit, near, 1) for limit in _limits(around, colours, colour))
        cell = output.shape[-1] // least.shape[-1]
        for row, column in product(range(cell), repeat=2):  # the limits hold for a whole cell
            pixels = output[0, colour, row::cell, column::cell]
            np.clip(pixels, least, most, out=pixels)
    return output


def _limits(inputs: Floats, colours: tuple[int, ...], colour: int) -> tuple[Floats, Floats]:
    """(h, w) lowest and highest light of a colour that (2·cell², h, w) allows."""
    planes = [n for n, c in enumerate(colours) if c == colour]
    light, sigma = inputs[planes], inputs[[len(colours) + n for n in planes]]
    middle, spread = (box_means(_mean(of), 1) for of in (light, sigma))
    reach = np.float32(FROM_MEAN) * spread
    contrast = over_3x3(middle, np.maximum) - over_3x3(middle, np.minimum)
    detail = reach + CONTRAST * (contrast - NOISE * spread).clip(0)
    peaks = reduce(np.maximum, light - BELOW_PEAK * sigma)
    dips = reduce(np.minimum, light + BELOW_PEAK * sigma)
    most = over_3x3(np.maximum(middle + reach, peaks), np.maximum)
    dark = np.minimum(over_3x3(dips, np.minimum), middle - detail).clip(0)
    least = np.minimum(over_3x3(middle - reach, np.minimum), dark)
    return least, np.maximum(most, middle + detail)


def _mean(planes: Floats) -> Floats:
    """(n, h, w) → (h, w): faster than NumPy's over a first axis."""
    return np.asarray(reduce(np.add, planes) / np.float32(len(planes)))


def over_3x3(plane: Floats, combine: Combine) -> Floats:
    """Combine each pixel of (h, w) with the eight around it; the border is repeated."""
    wide = np.pad(plane, 1, mode="edge")
    # into copies: NumPy's maximum of two views of the same memory is ten times slower
    lines = wide[:-2].copy()
    combine(lines, wide[1:-1], out=lines)
    combine(lines, wide[2:], out=lines)
    found = lines[:, :-2].copy()
    combine(found, lines[:, 1:-1], out=found)
    return combine(found, lines[:, 2:], out=found)
