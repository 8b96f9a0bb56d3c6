"""A bound on what a network may add: the measured light around each pixel, within its noise.

On colours that did not occur in its training a network may give light that is nowhere in the scene,
hundreds of sigmas off and many pixels wide. Its output is therefore limited: a pixel stays in the
range of the measured light of the 3×3 packed pixels around it, and where there is detail, in any
colour, farther out in proportion. `benchmarks/adversarial.py --photos 12` says what it costs.
"""

from __future__ import annotations

from functools import reduce
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from undark.engine.backends import Margins
from undark.engine.tiling import cut
from undark.sensor.conditioning import HIGHLIGHT_CEILING
from undark.sensor.windows import box_means, near_sums, over_3x3

Floats = NDArray[np.float32]

FROM_MEAN = 2.75
"""Sigmas of a pixel beyond the means over 3×3 packed pixels."""
DETAIL = 6.0
"""Standard deviations of the scene's detail around a pixel beyond those means: what is finer than a
packed pixel exceeds them."""
ALONE = 0.33
"""Share of the detail that counts which only one colour shows."""
SURE = 12.0
"""Standard errors of the variance of the noise by which that around a pixel must exceed it before
the rest is detail."""
_REACH = 2
"""Packed pixels around a pixel on which its limits depend: detail is seen in 5×5."""
BELOW_PEAK = 1.25
"""Sigmas by which single pixels, which noise may have raised, must exceed what they allow."""


def bound(output: Floats, inputs: Floats, margins: Margins, colours: tuple[int, ...]) -> Floats:
    """Clip a network's output (1, 3, H, W), in place, to what its input (1, 2·cell², h, w) allows.

    The input has `margins` around the output, of packed pixels. `colours` is that of each packed
    plane. The upper limit of a colour is the largest, over 3×3 packed pixels, of their mean over
    3×3 plus `FROM_MEAN` sigmas and of the single pixels minus `BELOW_PEAK` sigmas (a star may be
    one pixel), or more where there is detail: what an edge allows reaches no farther than two
    packed pixels from it. The lower limit is its mirror image, but for what is below black: no
    light is, so there only the means allow more.
    """
    near = tuple(min(margin, _REACH) for margin in margins)
    around = cut(inputs[0], tuple(m - n for m, n in zip(margins, near, strict=True)), 1)
    seen = [_Colour.of(around, colours, colour) for colour in range(3)]
    for number, (colour, detail) in enumerate(zip(seen, _details(seen), strict=True)):
        least, most = (cut(limit, near, 1) for limit in _limits(colour, detail))
        cell = output.shape[-1] // least.shape[-1]
        for row, column in product(range(cell), repeat=2):  # the limits hold for a whole cell
            pixels = output[0, number, row::cell, column::cell]
            np.clip(pixels, least, most, out=pixels)
    return output


class _Colour(NamedTuple):
    """What was measured of a colour."""

    light: Floats
    """(n, h, w), its planes."""
    sigma: Floats
    """(n, h, w): 0 where light is cut at `HIGHLIGHT_CEILING`, which has no noise."""
    middle: Floats
    """(h, w): mean light of 3×3."""
    spread: Floats
    """(h, w): mean sigma of 3×3."""

    @classmethod
    def of(cls, inputs: Floats, colours: tuple[int, ...], colour: int) -> _Colour:
        planes = [n for n, c in enumerate(colours) if c == colour]
        light, sigma = inputs[planes], inputs[[len(colours) + n for n in planes]]
        if light.max() == HIGHLIGHT_CEILING:
            sigma[light == HIGHLIGHT_CEILING] = 0
        return cls(light, sigma, box_means(_mean(light), 1), box_means(_mean(sigma), 1))

    def detail(self) -> Floats:
        """(h, w): standard deviation of the light in 5×5 that is not noise."""
        down, across = (_within(n)[:, None] for n in self.middle.shape)
        count = down * across.T  # at the frame's edge there are fewer than 5×5
        mean, square = (near_sums(_mean(of)) / count for of in (self.light, self.light**2))
        return beyond_noise(mean, square, self.spread**2, count * np.float32(len(self.light)))


def _details(seen: list[_Colour]) -> list[Floats]:
    """(h, w) for each colour: standard deviation of the scene's detail."""
    own = [colour.detail() for colour in seen]
    return shared_detail(own, [c.middle for c in seen], [c.spread for c in seen])


def beyond_noise(mean: Floats, square: Floats, noise: Floats, count: Floats) -> Floats:
    """(h, w): standard deviation that is surely not noise, of `count` pixels with this mean, mean
    square and variance of the noise."""
    sure = 1 + np.float32(SURE) * np.sqrt(np.float32(2) / count)
    return np.asarray(np.sqrt(np.maximum(square - mean * mean - sure * noise, 0)), np.float32)


def shared_detail(own: list[Floats], means: list[Floats], sigmas: list[Floats]) -> list[Floats]:
    """(h, w) for each colour: the detail that counts, of what its `own` pixels show.

    What two of the colours show at least, in proportion to their light: a colour's own pixels may
    miss a line that those of the others see, and those of one alone may have a hot pixel, so they
    count by `ALONE`.
    """
    # light is known to about its noise
    light = [np.maximum(mean, sigma) for mean, sigma in zip(means, sigmas, strict=True)]
    low, high, other = (detail / mean for detail, mean in zip(own, light, strict=True))
    low, high = np.minimum(low, high), np.maximum(low, high)
    second = np.maximum(low, np.minimum(high, other))
    return [
        np.maximum(np.float32(ALONE) * detail, second * mean)
        for detail, mean in zip(own, light, strict=True)
    ]


def _limits(seen: _Colour, detail: Floats) -> tuple[Floats, Floats]:
    """(h, w) lowest and highest light that what was seen of a colour and its detail allow."""
    light, sigma, middle, spread = seen
    reach = np.float32(FROM_MEAN) * spread
    peaks = reduce(np.maximum, light - BELOW_PEAK * sigma)
    dips = reduce(np.minimum, light + BELOW_PEAK * sigma)
    return limits(middle, reach, peaks, dips, detail)


def limits(
    mean: Floats, reach: Floats, peaks: Floats, dips: Floats, detail: Floats
) -> tuple[Floats, Floats]:
    """(h, w) lowest and highest light, of 3×3 pixels' means, `reach` beyond them, and single pixels
    (`peaks`, `dips`); where there is `detail`, farther from a pixel's own mean."""
    wide = reach + np.float32(DETAIL) * detail
    most = over_3x3(np.maximum(mean + reach, peaks), np.maximum)
    dark = np.minimum(over_3x3(dips, np.minimum), mean - wide).clip(0)  # no light is below black
    least = np.minimum(over_3x3(mean - reach, np.minimum), dark)
    return least, np.maximum(most, mean + wide)


def _within(size: int) -> Floats:
    """(n,): how many of the 5 places around each of n are inside."""
    at = np.arange(size)
    inside = np.minimum(at + _REACH, size - 1) - np.maximum(at - _REACH, 0) + 1
    return inside.astype(np.float32)


def _mean(planes: Floats) -> Floats:
    """(n, h, w) → (h, w): faster than NumPy's over a first axis."""
    return np.asarray(reduce(np.add, planes) / np.float32(len(planes)))
