"""Restore a finished picture, a dark JPEG, PNG or TIFF.

picture → amplified linear light → tiles → model → linear sRGB → picture

A network trained on pictures has learnt their tones, so its output only gets sRGB's curve; the
renderer's tone curve is not applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.cpus import tiles_at_once
from undark.develop.colour import decode_srgb, light_of, srgb_curve
from undark.develop.picture_noise import PictureNoise, picture_noise
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
from undark.engine.model import Model, cached_model
from undark.engine.recovery import redone_on_cpu
from undark.engine.tiling import Tile, inner_light, strips, tiles_of
from undark.errors import UnsupportedError
from undark.files.output import atomic_output
from undark.files.picture import Picture, write_picture
from undark.restoring.ahead import abreast
from undark.restoring.bands import AROUND, Progress
from undark.restoring.blend import check_strength
from undark.restoring.raw import check_arguments
from undark.restoring.saving import Target
from undark.sensor.conditioning import condition_picture
from undark.sensor.exposure import Exposure, ExposureWish, as_exposure

Floats = NDArray[np.float32]

WHITE = 1.0
"""Linear level below which all but light sources stay: without a shoulder, light above it clips."""


CHANGE = 2.0
"""By how many sigmas of the differences between colours (`PictureNoise`) a level of a noisy picture
that was not dark may change."""
SAME = 2.45 / 255
"""Most that a level of a picture may change that is neither dark nor clearly noisy, white 1: two
levels of 8 bits, so that it is the same to 40 dB, whatever the model gives."""
QUIET = 0.013
"""Sigma of the differences between colours from which a picture is clearly noisy. Texture of strong
colours reaches 0.0127 in clean JPEGs of the photographs of `photos/train`; noise of 0.03, white 1,
gives 0.010 to 0.012, noise of 0.04 gives 0.014 to 0.020."""
_RISE = 8.0
"""How fast the limit rises from there."""
NOT_DARK = 1.5
"""Amplification up to which this holds; above it the limit grows with the amplification, and
has no effect at 10."""


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
    model = cached_model(choose(NO_CFA, PICTURE_TASK)) if model is None else model
    chosen = _prepare(picture, model, exposure, strength, tile)
    dark = _Dark.of(picture, chosen.amplification)
    linear = _whole(model, dark, strength, tile, progress)
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


def _limit(light: Floats, noisy: Floats, most: float) -> None:
    """Clip light, in place, to levels within `most` of those of the amplified light."""
    if most < 1:
        level, reach = srgb_curve(noisy), np.float32(most)
        np.clip(light, decode_srgb(level - reach), decode_srgb(level + reach), out=light)


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


@dataclass(frozen=True, eq=False)
class _Dark:
    """The levels of a picture or a part of it, and what a network is told about all of it."""

    levels: NDArray[Any]
    """(H, W, 3) uint8 or uint16."""
    amplification: float
    noise: PictureNoise

    @classmethod
    def of(cls, picture: Picture, amplification: float) -> _Dark:
        return cls(picture.levels, amplification, picture_noise(picture.levels, amplification))

    def part(self, rows: slice, columns: slice) -> _Dark:
        return replace(self, levels=self.levels[rows, columns])

    @property
    def most_change(self) -> float:
        """How far a level of the result may be from the amplified one, white 1; see `CHANGE`."""
        darkness = max(self.amplification / NOT_DARK, 1.0)
        # the second part is for dark pictures whose noise cannot be seen in their colours
        return self._most_of_bright * darkness**2 + 0.1 * (darkness - 1) ** 2

    @property
    def _most_of_bright(self) -> float:
        """The same, were it not dark."""
        noise = self.noise.difference
        if self.noise.level == noise:  # without colours, so that nothing tells noise from texture
            return min(CHANGE * noise, SAME)
        return min(CHANGE * noise, SAME + _RISE * max(noise - QUIET, 0))

    def padded(self, down: int, across: int) -> _Dark:
        """With the last row and column repeated, (down, across) pixels large."""
        height, width = self.levels.shape[:2]
        after = ((0, down - height), (0, across - width), (0, 0))
        return replace(self, levels=np.pad(self.levels, after, mode="edge"))

    def amplified(self) -> Floats:
        """(H, W, 3) linear sRGB."""
        return light_of(self.levels) * np.float32(self.amplification)

    def inputs(self) -> Floats:
        """(1, 6, H, W)"""
        light = np.moveaxis(light_of(self.levels), -1, 0)
        noise = np.array(self.noise, np.float32)[:, None, None]
        found = condition_picture(light, np.float32(self.amplification), noise)
        return np.ascontiguousarray(found[None])


@redone_on_cpu
def _whole(
    model: Model, dark: _Dark, strength: float, tile: int | None, progress: Progress
) -> Floats:
    """(H, W, 3) linear sRGB."""
    strips = _strips(model, dark, strength, tile, progress)
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
    dark = _Dark.of(picture, amplification)

    def light_at(rows: slice, columns: slice) -> Floats:
        return _part(model, dark, strength, (rows, columns))

    gains = picture_gains(target.white_balance, picture, amplification, light_at)
    shape, shown = picture.levels.shape[:2], (target.bits, gains, target.contrast)
    levels = PictureRendering(shape, picture.orientation, amplification, *shown)
    for top, strip in _strips(model, dark, strength, None, progress):
        levels.add(top, strip)
    return levels.picture


def _part(model: Model, dark: _Dark, strength: float, window: tuple[slice, slice]) -> Floats:
    """Linear sRGB (h, w, 3) of some rows and columns of the file."""
    around = [slice(max(s.start - model.card.halo, 0), s.stop + model.card.halo) for s in window]
    strips = _strips(model, dark.part(*around), strength, None, lambda share: None)
    light = np.concatenate([strip for _, strip in strips])
    (top, left), (rows, columns) = (s.start for s in around), window
    return light[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]


def _strips(
    model: Model, dark: _Dark, strength: float, tile: int | None, progress: Progress
) -> Iterator[tuple[int, Floats]]:
    """From top to bottom: a strip's first row, and its linear sRGB (h, W, 3)."""
    multiple = model.card.multiple
    height, width = dark.levels.shape[:2]
    down, across = (-(-n // multiple) * multiple for n in (height, width))
    padded = dark.padded(down, across)

    def made(tile: Tile) -> tuple[Tile, Floats]:
        """(3, H, W): the inner part of a tile."""
        inputs = padded.part(*tile.outer).inputs()
        return tile, inner_light(model.card, model, inputs, tile.margins)[0]

    plan, top = tiles_of(model.card, down, across, multiple, tile), 0
    parts = abreast(made, chain(*plan), tiles_at_once())
    for strip in strips(plan, parts, (height, width), AROUND, 1, progress=progress):
        if strength < 1 or dark.most_change < 1:
            noisy = dark.part(slice(top, top + len(strip)), slice(None)).amplified()
            _limit(strip, noisy, dark.most_change)
            strip += np.float32(1 - strength) * (noisy - strip)
        yield top, strip
        top += len(strip)
        del strip  # before the next one is allocated
