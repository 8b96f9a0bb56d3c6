"""Do stars survive the mending of hot pixels? 1,000 stars and 1 % hot pixels on a dark sky.

    python benchmarks/stars.py                             # the mending alone
    python benchmarks/stars.py --model 64 --picture a.png  # with the shipped model, 64 stars

A star is a Gaussian of 1.2 to 3 pixels full width at half maximum in the mosaic, at a random place
of a pixel, its white-balanced colours each drawn between 0.4 and 1. Its brightest pixel is
`PEAKS` standard deviations of the sky's noise above the sky, log-uniform. Hot pixels are as high
as `HEIGHTS`, log-uniform too, at any place, adjacent ones and stars' pixels included. The noise is
that of the Sony A7S2 (`undark.sensor.profiles`).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from undark.files.picture import write_picture
from undark.restoring.raw import Restored, restore
from undark.sensor.cfa import CFA, RGGB
from undark.sensor.hot import Mended, mend
from undark.sensor.mosaic import Mosaic, Shot
from undark.sensor.noise import NoiseModel, NumPySampler
from undark.sensor.profiles.cameras import find_camera

Plane = NDArray[np.float64]

BLACK, WHITE = 512.0, 16383.0
BALANCE = np.array([2.0, 1.0, 1.6])
WIDTHS = (1.2, 3.0)
PEAKS = (5.0, 300.0)
HEIGHTS = (6.0, 1000.0)
SKY = 20.0
"""Green DN above black."""
SPACING = 64
"""Pixels between stars."""
REACH = 6
"""Pixels around a star that hold its light."""
AMPLIFICATION = 100.0
NONE = np.empty(0, np.intp)
KEPT, GONE = 0.7, 3.0
"""Share of its light that a star must keep; sigmas within which a mended pixel must be."""


@dataclass(frozen=True)
class Sky:
    """A dark sky, its stars and its hot pixels. All light in DN above black."""

    mosaic: Mosaic
    noise: NoiseModel
    clean: Plane
    """(H, W): sky and stars, without noise."""
    background: Plane
    """(H, W): the sky alone."""
    places: NDArray[np.intp]
    """(n, 2): the brightest pixel of each star."""
    hot: NDArray[np.bool_]
    """(H, W): where hot pixels are."""


def shoot(cfa: CFA, stars: int, density: float, iso: float, seed: int, camera: str) -> Sky:
    """A sky as a camera's sensor sees it."""
    random = np.random.default_rng(seed)
    table = find_camera(camera)
    assert table is not None
    noise = table.at(iso, WHITE - BLACK)
    across = int(np.ceil(stars**0.5))
    shape = (12 * (-(-across * SPACING // 12)),) * 2
    colours = np.tile(cfa.pattern, (shape[0] // cfa.period, shape[1] // cfa.period))
    background = SKY / BALANCE[colours]
    clean = background.copy()
    places = [_add_star(clean, colours, divmod(i, across), noise, random) for i in range(stars)]
    noisy = noise.add(clean, NumPySampler(seed), cfa.period)
    hot = random.random(shape) < density
    noisy[hot] += _log_uniform(HEIGHTS, random, hot.sum()) * noise.sigma(background[hot])
    plane = np.rint(noisy + BLACK).clip(0, WHITE).astype(np.uint16)
    mosaic = Mosaic(
        plane,
        cfa,
        np.full(cfa.pattern.shape, BLACK, np.float32),
        WHITE,
        BALANCE.astype(np.float32),
        shot=Shot(model=camera, iso=iso),
    )
    return Sky(mosaic, noise, clean, background, np.array(places), hot)


def _log_uniform(between: tuple[float, float], random: np.random.Generator, count: Any) -> Any:
    low, high = (float(np.log(end)) for end in between)
    return np.exp(random.uniform(low, high, count))


def _add_star(
    clean: Plane,
    colours: NDArray[np.uint8],
    cell: tuple[int, int],
    noise: NoiseModel,
    random: np.random.Generator,
) -> tuple[int, int]:
    """Put a star into its cell; the place of its brightest pixel."""
    middle = [SPACING * c + SPACING // 2 for c in cell]
    window = np.s_[
        middle[0] - REACH : middle[0] + REACH + 1, middle[1] - REACH : middle[1] + REACH + 1
    ]
    width, (y, x) = random.uniform(*WIDTHS), random.uniform(-0.5, 0.5, 2)
    offset = np.arange(-REACH, REACH + 1)
    distance = (offset[:, None] - y) ** 2 + (offset - x) ** 2
    tint = random.uniform(0.4, 1, 3) / BALANCE
    star = tint[colours[window]] * 0.5 ** (4 * distance / width**2)
    sigma = noise.sigma(clean[window])
    star *= _log_uniform(PEAKS, random, None) / (star / sigma).max()
    top, left = np.unravel_index((star / sigma).argmax(), star.shape)
    clean[window] += star
    return middle[0] + int(top) - REACH, middle[1] + int(left) - REACH


def stars_kept(sky: Sky, mended: NDArray[np.uint16]) -> Plane:
    """(n,): the share of its light that each star keeps whose brightest pixel is not itself hot.

    Counted as lost: what a changed pixel had and has no more; of a hot pixel, what of the star's
    own light is not put back.
    """
    before = np.where(sky.hot, sky.clean, sky.mosaic.signal())
    changed = mended != sky.mosaic.plane
    lost = np.where(changed, before - (mended - BLACK), 0)
    kept = [1 - lost[w].sum() / (sky.clean[w] - sky.background[w]).sum() for w in _windows(sky)]
    return np.array(kept)


def _windows(sky: Sky) -> list[tuple[slice, slice]]:
    return [
        np.s_[y - REACH : y + REACH + 1, x - REACH : x + REACH + 1]
        for y, x in sky.places
        if not sky.hot[y, x]
    ]


def hot_gone(sky: Sky, mended: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """For each hot pixel: whether it is within `GONE` sigmas of the clean sky and stars."""
    error = (mended - BLACK - sky.clean) / sky.noise.sigma(sky.clean)
    gone: NDArray[np.bool_] = np.abs(error[sky.hot]) < GONE
    return gone


def heights(sky: Sky) -> Plane:
    """How many standard deviations of the sky each hot pixel is above it."""
    height: Plane = (sky.mosaic.signal() - sky.clean) / sky.noise.sigma(sky.background)
    return height[sky.hot]


def on_the_sky(sky: Sky) -> NDArray[np.bool_]:
    """For each hot pixel: whether it is more than a pixel away from visible light of stars."""
    lit = sky.clean - sky.background > sky.noise.sigma(sky.background)
    padded = np.pad(lit, 1)
    height, width = lit.shape
    near = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    clear: NDArray[np.bool_] = ~np.any(near, axis=0)[sky.hot]
    return clear


def alone(name: str, iso: float, options: argparse.Namespace) -> str:
    """A row of the table of the mending alone."""
    sky = shoot(CFA.from_name(name), options.stars, options.density, iso, 1, options.camera)
    done = mend(sky.mosaic, sky.noise).mosaic.plane
    kept = (stars_kept(sky, done) >= KEPT).mean()
    gone, clear = hot_gone(sky, done), on_the_sky(sky)
    high = clear & (heights(sky) >= 12)
    good = (done != sky.mosaic.plane)[~sky.hot].mean()
    said = f"{gone[clear].mean():8.2%} {gone[high].mean():8.2%} {gone.mean():8.2%}"
    return f"{name:8} {iso:5}  {kept:9.2%}  {said}  {good:.4%}"


def through_model(sky: Sky, light: NDArray[np.float32]) -> tuple[Plane, Plane]:
    """Restored light (H, W, 3) against the truth: share of each star's light, error at hot pixels.

    It is put back through the CFA. A star's light is that within 3 pixels, above the median of the
    pixels around; errors are in standard deviations of the noisy sky.
    """
    mosaic, shape = sky.mosaic, sky.mosaic.shape
    channel = np.tile(mosaic.cfa.pattern, [-(-n // mosaic.cfa.period) for n in shape])
    channel = channel[: shape[0], : shape[1], None]
    seen = np.take_along_axis(light, channel, 2)[..., 0] * (WHITE - BLACK)
    above = seen / BALANCE[channel[..., 0]] - sky.background
    star = sky.clean - sky.background
    inner = np.s_[REACH - 3 : REACH + 4, REACH - 3 : REACH + 4]
    shares = [
        ((above[w] - np.median(above[w]))[inner]).sum() / star[w][inner].sum()
        for w in _windows(sky)
    ]
    error = (above - star) / sky.noise.sigma(sky.background)
    return np.array(shares), error[sky.hot][on_the_sky(sky)]


def with_model(options: argparse.Namespace) -> None:
    """Restore a small sky with and without hot pixels mended, and print what is left."""
    sky = shoot(RGGB, options.model, options.density, 1600, 2, options.camera)
    star = sky.clean - sky.background
    peaks = np.array([(star / sky.noise.sigma(sky.background))[w].max() for w in _windows(sky)])
    print("shipped model, RGGB, ISO 1600: stars with 70 % of their light, by peak; hot pixels")
    print("                 5-10     10-30    30-      within 1 sigma of the sky")
    pictures = []
    for mending in (False, True):
        restored = _restore(sky, mending)
        shares, errors = through_model(sky, restored.linear / AMPLIFICATION)
        bins = [(5, 10), (10, 30), (30, np.inf)]
        kept = [(shares[(peaks >= a) & (peaks < b)] >= KEPT).mean() for a, b in bins]
        name = "mended" if mending else "not mended"
        said = "  ".join(f"{share:7.1%}" for share in kept)
        print(f"{name:14} {said}  {(np.abs(errors) < 1).mean():7.1%}")
        pictures.append(restored)
    if options.picture:
        sides = [pictures[0].blend(0), *pictures]
        beside = np.concatenate([side.picture()[:256, :256] for side in sides], axis=1)
        write_picture(options.picture, np.repeat(np.repeat(beside, 2, 0), 2, 1), Shot())


def _restore(sky: Sky, mending: bool) -> Restored:
    """The shipped model's result, also without the mending that is part of `restore`."""
    if mending:
        return restore(sky.mosaic, exposure=AMPLIFICATION)
    with patch("undark.restoring.raw.mend", lambda mosaic, *_: Mended(mosaic, NONE)):
        return restore(sky.mosaic, exposure=AMPLIFICATION)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=1000)
    parser.add_argument("--density", type=float, default=0.01)
    parser.add_argument("--camera", default="ILCE-7SM2")
    parser.add_argument("--model", type=int, metavar="STARS", help="restore a sky of so many")
    parser.add_argument("--picture", type=Path, help="PNG: noisy, not mended, mended")
    options = parser.parse_args()
    if options.model:
        with_model(options)
        return
    print("                stars kept  hot gone: sky, from 12 sigma, all  good pixels changed")
    for name in ("RGGB", "X-Trans"):
        for iso in (400, 1600, 6400):
            print(alone(name, iso, options))


if __name__ == "__main__":
    main()
