"""Worst error on hard synthetic scenes, in sigma of a pixel's noise, away from their edges.

    python benchmarks/adversarial.py --model bayer --scenes 24
    python benchmarks/adversarial.py --model xtrans --scenes 2000 --kinds halves

Two flat halves, staircases, stripes, checkers and stars of any colours between -2 and 1000 sigma at
black, random and (halves) those that a model was known to fail on, seen through the model's own
colour filter. A Sony A7S2's noise is simulated and given to the model. For each kind of scene the
table gives the largest error of any pixel and colour that is flat light farther than 8 pixels from
anything else: of the network alone, within its bound (`restoring/bound.py`), and of
`undark.restore` as a whole, corrected towards the measured light. Light below black, as under a
black level that is off, may be given as it is, as 0, or between. The noisy pixels themselves reach
about 4.5.

    python benchmarks/adversarial.py --photos 12

measures what bound and correction cost on photographs: PSNR of the same three, packed RAW and sRGB
picture. RAW PSNR has only the colours that were measured at each pixel; the bound is felt more in
the others.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkroom import (
    BLACK,
    CELLS,
    SHARED,
    SPAN,
    WHITE,
    WHITE_BALANCE,
    Cell,
    as_dark,
    as_mosaic,
    cfa_of,
    corrected,
    darken,
    load_light,
    middle,
    packed,
    picture,
    see,
)
from undark.develop.metrics import psnr
from undark.engine.model import Model
from undark.restoring.bands import run_network
from undark.restoring.photons import Agreement
from undark.sensor.cfa import CFA, mosaic
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel, NumPySampler
from undark.sensor.profiles.cameras import find_camera

SIDE = 192
"""Pixels of a scene's height and width."""
AWAY = 8
"""Pixels around an edge that do not count."""
FLAT = 1e-3
"""Sigmas at black by which light may differ and count as flat."""
LIMIT = 6.0
"""Sigma above which a pixel counts as wrong."""
ISOS = (400, 1600, 6400)
STAGES = ("network", "bounded", "restore")
MIDDLE = 512
"""Most pixels of a photo's height and width, from its middle."""

Colour = tuple[float, float, float]
Light = NDArray[np.float64]
Draw = Callable[[np.random.Generator, Light], Light]
"""Draws a pattern from (n, 3) colours: → (H, W, 3) in sigma at black."""

GREY, BLACK_AREA = (30.0, 30.0, 30.0), (0.0, 0.0, 0.0)
KNOWN: dict[str, tuple[Colour, Colour]] = {
    "grey, cyan of red 30": (GREY, (30, 300, 300)),
    "grey, cyan of red 10": (GREY, (10, 300, 300)),
    "grey, cyan of red 3": (GREY, (3, 300, 300)),
    "grey, cyan of red 0": (GREY, (0, 300, 300)),
    "black, cyan of red 3": (BLACK_AREA, (3, 300, 300)),
    "black, green of red 3": (BLACK_AREA, (3, 300, 30)),
    "bright grey, green of red 1": ((300, 300, 300), (1, 1000, 100)),
    "black, red": (BLACK_AREA, (300, 3, 3)),
    "red, blue": ((300, 3, 3), (3, 3, 300)),
    "yellow, blue": ((300, 300, 3), (3, 3, 300)),
}
"""Name → two colours in sigma at black of each sensor colour."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Light and how it is taken."""

    name: str
    light: Light
    """(SIDE, SIDE, 3) in sigma at black."""
    iso: int = 1600
    amplification: float = 100.0

    def flat(self) -> NDArray[np.bool_]:
        """(SIDE, SIDE): pixels whose surroundings of `AWAY` pixels all have their light."""
        from scipy.ndimage import maximum_filter, minimum_filter

        size = (2 * AWAY + 1, 2 * AWAY + 1, 1)
        span = maximum_filter(self.light, size) - minimum_filter(self.light, size)
        same: NDArray[np.bool_] = span.max(axis=-1) < FLAT
        return same


def known_scenes() -> Iterator[Scene]:
    """Halves that are known to be hard, moderately and deeply dark."""
    upright = np.arange(SIDE) < SIDE // 2
    for name, (first, second) in KNOWN.items():
        line = np.where(upright[:, None], first, second)
        light = np.broadcast_to(line, (SIDE, SIDE, 3))
        for amplification in (10.0, 100.0):
            described = f"{name}, ×{amplification:g}"
            yield Scene(described, light, amplification=amplification)


def random_scenes(kind: str, count: int, seed: int) -> Iterator[Scene]:
    """Any colours; the same for the same seed and number."""
    for number in range(count):
        random = np.random.default_rng((seed, number, list(KINDS).index(kind)))
        colours = np.array([_colour(random) for _ in range(6)])
        light = KINDS[kind](random, colours)
        light = light.swapaxes(0, 1) if random.random() < 0.5 else light
        amplification = math.exp(random.uniform(0, math.log(300)))
        iso = ISOS[random.integers(len(ISOS))]
        shown = " beside ".join(", ".join(f"{v:.3g}" for v in c) for c in colours[:2])
        name = f"{number}: {shown}; ISO {iso} ×{amplification:.0f}"
        yield Scene(name, light, iso, amplification)


def _colour(random: np.random.Generator) -> Light:
    """One in five grey, else each sensor colour by itself, one in eight of these below black."""
    levels = np.exp(random.uniform(math.log(0.3), math.log(1000), 3))
    levels = np.where(random.random(3) < 0.125, random.uniform(-2, 0, 3), levels)
    return np.full(3, levels[0]) if random.random() < 0.2 else levels


def _halves(random: np.random.Generator, colours: Light) -> Light:
    return _columns(colours, np.arange(SIDE) * 2 // SIDE)


def _steps(random: np.random.Generator, colours: Light) -> Light:
    """A staircase of four levels."""
    return _columns(colours, np.arange(SIDE) * 4 // SIDE)


def _stripes(random: np.random.Generator, colours: Light) -> Light:
    """Stripes of 1 to 24 pixels of two colours beside a flat third."""
    width = random.integers(1, 25)
    return _columns(colours, np.where(_left(), np.arange(SIDE) // width % 2, 2))


def _checkers(random: np.random.Generator, colours: Light) -> Light:
    """Squares of 1 to 24 pixels of two colours beside a flat third."""
    side = random.integers(1, 25)
    at = np.arange(SIDE) // side
    number = np.where(_left(), (at[:, None] + at) % 2, 2)
    return np.asarray(colours[number])


def _stars(random: np.random.Generator, colours: Light) -> Light:
    """Gaussian stars 1.2 to 3 pixels wide at half maximum, 5 to 1000 sigma high, on flat light."""
    light = np.broadcast_to(colours[0], (SIDE, SIDE, 3)).copy()
    down, across = np.mgrid[:SIDE, :SIDE]
    for _ in range(12):
        y, x = random.uniform(0, SIDE, 2)
        width = random.uniform(1.2, 3) / 2.355
        shape = np.exp(-((down - y) ** 2 + (across - x) ** 2) / (2 * width**2))
        peak = np.exp(random.uniform(math.log(5), math.log(1000))) * random.uniform(0.3, 1, 3)
        light += shape[..., None] * peak
    return light


def _left() -> NDArray[np.bool_]:
    return np.arange(SIDE) < SIDE // 2


def _columns(colours: Light, number: NDArray[np.intp]) -> Light:
    """(SIDE, SIDE, 3): every column has the colour of its number."""
    return np.broadcast_to(colours[number], (SIDE, SIDE, 3))


KINDS: dict[str, Draw] = {
    "halves": _halves,
    "steps": _steps,
    "stripes": _stripes,
    "checkers": _checkers,
    "stars": _stars,
}


def stages(
    model: Model, dark: Mosaic, noise: NoiseModel, amplification: float
) -> tuple[dict[str, NDArray[np.float32]], Agreement]:
    """Restored light (H, W, 3) of the network alone, in its bound, and corrected: `STAGES`."""
    alone = run_network(model, dark, noise, amplification, bounded=False)
    bounded = run_network(model, dark, noise, amplification)
    whole, agreement = corrected(bounded, dark, noise, amplification)
    return dict(zip(STAGES, (alone, bounded, whole), strict=True)), agreement


def worst_errors(scene: Scene, model: Model, seed: int) -> list[float]:
    """Largest error in sigma where a scene is flat, for each of `STAGES`."""
    camera = find_camera("ILCE-7SM2")
    assert camera is not None
    noise = camera.at(scene.iso, SPAN)
    light = scene.light * float(noise.sigma(np.zeros(1))[0])
    cfa = cfa_of(model)
    dark = as_mosaic(_shoot(np.moveaxis(light, -1, 0), cfa, noise, seed), BLACK, WHITE, cfa)
    to_light = WHITE_BALANCE * (scene.amplification / SPAN)
    sigma = noise.sigma(light.clip(0, SPAN)) * to_light
    flat = scene.flat()
    least, most = light.clip(None, SPAN) * to_light, light.clip(0, SPAN) * to_light
    made, _ = stages(model, dark, noise, scene.amplification)
    return [
        float((np.abs(m - m.clip(least, most)) / sigma)[flat].max(initial=0)) for m in made.values()
    ]


def _shoot(light: Light, cfa: CFA, noise: NoiseModel, seed: int) -> NDArray[np.uint16]:
    """(SIDE, SIDE) DN with the black level, of (3, SIDE, SIDE) DN above black."""
    signal = mosaic(light, cfa)
    noisy = noise.add(signal, NumPySampler(seed)) + signal.clip(None, 0)
    plane: NDArray[np.uint16] = np.rint(noisy.clip(-BLACK, SPAN) + BLACK).astype(np.uint16)
    return plane


def rows_of_scenes(model: Model, kinds: list[str], count: int, seed: int) -> Iterator[str]:
    """The table's rows, one for each kind of scene and stage."""
    yield "| scenes | number | output | above 6 | median, sigma | worst, sigma | worst scene |"
    yield "|---|---|---|---|---|---|---|"
    groups = {"known halves": known_scenes()}
    groups |= {kind: random_scenes(kind, count, seed) for kind in kinds}
    for name, scenes in groups.items():
        names, found = [], []
        for number, scene in enumerate(scenes):
            names.append(scene.name)
            found.append(worst_errors(scene, model, seed + number))
        for stage, worst in zip(STAGES, np.array(found).T, strict=True):
            above, at = int((worst > LIMIT).sum()), int(worst.argmax())
            yield (
                f"| {name} | {len(names)} | {stage} | {above} | {np.median(worst):.1f} "
                f"| {worst[at]:.1f} | {names[at]} |"
            )


def rows_of_photos(model: Model, count: int, seed: int) -> Iterator[str]:
    """RAW and sRGB PSNR on photographs by cell and stage, and the blocks that were corrected."""
    yield "| ISO | photos | " + " | ".join(STAGES) + " | blocks corrected |"
    yield "|---|---|---|---|---|---|"
    photos = sorted((SHARED / "photos/val").glob("*.jpg"))[:count]
    for cell in [Cell(100, 3), Cell(400, 10), *CELLS[::2]]:
        raw, srgb, count, blocks = list[list[float]](), list[list[float]](), 0, 0
        for number, photo in enumerate(photos):
            frame = darken(middle(load_light(photo), (MIDDLE, MIDDLE), 2), cell, (seed, number))
            dark, noise = as_dark(frame)
            made, agreement = stages(model, dark, noise, float(cell.amplification))
            lights = [light.astype(np.float64) for light in made.values()]
            true, shown = packed(see(frame.truth)), picture(frame.truth)
            raw.append([psnr(packed(see(light)), true) for light in lights])
            srgb.append([psnr(picture(light), shown) for light in lights])
            count, blocks = count + agreement.corrected, blocks + agreement.blocks
        means = zip(np.mean(raw, axis=0), np.mean(srgb, axis=0), strict=True)
        stages_shown = " | ".join(f"{one:.2f} / {other:.2f}" for one, other in means)
        yield f"| {cell} | {len(photos)} | {stages_shown} | {count} of {blocks} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="bayer", metavar="NAME|FILE")
    parser.add_argument("--scenes", type=int, default=100, help="random scenes of each kind")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--photos", type=int, default=0, help="photographs, in place of scenes")
    parser.add_argument("--seed", type=int, default=0)
    asked: Any = parser.parse_args()
    import undark

    model = undark.load_model(asked.model)
    if asked.photos:
        rows = rows_of_photos(model, asked.photos, asked.seed)
    else:
        rows = rows_of_scenes(model, asked.kinds, asked.scenes, asked.seed)
    for row in rows:
        print(row, flush=True)


if __name__ == "__main__":
    main()
