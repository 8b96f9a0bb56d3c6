"""How sure each restored pixel is: half the width of the 90 % interval of its light.

A fixed law of few coefficients, fitted to a model's errors on photographs by
`benchmarks/confidence.py` and kept beside the model. The network is homogeneous (light and noise
times a constant give output times that constant), so the half width is sigma times a function of
ratios to sigma: the signal-to-noise ratio, and the contrast of the restored light around the pixel.
How far measured and restored light are apart there does not make the law better.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from undark.cpus import in_threads
from undark.develop.render import oriented
from undark.errors import ModelError
from undark.files.output import atomic_output
from undark.files.picture import write_grey_png
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel
from undark.sensor.windows import box_means

Floats = NDArray[np.float32]

COVERAGE = 0.9
"""Share of the true values that are within half a width of the restored ones."""
NORMAL = 1.645
"""Sigmas of a normal deviate that hold `COVERAGE` of its values."""
SUFFIX = ".confidence.json"
"""A model's law is beside its file: `bayer.onnx`, `bayer.confidence.json`."""
REACHES = (1, 3)
"""Contrast is that of 3×3 and of 7×7 pixels."""
SCALE_KEY = "undark:scale"
"""Keyword of the text chunk that holds what a level of a map of confidence means."""
_BAND, _REACH = 64, 4
"""Rows that a thread works on at a time, and rows around them that they depend on."""
_DEMOSAICED = 0.76
"""Root mean square noise of bilinear demosaicing as a share of the pixels' own: a colour is
measured (1), or the mean of two (0.71) or four (0.5) neighbours."""
_LEAST_SIGNAL = 1e-3
"""Contrast, in sigmas, that counts as none."""


@dataclass(frozen=True)
class Law:
    """log(half width / sigma) = coefficients · log(contrasts) + offset(signal-to-noise ratio)."""

    coefficients: tuple[float, ...]
    """Of the contrast in 3×3 and in 7×7 pixels."""
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
        names = ("coefficients", "levels", "offsets")
        coefficients, levels, offsets = (tuple(map(float, content[n])) for n in names)
        if len(coefficients) != len(REACHES) or len(levels) != len(offsets):
            raise ValueError(f"a law has {len(REACHES)} coefficients, and an offset for each level")
        least, most = float(content["least"]), float(content["most"])
        if not np.isfinite([*coefficients, *levels, *offsets, least, most]).all() or least <= 0:
            raise ValueError("its numbers are finite, its widths above 0")
        return cls(coefficients, levels, offsets, least, most)

    def half_widths(self, features: Floats) -> Floats:
        """(…, 3) of `describe_rows` → (…) in sigmas."""
        offset = np.interp(features[..., 0], self.levels, self.offsets).astype(np.float32)
        log = features[..., 1:] @ np.array(self.coefficients, np.float32) + offset
        widths: Floats = np.exp(np.clip(log, np.log(self.least), np.log(self.most)))
        return widths


def law_of(model: Path | None) -> Law:
    """The law beside a model's file; a model without one has that of the shipped Bayer model.

    `model` is None for a network that is in no file. Raises `ModelError` where the file is damaged.
    """
    path = model and model.with_suffix(SUFFIX)
    return _read(path if path and path.is_file() else _shipped())


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

    The light is that of the `mosaic`, of all its rows. Of all values of red, green and blue,
    `COVERAGE` of the true ones are expected within a half width of the restored ones.
    """
    widths = np.empty(light.shape[:2], np.float32)

    def work(top: int) -> None:
        rows = slice(top, min(top + _BAND, len(light)))
        sigma, features = describe_rows(light, mosaic, noise, amplification, rows)
        widths[rows] = sigma * law.half_widths(features)

    in_threads(work, range(0, len(light), _BAND))
    return widths


def noise_half_widths(
    light: Floats, mosaic: Mosaic, noise: NoiseModel, amplification: float
) -> Floats:
    """(H, W) half widths of amplified and demosaiced light whose noise-free light is `light`."""
    to_light = mosaic.white_balance * np.float32(amplification / mosaic.span)
    widths = np.empty(light.shape[:2], np.float32)
    for top in range(0, len(light), _BAND):
        rows = slice(top, top + _BAND)
        sigma = _sigma(light[rows], noise, to_light) * _merged_factor(mosaic, rows)
        widths[rows] = NORMAL * _DEMOSAICED * sigma
    return widths


def _merged_factor(mosaic: Mosaic, rows: slice) -> Floats | np.float32:
    """(h, W): of the standard deviation, where frames were merged; the mean over 3×3 pixels."""
    if mosaic.merged is None:
        return np.float32(1)
    wide = slice(max(rows.start - 1, 0), rows.stop + 1)
    factor = np.sqrt(box_means(mosaic.merged.excess(wide), 1))
    return np.asarray(factor[rows.start - wide.start :][: rows.stop - rows.start])


def write_widths(
    path: Path, widths: Floats, mosaic: Mosaic, overwrite: bool, source: str | None
) -> Path:
    """Write half widths (H, W), 1 is white, as an upright grey PNG of 16 bits, atomically.

    Its scale is in a text chunk; widths above 1 are written as 1. Raises `ExistsError`,
    `OutputError`.
    """
    scale = max(min(float(widths.max(initial=0)), 1.0), 1e-6) / 65535
    upright, frame = oriented(widths.shape, mosaic.orientation, 16)
    frame[..., 0] = np.rint(np.minimum(widths / np.float32(scale), 65535))
    text = {
        SCALE_KEY: f"{scale:.9g}",
        "Description": "half width of the 90 % interval of linear light, where 1 is white: "
        f"value x {scale:.9g}",
    }
    with atomic_output(path, overwrite) as temporary:
        write_grey_png(temporary, upright[..., 0].astype(np.uint16), text, source)
    return path


def describe_rows(
    light: Floats, mosaic: Mosaic, noise: NoiseModel, amplification: float, rows: slice
) -> tuple[Floats, Floats]:
    """For some rows: (h, W) sigma of the amplified signal, and (h, W, 3) what the law uses.

    Sigma is that of a measured value, the mean over red, green and blue, in the unit of `light`.
    The law uses log(1 + signal / sigma), and log(contrast / sigma) for `REACHES`.
    """
    top = max(rows.start - _REACH, 0)
    wide = slice(top, min(rows.stop + _REACH, len(light)))
    inner = slice(rows.start - top, rows.stop - top)
    part = np.moveaxis(light[wide], -1, 0)
    to_light = mosaic.white_balance * np.float32(amplification / mosaic.span)
    means = [box_means(part, reach) for reach in REACHES]
    sigma = _sigma(np.moveaxis(means[0], 0, -1), noise, to_light)
    sigma *= _merged_factor(mosaic, wide)
    level = np.log1p(np.maximum(means[0].mean(axis=0) / sigma, 0))
    features = [level]
    for mean, reach in zip(means, REACHES, strict=True):
        variance = (box_means(part * part, reach) - mean * mean).mean(axis=0)
        contrast = np.sqrt(np.maximum(variance, 0)) / sigma
        features.append(np.log(contrast + np.float32(_LEAST_SIGNAL)))
    return sigma[inner], np.stack(features, axis=-1)[inner]


def _sigma(light: Floats, noise: NoiseModel, to_light: Floats) -> Floats:
    """(h, W): standard deviation of a measured value, mean over the colours of (h, W, 3) light."""
    total = np.zeros(light.shape[:2], np.float32)
    for colour, factor in enumerate(to_light):
        total += factor * noise.sigma(light[..., colour] / factor)
    return total / np.float32(3)
