"""The black level measured on the sensor's masked border."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LEAK = 2
"""Pixels next to the visible frame that light may leak into."""
_ENOUGH = 4000
"""Masked pixels needed: they give each Bayer position's level to 3 % of the noise."""
_FAR = 0.01
"""Largest distance of the level from the tag, as a share of the span; beyond it light leaks in."""
_WIDE = 0.02
"""Largest standard deviation of unlit pixels, as a share of the span."""


@dataclass(frozen=True)
class Frame:
    """Position and size of the visible frame in the RAW image, pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class _Border:
    levels: NDArray[np.float64]
    """Mean of each CFA position, DN."""
    spread: NDArray[np.float64]
    """Standard deviation at each position, DN."""
    counts: NDArray[np.int64]
    """Pixels at each position."""


def masked_black(
    image: NDArray[np.uint16], frame: Frame, tag: NDArray[np.float32], white: float
) -> NDArray[np.float32] | None:
    """The black level of each CFA position from the masked pixels around the visible frame.

    `image` is the RAW image with its borders, `tag` the file's own level (period, period),
    DN. Borders that are not plausible (see `_plausible`) are ignored; None where too few pixels
    remain.
    """
    found = [_measure(*border, frame, len(tag)) for border in _borders(image, frame)]
    darkest = _dark_end(image, frame, len(tag))
    good = [b for b in found if _plausible(b, tag, white, darkest)]
    counts = sum((b.counts for b in good), np.zeros(tag.shape, np.int64))
    if counts.sum() < _ENOUGH:
        return None
    levels = sum(b.levels * b.counts for b in good) / counts
    if len(tag) > 2:  # X-Trans: differences between the 36 positions are sampling error
        levels = tag + (levels - tag).mean()
    return np.asarray(levels, np.float32)


def _borders(
    image: NDArray[np.uint16], frame: Frame
) -> Iterator[tuple[NDArray[np.uint16], int, int]]:
    """The four borders without the pixels next to the frame: (pixels, top, left)."""
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
    """Mean without hot and dead pixels, and the standard deviation derived from the quartiles."""
    low, middle, high = np.percentile(pixels, (25, 50, 75))
    sigma = max((high - low) / 1.349, 0.5)
    near = pixels[np.abs(pixels - middle) <= 4 * sigma]
    return float(near.mean()), float(sigma)


def _dark_end(image: NDArray[np.uint16], frame: Frame, period: int) -> NDArray[np.float64]:
    """The 5th percentile of the visible pixels at each position, DN."""
    visible = image[frame.top :, frame.left :][: frame.height, : frame.width]
    parts = [[visible[y::period, x::period] for x in range(period)] for y in range(period)]
    step = max(1, int((frame.height * frame.width / period**2 / 100_000) ** 0.5))
    return np.array([[np.percentile(p[::step, ::step], 5) for p in row] for row in parts])


def _plausible(
    border: _Border, tag: NDArray[np.float32], white: float, darkest: NDArray[np.float64]
) -> bool:
    """Whether these pixels were unlit: near the tag if any, uniform, not above the visible pixels.

    In a frame without light, the 5th percentile is 1.6 sigma below black: 3 are allowed.
    """
    far = _FAR * (white - float(tag.mean()))
    off = border.levels - tag
    near = not tag.any() or np.all(np.abs(off) <= far)
    even = np.ptp(off) <= far and np.all(border.spread <= _WIDE / _FAR * far)
    dark = np.all(border.levels <= darkest + 3 * border.spread)
    return bool(border.counts.min() > 0 and near and even and dark)
