"""Score restoring on simulated dark photos: models, and classical denoisers with known noise.

    python benchmarks/quality.py --model undark.onnx --out results.json   # the table of the docs
    python benchmarks/quality.py --tune 8                                 # the baselines' settings

Each photo of `../shared/photos/val` is converted to linear camera RGB of a Sony A7S2, darkened,
given that sensor's measured noise (`../shared/noise/sony_a7s2_by_iso.json`) and restored.
`benchmarks/README.md` has the details and defines the scores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from classical_planes import DENOISERS, GRIDS, Plane, Settings, missing
from darkroom import (
    CELLS,
    SHARED,
    SONY,
    Cell,
    Frame,
    Scores,
    as_dark,
    classical_light,
    darken,
    fidelity,
    load_light,
    score,
    see,
)

T = TypeVar("T")

SETTINGS_FILE = Path(__file__).with_name("classical_settings.json")
METHODS = ("noisy", *DENOISERS)
AIMS = ("raw", "srgb")
"""The scores for which a classical method is tuned; it has separate settings for each."""
TITLES = {
    "raw": "Packed RAW, as is",
    "raw corrected": "Packed RAW, brightness corrected",
    "srgb": "sRGB picture",
}
PROTOCOL = 1
"""Part of the cache's key: raise it when the computation of scores changes."""
TUNING_SIDE = 256
"""Side in pixels of the crops on which settings are tuned."""

Table = dict[str, dict[Cell, Scores]]
"""Method → cell → scores, averaged over photos."""


def network_light(frame: Frame, model: Any, blind: bool = False) -> Plane:
    """A frame restored by `undark.restore` with the true noise, as the baselines have it.

    If `blind`, noise and black are estimated from the frame, whose camera is not named.
    """
    import undark

    dark, noise = as_dark(frame)
    exposure = float(frame.cell.amplification)
    given = None if blind else noise
    restored = undark.restore(dark, exposure=exposure, noise=given, model=model)
    return restored.linear.astype(np.float64)


def score_model(
    name: str, photos: Sequence[Path], seed: int, camera: str, blind: bool
) -> dict[Cell, Scores]:
    """Scores of a model, on the same dark photos as the baselines."""
    import undark

    model = undark.load_model(name)
    results: dict[Cell, list[Scores]] = {cell: [] for cell in CELLS}
    for number, photo in enumerate(watched(photos, name)):
        light = load_light(photo)
        for cell in CELLS:
            frame = darken(light, cell, (seed, number), camera)
            restored = network_light(frame, model, blind)
            results[cell].append(score(see(restored), restored, light))
    return {cell: average(scores) for cell, scores in results.items()}


@dataclass(frozen=True)
class Task:
    """A classical method, or "noisy", on one photo in one cell."""

    method: str
    settings: Settings
    photo: Path
    number: int
    cell: Cell
    seed: int
    cache: Path
    camera: str = SONY

    @property
    def file(self) -> Path:
        """The cache's file; its name is a digest of everything that the scores depend on."""
        packages = {"bm3d": ["bm3d"], "wavelet": ["scikit-image", "PyWavelets"]}
        used = ["rawpy", *packages.get(self.method, ["scikit-image"])]
        parts: list[Any] = [PROTOCOL, self.seed, self.number, str(self.cell), dict(self.settings)]
        parts += [{p: version(p) for p in used}, _digest(self.photo)]
        parts += [self.camera] if self.camera != SONY else []
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]
        return self.cache / f"{self.method}-{key}.json"

    def run(self) -> Scores:
        """The scores, from the cache if they are there."""
        if self.file.exists():
            return _scores(json.loads(self.file.read_text())["scores"])
        seed = (self.seed, self.number)
        frame = darken(load_light(self.photo), self.cell, seed, self.camera)
        began = time.process_time()
        mosaic, light = classical_light(frame, self.method, self.settings)
        seconds = time.process_time() - began
        scores = score(mosaic, light, frame.truth)
        self._keep(scores, seconds)
        return scores

    def _keep(self, scores: Scores, seconds: float) -> None:
        record: dict[str, Any] = {
            "photo": self.photo.name,
            "cell": asdict(self.cell),
            "scores": scores,
        }
        record |= {"settings": dict(self.settings), "seconds": round(seconds, 1)}
        self.cache.mkdir(parents=True, exist_ok=True)
        temporary = self.file.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(record))
        temporary.replace(self.file)


def score_classical(
    method: str, photos: Sequence[Path], seed: int, cache: Path, jobs: int, camera: str
) -> dict[Cell, Scores]:
    """Scores of a classical method, with the settings tuned for each of `AIMS`."""
    tasks = {
        (cell, aim, number): Task(
            method, settings_of(method, aim, cell), photo, number, cell, seed, cache, camera
        )
        for cell in CELLS
        for aim in AIMS
        for number, photo in enumerate(photos)
    }
    unique = {task.file: task for task in tasks.values()}
    done = dict(zip(unique, mapped(Task.run, list(unique.values()), jobs, method), strict=True))

    def averaged(cell: Cell) -> Scores:
        raw, srgb = (
            average([done[tasks[cell, aim, n].file] for n in range(len(photos))]) for aim in AIMS
        )
        return raw | {"srgb": srgb["srgb"]}

    return {cell: averaged(cell) for cell in CELLS}


def settings_of(method: str, aim: str, cell: Cell) -> Settings:
    """The settings that `--tune` has found for a classical method."""
    if method == "noisy":
        return {}
    settings: Settings = _tuned()[method]["settings"][aim][str(cell)]
    return settings


def tune(photos: Sequence[Path], methods: Sequence[str], seed: int, jobs: int) -> dict[str, Any]:
    """Method → aim → cell → the settings of its grid with the best mean PSNR on crops of photos."""
    found: dict[str, Any] = {}
    for method in methods:
        work = partial(_tune_cell, method, photos, seed)
        best = mapped(work, CELLS, jobs, f"tuning {method}")
        found[method] = {
            aim: {str(cell): b[aim] for cell, b in zip(CELLS, best, strict=True)} for aim in AIMS
        }
    return found


def _tune_cell(method: str, photos: Sequence[Path], seed: int, cell: Cell) -> dict[str, Settings]:
    """The best of the grid for each of `AIMS` in one cell."""
    lights = [_centre(load_light(photo)) for photo in photos]
    frames = [darken(light, cell, (seed, n)) for n, light in enumerate(lights)]

    def attempt(settings: Settings) -> dict[str, float]:
        restored = (classical_light(frame, method, settings) for frame in frames)
        psnrs = [fidelity(*r, truth) for r, truth in zip(restored, lights, strict=True)]
        return {aim: float(np.mean([p[aim] for p in psnrs])) for aim in AIMS}

    tried = [(settings, attempt(settings)) for settings in GRIDS[method]]
    return {aim: max(tried, key=lambda t: t[1][aim])[0] for aim in AIMS}


def _centre(light: Plane) -> Plane:
    top, left = (2 * ((n - TUNING_SIDE) // 4) for n in light.shape[:2])
    return light[top : top + TUNING_SIDE, left : left + TUNING_SIDE]


def store_settings(found: Mapping[str, Any], photos: Sequence[Path], command: str) -> None:
    """Write tuned settings and the command into the settings file; other methods are kept."""
    kept = _tuned() if SETTINGS_FILE.exists() else {}
    how = {"command": command, "photos": [photo.name for photo in photos]}
    made = {method: how | {"settings": settings} for method, settings in found.items()}
    SETTINGS_FILE.write_text(json.dumps({**kept, **made}, indent=1) + "\n")


def mapped(work: Callable[[Any], T], items: Sequence[Any], jobs: int, label: str) -> list[T]:
    """Apply `work` to each item, in order, in `jobs` processes, with a line of progress."""
    if jobs == 1:
        return [work(item) for item in watched(items, label)]
    with ProcessPoolExecutor(jobs) as pool:
        results = pool.map(work, items)
        return [next(results) for _ in watched(items, label)]


def watched(items: Sequence[T], label: str) -> Iterator[T]:
    """Yield the items and print progress to stderr."""
    began = time.monotonic()
    for number, item in enumerate(items):
        minutes = (time.monotonic() - began) / 60
        left = f", {minutes / number * (len(items) - number):.0f} min left" if number else ""
        print(f"\r{label}: {number}/{len(items)}{left}   ", end="", file=sys.stderr, flush=True)
        yield item
    print(f"\r{label}: {len(items)}/{len(items)}              ", file=sys.stderr)


def average(scores: Sequence[Scores]) -> Scores:
    """The mean of each score over photos or cells."""

    def mean(name: str, part: int) -> float:
        return float(np.mean([s[name][part] for s in scores]))

    return {name: (mean(name, 0), mean(name, 1)) for name in TITLES}


def markdown(table: Table) -> str:
    """Three tables: one row per cell and one for the average, one column per method."""
    return "\n\n".join(
        f"{title}: PSNR in dB / SSIM\n\n{_grid(table, name)}" for name, title in TITLES.items()
    )


def _grid(table: Table, name: str) -> str:
    def entry(scores: Scores) -> str:
        psnr, ssim = scores[name]
        return f"{psnr:.2f} / {ssim:.3f}"

    head = [["ISO, amplification", *table], ["---", *("---:" for _ in table)]]
    rows = [[str(cell), *(entry(table[m][cell]) for m in table)] for cell in CELLS]
    rows += [["average", *(entry(average(list(table[m].values()))) for m in table)]]
    return "\n".join(f"| {' | '.join(row)} |" for row in head + rows)


def as_json(table: Table) -> dict[str, Any]:
    """The table in the form that `--out` writes."""
    return {m: {str(c): scores for c, scores in cells.items()} for m, cells in table.items()}


def from_json(path: Path) -> Table:
    """The table that `--out` has written before."""
    content = json.loads(path.read_text())
    return {
        method: {
            Cell(*map(int, cell.split(" ×"))): _pairs(scores) for cell, scores in cells.items()
        }
        for method, cells in content.items()
    }


def _pairs(scores: dict[str, list[float]]) -> Scores:
    return {name: (psnr, ssim) for name, (psnr, ssim) in scores.items()}


@cache
def _tuned() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SETTINGS_FILE.read_text())
    return found


@cache
def _digest(photo: Path) -> str:
    return hashlib.sha256(photo.read_bytes()).hexdigest()


def _scores(stored: Mapping[str, Sequence[float]]) -> Scores:
    return {name: (values[0], values[1]) for name, values in stored.items()}


def runnable(methods: Iterable[str]) -> list[str]:
    """The methods that can run here; prints why others are left out."""
    found = []
    for method in methods:
        reason = missing(method)
        if reason:
            print(f"left out: {method}: {reason}", file=sys.stderr)
        else:
            found.append(method)
    return found


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = options.add_argument
    add("--model", action="append", default=[], help="an .onnx file or a shipped name; repeatable")
    add("--blind", action="store_true", help="a second column of each model: noise estimated")
    add("--camera", default=SONY, help="a camera of undark's table; default: %(default)s")
    add("--methods", nargs="*", default=METHODS, choices=METHODS, help="baselines; default: all")
    add("--photos", type=int, metavar="N", help="only the first N photos; default: all")
    add("--seed", type=int, default=0)
    add("--jobs", type=int, default=1, help="processes for the baselines")
    add(
        "--cache",
        type=Path,
        default=Path(".cache/quality"),
        help="folder of the baselines' scores",
    )
    add("--out", type=Path, help="write the scores as JSON here")
    add("--keep", action="store_true", help="and keep its baselines that are not in --methods")
    add("--tune", type=int, metavar="N", help="tune the baselines' settings on N photos of train")
    return options


def main() -> None:
    options = parser().parse_args()
    if options.tune:
        photos = sorted((SHARED / "photos" / "train").glob("*.jpg"))
        photos = photos[:: len(photos) // options.tune][: options.tune]
        methods = [m for m in runnable(options.methods) if m != "noisy"]
        found = tune(photos, methods, options.seed, options.jobs)
        store_settings(found, photos, f"python benchmarks/quality.py {' '.join(sys.argv[1:])}")
        print(json.dumps(found, indent=1))
        return
    photos = sorted((SHARED / "photos" / "val").glob("*.jpg"))[: options.photos]
    baselines = partial(
        score_classical,
        photos=photos,
        seed=options.seed,
        cache=options.cache,
        jobs=options.jobs,
        camera=options.camera,
    )
    asked: Table = {method: baselines(method) for method in runnable(options.methods)}
    kept = from_json(options.out) if options.keep else {}
    known = kept | asked
    table = {method: known[method] for method in METHODS if method in known}
    for model in options.model:
        for blind in (False, True) if options.blind else (False,):
            name = f"{Path(model).stem}{', blind' if blind else ''}"
            table[name] = score_model(model, photos, options.seed, options.camera, blind)
    print(markdown(table))
    if options.out:
        options.out.write_text(json.dumps(as_json(table), indent=1) + "\n")


if __name__ == "__main__":
    main()
