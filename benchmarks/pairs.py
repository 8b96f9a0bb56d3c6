"""Known shifts, and what `undark pairs` finds of them.

    python benchmarks/pairs.py                # 40 pairs; the table of the docs
    python benchmarks/pairs.py --pairs 10     # the first ten

Each pair is a photo of `../shared/photos`, its content moved by 0 to 6 pixels right or left and up
or down, before the mosaic is taken; `benchmarks/README.md` says exactly how.
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
FARTHEST = 6.0
"""Sensor pixels, along each side."""
SIZE = (768, 1024)
"""Rows and columns of the pairs at most, from the middle of the photo: quick, and less to go by."""
MARGIN = 8
"""Pixels around them that a shift brings in."""
WITHIN = 0.3
"""Sensor pixels that count as found."""
SHEET = (
    (slice(720, 1400), slice(600, 1620), 0.0, 0.0),
    (slice(0, 680), slice(700, 1720), 1.6, -1.2),
    (slice(300, 980), slice(0, 1020), -4.0, 3.0),
    (slice(800, 1480), slice(1380, 2400), 0.3, 5.2),
)
"""Rows and columns of undark's scene that the contact sheet of the docs shows, and their shifts."""


@dataclass(frozen=True)
class Truth:
    """What a pair was made with."""

    photo: str
    ratio: int
    dx: float
    dy: float


def choose_photos(count: int) -> list[Path]:
    """All of `val`, and as many of `train`, evenly spread, as are missing."""
    val, train = (sorted((SHARED / "photos" / name).glob("*.jpg")) for name in ("val", "train"))
    missing = max(count - len(val), 0)
    spread = [train[n * len(train) // missing] for n in range(missing)]
    return (val + spread)[:count]


def load_middle(photo: Path) -> NDArray[np.float32]:
    """(H, W, 3) linear light of the middle of a photo, with the margin."""
    pixels = read_picture(photo)
    sizes = [min(n, s + 2 * MARGIN) // 2 * 2 for n, s in zip(pixels.shape, SIZE, strict=False)]
    top, left = ((n - s) // 2 for n, s in zip(pixels.shape, sizes, strict=False))
    curve = decode_srgb(np.arange(256) / 255).astype(np.float32)
    middle: NDArray[np.float32] = curve[pixels[top : top + sizes[0], left : left + sizes[1]]]
    return middle


def shifted(light: NDArray[np.float32], dx: float, dy: float) -> NDArray[np.float32]:
    """(H, W, 3) with its content dx pixels right and dy down, by cubic splines."""
    from scipy import ndimage

    shift: Any = ndimage.shift  # untyped
    planes = [shift(light[..., c], (dy, dx), order=3, mode="nearest") for c in range(3)]
    moved: NDArray[np.float32] = np.stack(planes, axis=-1)
    return np.clip(moved, 0, None)


def make_pair(folder: Path, number: int, photo: Path, seed: int) -> Truth:
    """Write `dark/NN.dng` and `bright/NN.dng`: real files, read back as any RAW photo."""
    random = np.random.default_rng((seed, number))
    truth = Truth(photo.name, RATIOS[number % 3], *random.uniform(-FARTHEST, FARTHEST, 2))
    shoot(folder, number, load_middle(photo), truth)
    return truth


def shoot(folder: Path, number: int, light: NDArray[np.float32], truth: Truth) -> None:
    """Photograph a scene (H, W, 3) twice, the second time moved."""
    seen = {"dark": light, "bright": shifted(light, truth.dx, truth.dy)}
    for name, ratio, iso in (("dark", truth.ratio, ISO), ("bright", 1, BRIGHT_ISO)):
        frame = seen[name][MARGIN:-MARGIN, MARGIN:-MARGIN]
        mosaic = photograph(frame, iso, ratio, seed=2 * number + (ratio == 1))
        # the same light: ISO 100 takes 16 times as long
        shot = replace(mosaic.shot, exposure_time=ISO / iso / ratio)
        path = folder / name / f"{number:02}.dng"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mosaic(path, mosaic.replace(shot=shot))


def draw_sheet(path: Path) -> None:
    """The contact sheet of parts of undark's own scene: moved by 0, 2 and 5 pixels."""
    light = load_scene()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, (rows, columns, dx, dy) in enumerate(SHEET):
            shoot(folder, number, light[rows, columns], Truth("scene", 100, dx, dy))
        for _ in check_pairs(find_pairs(folder).pairs, folder):
            pass
        write_picture(path, read_picture(folder / "pairs-undark.jpg"), Shot(), quality=88)


def off(truth: Truth, row: Row) -> float:
    """How far the shift found is from the true one, in sensor pixels."""
    return math.hypot(row.dx - truth.dx, row.dy - truth.dy)


def table(truths: Sequence[Truth], rows: Sequence[Row]) -> str:
    """Markdown: each pair, its true shift, what was found, and what is said of it."""
    lines = ["| photo | × | true dx, dy | found | off by | ± | verdict |", "|" + "---|" * 7]
    for truth, row in zip(truths, rows, strict=True):
        true, found = (f"{p.dx:+.2f}, {p.dy:+.2f}" for p in (truth, row))
        lines.append(
            f"| {truth.photo} | {truth.ratio} | {true} | {found} | {off(truth, row):.3f} "
            f"| {row.shift_error:.3f} | {row.verdict} |"
        )
    return "\n".join(lines)


def summary(truths: Sequence[Truth], rows: Sequence[Row]) -> str:
    """How many were found, and what was said of the others."""
    pairs = list(zip(truths, rows, strict=True))
    errors = [off(truth, row) for truth, row in pairs]
    missed = [row for truth, row in pairs if not off(truth, row) <= WITHIN]
    admitted = sum(not row.verdict.startswith(("good", "shifted")) for row in missed)
    doubted = sum("uncertain" in row.verdict for row in rows)
    return (
        f"{len(rows) - len(missed)} of {len(rows)} shifts within {WITHIN} pixel; median error "
        f"{np.median(errors):.3f}, largest {max(errors):.3f} pixel; of the {len(missed)} others "
        f"{admitted} are said to be wrong; {doubted} in all called uncertain"
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
