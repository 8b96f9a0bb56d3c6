"""Error of a model's mean colour in dark areas: blocks of 16×16 pixels against plain averaging.

    python benchmarks/low_frequency.py --model bayer --photos 4

Photographs of `../shared/photos/val` are made dark as in `quality.py`. Of each photo the darkest
third of its blocks counts. "Error" is the RMSE of a block's mean light in red, green and blue, and
"colour" the same after each block's mean over the three is taken off, both as a share of what the
mean of the noisy pixels of each colour has. "Bias" is the mean error in red, green and blue, in
thousandths of white. Plain averaging keeps black-level and row errors too, so a share of 1 can be
beaten only by using neighbouring blocks.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from classical_planes import Plane
from darkroom import SHARED, WHITE_BALANCE, Cell, Frame, darken, load_light
from quality import network_light
from undark.sensor.cfa import RGGB

BLOCK = 16
"""Pixels of a block's side."""
DARKEST = 1 / 3
"""Share of blocks that counts."""
CELLS = (Cell(1600, 200), Cell(6400, 300))
MIDDLE = 512
"""Most pixels of a photo's height and width, from its middle."""


def block_means(light: Plane) -> Plane:
    """(H, W, C) → (blocks, C); what does not fill a block is left out."""
    down, across = (n // BLOCK for n in light.shape[:2])
    cut = light[: down * BLOCK, : across * BLOCK]
    means = cut.reshape(down, BLOCK, across, BLOCK, -1).mean(axis=(1, 3))
    listed: Plane = means.reshape(down * across, -1)
    return listed


def averaged(frame: Frame) -> Plane:
    """(blocks, 3): mean of the noisy pixels of each colour, white-balanced light."""
    height, width = frame.signal.shape
    colours = np.tile(RGGB.pattern, (height // 2, width // 2))
    seen = (colours[..., None] == np.arange(3)).astype(np.float64)
    means = block_means(seen * frame.signal[..., None]) / block_means(seen)
    light: Plane = means * WHITE_BALANCE / frame.cell.white
    return light


def errors(frame: Frame, light: Plane) -> tuple[Plane, Plane]:
    """(blocks, 3) errors in the darkest blocks of restored light and of plain averaging."""
    truth = block_means(frame.truth)
    level = truth.mean(axis=1)
    dark = level <= np.quantile(level, DARKEST)
    return (block_means(light) - truth)[dark], (averaged(frame) - truth)[dark]


def _middle(light: Plane) -> Plane:
    """At most `MIDDLE` pixels a side, at even positions."""
    side = [min(MIDDLE, n // BLOCK * BLOCK) for n in light.shape[:2]]
    top, left = ((n - s) // 4 * 2 for n, s in zip(light.shape[:2], side, strict=True))
    return light[top : top + side[0], left : left + side[1]]


def _rms(error: Plane) -> float:
    return float(np.sqrt((error**2).mean()))


def _colour(error: Plane) -> Plane:
    chroma: Plane = error - error.mean(axis=1, keepdims=True)
    return chroma


def measure(cell: Cell, photos: list[Path], model: Any, seed: int) -> str:
    """One row of the table: geometric mean over photos of the shares, mean of the biases."""
    shares, colours, biases = [], [], []
    for number, photo in enumerate(photos):
        frame = darken(_middle(load_light(photo)), cell, (seed, number))
        error, plain = errors(frame, network_light(frame, model))
        shares.append(_rms(error) / _rms(plain))
        colours.append(_rms(_colour(error)) / _rms(_colour(plain)))
        biases.append(1000 * error.mean(axis=0))
    bias = " / ".join(f"{b:+.2f}" for b in np.mean(biases, axis=0))
    size = " / ".join(f"{b:.2f}" for b in np.abs(biases).mean(axis=0))
    share, colour = (np.exp(np.mean(np.log(s))) for s in (shares, colours))
    return f"| {cell} | {len(photos)} | {share:.3f} | {colour:.3f} | {bias} | {size} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="bayer", metavar="NAME|FILE")
    parser.add_argument("--folder", type=Path, default=SHARED / "photos/val", help="photographs")
    parser.add_argument("--photos", type=int, default=12, help="how many of them at most")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    import undark

    model = undark.load_model(asked.model)
    photos = sorted(asked.folder.glob("*.jpg"))[: asked.photos]
    print("| ISO | photos | error | colour | bias R / G / B, ‰ | mean size of a photo's bias, ‰ |")
    print("|---|---|---|---|---|---|")
    for cell in CELLS:
        print(measure(cell, photos, model, asked.seed))


if __name__ == "__main__":
    main()
