"""White balance chosen after restoring: as shot, daylight, or a point that is to be grey.

The network gets the photo with the white balance as shot. Another one is a gain on each channel of
the restored linear camera RGB, so it needs no new run of the network.

"Gains" are (red, green, blue) on camera RGB before any white balance, green 1, as
`Mosaic.white_balance` holds them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from undark.develop.colour import XYZ_FROM_SRGB, srgb_from_camera
from undark.errors import UnsupportedError
from undark.sensor.mosaic import Mosaic
from undark.sensor.orientation import part_on_sensor, upright_shape

Floats = NDArray[np.float32]
WhiteBalance = Literal["as-shot", "daylight"] | tuple[int, int] | tuple[float, float, float]
"""What is asked for. A pair is the grey point (x, y) in pixels of the upright picture; three are
gains, such as a grey point of another photo in the same light gave."""

AS_SHOT: Literal["as-shot"] = "as-shot"
DAYLIGHT: Literal["daylight"] = "daylight"
REACH = 5
"""The window around a grey point: its pixel and this many on each side, less at the border."""
CLIPPED = 0.98
"""Fraction of a channel's saturation from which the window counts as clipped."""
DARKEST = 1 / 256
"""Mean light of a channel, white = 1, below which the window counts as black: errors of the black
level are no longer small beside it."""
MOST_GAIN = 200.0
"""The largest gain that may be given, and its reciprocal the smallest."""
EXTREME = 8.0
"""Gains beyond this multiple of those as shot, or below its reciprocal, are refused."""


def parse_white_balance(text: str) -> WhiteBalance:
    """ "as-shot", "daylight", or "X,Y". Raises `ValueError`, whose message says what to give."""
    asked = text.strip().lower()
    found = re.fullmatch(r"(\d{1,9})\s*,\s*(\d{1,9})", asked)
    if found:
        return int(found[1]), int(found[2])
    if asked == DAYLIGHT:
        return DAYLIGHT
    if asked == AS_SHOT:
        return AS_SHOT
    raise ValueError(
        f"{text}: give {AS_SHOT}, {DAYLIGHT}, or X,Y: a grey point in pixels of the upright picture"
    )


def check_white_balance(asked: WhiteBalance) -> None:
    """Raises `ValueError` for anything that is no `WhiteBalance`."""
    is_point = (
        isinstance(asked, tuple) and len(asked) == 2 and all(isinstance(n, int) for n in asked)
    )
    if not is_point and not _are_gains(asked) and asked not in (AS_SHOT, DAYLIGHT):
        raise ValueError(
            f"white_balance is {AS_SHOT!r}, {DAYLIGHT!r}, a grey point (x, y) or three gains, "
            f"not {asked!r}"
        )


def _are_gains(asked: object) -> bool:
    return (
        isinstance(asked, tuple)
        and len(asked) == 3
        and all(isinstance(n, float) and 1 / MOST_GAIN <= n <= MOST_GAIN for n in asked)
    )


def gains_for(
    asked: WhiteBalance,
    mosaic: Mosaic,
    amplification: float,
    light_at: Callable[[slice, slice], Floats],
) -> Floats | None:
    """The gains (3,) that are asked for; None: as shot.

    `light_at` gives the restored light (h, w, 3), white-balanced as shot, of rows and columns in
    the sensor's orientation. Raises `ValueError` for what is no `WhiteBalance`, `UnsupportedError`
    where daylight's gains are not known and for a grey point that is outside, clipped or black.
    """
    check_white_balance(asked)
    if asked == AS_SHOT:
        return None
    if asked == DAYLIGHT:
        return known_daylight_gains(mosaic)
    if len(asked) == 3:
        return np.array(asked, np.float32) / np.float32(asked[1])
    rows, columns = window(asked, mosaic.shape, mosaic.orientation)
    try:
        return grey_gains(light_at(rows, columns), mosaic.white_balance, amplification)
    except UnsupportedError as error:
        raise UnsupportedError(f"the grey point {asked[0]},{asked[1]} {error}") from error


def known_daylight_gains(mosaic: Mosaic) -> Floats:
    """Daylight's gains of the photo's camera. Raises `UnsupportedError` where they are unknown."""
    gains = daylight_gains(mosaic.camera_from_xyz)
    if gains is None:
        raise UnsupportedError(
            "daylight's white balance is not known, because the file's camera has no known colour "
            f"matrix; choose {AS_SHOT} or a grey point X,Y"
        )
    return gains


def daylight_gains(camera_from_xyz: NDArray[np.floating] | None) -> Floats | None:
    """Gains that make D65 (6500 K) neutral, from the colour matrix; None where it is unknown.

    LibRaw's daylight multipliers are made from its own matrix in the same way.
    """
    if camera_from_xyz is None:
        return None
    try:
        srgb_from_camera(camera_from_xyz)
    except ValueError:  # a damaged matrix
        return None
    white = (np.asarray(camera_from_xyz, np.float64) @ XYZ_FROM_SRGB).sum(axis=1)
    gains: Floats = (white[1] / white).astype(np.float32)
    return gains


def window(point: tuple[int, int], shape: tuple[int, int], orientation: int) -> tuple[slice, slice]:
    """Rows and columns of the sensor around a point (x, y) of the upright picture.

    `shape` is the sensor's (H, W), `orientation` EXIF's. Raises `UnsupportedError` for a point
    outside.
    """
    (x, y), (down, across) = point, upright_shape(shape, orientation)
    if not (0 <= x < across and 0 <= y < down):
        raise UnsupportedError(
            f"the grey point {x},{y} is outside the upright picture of {across} x {down} pixels; "
            "give X,Y within it, from 0,0 at its top left"
        )
    around = (slice(y - REACH, y + REACH + 1), slice(x - REACH, x + REACH + 1))
    rows, columns = (
        slice(max(side.start, 0), min(side.stop, length))
        for side, length in zip(part_on_sensor(around, shape, orientation), shape, strict=True)
    )
    return rows, columns


def grey_gains(light: Floats, white_balance: NDArray[np.floating], amplification: float) -> Floats:
    """Gains that make the mean of the light (h, w, 3) neutral.

    The light is white-balanced with `white_balance` and amplified; 1 is white. Raises
    `UnsupportedError`, with the end of a sentence about the point, where it is clipped, black or
    so coloured that no light source makes grey look so.
    """
    mean = light.mean(axis=(0, 1), dtype=np.float64)
    saturation = amplification * np.asarray(white_balance, np.float64)
    if np.any(light.max(axis=(0, 1)) >= CLIPPED * saturation):
        raise UnsupportedError("is clipped: the sensor saturated there; choose a darker one")
    if mean.min() < DARKEST:
        raise UnsupportedError("is nearly black; choose a brighter one")
    change = mean[1] / mean
    if max(change.max(), 1 / change.min()) > EXTREME:
        raise UnsupportedError("is too strongly coloured to be grey; choose another")
    gains: Floats = (white_balance * change).astype(np.float32)
    return gains
