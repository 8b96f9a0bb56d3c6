"""Classical methods of low-light enhancement and denoising: baselines for the network.

Each maps a picture (H, W, 3) float32 in [0, 1], amplified and encoded by a display curve, to
another: they were designed for encoded pictures, not for linear light. Tone methods change the
value of HSV, the largest channel, and scale the others in proportion, which keeps hue and
saturation. They need `undark[evaluate]`: scikit-image, SciPy and PyWavelets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.cpus import in_threads

Picture = NDArray[np.float32]
Method = Callable[[Picture], Picture]

SCALES = (15.0, 80.0, 250.0)
"""Standard deviations of Retinex's Gaussian surrounds in pixels, from the paper."""
CLIPPED = 0.01
"""Fraction of pixels that Retinex's contrast stretch clips at either end."""
PATCH, DISTANCE = 7, 8
"""Non-local means: side of the patches and search distance, in pixels."""
STRENGTH = 1.1
"""Non-local means' h, in standard deviations of the noise."""
BAND = 256
"""Rows of a picture that one thread of non-local means works on."""


def amplified(picture: Picture) -> Picture:
    """The amplified picture unchanged."""
    return picture


def gamma(picture: Picture) -> Picture:
    """The power law that maps the median value to 0.5."""
    middle = float(np.clip(np.median(_value(picture)), 0.001, 0.999))
    curved: Picture = picture ** np.float32(np.log(0.5) / np.log(middle))
    return curved


def histogram(picture: Picture) -> Picture:
    """Histogram equalisation: a uniform distribution of values (Hummel, CGIP 1977)."""
    from skimage.exposure import equalize_hist

    return _toned(picture, equalize_hist)


def clahe(picture: Picture) -> Picture:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld, Graphics Gems IV, 1994).

    scikit-image's defaults: tiles of an eighth of a side, clip limit 0.01.
    """
    from skimage.exposure import equalize_adapthist

    return _toned(picture, equalize_adapthist)


def retinex(picture: Picture) -> Picture:
    """Multi-scale Retinex: the mean log ratio of the value to its Gaussian blur at three scales.

    Jobson, Rahman & Woodell, "A multiscale retinex for bridging the gap between color images and
    the human observation of scenes", IEEE TIP 6(7), 1997. Applied to the value and stretched to
    [0, 1] with `CLIPPED` of the pixels clipped at either end, after Petro, Sbert & Morel,
    "Multiscale retinex", IPOL 2014: the original's gain and offset are for one display.
    """
    return _toned(picture, _multiscale)


def non_local_means(picture: Picture, strength: float = STRENGTH) -> Picture:
    """Non-local means: weighted means over similar patches (Buades, Coll & Morel, CVPR 2005).

    `strength` is h in standard deviations of the noise. The noise level is estimated from the
    finest wavelet coefficients (Donoho & Johnstone 1994) of every second pixel, because
    demosaicing correlates neighbours.
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
            part, PATCH, DISTANCE, h=strength * sigma, sigma=sigma, fast_mode=True, channel_axis=-1
        )
        out[top : top + BAND] = clean[above:][:BAND]

    in_threads(work, range(0, len(picture), BAND))
    return out


TONES: dict[str, Method] = {
    "amplified": amplified,
    "gamma": gamma,
    "histogram equalisation": histogram,
    "CLAHE": clahe,
    "multi-scale Retinex": retinex,
}
"""Methods, each judged alone and followed by `non_local_means`."""


def _value(picture: Picture) -> Picture:
    value: Picture = picture.max(axis=-1)
    return value


def _toned(picture: Picture, change: Callable[[Picture], NDArray[np.floating]]) -> Picture:
    """Apply `change` to the value (H, W); hue and saturation are kept."""
    value = _value(picture)
    factor = change(value) / np.maximum(value, 1e-6)
    toned: Picture = np.clip(picture * factor[..., None], 0, 1).astype(np.float32)
    return toned


def _multiscale(value: Picture) -> Picture:
    def log(plane: Picture) -> Picture:
        logarithm: Picture = np.log1p(255 * plane)  # on the scale of 8 bits
        return logarithm

    surrounds = [log(_blurred(value, scale)) for scale in SCALES]
    contrast = log(value) - sum(surrounds[1:], start=surrounds[0]) / np.float32(len(SCALES))
    low, high = np.quantile(contrast, (CLIPPED, 1 - CLIPPED))
    stretched: Picture = np.clip((contrast - low) / max(high - low, 1e-6), 0, 1)
    return stretched


def _blurred(plane: Picture, sigma: float) -> Picture:
    """Approximate Gaussian: three box filters, in time independent of sigma (Wells, PAMI 1986)."""
    from scipy.ndimage import uniform_filter

    side = max(1, round(np.sqrt(4 * sigma**2 + 1)) // 2 * 2 + 1)
    for _ in range(3):
        plane = uniform_filter(plane, side)
    return plane
