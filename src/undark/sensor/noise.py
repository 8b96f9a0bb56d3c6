"""A sensor's noise: simulate it (training, demo, tests) and predict its sigma (restoring).

After Wei et al., "Physics-based noise modeling for extreme low-light photography" (TPAMI 2021):
Poisson shot noise times the system gain K (DN per electron); read noise, Gaussian or
Tukey-lambda (heavier tails); a random offset of each row; a random black-level error of each
position of the CFA's period; quantisation.

One implementation serves NumPy and torch (array API). Parameters may be numbers or arrays that
broadcast against the mosaic, so a batch can hold a different camera in each photo.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from undark.sensor.arrays import Array, like, namespace

_LARGEST = 1e6
"""DN that no noise of a frame of 16 bits has."""


class Sampler(Protocol):
    """Random numbers as float arrays of one array library."""

    def poisson(self, rate: Array) -> Array: ...
    def normal(self, shape: tuple[int, ...]) -> Array: ...
    def uniform(self, shape: tuple[int, ...]) -> Array: ...


class NumPySampler:
    """A `Sampler` for NumPy, float32, seeded."""

    def __init__(self, seed: int | tuple[int, ...]) -> None:
        self._random = np.random.default_rng(seed)

    def poisson(self, rate: Array) -> Array:
        return np.asarray(self._random.poisson(rate), np.float32)

    def normal(self, shape: tuple[int, ...]) -> Array:
        return self._random.standard_normal(shape, np.float32)

    def uniform(self, shape: tuple[int, ...]) -> Array:
        return self._random.random(shape, np.float32)


@dataclass(frozen=True)
class NoiseModel:
    """The noise of one camera at one setting. All but `gain` and `shape` are in DN."""

    gain: Array
    """K: DN per electron, above 0."""
    read: Array = 0.0
    """Standard deviation of the read noise."""
    shape: Array | None = None
    """Tukey-lambda shape of the read noise; None: Gaussian. 0.14 is close to Gaussian."""
    row: Array = 0.0
    """Standard deviation of the offset of each row."""
    bias: Array = 0.0
    """Standard deviation of the black level's error at each position of the CFA's period."""
    step: float = 1.0
    """Quantisation step of the converter; 0: none."""

    def check(self) -> None:
        """Raises `ValueError` for numbers that no sensor's noise has."""
        sizes = (self.gain, self.read, self.row, self.bias, self.step)
        if not (self.gain > 0 and all(0 <= size < _LARGEST for size in sizes)):
            raise ValueError(f"gain is above 0, and all of it finite and not below 0: {self}")

    def variance(self, signal: Array) -> Array:
        """Variance of a pixel, over frames, with mean `signal` (DN above black)."""
        xp = namespace(signal)
        at_black = self.read**2 + self.row**2 + self.bias**2 + self.step**2 / 12
        return self.gain * xp.clip(signal, 0, None) + at_black

    def sigma(self, signal: Array) -> Array:
        """Standard deviation of a pixel in DN; see `variance`."""
        return namespace(signal).sqrt(self.variance(signal))

    def add(self, signal: Array, sampler: Sampler, period: int = 2) -> Array:
        """A noisy frame of a clean mosaic (…, H, W), both in DN above black; nothing is clipped.

        `period` is the CFA's: all pixels at one position of it share a black-level error.
        """
        xp = namespace(signal)
        height, width = signal.shape[-2:]
        noisy = sampler.poisson(xp.clip(signal, 0, None) / self.gain) * self.gain
        noisy = noisy + self.read * self._read_noise(tuple(signal.shape), sampler)
        noisy = noisy + self.row * sampler.normal((*signal.shape[:-1], 1))
        tiles = (*(1 for _ in signal.shape[:-2]), -(-height // period), -(-width // period))
        bias = self.bias * sampler.normal((*signal.shape[:-2], period, period))
        noisy = noisy + xp.tile(bias, tiles)[..., :height, :width]
        return xp.round(noisy / self.step) * self.step if self.step else noisy

    def _read_noise(self, size: tuple[int, ...], sampler: Sampler) -> Array:
        """Read noise of standard deviation 1."""
        if self.shape is None:
            return sampler.normal(size)
        return tukey_lambda(sampler.uniform(size), self.shape)

    def scaled(self, factor: float) -> NoiseModel:
        """The noise of the same signal multiplied by `factor` (another white level)."""
        return NoiseModel(
            gain=self.gain * factor,
            read=self.read * factor,
            shape=self.shape,
            row=self.row * factor,
            bias=self.bias * factor,
            step=self.step,
        )


def reached(
    deviations: float, gain: float, level: NDArray[np.floating], sigma: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Standard deviations `sigma` that noise at a level exceeds as rarely as a normal deviate
    exceeds `deviations`: a Poisson distribution's tail is longer.

    The quantile's expansion after Cornish & Fisher (1938), up to the skewness. All DN.
    """
    skew = np.float32(gain**2) * level / sigma**3
    return np.asarray(deviations + skew * np.float32((deviations**2 - 1) / 6), np.float32)


def tukey_lambda(uniform: Array, shape: Array) -> Array:
    """Uniform numbers in [0, 1) → Tukey-lambda deviates of standard deviation 1.

    `shape`: a number, or an array in main memory that broadcasts against `uniform`.
    """
    xp = namespace(uniform)
    shapes = np.asarray(shape, np.float64)
    deviations = np.array([tukey_std(float(s)) for s in shapes.ravel()]).reshape(shapes.shape)
    lam = like(np.where(np.abs(shapes) < 1e-3, 1e-3, shapes), uniform)
    middle = xp.clip(uniform, 1e-6, 1 - 1e-6)
    return (middle**lam - (1 - middle) ** lam) / (lam * like(deviations, uniform))


def tukey_std(shape: float) -> float:
    """Standard deviation of Tukey-lambda noise of scale 1: 1.45 at shape 0.14, 1.81 at 0.

    variance = 2/λ² · (1/(1+2λ) - Γ(λ+1)²/Γ(2λ+2)); its limit at λ = 0 is the logistic's π²/3.
    """
    if abs(shape) < 1e-3:
        return math.pi / math.sqrt(3)
    beta = math.gamma(shape + 1) ** 2 / math.gamma(2 * shape + 2)
    return math.sqrt(2 / shape**2 * (1 / (1 + 2 * shape) - beta))
