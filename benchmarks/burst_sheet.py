"""The picture of docs/burst.md: one frame, eight merged, and the truth, at 100 %.

    python benchmarks/burst_sheet.py docs/burst.jpg

The scene of `undark demo` as a hand-held burst of a simulated Sony A7S2 at ISO 1600, 200 times too
dark, with a shake of up to 20 pixels and 1 degree, and a patch of the scene that moves through it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import undark
from burst_frames import MARGIN, poses, shoot
from classical_planes import Plane
from darkroom import MATRIX, Cell
from undark.demo import load_scene
from undark.develop.colour import camera_from_srgb
from undark.develop.drawing import titled
from undark.develop.render import render
from undark.files.output import atomic_output
from undark.files.picture import write_picture
from undark.restoring.burst import merge
from undark.sensor.mosaic import Shot

CELL = Cell(1600, 200)
PLACE, SIZE = (1080, 560), (480, 640)
"""Top left corner in the scene and size of the frames."""
CROPS = ((60, 20), (160, 200), (200, 330))
"""Top left corners of the crops: text, what moves, where it moves to."""
SIDE = 250


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()
    scene: Plane = np.clip(load_scene() @ camera_from_srgb(MATRIX).T, 0, None).astype(np.float64)
    top, left = (n - MARGIN for n in PLACE)
    light = scene[top:, left:][: SIZE[0] + 2 * MARGIN, : SIZE[1] + 2 * MARGIN]
    moving = scene[700:, 900:][: SIZE[0], : SIZE[1]]  # wooden figures
    burst = shoot(light, poses(8, 1), CELL, 1, moving)
    shown: dict[str, NDArray[Any]] = {}
    for name, mosaic in (("one frame", burst.frames[0]), ("8 frames", merge(burst.frames))):
        restored = undark.restore(mosaic, exposure=float(CELL.amplification))
        shown[name] = restored.picture()
    truth = burst.first.truth.astype(np.float32)
    shown["truth"] = render(truth, burst.frames[0], float(CELL.amplification))
    rows = [
        titled([p[y:, x:][:SIDE, :SIDE] for p in shown.values()], list(shown), 24) for y, x in CROPS
    ]
    with atomic_output(asked.out, overwrite=True) as temporary:
        write_picture(temporary, np.concatenate(rows), Shot(), quality=88)


if __name__ == "__main__":
    main()
