"""The protocols by which a restored photo is compared with the bright photo (docs/evaluate.md).

raw              packed planes of sensor values, white 1, against those of the bright photo
srgb             the picture against LibRaw's rendering of the bright photo, as in SID
… corrected      the same after the least-squares brightness factor (`brightness_correction`)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from undark.align.resample import Place
from undark.develop.colour import encode_rec709
from undark.develop.metrics import brightness_correction, psnr, ssim
from undark.develop.render import srgb_matrix
from undark.errors import PairError
from undark.files.raw import read_mosaic
from undark.pairs.examine import MAX_SHIFT, MIN_SIDE, check_alike
from undark.pairs.find import Pair
from undark.pairs.place import check_sizes, common, moved
from undark.pairs.table import Row
from undark.pairs.target import WHITE, srgb_picture
from undark.sensor.cfa import CFA, mosaic, pack
from undark.sensor.mosaic import Mosaic

Floats = NDArray[np.float32]

RAW, SRGB = "raw", "srgb"
CORRECTED = " corrected"
PROTOCOLS = (RAW, RAW + CORRECTED, SRGB, SRGB + CORRECTED)
TITLES = {
    RAW: "RAW → RAW",
    RAW + CORRECTED: "RAW → RAW, brightness corrected",
    SRGB: "RAW → sRGB",
    SRGB + CORRECTED: "RAW → sRGB, brightness corrected",
}


@dataclass(frozen=True, eq=False)
class Truth:
    """The part of the bright photo that both photos show, in the form of each protocol."""

    picture: Floats
    """(H, W, 3) in [0, 1], rendered by LibRaw, in the sensor's orientation."""
    place: Place
    """Its place in the dark photo."""
    planes: Floats | None
    """(h, w, cell²) in [0, 1]; None if rounding the shift to whole periods of the CFA changes it by
    more than `MAX_SHIFT`."""
    planes_place: Place


def truth_of(row: Row, dark: Mosaic) -> Truth:
    """The bright photo of a pair, aligned with the dark one by the shift in the row.

    Raises `ReadError`, `UnsupportedError`, and `PairError` for photos that cannot be compared.
    """
    bright = read_mosaic(row.bright)
    check_alike(Pair(row.dark, row.bright), dark, bright)
    rendered = srgb_picture(row.bright)
    check_sizes(row, dark.shape, rendered.shape[:2])
    place = _large_enough(row, common(row, dark.shape), dark.cfa)
    rounded = _in_whole_periods(row, dark.cfa)
    planes_place = _large_enough(row, common(rounded, dark.shape), dark.cfa)
    left_over = math.hypot(row.align_dx - rounded.align_dx, row.align_dy - rounded.align_dy)
    light = moved(bright.signal(), planes_place, rounded) / np.float32(bright.span)
    return Truth(
        picture=np.clip(moved(rendered, place, row) / np.float32(WHITE), 0, 1),
        place=place,
        planes=packed(light, planes_place, dark.cfa) if left_over <= MAX_SHIFT else None,
        planes_place=planes_place,
    )


def _in_whole_periods(row: Row, cfa: CFA) -> Row:
    """The row with its shift rounded to whole periods of the CFA: each pixel keeps its colour."""
    dx, dy = (cfa.period * round(s / cfa.period) for s in (row.align_dx, row.align_dy))
    return replace(row, align_dx=float(dx), align_dy=float(dy))


def _large_enough(row: Row, place: Place, cfa: CFA) -> Place:
    if min(place[2:]) < MIN_SIDE * cfa.cell // 2:
        raise PairError(
            f"{row.dark}: overlaps too little with {row.bright.name}; remove the pair", "too small"
        )
    return place


def scores(light: Floats, dark: Mosaic, truth: Truth) -> Iterator[tuple[str, float, float]]:
    """Yield protocol, PSNR in dB and SSIM of a restored photo.

    `light` is (H, W, 3) white-balanced camera RGB of the whole dark photo, white 1.
    """
    if truth.planes is not None:
        values = part(sensor_values(light, dark), truth.planes_place)
        yield from _both(RAW, packed(values, truth.planes_place, dark.cfa), truth.planes)
    yield from _both(SRGB, part(picture(light, dark), truth.place), truth.picture)


def _both(protocol: str, shown: Floats, truth: Floats) -> Iterator[tuple[str, float, float]]:
    """The scores without and with brightness correction."""
    yield protocol, psnr(shown, truth), ssim(shown, truth)
    factor = np.float32(brightness_correction(shown, truth))
    shown = np.clip(shown * factor, 0, 1)
    yield protocol + CORRECTED, psnr(shown, truth), ssim(shown, truth)


def sensor_values(light: Floats, dark: Mosaic) -> Floats:
    """(H, W, 3) light → (H, W) as the sensor samples it, without white balance; white is 1."""
    values: Floats = mosaic(np.moveaxis(light / dark.white_balance, -1, 0), dark.cfa)
    return values


def packed(values: Floats, place: Place, cfa: CFA) -> Floats:
    """Sensor values of a region → (h, w, cell²) in [0, 1], whole periods at the canonical phase.

    Incomplete periods at the borders are cropped.
    """
    cfa = cfa.crop(place[0] % cfa.period, place[1] % cfa.period)
    top, left = (-n % cfa.period for n in cfa.shift)
    height, width = (
        (n - start) // cfa.period * cfa.period
        for n, start in zip(values.shape, (top, left), strict=True)
    )
    planes = pack(values[top : top + height, left : left + width], cfa.crop(top, left))
    clipped: Floats = np.clip(np.moveaxis(planes, 0, -1), 0, 1)
    return clipped


def picture(light: Floats, dark: Mosaic) -> Floats:
    """Light rendered as LibRaw does, (H, W, 3) in [0, 1]: camera matrix, then BT.709's curve."""
    encoded: Floats = encode_rec709(light @ rendering(dark).T.astype(np.float32))
    return encoded


def rendering(dark: Mosaic) -> NDArray[np.float64]:
    """(3, 3): white-balanced camera RGB → linear sRGB in LibRaw's scale.

    LibRaw divides the gains by the smallest one, so that a gain below 1 brightens all channels.
    """
    return srgb_matrix(dark.camera_from_xyz) / float(dark.white_balance.min())


def part(pixels: Floats, place: Place) -> Floats:
    top, left, height, width = place
    return pixels[top : top + height, left : left + width]
