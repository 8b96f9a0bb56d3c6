"""Restoring one RAW photo: a dark mosaic in, linear camera RGB out.

mosaic → noise, amplification → tiles of packed planes → model → linear camera RGB
       → correction towards the measured light → picture

`prepare` does what needs the whole photo, `Prepared.bands` the rest, from top to bottom.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.develop.render import render
from undark.develop.white_balance import AS_SHOT, WhiteBalance, gains_for
from undark.engine.card import SRGB_TASK
from undark.engine.catalogue import BEST, choose
from undark.engine.model import Model, cached_model
from undark.engine.recovery import redone_on_cpu
from undark.errors import UnsupportedError
from undark.files.dng import write_linear
from undark.files.output import atomic_output
from undark.files.picture import write_picture
from undark.restoring.bands import (
    AROUND,
    HEIGHT,
    Band,
    Progress,
    check_model,
    collected,
    corrected_bands,
    network_strips,
    run_network,
)
from undark.restoring.blend import blended, check_strength, widths_of
from undark.restoring.confidence import Law, law_of, write_widths
from undark.restoring.photons import Agreement
from undark.restoring.second_look import second_look
from undark.sensor.blind import Estimate
from undark.sensor.conditioning import most_amplification
from undark.sensor.dark import DarkFrame, average, subtract
from undark.sensor.exposure import Exposure, ExposureWish, as_exposure
from undark.sensor.hot import mend
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel
from undark.sensor.profiles.lookup import estimate_of, noise_of

NO_CONFIDENCE = "the model gives finished colours: their confidence is not known"


@dataclass(frozen=True, eq=False)
class Restored:
    """A restored photo, not yet rendered."""

    mosaic: Mosaic
    """The photo as the network was given it: offsets of rows and columns, black-level errors and
    dark frames subtracted, hot pixels mended."""
    linear: NDArray[np.float32]
    """(H, W, 3) white-balanced camera RGB in the sensor's orientation; 1 is white."""
    exposure: Exposure
    noise: NoiseModel
    noise_source: str
    mended: int = 0
    """Hot and dead pixels that were replaced."""
    estimate: Estimate | None = None
    """What the photo says of itself; None where the noise was given."""
    agreement: Agreement | None = None
    """With the measured light; None for models that give finished colours (`SRGB_TASK`)."""
    law: Law | None = None
    """Of `confidence`; None where it is not known."""
    strength: float = 1.0
    """Share of the noise that was removed."""
    unblended: Restored | None = None
    """At strength 1, where this is weaker."""

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """(H, W): half the width of the 90 % interval of red, green and blue, unit of `linear`.

        In the sensor's orientation. Raises `UnsupportedError` for models of finished colours.
        """
        if self.law is None:
            raise UnsupportedError(NO_CONFIDENCE)
        whole = (self.unblended or self).linear
        amplification = self.exposure.amplification
        return widths_of(self.law, whole, self.mosaic, self.noise, amplification, self.strength)

    def picture(
        self, bits: int = 8, white_balance: WhiteBalance = AS_SHOT, contrast: float = 0.0
    ) -> NDArray[Any]:
        """(H, W, 3) uint8 or uint16, sRGB, upright.

        `white_balance` is "as-shot", "daylight" or a grey point (x, y) in pixels of this picture,
        `contrast` -1 to 1 (see `develop.render`). Raises `ValueError` for others, and
        `UnsupportedError` where daylight's white balance is not known or the point is outside,
        clipped or nearly black.
        """
        amplification, gains = self.exposure.amplification, self.gains(white_balance)
        return render(self.linear, self.mosaic, amplification, bits, gains, contrast)

    def gains(self, white_balance: WhiteBalance) -> NDArray[np.float32] | None:
        """The camera's gains (red, green, blue) for a white balance; None: as shot.

        Raises as `picture` does.
        """
        amplification = self.exposure.amplification
        return gains_for(white_balance, self.mosaic, amplification, self._light_at)

    def _light_at(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        return self.linear[rows, columns]

    def blend(self, strength: float) -> Restored:
        """Between the demosaiced photo (0) and the restored one (1); no new run.

        Raises `ValueError` for other strengths.
        """
        check_strength(strength)
        if strength == 1:
            return self
        linear, amplification = np.empty_like(self.linear), self.exposure.amplification
        for top in range(0, len(linear), HEIGHT):
            light = self.linear[top : top + HEIGHT]
            linear[top : top + HEIGHT] = blended(light, top, self.mosaic, amplification, strength)
        return replace(self, linear=linear, strength=strength, unblended=self)

    def save(
        self,
        path: str | Path,
        bits: int = 8,
        overwrite: bool = False,
        source: str | None = None,
        white_balance: WhiteBalance = AS_SHOT,
        contrast: float = 0.0,
    ) -> Path:
        """Write JPEG, PNG, TIFF or linear DNG, by the suffix, atomically.

        `source` is the digest of the photo's file (`files.provenance.digest_of`), kept in the
        result's metadata. `white_balance` and `contrast` are those of `picture`. A DNG has the
        same pixels with any white balance, which its AsShotNeutral tag holds, and contrast does not
        apply to it: it is linear light. Raises as `picture` does, and `ExistsError`, `OutputError`.
        """
        path = Path(path)
        with atomic_output(path, overwrite) as temporary:
            if path.suffix.lower() == ".dng":
                amplification, gains = self.exposure.amplification, self.gains(white_balance)
                write_linear(temporary, self.linear, self.mosaic, amplification, source, gains)
            else:
                rgb = self.picture(bits, white_balance, contrast)
                write_picture(temporary, rgb, self.mosaic.shot, source=source)
        return path

    def save_confidence(
        self, path: str | Path, overwrite: bool = False, source: str | None = None
    ) -> Path:
        """Write `confidence` as an upright grey PNG of 16 bits, its scale in a text chunk.

        Atomic. Half widths above 1 (white) are written as 1. Raises `ExistsError`, `OutputError`.
        """
        return write_widths(Path(path), self.confidence, self.mosaic, overwrite, source)


def restore(
    mosaic: Mosaic,
    *,
    exposure: Exposure | ExposureWish | float | None = None,
    strength: float = 1.0,
    model: Model | str | None = None,
    quality: str = BEST,
    noise: NoiseModel | None = None,
    dark: DarkFrame | Mosaic | Sequence[Mosaic] = (),
    tile: int | None = None,
    progress: Progress = lambda share: None,
) -> Restored:
    """Restore a dark photo.

    `exposure` is an amplification ratio, an `Exposure` or what `parse_exposure` gives, by
    default chosen from the corrected photo; `model` by default the one that ships for its sensor
    and the `quality`, "best" or "fast", `noise` that of its tags, its camera or its own pixels.
    Hot and dead pixels are mended. `dark` are dark frames of the same camera and setting,
    `[undark.read("dark.arw"), …]`, one of them, or their mean, made once for many photos: an
    argument and no part of the mosaic, which is what the file says, and because the noise changes
    with it. `progress` is called with the share done. Raises `ValueError` for arguments out of
    range, and for a mosaic or a noise that no photo has, `UnsupportedError` where the model is for
    another CFA, the dark frames do not fit or the photo is smaller than the CFA's period, and
    `ModelError`.

    Offsets of rows and columns and black-level errors that the photo shows are subtracted first.
    With a given `noise` they are not, since it describes the photo as it is, nor with dark frames,
    which contain those that are the camera's.
    """
    check_strength(strength)
    found = prepare(
        mosaic,
        exposure=exposure,
        model=model,
        quality=quality,
        noise=noise,
        dark=dark,
        tile=tile,
    )
    linear, agreement = restored_light(found.model, found, progress)
    made = Restored(
        mosaic=found.mosaic,
        linear=linear,
        exposure=found.exposure,
        noise=found.noise,
        noise_source=found.noise_source,
        mended=found.mended,
        estimate=found.estimate,
        agreement=agreement,
        law=found.law,
    )
    return made.blend(strength)


@redone_on_cpu
def restored_light(
    model: Model, photo: Prepared, progress: Progress
) -> tuple[NDArray[np.float32], Agreement | None]:
    """The restored light (H, W, 3) by the photo's `model`, and its agreement with the measured."""
    return collected(photo.bands(progress), photo.mosaic.shape)


@dataclass(frozen=True, eq=False)
class Earlier:
    """Restored light of an earlier run."""

    light: NDArray[np.float32]
    """(H, W, 3)"""
    amplification: float
    agreement: Agreement | None

    def bands(self, amplification: float, progress: Progress) -> Iterator[Band]:
        """The light at another amplification; the agreement is given to the first."""
        light, factor = self.light, np.float32(amplification / self.amplification)
        for top in range(0, len(light), HEIGHT):
            begin, end = max(top - AROUND, 0), min(top + HEIGHT + AROUND, len(light))
            own = slice(top - begin, min(top + HEIGHT, len(light)) - begin)
            yield Band(top, light[begin:end] * factor, own, None if top else self.agreement)
            progress(min(top + HEIGHT, len(light)) / len(light))


@dataclass(frozen=True, eq=False)
class Prepared:
    """A photo of which everything is known but the restored light; fields as of `Restored`."""

    mosaic: Mosaic
    exposure: Exposure
    noise: NoiseModel
    noise_source: str
    mended: int
    estimate: Estimate | None
    model: Model
    tile: int | None = None
    earlier: Earlier | None = None
    """What `bands` gives, multiplied for this exposure; None: it runs the network."""

    @cached_property
    def law(self) -> Law | None:
        """Of the confidence; None for models that give finished colours."""
        return None if self.model.card.task == SRGB_TASK else law_of(self.model.path)

    def exposed(self, wish: ExposureWish) -> Prepared:
        """With another exposure relative to the proposed one, which is that of this photo."""
        return replace(self, exposure=wish.onto(self.exposure))

    def bands(self, progress: Progress = lambda share: None) -> Iterator[Band]:
        """The restored light from top to bottom."""
        exposure = self.exposure
        if self.earlier is not None:
            yield from self.earlier.bands(exposure.amplification, progress)
            return
        factor = np.float32(exposure.amplification / exposure.network_amplification)
        photo = (self.mosaic, self.noise, exposure.network_amplification)
        strips = network_strips(self.model, *photo, tile=self.tile, progress=progress)
        bands = _uncorrected(strips) if self.law is None else corrected_bands(strips, *photo)
        for band in bands:
            yield band if factor == 1 else replace(band, around=band.around * factor)


def _uncorrected(strips: Iterator[NDArray[np.float32]]) -> Iterator[Band]:
    """Of finished colours: their brightness is a picture's, not the sensor's."""
    top = 0
    for strip in strips:
        yield Band(top, strip, slice(0, len(strip)))
        top += len(strip)


def prepare(
    mosaic: Mosaic,
    *,
    exposure: Exposure | ExposureWish | float | None = None,
    model: Model | str | None = None,
    quality: str = BEST,
    noise: NoiseModel | None = None,
    dark: DarkFrame | Mosaic | Sequence[Mosaic] = (),
    tile: int | None = None,
) -> Prepared:
    """Noise, amplification and model of a photo, its offsets and defects mended; see `restore`."""
    mosaic.check()
    check_arguments(mosaic.shape, tile)
    if min(mosaic.shape) < mosaic.cfa.period:
        raise UnsupportedError(
            "{} x {} pixels are fewer than the sensor's pattern has".format(*mosaic.shape[::-1])
        )
    if noise is not None:
        noise.check()
    if mosaic.merged is not None and dark:
        raise UnsupportedError("a merged photo has no dark frame that fits; leave it out")
    estimate, source = None, "as given"
    if noise is None and (dark or mosaic.merged is not None):
        noise, source = noise_of(mosaic)
    elif noise is None:
        estimate = estimate_of(mosaic)
        mosaic, noise, source = estimate.correct(mosaic), estimate.noise, estimate.noise_source
    chosen = as_exposure(exposure, mosaic)
    if model is None:
        model = choose(mosaic.cfa.kind.name, quality=quality)
    network = cached_model(model) if isinstance(model, str) else model
    check_model(network, mosaic)
    linear, asked = network.card.task != SRGB_TASK, chosen.network_amplification
    if estimate and estimate.own and linear:
        level = most_amplification(mosaic, noise, asked)
        noise = second_look(mosaic, noise, level, partial(run_network, network))
        estimate = replace(estimate, noise=noise)
    mosaic, noise, mended = _mended(mosaic, noise, dark)
    if linear:
        chosen = chosen.with_network_at(most_amplification(mosaic, noise, asked))
    return Prepared(mosaic, chosen, noise, source, mended, estimate, network, tile)


def _mended(
    mosaic: Mosaic, noise: NoiseModel, dark: DarkFrame | Mosaic | Sequence[Mosaic]
) -> tuple[Mosaic, NoiseModel, int]:
    """Dark frames subtracted, hot pixels mended: the photo, its noise, the number of those."""
    if mosaic.merged is not None:  # they were mended frame by frame
        return mosaic, noise, 0
    known = None
    if dark:
        frames = [dark] if isinstance(dark, Mosaic) else dark
        mean = frames if isinstance(frames, DarkFrame) else average(frames)
        if why := mean.misfit(mosaic):
            raise UnsupportedError(f"the dark frame does not fit: it is {why}; leave it out")
        mosaic, noise, known = subtract(mosaic, noise, mean)
    mended = mend(mosaic, noise, known)
    return mended.mosaic, noise, mended.count


def check_arguments(shape: tuple[int, ...], tile: int | None) -> None:
    """Raises `ValueError` where nothing can be restored with these."""
    if 0 in shape:
        raise ValueError(f"an empty photo of {shape[0]} x {shape[1]} pixels")
    if tile is not None and tile < 1:
        raise ValueError(f"tile is 1 packed pixel or more, not {tile}")
