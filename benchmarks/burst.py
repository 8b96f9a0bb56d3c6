"""How much `undark burst` gains: frames made from photographs with known motions.

    python benchmarks/burst.py                  # the tables of docs/burst.md
    python benchmarks/burst.py --photos 2       # a quick look

Each photo of `../shared/photos/val` gives a burst of 16 frames at ISO 1600, 200 times too dark:
a shake of up to 20 pixels, rotations of up to 1 degree, and once more with something that moves
(`burst_frames.py`). Frame 1, and merges of the first 8 and of 16, are restored by the shipped model
with the noise that undark finds, and scored as `quality.py` does against the first frame's light.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import undark
from burst_frames import MARGIN, Burst, Pose, poses, shoot
from classical_planes import Plane
from darkroom import SHARED, Cell, fidelity, load_light, middle, picture, see
from undark.align.noisy import Reference
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
    light = undark.restore(mosaic, exposure=float(CELL.amplification), model=model).linear
    restored, truth = light.astype(np.float64), burst.first.truth
    both = fidelity(see(restored), restored, truth)
    return Scores(both["raw"], both["srgb"], _there(restored, truth, burst.moving)), told


def _there(
    light: Plane, truth: Plane, where: np.ndarray[tuple[int, int], np.dtype[np.bool_]]
) -> float:
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


def study(name: str, bursts: list[tuple[str, Burst]], model: undark.Model) -> None:
    """Print a table: a row for each photo."""
    print(f"\n{name}: RAW / sRGB PSNR in dB" + ("; where it moves" if "moves" in name else ""))
    rows = []
    for photo, burst in bursts:
        found = [scored(burst, count, model) for count in COUNTS]
        rows.append([scores for scores, _ in found])
        left_out = sum(frame.fault is not None for frame in found[-1][1])
        print(f"| {photo} | {' | '.join(map(_entry, rows[-1]))} | {left_out} |", flush=True)
    mean = [
        Scores(*(float(np.mean([getattr(r[n], k) for r in rows])) for k in _NAMES))
        for n in range(3)
    ]
    print(f"| mean | {' | '.join(map(_entry, mean))} | |")
    worst = min(r[n].moving - r[0].moving for r in rows for n in (1, 2))
    print(f"worst change where it moves: {worst:+.2f} dB")


_NAMES = ("raw", "srgb", "moving")


def _entry(scores: Scores) -> str:
    there = "" if np.isnan(scores.moving) else f"; {scores.moving:.2f}"
    return f"{scores.raw:.2f} / {scores.srgb:.2f}{there}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add = parser.add_argument
    add("--photos", type=int, metavar="N", help="only the first N photos; default: all")
    add("--rolling", type=float, default=0.0, help="pixels by which a rolling shutter bends")
    add("--only", choices=("align", "still", "moves"), help="one of the three tables")
    asked = parser.parse_args()
    paths = sorted((SHARED / "photos" / "val").glob("*.jpg"))
    model = undark.load_model("bayer")
    still, moves, errors = [], [], []
    for number, path in enumerate(paths[: asked.photos]):
        print(f"\r{path.stem}", end="", file=sys.stderr)
        light = middle(load_light(path), SIZE)
        shake: tuple[Pose, ...] = poses(max(COUNTS), number, asked.rolling)
        if asked.only != "moves":
            burst = shoot(light, shake, CELL, number)
            still.append((path.stem, burst))
            errors.append([alignment_error(burst, n) for n in range(1, 8)])
        if asked.only in (None, "moves"):
            other = middle(load_light(paths[(number + 5) % len(paths)]), (768, 1024))
            moves.append((path.stem, shoot(light, shake, CELL, number, other)))
    if errors:
        print("\nalignment error, pixels: root mean square over the frame, 7 frames each")
        for (name, _), found in zip(still, errors, strict=True):
            print(f"| {name} | {np.sqrt(np.mean(np.square(found))):.3f} | {max(found):.3f} |")
    if still and asked.only != "align":
        study("still scene", still, model)
    if moves:
        study("something moves", moves, model)


if __name__ == "__main__":
    main()
