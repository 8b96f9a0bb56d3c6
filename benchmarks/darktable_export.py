"""What a package of `undark export --to darktable` loses against undark itself.

    python benchmarks/darktable_export.py            # the table of docs/export.md

The dark mosaics of `benchmarks/darkroom.py`, from the middle of the photos in
`../shared/photos/val`, restored

- by undark, told the true noise, and with its own (blind) estimate;
- by the package's network, in tiles as darktable's sources (5.6, `restore_raw_bayer.c`) describe
  them: 512 packed pixels, 32 of overlap, mirrored borders, linear seams. darktable itself is not
  run. Its DNG holds whole DN of the camera, so the score after rounding is given too.

PSNR in dB of amplified sensor values in four planes, clipped to [0, 1], as "packed RAW" of
`benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import undark
from darkroom import (
    SHARED,
    SPAN,
    Cell,
    Frame,
    as_dark,
    darken,
    gains,
    load_light,
    middle,
    packed,
    see,
)
from undark.develop.metrics import psnr
from undark.engine.backends.onnxruntime import OnnxRuntime
from undark.engine.catalogue import find_model
from undark.export.darktable import TILE, write_package
from undark.sensor.cfa import RGGB, pack

CELLS = (Cell(400, 100), Cell(1600, 250), Cell(6400, 300))
OVERLAP = 32
"""Packed pixels."""
SIZE = (768, 1024)
NETWORK = "undark/model_bayer.onnx"

Floats = NDArray[np.float32]


class Package:
    """The network of a package, run as darktable runs it."""

    def __init__(self, model: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = write_package(find_model(model), Path(folder, "undark.dtmodel"))
            with zipfile.ZipFile(path) as archive:
                self._network = OnnxRuntime(Path(archive.extract(NETWORK, folder)))

    def __call__(self, signal: Floats) -> Floats:
        """(H, W) DN above black → the restored mosaic, DN above black, not rounded."""
        planes = (signal / SPAN * gains(signal.shape)).astype(np.float32)
        before, after = 2 * OVERLAP, 2 * TILE
        padded = np.pad(planes, (before, after), mode="reflect")
        total = np.zeros(padded.shape)
        for top, down in _weights(signal.shape[0]):
            for left, across in _weights(signal.shape[1]):
                place = np.s_[top : top + 2 * TILE, left : left + 2 * TILE]
                total[place] += down[:, None] * across * self._tile(padded[place])
        height, width = signal.shape
        restored: Floats = (total[before:, before:][:height, :width] * SPAN).astype(np.float32)
        return restored

    def _tile(self, planes: Floats) -> Floats:
        """A white-balanced part of the mosaic, 1 at white → the restored one, not balanced."""
        inputs = np.ascontiguousarray(pack(planes, RGGB)[None], np.float32)
        light = self._network.run(inputs)[0]
        return see(np.moveaxis(light, 0, -1).astype(np.float64)).astype(np.float32)


def _weights(size: int) -> Iterator[tuple[int, Floats]]:
    """Of each tile along an axis: its first row of the padded frame, and the weight of each row.

    Weights rise and fall linearly over the rows that two tiles share, and add up to 1.
    """
    step, seam = 2 * (TILE - 2 * OVERLAP), 4 * OVERLAP
    starts = range(0, size, step)
    rows = np.arange(2 * TILE, dtype=np.float32) + 0.5
    for start in starts:
        rising = np.clip(rows / seam, 0, 1) if start else np.ones_like(rows)
        falling = np.clip((2 * TILE - rows) / seam, 0, 1)
        last = start == starts[-1]
        yield start, (rising * (np.ones_like(rows) if last else falling)).astype(np.float32)


def scores(frame: Frame, model: undark.Model, package: Package) -> dict[str, float]:
    """PSNR of every way to restore a frame."""
    dark, noise = as_dark(frame)
    exposure = float(frame.cell.amplification)
    known, blind = (
        see(undark.restore(dark, exposure=exposure, noise=n, model=model).linear.astype(np.float64))
        for n in (noise, None)
    )
    restored = package(frame.signal.astype(np.float32)).astype(np.float64)
    truth = packed(see(frame.truth))
    mosaics = {
        "noisy": frame.signal / frame.cell.white,
        "undark, true noise": known,
        "undark, blind": blind,
        "package": restored / frame.cell.white,
        "package, whole DN": np.rint(restored) / frame.cell.white,
    }
    return {name: psnr(packed(mosaic), truth) for name, mosaic in mosaics.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["bayer", "bayer-fast"])
    parser.add_argument("--photos", type=int, default=100, help="at most so many")
    parser.add_argument("--each", action="store_true", help="a line for each photo, too")
    asked = parser.parse_args(arguments)
    photos = sorted((SHARED / "photos" / "val").glob("*.jpg"))[: asked.photos]
    if not photos:
        raise SystemExit(f"no photos in {SHARED / 'photos' / 'val'}")
    print("| model | ISO, amplification | " + " | ".join(COLUMNS) + " | loss | loss to blind |")
    print("|---|---|" + "---|" * (len(COLUMNS) + 2))
    for name in asked.models:
        model, package = undark.load_model(name), Package(name)
        for cell in CELLS:
            found = []
            for number, photo in enumerate(photos):
                frame = darken(middle(load_light(photo), SIZE), cell, (0, number))
                found.append(scores(frame, model, package))
                if asked.each:
                    print(photo.stem, {k: round(v, 2) for k, v in found[-1].items()})
            mean = {column: float(np.mean([f[column] for f in found])) for column in COLUMNS}
            losses = (mean["package"] - mean[f"undark, {n}"] for n in ("true noise", "blind"))
            cells = [f"{mean[c]:.2f}" for c in COLUMNS] + [f"{loss:+.2f}" for loss in losses]
            print(f"| {name} | {cell} | " + " | ".join(cells) + " |", flush=True)


COLUMNS = ("noisy", "undark, true noise", "undark, blind", "package", "package, whole DN")


if __name__ == "__main__":
    main()
