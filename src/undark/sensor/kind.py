"""Kinds of sensor: all properties in which Bayer and X-Trans differ, in one object each.

Packing cuts a mosaic into cells (2×2 for Bayer, 3×3 for X-Trans) and gives each pixel of a cell a
plane of its own, sorted by colour: R G G B for Bayer, RR GGGGG BB for X-Trans (the nine planes of
"Learning to See in the Dark", Chen et al. 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Rows = tuple[tuple[int, ...], ...]
"""A pattern of colours: 0 red, 1 green, 2 blue."""


@dataclass(frozen=True)
class SensorKind:
    """A kind of colour filter array, at the canonical phase that networks are given."""

    name: str
    """As in the card of a model: "Bayer" or "X-Trans"."""
    rows: Rows
    """The colours of one period."""
    cell: int
    """Side of the square that packing turns into one packed pixel."""

    @cached_property
    def pattern(self) -> NDArray[np.uint8]:
        """(period, period): 0 red, 1 green, 2 blue."""
        return np.array(self.rows, np.uint8)

    @property
    def period(self) -> int:
        """Pixels after which the pattern repeats: 2 or 6."""
        return len(self.rows)

    @property
    def cells(self) -> int:
        """Cells in a period, along a side: tiles and crops are multiples of as many packed pixels.

        1 for Bayer; 2 for X-Trans, whose neighbouring cells differ.
        """
        return self.period // self.cell

    @property
    def planes(self) -> int:
        """Packed planes: cell²."""
        return self.cell**2

    @property
    def layouts(self) -> int:
        """Number of layouts of the cells: 1 for Bayer; 2 for X-Trans, whose cells alternate as the
        squares of a chessboard do."""
        return self.cells

    def places_in(self, layout: int) -> list[tuple[int, int]]:
        """(row, column) of each plane in a cell of this layout, 0 at the canonical phase."""
        column = layout * self.cell
        return [(y, x - column) for _, cy, cx, y, x in self.places if (cy, cx) == (0, layout)]

    @cached_property
    def colours(self) -> tuple[int, ...]:
        """The colour of each packed plane: (0, 1, 1, 2), or two R, five G and two B."""
        return tuple(sorted(int(c) for c in self.pattern[: self.cell, : self.cell].ravel()))

    @cached_property
    def places(self) -> tuple[tuple[int, int, int, int, int], ...]:
        """(plane, cell row, cell column, row, column) of every pixel in a period."""
        places = []
        for cy in range(self.cells):
            for cx in range(self.cells):
                block = self.pattern[cy * self.cell :, cx * self.cell :][: self.cell, : self.cell]
                order = np.argsort(block, axis=None, kind="stable")
                for plane, at in enumerate(order):
                    y, x = divmod(int(at), self.cell)
                    places.append((plane, cy, cx, cy * self.cell + y, cx * self.cell + x))
        return tuple(places)

    def phase(self, rows: Rows) -> tuple[int, int] | None:
        """Rows and columns to put before a mosaic of this pattern so that it starts at the
        canonical phase; None for a pattern of another kind."""
        pattern = np.array(rows)
        if pattern.shape != self.pattern.shape:
            return None
        phases = ((y, x) for y in range(self.period) for x in range(self.period))
        same = (s for s in phases if np.array_equal(np.roll(pattern, s, (0, 1)), self.pattern))
        return next(same, None)


BAYER_KIND = SensorKind("Bayer", ((0, 1), (1, 2)), cell=2)
X_TRANS_KIND = SensorKind(
    "X-Trans",
    (
        (0, 2, 1, 2, 0, 1),
        (1, 1, 0, 1, 1, 2),
        (1, 1, 2, 1, 1, 0),
        (2, 0, 1, 0, 2, 1),
        (1, 1, 2, 1, 1, 0),
        (1, 1, 0, 1, 1, 2),
    ),
    cell=3,
)
SENSOR_KINDS = (BAYER_KIND, X_TRANS_KIND)
