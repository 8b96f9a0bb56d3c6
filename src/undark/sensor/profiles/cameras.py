"""The noise of real cameras by ISO, from published measurements.

`scripts/camera_table.py` makes `cameras.json` and names the sources; each camera carries its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from undark.sensor.noise import NoiseModel

_POSITIVE = ("gain", "read", "row", "bias")


@dataclass(frozen=True)
class CameraNoise:
    """One camera's measured noise: `settings` in DN of a sensor of `span` DN from black to white.

    Settings are (iso, gain, read, row, bias, shape), ISO ascending.
    """

    make: str
    models: tuple[str, ...]
    source: str
    span: float
    settings: tuple[dict[str, float | None], ...]

    @property
    def iso_range(self) -> tuple[float, float]:
        """The lowest and the highest ISO that were measured."""
        isos = [float(s["iso"] or 0) for s in self.settings]
        return isos[0], isos[-1]

    def at(self, iso: float, span: float | None = None) -> NoiseModel:
        """The noise at an ISO setting, for a sensor of `span` DN from black to white.

        Interpolates in ln ISO. Outside the measured range all parts scale with the ISO, as by
        digital amplification.
        """
        low, high = self.iso_range
        inside = min(max(iso, low), high)
        values = {name: self._interpolate(name, inside) for name in _POSITIVE}
        shape = None if self.settings[0]["shape"] is None else self._shape(inside)
        model = NoiseModel(**values, shape=shape)
        return model.scaled(iso / inside * (span or self.span) / self.span)

    def _interpolate(self, name: str, iso: float) -> float:
        isos = np.log([s["iso"] or 0.0 for s in self.settings])
        floor = 1e-6  # stands for 0, which has no logarithm
        logs = np.log([max(s[name] or 0.0, floor) for s in self.settings])
        value = float(np.exp(np.interp(np.log(iso), isos, logs)))
        return 0.0 if value <= 2 * floor else value

    def _shape(self, iso: float) -> float:
        isos = np.log([s["iso"] or 0.0 for s in self.settings])
        return float(np.interp(np.log(iso), isos, [s["shape"] or 0.0 for s in self.settings]))


@cache
def cameras() -> tuple[CameraNoise, ...]:
    """All cameras of the table."""
    table = json.loads(files("undark.sensor.profiles").joinpath("cameras.json").read_text())[
        "cameras"
    ]
    return tuple(
        CameraNoise(c["make"], tuple(c["models"]), c["source"], c["span"], tuple(c["settings"]))
        for c in table
    )


def find_camera(model: str | None) -> CameraNoise | None:
    """The camera whose EXIF model this is, or None."""
    wanted = (model or "").strip().lower()
    named = (c for c in cameras() if wanted in (name.lower() for name in c.models))
    return next(named, None) if wanted else None
