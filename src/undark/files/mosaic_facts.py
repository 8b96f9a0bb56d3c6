"""A mosaic's fields but its pixels, in types that JSON supports: its facts in the cache."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.sensor.cfa import CFA
from undark.sensor.mosaic import GPS, Mosaic, Shot
from undark.sensor.noise import NoiseModel
from undark.sensor.offsets import LineOffsets, MaskedLines
from undark.sensor.shading import Shading

Facts = dict[str, Any]

_LEFT_OUT = ("plane", "merged")
"""The pixels, and the noise of a merge, which has a number for each of them and is in no file."""


def facts_of(mosaic: Mosaic) -> Facts:
    """The fields of a mosaic by name."""
    kept = (f.name for f in fields(mosaic) if f.name not in _LEFT_OUT)
    return {name: _plain(getattr(mosaic, name)) for name in kept}


def mosaic_of(plane: NDArray[np.uint16], facts: Facts) -> Mosaic:
    """The mosaic that has this plane and these facts of `facts_of`, read from JSON or not."""
    calibrated, matrix = facts["calibrated"], facts["camera_from_xyz"]
    made = {
        "cfa": CFA(_tuples(facts["cfa"]["rows"])),
        "black": _array(facts["black"]),
        "white_balance": _array(facts["white_balance"]),
        "camera_from_xyz": None if matrix is None else _array(matrix),
        "default_crop": _tuples(facts["default_crop"]),
        "noise_profile": _tuples(facts["noise_profile"]),
        "shot": _shot(facts["shot"]),
        "calibrated": calibrated and NoiseModel(**calibrated),
        "shading": _shading(facts["shading"]),
        "offsets": _lines(facts["offsets"]),
        "masked": _masked(facts["masked"]),
    }
    return Mosaic(plane, **(facts | made))


def _plain(value: Any) -> Any:
    """Dataclasses as dictionaries, arrays and tuples as lists, times as text."""
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _array(numbers: Any) -> NDArray[np.float32]:
    return np.array(numbers, np.float32)


def _tuples(value: Any) -> Any:
    """Lists, and lists in them, as tuples; other values as they are."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _shot(facts: Facts) -> Shot:
    taken, gps = facts["taken"], facts["gps"]
    made = {"taken": taken and datetime.fromisoformat(taken), "gps": gps and GPS(**gps)}
    return Shot(**(facts | made))


def _shading(facts: Facts | None) -> Shading | None:
    if facts is None:
        return None
    return Shading(_array(facts["grid"]), _tuples(facts["origin"]), _tuples(facts["step"]))


def _lines(facts: Facts | None) -> LineOffsets | None:
    if facts is None:
        return None
    return LineOffsets(_array(facts["rows"]), _array(facts["columns"]))


def _masked(facts: Facts | None) -> MaskedLines | None:
    if facts is None:
        return None
    return MaskedLines(**(facts | {"means": _lines(facts["means"])}))
