"""Run a model over a frame, tile by tile, without seams.

A convolutional network's output depends on its input within a known distance, the card's `halo`.
Each tile has that margin, and only its inner part is kept: tiles agree with the untiled result, so
they are not blended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TILE = 768
"""Inner side of a tile in packed pixels; memory grows with its square."""


class Tile(NamedTuple):
    """A tile in packed pixels: the network's input, and the part of the output that is kept."""

    outer: tuple[slice, slice]
    """Rows and columns of the frame."""
    inner: tuple[slice, slice]
    """Rows and columns of the frame."""

    @property
    def kept(self) -> tuple[slice, slice]:
        """The inner part, relative to the outer one's corner."""
        rows, columns = (
            slice(i.start - o.start, i.stop - o.start)
            for o, i in zip(self.outer, self.inner, strict=True)
        )
        return rows, columns


def tiles(height: int, width: int, multiple: int, halo: int, side: int = TILE) -> list[Tile]:
    """Tiles that cover (height, width), multiples of `multiple`; each starts at a multiple.

    All have about the same size, so that the last is not much smaller. `halo` and `side` are
    rounded up to multiples.
    """
    halo, side = (-(-n // multiple) * multiple for n in (halo, side))
    rows, columns = (_spans(n, multiple, side) for n in (height, width))
    return [
        Tile(
            (_widen(r, halo, height), _widen(c, halo, width)),
            (r, c),
        )
        for r in rows
        for c in columns
    ]


def run_tiled(
    run: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    inputs: Callable[[tuple[slice, slice]], NDArray[np.float32]],
    plan: list[Tile],
    cell: int,
) -> Iterator[tuple[tuple[slice, slice], NDArray[np.float32]]]:
    """Yield for each tile its position in the full-size frame and its output (3, H, W).

    `inputs` makes the network's input (1, C, h, w) for rows and columns of packed pixels.
    """
    for tile in plan:
        output = run(inputs(tile.outer))[0]
        rows, columns = (_scaled(s, cell) for s in tile.kept)
        top, left = (_scaled(s, cell) for s in tile.inner)
        yield (top, left), output[:, rows, columns]


def place(frame: NDArray[np.float32], part: NDArray[np.float32], top: int, left: int) -> None:
    """Write a tile (3, h, w) into the frame (H, W, 3), cropped at the frame's border."""
    height, width = frame.shape[:2]
    rows = slice(max(top, 0), min(top + part.shape[1], height))
    columns = slice(max(left, 0), min(left + part.shape[2], width))
    inside = part[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    frame[rows, columns] = np.moveaxis(inside, 0, -1)


def _spans(length: int, multiple: int, side: int) -> list[slice]:
    count = -(-length // side)
    edges = [round(i * length / count / multiple) * multiple for i in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


def _widen(span: slice, halo: int, length: int) -> slice:
    return slice(max(span.start - halo, 0), min(span.stop + halo, length))


def _scaled(span: slice, factor: int) -> slice:
    return slice(span.start * factor, span.stop * factor)
