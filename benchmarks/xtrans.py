"""The X-Trans model beside the Bayer one: the same photographs, noise and number of pixels.

    python benchmarks/xtrans.py --photos 3                    # about a minute on two cores
    python benchmarks/xtrans.py --xtrans run/model.onnx

Photographs of `../shared/photos/val` become light as in `quality.py` and are seen through both
filters with the noise of a Sony A7S2, which the models are given. The first table is sRGB PSNR in
dB. The second
table is the largest difference in a pixel, in standard deviations of the noise there, between an
X-Trans frame restored at once and the same frame cut so that it begins at each of the 18 phases of
the pattern, away from the edges; and restored in tiles of 48 packed pixels.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import undark
from classical_planes import Plane
from darkroom import (
    SHARED,
    SPAN,
    WHITE_BALANCE,
    Cell,
    load_light,
    model_of,
    picture,
    sensor_noise,
    shoot,
)
from undark.develop.metrics import psnr
from undark.sensor.cfa import RGGB, X_TRANS
from undark.sensor.mosaic import Mosaic

CELLS = (Cell(400, 100), Cell(1600, 200), Cell(6400, 300))
MIDDLE = 576
"""Most pixels of a photo's height and width; a multiple of the periods of both patterns."""
SMALL_TILE = 48
BORDER = 60
"""Pixels at the edges of a frame that depend on what is put around it."""


def middle(light: Plane) -> Plane:
    """At most `MIDDLE` pixels a side."""
    side = [min(MIDDLE, n // 12 * 12) for n in light.shape[:2]]
    top, left = ((n - s) // 2 for n, s in zip(light.shape[:2], side, strict=True))
    return light[top : top + side[0], left : left + side[1]]


def restored(frame: Mosaic, cell: Cell, model: Any, **how: Any) -> Plane:
    """Light by `undark.restore`, the noise given."""
    ratio = float(cell.amplification)
    made = undark.restore(
        frame, exposure=ratio, noise=model_of(sensor_noise(cell.iso)), model=model, **how
    )
    return made.linear.astype(np.float64)


def beside_bayer(photos: list[Path], models: dict[str, Any]) -> None:
    """Print the first table."""
    print("| ISO, amplification | Bayer | X-Trans | Bayer above X-Trans |\n|---|---|---|---|")
    for cell in CELLS:
        scores: dict[str, list[float]] = {"Bayer": [], "X-Trans": []}
        for number, photo in enumerate(photos):
            light = middle(load_light(photo))
            truth = picture(light)
            for cfa in (RGGB, X_TRANS):
                made = restored(shoot(light, cfa, cell, number), cell, models[cfa.kind.name])
                scores[cfa.kind.name].append(psnr(picture(made), truth))
        first, second = (np.mean(scores[name]) for name in ("Bayer", "X-Trans"))
        print(f"| {cell} | {first:.2f} | {second:.2f} | {first - second:.2f} |")


def phases_and_tiles(photo: Path, cell: Cell, model: Any) -> str:
    """A row of the second table."""
    light = middle(load_light(photo))
    frame = shoot(light, X_TRANS, cell, 0)
    to_light = WHITE_BALANCE * (cell.amplification / SPAN)
    sigma = model_of(sensor_noise(cell.iso)).sigma(light * cell.white / WHITE_BALANCE) * to_light
    whole = restored(frame, cell, model)
    seams = np.abs(whole - restored(frame, cell, model, tile=SMALL_TILE)) / sigma
    patterns, worst = set(), 0.0
    for top, left in product(range(6), repeat=2):
        if (rows := X_TRANS.crop(top, left).rows) not in patterns:
            patterns.add(rows)
            height, width = (n - 6 for n in frame.shape)
            part = restored(frame.crop(top, left, height, width), cell, model)
            inner = slice(BORDER, -BORDER)
            off = np.abs(part - whole[top : top + height, left : left + width])[inner, inner]
            worst = max(
                worst, float((off / sigma[top:, left:][:height, :width][inner, inner]).max())
            )
    return f"| {cell} | {len(patterns)} | {worst:.4f} | {seams.max():.4f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bayer", default="bayer", metavar="NAME|FILE")
    parser.add_argument("--xtrans", default="xtrans", metavar="NAME|FILE")
    parser.add_argument("--photos", type=int, default=12, help="how many at most")
    asked = parser.parse_args()
    models = {
        "Bayer": undark.load_model(asked.bayer),
        "X-Trans": undark.load_model(asked.xtrans),
    }
    photos = sorted((SHARED / "photos" / "val").glob("*.jpg"))[: asked.photos]
    beside_bayer(photos, models)
    print("\n| ISO, amplification | phases | phases, sigma | tiles, sigma |\n|---|---|---|---|")
    for cell in CELLS[1:]:
        print(phases_and_tiles(photos[0], cell, models["X-Trans"]))


if __name__ == "__main__":
    main()
