"""What darktable, RawTherapee and LibRaw make of the linear DNGs that undark writes.

    apt-get install darktable rawtherapee
    python benchmarks/dng_in_programs.py WORK        # the tables of docs/export.md

A program renders, with the same settings, the DNG of a bright noise-free mosaic and undark's linear
DNGs of the same scene: of its light without noise ("exact"; what the file format changes), of the
same with a lamp of 12 times white in it, and of what `undark restore --to dng` makes of a dark
mosaic at ISO 1600 ×100 ("restored"). Compared are, in linear sRGB, away from borders and the lamp,
means over blocks of 8 × 8 pixels where the program's own rendering is neither black nor clipped:

- EV: log2 of the ratio of their means;
- colour: the mean CIE 1976 difference of their colours, after the exposure difference is taken out.

The EXIF of the file that a program writes shows what metadata arrived.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from classical_planes import Plane
from darkroom import (
    SHARED,
    Cell,
    as_mosaic,
    load_light,
    middle,
    see,
    shoot_dng,
)
from peer_programs import Darktable, LibRaw, Program, RawTherapee, Task
from undark.develop.colour import XYZ_FROM_SRGB, decode_srgb
from undark.files.dng import write_linear, write_mosaic
from undark.files.exif_read import shot_of
from undark.sensor.mosaic import GPS, Mosaic, Shot

PROGRAMS: tuple[Program, ...] = (LibRaw("LibRaw"), Darktable(), RawTherapee())
CELL = Cell(1600, 100)
SIZE = (512, 768)
LAMP = np.s_[20:60, 20:60]
BLOCK, BORDER = 8, 32
SHOT = Shot(
    make="SONY",
    model="ILCE-7SM2",
    lens="FE 35mm F1.8",
    exposure_time=0.1,
    aperture=2.8,
    iso=1600.0,
    focal_length=35.0,
    taken=datetime(2026, 1, 2, 3, 4, 5),
    gps=GPS(47.5, 8.25, 400.0),
)
FIELDS = (
    "make",
    "model",
    "lens",
    "exposure_time",
    "aperture",
    "iso",
    "focal_length",
    "taken",
    "gps",
)
"""Of `Shot`."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--photos", type=int, default=3, help="of the validation photos")
    asked = parser.parse_args(arguments)
    photos = sorted((SHARED / "photos" / "val").glob("*.jpg"))
    photos = photos[:: max(1, len(photos) // asked.photos)][: asked.photos]
    if not photos:
        raise SystemExit(f"no photos in {SHARED / 'photos' / 'val'}")
    here = [program for program in PROGRAMS if program.version()]
    print("; ".join(str(program.version()) for program in here) + "\n")
    print("| program | linear DNG | exposure, EV | colour, ΔE | largest ΔE of a photo |")
    print("|---|---|---|---|---|")
    kept: dict[str, str] = {}
    for program in here:
        found: dict[str, list[tuple[float, float]]] = {}
        for photo in photos:
            folder = asked.work / program.name / photo.stem
            for kind, ev, colour in compared(program, photo, folder):
                found.setdefault(kind, []).append((ev, colour))
            kept[program.name] = ", ".join(lost_exif(folder / "exact.tif")) or "none"
        for kind, values in found.items():
            evs, colours = np.array(values).T
            print(
                f"| {program.name} | {kind} | {evs.mean():+.3f} | {colours.mean():.2f} "
                f"| {colours.max():.2f} |"
            )
    print("\n| program | EXIF of the DNG that its picture lacks |\n|---|---|")
    for name, lost in kept.items():
        print(f"| {name} | {'all: rawpy gives pixels' if name == 'LibRaw' else lost} |")


def compared(program: Program, photo: Path, folder: Path) -> Iterator[tuple[str, float, float]]:
    """Of each linear DNG: its kind, and the differences in EV and in colour."""
    folder.mkdir(parents=True, exist_ok=True)
    light = middle(load_light(photo), SIZE).clip(0, 1)
    bright = bright_mosaic(light)
    write_mosaic(folder / "bright.dng", bright)
    expected = rendered(program, folder / "bright.dng")
    for kind, dng in linear_dngs(light, bright, folder):
        yield kind, *differences(expected, rendered(program, dng))


def bright_mosaic(light: Plane) -> Mosaic:
    """The noise-free mosaic whose white level is white."""
    plane = np.rint(see(light).clip(0, 1) * 65535).astype(np.uint16)
    return replace(as_mosaic(plane, 0, 65535), shot=SHOT)


def linear_dngs(light: Plane, bright: Mosaic, folder: Path) -> Iterator[tuple[str, Path]]:
    """Name and file of each of undark's linear DNGs of the scene."""
    exact = light.astype(np.float32)
    lamp = exact.copy()
    lamp[LAMP] = 12.0
    for name, part in (("exact", exact), ("exact, with a lamp", lamp)):
        path = folder / f"{name.replace(', ', '-').replace(' ', '-')}.dng"
        write_linear(path, part, bright, float(CELL.amplification))
        yield name, path
    shoot_dng(folder / "dark.dng", light, CELL, seed=0)
    path = folder / "restored.dng"
    ev = np.log2(CELL.amplification)
    asked = f"restore {folder / 'dark.dng'} -o {path} --overwrite --exposure {ev}"
    command = [sys.executable, "-m", "undark", *shlex.split(asked)]
    subprocess.run(command, check=True, capture_output=True)
    yield "restored", path


def rendered(program: Program, dng: Path) -> Plane:
    """A program's picture of a DNG, as linear sRGB (H, W, 3), cropped to what all of them show."""
    out = dng.with_suffix(".tif")
    task = Task(dng, out, 0.0, CELL.iso, None)
    subprocess.run(program.command(task), check=True, capture_output=True)
    levels = tifffile.imread(out)[..., :3]
    light: Plane = decode_srgb(levels / np.iinfo(levels.dtype).max)
    down, across = ((n - s) // 2 for n, s in zip(SIZE, light.shape, strict=False))
    inner = light[BORDER - down : SIZE[0] - BORDER - down, :]
    return inner[:, BORDER - across : SIZE[1] - BORDER - across]


def differences(expected: Plane, shown: Plane) -> tuple[float, float]:
    """In EV, and the mean CIE 1976 difference at the same exposure."""
    a, b = (_blocks(light) for light in (expected, shown))
    usable = (a.max(axis=-1) < 0.9) & (b.max(axis=-1) < 0.9) & (a.min(axis=-1) > 0.002)
    usable[: 64 // BLOCK, : 64 // BLOCK] = False  # the lamp, and what borders on it
    a, b = a[usable], b[usable]
    ev = float(np.log2(b.mean() / a.mean()))
    distance = np.linalg.norm(lab(a) - lab(b / 2**ev), axis=-1)
    return ev, float(distance.mean())


def _blocks(light: Plane) -> Plane:
    down, across = (n // BLOCK for n in light.shape[:2])
    part = light[: down * BLOCK, : across * BLOCK]
    means: Plane = part.reshape(down, BLOCK, across, BLOCK, 3).mean(axis=(1, 3))
    return means


def lab(srgb: Plane) -> NDArray[np.float64]:
    """Linear sRGB (…, 3) → CIE 1976 L*, a*, b* for D65."""
    ratio = (srgb @ XYZ_FROM_SRGB.T) / XYZ_FROM_SRGB.sum(axis=1)
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def lost_exif(path: Path) -> list[str]:
    """The fields of `SHOT` that a picture's EXIF has not, or otherwise."""
    found = shot_of(path)
    return [name for name in FIELDS if getattr(found, name) != getattr(SHOT, name)]


if __name__ == "__main__":
    main()
