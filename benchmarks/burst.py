"""How much `undark burst` gains: frames made from photographs with known motions.

    python benchmarks/burst.py                  # the tables of docs/burst.md
    python benchmarks/burst.py --photos 2       # a quick look
    python benchmarks/burst.py --cell 1600 20   # 20 times too dark
    python benchmarks/burst.py --large 3 5      # time and memory of 3 and 5 frames of 24 megapixels

Each photo of `../shared/photos/val` gives a burst of 16 frames at ISO 1600, 200 times too dark, or
as `--cell` says: a shake of up to 20 pixels, rotations of up to 1 degree, and once more with
something that moves (`burst_frames.py`). Frame 1, and merges of the first 8 and of 16, are restored
by the shipped model with the noise that undark finds, and scored as `quality.py` does against the
first frame's light.

`--large` runs the commands as whole processes on `undark demo`'s scene, repeated to fill the frame
and shifted by at most 24 pixels; memory is measured as `speed.py` does.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import process_memory
import speed
import undark
from burst_frames import MARGIN, Burst, Pose, poses, shoot
from classical_planes import Plane
from darkroom import SHARED, Cell, fidelity, load_light, middle, picture, see
from undark.align.noisy import Reference
from undark.demo import load_scene, photograph
from undark.files.dng import write_mosaic
from undark.restoring.burst import Aligned, merge, places, stabilised
from undark.sensor.mosaic import Mosaic
from undark.sensor.profiles.lookup import estimate_of

CELL = Cell(1600, 200)
SIZE = (768 + 2 * MARGIN, 1024 + 2 * MARGIN)
COUNTS = (1, 8, 16)


@dataclass(frozen=True)
class Scores:
    """Of one restored picture; dB."""

    raw: float
    srgb: float
    moving: float
    """sRGB where something moves; NaN where nothing does."""


def scored(burst: Burst, count: int, model: undark.Model) -> tuple[Scores, list[Aligned]]:
    """The first `count` frames, merged and restored."""
    told: list[Aligned] = []
    frames: Sequence[Mosaic] = burst.frames[:count]
    mosaic = merge(frames, told=told.append) if count > 1 else frames[0]
    exposure = float(burst.first.cell.amplification)
    light = undark.restore(mosaic, exposure=exposure, model=model).linear
    restored, truth = light.astype(np.float64), burst.first.truth
    both = fidelity(see(restored), restored, truth)
    return Scores(both["raw"], both["srgb"], _there(restored, truth, burst.moving)), told


def _there(light: Plane, truth: Plane, where: NDArray[np.bool_]) -> float:
    """sRGB PSNR of a part of the picture."""
    if not where.any():
        return float("nan")
    error = np.square(picture(light) - picture(truth))[where].mean()
    return float(-10 * np.log10(error))


def alignment_error(burst: Burst, number: int) -> float:
    """Root mean square distance in pixels between the true and the found place of the pixels."""
    found = [estimate_of(frame) for frame in (burst.frames[0], burst.frames[number])]
    planes = [
        stabilised(estimate.correct(frame).signal(), found[0].noise, 2)
        for estimate, frame in zip(found, (burst.frames[0], burst.frames[number]), strict=True)
    ]
    field = Reference(planes[0]).align(planes[1]).field
    shape = burst.frames[0].shape
    down, across = places(field, 2, slice(0, shape[0]), shape[1])
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    true = burst.poses[number].moved(rows, columns, shape)
    squares = np.square(down - true[0]) + np.square(across - true[1])
    return float(np.sqrt(squares[32:-32, 32:-32].mean()))


def row(name: str, burst: Burst, model: undark.Model) -> list[Scores]:
    """Score a burst at each of `COUNTS`, and print it."""
    found = [scored(burst, count, model) for count in COUNTS]
    scores = [score for score, _ in found]
    left_out = sum(frame.fault is not None for frame in found[-1][1])
    print(f"| {name} | {' | '.join(map(_entry, scores))} | {left_out} |", flush=True)
    return scores


def summary(rows: list[list[Scores]]) -> None:
    """Print the means, and the worst change where something moves."""
    if not rows:
        return
    mean = [
        Scores(*(float(np.mean([getattr(r[n], name) for r in rows])) for name in _NAMES))
        for n in range(len(COUNTS))
    ]
    print(f"| mean | {' | '.join(map(_entry, mean))} | |")
    worst = min(r[n].moving - r[0].moving for r in rows for n in (1, 2))
    if not np.isnan(worst):
        print(f"worst change where it moves: {worst:+.2f} dB")


_NAMES = ("raw", "srgb", "moving")


def _entry(scores: Scores) -> str:
    there = "" if np.isnan(scores.moving) else f"; {scores.moving:.2f}"
    return f"{scores.raw:.2f} / {scores.srgb:.2f}{there}"


def large(counts: Sequence[int]) -> None:
    """Print a table of `undark restore` of one frame of 24 megapixels and of bursts of them.

    Memory is sampled in the same run, which costs some per cent of the time.
    """
    print(f"{speed.machine()}\n\n| frames | seconds | seconds of all cores | peak MiB |")
    print("|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        frames = [Path(folder, f"{number}.dng") for number in range(max(counts))]
        make_large(frames)
        for count in (1, *counts):
            command = [sys.executable, "-m", "undark", "burst" if count > 1 else "restore"]
            command += ["--overwrite", "--device", "cpu", *map(str, frames[:count])]
            ran = process_memory.timed(command)
            print(
                f"| {count} | {ran.seconds:.0f} | {ran.cpu:.0f} | {ran.mebibytes:.0f} |", flush=True
            )


def make_large(paths: Sequence[Path]) -> None:
    """Write dark frames of one scene, shifted by at most 24 pixels."""
    rows, columns = speed.SIZES[24]
    scene = load_scene()
    repeats = ((side + 24) // n + 1 for side, n in zip((rows, columns), scene.shape, strict=False))
    light = np.tile(scene, (*repeats, 1))
    random = np.random.default_rng(7)
    for number, path in enumerate(paths):
        top, left = random.integers(0, 25, 2)
        seen = light[top : top + rows, left : left + columns]
        write_mosaic(path, photograph(seen, CELL.iso, CELL.amplification, seed=number))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add = parser.add_argument
    add("--photos", type=int, metavar="N", help="only the first N photos; default: all")
    add("--rolling", type=float, default=0.0, help="pixels by which a rolling shutter bends")
    add("--cell", type=int, nargs=2, metavar=("ISO", "RATIO"), help="default: 1600 200")
    add("--only", choices=("align", "still", "moves"), help="one of the three tables")
    add("--large", type=int, nargs="+", metavar="FRAMES", help="time and memory, 24 megapixels")
    asked = parser.parse_args()
    if asked.large:
        large(asked.large)
        return
    paths = sorted((SHARED / "photos" / "val").glob("*.jpg"))
    model = undark.load_model("bayer")
    cell = Cell(*asked.cell) if asked.cell else CELL
    still: list[list[Scores]] = []
    moves: list[list[Scores]] = []
    print("photo | RAW / sRGB PSNR in dB of 1, 8, 16 frames; sRGB where it moves | left out")
    for number, path in enumerate(paths[: asked.photos]):
        light = middle(load_light(path), SIZE)
        shake: tuple[Pose, ...] = poses(max(COUNTS), number, asked.rolling)
        if asked.only != "moves":
            burst = shoot(light, shake, cell, number)
            errors = [alignment_error(burst, n) for n in range(1, 8)]
            mean, most = np.sqrt(np.mean(np.square(errors))), max(errors)
            print(
                f"| {path.stem}: error of 7 alignments, pixels | {mean:.3f} | at most {most:.3f} |"
            )
            if asked.only != "align":
                still.append(row(path.stem, burst, model))
        if asked.only in (None, "moves"):
            other = middle(load_light(paths[(number + 5) % len(paths)]), (768, 1024))
            burst = shoot(light, shake, cell, number, other)
            moves.append(row(f"{path.stem}, something moves", burst, model))
    summary(still)
    summary(moves)


if __name__ == "__main__":
    main()
