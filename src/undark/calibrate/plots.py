"""The sheet of plots: photon transfer, noise over ISO, and of each ISO its residuals and rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from undark.calibrate.axes import COLOURS, Panel
from undark.calibrate.measure import Measured
from undark.calibrate.photons import Points
from undark.sensor.profiles.calibration import Calibration

_BINS = 24


def draw_plots(calibration: Calibration, measured: Sequence[Measured]) -> NDArray[np.uint8]:
    """(H, W, 3): two panels for the camera, then two for each ISO with dark frames."""
    panels = [_transfer(measured), _over_iso(calibration, measured)]
    for one in measured:
        if one.readout is not None:
            panels += [_residuals(one), _rows(one)]
    pictures = [panel.picture() for panel in panels]
    rows = [np.concatenate(pictures[i : i + 2], axis=1) for i in range(0, len(pictures), 2)]
    return np.concatenate(rows)


def _transfer(measured: Sequence[Measured]) -> Panel:
    panel = Panel("Photon transfer", "mean above black, DN", "variance, DN²", log=(True, True))
    for number, one in enumerate(measured):
        if one.points is None or one.transfer is None:
            continue
        colour = COLOURS[number % len(COLOURS)]
        mean, variance = _binned(one.points)
        panel.dots(mean, variance, colour, f"ISO {one.setting.iso:g}")
        at = np.geomspace(max(mean.min() / 30, 0.5), mean.max(), 60)
        t = one.transfer
        panel.line(at, t.gain * at + (t.uneven * at) ** 2 + t.at_black, colour)
    return panel


def _binned(points: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means of mean and variance in bins of equal number."""
    bins = np.array_split(np.argsort(points.mean), min(_BINS, len(points.mean)))
    mean, variance = (np.array([v[b].mean() for b in bins]) for v in (points.mean, points.variance))
    return mean, np.maximum(variance, 1e-3)


def _over_iso(calibration: Calibration, measured: Sequence[Measured]) -> Panel:
    panel = Panel("Noise over ISO, with its law", "ISO", "DN", log=(True, True))
    names = (("gain", "gain (DN per electron)"), ("read", "read noise"), ("row", "row noise"))
    for colour, (name, title) in zip(COLOURS, names, strict=False):
        known = [(m.setting.iso, v) for m in measured if (v := getattr(m.setting, name))]
        if not known:
            continue
        isos, values = np.array(known).T
        panel.dots(isos, values, colour, title)
        for law in calibration.laws:
            at = np.geomspace(law.low / 1.2, law.high * 1.2, 40)
            panel.line(at, np.maximum([law.at(float(iso))[name] for iso in at], 1e-6), colour)
    return panel


def _residuals(one: Measured) -> Panel:
    assert one.readout is not None
    shape = one.readout.shape
    kind = "Gaussian" if shape.tukey is None else f"Tukey-lambda {shape.tukey:.2f}"
    panel = Panel(
        f"ISO {one.setting.iso:g}: read noise against {kind}",
        f"{kind}, sigma (correlation {max(shape.gaussian_fit, shape.tukey_fit):.5f})",
        "measured, sigma",
    )
    expected = shape.expected()
    panel.line(expected[[0, -1]], expected[[0, -1]], COLOURS[1])
    panel.dots(expected[::5], shape.quantiles[::5], COLOURS[0])
    return panel


def _rows(one: Measured) -> Panel:
    assert one.readout is not None
    spectrum = one.readout.spectrum
    cycles = np.arange(1, len(spectrum) + 1) / (2 * len(spectrum))
    panel = Panel(f"ISO {one.setting.iso:g}: spectrum of the rows' offsets", "cycles per row", "DN")
    panel.line(cycles, spectrum, COLOURS[0])
    panel.line(cycles[[0, -1]], np.full(2, float(np.sqrt((spectrum**2).mean()))), COLOURS[1])
    return panel
