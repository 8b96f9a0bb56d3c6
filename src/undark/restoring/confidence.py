"""How sure each restored pixel is: half the width of the 90 % interval of its light.

A fixed law of few coefficients, fitted to a model's errors on photographs by
`benchmarks/confidence.py` and kept beside the model. The network is homogeneous (light and noise
times a constant give output times that constant), so the half width is sigma times a function of
ratios to sigma: the signal-to-noise ratio, the contrast around the pixel, and how far measured and
restored light are apart there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from undark.errors import ModelError
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel

Floats = NDArray[np.float32]

COVERAGE = 0.9
"""Share of the true values that are within half a width of the restored ones."""
NORMAL = 1.645
"""Sigmas of a normal deviate that hold `COVERAGE` of its values."""
SUFFIX = ".confidence.json"
"""A model's law is beside its file: `bayer.onnx`, `bayer.confidence.json`."""
FEATURES, LEVEL = 11, 1
"""Numbers that the law has of a pixel, and which of them is the signal-to-noise ratio's."""
_BAND, _REACH = 64, 6
"""Rows that a thread works on at a time, and rows around them that they depend on."""
_DEMOSAICED = 0.76
"""Root mean square noise of bilinear demosaicing as a share of the pixels' own: a colour is
measured (1), or the mean of two (0.71) or four (0.5) neighbours."""
_LEAST_SIGNAL = 1e-3
"""Contrast and residual, in sigmas, that count as none."""


@dataclass(frozen=True)
class Law:
    """log(half width / sigma) = coefficients · features + an offset by signal-to-noise ratio."""

    coefficients: tuple[float, ...]
    """One for each feature."""
    levels: tuple[float, ...]
    """log(1 + signal / sigma), ascending, at which the offset is given; linear between them."""
    offsets: tuple[float, ...]
    least: float
    """Smallest half width in sigmas, of those it was fitted to."""
    most: float
    """Largest half width in sigmas, of those it was fitted to."""

    @classmethod
    def from_json(cls, text: str) -> Law:
        """Raises `ValueError`, `KeyError` or `TypeError` where it is no law."""
        content = json.loads(text)
        lists = (tuple(map(float, content[n])) for n in ("coefficients", "levels", "offsets"))
        law = cls(*lists, float(content["least"]), float(content["most"]))
        if len(law.coefficients) != FEATURES or len(law.levels) != len(law.offsets):
            raise ValueError(f"a law has {FEATURES} coefficients, and an offset for each level")
        numbers = [*law.coefficients, *law.levels, *law.offsets, law.least, law.most]
        if not np.isfinite(numbers).all():
            raise ValueError("its numbers are finite")
        return law

    def half_widths(self, features: Floats) -> Floats:
        """(…, `FEATURES`) → (…) in sigmas."""
        offset = np.interp(features[..., LEVEL], self.levels, self.offsets)
        log = features @ np.array(self.coefficients, np.float32) + offset.astype(np.float32)
        widths: Floats = np.exp(np.clip(log, np.log(self.least), np.log(self.most)))
        return widths


def law_of(model: Path) -> Law:
    """The law beside a model's file; a model without one has that of the shipped Bayer model.

    Raises `ModelError` where the file is damaged.
    """
    path = model.with_suffix(SUFFIX)
    return _read(path if path.is_file() else _shipped())


def _shipped() -> Path:
    return Path(str(files("undark.engine") / "weights" / f"bayer{SUFFIX}"))


@lru_cache(maxsize=8)
def _read(path: Path) -> Law:
    try:
        return Law.from_json(path.read_text())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path}: no law of confidence ({error}); make it again with benchmarks/confidence.py"
        ) from error


def half_widths(
    law: Law, light: Floats, mosaic: Mosaic, noise: NoiseModel, amplification: float
) -> Floats:
    """(H, W) half widths in the unit of restored light (H, W, 3): 1 is white.

    Of all values of red, green and blue, `COVERAGE` of the true ones are expected within a half
    width of the restored ones.
    """
    widths = np.empty(light.shape[:2], np.float32)

    def work(top: int) -> None:
        rows = slice(top, min(top + _BAND, len(light)))
        sigma, features = describe_rows(light, mosaic, noise, amplification, rows)
        widths[rows] = sigma * law.half_widths(features)

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        list(pool.map(work, range(0, len(light), _BAND)))
    return widths


def noise_half_widths(
    light: Floats, mosaic: Mosaic, noise: NoiseModel, amplification: float
) -> Floats:
    """(H, W) half widths of amplified and demosaiced light whose noise-free light is `light`."""
    to_light = mosaic.white_balance * np.float32(amplification / mosaic.span)
    widths = np.empty(light.shape[:2], np.float32)
    for top in range(0, len(light), _BAND):
        rows = slice(top, top + _BAND)
        widths[rows] = NORMAL * _DEMOSAICED * _sigma(light[rows], noise, to_light)
    return widths


def describe_rows(
    light: Floats, mosaic: Mosaic, noise: NoiseModel, amplification: float, rows: slice
) -> tuple[Floats, Floats]:
    """For some rows: (h, W) sigma of the amplified signal, (h, W, `FEATURES`) what the law uses.

    Sigma is that of a measured value, the mean over red, green and blue, in the unit of `light`.
    """
    top = max(rows.start - _REACH, 0)
    wide = slice(top, min(rows.stop + _REACH, len(light)))
    inner = slice(rows.start - top, rows.stop - top)
    part = light[wide]
    to_light = mosaic.white_balance * np.float32(amplification / mosaic.span)
    sigma = _sigma(_smooth(part, 1), noise, to_light)
    grey = part.mean(axis=-1)
    variance, error = _residual(part, mosaic, noise, to_light, wide)
    apart = np.sqrt(_smooth(error, 3) / _smooth(variance, 3))
    contrasts = [_contrast(part, reach) / sigma for reach in (1, 3)]
    features = _features(_smooth(grey, 1) / sigma, contrasts, apart)
    return sigma[inner], features[inner]


def _features(ratio: Floats, contrasts: list[Floats], apart: Floats) -> Floats:
    """(h, W, `FEATURES`): a constant, and logarithms with some of their products."""
    level = np.log1p(np.maximum(ratio, 0))
    near, far = (np.log(contrast + np.float32(_LEAST_SIGNAL)) for contrast in contrasts)
    off = np.log(apart + np.float32(_LEAST_SIGNAL))
    one = np.ones_like(level)
    listed = [
        one,
        level,
        level**2,
        near,
        far,
        near**2,
        far**2,
        near * far,
        level * far,
        off,
        off * far,
    ]
    return np.stack(listed, axis=-1)


def _sigma(light: Floats, noise: NoiseModel, to_light: Floats) -> Floats:
    """(h, W): standard deviation of a measured value, mean over the colours of (h, W, 3) light."""
    total = np.zeros(light.shape[:2], np.float32)
    for colour, factor in enumerate(to_light):
        total += factor * noise.sigma(light[..., colour] / factor)
    return total / np.float32(3)


def _residual(
    light: Floats, mosaic: Mosaic, noise: NoiseModel, to_light: Floats, rows: slice
) -> tuple[Floats, Floats]:
    """(h, W) predicted variance of measured minus restored signal, and its square, DN²."""
    seen = np.empty(light.shape[:2], np.float32)
    for y, x, colour in _places(mosaic, rows):
        seen[y, x] = light[y, x, colour] / to_light[colour]
    variance = np.asarray(noise.variance(seen), np.float32)
    error = (mosaic.signal(rows) - seen) ** 2
    # hot pixels say nothing of the pixels around them
    return variance, np.minimum(error, 9 * variance)


def _places(mosaic: Mosaic, rows: slice) -> Iterator[tuple[slice, slice, int]]:
    """Rows, columns and colour of each position of the CFA's period, in some rows."""
    cfa = mosaic.cfa.crop(rows.start % mosaic.cfa.period, 0)
    for y, line in enumerate(cfa.rows):
        for x, colour in enumerate(line):
            yield slice(y, None, cfa.period), slice(x, None, cfa.period), colour


def _contrast(light: Floats, reach: int) -> Floats:
    """(h, w): standard deviation over (2·reach + 1)² pixels, root mean square of the colours."""
    centred = light - light.mean(axis=(0, 1))  # the difference of squares keeps its digits
    variance = _smooth(centred**2, reach) - _smooth(centred, reach) ** 2
    return np.sqrt(np.maximum(variance.mean(axis=-1), 0))


def _smooth(values: Floats, reach: int) -> Floats:
    """Mean over (2·reach + 1)² pixels; the border is repeated."""
    for axis in (0, 1):
        pad = [(reach, reach) if a == axis else (0, 0) for a in range(values.ndim)]
        wide, length = np.pad(values, pad, mode="edge"), values.shape[axis]
        parts = [
            wide[(slice(None),) * axis + (slice(s, s + length),)] for s in range(2 * reach + 1)
        ]
        values = sum(parts[1:], start=parts[0]) * np.float32(1 / (2 * reach + 1))
    return values
