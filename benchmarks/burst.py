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
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add = parser.add_argument
    add("--photos", type=int, metavar="N", help="only the first N photos; default: all")
    add("--rolling", type=float, default=0.0, help="pixels by which a rolling shutter bends")
    add("--only", choices=("align", "still", "moves"), help="one of the three tables")
    asked = parser.parse_args()
    paths = sorted((SHARED / "photos" / "val").glob("*.jpg"))
    model = undark.load_model("bayer")
    still: list[list[Scores]] = []
    moves: list[list[Scores]] = []
    print("photo | RAW / sRGB PSNR in dB of 1, 8, 16 frames; sRGB where it moves | left out")
    for number, path in enumerate(paths[: asked.photos]):
        light = middle(load_light(path), SIZE)
        shake: tuple[Pose, ...] = poses(max(COUNTS), number, asked.rolling)
        if asked.only != "moves":
            burst = shoot(light, shake, CELL, number)
            errors = [alignment_error(burst, n) for n in range(1, 8)]
            mean, most = np.sqrt(np.mean(np.square(errors))), max(errors)
            print(
                f"| {path.stem}: error of 7 alignments, pixels | {mean:.3f} | at most {most:.3f} |"
            )
            if asked.only != "align":
                still.append(row(path.stem, burst, model))
        if asked.only in (None, "moves"):
            other = middle(load_light(paths[(number + 5) % len(paths)]), (768, 1024))
            burst = shoot(light, shake, CELL, number, other)
            moves.append(row(f"{path.stem}, something moves", burst, model))
    summary(still)
    summary(moves)


if __name__ == "__main__":
    main()
