"""Restore a finished picture, a dark JPEG, PNG or TIFF.

picture → amplified linear light → tiles → model → linear sRGB → picture

A network trained on pictures has learnt their tones, so its output only gets sRGB's curve; the
renderer's tone curve is not applied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.develop.colour import light_of
from undark.develop.render import oriented, quantise
from undark.engine.card import PICTURE_TASK
from undark.engine.model import Model
from undark.engine.recovery import redone_on_cpu
from undark.engine.tiling import place, tiles
from undark.errors import UnsupportedError
from undark.files.output import atomic_output
from undark.files.picture import Picture, write_picture
from undark.restoring.ahead import ahead
from undark.restoring.raw import check_arguments, check_strength
from undark.sensor.exposure import Exposure, ExposureWish, as_exposure

WHITE = 1.0
"""Linear level below which all but light sources stay: without a shoulder, light above it clips."""


@dataclass(frozen=True, eq=False)
class RestoredPicture:
    """A restored picture, in linear light."""

    source: Picture
    linear: NDArray[np.float32]
    """(H, W, 3) linear sRGB in the file's pixel order; 1 is white."""
    exposure: Exposure

    def picture(self, bits: int = 8) -> NDArray[Any]:
        """(H, W, 3) uint8 or uint16, sRGB, upright."""
        out, frame = oriented(self.linear.shape[:2], self.source.orientation, bits)
        for row, light in zip(frame, self.linear, strict=True):  # by rows, to save memory
            row[:] = quantise(light.copy(), bits)
        return out

    def save(
        self,
        path: str | Path,
        bits: int = 8,
        overwrite: bool = False,
        source: str | None = None,
    ) -> Path:
        """Write JPEG, PNG or TIFF, by the suffix, atomically.

        `source` is the digest of the picture's file (`files.provenance.digest_of`), kept in the
        result's metadata. Raises `ExistsError`, `OutputError`.
        """
        path = Path(path)
        with atomic_output(path, overwrite) as temporary:
            write_picture(temporary, self.picture(bits), self.source.shot, source=source)
        return path


def restore_picture(
    picture: Picture,
    *,
    model: Model,
    exposure: Exposure | ExposureWish | float | None = None,
    strength: float = 1.0,
    tile: int | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> RestoredPicture:
    """Restore a dark picture with a model that was trained on pictures.

    `exposure` is an amplification ratio or an `Exposure`, by default chosen from the picture.
    `strength` 0 only amplifies. `progress` is called with the fraction done. Raises `ValueError`
    for arguments out of range, `UnsupportedError` if the model is for RAW photos, `ModelError`.
    """
    if model.card.task != PICTURE_TASK:
        raise UnsupportedError(
            f"a finished picture, but the model {model.card.name} restores RAW photos; give the "
            "RAW file, or a model of `undark train pairs --aim rgb` with --model"
        )
    check_arguments(picture.levels.shape, tile)
    check_strength(strength)
    chosen = as_exposure(exposure, picture.mosaic, WHITE)
    linear = _run(model, picture.levels, chosen.amplification, tile, progress)
    if strength < 1:
        amplified = light_of(picture.levels) * np.float32(chosen.amplification)
        linear += np.float32(1 - strength) * (amplified - linear)
    return RestoredPicture(picture, linear, chosen)


@redone_on_cpu
def _run(
    model: Model,
    levels: NDArray[np.uint8] | NDArray[np.uint16],
    amplification: float,
    tile: int | None,
    progress: Callable[[float], None],
) -> NDArray[np.float32]:
    """Run the network on the picture: (H, W, 3) linear sRGB."""
    multiple = model.card.multiple
    down, across = (-(-n // multiple) * multiple for n in levels.shape[:2])
    after = ((0, down - levels.shape[0]), (0, across - levels.shape[1]), (0, 0))
    padded: NDArray[Any] = np.pad(levels, after, mode="edge")

    def inputs(part: tuple[slice, slice]) -> NDArray[np.float32]:
        light = light_of(padded[part]) * np.float32(amplification)
        return np.ascontiguousarray(np.moveaxis(light, -1, 0)[None])

    plan = [*chain(*tiles(down, across, multiple, model.card.halo, tile))]
    linear = np.empty(levels.shape, np.float32)
    outputs = ahead((part, model(inputs(part.outer))[0]) for part in plan)
    for number, (part, light) in enumerate(outputs, 1):
        rows, columns = part.inner
        place(linear, light[:, *part.kept], rows.start, columns.start)
        progress(number / len(plan))
    return linear
