"""Dark frames with faults, made from photographs, and what is true of them.

Issue 12's faults: 8-bit data stretched by 64 (sigma 0.5 to 3 of its steps), 12-bit data stretched
by 4, a black level that is off by up to 4 DN at each position, offsets of rows and columns,
periodic bands, 1 % hot pixels; alone and mixed, with a masked border or without one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from undark.files.raw.black import Frame, MaskedBorder, masked_border
from undark.sensor.cfa import CFA, mosaic
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel, NumPySampler
from undark.sensor.profiles.cameras import find_camera

BLACK, WHITE = 512, 16383
SPAN = WHITE - BLACK
WHITE_BALANCE = np.array([2.0, 1.0, 1.6])
BORDER = 36
"""Masked rows above, and masked columns left of, a frame that has a border."""
ISOS = (1600, 3200, 6400)
CASES = ("none", "8 bit", "12 bit", "black", "rows", "columns", "bands", "hot", "mixed")

Plane = NDArray[np.float64]


@dataclass(frozen=True)
class Faults:
    """What is wrong with a frame; sizes in DN."""

    step: float = 1.0
    black: float = 0.0
    """Largest error of a position's black level."""
    rows: float = 0.0
    """Standard deviation of the rows' offsets."""
    columns: float = 0.0
    band: float = 0.0
    """Amplitude of periodic offsets of rows."""
    hot: float = 0.0
    """Share of hot pixels."""


@dataclass(frozen=True, eq=False)
class Dark:
    """A frame and the truth about it."""

    mosaic: Mosaic
    level: float
    """Median of the clean signal, DN."""
    sigma: float
    """Of a pixel at that level, rows and columns included, DN."""
    black: Plane
    """Level of each position, the mean of the offsets of its rows and columns included, DN."""
    rows: Plane
    """(H,) offsets of the rows beside the mean of their phase, DN."""
    clean: Plane
    """(H, W) DN."""
    noise: NoiseModel
    case: str
    name: str


def draw_faults(case: str, random: np.random.Generator) -> Faults:
    """The faults of a case; "mixed" has all, at one of the three steps."""
    one = {
        "none": Faults(),
        "8 bit": Faults(step=64.0),
        "12 bit": Faults(step=4.0),
        "black": Faults(black=4.0),
        "rows": Faults(rows=random.uniform(0, 20)),
        "columns": Faults(columns=random.uniform(0, 20)),
        "bands": Faults(band=random.uniform(0, 20)),
        "hot": Faults(hot=0.01),
    }
    if case != "mixed":
        return one[case]
    step = float(random.choice([1.0, 4.0, 64.0]))
    rows, columns, band = (random.uniform(0, 20) for _ in range(3))
    return Faults(step, 4.0, rows, columns, band, 0.01)


def make(light: Plane, cfa: CFA, case: str, seed: tuple[int, ...], name: str = "") -> Dark:
    """A frame of light (H, W, 3), camera RGB with white 1: ISO 1600 to 6400, ×50 to ×300.

    Every other frame, by the last number of the seed, has a masked border.
    """
    random = np.random.default_rng(seed)
    faults = draw_faults(case, random)
    amplification = math.exp(random.uniform(math.log(50), math.log(300)))
    camera = find_camera("ILCE-7SM2")
    assert camera is not None
    noise = replace(camera.at(float(random.choice(ISOS)), SPAN), bias=0.0, step=faults.step)
    raw = np.moveaxis(light / WHITE_BALANCE, -1, 0) * (SPAN / amplification)
    clean = mosaic(raw, cfa).clip(0, SPAN)
    level = float(np.median(clean))
    if faults.step > 32:
        wanted = faults.step * math.exp(random.uniform(math.log(0.5), math.log(3)))
        stretched = noise.scaled(wanted / float(replace(noise, step=0.0).sigma(np.float64(level))))
        noise = replace(stretched, step=faults.step)
    border = BORDER if seed[-1] % 2 else 0
    image, black, offsets = _expose(clean, cfa, noise, faults, border, random)
    found = _masked(image, cfa, border) if border else None
    photo = Mosaic(
        image[border:, border:].copy(),
        cfa,
        np.full(cfa.pattern.shape, BLACK, np.float32) if found is None else found.black,
        WHITE,
        WHITE_BALANCE.astype(np.float32),
        black_source="tag" if found is None else "masked border",
        masked=None if found is None else found.lines,
    )
    stripes = sum(float(lines.var()) for lines in offsets)
    sigma = math.sqrt(float(replace(noise, row=0.0).variance(np.float64(level))) + stripes)
    what = f"{name} {case} ×{amplification:.0f} {faults}"
    return Dark(photo, level, sigma, black, offsets[0], clean, noise, case, what)


def _expose(
    clean: Plane,
    cfa: CFA,
    noise: NoiseModel,
    faults: Faults,
    border: int,
    random: np.random.Generator,
) -> tuple[NDArray[np.uint16], Plane, list[Plane]]:
    """The image with its border above and to the left, the true black, offsets of rows and columns
    beside the mean of their phase."""
    light = np.pad(clean, ((border, 0), (border, 0)))
    bare = replace(noise, row=0.0, step=0.0)
    seen = bare.add(light.astype(np.float32), NumPySampler(int(random.integers(2**31))))
    rows: Plane = np.zeros(len(light))
    rows += random.normal(0, math.hypot(faults.rows, float(noise.row)), len(light))
    rows += faults.band * _wave(len(light), random)
    columns: Plane = np.zeros(light.shape[1])
    if faults.columns:
        columns += random.normal(0, faults.columns, len(columns))
    period = cfa.period
    off = random.uniform(-faults.black, faults.black, (period, period))
    shape = [-(-n // period) for n in light.shape]
    seen = seen + np.tile(off, shape)[: light.shape[0], : light.shape[1]]
    seen += rows[:, None] + columns
    hot = random.random(light.shape) < faults.hot
    seen[hot] += SPAN * random.random(int(hot.sum())) ** 4
    image = np.rint((seen + BLACK) / faults.step) * faults.step
    offsets = [rows[border:], columns[border:]]  # a border of whole periods keeps the phase
    means = [np.array([v[i::period].mean() for i in range(period)]) for v in offsets]
    black = BLACK + off + means[0][:, None] + means[1]
    beside = [v - np.resize(mean, len(v)) for v, mean in zip(offsets, means, strict=True)]
    return image.clip(0, WHITE).astype(np.uint16), black, beside


def _wave(count: int, random: np.random.Generator) -> Plane:
    """(count,) periodic offsets of amplitude 1 with a weaker harmonic; 5 to 100 rows a period."""
    period = math.exp(random.uniform(math.log(5), math.log(100)))
    phase = 2 * math.pi * (np.arange(count) / period + random.random())
    wave: Plane = np.sin(phase) + 0.3 * np.sin(2 * phase + 1)
    return wave


def _masked(image: NDArray[np.uint16], cfa: CFA, border: int) -> MaskedBorder | None:
    """What undark's reader measures on the border."""
    height, width = (n - border for n in image.shape)
    tag = np.full(cfa.pattern.shape, BLACK, np.float32)
    return masked_border(image, Frame(border, border, height, width), tag, WHITE)
