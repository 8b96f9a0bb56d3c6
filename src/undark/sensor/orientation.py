"""EXIF's orientation, 1 to 8: how the sensor's rows and columns lie in the upright picture.

From the sensor's order to upright, rows and columns are exchanged (5 to 8), then reversed. Any
other value counts as 1 (upright).
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
Part = tuple[slice, slice]
"""Rows and columns, each with a first one and one past the last; they may be beyond the frame."""


def upright_shape(shape: tuple[int, int], orientation: int) -> tuple[int, int]:
    """(H, W) of the upright picture of a sensor's (H, W), and the other way round."""
    height, width = shape
    return (width, height) if _swaps_sides(orientation) else (height, width)


def upright(frame: Array, orientation: int) -> Array:
    """(h, w, …) in the sensor's order → upright; a view."""
    return _reversed(frame.swapaxes(0, 1) if _swaps_sides(orientation) else frame, orientation)


def as_on_sensor(picture: Array, orientation: int) -> Array:
    """The inverse of `upright`; a view."""
    frame = _reversed(picture, orientation)
    return frame.swapaxes(0, 1) if _swaps_sides(orientation) else frame


def part_on_sensor(part: Part, shape: tuple[int, int], orientation: int) -> Part:
    """A part of the upright picture → the sensor's rows and columns; `shape` is the sensor's."""
    rows, columns = _part_reversed(part, upright_shape(shape, orientation), orientation)
    return (columns, rows) if _swaps_sides(orientation) else (rows, columns)


def upright_part(part: Part, shape: tuple[int, int], orientation: int) -> Part:
    """The inverse of `part_on_sensor`."""
    rows, columns = part
    turned = (columns, rows) if _swaps_sides(orientation) else (rows, columns)
    return _part_reversed(turned, upright_shape(shape, orientation), orientation)


def _swaps_sides(orientation: int) -> bool:
    """Whether the sensor's rows are columns of the upright picture."""
    return orientation in (5, 6, 7, 8)


def _reverses(orientation: int) -> tuple[bool, bool]:
    """Whether rows and columns of the upright picture run against the sensor's."""
    return orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)


def _reversed(picture: Array, orientation: int) -> Array:
    rows, columns = (slice(None, None, -1 if r else 1) for r in _reverses(orientation))
    return picture[rows, columns]


def _part_reversed(part: Part, shape: tuple[int, int], orientation: int) -> Part:
    rows, columns = (
        slice(length - side.stop, length - side.start) if reverse else side
        for side, length, reverse in zip(part, shape, _reverses(orientation), strict=True)
    )
    return rows, columns
