"""Run a model over a frame, tile by tile, without seams.

A convolutional network's output depends on its input within a known distance, the card's `halo`.
Each tile has that margin, and only its inner part is kept: tiles agree with the untiled result, so
they are not blended.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from undark.engine.backends import NO_MARGINS, Margins
from undark.engine.card import Card

Floats = NDArray[np.float32]

AREA = 265_000
"""Most packed pixels of a tile with its margins, of which each takes 0.6 kB of ONNX Runtime's
memory in the shipped network: 24 megapixels take 670 MiB on two CPUs, 620 with OpenVINO. Larger
ones have smaller margins together, but two of them are in memory (see `cpus.tiles_at_once`)."""


class Tile(NamedTuple):
    """A tile in packed pixels: the network's input, and the part of the output that is kept."""

    outer: tuple[slice, slice]
    """Rows and columns of the frame."""
    inner: tuple[slice, slice]
    """Rows and columns of the frame."""

    @property
    def margins(self) -> Margins:
        """Of the inner part in the outer one."""
        (rows, columns), (inner_rows, inner_columns) = self
        return (
            inner_rows.start - rows.start,
            inner_columns.start - columns.start,
            rows.stop - inner_rows.stop,
            columns.stop - inner_columns.stop,
        )


class Run(Protocol):
    """A model, or a backend's `run`."""

    def __call__(self, inputs: Floats, margins: Margins = NO_MARGINS) -> Floats: ...


def inner_light(card: Card, run: Run, inputs: Floats, margins: Margins) -> Floats:
    """(1, 3, H, W): the output of a tile's inner part, for its input with the margins."""
    output = run(inputs, margins) if card.rim else run(inputs)
    rest = tuple(m - out for m, out in zip(margins, left_out(card, margins), strict=True))
    return cut(output, rest, card.cell)


def left_out(card: Card, margins: Margins) -> Margins:
    """What of a tile's margins the network's own output lacks."""
    top, left, bottom, right = (max(m - card.rim, 0) if card.rim else 0 for m in margins)
    return top, left, bottom, right


def cut(pixels: Floats, margins: tuple[int, ...], cell: int) -> Floats:
    """(…, H, W) without margins of packed pixels; a view."""
    top, left, bottom, right = (margin * cell for margin in margins)
    height, width = pixels.shape[-2:]
    return pixels[..., top : height - bottom, left : width - right]


def tiles(
    height: int, width: int, multiple: int, halo: int, side: int | None = None, area: int = AREA
) -> list[list[Tile]]:
    """Tiles that cover (height, width), multiples of `multiple`, by rows; all start at multiples.

    All have one size, with their margins: runtimes plan their memory by it. By default it is that
    for which the network computes the fewest pixels with no tile larger than `area`; `side` is
    about that of a tile's inner part. `halo` is rounded up to a multiple; at the frame's border
    there is no margin.
    """
    halo = -(-halo // multiple) * multiple
    if side is None:
        counts = _cheapest(height, width, multiple, halo, area)
    else:
        counts = -(-height // side), -(-width // side)
    rows, columns = (
        _windows(length, multiple, halo, count)
        for length, count in zip((height, width), counts, strict=True)
    )
    return [[Tile((r[0], c[0]), (r[1], c[1])) for c in columns] for r in rows]


def tiles_of(
    card: Card, height: int, width: int, multiple: int, side: int | None = None
) -> list[list[Tile]]:
    """The `tiles` of a frame of packed pixels for a model; `AREA` is that of its first scale."""
    return tiles(height, width, multiple, card.halo, side, AREA * card.fold**2)


def _windows(length: int, multiple: int, halo: int, count: int) -> list[tuple[slice, slice]]:
    """About `count` spans of one length that cover a line, with their inner parts."""
    room = length - 2 * halo
    if count <= 1 or room <= multiple:
        return [(slice(0, length), slice(0, length))]
    stride = -(-room // (count * multiple)) * multiple
    outer = stride + 2 * halo
    starts = [min(start, length - outer) for start in range(0, room, stride)]
    edges = [0, *(start + halo for start in starts[1:]), length]
    spans = (slice(start, start + outer) for start in starts)
    return [*zip(spans, (slice(a, b) for a, b in pairwise(edges)), strict=True)]


def _cheapest(height: int, width: int, multiple: int, halo: int, area: int) -> tuple[int, int]:
    """Tiles of at most `area` down and across, for which the network computes fewest pixels."""

    def size(length: int, count: int) -> tuple[int, int]:
        """Of the tiles: their length and their number."""
        spans = _windows(length, multiple, halo, count)
        return spans[0][0].stop, len(spans)

    found, least = (1, 1), math.inf
    for down in range(1, height // multiple + 1):
        high, rows = size(height, down)
        across = 1
        while high * size(width, across)[0] > area and across < width // multiple:
            across += 1
        wide, columns = size(width, across)
        if high * wide <= area and (cost := high * rows * wide * columns) < least:
            found, least = (down, across), cost
        if across == 1:  # more tiles only add margins
            break
    return found


def scaled(spans: tuple[slice, slice], factor: int) -> tuple[slice, slice]:
    """Rows and columns of packed pixels → those of pixels."""
    rows, columns = (slice(s.start * factor, s.stop * factor) for s in spans)
    return rows, columns


def strips(
    plan: list[list[Tile]],
    parts: Iterable[tuple[Tile, NDArray[np.float32]]],
    shape: tuple[int, int],
    rows: int,
    cell: int,
    corner: tuple[int, int] = (0, 0),
    progress: Callable[[float], None] = lambda share: None,
) -> Iterator[NDArray[np.float32]]:
    """A frame from top to bottom: strips (h, W, 3) of `rows` rows each, the last of fewer.

    `parts` are the tiles, in the plan's order, with the output (3, h, w) for their inner parts, of
    `cell` pixels a packed pixel. The frame of `shape` (H, W) pixels begins at `corner` of what the
    plan covers. `progress` is called with the share of the tiles that is done.
    """
    height, width = shape
    tiled, done, count = iter(parts), 0, sum(map(len, plan))
    first, begun = 0, deque[NDArray[np.float32]]()  # strips from row `first` of the frame
    for line in plan:
        end = min(scaled(line[0].inner, cell)[0].stop - corner[0], height)
        while (start := first + rows * len(begun)) < end:
            begun.append(np.empty((min(rows, height - start), width, 3), np.float32))
        for _ in line:
            tile, light = next(tiled)
            down, across = (
                s.start - c for s, c in zip(scaled(tile.inner, cell), corner, strict=True)
            )
            for number, strip in enumerate(begun):
                place(strip, light, down - first - number * rows, across)
            del light
            done += 1
            progress(done / count)
        while begun and first + len(begun[0]) <= end:
            first += len(begun[0])
            yield begun.popleft()


def place(frame: NDArray[np.float32], part: NDArray[np.float32], top: int, left: int) -> None:
    """Write a tile (3, h, w) into the frame (H, W, 3), cropped at the frame's border."""
    height, width = frame.shape[:2]
    rows = slice(max(top, 0), min(top + part.shape[1], height))
    columns = slice(max(left, 0), min(left + part.shape[2], width))
    inside = part[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    frame[rows, columns] = np.moveaxis(inside, 0, -1)
