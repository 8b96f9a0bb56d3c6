"""What differs between training samples: camera, exposure, light, and defects.

Wider than photographs and the table of cameras are: a network fails where it never learned, not
where learning is hard.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from undark.develop.colour import CAMERA_MATRICES, camera_from_srgb
from undark.files.cameras import user_calibrations
from undark.learn.data.defects import Defects
from undark.learn.data.exposing import Exposures, stack
from undark.sensor.exposure import MAX_AMPLIFICATION
from undark.sensor.noise import NoiseModel
from undark.sensor.profiles.calibration import Calibration
from undark.sensor.profiles.cameras import CameraNoise, cameras

DEEP = 0.75
"""Share of photos amplified by more than 50: what a network is asked for."""
MOST_HOT = 2e-4
"""Share of pixels that are hot in some samples, at most."""
MOST_PATTERN = 1.5
"""Correlated noise, in read noises, that some samples have at most."""
MOST_BLACK = 2.5
"""Error of the black level that some samples have at most, in sigma at black; see `LEAST_BLACK`."""
LEAST_BLACK = 5.0
"""The same in DN: the larger of the two is the bound."""


def draw_exposures(count: int, random: np.random.Generator, deep_share: float = DEEP) -> Exposures:
    """Any camera that is known at any of its gains, any amplification from 1 to 300.

    A `deep_share` of them is amplified by more than 50.
    """
    span = cameras()[0].span
    settings = [_draw_noise(random, span) for _ in range(count)]
    deep = random.random(count) < deep_share
    low = np.where(deep, 50.0, 1.0)
    high = np.where(deep, MAX_AMPLIFICATION, 50.0)
    amplification = np.exp(random.uniform(np.log(low), np.log(high)))
    return Exposures(
        amplification=amplification.astype(np.float32),
        white_balance=np.stack([_draw_white_balance(random) for _ in range(count)]),
        camera=np.stack([_draw_camera(random) for _ in range(count)]),
        tint=np.stack([_draw_tint(random) for _ in range(count)]),
        span=span,
        noise=stack(settings),
    )


def _draw_noise(random: np.random.Generator, span: float) -> NoiseModel:
    """One camera at one gain; read and row noise vary as between copies of a camera.

    A camera of the table, or one that the user has calibrated.
    """
    known: list[CameraNoise | Calibration] = [*cameras(), *user_calibrations()]
    camera = known[random.integers(len(known))]
    low, high = camera.iso_range
    noise = camera.at(float(np.exp(random.uniform(np.log(low), np.log(high)))), span)
    read, row = np.exp(random.normal(0, 0.25, 2))
    shape = 0.14 if noise.shape is None else noise.shape  # 0.14 is nearly Gaussian
    return NoiseModel(noise.gain, noise.read * read, shape, noise.row * row, noise.bias)


def _draw_white_balance(random: np.random.Generator) -> NDArray[np.float32]:
    """(3,) gains: daylight to tungsten on most cameras, one in four far beyond."""
    low, high = (1.2, 2.8) if random.random() < 0.75 else (0.5, 6.0)
    red, blue = np.exp(random.uniform(np.log(low), np.log(high), 2))
    return np.array([red, 1, blue], np.float32)


def _draw_camera(random: np.random.Generator) -> NDArray[np.float32]:
    """(3, 3) linear sRGB → camera RGB, rows sum to 1; one in four unlike any of the table's.

    These have filters more, or less, apart than the table's (its inverse is stretched from the
    identity by 0 to 1.5) and overlap otherwise.
    """
    weights = random.dirichlet(np.full(len(CAMERA_MATRICES), 0.5))
    usual = camera_from_srgb(np.tensordot(weights, CAMERA_MATRICES, 1))
    if random.random() < 0.75:
        return usual.astype(np.float32)
    grey = np.eye(3) - 1 / 3  # takes from each row its mean: grey stays grey
    stretch, other = random.uniform(0, 1.5), random.normal(0, 0.1, (3, 3)) @ grey
    inverse = np.eye(3) + stretch * (np.linalg.inv(usual) - np.eye(3)) + other
    wide = np.linalg.inv(inverse) if np.linalg.cond(inverse) < 30 else usual
    return wide.astype(np.float32)


def _draw_tint(random: np.random.Generator) -> NDArray[np.float32]:
    """(3,) colour of the light: one in four far from white, down to nearly one colour alone."""
    kind = random.random()
    if kind < 0.13:
        return np.exp(random.uniform(-3.5, 0.7, 3)).astype(np.float32)
    if kind < 0.25:
        return np.exp(random.normal(0, 0.7, 3)).astype(np.float32)
    return np.ones(3, np.float32)


def draw_defects(random: np.random.Generator, black: float, period: int = 2) -> Defects:
    """The defects of one photo whose noise at black is `black` DN; most photos have few."""

    def size(share: float, most: float) -> float:
        """0, or in a `share` of photos anything up to `most`."""
        return float(random.uniform(0, most)) if random.random() < share else 0.0

    gain, read = _draw_prediction_errors(random)
    return Defects(
        hot=size(0.5, MOST_HOT),
        pattern=size(0.2, MOST_PATTERN),
        rows=size(0.14, 1.5),
        columns=size(0.1, 1.0),
        bands=size(0.1, 1.0),
        comb=size(0.08, 1.0),
        comb_period=int(random.integers(2, 33)),
        comb_rows=random.random() < 0.5,
        counted=random.random() < 0.5,
        black=_draw_black(random, black, period),
        crush=float(-random.uniform(0, 2)) if random.random() < 0.14 else None,
        step=float(2 ** random.integers(2, 7)) if random.random() < 0.04 else 1.0,
        gain_error=gain,
        read_error=read,
    )


def _draw_black(random: np.random.Generator, black: float, period: int) -> tuple[float, ...]:
    """Errors of the black level in DN: one of all positions of the CFA plus one of each."""
    if random.random() >= 0.3:
        return ()
    most = max(MOST_BLACK * black, LEAST_BLACK) * random.uniform(0, 1) ** 2
    shared = random.uniform(-0.5, 0.5) if random.random() < 0.5 else 0.0
    own = random.uniform(-0.5, 0.5, period**2) * (2 - 2 * abs(shared))
    return tuple((most * (shared + own)).tolist())


def _draw_prediction_errors(random: np.random.Generator) -> tuple[float, float]:
    """Factors of the error of the predicted sigma: its photon part, its signal-independent part.

    Three in ten are wrong; a third of these in shape too.
    """
    if random.random() >= 0.3:
        return 1.0, 1.0
    both = np.exp(random.normal(0, 0.3))
    if random.random() < 0.67:
        return float(both), float(both)
    gain, read = both * np.exp(random.normal(0, 0.3, 2))
    return float(gain), float(read)
