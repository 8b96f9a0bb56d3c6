"""Colour filter arrays: which colour each pixel saw, and packing a mosaic into colour planes.

A mosaic that starts at another phase is first extended to the canonical one of its kind (see
`undark.sensor.kind`), so a network is only given RGGB, or X-Trans as Fujifilm draws it; `unpack`
cuts the extension off again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from array_api_compat import device
from numpy.typing import NDArray

from undark.sensor.arrays import Array, namespace
from undark.sensor.kind import SENSOR_KINDS, X_TRANS_KIND, Rows, SensorKind

RED, GREEN, BLUE = 0, 1, 2


@dataclass(frozen=True)
class CFA:
    """A colour filter array, given by the colours of one period: rows of 0 (R), 1 (G), 2 (B).

    Raises `ValueError` for a pattern that is neither Bayer nor X-Trans at any phase.
    """

    rows: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if _find_kind(self.rows) is None:
            raise ValueError(f"neither a Bayer nor an X-Trans pattern: {self.rows}")

    @classmethod
    def from_name(cls, name: str) -> CFA:
        """ "RGGB", "BGGR", "GRBG", "GBRG" or "X-Trans"."""
        if name == X_TRANS_KIND.name:
            return cls(X_TRANS_KIND.rows)
        first, second = name[:2], name[2:]
        return cls(tuple(tuple("RGB".index(c) for c in row) for row in (first, second)))

    @cached_property
    def pattern(self) -> NDArray[np.uint8]:
        """(period, period): 0 red, 1 green, 2 blue."""
        return np.array(self.rows, np.uint8)

    @cached_property
    def kind(self) -> SensorKind:
        """Bayer or X-Trans."""
        return self._found[0]

    @cached_property
    def shift(self) -> tuple[int, int]:
        """Rows and columns to put before the mosaic so that it starts at the canonical phase."""
        return self._found[1]

    @property
    def period(self) -> int:
        """Pixels after which the pattern repeats: 2 or 6."""
        return len(self.rows)

    @property
    def cell(self) -> int:
        """Side of the square that packing turns into one packed pixel: 2 or 3."""
        return self.kind.cell

    @property
    def colours(self) -> tuple[int, ...]:
        """The colour of each packed plane; see `SensorKind.colours`."""
        return self.kind.colours

    @property
    def name(self) -> str:
        """ "RGGB" and the like, or "X-Trans"."""
        if self.kind == X_TRANS_KIND:
            return self.kind.name
        return "".join("RGB"[c] for row in self.rows for c in row)

    @property
    def _found(self) -> tuple[SensorKind, tuple[int, int]]:
        found = _find_kind(self.rows)
        assert found is not None  # held by __post_init__
        return found

    def colour_map(self, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """(H, W): the colour that each pixel of a mosaic of this shape sees, as in `pattern`."""
        rows, columns = (np.arange(n) % self.period for n in shape)
        seen: NDArray[np.uint8] = self.pattern[np.ix_(rows, columns)]
        return seen

    def crop(self, top: int, left: int) -> CFA:
        """The pattern as seen from another top left pixel."""
        rolled = np.roll(self.pattern, (-top, -left), (0, 1))
        return CFA(tuple(tuple(int(c) for c in row) for row in rolled))

    def dihedral(self, k: int, shape: tuple[int, int]) -> CFA:
        """The pattern of a mosaic (H, W) of this shape after `dihedral`, at whatever phase."""
        turned = dihedral_period(self.pattern, k, shape)
        return CFA(tuple(tuple(int(c) for c in row) for row in turned))


@cache
def _find_kind(rows: Rows) -> tuple[SensorKind, tuple[int, int]] | None:
    """The kind of sensor that a pattern belongs to, and `CFA.shift`; None if it is not known."""
    phases = ((kind, kind.phase(rows)) for kind in SENSOR_KINDS)
    return next(((kind, phase) for kind, phase in phases if phase is not None), None)


BAYER_ORDERS = tuple(CFA.from_name(name) for name in ("RGGB", "BGGR", "GRBG", "GBRG"))
RGGB = BAYER_ORDERS[0]
X_TRANS = CFA.from_name("X-Trans")


def dihedral(picture: Array, k: int) -> Array:
    """A picture (H, W, …) flipped and turned: one of the eight ways that a square can lie.

    Numbered as fastai and Pillow do: 0 as it is, 1 left to right, 2 top to bottom, 3 a quarter
    turn to the left, 4 half a turn, 5 a quarter turn to the right, 6 transposed, 7 transposed
    across the other diagonal.
    """
    xp = namespace(picture)
    flips, transposed = dihedral_axes(k)
    axes = tuple(axis for axis, flipped in enumerate(flips) if flipped)
    picture = xp.flip(picture, axis=axes) if axes else picture
    order = (1, 0, *range(2, picture.ndim))
    return xp.permute_dims(picture, order) if transposed else picture


def dihedral_axes(k: int) -> tuple[tuple[bool, bool], bool]:
    """What `dihedral` does: whether rows and columns are flipped, and then transposed."""
    return (k in (2, 4, 5, 7), k in (1, 3, 4, 7)), k in (3, 5, 6, 7)


def dihedral_period(values: NDArray[Any], k: int, shape: tuple[int, int]) -> NDArray[Any]:
    """What is known of each position of a CFA's period, for a mosaic of `shape` after `dihedral`.

    A flipped mosaic begins with what was its last row or column, so its phase depends on its size.
    """
    period = len(values)
    last = [(0, n % period) for n in shape]
    turned: NDArray[Any] = dihedral(np.pad(values, last, mode="wrap"), k)
    return np.ascontiguousarray(turned[:period, :period])


def extend(plane: Array, before: tuple[int, int], after: tuple[int, int], period: int) -> Array:
    """Put rows and columns around a mosaic (…, H, W), each copied from the nearest of its phase.

    `before` and `after` are (rows, columns). A mosaic smaller than a period is not supported.
    """
    xp = namespace(plane)
    for axis, (first, last) in zip((-2, -1), zip(before, after, strict=True), strict=True):
        size = plane.shape[axis]
        index = np.arange(-first, size + last)
        index = np.where(index < 0, index % period, index)
        beyond = index >= size
        index[beyond] = size - period + (index[beyond] - size) % period
        if first or last:
            where = xp.asarray(index, device=device(plane))
            plane = xp.take(plane, where, axis=plane.ndim + axis)
    return plane


def pack(plane: Array, cfa: CFA) -> Array:
    """Mosaic (…, H, W) → packed planes (…, cell², h, w), at the canonical phase.

    h and w are whole numbers of periods that hold the mosaic: what is missing is copied from the
    nearest pixels of the same colour. `unpack` is the exact inverse.
    """
    xp = namespace(plane)
    plane = extend(plane, cfa.shift, _missing(plane.shape, cfa), cfa.period)
    cell, step = cfa.cell, cfa.period // cfa.cell
    shape = (*plane.shape[:-2], cell * cell, plane.shape[-2] // cell, plane.shape[-1] // cell)
    packed = xp.empty(shape, dtype=plane.dtype, device=device(plane))
    for channel, cy, cx, y, x in cfa.kind.places:
        packed[..., channel, cy::step, cx::step] = plane[..., y :: cfa.period, x :: cfa.period]
    return packed


def unpack(packed: Array, cfa: CFA, shape: tuple[int, int]) -> Array:
    """Packed planes (…, cell², h, w) → mosaic (…, H, W) of the given shape: undoes `pack`."""
    xp = namespace(packed)
    cell, step = cfa.cell, cfa.period // cfa.cell
    whole = (*packed.shape[:-3], packed.shape[-2] * cell, packed.shape[-1] * cell)
    plane = xp.empty(whole, dtype=packed.dtype, device=device(packed))
    for channel, cy, cx, y, x in cfa.kind.places:
        plane[..., y :: cfa.period, x :: cfa.period] = packed[..., channel, cy::step, cx::step]
    (top, left), (height, width) = cfa.shift, shape
    return plane[..., top : top + height, left : left + width]


def mosaic(rgb: Array, cfa: CFA) -> Array:
    """RGB (…, 3, H, W) → mosaic (…, H, W): what each pixel sees through its filter."""
    xp = namespace(rgb)
    plane = xp.empty((*rgb.shape[:-3], *rgb.shape[-2:]), dtype=rgb.dtype, device=device(rgb))
    for y, row in enumerate(cfa.rows):
        for x, colour in enumerate(row):
            plane[..., y :: cfa.period, x :: cfa.period] = rgb[
                ..., colour, y :: cfa.period, x :: cfa.period
            ]
    return plane


def _missing(shape: tuple[int, ...], cfa: CFA) -> tuple[int, int]:
    """Rows and columns to put after a mosaic to reach a whole number of periods."""
    rows, columns = (-(n + s) % cfa.period for n, s in zip(shape[-2:], cfa.shift, strict=True))
    return rows, columns
