"""Regression over ISO, and where the sensor switches its conversion gain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from undark.sensor.profiles.calibration import Law, Setting

_DROP = 0.8
"""Read noise of the next ISO, in this one's, below which the conversion gain switched between."""
_BREAK = 0.7
"""The same in what the two ISOs before lead to expect, where there are two."""
_LEAST_ERROR = 0.005
"""Of a gain, as a share: light and electronics vary more than many blocks' statistics."""


def fit_laws(settings: Sequence[Setting]) -> tuple[Law, ...]:
    """The law of each range of ISO between switches of the conversion gain.

    ln gain = slope · ln ISO + intercept; read and row noise = a · gain + b, neither negative.
    Ranges in which no gain was measured take the law of all. Raises `ValueError` without any.
    """
    everywhere = _gain_law(settings)
    ends = switches(settings)
    ranges = _ranges([s.iso for s in settings], ends)
    laws = []
    for low, high in ranges:
        own = [s for s in settings if low <= s.iso <= high]
        measured = sum(s.gain is not None for s in own)
        gain = _gain_law(own) if measured > 1 or len(ranges) == 1 else everywhere
        law = Law(low, high, gain, (0.0, 0.0), (0.0, 0.0))
        laws.append(replace(law, read=_line(law, own, "read"), row=_line(law, own, "row")))
    return tuple(laws)


def switches(settings: Sequence[Setting]) -> list[tuple[float, float]]:
    """Pairs of neighbouring ISOs between which the read noise breaks.

    Within one conversion gain read noise in DN grows with the gain, or stays. Where it falls, or
    is far below what the two ISOs before lead to expect (in logarithms), the gain switched.
    """
    everywhere = _gain_law(settings)
    dark = [s for s in settings if s.read is not None and s.read > 0]
    found, before = list[tuple[float, float]](), list[tuple[float, float]]()
    for this, following in pairwise(dark):
        before.append((_log_gain(everywhere, this.iso), math.log(this.read or 1)))
        at, noise = _log_gain(everywhere, following.iso), math.log(following.read or 1)
        expected, least = before[-1][1], _DROP
        if len(before) > 1:
            (x0, y0), (x1, y1) = before[-2:]
            slope = min(max((y1 - y0) / (x1 - x0), 0.0), 1.0)
            expected, least = y1 + slope * (at - x1), _BREAK
        if noise - expected < math.log(least) or noise - before[-1][1] < math.log(_DROP):
            found.append((this.iso, following.iso))
            before = []
    return found


def _ranges(
    isos: Sequence[float], ends: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    lows = [isos[0], *(high for _, high in ends)]
    highs = [*(low for low, _ in ends), isos[-1]]
    return list(zip(lows, highs, strict=True))


def _log_gain(law: tuple[float, float], iso: float) -> float:
    return law[0] * math.log(iso) + law[1]


def _gain_law(settings: Sequence[Setting]) -> tuple[float, float]:
    """(slope, intercept); slope 1 for one ISO alone. Raises `ValueError` without any gain."""
    known = [s for s in settings if s.gain is not None]
    if not known:
        raise ValueError("no gain was measured")
    x = np.log([s.iso for s in known])
    y = np.log([s.gain or 1.0 for s in known])
    weight = np.array([1 / max(s.gain_error or 0.0, _LEAST_ERROR) ** 2 for s in known])
    weight /= weight.sum()
    slope = 1.0
    if len(known) > 1:
        spread = x - weight @ x
        slope = float((weight * spread * y).sum() / (weight * spread**2).sum())
    return slope, float(weight @ (y - slope * x))


def _line(law: Law, settings: Sequence[Setting], name: str) -> tuple[float, float]:
    """(a, b) of a · gain + b, both 0 or more, of least relative error; a alone for one ISO."""
    known = [(law.at(s.iso)["gain"], v) for s in settings if (v := getattr(s, name)) is not None]
    positive = [(gain, value) for gain, value in known if value > 0]
    if not positive:
        return 0.0, 0.0
    gains, values = np.array(positive).T
    if len(positive) == 1:
        return float(values[0] / gains[0]), 0.0
    a, b = np.linalg.lstsq(
        np.stack([gains / values, 1 / values], axis=1), np.ones(len(values)), rcond=None
    )[0].tolist()
    if a < 0:
        return 0.0, float((1 / values).sum() / (1 / values**2).sum())
    if b < 0:
        return float((gains / values).sum() / ((gains / values) ** 2).sum()), 0.0
    return float(a), float(b)
