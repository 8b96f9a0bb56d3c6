"""Restoring one RAW photo: a dark mosaic in, linear camera RGB out.

mosaic → noise, amplification → tiles of packed planes → model → linear camera RGB
       → correction towards the measured light → picture
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import lcm
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.develop.demosaic import demosaic
from undark.develop.render import oriented, render, srgb_matrix
from undark.engine.card import PICTURE_TASK, SRGB_TASK
from undark.engine.catalogue import choose
from undark.engine.model import Model, cached_model
from undark.engine.recovery import redone_on_cpu
from undark.engine.tiling import TILE, place, run_tiled, tiles
from undark.errors import UnsupportedError
from undark.files.dng import write_linear
from undark.files.output import atomic_output
from undark.files.picture import write_grey_png, write_picture
from undark.restoring.bound import bound
from undark.restoring.confidence import Law, half_widths, law_of, noise_half_widths
from undark.restoring.frame import Frame
from undark.restoring.photons import Agreement, keep_to_photons
from undark.restoring.second_look import second_look
from undark.sensor.blind import Estimate
from undark.sensor.cfa import CFA
from undark.sensor.dark import DarkFrame, average, subtract
from undark.sensor.exposure import Exposure, ExposureWish, as_exposure
from undark.sensor.hot import mend
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel
from undark.sensor.profiles.lookup import estimate_of, noise_of

SCALE_KEY = "undark:scale"
"""Keyword of the text chunk that holds what a level of a map of confidence means."""


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
            raise UnsupportedError(
                "the model gives finished colours: their confidence is not known"
            )
        amplification = self.exposure.amplification
        if self.unblended is None:
            return half_widths(self.law, self.linear, self.mosaic, self.noise, amplification)
        whole = self.unblended
        noisy = noise_half_widths(whole.linear, self.mosaic, self.noise, amplification)
        noisy *= np.float32(1 - self.strength)
        np.hypot(np.float32(self.strength) * whole.confidence, noisy, out=noisy)
        return noisy

    def picture(self, bits: int = 8) -> NDArray[Any]:
        """(H, W, 3) uint8 or uint16, sRGB, upright."""
        return render(self.linear, self.mosaic, self.exposure.amplification, bits)

    def blend(self, strength: float) -> Restored:
        """Between the demosaiced photo (0) and the restored one (1); no new run."""
        if strength == 1:
            return self
        return replace(self, linear=_blend(self, strength), strength=strength, unblended=self)

    def save(
        self,
        path: str | Path,
        bits: int = 8,
        overwrite: bool = False,
        source: str | None = None,
    ) -> Path:
        """Write JPEG, PNG, TIFF or linear DNG, by the suffix, atomically.

        `source` is the digest of the photo's file (`files.provenance.digest_of`), kept in the
        result's metadata. Raises `ExistsError`, `OutputError`.
        """
        path = Path(path)
        with atomic_output(path, overwrite) as temporary:
            if path.suffix.lower() == ".dng":
                amplification = self.exposure.amplification
                write_linear(temporary, self.linear, self.mosaic, amplification, source)
            else:
                write_picture(temporary, self.picture(bits), self.mosaic.shot, source=source)
        return path

    def save_confidence(
        self, path: str | Path, overwrite: bool = False, source: str | None = None
    ) -> Path:
        """Write `confidence` as an upright grey PNG of 16 bits, its scale in a text chunk.

        Atomic. Half widths above 1 (white) are written as 1. Raises `ExistsError`, `OutputError`.
        """
        path = Path(path)
        widths = self.confidence
        scale = max(min(float(widths.max(initial=0)), 1.0), 1e-6) / 65535
        upright, frame = oriented(widths.shape, self.mosaic.orientation, 16)
        frame[..., 0] = np.rint(np.minimum(widths / np.float32(scale), 65535))
        text = {
            SCALE_KEY: f"{scale:.9g}",
            "Description": "half width of the 90 % interval of linear light, where 1 is white: "
            f"value x {scale:.9g}",
        }
        with atomic_output(path, overwrite) as temporary:
            write_grey_png(temporary, upright[..., 0].astype(np.uint16), text, source)
        return path


def restore(
    mosaic: Mosaic,
    *,
    exposure: Exposure | ExposureWish | float | None = None,
    strength: float = 1.0,
    model: Model | str | None = None,
    noise: NoiseModel | None = None,
    dark: DarkFrame | Sequence[Mosaic] = (),
    tile: int = TILE,
    progress: Callable[[float], None] = lambda share: None,
) -> Restored:
    """Restore a dark photo.

    `exposure` is an amplification ratio, an `Exposure` or what `parse_exposure` gives, by
    default chosen from the corrected photo; `model` by default the one that ships for its
    sensor, `noise` that of its tags, its camera or its own pixels. Hot and dead pixels are
    mended. `dark` are dark frames of the same camera and setting, `[undark.read("dark.arw"),
    …]`, or their mean, made once for many photos: an argument and no part of the mosaic, which
    is what the file says, and because the noise changes with it. `progress` is called with the
    share done. Raises `ValueError` for arguments out of range, `UnsupportedError` where the
    model is for another CFA or the dark frames do not fit, and `ModelError`.

    Offsets of rows and columns and black-level errors that the photo shows are subtracted first.
    With a given `noise` they are not, since it describes the photo as it is, nor with dark frames,
    which contain those that are the camera's.
    """
    check_arguments(mosaic.shape, strength, tile)
    estimate, source = None, "as given"
    if noise is None and dark:
        noise, source = noise_of(mosaic)
    elif noise is None:
        estimate = estimate_of(mosaic)
        mosaic, noise, source = estimate.correct(mosaic), estimate.noise, estimate.noise_source
    chosen = as_exposure(exposure, mosaic)
    if model is None:
        model = choose(mosaic.cfa.kind.name)
    network = cached_model(model) if isinstance(model, str) else model
    if estimate and estimate.own and network.card.task != SRGB_TASK:
        noise = second_look(mosaic, noise, chosen.amplification, partial(run_network, network))
        estimate = replace(estimate, noise=noise)
    mosaic, noise, mended = _mended(mosaic, noise, dark)
    linear = run_network(network, mosaic, noise, chosen.amplification, tile=tile, progress=progress)
    agreement, law = None, None
    if network.card.task != SRGB_TASK:  # whose brightness is a picture's, not the sensor's
        agreement = keep_to_photons(linear, mosaic, noise, chosen.amplification)
        law = law_of(network.path)
    made = Restored(mosaic, linear, chosen, noise, source, mended, estimate, agreement, law)
    return made.blend(strength)


def _mended(
    mosaic: Mosaic, noise: NoiseModel, dark: DarkFrame | Sequence[Mosaic]
) -> tuple[Mosaic, NoiseModel, int]:
    """Dark frames subtracted, hot pixels mended: the photo, its noise, the number of those."""
    known = None
    if dark:
        mean = dark if isinstance(dark, DarkFrame) else average(dark)
        if why := mean.misfit(mosaic):
            raise UnsupportedError(f"the dark frame does not fit: it is {why}; leave it out")
        mosaic, noise, known = subtract(mosaic, noise, mean)
    mended = mend(mosaic, noise, known)
    return mended.mosaic, noise, mended.count


@redone_on_cpu
def run_network(
    model: Model,
    mosaic: Mosaic,
    noise: NoiseModel,
    amplification: float,
    *,
    tile: int = TILE,
    bounded: bool = True,
    progress: Callable[[float], None] = lambda share: None,
) -> NDArray[np.float32]:
    """The network over the frame: (H, W, 3) linear camera RGB, not yet corrected.

    `bounded` holds it to the measured light around each pixel (see `restoring.bound`).
    """
    cfa = _check_cfa(model, mosaic)
    (height, width), (top, left) = mosaic.shape, cfa.shift
    multiple = lcm(model.card.multiple, cfa.kind.cells)  # tiles begin at the canonical phase
    padded = mosaic.canonical(multiple * cfa.cell)
    frame = Frame(padded, noise, amplification)
    down, across = (n // cfa.cell for n in padded.shape)
    plan = tiles(down, across, multiple, model.card.halo, tile)
    linear = np.empty((height, width, 3), np.float32)
    to_camera = _to_camera(model, mosaic)
    run = _within_bound(model, cfa.colours) if bounded and to_camera is None else model
    done = run_tiled(run, frame.inputs, plan, cfa.cell)
    for number, ((rows, columns), light) in enumerate(done, 1):
        light = np.tensordot(to_camera, light, 1) if to_camera is not None else light
        light = light + frame.highlights(rows, columns)
        place(linear, light, rows.start - top, columns.start - left)
        progress(number / len(plan))
    return linear


def _within_bound(
    model: Model, colours: tuple[int, ...]
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """The model, its output held to the measured light that it was given."""
    return lambda inputs: bound(model(inputs), inputs, colours)


def check_arguments(shape: tuple[int, ...], strength: float, tile: int) -> None:
    """Raises `ValueError` where nothing can be restored with these."""
    if 0 in shape:
        raise ValueError(f"an empty photo of {shape[0]} x {shape[1]} pixels")
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is 0 to 1, not {strength}")
    if tile < 1:
        raise ValueError(f"tile is 1 packed pixel or more, not {tile}")


def _to_camera(model: Model, mosaic: Mosaic) -> NDArray[np.float32] | None:
    """(3, 3) from the model's colours to camera RGB; None where they are the camera's already."""
    if model.card.task != SRGB_TASK:
        return None
    return np.linalg.inv(srgb_matrix(mosaic.camera_from_xyz)).astype(np.float32)


def _check_cfa(model: Model, mosaic: Mosaic) -> CFA:
    kind = mosaic.cfa.kind.name
    if model.card.task == PICTURE_TASK:
        raise UnsupportedError(
            f"the model {model.card.name} restores finished pictures, not RAW photos; "
            "choose another with --model (see `undark models`)"
        )
    if model.card.cfa != kind:
        raise UnsupportedError(
            f"this photo's sensor is {kind}, the model {model.card.name} restores "
            f"{model.card.cfa}; choose a model for {kind} with --model (see `undark models`)"
        )
    return mosaic.cfa


def _blend(restored: Restored, strength: float) -> NDArray[np.float32]:
    mosaic = restored.mosaic
    blended = amplify_and_demosaic(mosaic, restored.exposure.amplification)
    blended += np.float32(strength) * (restored.linear - blended)
    return blended


def amplify_and_demosaic(mosaic: Mosaic, amplification: float) -> NDArray[np.float32]:
    """(H, W, 3) linear camera RGB: amplified and demosaiced, nothing else."""
    light = demosaic(mosaic.signal(), mosaic.cfa)
    light *= mosaic.white_balance * np.float32(amplification / mosaic.span)
    return light
