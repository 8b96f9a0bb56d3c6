"""Worst error of a model on two flat halves of any two colours, in sigma of the pixel's noise.

    python benchmarks/flat_colours.py --model bayer --pairs 24

Colours are between -2 and 1000 sigma at black, with cases where a model was known to fail, and
random ones. A Sony A7S2's noise is simulated and told. The table gives the largest error of any
pixel and colour farther than 8 pixels from the edge; the noisy pixels themselves reach about 4.5.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkroom import BLACK, SPAN, WHITE, WHITE_BALANCE, as_mosaic
from undark.sensor.cfa import RGGB, mosaic
from undark.sensor.noise import NoiseModel, NumPySampler
from undark.sensor.profiles.cameras import find_camera

SIDE = 160
"""Pixels of a frame's height and width."""
AWAY = 8
"""Pixels from the edge between the halves that do not count."""
LIMIT = 6.0
"""Sigma above which a pixel counts as wrong."""
ISOS = (400, 1600, 6400)

Colour = tuple[float, float, float]

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


@dataclass(frozen=True)
class Pair:
    """Two flat halves and how they are taken."""

    name: str
    colours: tuple[Colour, Colour]
    iso: int = 1600
    amplification: float = 100.0
    upright: bool = True
    """Whether the edge is vertical."""


def known_pairs() -> Iterator[Pair]:
    """Those that are known to be hard, moderately and deeply dark."""
    for name, colours in KNOWN.items():
        for amplification in (10.0, 100.0):
            yield Pair(f"{name}, ×{amplification:g}", colours, amplification=amplification)


def random_pairs(count: int, seed: int) -> Iterator[Pair]:
    """Any two colours; the same for the same seed and number."""
    for number in range(count):
        random = np.random.default_rng((seed, number))
        yield Pair(
            f"random {number}",
            (_colour(random), _colour(random)),
            ISOS[random.integers(len(ISOS))],
            math.exp(random.uniform(0, math.log(300))),
            random.random() < 0.5,
        )


def _colour(random: np.random.Generator) -> Colour:
    """One in five grey, else each sensor colour by itself, one in eight of these below black."""
    levels = np.exp(random.uniform(math.log(0.3), math.log(1000), 3))
    levels = np.where(random.random(3) < 0.125, random.uniform(-2, 0, 3), levels)
    if random.random() < 0.2:
        levels[:] = levels[0]
    red, green, blue = levels.tolist()
    return red, green, blue


def worst_error(pair: Pair, model: Any, seed: int) -> float:
    """Largest error in sigma of a restored pair, away from the edge."""
    import undark

    camera = find_camera("ILCE-7SM2")
    assert camera is not None
    noise = camera.at(pair.iso, SPAN)
    light = _halves(pair, float(noise.sigma(np.zeros(1))[0]))
    restored = undark.restore(
        as_mosaic(_shoot(light, noise, seed), BLACK, WHITE),
        exposure=pair.amplification,
        noise=noise,
        model=model,
    )
    truth = np.moveaxis(light.clip(0, SPAN), 0, -1)
    to_light = WHITE_BALANCE * (pair.amplification / SPAN)
    error = np.abs(restored.linear - truth * to_light) / (noise.sigma(truth) * to_light)
    middle = slice(SIDE // 2 - AWAY, SIDE // 2 + AWAY)
    error[:, middle] = 0 if pair.upright else error[:, middle]
    error[middle] = error[middle] if pair.upright else 0
    return float(error.max())


def _halves(pair: Pair, black: float) -> NDArray[np.float64]:
    """(3, SIDE, SIDE) DN above black, where the noise at black is `black` DN."""
    second = np.arange(SIDE) >= SIDE // 2
    first, other = (np.array(colour) * black for colour in pair.colours)
    line = np.where(second, other[:, None], first[:, None])
    across = line[:, None, :] if pair.upright else line[:, :, None]
    return np.broadcast_to(across, (3, SIDE, SIDE)).copy()


def _shoot(light: NDArray[np.float64], noise: NoiseModel, seed: int) -> NDArray[np.uint16]:
    """(SIDE, SIDE) DN with the black level."""
    signal = mosaic(light, RGGB)
    noisy = noise.add(signal, NumPySampler(seed)) + signal.clip(None, 0)
    plane: NDArray[np.uint16] = np.rint(noisy.clip(-BLACK, SPAN) + BLACK).astype(np.uint16)
    return plane


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="bayer", metavar="NAME|FILE")
    parser.add_argument("--pairs", type=int, default=100, help="random pairs")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    import undark

    model = undark.load_model(asked.model)
    groups = {"known": list(known_pairs()), "random": list(random_pairs(asked.pairs, asked.seed))}
    print("| pairs | number | above 6 sigma | median, sigma | worst, sigma | worst pair |")
    print("|---|---|---|---|---|---|")
    for group, pairs in groups.items():
        worst = [worst_error(pair, model, asked.seed + n) for n, pair in enumerate(pairs)]
        if not worst:
            continue
        at = int(np.argmax(worst))
        above = sum(w > LIMIT for w in worst)
        print(
            f"| {group} | {len(pairs)} | {above} | {np.median(worst):.1f} | {worst[at]:.1f} "
            f"| {_described(pairs[at])} |"
        )


def _described(pair: Pair) -> str:
    halves = " beside ".join(", ".join(f"{level:.3g}" for level in c) for c in pair.colours)
    return f"{pair.name}: {halves}; ISO {pair.iso} ×{pair.amplification:.0f}"


if __name__ == "__main__":
    main()
