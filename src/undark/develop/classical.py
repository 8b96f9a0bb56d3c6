"""What brightened and cleaned pictures before networks did: what a network must beat.

Each takes a picture (H, W, 3) float32 in [0, 1], amplified to its exposure and encoded by a display
curve, and gives one of the same kind: they were all made for encoded pictures, not for linear
light. Tone methods work on the value of HSV, the strongest channel, and change the others in
proportion: hue and saturation stay. They want `undark[evaluate]`: scikit-image, with SciPy and
PyWavelets.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
Method = Callable[[Picture], Picture]

SCALES = (15.0, 80.0, 250.0)
"""Standard deviations of Retinex's surrounds in pixels, as its authors have them."""
CLIPPED = 0.01
"""Share of pixels that Retinex's stretch to black and white leaves outside on either side."""
PATCH, DISTANCE = 7, 8
"""Side of the patches that non-local means compares, and how far it looks, in pixels."""
STRENGTH = 1.1
"""Non-local means' h, in standard deviations of the noise."""
BAND = 256
"""Rows of a picture that non-local means does at once, for memory and all cores."""


def amplified(picture: Picture) -> Picture:
    """Nothing but the amplification."""
    return picture


def gamma(picture: Picture) -> Picture:
    """The power law that brings the middle tone (median) to one half."""
    middle = float(np.clip(np.median(_value(picture)), 0.001, 0.999))
    curved: Picture = picture ** np.float32(np.log(0.5) / np.log(middle))
    return curved


def histogram(picture: Picture) -> Picture:
    """Histogram equalisation: each tone in as many pixels as any other (Hummel, CGIP 1977)."""
    from skimage.exposure import equalize_hist

    return _toned(picture, equalize_hist)


def clahe(picture: Picture) -> Picture:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld, Graphics Gems IV, 1994).

    As scikit-image has it by default: tiles of an eighth of a side, contrast limited to 0.01.
    """
    from skimage.exposure import equalize_adapthist

    return _toned(picture, equalize_adapthist)


def retinex(picture: Picture) -> Picture:
    """Multi-scale Retinex: the mean logarithm of tones over their surrounds at three scales.

    Jobson, Rahman & Woodell, "A multiscale retinex for bridging the gap between color images and
    the human observation of scenes", IEEE TIP 6(7), 1997. On the value, and stretched to black and
    white but for `CLIPPED` of the pixels, after Petro, Sbert & Morel, "Multiscale retinex", IPOL
    2014: the original's gain and offset are for one display.
    """
    return _toned(picture, _multiscale)


def non_local_means(picture: Picture) -> Picture:
    """Means of pixels whose surroundings look alike (Buades, Coll & Morel, CVPR 2005).

    How noisy a picture is, is taken from its finest wavelets (Donoho & Johnstone 1994), at every
    second pixel: demosaicing has made neighbours alike.
    """
    from skimage import restoration

    tools: Any = restoration  # untyped
    sigma = float(np.mean(tools.estimate_sigma(picture[::2, ::2], channel_axis=-1)))
    reach = PATCH // 2 + DISTANCE
    out = np.empty_like(picture)

    def work(top: int) -> None:
        above = min(reach, top)
        part = picture[top - above : top + BAND + reach]
        clean = tools.denoise_nl_means(
            part, PATCH, DISTANCE, h=STRENGTH * sigma, sigma=sigma, fast_mode=True, channel_axis=-1
        )
        out[top : top + BAND] = clean[above:][:BAND]

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        list(pool.map(work, range(0, len(picture), BAND)))
    return out


TONES: dict[str, Method] = {
    "amplified": amplified,
    "gamma": gamma,
    "histogram equalisation": histogram,
    "CLAHE": clahe,
    "multi-scale Retinex": retinex,
}
"""Each alone, and followed by `non_local_means`."""


def _value(picture: Picture) -> Picture:
    value: Picture = picture.max(axis=-1)
    return value


def _toned(picture: Picture, change: Callable[[Picture], NDArray[np.floating]]) -> Picture:
    """The picture with its value (H, W) changed, hue and saturation kept."""
    value = _value(picture)
    factor = change(value) / np.maximum(value, 1e-6)
    toned: Picture = np.clip(picture * factor[..., None], 0, 1).astype(np.float32)
    return toned


def _multiscale(value: Picture) -> Picture:
    def log(plane: Picture) -> Picture:
        logarithm: Picture = np.log1p(255 * plane)  # as of 8 bits
        return logarithm

    surrounds = [log(_blurred(value, scale)) for scale in SCALES]
    contrast = log(value) - sum(surrounds[1:], start=surrounds[0]) / np.float32(len(SCALES))
    low, high = np.quantile(contrast, (CLIPPED, 1 - CLIPPED))
    stretched: Picture = np.clip((contrast - low) / max(high - low, 1e-6), 0, 1)
    return stretched


def _blurred(plane: Picture, sigma: float) -> Picture:
    """Gaussian, by three means over boxes: quick at any sigma (Wells, PAMI 1986)."""
    from scipy.ndimage import uniform_filter

    side = max(1, round(np.sqrt(4 * sigma**2 + 1)) // 2 * 2 + 1)
    for _ in range(3):
        plane = uniform_filter(plane, side)
    return plane
