"""The target of a pair: LibRaw's rendering of the bright photo.

Training, the training film and evaluation all use this definition. It has two forms.

camera light   as `undark.restore` returns it: linear camera RGB in the dark photo's white balance,
               white 1 (models of the task "mosaic to linear camera RGB")
sRGB           LibRaw's picture in the bright photo's own white balance, as in "Learning to See in
               the Dark" (SID, Chen et al. 2018): `postprocess(use_camera_wb=True,
               no_auto_bright=True, output_bps=16)`, or the linear light behind that picture

LibRaw demosaics with AHD, X-Trans with Markesteijn's method. The frame has the sensor's
orientation; it is never rotated.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.files.raw import LIBRAW_SPACES, render_with_libraw

WHITE = 65535
"""The largest level of LibRaw's 16 bits."""

_RENDERING: dict[str, Any] = {"no_auto_bright": True, "output_bps": 16, "user_flip": 0}
"""Options of both forms. The highlight mode is LibRaw's default: clipped."""
_LINEAR: dict[str, Any] = {"gamma": (1, 1)}
_SRGB: dict[str, Any] = {"use_camera_wb": True, "output_color": LIBRAW_SPACES.sRGB}
"""As in SID, which also leaves `adjust_maximum_thr` at LibRaw's default: in a frame whose brightest
pixel is between 75 % and 100 % of the white level, that pixel becomes white."""
_CAMERA: dict[str, Any] = {"output_color": LIBRAW_SPACES.raw, "adjust_maximum_thr": 0.0}
"""White is the file's white level in every frame, as in `Mosaic.signal`."""


@dataclass(frozen=True, eq=False)
class Target:
    """Linear light of a bright photo: `levels` times `scale`."""

    levels: NDArray[np.uint16]
    """(H, W, 3), 65535 at most; may be a memory map."""
    scale: float
    """Linear light per level."""

    @property
    def saturation(self) -> float:
        """Light from which the target is only a lower bound: there LibRaw clips."""
        return WHITE * self.scale


def camera_levels(path: Path, white_balance: NDArray[np.floating]) -> NDArray[np.uint16]:
    """(H, W, 3) linear camera RGB in a white balance with green 1; see `camera_target`.

    Raises `ReadError`, `UnsupportedError`.
    """
    gains = rounded_gains(white_balance)
    return _rendered(path, _LINEAR | _CAMERA | {"user_wb": [*gains, gains[1]]})


def camera_target(levels: NDArray[np.uint16], white_balance: NDArray[np.floating]) -> Target:
    """The camera light of `camera_levels`: 1 is where a colour of gain 1 saturates.

    LibRaw divides the gains by the smallest, so that the colour that saturates last becomes its
    white. Where a gain is below 1 that would be too bright: 1.25 times at gains (0.8, 1, 2).
    """
    return Target(levels, min(rounded_gains(white_balance)) / WHITE)


def srgb_levels(path: Path) -> NDArray[np.uint16]:
    """(H, W, 3) linear sRGB, the light behind `srgb_picture`. Raises as `camera_levels`."""
    return _rendered(path, _LINEAR | _SRGB)


def srgb_target(levels: NDArray[np.uint16]) -> Target:
    """The light of `srgb_levels`; 1 is LibRaw's white."""
    return Target(levels, 1 / WHITE)


def srgb_picture(path: Path) -> NDArray[np.uint16]:
    """(H, W, 3) as LibRaw renders it, with its curve (BT.709). Raises as `camera_levels`."""
    return _rendered(path, _SRGB)


def rounded_gains(white_balance: NDArray[np.floating]) -> list[float]:
    """The gains passed to LibRaw, with five decimals, so that equal ones share a cache entry."""
    return [round(float(gain), 5) for gain in white_balance]


def _rendered(path: Path, options: dict[str, Any]) -> NDArray[np.uint16]:
    levels = render_with_libraw(path, **_RENDERING, **options)
    assert levels.dtype == np.uint16
    return levels  # type: ignore[return-value]
