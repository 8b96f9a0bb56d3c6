"""How well the noise and black level of dark frames are estimated from their own pixels.

    python benchmarks/blind.py --frames 1000

Frames are made from photographs (see `blind_frames`). For each kind of fault: the share of frames
whose sigma (a single pixel's whole noise at the frame's median level, rows and columns included)
is within 10 % and 30 % of the truth, the median of sigma's ratio to it, and the share whose black
is within 0.5 DN: at all positions with a masked border, else the difference of the two greens. The
last two columns are what is left of the offsets of rows with a border and without one: their root
mean square over the frames, DN.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blind_frames import CASES, Dark, Plane, make
from darkroom import SHARED, load_light
from undark.sensor.blind import Estimate, estimate
from undark.sensor.cfa import CFA, GREEN


@dataclass(frozen=True)
class Score:
    """One frame's."""

    case: str
    masked: bool
    ratio: float
    """Estimated over true sigma."""
    black: float
    """Largest error of the black level, or of the greens' difference, DN."""
    rows: float
    """Root mean square of what is left of the rows' offsets, DN."""
    seconds: float
    name: str


def score(frame: Dark) -> Score:
    """Estimate a frame and compare."""
    began = time.perf_counter()
    found = estimate(frame.mosaic)
    seconds = time.perf_counter() - began
    sigma = float(found.uncorrected.sigma(np.float64(found.level)))
    masked = frame.mosaic.black_source == "masked border"
    off = black_error(frame, found)
    left = frame.rows - (0 if found.row_offsets is None else found.row_offsets)
    rows = float(np.sqrt(np.square(left).mean()))
    return Score(frame.case, masked, sigma / frame.sigma, off, rows, seconds, frame.name)


def black_error(frame: Dark, found: Estimate) -> float:
    """Largest error in DN over all positions, or, without a border, over those of green."""
    error = frame.mosaic.black + found.black_errors - frame.black
    if frame.mosaic.black_source == "masked border":
        return float(np.abs(error).max())
    green = error[frame.mosaic.cfa.pattern == GREEN]
    return float(np.ptp(green)) if len(green) == 2 else float(np.abs(green - green.mean()).max())


def frames(photos: list[Path], count: int, cfa: CFA, side: int | None) -> Iterator[Dark]:
    """Every case in turn, of every photo in turn."""
    lights: dict[int, Plane] = {}
    for number in range(count):
        photo = number // len(CASES) % len(photos)
        if photo not in lights:
            lights = {photo: load_light(photos[photo])}
        light = lights[photo]
        if side:
            top, left = ((n - side) // 2 for n in light.shape[:2])
            light = light[max(top, 0) :, max(left, 0) :][:side, :side]
        case = CASES[number % len(CASES)]
        yield make(light, cfa, case, (number // len(CASES), number), photos[photo].stem)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=SHARED / "photos/val", help="photographs")
    parser.add_argument("--cfa", default="RGGB", help="RGGB, BGGR, GRBG, GBRG or X-Trans")
    parser.add_argument("--side", type=int, help="take this many pixels a side from the middle")
    parser.add_argument("--worst", type=int, default=0, help="name so many of the worst frames")
    asked = parser.parse_args()
    photos = sorted(asked.folder.glob("*.jpg"))
    made = frames(photos, asked.frames, CFA.from_name(asked.cfa), asked.side)
    scores = [score(frame) for frame in made]
    print(table(scores))
    for one in sorted(scores, key=lambda s: -abs(np.log(s.ratio)))[: asked.worst]:
        print(f"{one.ratio:.3f} {one.black:.2f} {one.name}")


def table(scores: list[Score]) -> str:
    """A row for each case, and one for all."""
    groups = defaultdict(list)
    for one in scores:
        groups[one.case].append(one)
    groups["all"] = scores
    names = ("fault", "frames", "within 10 %", "within 30 %", "median ratio", "black, border")
    head = " | ".join((*names, "greens", "seconds", "rows, border", "without"))
    rows = [_row(case, some) for case, some in groups.items()]
    return "\n".join([f"| {head} |", "|---" * 10 + "|", *rows])


def _row(case: str, scores: list[Score]) -> str:
    ratio = np.array([s.ratio for s in scores])
    near = [f"{100 * np.mean(np.abs(ratio - 1) <= within):.1f} %" for within in (0.1, 0.3)]
    black = [_share([s.black for s in scores if s.masked == masked]) for masked in (True, False)]
    rows = [_size([s.rows for s in scores if s.masked == masked]) for masked in (True, False)]
    seconds = np.median([s.seconds for s in scores])
    return (
        f"| {case} | {len(scores)} | {' | '.join(near)} | {np.median(ratio):.3f} "
        f"| {' | '.join(black)} | {seconds:.2f} | {' | '.join(rows)} |"
    )


def _share(errors: list[float]) -> str:
    return f"{100 * np.mean(np.array(errors) <= 0.5):.0f} %" if errors else "–"


def _size(lefts: list[float]) -> str:
    return f"{np.sqrt(np.square(lefts).mean()):.2f}" if lefts else "–"


if __name__ == "__main__":
    main()
