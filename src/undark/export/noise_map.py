"""A noise map from packed planes alone, as ONNX operators: no camera, ISO or white balance known.

Variance is a line over the light, gain · light + variance at black, for each plane. In blocks of
`BLOCK`², the mean absolute diagonal difference of 2 × 2 pixels gives the variance: light that
changes linearly, and offsets of rows and columns, cancel in it. The line is fitted by weighted
least squares to the blocks' variances; the weights are low where means over 4 × 4 pixels differ by
more than the noise allows (texture), and, in later rounds, where a block is far from the line.
After Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for single-image
raw-data" (2008), with its order of work changed to what a graph without loops can do.
"""

from __future__ import annotations

import math

from undark.export.graph import Graph, Value

BLOCK = 16
"""Packed pixels of a block's side."""
_PART = 4
"""Packed pixels of the side of the parts whose means show texture."""
_ABSOLUTE = math.sqrt(math.pi / 2)
"""Standard deviation of a Gaussian over its mean absolute value."""
_FLAT = 1.6
"""Differences of parts, as a multiple of the noise's, from which a block counts less."""
_FLATTEST = 0.25
"""At least this fraction of the blocks counts as flat, in a tile full of texture."""
_WIDTHS = (1.0, 0.7, 0.5, 0.5, 0.5, 0.5)
"""Distance from the line, in units of it, at which a block counts a quarter: a round each."""
_DARK, _LOWEST, _UPWARDS = 0.1, 0.1, 1.2
"""The first line: through 0 at minus a tenth of the mean light, the lowest tenth of blocks below
it, and as much higher as a tenth of the blocks is below their mean."""
_TINY = 1e-9


def add_noise_map(graph: Graph, planes: Value, side: int) -> Value:
    """(1, 4, side, side) → the standard deviation of each pixel, same shape and unit.

    The planes are those of a dark photo in any unit, scaled so that their mean is about 1.
    """
    variances, levels, flat = _blocks(graph, planes, side)
    gain, at_black = _line(levels, variances, flat, (side - 1) // BLOCK)
    return (planes.at_least(0.0) * gain + at_black).sqrt()


def _blocks(graph: Graph, planes: Value, side: int) -> tuple[Value, Value, Value]:
    """Of each whole block: variance, mean light, and its weight by texture."""
    count = (side - 1) // BLOCK  # differences have a row and a column less
    kernel = graph.constant([[[[0.5, -0.5], [-0.5, 0.5]]]] * 4)
    differences = graph.node("Conv", planes, kernel, group=4, kernel_shape=[2, 2])
    sigma = differences.abs().block_means(BLOCK) * _ABSOLUTE
    levels = _cropped(planes.block_means(BLOCK), count)
    parts = planes.block_means(_PART)
    each = side // _PART
    down = parts.sliced(2, 1, each) - parts.sliced(2, 0, each - 1)
    across = parts.sliced(3, 1, each) - parts.sliced(3, 0, each - 1)
    beside = _means_of(down, count) + _means_of(across, count)
    # a difference of two means of 4 × 4 pixels has the variance 2 / 16 of a pixel's
    expected = 2 / _ABSOLUTE * math.sqrt(2) / _PART
    texture = beside / (sigma * expected + _TINY)
    threshold = texture.quantile(_FLATTEST, count * count).at_least(_FLAT)
    ratio = texture / threshold
    squared = ratio * ratio
    one = graph.constant(1.0)
    return sigma * sigma, levels, one / (squared * squared + 1.0)


def _means_of(differences: Value, count: int) -> Value:
    return _cropped(differences.abs().block_means(BLOCK // _PART), count)


def _cropped(blocks: Value, count: int) -> Value:
    return blocks.sliced(2, 0, count).sliced(3, 0, count)


def _line(levels: Value, variances: Value, flat: Value, count: int) -> tuple[Value, Value]:
    """Gain and variance at black of each plane, (1, 4, 1, 1)."""
    one = levels.graph.constant(1.0)
    light = levels.at_least(0.0)
    ratio = variances / (light + _DARK)
    gain = ratio.quantile(_LOWEST, count * count) * _UPWARDS
    at_black = gain * _DARK
    for width in _WIDTHS:
        predicted = light * gain + at_black + _TINY
        away = (variances / predicted - 1.0) / width
        near = one / (away * away + 1.0)
        weights = flat * near * near / (predicted * predicted)
        gain, at_black = _fit(levels, variances, weights)
    return gain, at_black


def _fit(levels: Value, variances: Value, weights: Value) -> tuple[Value, Value]:
    """A line by weighted least squares, neither of its terms negative.

    Where all blocks are equally bright, half of the variance there is taken for photon noise.
    """
    weights = weights / (weights.sum(2, 3) + _TINY)
    middle = (weights * levels).sum(2, 3).at_least(_TINY)
    mean = (weights * variances).sum(2, 3) + _TINY
    from_middle = levels - middle
    spread = (weights * from_middle * from_middle).sum(2, 3)
    together = (weights * from_middle * (variances - mean)).sum(2, 3)
    steepest = mean / middle
    doubt = middle * middle * 0.0025
    slope = (together + doubt * steepest * 0.5) / (spread + doubt)
    gain = slope.at_least(0.0).at_most(steepest * 0.98)
    return gain, mean - gain * middle
