"""Error of a model's mean colour in dark areas: blocks of 16×16 pixels against plain averaging.

    python benchmarks/low_frequency.py --model bayer --photos 4

Photographs of `../shared/photos/val` are made dark as in `quality.py`. Of each photo the darkest
third of its blocks counts. "Error" is the root mean square error of a block's mean light in red,
green and blue, "colour" the same after each block's mean over the three is taken off, both as a
share of what the mean of the noisy pixels of each colour has: geometric means over the photos.
"Bias" is the mean error of red, green and blue, in per cent of the light there, first of the model,
then of plain averaging of the same pixels: where the light is below the error of the black level no
method that keeps to the data can know it better. Plain averaging keeps black-level and row errors
too, so a share of 1 can be beaten only by using neighbouring blocks.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from classical_planes import Plane
from darkroom import SHARED, WHITE_BALANCE, Cell, Frame, darken, load_light, middle
from quality import network_light
from undark.develop.metrics import BLOCK, block_means, colour_error, dark_block_errors, dark_part
from undark.sensor.cfa import RGGB

CELLS = (Cell(1600, 200), Cell(6400, 300))
MIDDLE = 512
"""Most pixels of a photo's height and width, from its middle."""


def averaged(frame: Frame) -> Plane:
    """(blocks, 3): mean of the noisy pixels of each colour, white-balanced light."""
    colours = RGGB.colour_map(frame.signal.shape)
    seen = (colours[..., None] == np.arange(3)).astype(np.float64)
    means = block_means(seen * frame.signal[..., None]) / block_means(seen)
    light: Plane = means * WHITE_BALANCE / frame.cell.white
    return light


def plain_errors(frame: Frame) -> Plane:
    """(blocks, 3) errors in the dark blocks of plain averaging."""
    height, width = (n // BLOCK * BLOCK for n in frame.truth.shape[:2])
    means = averaged(frame).reshape(height // BLOCK, width // BLOCK, 3)
    plain = np.repeat(np.repeat(means, BLOCK, 0), BLOCK, 1)
    return dark_block_errors(plain, frame.truth[:height, :width])


def _rms(error: Plane) -> float:
    return float(np.sqrt((error**2).mean()))


def measure(cell: Cell, photos: list[Path], model: Any, seed: int) -> str:
    """One row of the table: geometric mean over photos of the shares, mean of the biases."""
    shares, colours, biases, plain_biases = [], [], [], []
    for number, photo in enumerate(photos):
        frame = darken(middle(load_light(photo), (MIDDLE, MIDDLE), BLOCK), cell, (seed, number))
        error = dark_block_errors(network_light(frame, model), frame.truth)
        plain = plain_errors(frame)
        shares.append(_rms(error) / _rms(plain))
        colours.append(colour_error(error) / colour_error(plain))
        truth = block_means(frame.truth)
        dark = truth[dark_part(truth)].mean(axis=0)
        biases.append(100 * error.mean(axis=0) / dark)
        plain_biases.append(100 * plain.mean(axis=0) / dark)
    bias, plain_bias = (
        " / ".join(f"{b:+.1f}" for b in np.mean(found, axis=0)) for found in (biases, plain_biases)
    )
    beyond = " / ".join(f"{b:.1f}" for b in np.abs(np.subtract(biases, plain_biases)).mean(axis=0))
    share, colour = (np.exp(np.mean(np.log(s))) for s in (shares, colours))
    found = f"{share:.3f} | {colour:.3f} | {max(colours):.3f}"
    return f"| {cell} | {len(photos)} | {found} | {bias} | {plain_bias} | {beyond} |"


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
    print(
        "| ISO, amplification | photos | error | colour | worst colour | bias R / G / B, % "
        "| plain averaging's bias | mean size of the difference |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for cell in CELLS:
        print(measure(cell, photos, model, asked.seed))


if __name__ == "__main__":
    main()
