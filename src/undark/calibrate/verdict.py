"""What of a calibration is sure, and what is missing, in lines for the user."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from undark.calibrate.measure import Measured
from undark.sensor.profiles.calibration import Calibration, Law, Setting

ENOUGH_DARKS = 10
"""Dark frames at an ISO: rows' noise is then known to 2 % on a frame of 1,000 rows."""
_SURE = 0.02
"""Standard error of a gain that is called sure."""
_OFF_LAW = 0.05
"""Distance of a gain from the law over ISO that is worth a line."""
_COLOURS_DIFFER = 0.04
"""Range of the gains of the CFA's positions, as a share, from which the file was scaled."""
_CRUSHED = 0.005
"""Share of dark pixels at DN 0 from which the noise below black is cut off."""
_FINE = 0.5
"""Read noise in quantisation steps below which it cannot be measured."""
_BLACK_MOVES = 0.5
"""Spread of the black level between frames, in read noises, that is worth a line."""


@dataclass(frozen=True)
class Verdict:
    """Lines for the user."""

    sure: tuple[str, ...]
    missing: tuple[str, ...]


def judge(calibration: Calibration, measured: Sequence[Measured]) -> Verdict:
    """The verdict on what was measured."""
    sure, missing = list[str](), list[str]()
    for one in measured:
        found = [*_gain_gaps(one, calibration), *_dark_gaps(one, calibration)]
        missing += [f"ISO {one.setting.iso:g}: {line}" for line in found]
        if not found:
            sure.append(f"ISO {one.setting.iso:g}: gain, read noise, row noise and black level")
    for law, following in pairwise(calibration.laws):
        sure.append(
            f"the conversion gain switches between ISO {law.high:g} and {following.low:g}: "
            "each side has its own law"
        )
        missing.append(
            f"where between ISO {law.high:g} and {following.low:g} it switches: "
            "ISOs there are taken for the nearer side; add frames to place it"
        )
    missing += list(_range_gaps(calibration))
    return Verdict(tuple(sure), tuple(missing))


def line_of(one: Measured) -> str:
    """One ISO's values in a line."""
    s, parts = one.setting, list[str]()
    if s.gain is not None:
        how = f"{one.pairs} pairs of flats" if one.pairs else f"{s.flats} single flats"
        error = 100 * (s.gain_error or 0)
        parts.append(f"gain {s.gain:.4g} DN per electron ±{error:.2g} % ({how})")
    if one.readout is not None and s.read is not None:
        electrons = f" = {s.read / s.gain:.2g} electrons" if s.gain else ""
        kind = "Gaussian" if s.shape is None else f"Tukey-lambda {s.shape:.2f}"
        black = ", ".join(f"{level:+.2f}" for level in one.readout.black.ravel()[:4])
        more = ", ..." if one.readout.black.size > 4 else ""
        grid = one.readout.shading
        shaded = "no shading" if grid is None else f"shading of {np.ptp(grid):.2g} DN"
        parts.append(
            f"read noise {s.read:.3g} DN{electrons} ({kind}), rows {s.row or 0:.3g} DN, "
            f"columns {one.readout.column:.2g} DN, black {black}{more} DN, {shaded} "
            f"({s.darks} dark frames)"
        )
    return f"ISO {s.iso:g}: {'; '.join(parts) or 'nothing could be measured'}"


def law_lines(laws: Sequence[Law]) -> list[str]:
    """The regression over ISO in words."""
    return [
        f"ISO {law.low:g} to {law.high:g}: gain = {math.exp(law.gain[1]):.4g} · ISO^"
        f"{law.gain[0]:.4g}, read noise = {law.read[0]:.4g} · gain + {law.read[1]:.4g} DN, "
        f"row noise = {law.row[0]:.4g} · gain + {law.row[1]:.4g} DN"
        for law in laws
    ]


def _gain_gaps(one: Measured, calibration: Calibration) -> Iterator[str]:
    s, transfer = one.setting, one.transfer
    if s.gain is None or transfer is None:
        what = "no flats" if not s.flats else "too few blocks of the flats below saturation"
        yield f"{what}; the gain is that of the law over ISO"
        return
    if (s.gain_error or 0) > _SURE:
        yield f"the gain is known to {100 * (s.gain_error or 0):.1f} % only; add pairs of flats"
    if not one.pairs:
        yield (
            "single flats only, in which pixels' unequal sensitivity looks like noise; "
            "add a second flat at equal settings to each"
        )
    gains = transfer.by_position
    if np.ptp(gains) > max(_COLOURS_DIFFER, 8 * (s.gain_error or 0)) * s.gain:
        shown = ", ".join(f"{gain:.3g}" for gain in gains[:4])
        yield f"gains of the filter's positions differ ({shown}): was white balance applied?"
    off = s.gain / _law_at(calibration, s)["gain"] - 1
    if abs(off) > _OFF_LAW:
        yield f"the gain is {100 * off:+.0f} % off the law over ISO; check the flats' light"


def _dark_gaps(one: Measured, calibration: Calibration) -> Iterator[str]:
    s, readout = one.setting, one.readout
    if readout is None or s.read is None:
        yield "no dark frames; read and row noise are those of the law over ISO"
        return
    if s.darks < ENOUGH_DARKS:
        yield f"{s.darks} dark frames; {ENOUGH_DARKS} or more give row noise and shading surely"
    if readout.crushed > _CRUSHED:
        yield (
            f"{100 * readout.crushed:.0f} % of the dark pixels are at 0: the camera cut the noise "
            "below black off, so read noise and black level are too rough"
        )
    if s.read < _FINE * calibration.step:
        yield "the read noise is below half a step of the data: measured only where black is even"
    if readout.bias > _BLACK_MOVES * s.read and readout.bias > 1:
        yield f"black differs by {readout.bias:.1f} DN between dark frames; is one not dark?"


def _range_gaps(calibration: Calibration) -> Iterator[str]:
    if len(calibration.settings) == 1:
        yield "one ISO alone: at others the noise is scaled with the ISO"
    if calibration.step > 1:
        yield f"the data come in steps of {calibration.step:g} DN: nothing finer can be measured"


def _law_at(calibration: Calibration, setting: Setting) -> dict[str, float]:
    return calibration.law_at(setting.iso).at(setting.iso)
