"""Which noise a photo has: from its own tags, from the table of cameras, or from its pixels."""

from __future__ import annotations

import numpy as np

from undark.sensor.blind import estimate_noise
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel
from undark.sensor.profiles.cameras import find_camera


def noise_of(mosaic: Mosaic) -> tuple[NoiseModel, str]:
    """The noise of a photo, and where it is known from, for people to read."""
    if mosaic.noise_profile:
        return _from_profile(mosaic), "DNG NoiseProfile"
    camera, iso = find_camera(mosaic.shot.model), mosaic.shot.iso
    if camera and iso:
        return camera.at(iso, mosaic.span), f"measurements of the {camera.models[0]}"
    return estimate_noise(mosaic), "the photo itself"


def _from_profile(mosaic: Mosaic) -> NoiseModel:
    """Mean of the channels: variance = S·x + O with x in [0, 1] is S·span·signal + O·span²."""
    assert mosaic.noise_profile
    slope, offset = np.mean(mosaic.noise_profile, axis=0)
    gain = max(float(slope) * mosaic.span, 1e-6)
    return NoiseModel(gain, max(float(offset), 0.0) ** 0.5 * mosaic.span)
