"""Measure the error of the shifts that `undark pairs` finds, on pairs with known shifts.

    python benchmarks/pairs.py                # 40 pairs; the table of the docs
    python benchmarks/pairs.py --pairs 10     # the first ten

Each pair is simulated from a photo of `../shared/photos`; the content of the bright photo is
shifted by up to 6 pixels along each axis before the mosaic is taken. `benchmarks/README.md` has the
details.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkroom import SHARED
from undark.demo import load_scene, photograph
from undark.develop.colour import decode_srgb
from undark.files.dng import write_mosaic
from undark.files.picture import read_picture, write_picture
from undark.pairs.check import check_pairs
from undark.pairs.find import find_pairs
from undark.pairs.table import Row
from undark.sensor.mosaic import Shot

RATIOS = (100, 200, 300)
ISO, BRIGHT_ISO = 1600, 100
MAX_SHIFT = 6.0
"""Sensor pixels, along each axis."""
SIZE = (768, 1024)
"""Largest rows and columns of the pairs, a central crop of the photo: faster than the full frame,
and harder, because it has fewer blocks."""
MARGIN = 8
"""Pixels around the crop that a shift moves into it."""
TOLERANCE = 0.3
"""Error in sensor pixels up to which a shift counts as found."""
SHEET = (
    (slice(720, 1400), slice(600, 1620), 0.0, 0.0),
    (slice(0, 680), slice(700, 1720), 1.6, -1.2),
    (slice(300, 980), slice(0, 1020), -4.0, 3.0),
    (slice(800, 1480), slice(1380, 2400), 0.3, 5.2),
)
"""Crops of undark's scene on the contact sheet of the docs (rows, columns), and their shifts."""


@dataclass(frozen=True)
class Truth:
    """The parameters of a simulated pair."""

    photo: str
    ratio: int
    dx: float
    dy: float


def choose_photos(count: int) -> list[Path]:
    """All photos of `val`, then evenly spaced ones of `train` up to `count`."""
    val, train = (sorted((SHARED / "photos" / name).glob("*.jpg")) for name in ("val", "train"))
    missing = max(count - len(val), 0)
    spread = [train[n * len(train) // missing] for n in range(missing)]
    return (val + spread)[:count]


def load_middle(photo: Path) -> NDArray[np.float32]:
    """(H, W, 3) linear light of the central crop of a photo, with the margin."""
    pixels = read_picture(photo)
    sizes = [min(n, s + 2 * MARGIN) // 2 * 2 for n, s in zip(pixels.shape, SIZE, strict=False)]
    top, left = ((n - s) // 2 for n, s in zip(pixels.shape, sizes, strict=False))
    curve = decode_srgb(np.arange(256) / 255).astype(np.float32)
    middle: NDArray[np.float32] = curve[pixels[top : top + sizes[0], left : left + sizes[1]]]
    return middle


def shifted(light: NDArray[np.float32], dx: float, dy: float) -> NDArray[np.float32]:
    """Shift the content of (H, W, 3) dx pixels right and dy down, with cubic splines."""
    from scipy import ndimage

    shift: Any = ndimage.shift  # untyped
    planes = [shift(light[..., c], (dy, dx), order=3, mode="nearest") for c in range(3)]
    moved: NDArray[np.float32] = np.stack(planes, axis=-1)
    return np.clip(moved, 0, None)


def make_pair(folder: Path, number: int, photo: Path, seed: int) -> Truth:
    """Write `dark/NN.dng` and `bright/NN.dng`, which are read like any RAW file."""
    random = np.random.default_rng((seed, number))
    truth = Truth(photo.name, RATIOS[number % 3], *random.uniform(-MAX_SHIFT, MAX_SHIFT, 2))
    simulate(folder, number, load_middle(photo), truth)
    return truth


def simulate(folder: Path, number: int, light: NDArray[np.float32], truth: Truth) -> None:
    """Write a dark photo of a scene (H, W, 3) and a bright one, which is shifted."""
    lights = {"dark": light, "bright": shifted(light, truth.dx, truth.dy)}
    for name, ratio, iso in (("dark", truth.ratio, ISO), ("bright", 1, BRIGHT_ISO)):
        frame = lights[name][MARGIN:-MARGIN, MARGIN:-MARGIN]
        mosaic = photograph(frame, iso, ratio, seed=2 * number + (ratio == 1))
        # the same light: ISO 100 takes 16 times as long
        shot = replace(mosaic.shot, exposure_time=ISO / iso / ratio)
        path = folder / name / f"{number:02}.dng"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mosaic(path, mosaic.replace(shot=shot))


def draw_sheet(path: Path) -> None:
    """Write the contact sheet of pairs from undark's scene, shifted by 0, 2 and 5 pixels."""
    light = load_scene()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, (rows, columns, dx, dy) in enumerate(SHEET):
            simulate(folder, number, light[rows, columns], Truth("scene", 100, dx, dy))
        for _ in check_pairs(find_pairs(folder).pairs, folder):
            pass
        write_picture(path, read_picture(folder / "pairs-undark.jpg"), Shot(), quality=88)


def shift_error(truth: Truth, row: Row) -> float:
    """Distance between the measured shift and the true one, in sensor pixels."""
    return math.hypot(row.dx - truth.dx, row.dy - truth.dy)


def table(truths: Sequence[Truth], rows: Sequence[Row]) -> str:
    """Markdown: the true shift of each pair, the measured one, its error, and the verdict."""
    lines = ["| photo | × | true dx, dy | measured | error | ± | verdict |", "|" + "---|" * 7]
    for truth, row in zip(truths, rows, strict=True):
        true, found = (f"{p.dx:+.2f}, {p.dy:+.2f}" for p in (truth, row))
        lines.append(
            f"| {truth.photo} | {truth.ratio} | {true} | {found} | {shift_error(truth, row):.3f} "
            f"| {row.shift_error:.3f} | {row.verdict} |"
        )
    return "\n".join(lines)


def summary(truths: Sequence[Truth], rows: Sequence[Row]) -> str:
    """The number of shifts within `TOLERANCE`, and the verdicts of the others."""
    pairs = list(zip(truths, rows, strict=True))
    errors = [shift_error(truth, row) for truth, row in pairs]
    missed = [row for truth, row in pairs if not shift_error(truth, row) <= TOLERANCE]
    flagged = sum(not row.verdict.startswith(("good", "shifted")) for row in missed)
    uncertain = sum("uncertain" in row.verdict for row in rows)
    return (
        f"{len(rows) - len(missed)} of {len(rows)} shifts within {TOLERANCE} pixel; median error "
        f"{np.median(errors):.3f}, largest {max(errors):.3f} pixel; of the {len(missed)} others "
        f'{flagged} have a verdict that says so; {uncertain} verdicts are "shift uncertain"'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path, help="a JPEG: a contact sheet")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = choose_photos(args.pairs)
        truths = [make_pair(folder, n, photo, args.seed) for n, photo in enumerate(photos)]
        checked = list(check_pairs(find_pairs(folder).pairs, folder))
        rows = [one.row for one in checked]
        print(table(truths, rows))
        print()
        print(summary(truths, rows))
    if args.sheet:
        draw_sheet(args.sheet)


if __name__ == "__main__":
    main()
