"""Which noise a photo has: by the user's calibration, its tags, the table, or its pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from undark.sensor.blind import Estimate, estimate, with_known_noise
from undark.sensor.hot import mend
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel
from undark.sensor.profiles.cameras import find_camera

_STEEPEST = 1.0
"""NoiseProfile's slope where one electron fills the range from black to white."""
_DEEPEST = 0.1
"""NoiseProfile's offset, a variance: black with a sigma of a third of the range."""


def noise_of(mosaic: Mosaic) -> tuple[NoiseModel, str]:
    """The noise of an uncorrected photo, and its source, as text for the user."""
    known = _known(mosaic)
    if known is not None:
        return known
    return estimate(mosaic).uncorrected, _itself(mosaic)


def estimate_of(mosaic: Mosaic) -> Estimate:
    """What the photo itself says of its offsets and black, with the noise as `noise_of` finds it.

    The noise is that of the corrected photo; `Estimate.noise_source` is the text for the user.
    """
    found, known = estimate(mosaic), _known(mosaic)
    if known is None:
        return replace(found, noise_source=_itself(mosaic))
    return with_known_noise(found, *known)


def without_defects(mosaic: Mosaic) -> tuple[Mosaic, NoiseModel]:
    """The photo as a network is given it, and its noise.

    Without the offsets of rows and columns and the black-level errors that the estimate finds, and
    without hot and dead pixels. The result has the same `shading`.
    """
    found = estimate_of(mosaic)
    return mend(found.correct(mosaic), found.noise).mosaic, found.noise


def _known(mosaic: Mosaic) -> tuple[NoiseModel, str] | None:
    """The noise by the merge, the user's calibration, the photo's tags or the table, and which it
    was."""
    if mosaic.merged is not None:
        return mosaic.merged.typical, f"the merge of {mosaic.merged.frames} frames"
    if mosaic.calibrated is not None:
        return mosaic.calibrated, f"your calibration of the {mosaic.shot.camera}"
    if mosaic.noise_profile and _plausible(mosaic.noise_profile):
        return _from_profile(mosaic.noise_profile, mosaic.span), "DNG NoiseProfile"
    camera, iso = find_camera(mosaic.shot.model), mosaic.shot.iso
    if camera is None or not iso:
        return None
    source = f"measurements of the {camera.models[0]}{_ignored(mosaic)}"
    return camera.at(iso, mosaic.span), source


def _itself(mosaic: Mosaic) -> str:
    return f"the photo itself{_ignored(mosaic)}"


def _ignored(mosaic: Mosaic) -> str:
    ignored = "; the DNG's NoiseProfile is implausible and ignored"
    return ignored if mosaic.noise_profile else ""


def _plausible(profile: tuple[tuple[float, float], ...]) -> bool:
    """Whether a sensor can have these slopes and offsets; NaN is not plausible."""
    return all(0 < slope <= _STEEPEST and 0 <= offset <= _DEEPEST for slope, offset in profile)


def _from_profile(profile: tuple[tuple[float, float], ...], span: float) -> NoiseModel:
    """Mean of the channels: variance = S·x + O with x in [0, 1] is S·span·signal + O·span²."""
    slope, offset = np.mean(profile, axis=0)
    return NoiseModel(max(float(slope) * span, 1e-6), float(offset) ** 0.5 * span)
