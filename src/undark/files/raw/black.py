"""The black level, and offsets of rows and columns, measured on the sensor's masked border."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from undark.sensor.offsets import LineOffsets, MaskedLines

_LEAK = 2
"""Pixels next to the visible frame that light may leak into."""
_ENOUGH = 4000
"""Masked pixels needed: they give each Bayer position's level to 3 % of the noise."""
_FAR = 0.01
"""Largest distance of the level from the tag, as a share of the span; beyond it light leaks in."""
_WIDE = 0.02
"""Largest standard deviation of unlit pixels, as a share of the span."""
_REACH = 4.0
"""Standard deviations from the median at which pixels are cut: hot pixels."""


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
    rows: int
    columns: int
    row_variance: float
    """Of the offsets that the pixels of a row share, DN²."""
    column_variance: float


@dataclass(frozen=True, eq=False)
class _Strip:
    """A part of the border, and where in the image it begins."""

    pixels: NDArray[np.uint16]
    top: int
    left: int


_Measured = list[tuple[_Strip, _Border]]
"""Plausible strips, and what was measured on each."""


@dataclass(frozen=True, eq=False)
class MaskedBorder:
    """What the masked pixels around a frame say."""

    black: NDArray[np.float32]
    """(period, period) DN."""
    lines: MaskedLines


def masked_border(
    image: NDArray[np.uint16], frame: Frame, tag: NDArray[np.float32], white: float
) -> MaskedBorder | None:
    """Black level of each CFA position, offsets of rows and columns, from the masked pixels.

    `image` is the RAW image with its borders, `tag` the file's own level (period, period),
    DN. Borders that are not plausible (see `_plausible`) are ignored; None where too few pixels
    remain.
    """
    period = len(tag)
    darkest = _dark_end(image, frame, period)
    plausible = partial(_plausible, tag=tag, white=white, darkest=darkest)

    def measured(strips: list[_Strip]) -> _Measured:
        found = [(s, _measure(s, frame, period)) for s in strips if s.pixels.size]
        return [(strip, border) for strip, border in found if plausible(border)]

    at_sides, over_and_under = measured(_beside(image, frame)), measured(_above(image, frame))
    beside, above = _joined(at_sides), _joined(over_and_under)
    counts = sum((b.counts for b in (beside, above) if b), np.zeros(tag.shape, np.int64))
    if counts.sum() < _ENOUGH:
        return None
    corners = _joined(measured(_corners(image, frame))) if beside and above else None
    levels = _combined(beside, above, corners, frame)
    if period > 2:  # X-Trans: differences between the 36 positions are sampling error
        levels = tag + (levels - tag).mean()
    rows, row_error = _line_means([s.pixels for s, _ in at_sides], period)
    columns, column_error = _line_means([s.pixels.T for s, _ in over_and_under], period)
    means = LineOffsets.of((frame.height, frame.width), rows, columns)
    assert means  # there are masked pixels of the one or the other
    return MaskedBorder(levels.astype(np.float32), MaskedLines(means, row_error, column_error))


def _above(image: NDArray[np.uint16], frame: Frame) -> list[_Strip]:
    """The pixels above and below the frame, not those next to it."""
    bottom, columns = frame.top + frame.height, slice(frame.left, frame.left + frame.width)
    top = image[: max(frame.top - _LEAK, 0), columns]
    return [
        _Strip(top, 0, frame.left),
        _Strip(image[bottom + _LEAK :, columns], bottom + _LEAK, frame.left),
    ]


def _beside(image: NDArray[np.uint16], frame: Frame) -> list[_Strip]:
    """The pixels left and right of the frame."""
    right, rows = frame.left + frame.width, slice(frame.top, frame.top + frame.height)
    left = image[rows, : max(frame.left - _LEAK, 0)]
    return [
        _Strip(left, frame.top, 0),
        _Strip(image[rows, right + _LEAK :], frame.top, right + _LEAK),
    ]


def _corners(image: NDArray[np.uint16], frame: Frame) -> list[_Strip]:
    """The pixels neither whose rows nor whose columns are the frame's."""
    bottom, right = frame.top + frame.height + _LEAK, frame.left + frame.width + _LEAK
    rows = ((0, slice(max(frame.top - _LEAK, 0))), (bottom, slice(bottom, None)))
    columns = ((0, slice(max(frame.left - _LEAK, 0))), (right, slice(right, None)))
    return [_Strip(image[r, c], top, left) for top, r in rows for left, c in columns]


def _line_means(
    strips: list[NDArray[np.uint16]], period: int
) -> tuple[NDArray[np.float32] | None, float]:
    """(n,) mean of each line of the strips (n, w) beside the others of its phase, and its error.

    None, and infinite, without strips. What the columns of a strip have of their own does not
    count, nor how far hot pixels are off.
    """
    if not strips:
        return None, math.inf
    pixels = np.concatenate(strips, axis=1).astype(np.float32)
    means, variances = np.zeros(len(pixels), np.float32), []
    for phase in range(period):
        lines = pixels[phase::period]
        lines -= np.median(lines, axis=0)
        low, high = np.quantile(lines, (0.05, 0.95))  # a coarse step hides the quartiles
        reach = _REACH * max((high - low) / 3.29, 0.5)
        lines = lines.clip(-reach, reach)
        lines -= lines.mean(axis=0)
        means[phase::period] = lines.mean(axis=1)
        variances.append(float(lines.var(axis=1).mean()))
    return means, math.sqrt(float(np.mean(variances)) / pixels.shape[1])


def _joined(measured: _Measured) -> _Border | None:
    """All as one; None where there are none."""
    if not measured:
        return None
    good = [border for _, border in measured]
    counts = sum((b.counts for b in good), np.zeros_like(good[0].counts))
    return _Border(
        sum((b.levels * b.counts for b in good), np.zeros(counts.shape)) / counts,
        sum((b.spread * b.counts for b in good), np.zeros(counts.shape)) / counts,
        counts,
        sum(b.rows for b in good),
        sum(b.columns for b in good),
        max(b.row_variance for b in good),
        max(b.column_variance for b in good),
    )


def _combined(
    beside: _Border | None, above: _Border | None, corners: _Border | None, frame: Frame
) -> NDArray[np.float64]:
    """Levels of black as the frame has it, with the mean offsets of its own rows and columns.

    The strip beside the frame has its rows and other columns, the strip above it its columns and
    other rows, the corners other rows and columns: beside + above - corners has the frame's own.
    They are weighted for the least variance, the weights adding up to 1, from the pixels' noise
    and the offsets' variances.
    """
    if beside is None or above is None:
        only = beside or above
        assert only is not None
        return only.levels
    rows = _of_means(beside.row_variance, frame.height, above.rows)
    columns = _of_means(above.column_variance, frame.width, beside.columns)
    noise = [float((b.spread**2 / b.counts).mean()) for b in (beside, above)]
    # variance = (1-s)²·rows + (1-a)²·columns + s²·noise + a²·noise + (1-s-a)²·corners
    of_corners = float((corners.spread**2 / corners.counts).mean()) if corners else 1e9
    matrix = np.array(
        [[rows + noise[0] + of_corners, of_corners], [of_corners, columns + noise[1] + of_corners]]
    )
    share = np.linalg.solve(matrix, np.array([rows + of_corners, columns + of_corners]))
    levels = share[0] * beside.levels + share[1] * above.levels
    total = float(share.sum())
    found: NDArray[np.float64] = (
        levels + (1 - total) * corners.levels if corners else levels / total
    )
    return found


def _of_means(variance: float, inside: int, outside: int) -> float:
    """Variance of the difference of two means over lines, half of which are at a position."""
    return 2 * variance * (1 / max(inside, 1) + 1 / max(outside, 1))


def _measure(strip: _Strip, frame: Frame, period: int) -> _Border:
    """Level, spread and number of the pixels at each position, counted from the frame's corner."""
    border, shape = strip.pixels, (period, period)
    levels, spread, counts = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64)
    lines: list[tuple[float, float]] = []
    for y in range(period):
        for x in range(period):
            at = (
                (strip.top + y - frame.top) % period,
                (strip.left + x - frame.left) % period,
            )
            pixels = border[y::period, x::period]
            if pixels.size:
                levels[at], spread[at] = _clean_mean(pixels)
                counts[at] = pixels.size
                lines.append(_line_variances(pixels, levels[at], spread[at]))
    rows, columns = np.mean(lines, axis=0).tolist() if lines else (0.0, 0.0)
    height, width = border.shape
    return _Border(levels, spread, counts, height, width, rows, columns)


def _line_variances(pixels: NDArray[np.uint16], level: float, spread: float) -> tuple[float, float]:
    """Variance of the offsets of rows, and of columns: of their means, beyond the pixels' own."""
    near = np.clip(pixels.astype(np.float32), level - 4 * spread, level + 4 * spread)
    of_pixels = float(near.var())
    means = [near.mean(axis=axis) for axis in (1, 0)]
    found = [
        max(float(m.var()) - of_pixels / near.shape[axis], 0.0) if m.size > 2 else 0.0
        for m, axis in zip(means, (1, 0), strict=True)
    ]
    return found[0], found[1]


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
