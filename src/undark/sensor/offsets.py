"""Offsets of whole rows and columns of a frame, which move with it when it is cut or turned."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from undark.sensor.cfa import dihedral, dihedral_axes, extend

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LineOffsets:
    """DN that the pixels of each row and of each column of a frame (H, W) are too high."""

    rows: Floats
    """(H, 1)"""
    columns: Floats
    """(1, W)"""

    @classmethod
    def of(
        cls, shape: tuple[int, int], rows: Floats | None, columns: Floats | None
    ) -> LineOffsets | None:
        """From (H,) and (W,), None for zeros; None where both are."""
        if rows is None and columns is None:
            return None
        height, width = shape
        rows = np.zeros(height, np.float32) if rows is None else rows
        columns = np.zeros(width, np.float32) if columns is None else columns
        return cls(rows[:, None], columns[None])

    @property
    def lowest(self) -> float:
        """The least that a pixel of the frame is too high, DN."""
        return float(self.rows.min() + self.columns.min())

    def __add__(self, other: LineOffsets) -> LineOffsets:
        return LineOffsets(self.rows + other.rows, self.columns + other.columns)

    def __sub__(self, other: LineOffsets) -> LineOffsets:
        return LineOffsets(self.rows - other.rows, self.columns - other.columns)

    def subtract(self, part: Floats, rows: slice, columns: slice) -> None:
        """From these rows and columns of the frame, in place."""
        part -= self.rows[rows]
        part -= self.columns[:, columns]

    def crop(self, rows: slice, columns: slice) -> LineOffsets:
        """Those of a part of the frame."""
        return LineOffsets(self.rows[rows], self.columns[:, columns])

    def extended(self, before: tuple[int, int], after: tuple[int, int], period: int) -> LineOffsets:
        """Those of a frame after `cfa.extend`."""
        rows = extend(self.rows, (before[0], 0), (after[0], 0), period)
        return LineOffsets(rows, extend(self.columns, (0, before[1]), (0, after[1]), period))

    def dihedral(self, k: int) -> LineOffsets:
        """Those of a frame after `cfa.dihedral`."""
        rows, columns = dihedral(self.rows, k), dihedral(self.columns, k)
        _, transposed = dihedral_axes(k)
        return LineOffsets(columns, rows) if transposed else LineOffsets(rows, columns)


@dataclass(frozen=True, eq=False)
class MaskedLines:
    """What the masked pixels beside a frame's rows, and above its columns, say of their offsets."""

    means: LineOffsets
    """DN beside the mean over the rows, or columns, of one phase; zeros where none were masked."""
    row_error: float
    """Standard error of a row's mean by the pixels' noise, DN; infinite where none were masked."""
    column_error: float

    def crop(self, rows: slice, columns: slice) -> MaskedLines:
        """Those of a part of the frame."""
        return replace(self, means=self.means.crop(rows, columns))

    def dihedral(self, k: int) -> MaskedLines:
        """Those of a frame after `cfa.dihedral`."""
        _, transposed = dihedral_axes(k)
        errors = (self.row_error, self.column_error)
        return MaskedLines(self.means.dihedral(k), *(errors[::-1] if transposed else errors))
