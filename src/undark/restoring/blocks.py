"""Blocks of 16×16 sensor pixels: sums over them, fields between their centres, usable pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from undark.sensor.cfa import CFA

Floats = NDArray[np.float32]
End = tuple[NDArray[np.intp], Floats]

BLOCK = 16
"""Sensor pixels of a block's side."""
PATCH = 48
"""Pixels: whole blocks, and whole periods of every CFA (2 and 6)."""
OUTLIER, ISOLATED = 8.0, 0.35
"""Sigmas by which a pixel stands out, and the share of that which its eight neighbours together
have at most if it is a hot or dead pixel: the light of a star reaches its neighbours."""
_FEW = 20
"""Pixels that are too few to show clipping."""
_SAMPLE = 4_000_000
"""Pixels that suffice to see where a frame is clipped."""


def groups_of(cfa: CFA) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pixels that are averaged together: (period, period) group numbers, and each group's colour.

    The CFA's positions where a block holds whole periods (Bayer), else its colours (X-Trans).
    """
    if BLOCK % cfa.period:
        return cfa.pattern.astype(np.intp), np.arange(3)
    positions = np.arange(cfa.period**2).reshape(cfa.pattern.shape)
    return positions, cfa.pattern.ravel().astype(np.intp)


def block_sums(values: Floats, groups: NDArray[np.intp]) -> Floats:
    """Sums over blocks by group: (h, w) → (blocks down, blocks across, G).

    `values` begins at multiples of `PATCH` in the frame.
    """
    height, width = values.shape
    down, across = -(-height // BLOCK), -(-width // BLOCK)
    if (height, width) != (down * BLOCK, across * BLOCK):
        after = ((0, down * BLOCK - height), (0, across * BLOCK - width))
        values = np.pad(values, after)
    period = len(groups)
    if BLOCK % period == 0:  # rows are summed first: that is contiguous, and leaves an eighth
        lines = values.reshape(down, BLOCK // period, period, -1).sum(axis=1)
        sums = lines.reshape(down, period, across, BLOCK // period, period).sum(axis=3)
        found: Floats = np.ascontiguousarray(sums.swapaxes(1, 2))
        return found.reshape(down, across, period**2)
    shares = _shares(tuple(map(tuple, groups.tolist())), *values.shape)
    lines = [(values * share).reshape(down, BLOCK, -1).sum(axis=1) for share in shares]
    return np.stack([line.reshape(down, across, BLOCK).sum(axis=2) for line in lines], axis=-1)


@lru_cache(maxsize=8)
def _shares(groups: tuple[tuple[int, ...], ...], height: int, width: int) -> Floats:
    """(G, height, width): 1 where a pixel belongs to a group, else 0."""
    of_pixel = group_map(np.array(groups), height, width)
    numbers = np.arange(of_pixel.max() + 1)[:, None, None]
    return np.asarray(numbers == of_pixel, np.float32)


def group_map(groups: NDArray[np.intp], height: int, width: int) -> NDArray[np.intp]:
    """(height, width): the group of each pixel of a part that begins at multiples of `PATCH`."""
    return groups[np.arange(height)[:, None] % len(groups), np.arange(width) % len(groups)]


def rows_of_groups(groups: NDArray[np.intp], height: int) -> Floats:
    """(blocks down, 1, G): rows of a block that hold pixels of a group, at least 1."""
    count = int(groups.max()) + 1
    holds = np.array([[group in row for group in range(count)] for row in groups])
    padded = np.zeros((-(-height // BLOCK) * BLOCK, count), np.float32)
    padded[:height] = holds[np.arange(height) % len(groups)]
    rows: Floats = np.maximum(padded.reshape(-1, BLOCK, 1, count).sum(axis=1), 1)
    return rows


def corners(
    pixels: tuple[slice, slice], shape: tuple[int, ...]
) -> Iterator[tuple[tuple[NDArray[np.intp], NDArray[np.intp]], Floats]]:
    """Bilinear interpolation from the centres of blocks, for some rows and columns of pixels.

    Yields, for each of the four centres around every pixel, its block as an index of an array
    (blocks down, blocks across) and its weight (h, w). `shape` begins with the number of blocks.
    """
    (above, below), (before, after) = (
        ends(at, count) for at, count in zip(pixels, shape, strict=False)
    )
    for down, height in (above, below):
        for across, width in (before, after):
            yield (down[:, None], across[None]), height[:, None] * width


def ends(at: slice, count: int) -> tuple[End, End]:
    """The blocks whose centres are before and after each pixel of a line, and their weights."""
    place = np.clip((np.arange(at.start, at.stop) + 0.5) / BLOCK - 0.5, 0, count - 1)
    first = place.astype(np.intp)
    share = (place - first).astype(np.float32)
    return (first, 1 - share), (np.minimum(first + 1, count - 1), share)


def with_neighbours(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(blocks down, blocks across): the marked blocks and the eight around each."""
    for _ in "yx":
        near = marked.copy()
        near[1:] |= marked[:-1]
        near[:-1] |= marked[1:]
        marked = near.T
    return marked


def patches(touched: NDArray[np.bool_], shape: tuple[int, int]) -> list[Patch]:
    """Parts of a frame (H, W) that hold the touched blocks, each as wide as they are together.

    They begin at multiples of `PATCH` pixels, so at the same phase of every CFA.
    """
    side, found = PATCH // BLOCK, []
    down, across = (-(-n // side) for n in touched.shape)
    padded = np.zeros((down * side, across * side + side), bool)
    padded[: touched.shape[0], : touched.shape[1]] = touched
    coarse = np.asarray(padded.reshape(down, side, across + 1, side).any(axis=(1, 3)))
    for y in range(down):
        edges = np.flatnonzero(np.diff(coarse[y].astype(np.int8), prepend=0))
        for first, last in zip(edges[::2], edges[1::2], strict=True):
            found.append(Patch.of((y, y + 1), (int(first), int(last)), shape))
    return found


@dataclass(frozen=True)
class Patch:
    """A part of a frame that begins at multiples of `PATCH` pixels."""

    blocks: tuple[slice, slice]
    """Rows and columns of blocks."""
    pixels: tuple[slice, slice]
    """Rows and columns of pixels."""

    @classmethod
    def of(cls, down: tuple[int, int], across: tuple[int, int], shape: tuple[int, int]) -> Patch:
        """From rows and columns in units of `PATCH`, cut at the frame (H, W)."""
        ends = [
            (a * PATCH, min(b * PATCH, n)) for (a, b), n in zip((down, across), shape, strict=True)
        ]
        rows, columns = (slice(*end) for end in ends)
        blocks = [slice(a // BLOCK, -(-b // BLOCK)) for a, b in ends]
        return cls((blocks[0], blocks[1]), (rows, columns))


def clipped_below(plane: NDArray[np.uint16]) -> int | None:
    """DN that all darker values were raised to; None where the noise reaches its lowest values.

    Where values were raised, far more pixels have the lowest value than the one above it: in the
    tail of a noise fewer have, but for a few pixels.
    """
    step = max(1, int((plane.size / _SAMPLE) ** 0.5))
    values, counts = np.unique(plane[::step, ::step], return_counts=True)
    if len(values) > 1 and counts[0] <= 2 * counts[1] + _FEW:
        return None
    return int(values[0])


def isolated(
    error: Floats, variance: Floats, colours: NDArray[np.uint8]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of hot and dead pixels: those that stand out without their neighbours.

    `error` is measured minus restored light of each pixel (h, w), `variance` its variance,
    `colours` its colour. A star's light reaches the eight neighbours; light of one colour
    reaches the pixels of the same colour within 5×5.
    """
    down, across = np.nonzero(error * error > np.float32(OUTLIER**2) * variance)
    own = error[down, across]
    near, same = np.zeros_like(own), np.zeros_like(own)
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            y, x = (
                (down + dy).clip(0, error.shape[0] - 1),
                (across + dx).clip(0, error.shape[1] - 1),
            )
            inside = (y == down + dy) & (x == across + dx) & bool(dy or dx)
            there = np.where(inside, error[y, x], np.float32(0)) * np.sign(own)
            near += there * (max(abs(dy), abs(dx)) == 1)
            same += there * (colours[y, x] == colours[down, across])
    alone = (near < ISOLATED * np.abs(own)) & (same < np.abs(own))
    return down[alone], across[alone]
