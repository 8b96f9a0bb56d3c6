"""Simulate dark photos of a Sony A7S2 from photographs, and score what is restored from them.

Independent of the package's tables and noise code: the noise is read from the measurements in
`../shared/noise/sony_a7s2_by_iso.json` and drawn by `classical_planes.SensorNoise`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classical_planes import Plane, SensorNoise, Settings, denoise_mosaic
from undark.develop.colour import (
    CAMERA_MATRICES,
    camera_from_srgb,
    decode_srgb,
    encode_srgb,
    srgb_from_camera,
)
from undark.develop.metrics import brightness_correction, psnr
from undark.files.dng import write_mosaic
from undark.files.raw import render_with_libraw
from undark.restoring.bands import AROUND, collected, corrected_bands
from undark.restoring.photons import Agreement
from undark.sensor.cfa import CFA, RGGB, X_TRANS, mosaic
from undark.sensor.mosaic import Mosaic, Shot
from undark.sensor.noise import NoiseModel
from undark.sensor.profiles.cameras import find_camera

SHARED = Path(__file__).resolve().parents[2] / "shared"

ISOS, AMPLIFICATIONS = (400, 1600, 6400), (100, 250, 300)
SONY = "ILCE-7SM2"
MIDDLE = (768, 1024)
"""Largest rows and columns of `dark_scenes`."""
MATRIX = CAMERA_MATRICES[-1]  # of the Sony A7S family
WHITE_BALANCE = np.array([2.0, 1.0, 1.6])
BLACK, WHITE = 512, 16383
SPAN = WHITE - BLACK

Scores = dict[str, tuple[float, float]]
"""PSNR in dB and SSIM of "raw", "raw corrected" and "srgb"."""


@dataclass(frozen=True, order=True)
class Cell:
    """One cell of the table."""

    iso: int
    amplification: int

    @property
    def white(self) -> float:
        """DN above black that the amplification maps to white."""
        return SPAN / self.amplification

    def __str__(self) -> str:
        return f"{self.iso} ×{self.amplification}"


CELLS = tuple(Cell(iso, ratio) for iso in ISOS for ratio in AMPLIFICATIONS)


@dataclass(frozen=True)
class Frame:
    """A simulated dark photo. Light is white-balanced camera RGB; 1 is white when amplified."""

    truth: Plane
    """(H, W, 3): the light."""
    signal: Plane
    """(H, W), DN above black: the noisy mosaic."""
    cell: Cell
    noise: SensorNoise


@cache
def sensor_noise(iso: int, camera: str = SONY) -> SensorNoise:
    """The noise of the Sony A7S2 at one of its ISO settings, or of another camera.

    The parameters of others are those of undark's table, made from `../shared/noise` too.
    """
    if camera == SONY:
        table = json.loads((SHARED / "noise" / "sony_a7s2_by_iso.json").read_text())
        return SensorNoise.from_json(table["iso"][str(iso)])
    known = find_camera(camera)
    if known is None:
        raise SystemExit(f"{camera}: not in the table of cameras")
    noise = known.at(iso, SPAN)
    shape = 0.14 if noise.shape is None else noise.shape  # nearly Gaussian
    one = SensorNoise(noise.gain, shape, 1.0, noise.row, noise.bias)
    return replace(one, scale=noise.read / one.read)


def load_light(path: Path) -> Plane:
    """A photo as camera RGB: sRGB's curve and the matrix inverted; even height and width."""
    from undark.files.picture import read_picture

    srgb = read_picture(path)
    height, width = (n - n % 2 for n in srgb.shape[:2])
    linear = decode_srgb(srgb[:height, :width] / 255.0)
    light: Plane = np.maximum(linear @ camera_from_srgb(MATRIX).T, 0)
    return light


def gains(shape: tuple[int, ...]) -> Plane:
    """(H, W): the white balance gain of each pixel of an RGGB mosaic."""
    tile = WHITE_BALANCE[RGGB.pattern]
    return np.tile(tile, (shape[0] // 2, shape[1] // 2))


def see(light: Plane) -> Plane:
    """Sample light (H, W, 3) with the CFA → (H, W) sensor values, amplified; 1 is the white level.

    The white balance is removed: white is 1 in green, 1/2 in red.
    """
    height, width = light.shape[:2]
    mosaic = np.empty((height, width))
    for y in range(2):
        for x in range(2):
            mosaic[y::2, x::2] = light[y::2, x::2, RGGB.rows[y][x]]
    return mosaic / gains((height, width))


def darken(light: Plane, cell: Cell, seed: Sequence[int], camera: str = SONY) -> Frame:
    """The noisy frame of light, `amplification` times too dark; a function of the seed."""
    noise = sensor_noise(cell.iso, camera)
    random = np.random.default_rng((*seed, cell.iso, cell.amplification))
    signal = noise.add(see(light) * cell.white, random)
    return Frame(light, signal.clip(-BLACK, SPAN), cell, noise)


def shoot(light: Plane, cfa: CFA, cell: Cell, seed: int | Sequence[int]) -> Mosaic:
    """What a sensor with this filter sees of a light, `cell.amplification` times too weak."""
    seen = mosaic(np.moveaxis(light / WHITE_BALANCE, -1, 0), cfa)
    signal = sensor_noise(cell.iso).add(seen * cell.white, np.random.default_rng(seed))
    plane: NDArray[np.uint16] = np.rint(signal.clip(-BLACK, SPAN) + BLACK).astype(np.uint16)
    return as_mosaic(plane, BLACK, WHITE, cfa)


def dark_scenes(part: str) -> Iterator[tuple[str, int, Plane]]:
    """Name, amplification and light of the central crop of each photo of "train" or "val"."""
    for number, photo in enumerate(sorted((SHARED / "photos" / part).glob("*.jpg"))):
        ratio = AMPLIFICATIONS[number % len(AMPLIFICATIONS)]
        yield photo.stem, ratio, middle(load_light(photo), MIDDLE)


def middle(light: Plane, size: tuple[int, int], multiple: int = 1) -> Plane:
    """The central crop of a photo (H, W, 3), at even positions: at most `size`, of a multiple."""
    side = [min(s, n // multiple * multiple) for s, n in zip(size, light.shape, strict=False)]
    top, left = ((n - s) // 4 * 2 for n, s in zip(light.shape, side, strict=False))
    return light[top : top + side[0], left : left + side[1]]


def shoot_dng(path: Path, light: Plane, cell: Cell, seed: int) -> Shot:
    """Write the simulated photo of a light as a DNG; returns its EXIF."""
    plane = np.rint(darken(light, cell, (seed,)).signal + BLACK).clip(0, WHITE).astype(np.uint16)
    shot = Shot("SONY", "ILCE-7SM2", exposure_time=10 / cell.amplification, iso=float(cell.iso))
    write_mosaic(path, replace(as_mosaic(plane, BLACK, WHITE), shot=shot))
    return shot


def developed(dng: Path) -> NDArray[np.uint8]:
    """LibRaw's rendering as a camera's JPEG: sRGB, no brightening."""
    levels = render_with_libraw(
        dng,
        output_bps=8,
        gamma=(2.4, 12.92),
        no_auto_bright=True,
        adjust_maximum_thr=0.0,
        use_camera_wb=True,
        user_flip=0,
    )
    return levels.astype(np.uint8, copy=False)


def ahd(mosaic: Plane) -> Plane:
    """(H, W) amplified sensor values → (H, W, 3) light, by LibRaw's AHD (Hirakawa & Parks 2005).

    Through a DNG of 16 bits that holds sensor values up to 2. Values below black are clipped, as
    LibRaw does with any file.
    """
    import rawpy

    headroom = 2.0
    plane = np.rint(mosaic.clip(0, headroom) * (65535 / headroom)).astype(np.uint16)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mosaic.dng")
        write_mosaic(path, as_mosaic(plane, black=0, white=65535))
        with rawpy.imread(str(path)) as raw:
            rgb = raw.postprocess(
                demosaic_algorithm=rawpy.DemosaicAlgorithm.AHD,
                output_color=rawpy.ColorSpace.raw,
                output_bps=16,
                gamma=(1, 1),
                no_auto_bright=True,
                adjust_maximum_thr=0.0,
                user_wb=[*WHITE_BALANCE, 1.0],
                user_flip=0,
            )
    return np.asarray(rgb, np.float64) * (headroom / 65535)


def as_dark(frame: Frame) -> tuple[Mosaic, NoiseModel]:
    """A frame as `undark.restore` takes it, and its noise."""
    return as_mosaic((frame.signal + BLACK).astype(np.uint16), BLACK, WHITE), model_of(frame.noise)


def cfa_of(model: Any) -> CFA:
    """The CFA that a model is for."""
    return X_TRANS if model.card.cfa == X_TRANS.kind.name else RGGB


def model_of(noise: SensorNoise) -> NoiseModel:
    """The benchmark's noise as the package describes it."""
    return NoiseModel(noise.gain, noise.read, noise.shape, noise.row, noise.bias)


def as_mosaic(plane: NDArray[np.uint16], black: int, white: int, cfa: CFA = RGGB) -> Mosaic:
    """A `Mosaic` of the simulated camera."""
    return Mosaic(
        plane=plane,
        cfa=cfa,
        black=np.full(cfa.pattern.shape, black, np.float32),
        white=float(white),
        white_balance=WHITE_BALANCE.astype(np.float32),
        camera_from_xyz=MATRIX.astype(np.float32),
    )


def classical_light(frame: Frame, method: str, settings: Settings) -> tuple[Plane, Plane]:
    """(amplified mosaic, light) of the noisy frame or of a classical denoiser with AHD."""
    signal = frame.signal
    if method != "noisy":
        signal = denoise_mosaic(signal, frame.noise, frame.cell.white, method, settings)
    mosaic = signal / frame.cell.white
    return mosaic, ahd(mosaic)


def score(mosaic: Plane, light: Plane, truth: Plane) -> Scores:
    """PSNR and SSIM of packed sensor values, as is and corrected, and of the sRGB picture."""
    planes, true_planes = packed(mosaic), packed(see(truth))
    alpha = brightness_correction(planes, true_planes)
    return {
        "raw": compare(planes, true_planes),
        "raw corrected": compare((alpha * planes).clip(0, 1), true_planes),
        "srgb": compare(picture(light), picture(truth)),
    }


def fidelity(mosaic: Plane, light: Plane, truth: Plane) -> dict[str, float]:
    """Only the PSNR of "raw" and "srgb", which tuning needs; faster than `score`."""
    pairs = {
        "raw": (packed(mosaic), packed(see(truth))),
        "srgb": (picture(light), picture(truth)),
    }
    return {name: psnr(a, b) for name, (a, b) in pairs.items()}


def corrected(
    light: NDArray[np.float32], dark: Mosaic, noise: NoiseModel, amplification: float
) -> tuple[NDArray[np.float32], Agreement]:
    """A network's whole light (H, W, 3), corrected as `undark.restore` does it; a copy."""
    strips = (light[top : top + AROUND].copy() for top in range(0, len(light), AROUND))
    bands = corrected_bands(strips, dark, noise, amplification)
    whole, agreement = collected(bands, dark.shape)
    assert agreement is not None
    return whole, agreement


def packed(mosaic: Plane) -> Plane:
    """(H, W) → (H/2, W/2, 4), clipped to [0, 1]."""
    planes = [mosaic[y::2, x::2] for y in range(2) for x in range(2)]
    return np.stack(planes, axis=-1).clip(0, 1)


def picture(light: Plane) -> Plane:
    """Camera RGB → sRGB in [0, 1]: matrix, clipping, curve; no shoulder, as in the photographs."""
    encoded: Plane = encode_srgb(light @ srgb_from_camera(MATRIX).T)
    return encoded


def compare(a: Plane, b: Plane) -> tuple[float, float]:
    """PSNR in dB and SSIM of (H, W, C) in [0, 1] by scikit-image with its defaults."""
    from skimage import metrics

    untyped: Any = metrics
    peak = untyped.peak_signal_noise_ratio(b, a, data_range=1)
    return float(peak), float(untyped.structural_similarity(b, a, data_range=1, channel_axis=-1))
