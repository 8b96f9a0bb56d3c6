"""The same dark DNGs through darktable, RawTherapee, LibRaw and undark: time, memory, quality.

    apt-get install darktable rawtherapee                 # those that are missing are left out
    python benchmarks/peers.py WORK --tune                # settings: benchmarks/peer_settings.json
    python benchmarks/peers.py WORK --time                # 24 megapixels: needs an idle machine
    python benchmarks/peers.py WORK --sheet docs/peers.jpg

Finished measurements are kept in WORK, and the last command measures what is missing.

- **Photos**: the 12 of `../shared/photos/val` and undark's scene, as a Sony A7S2 sees them (its
  noise, its name in the tags), written as DNGs. The same files for all programs.
- **Reference**: each program's own rendering of the noise-free photo, a DNG of 16 bits and
  `BRIGHT` times below white so that light sources do not clip, without noise reduction (undark: as
  usual), with the program's default demosaicing.
- **Scores**: PSNR and SSIM of sRGB to that reference, after one monotone curve of `KNOTS` knots for
  all three channels, fitted by least squares, and without `BORDER` pixels at each side.
- **Settings** are the best by PSNR on crops of photos of `../shared/photos/train`, for each of
  `CELLS`, found by changing one setting after the other (`peer_programs.py` has the values).
- **Time and memory** are those of whole processes that write a TIFF of 24 megapixels.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

import process_memory
import speed
from classical_planes import Plane
from darkroom import (
    MATRIX,
    SHARED,
    SONY,
    Cell,
    as_mosaic,
    load_light,
    middle,
    picture,
    see,
    shoot_dng,
)
from peer_programs import PROGRAMS, Grid, Program, Settings, Task, Undark
from undark.demo import load_scene, photograph
from undark.develop.colour import camera_from_srgb
from undark.develop.drawing import titled
from undark.develop.metrics import psnr, ssim
from undark.files.dng import write_mosaic
from undark.files.output import atomic_output, write_atomically
from undark.files.picture import write_picture
from undark.sensor.mosaic import Shot

CELLS = (Cell(1600, 100), Cell(6400, 250))
BRIGHT = 16
"""How much brighter than the photo's white the noise-free DNG records."""
KNOTS, BORDER = 16, 16
WHITE = 65535
TUNING_SIDE = (400, 560)
"""Rows and columns of a training crop."""
ROUNDS = 1
SETTINGS = Path(__file__).with_name("peer_settings.json")
SCENE = "undark's scene"
SIDE = 232
"""Pixels of a crop of the sheet."""
PLACES = ((1240, 770), (740, 950), (490, 230))
"""Top left corners in the scene: text, skin tones, foliage."""


@dataclass(frozen=True)
class Subject:
    """What is photographed."""

    name: str
    light: Plane
    """(H, W, 3) white-balanced camera RGB; 1 is white."""
    seed: int
    """Of the noise."""


@dataclass(frozen=True)
class Scores:
    """Of one picture: to the program's own reference, and PSNR to the photograph itself."""

    psnr: float
    ssim: float
    absolute: float


class Darkroom:
    """DNGs, renderings and finished measurements in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder.resolve()
        self._results = folder / "results.json"
        found = json.loads(self._results.read_text()) if self._results.exists() else {}
        self._known: dict[str, Any] = found

    def remembered(self, key: str, measure: Callable[[], Any]) -> dict[str, Any]:
        """The measurement (a dataclass) called `key`: made now unless it is known."""
        if key not in self._known:
            self._known[key] = asdict(measure())
            write_atomically(self._results, json.dumps(self._known, indent=1).encode())
        known: dict[str, Any] = self._known[key]
        return known

    def dark(self, subject: Subject, cell: Cell) -> Path:
        path = self._folder / f"{_plain(subject.name)}-{cell.iso}-{cell.amplification}.dng"
        if not path.exists():
            shoot_dng(path, subject.light, cell, subject.seed)
        return path

    def bright(self, subject: Subject) -> Path:
        """The noise-free photo: 16 bits, `BRIGHT` times too dark."""
        path, black, white = self._folder / f"{_plain(subject.name)}-bright.dng", 2048, 65535
        if not path.exists():
            levels = see(subject.light) * ((white - black) / BRIGHT) + black
            mosaic = as_mosaic(np.rint(levels).clip(0, white).astype(np.uint16), black, white)
            shot = Shot("SONY", SONY, exposure_time=1 / BRIGHT, iso=100.0)
            write_mosaic(path, replace(mosaic, shot=shot))
        return path

    def frame(self, cell: Cell) -> Path:
        """24 megapixels of undark's scene, for measurements of time."""
        path = self._folder / f"frame-{cell.iso}-{cell.amplification}.dng"
        if not path.exists():
            light = load_scene()
            height, width = speed.SIZES[24]
            repeats = (-(-height // light.shape[0]), -(-width // light.shape[1]), 1)
            tiled = np.tile(light, repeats)[:height, :width]
            write_mosaic(path, photograph(tiled, cell.iso, cell.amplification))
        return path

    def make(
        self, program: Program, subject: Subject, cell: Cell, how: Settings
    ) -> NDArray[np.float32]:
        """A dark photo as the program makes it, (H, W, 3) sRGB in [0, 1]."""
        return self._made(program, self.dark(subject, cell), cell, how)

    def reference(self, program: Program, subject: Subject) -> NDArray[np.float32]:
        """The program's rendering of the noise-free photo."""
        return self._made(program, self.bright(subject), Cell(100, BRIGHT), None)

    def forget(self, program: Program, subject: Subject, cell: Cell, how: Settings) -> None:
        """Remove a picture."""
        self._place(program, self.dark(subject, cell), cell, how).unlink()

    def _place(self, program: Program, dng: Path, cell: Cell, how: Settings | None) -> Path:
        said = json.dumps([program.version(), program.name, dng.name, str(cell), how])
        return self._folder / f"{hashlib.sha256(said.encode()).hexdigest()[:16]}.tif"

    def _made(
        self, program: Program, dng: Path, cell: Cell, how: Settings | None
    ) -> NDArray[np.float32]:
        """A picture, made unless it is there."""
        kept = self._place(program, dng, cell, how)
        if not kept.exists():
            out = kept.with_name(f"making-{kept.name}")
            run(program, Task(dng, out, math.log2(cell.amplification), cell.iso, how))
            out.rename(kept)
        return np.asarray(tifffile.imread(kept), np.float32) / np.float32(WHITE)


def run(program: Program, task: Task) -> process_memory.Run:
    """Make a picture. Raises `SystemExit` if the program fails."""
    try:
        took = process_memory.timed(program.command(task))
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{program.name}: {task}: {error.output[-2000:]}") from error
    if not task.out.exists():
        raise SystemExit(f"{program.name}: {task}: it wrote nothing")
    return took


def _read(tiff: Path) -> NDArray[np.float32]:
    return np.asarray(tifffile.imread(tiff), np.float32) / np.float32(WHITE)


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)


def tone_curve(given: NDArray[Any], wanted: NDArray[Any]) -> tuple[Plane, Plane]:
    """The curve that brings `given` closest to `wanted` by least squares: knots, and values there.

    Piecewise linear, never falling, with at most `KNOTS` knots at quantiles of `given`. Both are in
    [0, 1]; `given` counts in 16 bits, which makes it a problem of 65536 levels.
    """
    from scipy.optimize import nnls

    levels = _levels(given).ravel()
    counts = np.bincount(levels)
    used = np.flatnonzero(counts)
    n, x = counts[used], used / WHITE
    y = np.bincount(levels, np.asarray(wanted, np.float64).ravel())[used] / n
    quantiles = np.linspace(0, 1, KNOTS) * n.sum()
    knots = np.unique(x[np.searchsorted(np.cumsum(n), quantiles).clip(0, len(x) - 1)])
    if len(knots) == 1:
        return knots, np.array([np.average(y, weights=n)])
    left = np.clip(np.searchsorted(knots, x, side="right") - 1, 0, len(knots) - 2)
    share = (x - knots[left]) / (knots[left + 1] - knots[left])
    hats = np.zeros((len(x), len(knots)))
    hats[np.arange(len(x)), left], hats[np.arange(len(x)), left + 1] = 1 - share, share
    # values are sums of steps that are not negative
    steps = hats @ np.tril(np.ones((len(knots), len(knots))))
    root = np.sqrt(n)
    return knots, np.cumsum(nnls(root[:, None] * steps, root * y)[0])


def toned(given: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.float32]:
    """`given` after its `tone_curve`."""
    table = np.interp(np.arange(WHITE + 1) / WHITE, *tone_curve(given, wanted))
    curved: NDArray[np.float32] = table.astype(np.float32)[_levels(given)]
    return curved


def _levels(given: NDArray[Any]) -> NDArray[np.uint16]:
    levels: NDArray[np.uint16] = np.rint(np.clip(given, 0, 1) * WHITE).astype(np.uint16)
    return levels


def inner(rendered: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """A picture without the photo's borders.

    Programs that leave some out themselves do so alike at each side; `shape` is the photo's.
    """
    sides = list(zip(shape[:2], rendered.shape[:2], strict=True))
    top, left = (BORDER - (n - m) // 2 for n, m in sides)
    height, width = (n - 2 * BORDER for n, _ in sides)
    part: NDArray[Any] = rendered[top : top + height, left : left + width]
    return part


def score(room: Darkroom, program: Program, subject: Subject, cell: Cell, how: Settings) -> Scores:
    """The scores of the program's picture of a dark photo; kept in `room`."""
    key = _key(program, subject, cell, how)
    return Scores(**room.remembered(key, partial(_judge, room, program, subject, cell, how)))


def _key(program: Program, subject: Subject, cell: Cell, how: Settings) -> str:
    said = json.dumps(how, sort_keys=True)
    return f"{program.name} ({program.version()}) | {subject.name} | {cell} | {said}"


def _judge(room: Darkroom, program: Program, subject: Subject, cell: Cell, how: Settings) -> Scores:
    shape = subject.light.shape
    made = inner(room.make(program, subject, cell, how), shape)
    own, photograph = (
        inner(part, shape) for part in (room.reference(program, subject), picture(subject.light))
    )
    close = toned(made, own)
    return Scores(psnr(close, own), ssim(close, own), psnr(toned(made, photograph), photograph))


@dataclass(frozen=True)
class Fidelity:
    """What tuning needs, in a third of the time of `Scores`."""

    psnr: float


def _measure(
    room: Darkroom, program: Program, subject: Subject, cell: Cell, how: Settings
) -> Fidelity:
    shape = subject.light.shape
    made = inner(room.make(program, subject, cell, how), shape)
    own = inner(room.reference(program, subject), shape)
    room.forget(program, subject, cell, how)
    return Fidelity(psnr(toned(made, own), own))


def subjects() -> Iterator[Subject]:
    """What is judged: the scene and the photos of `val`."""
    yield scene()
    for number, path in enumerate(sorted((SHARED / "photos" / "val").glob("*.jpg")), 1):
        yield Subject(path.stem, load_light(path), number)


@cache
def scene() -> Subject:
    light = load_scene().astype(np.float64) @ camera_from_srgb(MATRIX).T
    return Subject(SCENE, np.maximum(light, 0), 0)


@cache
def training_subject() -> Subject:
    """Four crops of photos of `train`, evenly spaced, in one picture: programs start slowly."""
    photos = sorted((SHARED / "photos" / "train").glob("*.jpg"))
    crops = [middle(load_light(path), TUNING_SIDE) for path in photos[:: len(photos) // 4][:4]]
    rows = [np.concatenate(pair, axis=1) for pair in (crops[:2], crops[2:])]
    return Subject("training", np.concatenate(rows), 1000)


def tune(room: Darkroom, program: Program, cell: Cell) -> dict[str, Any]:
    """The program's best settings on training photos, of all its modes."""
    found = [_descend(room, program, cell, grid) for grid in program.grids]
    best, decibels = max(found, key=lambda one: one[1])
    print(f"{program.name}, ISO {cell}: {decibels:.2f} dB with {best}", flush=True)
    return best


def _descend(
    room: Darkroom, program: Program, cell: Cell, grid: Grid
) -> tuple[dict[str, Any], float]:
    """The best settings of a grid, changing one after the other, `ROUNDS` times; their PSNR."""
    best = {name: values[0] for name, values in grid.items()}

    def decibels(how: Settings) -> float:
        key = _key(program, training_subject(), cell, how)
        measure = partial(_measure, room, program, training_subject(), cell, how)
        return float(room.remembered(key, measure)["psnr"])

    for _ in range(ROUNDS):
        for name, values in grid.items():
            tried = {value: decibels({**best, name: value}) for value in values}
            best[name] = max(tried, key=tried.__getitem__)
    return best, decibels(best)


def chosen(program: Program, cell: Cell) -> Settings:
    """The settings that tuning found."""
    if not program.grids:
        return {}
    found: Settings = json.loads(SETTINGS.read_text())[program.name][str(cell)]
    return found


def quality_table(room: Darkroom, programs: Sequence[Program], cell: Cell) -> str:
    """Markdown: scores of the scene, and means over the photos."""
    lines = [
        f"ISO {cell}: PSNR in dB / SSIM to the program's own noise-free rendering;"
        " `photograph`: PSNR to the photograph itself\n",
        f"| program | {SCENE} | 12 photos | worst photo | photograph |",
        "|---|---:|---:|---:|---:|",
    ]
    for program in programs:
        how = chosen(program, cell)
        of = {one.name: score(room, program, one, cell, how) for one in subjects()}
        lines.append(f"| {program.name} | {_columns(of)} |")
    return "\n".join(lines)


def _columns(of: Mapping[str, Scores]) -> str:
    ours, photos = of[SCENE], [scores for name, scores in of.items() if name != SCENE]
    mean, structure, absolute = (
        float(np.mean([getattr(scores, part) for scores in photos]))
        for part in ("psnr", "ssim", "absolute")
    )
    worst = min(scores.psnr for scores in photos)
    return (
        f"{ours.psnr:.2f} / {ours.ssim:.3f} | {mean:.2f} / {structure:.3f} | {worst:.2f} |"
        f" {absolute:.2f}"
    )


def time_table(room: Darkroom, programs: Sequence[Program]) -> str:
    """Markdown: seconds and MiB of each program for 24 megapixels."""
    cell = CELLS[0]
    lines = [
        f"24 megapixels, ISO {cell}, one run, `times` by CPU seconds; {speed.machine()}\n",
        "| program | seconds | CPU seconds | times LibRaw | peak MiB |",
        "|---|---:|---:|---:|---:|",
    ]
    base = 0.0
    for program in programs:
        took = process_memory.Run(**room.remembered(
            f"time of {program.name} ({program.version()}) | {chosen(program, cell)}",
            partial(_timed, room, program, cell),
        ))  # fmt: skip
        base = base or took.cpu
        lines.append(
            f"| {program.name} | {took.seconds:.1f} | {took.cpu:.1f} | {took.cpu / base:.1f} |"
            f" {took.mebibytes:.0f} |"
        )
    return "\n".join(lines)


def _timed(room: Darkroom, program: Program, cell: Cell) -> process_memory.Run:
    frame = room.frame(cell)
    task = Task(
        frame,
        frame.with_name("frame.tif"),
        math.log2(cell.amplification),
        cell.iso,
        chosen(program, cell),
    )
    took = run(program, task)
    task.out.unlink()
    return took


def draw(room: Darkroom, programs: Sequence[Program]) -> NDArray[np.uint8]:
    """Crops of the scene at 100 % as each program makes them, and without noise by undark."""
    rows = []
    for cell in CELLS:
        made = {
            program.name: room.make(program, scene(), cell, chosen(program, cell))
            for program in programs
        }
        last = next(p for p in reversed(programs) if isinstance(p, Undark))
        made["without noise"] = room.reference(last, scene())
        for top, left in PLACES:
            crops = [
                inner(part, scene().light.shape)[top - BORDER :, left - BORDER :][:SIDE, :SIDE]
                for part in made.values()
            ]
            shown = [np.rint(255 * crop).astype(np.uint8) for crop in crops]
            rows.append(titled(shown, [f"{name}, {cell}" for name in made], 26))
    return np.concatenate(rows)


def installed() -> list[Program]:
    """The programs that can be run; a line for each that cannot."""
    found = []
    for program in PROGRAMS:
        if program.version() is None:
            print(f"{program.name}: left out, it is not installed")
        else:
            found.append(program)
    return found


def tune_all(room: Darkroom, programs: Sequence[Program]) -> None:
    """Tune what has settings, and write them down."""
    for program in programs:
        if program.grids:
            found = {str(cell): tune(room, program, cell) for cell in CELLS}
            known = json.loads(SETTINGS.read_text()) if SETTINGS.exists() else {}
            known[program.name] = found
            write_atomically(SETTINGS, (json.dumps(known, indent=1) + "\n").encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("work", type=Path)
    parser.add_argument("--tune", action="store_true", help="only choose settings")
    parser.add_argument("--time", action="store_true", help="only time 24 megapixels")
    parser.add_argument("--sheet", type=Path, metavar="JPEG")
    parser.add_argument("--only", default="", metavar="PROGRAM", help="a part of its name")
    asked = parser.parse_args()
    room = Darkroom(asked.work)
    programs = [program for program in installed() if asked.only in program.name]
    if asked.tune:
        tune_all(room, programs)
        return
    if asked.time:
        print(time_table(room, programs))
        return
    versions = {str(program.version()): None for program in programs}
    print("; ".join(versions) + "\n")
    for cell in CELLS:
        print(quality_table(room, programs, cell) + "\n")
    print(time_table(room, programs))
    if asked.sheet:
        with atomic_output(asked.sheet, overwrite=True) as temporary:
            write_picture(temporary, draw(room, programs), Shot(), quality=72)


if __name__ == "__main__":
    main()
