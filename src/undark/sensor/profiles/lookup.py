"""Which noise a photo has: by the user's calibration, its tags, the table, or its pixels."""

from __future__ import annotations

import numpy as np

from undark.sensor.blind import estimate_noise
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel
from undark.sensor.profiles.cameras import find_camera

_STEEPEST = 1.0
"""NoiseProfile's slope where one electron fills the range from black to white."""
_DEEPEST = 0.1
"""NoiseProfile's offset, a variance: black with a sigma of a third of the range."""


def noise_of(mosaic: Mosaic) -> tuple[NoiseModel, str]:
    """The noise of a photo, and where it is known from, as text for the user."""
    if mosaic.calibrated is not None:
        return mosaic.calibrated, f"your calibration of the {mosaic.shot.camera}"
    if mosaic.noise_profile and _plausible(mosaic.noise_profile):
        return _from_profile(mosaic.noise_profile, mosaic.span), "DNG NoiseProfile"
    noise, source = _without_profile(mosaic)
    if mosaic.noise_profile:
        source += "; the DNG's NoiseProfile is implausible and ignored"
    return noise, source


def _without_profile(mosaic: Mosaic) -> tuple[NoiseModel, str]:
    camera, iso = find_camera(mosaic.shot.model), mosaic.shot.iso
    if camera and iso:
        return camera.at(iso, mosaic.span), f"measurements of the {camera.models[0]}"
    return estimate_noise(mosaic), "the photo itself"


def _plausible(profile: tuple[tuple[float, float], ...]) -> bool:
    """Whether a sensor can have these slopes and offsets; NaN is not plausible."""
    return all(0 < slope <= _STEEPEST and 0 <= offset <= _DEEPEST for slope, offset in profile)


def _from_profile(profile: tuple[tuple[float, float], ...], span: float) -> NoiseModel:
    """Mean of the channels: variance = S·x + O with x in [0, 1] is S·span·signal + O·span²."""
    slope, offset = np.mean(profile, axis=0)
    return NoiseModel(max(float(slope) * span, 1e-6), float(offset) ** 0.5 * span)
