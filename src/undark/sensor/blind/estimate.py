"""The estimate of a frame's noise from its own pixels, put together."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from undark.sensor.blind.black import Black, find_black
from undark.sensor.blind.blocks import Blocks, Haar, haar, sample_blocks
from undark.sensor.blind.flat import Line, Points, block_levels, fit_line, variances
from undark.sensor.blind.offsets import Offsets, column_offsets, row_offsets
from undark.sensor.blind.steps import Steps, find_steps
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel
from undark.sensor.offsets import LineOffsets

LEAST_GAIN = 3e-6
"""DN per electron as a share of the span: a full well of 330,000 electrons, more than any has."""
_LEAST_READ = 0.3
"""Read noise in DN: no converter has less."""
_BLACK_ERROR = 5e-5
"""Usual error of the black level at a position of the CFA, as a share of the span: 0.8 DN of 14
bits (of the cameras measured for ELD by Wei et al., 2020)."""
_ROUGHLY = 700_000
"""Pixels that suffice for the noise by which offsets are found."""
_BRIGHTEST = 0.9
"""Share of the span above which pixels are clipped at white."""
_DITHER = 0.45
"""Sigma in steps below which steps hide the noise: half of one, less the estimate's scatter."""
_FAR = 0.3
"""Natural logarithm of the ratio of two sigmas that contradict each other."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """The noise of a frame, estimated from its own pixels. All sizes are in DN."""

    noise: NoiseModel
    """What is left once `correct` has been applied; see `uncorrected`."""
    row_offsets: NDArray[np.float32] | None
    """(H,); None where none were found."""
    column_offsets: NDArray[np.float32] | None
    """(W,)"""
    black_errors: NDArray[np.float32]
    """(period, period): how far the true black level is above the file's."""
    rows: float
    """Standard deviation of the rows' offsets."""
    columns: float
    black: float
    """Standard deviation of the black level's error between positions of one colour."""
    step: float
    """Width of a level of the converter."""
    level: float
    """Median level of the frame, DN above the corrected black."""
    error: float
    """Relative standard error of sigma at `level`; infinite where it cannot be estimated."""
    noise_source: str
    """"flat blocks", "file's noise profile", ..."""
    black_source: str
    """"masked border", "flat blocks" or "tag"."""
    doubts: tuple[str, ...] = ()
    """Reasons why the estimate is less certain than `error`, to be shown to the user."""
    own: bool = True
    """Whether gain and read noise are from the photo's own pixels."""
    masked_lines: bool = False
    """Whether offsets of rows or columns are from the masked border too."""

    @property
    def uncorrected(self) -> NoiseModel:
        """The noise of the uncorrected frame; offsets of columns count with those of rows."""
        return replace(self.noise, row=math.hypot(self.rows, self.columns), bias=self.black)

    @property
    def trust(self) -> str:
        """How sure sigma is, as text."""
        if math.isinf(self.error):
            return "not known"
        return f"known to ±{max(100 * self.error, 0.1):.2g} %"

    def correct(self, mosaic: Mosaic) -> Mosaic:
        """The frame whose `signal` has neither the offsets nor the black-level errors."""
        found = LineOffsets.of(mosaic.shape, self.row_offsets, self.column_offsets)
        offsets = found + mosaic.offsets if found and mosaic.offsets else found or mosaic.offsets
        black = mosaic.black + self.black_errors
        return mosaic.replace(black=black, black_source=self.black_source, offsets=offsets)


def estimate(mosaic: Mosaic) -> Estimate:
    """Noise, offsets of rows and columns, black-level errors and steps of a dark frame.

    The diagonal differences of 2 × 2 pixels of one position hold noise and little else. In the
    flattest blocks their mean square at each brightness is the variance there, and
    variance = gain · level + variance at black is fitted through (after Foi et al., "Practical
    Poissonian-Gaussian noise modeling and fitting for single-image raw-data", 2008). It contains
    the steps' own step²/12. Offsets of rows and columns cancel in it; they are what distant parts
    of a row have in common.
    """
    blocks = sample_blocks(mosaic)
    steps = find_steps(blocks.counts, mosaic.black)
    few = blocks.every(max(1, blocks.counts.size // _ROUGHLY))
    line, _ = _line(few, mosaic, steps, None, None)
    rows = row_offsets(mosaic, line.gain, line.at_black)
    columns = column_offsets(mosaic, line.gain, line.at_black)
    line, level = _line(blocks, mosaic, steps, rows, columns)
    black = _black(blocks, mosaic, level, line, math.hypot(rows.left, columns.left))
    errors = black.errors
    black_source = "flat blocks" if errors.any() else mosaic.black_source
    middle = float(np.median(level - errors.ravel())) if level.size else 0.0
    return Estimate(
        _model(line, steps, rows, columns, black),
        rows.values,
        columns.values,
        errors,
        rows.sigma,
        columns.sigma,
        black.variance**0.5,
        steps.step,
        middle,
        math.inf if _hidden(steps, line) else line.error(middle),
        "flat blocks",
        black_source,
        _doubts(steps, line),
        masked_lines=rows.masked or columns.masked,
    )


def with_known_noise(found: Estimate, known: NoiseModel, source: str) -> Estimate:
    """An estimate whose gain and read noise are known from elsewhere.

    What it found of rows, columns, black and steps stays; a known row noise counts where no
    offsets were found. Where the frame's own noise is far from the known, that is a doubt.
    """
    stripes = found.row_offsets is not None or found.column_offsets is not None
    noise = replace(
        known,
        row=found.noise.row if stripes else known.row,
        step=max(known.step, found.step),
    )
    rows = found.rows if stripes else max(found.rows, float(known.row))
    level = np.float64(found.level)
    ratio = float(found.noise.sigma(level)) / float(noise.sigma(level))
    doubts = found.doubts
    if abs(math.log(ratio)) > max(_FAR, 4 * found.error):
        doubts = (*doubts, f"the photo's own pixels say {ratio:.2g} times this noise")
    return replace(found, noise=noise, rows=rows, noise_source=source, doubts=doubts, own=False)


def estimate_noise(mosaic: Mosaic) -> NoiseModel:
    """The noise of an uncorrected photo, from its own pixels; see `estimate`."""
    return estimate(mosaic).uncorrected


def _line(
    blocks: Blocks,
    mosaic: Mosaic,
    steps: Steps,
    rows: Offsets | None,
    columns: Offsets | None,
) -> tuple[Line, NDArray[np.float64]]:
    """The variance at each brightness, and the level (n, P) of each block."""
    found = LineOffsets.of(
        mosaic.shape, rows.values if rows else None, columns.values if columns else None
    )
    offsets = [one for one in (mosaic.offsets, found) if one]
    signal = blocks.signal(mosaic.black, offsets)
    coefficients = haar(signal)
    level = block_levels(coefficients, steps.step)
    points = _points(coefficients, level, blocks, mosaic, steps)
    least = steps.step**2 / 12 + _LEAST_READ**2
    line = fit_line(points, LEAST_GAIN * mosaic.span, least, _BLACK_ERROR * mosaic.span)
    return line, level.reshape(blocks.counts.shape[:2])


def _points(
    coefficients: Haar,
    level: NDArray[np.float64],
    blocks: Blocks,
    mosaic: Mosaic,
    steps: Steps,
) -> Points:
    low, floor = None, 0.0
    if np.isfinite(steps.floor).any():
        low = (blocks.counts == steps.floor[:, None, None]).reshape(len(level), -1)
        floor = float(np.nanmean(steps.floor - mosaic.black.ravel()))
    return variances(coefficients, level, low, floor, _BRIGHTEST * mosaic.span)


def _black(
    blocks: Blocks, mosaic: Mosaic, level: NDArray[np.float64], line: Line, stripes: float
) -> Black:
    """Black-level errors, of a frame whose black was not measured on a masked border."""
    if mosaic.has_measured_black:
        return Black(np.zeros(mosaic.black.shape, np.float32), 0.0, 0.0)
    side = blocks.counts.shape[-1]
    at = np.stack([blocks.rows, blocks.columns], axis=1).astype(np.float64)
    variance = line.variance(0.0) / side**2
    return find_black(level, mosaic.cfa.pattern, at, variance, stripes)


def _model(line: Line, steps: Steps, rows: Offsets, columns: Offsets, black: Black) -> NoiseModel:
    """The noise once offsets and black-level errors have been subtracted."""
    return NoiseModel(
        line.gain,
        max(line.at_black - steps.step**2 / 12, _LEAST_READ**2) ** 0.5,
        row=math.hypot(rows.left, columns.left),
        bias=black.left**0.5,
        step=steps.step,
    )


def _hidden(steps: Steps, line: Line) -> bool:
    """Whether the noise is lost in the converter's steps."""
    return steps.step > 1.5 and line.at_black < (_DITHER**2 + 1 / 12) * steps.step**2


def _doubts(steps: Steps, line: Line) -> tuple[str, ...]:
    found = []
    if _hidden(steps, line):
        found.append("the noise is below half a step of the converter: it cannot be measured")
    if not steps.even:
        found.append("the converter's steps grow with the light")
    return tuple(found)
