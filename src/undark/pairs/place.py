"""Where the bright photo of a pair shows what the dark one does, by the shift in the pair's row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.align import resample
from undark.align.resample import Place
from undark.errors import UnsupportedError
from undark.pairs.table import Row


def check_sizes(row: Row, dark: tuple[int, ...], bright: tuple[int, ...]) -> None:
    """Raises `UnsupportedError` where the photos of a pair differ in size, (H, W)."""
    if dark != bright:
        raise UnsupportedError(
            f"{row.bright}: {bright[1]}×{bright[0]} pixels, but its dark photo {row.dark.name} has "
            f"{dark[1]}×{dark[0]}; take the pair out"
        )


def common(row: Row, shape: tuple[int, int]) -> Place:
    """The largest part of a dark photo (H, W) that its bright one, moved as the row says, covers.

    Raises `UnsupportedError` where there is none.
    """
    place = resample.overlap(shape, (row.align_dy, row.align_dx))
    if place is None:
        raise UnsupportedError(
            f"{row.dark}: no part of it is in {row.bright.name}, moved by {row.align_dx:g} and "
            f"{row.align_dy:g} pixels; take the pair out"
        )
    return place


def moved(bright: NDArray[Any], place: Place, row: Row) -> NDArray[np.float32]:
    """The pixels of the bright photo (H, W, …) that show what the dark one does at `place`."""
    return resample.moved(bright, place, (row.align_dy, row.align_dx))
