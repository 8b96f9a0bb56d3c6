"""One ISO: its dark frames and flats to a `Setting`, and what plots and verdict need of it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.calibrate.photons import Points, Transfer, fit_transfer, pair_points, single_points
from undark.calibrate.readout import Readout, measure_darks, read_corrected
from undark.calibrate.survey import Frame, middle
from undark.files.raw import read_uncalibrated
from undark.sensor.mosaic import Mosaic
from undark.sensor.profiles.calibration import Setting

_SAME_LIGHT = 0.1
"""Largest difference of the means of two flats that form a pair, as a share."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What was found at one ISO."""

    setting: Setting
    readout: Readout | None
    """None without dark frames."""
    transfer: Transfer | None
    """None without flats."""
    points: Points | None
    pairs: int
    """Pairs of flats; 0: the gain is from single flats."""


def measure(iso: float, darks: list[Frame], flats: list[Frame]) -> Measured:
    """Measure one ISO; frames are read again. Raises `ReadError`."""
    readout = measure_darks(darks) if darks else None
    pairs = _pairs(flats)
    points = _points(flats, pairs, readout)
    transfer = None if points is None else _transfer(points, readout, single=not pairs)
    setting = Setting(
        iso=iso,
        darks=len(darks),
        flats=len(flats),
        gain=None if transfer is None else transfer.gain,
        gain_error=None if transfer is None else transfer.error,
    )
    if readout is not None:
        setting = _with_readout(setting, readout)
    return Measured(setting, readout, transfer, points, len(pairs))


def _with_readout(setting: Setting, readout: Readout) -> Setting:
    grid = readout.shading
    return replace(
        setting,
        read=readout.read,
        shape=readout.shape.tukey,
        row=readout.row,
        bias=readout.bias,
        black=_nested(readout.black),
        shading=None if grid is None else _nested(np.round(grid.astype(np.float64), 3)),
    )


def _nested(values: NDArray[Any]) -> Any:
    """An array as tuples of tuples."""
    if values.ndim == 0:
        return float(values)
    return tuple(_nested(part) for part in values)


def _pairs(flats: list[Frame]) -> list[tuple[Frame, Frame]]:
    """Flats at equal settings and of equal light, two by two; none is used twice."""
    groups = defaultdict[tuple[float | None, float | None], list[Frame]](list)
    for frame in flats:
        groups[frame.shot.exposure_time, frame.shot.aperture].append(frame)
    found = []
    for group in groups.values():
        waiting: Frame | None = None
        for frame in sorted(group, key=lambda f: f.means.mean()):
            if waiting is not None and frame.means.mean() < waiting.means.mean() * (
                1 + _SAME_LIGHT
            ):
                found.append((waiting, frame))
                waiting = None
            else:
                waiting = frame
    return found


def _points(
    flats: list[Frame], pairs: list[tuple[Frame, Frame]], readout: Readout | None
) -> Points | None:
    if not flats:
        return None
    if pairs:
        return Points.joined([pair_points(_read(a, readout), _read(b, readout)) for a, b in pairs])
    return Points.joined([single_points(_read(flat, readout)) for flat in flats])


def _read(frame: Frame, readout: Readout | None) -> Mosaic:
    if readout is None:
        return middle(read_uncalibrated(frame.path))
    return read_corrected(frame.path, readout.black, readout.shading)


def _transfer(points: Points, readout: Readout | None, single: bool) -> Transfer | None:
    at_black = None
    if readout is not None:
        at_black = readout.single_variance if single else readout.pair_variance
    try:
        return fit_transfer(points, at_black, single)
    except ValueError:
        return None
