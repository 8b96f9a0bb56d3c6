"""Crop the bright photo of a pair to a region of the dark one, with the shift of the pair's row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.align import resample
from undark.align.resample import Place
from undark.errors import UnsupportedError
from undark.pairs.table import Row


def check_sizes(row: Row, dark: tuple[int, ...], bright: tuple[int, ...]) -> None:
    """Raises `UnsupportedError` if the photos of a pair, (H, W), differ in size."""
    if dark != bright:
        raise UnsupportedError(
            f"{row.bright}: {bright[1]}×{bright[0]} pixels, but its dark photo {row.dark.name} has "
            f"{dark[1]}×{dark[0]}; remove the pair"
        )


def common(row: Row, shape: tuple[int, int]) -> Place:
    """The largest region of a dark photo (H, W) that its bright one covers, given the row's shift.

    Raises `UnsupportedError` if there is none.
    """
    place = resample.overlap(shape, (row.align_dy, row.align_dx))
    if place is None:
        raise UnsupportedError(
            f"{row.dark}: does not overlap {row.bright.name} when shifted by {row.align_dx:g} and "
            f"{row.align_dy:g} pixels; remove the pair"
        )
    return place


def moved(bright: NDArray[Any], place: Place, row: Row) -> NDArray[np.float32]:
    """The bright photo (H, W, …) cropped to the dark photo's region `place`, interpolated."""
    return resample.moved(bright, place, (row.align_dy, row.align_dx))
