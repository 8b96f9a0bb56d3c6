"""White balance: the camera's own, else daylight's, else by the grey-world assumption."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from undark.sensor.cfa import BLUE, GREEN, RED, pack
from undark.sensor.mosaic import Mosaic

_EXTREME = 20.0
"""Gains beyond this, or below its reciprocal, occur under no light source."""
_USUAL_DAYLIGHT = np.array([2.0, 1.0, 1.5], np.float32)

Gains = Sequence[float] | NDArray[np.float64]


def choose_white_balance(
    mosaic: Mosaic, camera: Gains, daylight: Gains
) -> tuple[NDArray[np.float32], str]:
    """Gains (red, green, blue) with green 1, and their source.

    `camera` and `daylight` are three or four gains in LibRaw's order; they may be reciprocals,
    zeros, -1 or NaN in some files.
    """
    known = _daylight(daylight)
    gains = _usable(camera)
    if gains is not None:
        return _corrected(gains, _USUAL_DAYLIGHT if known is None else known), "camera"
    return (known, "daylight") if known is not None else (_grey_world(mosaic), "grey world")


def _usable(values: Gains) -> NDArray[np.float32] | None:
    """Gains with green 1; None if one is missing, zero, negative or extreme."""
    gains = np.array(values[:3], np.float64)
    if not np.all(np.isfinite(gains)) or np.any(gains <= 0):
        return None
    gains /= gains[GREEN]
    return None if max(gains.max(), 1 / gains.min()) > _EXTREME else gains.astype(np.float32)


def _daylight(values: Gains) -> NDArray[np.float32] | None:
    """Daylight's gains; LibRaw gives 1 1 1 for unknown cameras."""
    gains = _usable(values)
    return None if gains is None or np.all(gains == 1) else gains


def _corrected(gains: NDArray[np.float32], daylight: NDArray[np.float32]) -> NDArray[np.float32]:
    """The gains, or their reciprocals where the file holds those instead.

    Sensors are most sensitive to green, so gains of red and blue are rarely both below 1; then
    the ones closer to daylight's are used.
    """
    if max(gains[RED], gains[BLUE]) >= 1:
        return gains
    turned = (1 / gains).astype(np.float32)
    off, off_turned = (np.abs(np.log(g / daylight)).sum() for g in (gains, turned))
    return turned if off_turned < off else gains


def _grey_world(mosaic: Mosaic) -> NDArray[np.float32]:
    """Gains that make the mean colour grey, without clipped pixels; 1 1 1 for a black frame."""
    planes = pack(mosaic.signal(), mosaic.cfa)
    unclipped = planes.max(axis=0) < 0.98 * mosaic.span
    colours = np.array(mosaic.cfa.colours)
    means = [_mean(planes[colours == c][:, unclipped]) for c in (RED, GREEN, BLUE)]
    gains = _usable(1 / np.maximum(means, 1e-6))
    return np.ones(3, np.float32) if gains is None else gains


def _mean(values: NDArray[np.float32]) -> float:
    return float(values.mean(dtype=np.float64)) if values.size else 0.0
