"""Restore a finished picture, a dark JPEG, PNG or TIFF.

picture → amplified linear light → tiles → model → linear sRGB → picture

A network trained on pictures has learnt their tones, so its output only gets sRGB's curve; the
renderer's tone curve is not applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.develop.colour import light_of
from undark.develop.render import (
    apply_contrast,
    check_contrast,
    clip_highlights,
    oriented,
    quantise,
    rebalance,
    saturation,
)
from undark.develop.white_balance import AS_SHOT, DAYLIGHT, WhiteBalance, gains_for
from undark.engine.card import PICTURE_TASK
from undark.engine.catalogue import NO_CFA, choose
from undark.engine.model import Model, load_model
from undark.engine.recovery import redone_on_cpu
from undark.engine.tiling import Tile, strips, tiles
from undark.errors import UnsupportedError
from undark.files.output import atomic_output
from undark.files.picture import Picture, write_picture
from undark.restoring.ahead import ahead
from undark.restoring.bands import Progress
from undark.restoring.raw import check_arguments, check_strength
from undark.restoring.saving import Target
from undark.sensor.exposure import Exposure, ExposureWish, as_exposure

Floats = NDArray[np.float32]

WHITE = 1.0
"""Linear level below which all but light sources stay: without a shoulder, light above it clips."""


@dataclass(frozen=True, eq=False)
class RestoredPicture:
    """A restored picture, in linear light."""

    source: Picture
    linear: Floats
    """(H, W, 3) linear sRGB in the file's pixel order; 1 is white."""
    exposure: Exposure

    def picture(
        self, bits: int = 8, white_balance: WhiteBalance = AS_SHOT, contrast: float = 0.0
    ) -> NDArray[Any]:
        """(H, W, 3) uint8 or uint16, sRGB, upright; see `restoring.raw.Restored.picture`.

        Raises `UnsupportedError` also for daylight, which is known of RAW photos only.
        """
        amplification = self.exposure.amplification
        gains = picture_gains(white_balance, self.source, amplification, self._light_at)
        shape, orientation = self.linear.shape[:2], self.source.orientation
        levels = PictureRendering(shape, orientation, amplification, bits, gains, contrast)
        levels.add(0, self.linear)
        return levels.picture

    def _light_at(self, rows: slice, columns: slice) -> Floats:
        return self.linear[rows, columns]

    def save(
        self,
        path: str | Path,
        bits: int = 8,
        overwrite: bool = False,
        source: str | None = None,
        white_balance: WhiteBalance = AS_SHOT,
        contrast: float = 0.0,
    ) -> Path:
        """Write JPEG, PNG or TIFF, by the suffix, atomically.

        `source` is the digest of the picture's file (`files.provenance.digest_of`), kept in the
        result's metadata. Raises as `picture` does, and `ExistsError`, `OutputError`.
        """
        path = Path(path)
        with atomic_output(path, overwrite) as temporary:
            rgb = self.picture(bits, white_balance, contrast)
            write_picture(temporary, rgb, self.source.shot, source=source)
        return path


def restore_picture(
    picture: Picture,
    *,
    model: Model | None = None,
    exposure: Exposure | ExposureWish | float | None = None,
    strength: float = 1.0,
    tile: int | None = None,
    progress: Progress = lambda share: None,
) -> RestoredPicture:
    """Restore a dark picture with a model that was trained on pictures, by default the shipped one.

    `exposure` is an amplification ratio or an `Exposure`, by default chosen from the picture.
    `strength` 0 only amplifies. `progress` is called with the fraction done. Raises `ValueError`
    for arguments out of range, `UnsupportedError` if the model is for RAW photos, `ModelError`.
    """
    model = load_model(choose(NO_CFA, PICTURE_TASK)) if model is None else model
    chosen = _prepare(picture, model, exposure, strength, tile)
    linear = _whole(model, picture, chosen.amplification, strength, tile, progress)
    return RestoredPicture(picture, linear, chosen)


def restore_picture_into(
    target: Target,
    picture: Picture,
    *,
    model: Model,
    exposure: Exposure | ExposureWish | float | None = None,
    strength: float = 1.0,
    progress: Progress = lambda share: None,
) -> Exposure:
    """Restore and write what `RestoredPicture.save` does, without a frame of floats.

    Returns the exposure. Raises as `restore_picture` does, and `ExistsError`, `OutputError`, and
    `UnsupportedError` for a map of confidence, which pictures have none of, and for a white balance
    that cannot be had (see `RestoredPicture.picture`).
    """
    if target.confidence:
        raise UnsupportedError("a finished picture has no map of confidence; omit --confidence")
    chosen = _prepare(picture, model, exposure, strength, None)
    if target.path:
        made = _made(model, picture, chosen.amplification, strength, target, progress)
        progress(1.0)  # the last moment to stop: from here on the file is written
        with atomic_output(target.path, target.overwrite) as temporary:
            write_picture(temporary, made, picture.shot, source=target.source)
    return chosen


def _prepare(
    picture: Picture,
    model: Model,
    exposure: Exposure | ExposureWish | float | None,
    strength: float,
    tile: int | None,
) -> Exposure:
    """The exposure; raises as `restore_picture` says."""
    if model.card.task != PICTURE_TASK:
        raise UnsupportedError(
            f"a finished picture, but the model {model.card.name} restores RAW photos; give the "
            "RAW file, or a model of `undark train photos --aim rgb` with --model"
        )
    check_arguments(picture.levels.shape, tile)
    check_strength(strength)
    return as_exposure(exposure, picture.mosaic, WHITE)


class PictureRendering:
    """An upright picture that is made from top to bottom."""

    def __init__(
        self,
        shape: tuple[int, ...],
        orientation: int,
        amplification: float,
        bits: int,
        gains: Floats | None,
        contrast: float,
    ) -> None:
        """For light of (H, W) pixels in the file's order; `orientation` is EXIF's."""
        check_contrast(contrast)
        self._bits, self._gains, self._contrast = bits, gains, contrast
        # where the file is white, of whatever balance, the picture is
        self._level = 1.0 if gains is None else saturation(gains, amplification)
        self.picture, self._frame = oriented(shape, orientation, bits)

    def add(self, top: int, linear: Floats) -> None:
        for row, light in enumerate(linear, top):
            self._frame[row] = quantise(self._shown(light), self._bits)

    def _shown(self, light: Floats) -> Floats:
        """A row of light (W, 3) with white balance and contrast; a copy."""
        if self._gains is None and self._contrast == 0:
            return light.copy()
        if self._gains is not None:
            light = rebalance(light, self._gains)
            light = np.stack(clip_highlights(light, self._level), -1) / min(self._level, 1.0)
        planes = (light[..., 0].copy(), light[..., 1].copy(), light[..., 2].copy())
        return np.stack(apply_contrast(planes, self._contrast), -1)


def picture_gains(
    asked: WhiteBalance,
    picture: Picture,
    amplification: float,
    light_at: Callable[[slice, slice], Floats],
) -> Floats | None:
    """Gains on linear sRGB; None: as it is. Raises as `RestoredPicture.picture` says."""
    if asked == AS_SHOT:
        return None
    if asked == DAYLIGHT:
        raise UnsupportedError(
            "daylight's white balance is known of RAW photos only, and this is a finished picture; "
            f"choose {AS_SHOT} or a grey point X,Y"
        )
    mosaic = picture.mosaic.replace(orientation=picture.orientation)
    return gains_for(asked, mosaic, amplification, light_at)


@redone_on_cpu
def _whole(
    model: Model,
    picture: Picture,
    amplification: float,
    strength: float,
    tile: int | None,
    progress: Progress,
) -> Floats:
    """(H, W, 3) linear sRGB."""
    strips = _strips(model, picture.levels, amplification, strength, tile, progress)
    return np.concatenate([strip for _, strip in strips])


@redone_on_cpu
def _made(
    model: Model,
    picture: Picture,
    amplification: float,
    strength: float,
    target: Target,
    progress: Progress,
) -> NDArray[Any]:
    """(H, W, 3) levels, upright."""

    def light_at(rows: slice, columns: slice) -> Floats:
        return _part(model, picture.levels, amplification, strength, (rows, columns))

    gains = picture_gains(target.white_balance, picture, amplification, light_at)
    shape, shown = picture.levels.shape[:2], (target.bits, gains, target.contrast)
    levels = PictureRendering(shape, picture.orientation, amplification, *shown)
    for top, strip in _strips(model, picture.levels, amplification, strength, None, progress):
        levels.add(top, strip)
    return levels.picture


def _part(
    model: Model,
    levels: NDArray[np.uint8] | NDArray[np.uint16],
    amplification: float,
    strength: float,
    window: tuple[slice, slice],
) -> Floats:
    """Linear sRGB (h, w, 3) of some rows and columns of the file."""
    around = [slice(max(s.start - model.card.halo, 0), s.stop + model.card.halo) for s in window]
    part = levels[*around]
    strips = _strips(model, part, amplification, strength, None, lambda share: None)
    light = np.concatenate([strip for _, strip in strips])
    (top, left), (rows, columns) = (s.start for s in around), window
    return light[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]


def _strips(
    model: Model,
    levels: NDArray[np.uint8] | NDArray[np.uint16],
    amplification: float,
    strength: float,
    tile: int | None,
    progress: Progress,
) -> Iterator[tuple[int, Floats]]:
    """From top to bottom: a strip's first row, and its linear sRGB (h, W, 3)."""
    multiple = model.card.multiple
    height, width = levels.shape[:2]
    down, across = (-(-n // multiple) * multiple for n in (height, width))
    after = ((0, down - height), (0, across - width), (0, 0))
    padded: NDArray[Any] = np.pad(levels, after, mode="edge")

    def amplified(part: tuple[slice, slice]) -> Floats:
        return light_of(padded[part]) * np.float32(amplification)

    def inputs(tile: Tile) -> Floats:
        return np.ascontiguousarray(np.moveaxis(amplified(tile.outer), -1, 0)[None])

    plan, top = tiles(down, across, multiple, model.card.halo, tile, model.card.fold), 0
    outputs = ahead((tile, model(inputs(tile))[0]) for tile in chain(*plan))
    parts = ((tile, light[:, *tile.kept]) for tile, light in outputs)
    for strip in strips(plan, parts, (height, width), 1, progress=progress):
        if strength < 1:
            noisy = amplified((slice(top, top + len(strip)), slice(0, width)))
            strip += np.float32(1 - strength) * (noisy - strip)
        yield top, strip
        top += len(strip)
        del strip  # before the next one is allocated
