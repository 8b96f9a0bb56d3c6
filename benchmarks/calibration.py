"""Calibrate simulated cameras whose noise is known: errors of gain, read noise and row noise.

    python benchmarks/calibration.py

Each camera of the table is shot at three ISOs of its range: 12 dark frames and two pairs of flats,
512×768 pixels as DNG files, with a vignette, colours, black levels that are off and dark shading.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from undark.calibrate.measure import Measured, measure
from undark.calibrate.survey import survey
from undark.files.dng import write_mosaic
from undark.sensor.cfa import CFA, RGGB, mosaic
from undark.sensor.mosaic import Mosaic, Shot
from undark.sensor.noise import NoiseModel, NumPySampler
from undark.sensor.profiles.cameras import CameraNoise, cameras

BLACK, WHITE = 512, 16383
BLACK_ERRORS = (0.3, -0.4, 1.2, -0.7)
"""DN, of the four positions in turn."""
LEVELS = (3000.0, 9000.0)
"""Brightest mean of the flats, DN above black."""


@dataclass(frozen=True)
class Shooting:
    """What the frames of a folder are like."""

    shape: tuple[int, int] = (512, 768)
    cfa: CFA = RGGB
    darks: int = 12
    flats: int = 2
    """At each of `LEVELS`."""
    shading: float = 3.0
    """DN from the top to the bottom of a dark frame."""
    uneven: float = 0.0
    """Standard deviation of the pixels' sensitivity, as a share."""
    make: str = "SONY"
    model: str = "ILCE-7SM2"


def write_frames(folder: Path, noise: NoiseModel, iso: float, how: Shooting = Shooting()) -> None:
    """Dark frames and flats of a camera at one ISO, in random order."""
    levels = [0.0] * how.darks + [level for level in LEVELS for _ in range(how.flats)]
    for number, level in enumerate(levels):
        name = f"IMG_{number * 11 % len(levels):03d}_{iso:g}.dng"
        write_mosaic(folder / name, shoot(noise, iso, level, number, how))


def shoot(noise: NoiseModel, iso: float, level: float, seed: int, how: Shooting) -> Mosaic:
    """One frame: a flat whose brightest mean is `level` DN, or a dark frame (0)."""
    height = how.shape[0]
    signal = level * evenly_lit(how) if level else np.zeros(how.shape, np.float32)
    noisy = replace(noise, step=0).add(signal, NumPySampler((seed, round(iso))), how.cfa.period)
    down = np.linspace(0, 1, height)[:, None] ** 2
    noisy = noisy + how.shading * down + black_errors(how)
    return Mosaic(
        plane=np.rint(noisy + BLACK).clip(0, WHITE).astype(np.uint16),
        cfa=how.cfa,
        black=np.full(how.cfa.pattern.shape, BLACK, np.float32),
        white=WHITE,
        white_balance=np.ones(3, np.float32),
        shot=Shot(
            how.make, how.model, iso=float(iso), exposure_time=0.01 + level / 1e5, aperture=4
        ),
    )


def evenly_lit(how: Shooting) -> NDArray[np.float32]:
    """(H, W) light through a lens that shades its corners by half, on unequal pixels; to 1."""
    down, across = (np.linspace(-1, 1, n) for n in how.shape)
    lens = 1 - 0.25 * (down[:, None] ** 2 + across**2)
    light = mosaic(np.stack([0.55 * lens, lens, 0.7 * lens]), how.cfa)
    pixels = np.random.default_rng(5).normal(1, how.uneven, how.shape) if how.uneven else 1
    return np.asarray(light * pixels, np.float32)


def black_errors(how: Shooting) -> NDArray[np.float64]:
    """(H, W) DN."""
    period = how.cfa.period
    errors = np.resize(BLACK_ERRORS, (period, period))
    repeats = [-(-n // period) for n in how.shape]
    return np.tile(errors, repeats)[: how.shape[0], : how.shape[1]]


def measured(noise: NoiseModel, iso: float, how: Shooting = Shooting()) -> Measured:
    """What a calibration finds of a camera at one ISO."""
    with tempfile.TemporaryDirectory() as folder:
        write_frames(Path(folder), noise, iso, how)
        found = survey(Path(folder), lambda done, of: None)
        return measure(found.isos[0], found.of(found.isos[0], True), found.of(found.isos[0], False))


def line(camera: CameraNoise, iso: float) -> str:
    """A row of the table: errors in %, where there is something to measure."""
    noise, found = camera.at(iso), measured(camera.at(iso), iso).setting
    cells = [camera.models[0], f"{iso:g}"]
    for name in ("gain", "read", "row"):
        truth, value = float(getattr(noise, name)), float(getattr(found, name))
        cells.append(f"{100 * (value / truth - 1):+.2f}" if truth else f"0 → {value:.2g} DN")
    shapes = ("Gaussian" if s is None else f"{s:.2f}" for s in (noise.shape, found.shape))
    return " | ".join(["", *cells, *shapes, ""]).strip()


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print("| camera | ISO | gain, % | read, % | row, % | shape | found |")
    print("|---|---|---|---|---|---|---|")
    for camera in cameras():
        low, high = camera.iso_range
        for iso in (low, round((low * high) ** 0.5), high):
            print(line(camera, iso), flush=True)


if __name__ == "__main__":
    main()
