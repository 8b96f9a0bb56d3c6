"""Frames of bursts: light that is known at every place, and the photos of it."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
from scipy import ndimage

from undark.files.dng import write_mosaic
from undark.sensor.cfa import RGGB
from undark.sensor.mosaic import Mosaic, Shot
from undark.sensor.noise import NoiseModel, NumPySampler

BLACK, WHITE = 512, 16383
NOISE = NoiseModel(2.0, 4.0)
SHOT = Shot("Maker", "Model", exposure_time=0.05, aperture=2.0, iso=1600.0)


def scene(shape=(240, 320), seed=0, shift=(0.0, 0.0), turn=0.0):
    """Smooth random light (H, W), DN, sampled by a quintic spline at shifted, turned places."""
    random = np.random.default_rng(seed)
    wide = (shape[0] + 80, shape[1] + 80)
    texture = sum(
        ndimage.gaussian_filter(random.standard_normal(wide), s, mode="wrap") * s * a
        for s, a in ((1.5, 40.0), (5, 60.0), (20, 80.0))
    )
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    v, u = y - (shape[0] - 1) / 2 - shift[0], x - (shape[1] - 1) / 2 - shift[1]
    v, u = np.cos(turn) * v - np.sin(turn) * u, np.cos(turn) * u + np.sin(turn) * v
    at = [v + (wide[0] - 1) / 2, u + (wide[1] - 1) / 2]
    return np.maximum(120 + ndimage.map_coordinates(texture, at, order=5), 5).astype(np.float32)


def branches(shift, shape=(240, 320)):
    """Light (H, W), DN, of dark lines 1.6 pixels wide before a bright sky, at shifted places."""
    y, x = (np.mgrid[: shape[0], : shape[1]].T - shift).T
    random, light = np.random.default_rng(0), np.full(shape, 700.0)
    for _ in range(40):
        angle, place = random.uniform(0, np.pi), random.uniform(-160, 320)
        away = np.abs(np.cos(angle) * x + np.sin(angle) * y - place)
        light *= 1 - 0.4 * (1 - np.tanh((away - 0.8) * 2))
    return light.astype(np.float32)


def lamps(shift, level, shape=(240, 320)):
    """`scene` with twelve discs, whose edges are a pixel wide, of so much light (DN)."""
    y, x = (np.mgrid[: shape[0], : shape[1]].T - shift).T
    random, light = np.random.default_rng(2), scene(shape, shift=shift).astype(float)
    for _ in range(12):
        top, left = random.uniform(30, 210), random.uniform(30, 290)
        away = np.hypot(y - top, x - left) - random.uniform(2, 9)
        light += level / 2 * (1 - np.tanh(2 * away))
    return light.astype(np.float32)


def photo(light, seed=None, cfa=RGGB, noise=NOISE):
    """A frame of grey light, noisy if it has a seed."""
    if seed is not None:
        light = noise.add(light, NumPySampler(seed))
    plane = np.rint(light + BLACK).clip(0, WHITE).astype(np.uint16)
    return Mosaic(
        plane, cfa, np.full(cfa.pattern.shape, BLACK, np.float32), WHITE, np.ones(3, np.float32)
    )


def write_frame(path, light, seed, second=0.0, **changes):
    taken = datetime(2024, 5, 6, 7, 8, 9) + timedelta(seconds=second)
    shot = replace(SHOT, taken=taken, **changes)
    write_mosaic(path, photo(light, seed).replace(shot=shot))
    return path
