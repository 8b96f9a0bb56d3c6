"""The black level: the file's tag, or what the sensor's masked border measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LEAK = 2
"""Pixels beside the visible frame that light may reach."""
_MANY = 4000
"""Masked pixels that fix the level: of each position of a Bayer pattern to 3 % of the noise."""
_FAR = 0.01
"""A border whose level is farther from the tag, as a part of the span, is not masked, or leaks."""
_WIDE = 0.02
"""A border with a wider spread, as a part of the span, has seen light."""


@dataclass(frozen=True)
class Frame:
    """Where the visible frame lies in the RAW image."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class _Border:
    levels: NDArray[np.float64]
    """Mean of each CFA position, DN."""
    spread: NDArray[np.float64]
    counts: NDArray[np.int64]


def masked_black(
    image: NDArray[np.uint16], frame: Frame, tag: NDArray[np.float32], white: float
) -> NDArray[np.float32] | None:
    """The black level of each CFA position from the masked pixels round the visible frame.

    `image` is the RAW image with its borders, `tag` the file's own level, shaped like the CFA's
    period. A border counts only if it is plausible at every position (see `_plausible`); None if
    none is, or all together have too few pixels.
    """
    found = [_measure(*border, frame, len(tag)) for border in _borders(image, frame)]
    darkest = _dark_end(image, frame, len(tag))
    good = [b for b in found if _plausible(b, tag, white, darkest)]
    counts = sum((b.counts for b in good), np.zeros(tag.shape, np.int64))
    if counts.sum() < _MANY:
        return None
    levels = sum(b.levels * b.counts for b in good) / counts
    if len(tag) > 2:  # X-Trans: the 36 positions do not differ in black, but in luck
        levels = tag + (levels - tag).mean()
    return np.asarray(levels, np.float32)


def _borders(
    image: NDArray[np.uint16], frame: Frame
) -> Iterator[tuple[NDArray[np.uint16], int, int]]:
    """The four borders without the pixels next to the frame, each with its place in the image."""
    bottom, right = frame.top + frame.height, frame.left + frame.width
    rows, columns = slice(frame.top, bottom), slice(frame.left, right)
    yield image[: max(frame.top - _LEAK, 0), columns], 0, frame.left
    yield image[bottom + _LEAK :, columns], bottom + _LEAK, frame.left
    yield image[rows, : max(frame.left - _LEAK, 0)], frame.top, 0
    yield image[rows, right + _LEAK :], frame.top, right + _LEAK


def _measure(border: NDArray[np.uint16], top: int, left: int, frame: Frame, period: int) -> _Border:
    """Level, spread and number of the pixels at each position, counted from the frame's corner."""
    shape = (period, period)
    levels, spread, counts = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64)
    for y in range(period):
        for x in range(period):
            at = (top + y - frame.top) % period, (left + x - frame.left) % period
            pixels = border[y::period, x::period]
            if pixels.size:
                levels[at], spread[at] = _clean_mean(pixels)
                counts[at] = pixels.size
    return _Border(levels, spread, counts)


def _clean_mean(pixels: NDArray[np.uint16]) -> tuple[float, float]:
    """Mean without hot and dead pixels, and the standard deviation that the quartiles imply."""
    low, middle, high = np.percentile(pixels, (25, 50, 75))
    sigma = max((high - low) / 1.349, 0.5)
    near = pixels[np.abs(pixels - middle) <= 4 * sigma]
    return float(near.mean()), float(sigma)


def _dark_end(image: NDArray[np.uint16], frame: Frame, period: int) -> NDArray[np.float64]:
    """The level that 5 % of the visible pixels lie below, at each position."""
    visible = image[frame.top :, frame.left :][: frame.height, : frame.width]
    parts = [[visible[y::period, x::period] for x in range(period)] for y in range(period)]
    step = max(1, int((frame.height * frame.width / period**2 / 100_000) ** 0.5))
    return np.array([[np.percentile(p[::step, ::step], 5) for p in row] for row in parts])


def _plausible(
    border: _Border, tag: NDArray[np.float32], white: float, darkest: NDArray[np.float64]
) -> bool:
    """Whether these pixels saw no light: near the tag where there is one, even, below the picture.

    The darkest pixels of a picture without light lie 1.6 spreads below its black: 3 are allowed.
    """
    far = _FAR * (white - float(tag.mean()))
    off = border.levels - tag
    near = not tag.any() or np.all(np.abs(off) <= far)
    even = np.ptp(off) <= far and np.all(border.spread <= _WIDE / _FAR * far)
    dark = np.all(border.levels <= darkest + 3 * border.spread)
    return bool(border.counts.min() > 0 and near and even and dark)
