"""The methods that are compared, a network and classical ones: dark photo → linear light."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from undark.develop.classical import TONES, non_local_means
from undark.develop.colour import decode_rec709, encode_rec709
from undark.engine.model import Model
from undark.evaluation.protocols import rendering
from undark.restoring.blend import amplify_and_demosaic
from undark.restoring.raw import restore
from undark.sensor.mosaic import Mosaic

Floats = NDArray[np.float32]

AMPLIFIED = "amplified"
"""Amplification only: the noisy input."""
DENOISED = " + non-local means"
NAMES = tuple(name + after for after in ("", DENOISED) for name in TONES)
"""The classical methods."""


def renditions(
    network: Model, dark: Mosaic, amplification: float, quick: bool = False
) -> Iterator[tuple[str, Floats]]:
    """Yield each method's name and light (H, W, 3), white-balanced camera RGB, the network first.

    All use the same amplification; classical methods start from the amplified, demosaiced picture.
    With `quick`, only the network and the amplified photo. Raises `UnsupportedError`, `ModelError`.
    """
    yield network.card.name, restore(dark, exposure=amplification, model=network).linear
    matrix = rendering(dark)
    srgb = _times(amplify_and_demosaic(dark, amplification), matrix)
    picture: Floats = encode_rec709(srgb)
    to_camera = np.linalg.inv(matrix)
    for name, tone in TONES.items():
        toned = tone(picture)
        yield name, _times(decode_rec709(toned), to_camera)
        if quick:  # the first method is `AMPLIFIED`
            return
        yield name + DENOISED, _times(decode_rec709(non_local_means(toned)), to_camera)


def _times(light: Floats, matrix: NDArray[np.floating]) -> Floats:
    """Multiply each pixel's three channels by a (3, 3) matrix."""
    return light @ matrix.T.astype(np.float32)
