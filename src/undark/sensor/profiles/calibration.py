"""A camera's profile from the user's own dark frames and flats, as `undark calibrate` writes it.

Between ISO settings that were measured it follows the camera's law: ln gain linear in ln ISO,
read and row noise linear in gain, other laws on the two sides of a switch of the conversion gain.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from undark.sensor.cfa import CFA
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel
from undark.sensor.shading import Shading

FORMAT = "undark camera profile 1"
_SAME_SPAN = 0.25
"""Largest difference of a photo's span from the profile's, as a share; 12 and 14 bits differ by 4.

Cameras set their white level by ISO, which changes no DN below it."""

Positions = tuple[tuple[float, ...], ...]
"""A number for each position of the CFA's period."""


@dataclass(frozen=True)
class Setting:
    """What was measured at one ISO; None where the frames for it were missing. In DN."""

    iso: float
    darks: int
    """Dark frames that were used."""
    flats: int
    gain: float | None = None
    """DN per electron."""
    gain_error: float | None = None
    """Standard error of `gain`, as a share of it."""
    read: float | None = None
    """Standard deviation of a pixel of one dark frame without row offsets, rounding not counted."""
    shape: float | None = None
    """Tukey-lambda shape of the read noise; None: Gaussian."""
    row: float | None = None
    """Standard deviation of rows' offsets."""
    bias: float | None = None
    """Standard deviation of the black level at each position from frame to frame."""
    black: Positions | None = None
    """Error of the file's black level at each position: to add to it."""
    shading: tuple[tuple[tuple[tuple[float, ...], ...], ...], ...] | None = None
    """(period, period, rows, columns): see `sensor.shading`; None: none that stands out."""


@dataclass(frozen=True)
class Law:
    """How noise follows the ISO from `low` to `high`, within one conversion gain."""

    low: float
    high: float
    gain: tuple[float, float]
    """(slope, intercept) of ln gain over ln ISO."""
    read: tuple[float, float]
    """(a, b): read noise = a · gain + b."""
    row: tuple[float, float]
    """(a, b) of the row noise."""

    def at(self, iso: float) -> dict[str, float]:
        """Gain, read and row noise."""
        gain = math.exp(self.gain[0] * math.log(iso) + self.gain[1])
        read, row = (max(a * gain + b, 0.0) for a, b in (self.read, self.row))
        return {"gain": gain, "read": read, "row": row}


@dataclass(frozen=True)
class Calibration:
    """One camera's noise, black level and dark shading over ISO."""

    make: str
    model: str
    cfa: str
    """`CFA.name`."""
    size: tuple[int, int]
    """(H, W) of the frames."""
    span: float
    """DN from black to white."""
    step: float
    """Quantisation step, DN."""
    black_source: str
    """`Mosaic.black_source` of the frames: what `Setting.black` is added to."""
    settings: tuple[Setting, ...]
    """ISO ascending."""
    laws: tuple[Law, ...]
    """ISO ascending; more than one where the conversion gain switches."""

    @property
    def iso_range(self) -> tuple[float, float]:
        """The lowest and the highest ISO that were measured."""
        return self.settings[0].iso, self.settings[-1].iso

    def at(self, iso: float, span: float | None = None) -> NoiseModel:
        """The noise at an ISO setting, for a sensor of `span` DN; by default this one's.

        At ISOs that were measured it is what was measured there; between and beyond them the
        law, multiplied by what the nearest measurements differ from it.
        """
        law, near = self._near(iso)
        values = law.at(iso)
        for name, value in values.items():
            known = [
                (s.iso, v / max(law.at(s.iso)[name], 1e-9))
                for s in near
                if (v := getattr(s, name)) is not None
            ]
            values[name] = value * (_between(iso, known) if known else 1.0)
        shapes = [(s.iso, 0.14 if s.shape is None else s.shape) for s in near if s.read is not None]
        heavy = any(s.shape is not None for s in near)
        model = NoiseModel(
            gain=max(values["gain"], 1e-9),
            read=values["read"],
            shape=_between(iso, shapes) if heavy else None,
            row=values["row"],
            bias=_between(iso, [(s.iso, s.bias) for s in near if s.bias is not None] or [(1, 0)]),
            step=self.step,
        )
        return model if span is None else model.scaled(span / self.span)

    def law_at(self, iso: float) -> Law:
        """The law of the range that an ISO lies in, or that is nearest to it."""

        def away(law: Law) -> float:
            return max(math.log(law.low / iso), math.log(iso / law.high), 0.0)

        return min(self.laws, key=away)

    def black_at(self, iso: float) -> NDArray[np.float32] | None:
        """(period, period) DN to add to the file's black level; None: unknown."""
        return self._array(iso, lambda s: s.black, lambda s: s.black is not None)

    def shading_at(self, iso: float) -> NDArray[np.float32] | None:
        """(period, period, rows, columns) DN; None where there is none."""
        if all(s.shading is None for s in self.settings):
            return None
        some = next(s.shading for s in self.settings if s.shading is not None)
        none = np.zeros(np.shape(some))
        return self._array(
            iso, lambda s: none if s.shading is None else s.shading, lambda s: s.black is not None
        )

    def mismatch(self, mosaic: Mosaic) -> str | None:
        """Why the profile is not for the sensor of a photo; None if it is."""
        shot = mosaic.shot
        if (self.make, self.model) != (shot.make or "", shot.model or ""):
            return f"of a {self.model}, the photo is of a {shot.camera}"
        if self.cfa != mosaic.cfa.name:
            return f"its filters are {self.cfa}, the photo's {mosaic.cfa.name}"
        if abs(mosaic.span / self.span - 1) > _SAME_SPAN:
            return f"its range is {self.span:.0f} DN, the photo's {mosaic.span:.0f}"
        return None

    def applied(self, mosaic: Mosaic) -> Mosaic:
        """A photo of this camera with its noise, black level and dark shading.

        Unchanged where its ISO is unknown. Shading is for frames of the calibration's size only.
        """
        iso = mosaic.shot.iso
        if not iso or iso <= 0:
            return mosaic
        black, grid = self.black_at(iso), self.shading_at(iso)
        done = mosaic.replace(calibrated=self.at(iso))
        if black is None or mosaic.black_source != self.black_source:
            return done
        if grid is not None and mosaic.shape == self.size:
            done = done.replace(shading=Shading.over_frame(grid, mosaic.shape))
        source = f"{mosaic.black_source}, corrected by your calibration"
        return done.replace(black=mosaic.black + black, black_source=source)

    def to_json(self) -> str:
        """The profile as text; numbers to five digits."""
        return json.dumps({"format": FORMAT} | _rounded(asdict(self)))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises `ValueError` for what is not such a profile."""
        try:
            made: Self = _parsed(cls, json.loads(text))
            made._check()
        except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise ValueError("not a camera profile") from error
        return made

    def _check(self) -> None:
        """Raises `ValueError` where a number makes no sense."""
        numbers = [n for s in self.settings for n in (s.gain, s.read, s.row, s.bias)]
        numbers += [self.span, self.step, *(s.iso for s in self.settings)]
        numbers += [
            law.at(s.iso)[name]
            for law in self.laws
            for s in self.settings
            for name in ("gain", "read", "row")
        ]
        known = [n for n in numbers if n is not None]
        period = CFA.from_name(self.cfa).period
        blacks = [np.asarray(s.black, float) for s in self.settings if s.black is not None]
        grids = [np.asarray(s.shading, float) for s in self.settings if s.shading is not None]
        fits = [b.shape == (period, period) for b in blacks]
        fits += [
            g.ndim == 4 and min(g.shape) > 1 and g.shape == (period, period, *grids[0].shape[2:])
            for g in grids
        ]
        finite = all(np.isfinite(a).all() for a in (*blacks, *grids, np.asarray(known)))
        positive = min(known) >= 0 and min(self.span, *(s.iso for s in self.settings)) > 0
        if not (self.settings and self.laws and all(fits) and finite and positive):
            raise ValueError("not a camera profile")

    def _near(self, iso: float) -> tuple[Law, list[Setting]]:
        """The law at an ISO, and the settings that it covers."""
        law = self.law_at(iso)
        return law, [s for s in self.settings if law.low <= s.iso <= law.high]

    def _array(
        self, iso: float, of: Callable[[Setting], Any], has: Callable[[Setting], bool]
    ) -> NDArray[np.float32] | None:
        """Arrays of settings, interpolated in ln ISO."""
        _, near = self._near(iso)
        known = [s for s in near if has(s)] or [s for s in self.settings if has(s)]
        if not known:
            return None
        logs = np.log([s.iso for s in known])
        shares = [np.interp(math.log(iso), logs, row) for row in np.eye(len(known))]
        summed = sum(w * np.asarray(of(s), np.float64) for w, s in zip(shares, known, strict=True))
        return np.asarray(summed, np.float32)


def _between(iso: float, known: Iterable[tuple[float, float]]) -> float:
    """Interpolated in ln ISO, constant outside."""
    isos, values = zip(*known, strict=True)
    return float(np.interp(math.log(iso), np.log(isos), values))


def _rounded(value: Any) -> Any:
    """Numbers of five digits in what JSON can hold."""
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _parsed(cls: type[Any], known: dict[str, Any]) -> Any:
    if known.pop("format") != FORMAT:
        raise ValueError("not a camera profile of this version")
    known = _tuples(known)
    known["settings"] = tuple(Setting(**s) for s in known["settings"])
    known["laws"] = tuple(Law(**law) for law in known["laws"])
    return cls(**known)


def _tuples(value: Any) -> Any:
    """JSON's lists as tuples."""
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
