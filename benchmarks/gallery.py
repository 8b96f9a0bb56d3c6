"""A page of crops at 100 %: noisy, BM3D, undark, its confidence, and the truth.

    python benchmarks/gallery.py sheet.jpg

The scene of `undark demo` (text, wooden figures painted in skin tones, foliage, a lamp, a plain
wall) and a night sky of stars made here, as a simulated Sony A7S2 sees them at ISO 1600, 250 times
too dark. BM3D is given the true noise; without the package `bm3d` its column is left out. In the
column of confidence white stands for a half width of `WIDEST` of white or more.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import undark
from classical_planes import Plane, missing
from darkroom import MATRIX, Cell, as_dark, classical_light, darken
from quality import settings_of
from undark.demo import load_scene
from undark.develop.colour import camera_from_srgb
from undark.develop.drawing import titled
from undark.develop.render import render
from undark.files.output import atomic_output
from undark.files.picture import write_picture
from undark.sensor.mosaic import Shot

CELL = Cell(1600, 250)
SIDE, MARGIN = 280, 64
"""Pixels of a crop, and around it, so that methods see what is beside it."""
WIDEST = 0.2
STARS = 60
"""Stars of the sky's crop."""
PLACES = {
    "text": (1230, 760),
    "skin tones": (730, 930),
    "foliage": (470, 210),
    "city at night": (110, 60),
    "plain wall": (520, 1090),
    "lamp": (400, 1370),
}
"""Name → top left corner in the scene, even."""


@dataclass(frozen=True)
class Part:
    """A piece of light (H, W, 3), white-balanced camera RGB, with the margin around it."""

    name: str
    light: Plane


def parts() -> list[Part]:
    """The crops of the scene, and the sky."""
    scene = np.clip(load_scene() @ camera_from_srgb(MATRIX).T, 0, None).astype(np.float64)
    found = []
    for name, corner in PLACES.items():
        top, left = (max(n - MARGIN, 0) // 2 * 2 for n in corner)
        found.append(Part(name, scene[top:, left:][: SIDE + 2 * MARGIN, : SIDE + 2 * MARGIN]))
    return [*found, Part("stars", night_sky())]


def night_sky(seed: int = 0) -> Plane:
    """A dark sky, brighter towards the horizon, with Gaussian stars of 1.4 to 2.6 pixels width."""
    random, side = np.random.default_rng(seed), SIDE + 2 * MARGIN
    y, x = np.mgrid[:side, :side]
    sky: Plane = (0.004 + 0.008 * y / side)[..., None] * np.array([0.7, 0.9, 1.2])
    for _ in range(STARS):
        at, width = random.uniform(0, side, 2), random.uniform(1.4, 2.6)
        tint = np.exp(random.normal(0, 0.15, 3))
        peak = np.exp(random.uniform(np.log(0.05), np.log(2)))
        distance = (y - at[0]) ** 2 + (x - at[1]) ** 2
        sky += peak * 0.5 ** (4 * distance[..., None] / width**2) * tint
    return sky


def row(part: Part, number: int, model: Any) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """Pictures of one part, and their titles."""
    frame = darken(part.light, CELL, (number,))
    dark, noise = as_dark(frame)
    ratio = float(CELL.amplification)
    restored = undark.restore(dark, exposure=ratio, noise=noise, model=model)
    sure = np.clip(restored.confidence / WIDEST, 0, 1)[..., None] * np.ones(3)
    lights = {f"{part.name}: noisy": classical_light(frame, "noisy", {})[1]}
    if not missing("bm3d"):
        lights["BM3D"] = classical_light(frame, "bm3d", settings_of("bm3d", "srgb", CELL))[1]
    lights |= {"undark": restored.linear.astype(np.float64), "truth": part.light}
    shown: dict[str, NDArray[Any]] = {
        name: render(light.astype(np.float32), dark, ratio) for name, light in lights.items()
    }
    truth = shown.pop("truth")
    shown |= {"confidence": np.rint(255 * sure).astype(np.uint8), "truth": truth}
    return [_inner(picture) for picture in shown.values()], list(shown)


def _inner(picture: NDArray[Any]) -> NDArray[np.uint8]:
    top, left = ((n - SIDE) // 2 for n in picture.shape[:2])
    return picture[top : top + SIDE, left : left + SIDE]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="bayer", metavar="NAME|FILE")
    asked = parser.parse_args()
    model = undark.load_model(asked.model)
    rows = [titled(*row(part, number, model), 32) for number, part in enumerate(parts())]
    with atomic_output(asked.out, overwrite=True) as temporary:
        write_picture(temporary, np.concatenate(rows), Shot(), quality=88)


if __name__ == "__main__":
    main()
