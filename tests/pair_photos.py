"""Simulated pairs for tests: a dark and a bright photo of a scene with many edges, shifted."""

import math
from dataclasses import replace
from datetime import datetime

import numpy as np
from scipy import ndimage

from conftest import A7S2_FROM_XYZ, SHOT
from undark.demo import photograph
from undark.develop.colour import camera_from_srgb
from undark.files.dng import write_mosaic
from undark.sensor.cfa import mosaic
from undark.sensor.mosaic import Mosaic

NOON = datetime(2026, 5, 6, 12, 0, 0)


def scene(height=480, width=640, seed=0):
    """(H, W, 3) linear light: discs of all sizes and colours on a gradient."""
    random = np.random.default_rng(seed)
    light = np.full((height, width, 3), 0.15, np.float32)
    light += np.linspace(0, 0.1, width, dtype=np.float32)[:, None]
    for _ in range(150):
        radius = math.exp(random.uniform(math.log(4), math.log(60)))
        y, x = random.uniform(0, height), random.uniform(0, width)
        rows, columns = (slice(max(int(m - radius) - 1, 0), int(m + radius) + 3) for m in (y, x))
        part = light[rows, columns]
        down, across = np.ogrid[: part.shape[0], : part.shape[1]]
        away = np.hypot(down + rows.start - y, across + columns.start - x) - radius
        cover = np.clip(0.5 - away, 0, 1)[..., None].astype(np.float32)
        part += cover * (random.uniform(0.02, 0.7, 3).astype(np.float32) - part)
    return light


def moved(light, dx=0.0, dy=0.0, degrees=0.0):
    """The scene shifted by dx right and dy down, and rotated clockwise about its centre."""
    middle = (np.array(light.shape[:2]) - 1) / 2
    turn = math.radians(degrees)
    back = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    offset = middle - back @ (middle + np.array([dy, dx]))
    planes = [
        ndimage.affine_transform(light[..., c], back, offset, order=3, mode="nearest")
        for c in range(3)
    ]
    return np.stack(planes, axis=-1).clip(0, None)


def inner(light, margin=16):
    """Without the border that the shift left empty."""
    return light[margin:-margin, margin:-margin]


def shoot(light, ratio=1.0, seed=1, time=None, taken=None):
    """A Sony A7S2's mosaic, `ratio` times too dark, at ISO 1600 for 10 s at ratio 1."""
    photo = photograph(light, 1600 if ratio > 1 else 100, ratio, seed)
    seconds = 10 / ratio if time is None else time
    return photo.replace(shot=replace(photo.shot, exposure_time=seconds, iso=1600.0, taken=taken))


def write_pair(folder, dark, bright, dark_name="dark/a.dng", bright_name="bright/a.dng"):
    """Both mosaics as DNGs; returns their paths."""
    paths = folder / dark_name, folder / bright_name
    for path, photo in zip(paths, (dark, bright), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mosaic(path, photo)
    return paths


def expose(light, exposure_time, cfa, noise=0.0, seed=0):
    """A photo of light (3, H, W), 1 is white at 10 s, on any CFA: 14 bits, noise in DN."""
    white_balance = np.array([2.0, 1.0, 1.6], np.float32)
    signal = mosaic(light / white_balance[:, None, None], cfa) * 15871 * exposure_time / 10
    signal = signal + noise * np.random.default_rng(seed).standard_normal(signal.shape)
    return Mosaic(
        plane=np.rint(signal + 512).clip(0, 16383).astype(np.uint16),
        cfa=cfa,
        black=np.full(cfa.pattern.shape, 512, np.float32),
        white=16383.0,
        white_balance=white_balance,
        camera_from_xyz=A7S2_FROM_XYZ,
        noise_profile=((1e-5, 1e-7),),
        shot=replace(SHOT, exposure_time=exposure_time),
    )


def frame_of(cfa):
    """LibRaw demosaics no X-Trans frames smaller than its tiles."""
    return (240, 312) if cfa.period == 2 else (528, 540)


def scene_for(cfa, seed):
    """(3, H, W): a scene within the range of `expose` and within LibRaw's sRGB gamut."""
    light = scene(*frame_of(cfa), seed) @ camera_from_srgb(A7S2_FROM_XYZ).T.astype(np.float32)
    return np.moveaxis(light, -1, 0).clip(0, None)


def sid_folder(folder, camera, cfa, noise=2.0):
    """Five scenes named as in SID, two of them with two dark photos."""
    scenes = ["00001", "00002", "20001", "10003", "10034"]
    times = [(0.1, 0.04), (0.1,), (0.1,), (0.1, 0.033), (0.1,)]
    for seed, (number, darks) in enumerate(zip(scenes, times, strict=True)):
        light, home = scene_for(cfa, seed), folder / camera
        for time in darks:
            names = f"short/{number}_00_{time:g}s.dng", f"long/{number}_00_10s.dng"
            dark = expose(light, time, cfa, noise, seed)
            write_pair(home, dark, expose(light, 10, cfa), *names)
    return folder
