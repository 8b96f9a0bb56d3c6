"""`Mosaic`: one RAW photo as the sensor counted it, with all that is needed to develop it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from undark.sensor.cfa import CFA


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
    """(3, 3): CIE XYZ (D65) to camera RGB before white balance; None where nobody knows it."""
    orientation: int = 1
    """The EXIF orientation, 1 to 8."""
    default_crop: tuple[int, int, int, int] | None = None
    """(top, left, height, width) that the maker shows of the visible frame; None: all."""
    noise_profile: tuple[tuple[float, float], ...] | None = None
    """DNG NoiseProfile: (S, O) a channel or one for all; variance = S·x + O with x in [0, 1]."""
    shot: Shot = field(default_factory=Shot)
    black_source: str = "tag"
    """"tag" or "masked border"."""
    white_balance_source: str = "camera"
    """"camera", "daylight" or "grey world"."""

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.plane.shape
        return height, width

    @property
    def span(self) -> float:
        """DN between black (mean of all positions) and white."""
        return float(self.white - self.black.mean())

    def signal(self) -> NDArray[np.float32]:
        """(H, W) float32: DN above black; values below black stay, as negative numbers."""
        height, width = self.shape
        period = self.cfa.period
        repeats = (-(-height // period), -(-width // period))
        black = np.tile(self.black, repeats)[:height, :width]
        return self.plane.astype(np.float32) - black

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return replace(self, **changes)
