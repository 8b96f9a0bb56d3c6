"""Mosaics and linear camera RGB as Adobe DNG files, through tifffile.

Both kinds are tiled lossless JPEG, which LibRaw and Adobe's SDK read, and share the tags of camera,
colour and exposure. Pixels are in sensor order; the Orientation tag says how to rotate them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.develop.colour import XYZ_FROM_SRGB
from undark.files.exif_write import (
    EXIF_POINTER,
    GPS_POINTER,
    camera_entries,
    exif_entries,
    exif_time,
    gps_entries,
    software,
)
from undark.files.output import writing
from undark.files.provenance import xmp_entries
from undark.files.tiff_ifd import (
    BYTE,
    LONG,
    SHORT,
    Entry,
    doubles,
    numbers,
    rational,
    signed_rational,
    text,
    write_tiff,
)
from undark.sensor.mosaic import Mosaic, Shot

HEADROOM = 16.0
"""A linear DNG holds light up to this (white is 1): four stops of highlights over 4096 levels.

Brighter light sources are clipped. At ×300 they reach 300, which would leave 218 levels below 1.
"""
_MOST = 65535

_CFA, _LINEAR_RAW = 32803, 34892
_LOSSLESS_JPEG = 7
_TILE = 256
_D65 = 21


def write_mosaic(path: Path, mosaic: Mosaic, source: str | None = None) -> None:
    """Write a mosaic as a CFA DNG; `read_mosaic` reads back the same mosaic.

    Of a merged one the noise of its typical pixel is in the NoiseProfile; where fewer frames were
    merged is not in the file. `source` is the digest of what it was made of, kept as XMP.

    The white level is rounded to an integer, as the format requires. LibRaw does not open mosaics
    of fewer than 22 rows or columns. An unknown colour matrix is left out: LibRaw opens such files,
    Adobe's programs do not. Raises `OutputError`.
    """
    matrix = mosaic.camera_from_xyz
    entries = [*_common(mosaic), *_sensor(mosaic), *([] if matrix is None else _colour(matrix))]
    entries += xmp_entries(source)
    if mosaic.merged is not None:
        merged = f"{software()}: merged from {mosaic.merged.frames} frames"
        entries.append(text(37395, merged))  # ImageHistory
    _write(path, _tiles(mosaic.plane), mosaic.shape, _CFA, entries, mosaic.shot)


def write_linear(
    path: Path,
    linear: NDArray[np.float32],
    mosaic: Mosaic,
    amplification: float,
    source: str | None = None,
    gains: NDArray[np.floating] | None = None,
) -> None:
    """Write restored light as a linear DNG: 16-bit camera RGB, black 0, proportional to the scene.

    `linear` is (H, W, 3), white-balanced and amplified; 1 is the picture's white. It is clipped to
    [0, `HEADROOM`]. The brightest value becomes 65535, and WhiteLevel is the level of light 1, so
    that programs show it white; the file holds brighter light above that level. (The specification
    has BaselineExposure for this, which darktable, RawTherapee and LibRaw do not follow.) Where
    the colour matrix is unknown, that of sRGB is written, since the format requires one. `source`
    is the digest of the file that the light was restored from (`provenance.digest_of`). `gains`
    (3,) are the white balance to show it with, if another than the mosaic's: only tags change.
    Raises `OutputError`.
    """
    levels = LinearLevels(mosaic, _brightest(linear.max(axis=(0, 1)), mosaic.white_balance))
    levels.add(0, linear)
    levels.write(path, amplification, source, gains)


class LinearLevels:
    """The pixels of a linear DNG (see `write_linear`), made from top to bottom."""

    def __init__(self, mosaic: Mosaic, brightest: float) -> None:
        """`brightest` is the light, before white balance, that becomes 65535: at least white's."""
        self._mosaic, self._brightest = mosaic, brightest
        self._factor = (_MOST / brightest / mosaic.white_balance).astype(np.float32)
        self._levels = np.empty((*mosaic.shape, 3), np.uint16)

    @classmethod
    def before(cls, mosaic: Mosaic, amplification: float) -> LinearLevels:
        """For light that is not known yet: as bright as the noisy photo, and half an EV more."""
        brightest = 1.4 * float(mosaic.plane.max() - mosaic.black.min()) / mosaic.span
        light = brightest * amplification * mosaic.white_balance
        return cls(mosaic, _brightest(light, mosaic.white_balance))

    def add(self, top: int, linear: NDArray[np.float32]) -> None:
        """Rows of light (h, W, 3), the first of which is row `top` of the frame."""
        for row, light in enumerate(linear, top):  # by rows, to save memory
            levels = np.rint(np.clip(light, 0, HEADROOM) * self._factor)
            self._levels[row] = np.clip(levels, 0, _MOST)

    def write(
        self,
        path: Path,
        amplification: float,
        source: str | None = None,
        gains: NDArray[np.floating] | None = None,
    ) -> None:
        """See `write_linear`. Raises `OutputError`."""
        mosaic, known = self._mosaic, self._mosaic.camera_from_xyz
        if gains is not None:
            mosaic = mosaic.replace(white_balance=gains)
        # renderers take as white the neutral camera RGB whose largest value is the white level
        white = _MOST / (self._brightest * float(mosaic.white_balance.min()))
        level = min(max(round(white), 1), _MOST)
        entries = [
            *_common(mosaic),
            *_colour(np.linalg.inv(XYZ_FROM_SRGB) if known is None else known),
            numbers(50714, SHORT, 0, 0, 0),  # BlackLevel
            numbers(50717, LONG, level, level, level),  # WhiteLevel
            signed_rational(50730, round(math.log2(level / white), 6)),  # BaselineExposure: about 0
            text(37395, f"{software()}: amplified {amplification:g} times"),  # ImageHistory
            *xmp_entries(source),
        ]
        shape = self._levels.shape
        _write(path, _tiles(self._levels), shape, _LINEAR_RAW, entries, mosaic.shot)


def _common(mosaic: Mosaic) -> list[Entry]:
    """Tags of both kinds of DNG."""
    shot = mosaic.shot
    height, width = mosaic.shape
    top, left, crop_height, crop_width = mosaic.default_crop or (0, 0, height, width)
    entries = [
        numbers(50706, BYTE, 1, 4, 0, 0),  # DNGVersion
        numbers(50707, BYTE, 1, 1, 0, 0),  # DNGBackwardVersion
        numbers(274, SHORT, mosaic.orientation),
        text(50708, shot.camera),  # UniqueCameraModel
        rational(50728, *(1 / mosaic.white_balance.astype(np.float64))),  # AsShotNeutral
        numbers(50829, LONG, 0, 0, height, width),  # ActiveArea
        numbers(50719, LONG, left, top),  # DefaultCropOrigin
        numbers(50720, LONG, crop_width, crop_height),  # DefaultCropSize
    ]
    return entries + camera_entries(shot)


def _sensor(mosaic: Mosaic) -> list[Entry]:
    """Tags of a CFA DNG only: filters, levels, noise."""
    period = mosaic.cfa.period
    entries = [
        numbers(33421, SHORT, period, period),  # CFARepeatPatternDim
        numbers(33422, BYTE, *mosaic.cfa.pattern.ravel().tolist()),  # CFAPattern
        numbers(50710, BYTE, 0, 1, 2),  # CFAPlaneColor
        numbers(50711, SHORT, 1),  # CFALayout: a square grid
        numbers(50713, SHORT, period, period),  # BlackLevelRepeatDim
        rational(50714, *mosaic.black.ravel().tolist()),  # BlackLevel
        numbers(50717, LONG, round(mosaic.white)),  # WhiteLevel
    ]
    if mosaic.noise_profile is not None:
        entries.append(doubles(51041, *(n for pair in mosaic.noise_profile for n in pair)))
    return entries


def _colour(camera_from_xyz: NDArray[Any]) -> list[Entry]:
    return [
        signed_rational(50721, *np.asarray(camera_from_xyz, np.float64).ravel()),  # ColorMatrix1
        numbers(50778, SHORT, _D65),  # CalibrationIlluminant1
    ]


def _write(
    path: Path,
    tiles: Iterator[NDArray[np.uint16]],
    shape: tuple[int, ...],
    photometric: int,
    entries: list[Entry],
    shot: Shot,
) -> None:
    children = {EXIF_POINTER: exif_entries(shot)}
    if shot.gps:
        children[GPS_POINTER] = gps_entries(shot.gps)
    with writing(path):
        write_tiff(
            path,
            tiles,
            entries,
            children,
            shape=shape,
            dtype=np.uint16,
            photometric=photometric,
            tile=_tile_shape(shape),
            compression=_LOSSLESS_JPEG,
            compressionargs={"lossless": True, "bitspersample": 16},
            subfiletype=0,  # without this tag, Adobe's SDK finds no main image
            software=software(),
            datetime=exif_time(shot.taken) if shot.taken else None,
        )


def _tile_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a tile: multiples of 16, as TIFF requires.

    Never wider than the picture: LibRaw decodes such tiles with shifted rows.
    """
    return _TILE, max(16, min(_TILE, shape[1] // 16 * 16))


def _tiles(pixels: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """(H, W, …) → tiles of equal size, row by row; edge tiles are padded with their last pixels."""
    rows, columns = _tile_shape(pixels.shape)
    for top in range(0, pixels.shape[0], rows):
        for left in range(0, pixels.shape[1], columns):
            part = pixels[top : top + rows, left : left + columns]
            missing = [(0, rows - part.shape[0]), (0, columns - part.shape[1])]
            yield np.pad(part, missing + [(0, 0)] * (pixels.ndim - 2), mode="edge")


def _brightest(light: NDArray[Any], gains: NDArray[np.float32]) -> float:
    """The largest of the channels' brightest values (3,), clipped at `HEADROOM`, before white
    balance; at least that of white, so that the white level is no more than 65535."""
    return float(max((np.minimum(light, HEADROOM) / gains).max(), 1 / gains.min()))
