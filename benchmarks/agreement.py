"""How far restored dark frames with faults are from the light that the sensor counted.

    python benchmarks/agreement.py --frames 1000

Frames are made from photographs with the faults of `blind_frames` and restored with noise and black
estimated from their own pixels (the first estimate). In blocks of 16×16 pixels, for each position
of the CFA, the restored light, put back through the CFA, is compared with the measured signal
(`Restored.agreement`) and with the signal without noise and faults, before and after the correction
towards the measured light. A block counts where it is beyond five standard errors of its mean. The
comparison with the signal without noise is computed here, not by undark; blocks near white are left
out of it.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import undark
from blind import frames
from blind_frames import Dark, Plane
from darkroom import SHARED, corrected
from undark.engine.model import Model
from undark.restoring.bands import run_network
from undark.restoring.photons import LIMIT
from undark.sensor.cfa import CFA, mosaic
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel
from undark.sensor.profiles.lookup import without_defects

BLOCK = 16
AMPLIFICATION = 100.0
NEAR_WHITE = 0.9
"""Share of the span above which a block's brightest pixel leaves it out."""


@dataclass(frozen=True)
class Score:
    """Of one frame: counts of blocks."""

    case: str
    blocks: int
    before: int
    """Beyond `LIMIT` from the measured signal, before the correction."""
    after: bool
    """Whether any is, after it."""
    from_truth: tuple[int, int]
    """Beyond `LIMIT` from the signal without noise, before and after the correction."""
    worst: float
    """The largest distance from the signal without noise after the correction, standard errors."""
    name: str


def score(frame: Dark, model: Model) -> Score:
    """Restore a frame as `undark.restore` does and compare."""
    photo, noise = without_defects(frame.mosaic)
    light = run_network(model, photo, noise, AMPLIFICATION)
    distances = [from_truth(light, photo, noise, frame.clean)]
    light, agreement = corrected(light, photo, noise, AMPLIFICATION)
    distances.append(from_truth(light, photo, noise, frame.clean))
    first, last = (int((d > LIMIT).any(axis=-1).sum()) for d in distances)
    return Score(
        frame.case,
        agreement.blocks,
        agreement.beyond,
        agreement.remaining > LIMIT,
        (first, last),
        float(distances[1].max(initial=0)),
        frame.name,
    )


def from_truth(light: NDArray[np.float32], photo: Mosaic, noise: NoiseModel, clean: Plane) -> Plane:
    """(blocks down, blocks across, positions): distance of block means in standard errors."""
    back = light / photo.white_balance * (photo.span / AMPLIFICATION)
    seen = mosaic(np.moveaxis(back, -1, 0), photo.cfa)
    period = photo.cfa.period
    found = [
        _distance(seen[y::period, x::period], clean[y::period, x::period], noise, photo)
        for y in range(period)
        for x in range(period)
    ]
    return np.stack(found, axis=-1)


def _distance(seen: Plane, clean: Plane, noise: NoiseModel, photo: Mosaic) -> Plane:
    """Of the whole blocks of one position of the CFA."""
    side = BLOCK // 2
    restored, true = (_blocks(plane, side).mean((1, 3)) for plane in (seen, clean))
    variance = noise.gain * np.maximum(np.maximum(restored, true), 0) + noise.read**2
    rows = 1 if photo.offsets else side  # neighbouring rows share what is left of offsets
    variance = (variance + noise.step**2 / 12) / side**2 + noise.row**2 / rows + noise.bias**2
    usable = _blocks(clean, side).max((1, 3)) < NEAR_WHITE * photo.span
    distance: Plane = np.where(usable, np.abs(restored - true) / np.sqrt(variance), 0.0)
    return distance


def _blocks(plane: Plane, side: int) -> NDArray[np.float64]:
    height, width = (n // side for n in plane.shape)
    whole = plane[: height * side, : width * side].astype(np.float64)
    return whole.reshape(height, side, width, side)


def table(scores: list[Score]) -> str:
    """A row for each case, and one for all."""
    groups = defaultdict(list)
    for one in scores:
        groups[one.case].append(one)
    groups["all"] = scores
    names = (
        "fault | frames | blocks",
        "of 10,000 beyond, before | frames with any, after",
        "from truth: of 10,000, before | after | frames with any, after | worst",
    )
    rows = [f"| {' | '.join(names)} |", "|---" * 9 + "|"]
    for case, some in groups.items():
        blocks = sum(s.blocks for s in some)
        share = [1e4 * n / blocks for n in (sum(s.before for s in some), *_truth(some))]
        bad = sum(s.from_truth[1] > 0 for s in some)
        rows.append(
            f"| {case} | {len(some)} | {blocks} | {share[0]:.2f} | {sum(s.after for s in some)} "
            f"| {share[1]:.2f} | {share[2]:.2f} | {bad} | {max(s.worst for s in some):.1f} |"
        )
    return "\n".join(rows)


def _truth(scores: list[Score]) -> tuple[int, int]:
    return sum(s.from_truth[0] for s in scores), sum(s.from_truth[1] for s in scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=SHARED / "photos/val", help="photographs")
    parser.add_argument("--side", type=int, default=512, help="pixels a side, from the middle")
    parser.add_argument("--model", default="bayer", metavar="NAME|FILE")
    parser.add_argument("--worst", type=int, default=0, help="name so many of the worst frames")
    asked = parser.parse_args()
    photos, model = sorted(asked.folder.glob("*.jpg")), undark.load_model(asked.model)
    made = frames(photos, asked.frames, CFA.from_name("RGGB"), asked.side)
    scores = [score(frame, model) for frame in made]
    print(table(scores))
    for one in sorted(scores, key=lambda s: -s.worst)[: asked.worst]:
        print(f"{one.worst:.1f} {one.from_truth} {one.name}")


if __name__ == "__main__":
    main()
