"""Examine one pair: measure all values of its row in the table.

Measured on the green planes of the RAW data after registration. A value that is not significant
compared with the noise is not reported as a fault.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from undark.align.planes import Noise, halved
from undark.align.registration import Registration, register
from undark.errors import PairError
from undark.files.picture import is_picture
from undark.pairs.find import Pair
from undark.pairs.photo import green_plane, pair_ratio, read_photo
from undark.pairs.table import GOOD, Row
from undark.sensor.cfa import GREEN
from undark.sensor.mosaic import Mosaic
from undark.sensor.profiles.lookup import noise_of

MIN_SIDE = 32
"""Smallest side of a photo in cells of the CFA: two blocks, whose scatter gives the error."""
MAX_SHIFT_ERROR = 0.15
"""Standard error of the shift in sensor pixels: twice that, 0.3, still aligns an RGB target."""
MAX_SHIFT = 0.5
"""Sensor pixels: a quarter of a packed pixel; less does not visibly blur a network's output."""
MAX_CORNER_SHIFT = 1.0
"""Error of the farthest corner in sensor pixels after the shift is removed: only the corners are
affected, so the limit is higher than that of a shift."""
MAX_MOVED = 0.005
"""Fraction of the frame: a distant person covers half a percent."""
MAX_SATURATED = 0.05
"""Fraction of the bright photo: light sources saturate less of it, an overexposed sky more."""
MIN_SHARPNESS = 0.8
"""Ratio of the finest detail: a blur of two sensor pixels gives less, two photos in focus more."""
MAX_FLICKER = 0.25
"""EV: nominal and true exposure times differ by up to a tenth."""
MIN_COMMON_DETAIL = 0.5
"""Smallest fraction of the bright photo's coarse detail that the dark one must also show."""
FINE, COARSE = (0.12, 0.25), (0.03, 0.08)
"""Bands in cycles per pixel of the plane: the finest detail that interpolation preserves, and
detail that defocus preserves."""
_SIGNIFICANT = 3.0
"""Number of standard errors from which a difference counts as significant."""
_SATURATED = 0.98
"""Fraction of the white level: some sensors saturate slightly below it."""
CHANGE_CELL = 8
"""Side of a cell of the change map in pixels of the plane: at an amplification of 300 a mean of 64
pixels distinguishes a change of a tenth of white from noise."""


@dataclass(frozen=True, eq=False)
class Finding:
    """A row of the table, and the data for its strip of the contact sheet."""

    row: Row
    photos: tuple[Mosaic, Mosaic]
    """Dark, bright."""
    planes: tuple[NDArray[np.float32], NDArray[np.float32]]
    """Their green planes, neither amplified nor registered; see `green_plane`."""
    registration: Registration
    good_if_aligned: bool
    """Whether the pair is good when training corrects its shift."""
    changed: NDArray[np.bool_]
    """Where the photos differ: (rows, columns) of cells of `CHANGE_CELL` pixels of the plane."""


def examine(pair: Pair, align: bool = False) -> Finding:
    """Compare the photos of a pair. With `align`, the row holds the shift for training to correct.

    Raises `ReadError` and `UnsupportedError` for a photo that cannot be read, `PairError` for two
    that cannot be compared.
    """
    dark, bright = read_photo(pair.dark), read_photo(pair.bright)
    check_alike(pair, dark, bright)
    ratio = pair_ratio(pair.dark, dark.shot, pair.bright, bright.shot)
    planes = green_plane(dark), green_plane(bright)
    if planes[0].mean() > planes[1].mean():
        raise PairError(
            f"{pair.dark}: brighter than its bright photo {pair.bright.name}; "
            "swap their names or folders",
            "dark and bright swapped",
        )
    registration = register(*planes, _noise(dark))
    changed, moved = _changes(registration)
    row = _measured(pair, registration, dark.cfa.cell, ratio)
    row = replace(row, moved=moved, saturated=_saturated(bright))
    judged, aligned = (_with_verdict(row, registration, dark, a) for a in (align, True))
    photos, good = (dark, bright), aligned.verdict == GOOD
    return Finding(judged, photos, planes, registration, good, changed)


def check_alike(pair: Pair, dark: Mosaic, bright: Mosaic) -> None:
    """Raise `PairError` where sizes or CFAs differ, or the photos are too small."""

    def wrong(what: str, verdict: str) -> PairError:
        return PairError(f"{pair.dark}: {what}; give photos of one camera, not cropped", verdict)

    ours, theirs = ("{1} x {0} pixels".format(*photo.shape) for photo in (dark, bright))
    if ours != theirs:
        raise wrong(f"{ours}, but its bright photo {pair.bright} has {theirs}", "sizes differ")
    if dark.cfa != bright.cfa:
        what = f"CFA {dark.cfa.name}, but its bright photo {pair.bright} has {bright.cfa.name}"
        raise wrong(what, "CFAs differ")
    least = MIN_SIDE * dark.cfa.cell
    if min(dark.shape) < least:
        raise wrong(f"{ours}, too few to compare: {least} a side are needed", "too small")


def _noise(photo: Mosaic) -> Noise:
    """Noise of the green plane, means of two (Bayer) or five (X-Trans) pixels; white is 1."""
    model, _ = noise_of(photo)
    greens = sum(colour == GREEN for colour in photo.cfa.colours)
    at_black = float(model.variance(np.float32(0)))
    return Noise(model.gain / greens / photo.span, at_black / greens / photo.span**2)


def _saturated(photo: Mosaic) -> float:
    """Fraction of pixels at white."""
    level = photo.black.mean() + _SATURATED * photo.span
    return float(np.mean(photo.plane >= level))


def _measured(pair: Pair, found: Registration, cell: int, ratio: float | None) -> Row:
    """The registration in sensor pixels, degrees and EV."""
    sharpness, error = _sharpness(found)
    return Row(
        pair.dark,
        pair.bright,
        amplification=ratio or found.gain,
        dx=found.motion.x * cell,
        dy=found.motion.y * cell,
        shift_error=found.error * cell,
        rotation=math.degrees(found.motion.turn),
        scale=1 + found.motion.growth,
        sharpness=sharpness if error < 0.3 else math.nan,
        flicker=math.log2(found.gain / ratio) if ratio else math.nan,
    )


def _sharpness(found: Registration) -> tuple[float, float]:
    """Ratio of the transfer of fine detail to that of coarse detail, and its standard error."""
    fine, fine_error = _transfer(found, FINE)
    coarse, coarse_error = _transfer(found, COARSE)
    if not coarse > _SIGNIFICANT * coarse_error:
        return math.nan, math.inf
    ratio = fine / coarse
    return ratio, math.hypot(fine_error, ratio * coarse_error) / coarse


def _transfer(found: Registration, band: tuple[float, float]) -> tuple[float, float]:
    """Fraction of the bright photo's detail in a band that the dark one has; its standard error.

    The slope of a regression on the clean photo, on the Fourier coefficients of the blocks: noise
    adds variance to it but no bias.
    """
    usable = np.isfinite(found.variance).all(axis=(1, 2))
    if not usable.any():
        return math.nan, math.inf
    side = found.bright.shape[1]
    window = np.outer(np.hanning(side + 1)[1:], np.hanning(side + 1)[1:]).astype(np.float32)
    dark, bright = (_spectra(blocks[usable], window, band) for blocks in (found.dark, found.bright))
    weight = 1 / found.variance[usable].mean(axis=(1, 2), dtype=np.float64)
    power = float(weight @ (np.abs(bright) ** 2).sum(axis=1)) + 1e-30
    slope = float(weight @ (dark * bright.conj()).real.sum(axis=1)) / power
    return slope, math.sqrt(float((window**2).sum()) / 2 / power)


def _spectra(
    blocks: NDArray[np.float32], window: NDArray[np.float32], band: tuple[float, float]
) -> NDArray[np.complexfloating]:
    """(n, frequencies): coefficients of blocks (n, s, s) in a band of cycles per pixel."""
    side = blocks.shape[1]
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    chosen = (radius >= band[0]) & (radius <= band[1])
    even = blocks - blocks.mean(axis=(1, 2), keepdims=True)
    spectra: NDArray[np.complexfloating] = np.fft.rfft2(even * window)[:, chosen]
    return spectra


def _changes(found: Registration) -> tuple[NDArray[np.bool_], float]:
    """Where the photos differ by more than noise and contrast explain; their fraction."""
    usable = np.isfinite(found.variance)
    seen = _cells(usable.astype(np.float32)) > 0.5
    difference, bright, square, variance = (
        _cells(np.where(usable, values, 0)) / np.maximum(_cells(usable.astype(np.float32)), 0.01)
        for values in (found.dark - found.bright, found.bright, found.bright**2, found.variance)
    )
    contrast = np.sqrt(np.maximum(square - bright**2, 0))
    noise = np.sqrt(variance) / CHANGE_CELL
    tolerance = 3.5 * noise + 0.15 * np.maximum(bright, 0) + 0.5 * contrast + 0.005
    changed = _map((np.abs(difference) > tolerance) & seen, found.grid)
    changed &= _neighbours(changed) >= 2  # noise is isolated, objects are not
    return changed, float(changed.sum()) / max(int(seen.sum()), 1)


def _cells(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, s, s) → (n, s/8, s/8) means."""
    return halved(halved(halved(blocks)))


def _map(cells: NDArray[np.bool_], grid: tuple[int, int]) -> NDArray[np.bool_]:
    """(n, c, c) of blocks, row by row → the frame (rows·c, columns·c)."""
    side = cells.shape[1]
    ordered = cells.reshape(*grid, side, side).swapaxes(1, 2)
    return ordered.reshape(grid[0] * side, grid[1] * side)


def _neighbours(cells: NDArray[np.bool_]) -> NDArray[np.int_]:
    """Number of the eight neighbouring cells that are set."""
    wide = np.pad(cells.astype(int), 1)
    height, width = cells.shape
    around = [(y, x) for y in range(3) for x in range(3) if (y, x) != (1, 1)]
    return np.asarray(sum(wide[y : y + height, x : x + width] for y, x in around))


def _with_verdict(row: Row, found: Registration, dark: Mosaic, align: bool) -> Row:
    """The row with its verdict; with `align`, a shift is not a fault: training corrects it."""
    saturated = [f"bright photo saturated ({row.saturated:.0%})"]
    saturated *= row.saturated > MAX_SATURATED
    doubts = _doubts(row, found)
    if doubts:
        return replace(row, verdict="; ".join(doubts + saturated))
    length, shifted = math.hypot(row.dx, row.dy), list[str]()
    if align:
        row = replace(row, align_dx=row.dx, align_dy=row.dy)
    elif length > MAX_SHIFT:
        shifted = [f"shifted {length:.1f} px"]
    faults = shifted + _rotated_or_scaled(row, found, math.hypot(*dark.shape) / 2)
    faults += _moved(row) + saturated + _out_of_focus(found) + _flickering(row)
    return replace(row, verdict="; ".join(faults) or GOOD)


def _doubts(row: Row, found: Registration) -> list[str]:
    """Why the registration is unreliable; empty if it is reliable."""
    same, error = _transfer(found, COARSE)
    if same + _SIGNIFICANT * error < MIN_COMMON_DETAIL:
        return ["not the same scene, or far out of focus"]
    if row.shift_error <= MAX_SHIFT_ERROR and _SIGNIFICANT * error < MIN_COMMON_DETAIL:
        return []
    return [f"shift uncertain (±{row.shift_error:.2g} px)"]


def _moved(row: Row) -> list[str]:
    return [f"moved objects ({row.moved:.1%} of the frame)"] * (row.moved > MAX_MOVED)


def _flickering(row: Row) -> list[str]:
    """A brightness difference; not reported for JPEGs: their tone curve is unknown."""
    off = abs(row.flicker) > MAX_FLICKER and not is_picture(row.dark)
    return [f"brightness off by {row.flicker:+.1f} EV"] * off


def _rotated_or_scaled(row: Row, found: Registration, corner: float) -> list[str]:
    """Rotation and scale, where they are significant and move the corners of the frame."""
    errors = np.sqrt(np.diag(found.covariance))
    motion, faults = found.motion, []
    if abs(motion.turn) > max(_SIGNIFICANT * errors[2], MAX_CORNER_SHIFT / corner):
        faults.append(f"rotated {row.rotation:+.2f}°")
    if abs(motion.growth) > max(_SIGNIFICANT * errors[3], MAX_CORNER_SHIFT / corner):
        faults.append(f"scaled {100 * motion.growth:+.2f} %")
    return faults


def _out_of_focus(found: Registration) -> list[str]:
    sharpness, error = _sharpness(found)
    if sharpness + _SIGNIFICANT * error < MIN_SHARPNESS:
        return ["dark photo less sharp"]
    if sharpness - _SIGNIFICANT * error > 1 / MIN_SHARPNESS:
        return ["bright photo less sharp"]
    return []
