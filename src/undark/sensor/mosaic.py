"""`Mosaic`: one RAW photo as the sensor counted it, with all that is needed to develop it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from undark.sensor.cfa import CFA, dihedral, dihedral_axes, dihedral_period, extend
from undark.sensor.merged import MergedNoise
from undark.sensor.noise import NoiseModel
from undark.sensor.offsets import LineOffsets, MaskedLines
from undark.sensor.shading import Shading

_LARGEST_GAIN = 1e4
"""Of a white balance; those of light are below 10."""

MASKED_BORDER = "masked border"
"""Of `Mosaic.black_source`: the black level is measured on pixels that see no light."""


@dataclass(frozen=True)
class GPS:
    """Where a photo was taken. Degrees, north and east positive; altitude in metres."""

    latitude: float
    longitude: float
    altitude: float | None = None


@dataclass(frozen=True)
class Shot:
    """How a photo was taken. None means that the file does not say."""

    make: str | None = None
    model: str | None = None
    lens: str | None = None
    exposure_time: float | None = None
    """Seconds."""
    aperture: float | None = None
    """The f-number."""
    iso: float | None = None
    focal_length: float | None = None
    """Millimetres."""
    taken: datetime | None = None
    gps: GPS | None = None

    @property
    def camera(self) -> str:
        """Make and model as one name, the make not said twice; "unknown camera" if neither."""
        make, model = self.make or "", self.model or ""
        name = model if make and model.lower().startswith(make.lower()) else f"{make} {model}"
        return name.strip() or "unknown camera"


@dataclass(frozen=True, eq=False)
class Mosaic:
    """The visible frame of a RAW photo, one number a pixel, nothing subtracted and nothing scaled.

    Invariant: `plane` is (H, W) in DN, its top left pixel has the colour `cfa.pattern[0, 0]`.
    """

    plane: NDArray[np.uint16]
    """(H, W), DN."""
    cfa: CFA
    black: NDArray[np.float32]
    """Black level in DN for each position of the CFA's period, shape of `cfa.pattern`."""
    white: float
    """DN at which the sensor saturates."""
    white_balance: NDArray[np.float32]
    """Gains (red, green, blue) that make a neutral surface neutral; green is 1."""
    camera_from_xyz: NDArray[np.float32] | None = None
    """(3, 3): CIE XYZ (D65) to camera RGB before white balance; None: unknown."""
    orientation: int = 1
    """The EXIF orientation, 1 to 8."""
    default_crop: tuple[int, int, int, int] | None = None
    """(top, left, height, width) that the maker shows of the visible frame; None: all."""
    noise_profile: tuple[tuple[float, float], ...] | None = None
    """DNG NoiseProfile: (S, O) a channel or one for all; variance = S·x + O with x in [0, 1]."""
    shot: Shot = field(default_factory=Shot)
    black_source: str = "tag"
    """ "tag" or "masked border"; "..., corrected by your calibration" after either."""
    white_balance_source: str = "camera"
    """ "camera", "daylight" or "grey world"."""
    calibrated: NoiseModel | None = None
    """The noise by the user's own calibration of the camera; None where there is none."""
    shading: Shading | None = None
    """The camera's dark shading, which `signal` subtracts; None: not known."""
    offsets: LineOffsets | None = None
    """What `signal` takes off rows and columns beside black; None: nothing."""
    masked: MaskedLines | None = None
    """Offsets of rows and columns by the masked border; None where there is none."""
    merged: MergedNoise | None = None
    """The noise of a mosaic merged of several frames; None for the photo of one exposure."""

    def check(self) -> None:
        """Raises `ValueError` where a field cannot be a photo's; what undark reads can."""
        plane, gains = np.asarray(self.plane), np.asarray(self.white_balance)
        if plane.ndim != 2 or plane.dtype.kind not in "uib":
            raise ValueError(f"plane is (H, W) integers, not {plane.ndim}-D of {plane.dtype}")
        if not float(np.max(self.black)) + 1 <= self.white < math.inf:
            raise ValueError(f"white is finite and above black, not {self.white} and {self.black}")
        if gains.shape != (3,) or not np.all((gains > 0) & (gains < _LARGEST_GAIN)):
            raise ValueError(f"white_balance is three gains above 0, not {self.white_balance}")

    @property
    def has_measured_black(self) -> bool:
        """Whether the black level is that of masked pixels, corrected by a calibration or not."""
        return self.black_source.startswith(MASKED_BORDER)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.plane.shape
        return height, width

    @property
    def span(self) -> float:
        """DN between black (mean of all positions) and white."""
        return float(self.white - self.black.mean())

    def signal(
        self, rows: slice = slice(None), columns: slice = slice(None)
    ) -> NDArray[np.float32]:
        """(h, w) float32: DN above black, dark shading and `offsets` of the frame or a part of it.

        Values below black stay, as negative numbers.
        """
        part: NDArray[np.float32] = self.plane[rows, columns].astype(np.float32)
        top, left = rows.start or 0, columns.start or 0
        period = self.cfa.period
        black = np.roll(self.black, (-top, -left), (0, 1))
        for y in range(period):  # whole rows: faster than every second pixel of them
            part[y::period] -= np.resize(black[y], part.shape[1])
        if self.shading is not None:
            part -= self.shading.at(top, left, (part.shape[0], part.shape[1]))
        if self.offsets:
            self.offsets.subtract(part, rows, columns)
        return part

    def canonical(self, multiple: int) -> Self:
        """The mosaic extended to the canonical phase of its CFA and a multiple of pixels.

        What is put around it is copied from the nearest pixels of the same colour. `multiple` is
        itself one of the CFA's period.
        """
        (top, left), (height, width) = self.cfa.shift, self.shape
        after = (-(height + top) % multiple, -(width + left) % multiple)
        offsets, period = self.offsets, self.cfa.period
        return replace(
            self,
            plane=extend(self.plane, (top, left), after, period),
            cfa=self.cfa.crop(-top, -left),
            black=np.roll(self.black, (top, left), (0, 1)),
            shading=self.shading and self.shading.crop(-top, -left),
            offsets=offsets and offsets.extended((top, left), after, period),
            masked=None,
            merged=self.merged and self.merged.extended((top, left), after, period),
        )

    def crop(self, top: int, left: int, height: int, width: int) -> Self:
        """A part of the frame; its CFA begins at the phase of its own corner. Shares the pixels."""
        rows, columns = slice(top, top + height), slice(left, left + width)
        return replace(
            self,
            plane=self.plane[rows, columns],
            cfa=self.cfa.crop(top, left),
            black=np.roll(self.black, (-top, -left), (0, 1)),
            shading=self.shading and self.shading.crop(top, left),
            default_crop=None,
            offsets=self.offsets and self.offsets.crop(rows, columns),
            masked=self.masked and self.masked.crop(rows, columns),
            merged=self.merged and self.merged.crop(rows, columns),
        )

    def dihedral(self, k: int) -> Self:
        """The frame flipped and turned (see `cfa.dihedral`), its CFA with it. Shares the pixels.

        Sets orientation to 1.
        """
        return replace(
            self,
            plane=dihedral(self.plane, k),
            cfa=self.cfa.dihedral(k, self.shape),
            black=dihedral_period(self.black, k, self.shape),
            shading=self.shading and self._turned_shading(self.shading, k),
            default_crop=None,
            orientation=1,
            offsets=self.offsets and self.offsets.dihedral(k),
            masked=self.masked and self.masked.dihedral(k),
            merged=self.merged and self.merged.dihedral(k),
        )

    def _turned_shading(self, shading: Shading, k: int) -> Shading:
        numbers = np.arange(self.cfa.period**2).reshape(self.cfa.pattern.shape)
        return shading.turned(
            dihedral_period(numbers, k, self.shape), *dihedral_axes(k), self.shape
        )

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return replace(self, **changes)
