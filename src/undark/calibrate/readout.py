"""Measured on dark frames: black level, dark shading, row noise, read noise and its distribution.

The order is that of Wei et al. (TPAMI 2021) and Feng et al. (TPAMI 2023): subtract the mean dark
frame's smooth part, take the rows' offsets from the rest, then fit what is left. All of it is
measured in single frames, so a pixel's own fixed offset, which a photo has too, counts as read
noise; hot pixels do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from undark.calibrate.distributions import Shape, fit_shape, unrounded_sigma
from undark.calibrate.photons import pair_points, single_points, typical_variance
from undark.calibrate.survey import Frame, middle, positions, without_hot
from undark.files.raw import read_uncalibrated
from undark.sensor.mosaic import Mosaic
from undark.sensor.shading import Shading

Values = NDArray[np.float64]

_COARSE = 0.6
"""Read noise in quantisation steps below which rounding is not just noise of step²/12."""
_SAMPLE = 50_000
"""Pixels of one frame that the distribution is fitted to."""
_STANDS_OUT = 2.0
"""Mean square of the shading from which it is kept, in that of its own error."""


@dataclass(frozen=True, eq=False)
class Readout:
    """The dark frames of one ISO. DN."""

    black: Values
    """(period, period) error of the file's black level."""
    shading: NDArray[np.float32] | None
    """(period, period, rows, columns); None where it is below twice its error."""
    read: float
    row: float
    column: float
    """Standard deviation of the columns' fixed offsets; not in the noise model."""
    bias: float
    shape: Shape
    """The distribution of the read noise; Gaussian where rounding hides it."""
    pair_variance: float
    """Variance of a pixel from frame to frame, with rounding, without rows; `pair_points`."""
    single_variance: float
    """The same between neighbours; `single_points`."""
    spectrum: Values
    """(n,) amplitude of the rows' offsets over frequency, DN; see `row_spectrum`."""
    crushed: float
    """Share of pixels at DN 0."""


@dataclass(frozen=True, eq=False)
class _Residual:
    """One dark frame without black, shading and hot pixels."""

    pixel: float
    """Read noise."""
    row: float
    """Variance of rows' offsets."""
    blacks: Values
    """(period²,) mean of each position."""
    black_error: float
    """Variance of `blacks` that pixels and rows explain."""
    rows: Values
    columns: Values
    sample: NDArray[np.float32]


def measure_darks(frames: list[Frame]) -> Readout:
    """All dark frames of one ISO; each is read once more. Raises `ReadError`."""
    black, shading = _black(frames), _shading(frames)
    residuals, pairs, singles = list[_Residual](), list[float](), list[float]()
    before: Mosaic | None = None
    for frame in frames:
        mosaic = read_corrected(frame.path, black, shading)
        residuals.append(_residual(mosaic, frame.step))
        singles.append(typical_variance(single_points(mosaic)))
        if before is not None:
            pairs.append(typical_variance(pair_points(before, mosaic)))
        before = mosaic
    row = max(float(np.mean([r.row for r in residuals])), 0.0)
    blacks = np.array([r.blacks for r in residuals])
    chance = float(np.mean([r.black_error for r in residuals]))
    spread = float(blacks.var(axis=0, ddof=1).mean()) if len(frames) > 1 else 0.0
    columns = np.mean([r.columns for r in residuals], axis=0)
    read = float(np.sqrt(np.mean([r.pixel**2 for r in residuals])))
    by_chance = (read**2 + frames[0].step ** 2 / 12) / len(residuals[0].rows) / len(frames)
    shape = fit_shape([r.sample for r in residuals], frames[0].step)
    return Readout(
        black=black,
        shading=shading,
        read=read,
        row=row**0.5,
        column=max(float(columns.var()) - by_chance, 0.0) ** 0.5,
        bias=max(spread - chance, 0.0) ** 0.5,
        shape=replace(shape, tukey=None) if read < _COARSE * frames[0].step else shape,
        pair_variance=float(np.mean(pairs)) if pairs else float(np.mean(singles)),
        single_variance=float(np.mean(singles)),
        spectrum=row_spectrum([r.rows for r in residuals]),
        crushed=max(frame.crushed for frame in frames),
    )


def read_corrected(path: Path, black: Values, shading: NDArray[np.float32] | None) -> Mosaic:
    """The middle of a frame with black level and dark shading as measured. Raises `ReadError`."""
    mosaic = read_uncalibrated(path)
    grid = None if shading is None else Shading.over_frame(shading, mosaic.shape)
    level = mosaic.black + black.astype(np.float32)
    return middle(mosaic.replace(black=level, shading=grid))


def row_spectrum(rows: list[Values]) -> Values:
    """(n,) root mean square amplitude in DN of the rows' offsets at each frequency, over frames.

    From one cycle in the rows measured to just below half a cycle a row, which the levels of the
    CFA's positions take out. White row noise is flat, bands are peaks.
    """
    power = [np.abs(np.fft.rfft(r)[1:-1]) ** 2 / len(r) for r in rows]
    spectrum: Values = np.sqrt(np.mean(power, axis=0))
    return spectrum


def _black(frames: list[Frame]) -> Values:
    mean: Values = np.mean([frame.means for frame in frames], axis=0)
    return mean


def _shading(frames: list[Frame]) -> NDArray[np.float32] | None:
    """The mean of the cells, each position's own level taken out; see `_STANDS_OUT`."""
    if len(frames) < 2:
        return None
    cells = np.array([f.cells - f.means[..., None, None] for f in frames], np.float64)
    grid = cells.mean(axis=0)
    error = cells.var(axis=0, ddof=1).mean() / len(frames)
    return grid.astype(np.float32) if (grid**2).mean() > _STANDS_OUT * error else None


def _residual(mosaic: Mosaic, step: int) -> _Residual:
    planes = {place: without_hot(plane) for place, plane in positions(mosaic).items()}
    blacks = np.array([plane.mean(dtype=np.float64) for plane in planes.values()])
    period, (height, width) = mosaic.cfa.period, mosaic.shape
    whole = np.empty((height, width), np.float32)
    for (y, x), level in zip(planes, blacks, strict=True):
        whole[y::period, x::period] = planes[y, x] - np.float32(level)
    rows = whole.mean(axis=1, dtype=np.float64)
    whole -= rows[:, None].astype(np.float32)
    variance = float(np.mean(whole.astype(np.float64) ** 2)) * width / (width - 1)
    row = float(rows.var()) - variance / width
    stride = max(1, whole.size // _SAMPLE) | 1  # odd: all positions of the CFA
    return _Residual(
        pixel=_read_noise(mosaic, variance, step),
        row=row,
        blacks=blacks,
        black_error=variance / (whole.size / period**2) + max(row, 0.0) * period / height,
        rows=rows,
        columns=whole.mean(axis=0, dtype=np.float64),
        sample=whole.ravel()[::stride].copy(),
    )


def _read_noise(mosaic: Mosaic, variance: float, step: int) -> float:
    """Standard deviation before rounding to whole steps; `variance` is that after it."""
    simple = math.sqrt(max(variance - step**2 / 12, 0.0))
    if simple >= _COARSE * step:
        return simple
    points = single_points(mosaic.replace(black=np.zeros_like(mosaic.black), shading=None))
    points = points.chosen(points.variance < 2 * step**2)  # without hot pixels
    offset = int(mosaic.plane.min()) % step
    return unrounded_sigma(points.mean - offset, points.variance, step)
