"""Blocks of 16×16 sensor pixels: sums over them, fields between their centres, usable pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from undark.sensor.cfa import CFA

Floats = NDArray[np.float32]

BLOCK = 16
"""Sensor pixels of a block's side."""
PATCH = 48
"""Pixels: whole blocks, and whole periods of every CFA (2 and 6)."""
OUTLIER, ISOLATED = 8.0, 0.35
"""Sigmas by which a pixel stands out, and the share of that which its eight neighbours together
have at most if it is a hot or dead pixel: the light of a star reaches its neighbours."""
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
        return np.ascontiguousarray(sums.swapaxes(1, 2)).reshape(down, across, period**2)
    shares = _shares(tuple(map(tuple, groups.tolist())), *values.shape)
    lines = [(values * share).reshape(down, BLOCK, -1).sum(axis=1) for share in shares]
    return np.stack([line.reshape(down, across, BLOCK).sum(axis=2) for line in lines], axis=-1)


@lru_cache(maxsize=8)
def _shares(groups: tuple[tuple[int, ...], ...], height: int, width: int) -> Floats:
    """(G, height, width): 1 where a pixel belongs to a group, else 0."""
    of_pixel = group_map(np.array(groups), height, width)
    return (np.arange(of_pixel.max() + 1)[:, None, None] == of_pixel).astype(np.float32)


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


def bilinear(blocks: Floats, rows: slice, columns: slice) -> Floats:
    """Values at the centres of blocks → (h, w) for a part of the frame; constant at its border."""
    lines = _between(blocks, rows)
    return np.ascontiguousarray(_between(lines.T, columns).T)


def _between(values: Floats, at: slice) -> Floats:
    """Values (blocks, n) along the first axis → (pixels, n), linear between centres."""
    place = np.clip((np.arange(at.start, at.stop) + 0.5) / BLOCK - 0.5, 0, len(values) - 1)
    first = place.astype(np.intp)
    second = np.minimum(first + 1, len(values) - 1)
    share = (place - first).astype(np.float32)[:, None]
    between: Floats = values[first] * (1 - share) + values[second] * share
    return between


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
    coarse = padded.reshape(down, side, across + 1, side).any(axis=(1, 3))
    for y, line in enumerate(coarse):
        edges = np.flatnonzero(np.diff(line.astype(np.int8), prepend=0))
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

    More pixels have the lowest value than the one above it: the tail of a noise has fewer.
    """
    step = max(1, int((plane.size / _SAMPLE) ** 0.5))
    values, counts = np.unique(plane[::step, ::step], return_counts=True)
    if len(values) > 1 and counts[0] <= counts[1]:
        return None
    return int(values[0])


def isolated(error: Floats, variance: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of hot and dead pixels: those that stand out without their neighbours.

    `error` is measured minus restored light of each pixel (h, W), `variance` its variance.
    """
    down, across = np.nonzero(error * error > np.float32(OUTLIER**2) * variance)
    around = np.zeros(len(down), np.float32)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            y, x = down + dy, across + dx
            inside = (y >= 0) & (y < error.shape[0]) & (x >= 0) & (x < error.shape[1])
            around[inside] += error[y[inside], x[inside]]
    own = error[down, across]
    alone = (around - own) * np.sign(own) < ISOLATED * np.abs(own)
    return down[alone], across[alone]
