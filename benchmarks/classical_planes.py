"""Three classical denoisers for a Bayer mosaic with known noise: baselines for the networks.

Each plane (R, G, G, B) is denoised separately, between a generalised Anscombe transform, which
gives the noise a standard deviation of 1 everywhere, and its exact unbiased inverse (Mäkitalo &
Foi, "Optimal inversion of the generalized Anscombe transformation for Poisson-Gaussian noise", IEEE
TIP 2013). The denoisers use the true noise of the sensor, including its Tukey-lambda distribution.

- wavelet: BayesShrink or VisuShrink (scikit-image), over all small shifts (Coifman & Donoho 1995);
- nl-means: Buades et al., CVPR 2005, with the correction for known noise (scikit-image);
- bm3d: Dabov et al., IEEE TIP 2007, as its authors distribute it (`pip install bm3d`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson

Plane = NDArray[np.float64]
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class SensorNoise:
    """The noise of a sensor at one setting, as `sony_a7s2_by_iso.json` gives it; DN above black."""

    gain: float
    """K, DN per electron."""
    shape: float
    """Shape of the Tukey-lambda read noise."""
    scale: float
    """Scale of the Tukey-lambda read noise."""
    row: float
    """Standard deviation of the offset of a row."""
    bias: float
    """Standard deviation of the error of the black level at each position of the CFA."""

    @classmethod
    def from_json(cls, entry: Mapping[str, float]) -> SensorNoise:
        """One of the file's entries under "iso"."""
        names = ("K", "tukey_lambda_shape", "tukey_lambda_scale", "row_std", "bias_std")
        return cls(*(float(entry[name]) for name in names))

    def read_noise(self, uniform: Plane) -> Plane:
        """Uniform numbers in (0, 1) → read noise in DN: Tukey-lambda's quantile function."""
        lam = self.shape
        return self.scale * (uniform**lam - (1 - uniform) ** lam) / lam

    @cached_property
    def read(self) -> float:
        """Standard deviation of the read noise."""
        lam = self.shape
        beta = math.gamma(lam + 1) ** 2 / math.gamma(2 * lam + 2)
        return self.scale * math.sqrt(2 / lam**2 * (1 / (1 + 2 * lam) - beta))

    @property
    def sigma_at_black(self) -> float:
        """Standard deviation of all noise that does not depend on the light."""
        return math.sqrt(self.read**2 + self.row**2 + self.bias**2 + 1 / 12)

    def add(self, signal: Plane, random: np.random.Generator) -> Plane:
        """A frame of a clean mosaic (H, W), quantised to whole DN, not clipped."""
        height, width = signal.shape
        noisy = self.gain * random.poisson(np.maximum(signal, 0) / self.gain)
        noisy = noisy + self.read_noise(random.random(signal.shape).clip(1e-9, 1 - 1e-9))
        noisy += self.row * random.standard_normal((height, 1))
        bias = self.bias * random.standard_normal((2, 2))
        noisy += np.tile(bias, (-(-height // 2), -(-width // 2)))[:height, :width]
        rounded: Plane = np.rint(noisy)
        return rounded


class Stabiliser:
    """The generalised Anscombe transform of a sensor and its exact unbiased inverse.

    Scaled so that light from 0 to `white` (DN) becomes 0 to 1; `sigma` is the noise on that scale.
    """

    def __init__(self, noise: SensorNoise, white: float) -> None:
        self._noise = noise
        self._low, high = (float(v) for v in self._stabilise(np.array([0.0, white])))
        self.sigma = 1 / (high - self._low)
        # table of expected values, which the inverse interpolates
        self._light = 4 * white * np.linspace(0, 1, 512) ** 2
        self._expected = self._expectation(self._light)

    def forward(self, signal: Plane) -> Plane:
        """DN above black → values whose noise has the standard deviation `sigma`."""
        return (self._stabilise(signal) - self._low) * self.sigma

    def inverse(self, stable: Plane) -> Plane:
        """Expected values of `forward` → DN above black, at least 0: unbiased."""
        light: Plane = np.interp(stable / self.sigma + self._low, self._expected, self._light)
        return light

    def _stabilise(self, signal: Plane) -> Plane:
        gain, sigma_at_black = self._noise.gain, self._noise.sigma_at_black
        inside = gain * signal + 3 / 8 * gain**2 + sigma_at_black**2
        return 2 / gain * np.sqrt(np.maximum(inside, 0))

    def _expectation(self, light: Plane) -> Plane:
        """E[stabilised | light], by summing over electrons and quantiles of the read noise."""
        gain = self._noise.gain
        quantiles = self._noise.read_noise((np.arange(400) + 0.5) / 400)
        quantiles *= self._noise.sigma_at_black / quantiles.std()
        rate = light / gain
        electrons = np.arange(int(rate.max() + 8 * math.sqrt(rate.max()) + 20))
        stabilised = self._stabilise(gain * electrons[:, None] + quantiles).mean(axis=1)
        probabilities = poisson.pmf(electrons, rate[:, None])
        mean: Plane = probabilities @ stabilised
        return mean


def denoise_mosaic(
    signal: Plane, noise: SensorNoise, white: float, method: str, settings: Settings
) -> Plane:
    """Denoise a mosaic (H, W) in DN above black, each Bayer plane separately.

    `white` is the value in DN that the amplification maps to white.
    """
    stabiliser = Stabiliser(noise, white)
    clean = np.empty_like(signal)
    for y in range(2):
        for x in range(2):
            stable = stabiliser.forward(signal[y::2, x::2])
            stable = DENOISERS[method](stable, stabiliser.sigma, settings)
            clean[y::2, x::2] = stabiliser.inverse(stable)
    return clean


def wavelet(plane: Plane, sigma: float, settings: Settings) -> Plane:
    """Threshold wavelets, the mean over `shifts`² shifts; `strength` multiplies the noise."""
    from skimage.restoration import cycle_spin, denoise_wavelet

    options = {name: settings[name] for name in ("wavelet", "method", "mode", "wavelet_levels")}
    options |= {"sigma": settings["strength"] * sigma, "rescale_sigma": False}
    shifts = settings["shifts"] - 1
    clean: Plane = cycle_spin(plane, denoise_wavelet, shifts, func_kw=options, workers=1)
    return clean


def nl_means(plane: Plane, sigma: float, settings: Settings) -> Plane:
    """Means of similar patches; `strength` is h in units of the noise."""
    from skimage.restoration import denoise_nl_means

    size, distance = settings["patch_size"], settings["patch_distance"]
    h = settings["strength"] * sigma
    clean: Plane = denoise_nl_means(plane, size, distance, h=h, sigma=sigma, fast_mode=True)
    return clean


def bm3d(plane: Plane, sigma: float, settings: Settings) -> Plane:
    """Block matching and 3D filtering; `strength` multiplies the noise, `profile` is "np" or "vn".

    For white noise, variances computed on a domain of 16 and of one layer are as good as the
    defaults (32 and 4): the same PSNR to 0.03 dB, or better, in a third of the time.
    """
    import bm3d as package

    profile = {"np": package.BM3DProfile, "vn": package.BM3DProfileVN}[settings["profile"]]()
    profile.nf, profile.k, profile.num_threads = 16, 1, 1
    clean: Plane = package.bm3d(plane, settings["strength"] * sigma, profile)
    return clean


DENOISERS: dict[str, Callable[[Plane, float, Settings], Plane]] = {
    "wavelet": wavelet,
    "nl-means": nl_means,
    "bm3d": bm3d,
}


def _grid(**choices: Sequence[Any]) -> tuple[Settings, ...]:
    """All combinations."""
    combinations = product(*choices.values())
    return tuple(dict(zip(choices, values, strict=True)) for values in combinations)


_WAVELETS: dict[str, Sequence[Any]] = {
    "wavelet": ("db2", "sym4"),
    "wavelet_levels": (4,),
    "shifts": (8,),
}
GRIDS: dict[str, tuple[Settings, ...]] = {
    "wavelet": (
        *_grid(
            method=("BayesShrink",),
            mode=("soft",),
            strength=(0.9, 0.95, 1.0, 1.05, 1.15, 1.25),
            **_WAVELETS,
        ),
        *_grid(
            method=("VisuShrink",),
            mode=("hard",),
            strength=(0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1),
            **_WAVELETS,
        ),
    ),
    "nl-means": _grid(
        patch_size=(5, 7),
        patch_distance=(6, 11),
        strength=(0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4),
    ),
    "bm3d": _grid(profile=("np", "vn"), strength=(0.9, 0.97, 1.04, 1.12, 1.2, 1.3, 1.45, 1.6, 1.8)),
}
"""The settings from which tuning selects."""


def missing(method: str) -> str | None:
    """Why a method cannot be run on this machine, or None."""
    package = "bm3d" if method == "bm3d" else "skimage"
    return None if find_spec(package) else f"the package {package} is not installed"
