"""Run a model over a frame, tile by tile, without seams.

A convolutional network's output depends on its input within a known distance, the card's `halo`.
Each tile has that margin, and only its inner part is kept: tiles agree with the untiled result, so
they are not blended.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

AREA = 440_000
"""Most packed pixels of a tile with its margins, of which each takes 0.8 kB of ONNX Runtime's
memory in the shipped network."""


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


def tiles(
    height: int, width: int, multiple: int, halo: int, side: int | None = None
) -> list[list[Tile]]:
    """Tiles that cover (height, width), multiples of `multiple`, by rows; all start at multiples.

    All have about the same size, so that the last is not much smaller: `side`, or, by default, that
    for which the network computes the fewest pixels with no tile larger than `AREA`. `halo` and
    `side` are rounded up to multiples.
    """
    halo = -(-halo // multiple) * multiple
    if side is None:
        down, across = _cheapest(height, width, multiple, halo)
    else:
        side = -(-side // multiple) * multiple
        down, across = -(-height // side), -(-width // side)
    rows, columns = _spans(height, multiple, down), _spans(width, multiple, across)
    return [
        [Tile((_widen(r, halo, height), _widen(c, halo, width)), (r, c)) for c in columns]
        for r in rows
    ]


def _cheapest(height: int, width: int, multiple: int, halo: int) -> tuple[int, int]:
    """Tiles down and across for which the network computes the fewest pixels."""

    def outer(length: int, count: int) -> int:
        """Largest extent of a tile with its margins."""
        inner = -(-length // count // multiple) * multiple
        return min(inner + min(2, count - 1) * halo, length)

    def computed(count: tuple[int, int]) -> int:
        return (height + 2 * (count[0] - 1) * halo) * (width + 2 * (count[1] - 1) * halo)

    most = [max(1, n // max(halo, multiple)) for n in (height, width)]
    found = []
    for down in range(1, most[0] + 1):
        high = outer(height, down)
        fits = (n for n in range(1, most[1] + 1) if high * outer(width, n) <= AREA)
        if (across := next(fits, None)) is not None:
            found.append((down, across))
        if across == 1:  # more tiles only add margins
            break
    return min(found, key=computed, default=(most[0], most[1]))


def scaled(spans: tuple[slice, slice], factor: int) -> tuple[slice, slice]:
    """Rows and columns of packed pixels → those of pixels."""
    rows, columns = (slice(s.start * factor, s.stop * factor) for s in spans)
    return rows, columns


def place(frame: NDArray[np.float32], part: NDArray[np.float32], top: int, left: int) -> None:
    """Write a tile (3, h, w) into the frame (H, W, 3), cropped at the frame's border."""
    height, width = frame.shape[:2]
    rows = slice(max(top, 0), min(top + part.shape[1], height))
    columns = slice(max(left, 0), min(left + part.shape[2], width))
    inside = part[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    frame[rows, columns] = np.moveaxis(inside, 0, -1)


def _spans(length: int, multiple: int, count: int) -> list[slice]:
    edges = [round(i * length / count / multiple) * multiple for i in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


def _widen(span: slice, halo: int, length: int) -> slice:
    return slice(max(span.start - halo, 0), min(span.stop + halo, length))
