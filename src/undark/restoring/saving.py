"""Restore a RAW photo into a file, from top to bottom: no frame of floats is held."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from undark.develop.render import Rendering
from undark.develop.white_balance import AS_SHOT, WhiteBalance
from undark.engine.model import Model
from undark.engine.recovery import redone_on_cpu
from undark.errors import UnsupportedError
from undark.files.dng import LinearLevels
from undark.files.output import atomic_output
from undark.files.picture import write_picture
from undark.restoring.bands import Band, Progress
from undark.restoring.blend import blended, widths_of
from undark.restoring.confidence import write_widths
from undark.restoring.grey import gains_before
from undark.restoring.photons import Agreement, together
from undark.restoring.raw import NO_CONFIDENCE, Prepared


@dataclass(frozen=True)
class Target:
    """What is written of a photo."""

    path: Path | None
    """JPEG, PNG, TIFF or linear DNG, by the suffix."""
    confidence: Path | None = None
    """The map of confidence, a PNG."""
    bits: int = 8
    """Bits a channel, 8 or 16, of PNG and TIFF."""
    overwrite: bool = False
    source: str | None = None
    """Digest of the photo's file (`files.provenance.digest_of`), kept in the metadata."""
    white_balance: WhiteBalance = AS_SHOT
    contrast: float = 0.0
    """-1 to 1; does not apply to a linear DNG."""


def restore_into(
    target: Target,
    photo: Prepared,
    strength: float = 1.0,
    progress: Progress = lambda share: None,
) -> Agreement | None:
    """Restore and write the same files as `Restored.save` and `Restored.save_confidence`.

    The map of confidence is written first. Raises `ExistsError`, `OutputError`, `ModelError`, and
    `UnsupportedError` for the confidence of finished colours and for a white balance that cannot
    be had (see `Restored.picture`).
    """
    files, agreement = _made(photo.model, target, photo, strength, progress)
    progress(1.0)  # the last moment to stop: from here on files are written
    for file in files:
        file.write(target.overwrite, target.source)
    return agreement


@redone_on_cpu
def _made(
    model: Model, target: Target, photo: Prepared, strength: float, progress: Progress
) -> tuple[list[_Pixels | _Widths], Agreement | None]:
    """What is to be written, by the photo's `model`."""
    files: list[_Pixels | _Widths] = []
    if target.confidence:
        files.append(_Widths(target.confidence, photo, strength))
    if target.path:
        files.append(_Pixels(target, target.path, photo, strength))
    agreements = []
    for band in photo.bands(progress):
        for file in files:
            file.add(band)
        agreements.append(band.agreement)
    return files, together(agreements)


class _Pixels:
    """The restored photo, as levels."""

    def __init__(self, target: Target, path: Path, photo: Prepared, strength: float) -> None:
        self._path, self._photo, self._strength = path, photo, strength
        mosaic, amplification = photo.mosaic, photo.exposure.amplification
        self._gains = gains_before(target.white_balance, photo, strength)
        shown = (target.bits, self._gains, target.contrast)
        self._levels = (
            LinearLevels.before(mosaic, amplification)
            if path.suffix.lower() == ".dng"
            else Rendering(mosaic.shape, mosaic, amplification, *shown)
        )

    def add(self, band: Band) -> None:
        light, photo = band.light, self._photo
        if self._strength < 1:
            mixed = (photo.mosaic, photo.exposure.amplification, self._strength)
            light = blended(light, band.top, *mixed)
        self._levels.add(band.top, light)

    def write(self, overwrite: bool, source: str | None) -> None:
        shot, amplification = self._photo.mosaic.shot, self._photo.exposure.amplification
        with atomic_output(self._path, overwrite) as temporary:
            if isinstance(self._levels, LinearLevels):
                self._levels.write(temporary, amplification, source, self._gains)
            else:
                write_picture(temporary, self._levels.picture, shot, source=source)


class _Widths:
    """The map of confidence."""

    def __init__(self, path: Path, photo: Prepared, strength: float) -> None:
        if photo.law is None:
            raise UnsupportedError(NO_CONFIDENCE)
        self._path, self._photo, self._law, self._strength = path, photo, photo.law, strength
        self._widths = np.empty(photo.mosaic.shape, np.float32)

    def add(self, band: Band) -> None:
        photo = self._photo
        begin, width = band.top - band.own.start, photo.mosaic.shape[1]
        mosaic = photo.mosaic.crop(begin, 0, len(band.around), width)
        how = (mosaic, photo.noise, photo.exposure.amplification, self._strength)
        around = widths_of(self._law, band.around, *how)
        self._widths[band.top : band.top + len(band.light)] = around[band.own]

    def write(self, overwrite: bool, source: str | None) -> None:
        write_widths(self._path, self._widths, self._photo.mosaic, overwrite, source)
