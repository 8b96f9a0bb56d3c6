"""Ordinary photographs → dark mosaics and the light they should have shown.

After Brooks et al., "Unprocessing images for learned raw denoising" (CVPR 2019): undo the
rendering of a clean photo (curve, colour matrix, white balance), darken it, let a sensor see it.
Whatever is random about a photo happens to the RGB picture, before the mosaic: a flipped mosaic
would have its red pixels elsewhere.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from undark.develop.colour import CAMERA_MATRICES, camera_from_srgb, decode_srgb
from undark.errors import ReadError, TrainingError
from undark.files.picture import PICTURE_SUFFIXES, read_picture
from undark.sensor.cameras import cameras
from undark.sensor.cfa import BAYER_ORDERS, CFA, RGGB, mosaic
from undark.sensor.conditioning import HIGHLIGHT_CEILING, condition, scale
from undark.sensor.noise import NoiseModel

MAX_AMPLIFICATION = 300.0
MOST_PATTERN = 1.5
"""Noise with a pattern, in read noises, that some samples have at most."""
NOISE_PARAMETERS = ("gain", "read", "shape", "row", "bias")
"""The fields of `NoiseModel` that differ between photos."""


class TorchSampler:
    """A `Sampler` for torch, with a generator of its own; see `undark.sensor.noise.Sampler`."""

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self._generator = torch.Generator(device).manual_seed(seed)
        self._device = torch.device(device)

    def poisson(self, rate: Tensor) -> Tensor:
        return torch.poisson(rate, generator=self._generator)

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self._generator, device=self._device)

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        return torch.rand(shape, generator=self._generator, device=self._device)


@dataclass(frozen=True)
class Exposures:
    """How a batch of N photos was taken; every field has N in front."""

    amplification: NDArray[np.float32]
    """(N,)"""
    white_balance: NDArray[np.float32]
    """(N, 3) gains, green 1."""
    camera: NDArray[np.float32]
    """(N, 3, 3): linear sRGB → white-balanced camera RGB."""
    span: float
    """DN from black to white, the same for all: only the noise relative to it matters."""
    noise: NoiseModel
    """Parameters (N, 1, 1)."""


@dataclass(frozen=True)
class Batch:
    """What a network learns from: `inputs` (N, 2·cell², h, w), `target` (N, 3, H, W) in linear
    white-balanced camera RGB, and `srgb` (N, 3, 3) that takes such light to linear sRGB."""

    inputs: Tensor
    target: Tensor
    srgb: Tensor

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        return Batch(self.inputs.to(device), self.target.to(device), self.srgb.to(device))


def collate(samples: Iterable[Batch]) -> Batch:
    """Many batches as one."""
    inputs, targets, srgb = zip(*((s.inputs, s.target, s.srgb) for s in samples), strict=True)
    packed = torch.cat(inputs).contiguous(memory_format=torch.channels_last)
    return Batch(packed, torch.cat(targets), torch.cat(srgb))


def load_photos(
    paths: list[Path], skipped: dict[Path, str] | None = None
) -> list[NDArray[np.uint8]]:
    """Read photographs as (H, W, 3) uint8, sRGB.

    Those that cannot be read are left out, which is said once for each that is new in `skipped`
    (photo → why). Raises `TrainingError` if none can.
    """
    skipped, photos = {} if skipped is None else skipped, []
    for path in paths:
        try:
            photos.append(read_picture(path))
        except ReadError as error:
            if path not in skipped:
                print(f"{error} (left out)", file=sys.stderr)
            skipped[path] = str(error)
    if not photos:
        raise TrainingError(f"none of the photographs can be read; the first: {paths[0]}")
    return photos


def find_pictures(folder: Path) -> list[Path]:
    """All pictures below a folder, sorted. Raises `TrainingError` where there are none."""
    if not folder.is_dir():
        what = "a file, not a folder" if folder.exists() else "there is no such folder"
        raise TrainingError(f"{folder}: {what}; check the name")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    if not found:
        raise TrainingError(f"{folder}: no photographs here; give a folder of JPEG, PNG or TIFF")
    return found


def draw_exposures(count: int, random: np.random.Generator) -> Exposures:
    """Any camera of the table at any of its gains, any amplification from 1 to 300."""
    span = cameras()[0].span
    settings = [_draw_noise(random, span) for _ in range(count)]
    # three in four where the dark is deep: that is what a network is asked for
    deep = random.random(count) < 0.75
    low = np.where(deep, 50.0, 1.0)
    high = np.where(deep, MAX_AMPLIFICATION, 50.0)
    amplification = np.exp(random.uniform(np.log(low), np.log(high)))
    red_blue = np.exp(random.uniform(np.log(1.2), np.log(2.8), (count, 2)))
    gains = np.stack([red_blue[:, 0], np.ones(count), red_blue[:, 1]], axis=1)
    weights = random.dirichlet(np.full(len(CAMERA_MATRICES), 0.5), count)
    matrices = [camera_from_srgb(np.tensordot(w, CAMERA_MATRICES, 1)) for w in weights]
    return Exposures(
        amplification=amplification.astype(np.float32),
        white_balance=gains.astype(np.float32),
        camera=np.stack(matrices).astype(np.float32),
        span=span,
        noise=stack(settings),
    )


def _draw_noise(random: np.random.Generator, span: float) -> NoiseModel:
    """One camera at one gain; read and row noise vary as between copies of a camera."""
    camera = cameras()[random.integers(len(cameras()))]
    low, high = camera.iso_range
    noise = camera.at(float(np.exp(random.uniform(np.log(low), np.log(high)))), span)
    read, row = np.exp(random.normal(0, 0.25, 2))
    shape = 0.14 if noise.shape is None else noise.shape  # 0.14 is nearly Gaussian
    return NoiseModel(noise.gain, noise.read * read, shape, noise.row * row, noise.bias)


def stack(settings: list[NoiseModel]) -> NoiseModel:
    """One model whose parameters are (N, 1, 1), for a batch of N mosaics."""

    def column(name: str) -> Tensor:
        values = [float(getattr(s, name)) for s in settings]
        return torch.tensor(values, dtype=torch.float32)[:, None, None]

    columns: dict[str, Any] = {name: column(name) for name in NOISE_PARAMETERS}
    return NoiseModel(**columns, step=settings[0].step)


class PhotoSource:
    """Draws training batches from photographs; a step of a seed is always the same batch."""

    def __init__(
        self,
        photos: list[NDArray[np.uint8]],
        crop: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        """`crop` is in packed pixels. Raises `TrainingError` if no photo is large enough."""
        side = 2 * crop + 2  # two more, to fold any Bayer order to RGGB
        self._photos = [p for p in photos if min(p.shape[:2]) >= side]
        if not self._photos:
            raise TrainingError(
                f"none of the photographs is {side} pixels wide and high; give larger ones"
            )
        self._side, self._seed, self._device = side, seed, device
        self._linear = decode_srgb(torch.arange(256, device=device) / 255)

    def sample(self, step: int, number: int) -> Batch:
        """A batch of one."""
        random = np.random.default_rng((self._seed, step, number))
        crop = torch.from_numpy(self._crop(random)).to(self._device)
        light = self._linear[crop.int()][None]
        light = self._recolour(light, random)
        light = self._highlights(light, random)
        exposures = draw_exposures(1, random)
        sampler = TorchSampler(int(random.integers(2**62)), self._device)
        order = BAYER_ORDERS[random.integers(4)]
        hot = random.random() < 0.5
        pattern = random.uniform(0, MOST_PATTERN) if random.random() < 0.25 else 0.0
        return expose(light, exposures, order, sampler, hot, pattern)

    def _crop(self, random: np.random.Generator) -> NDArray[np.uint8]:
        """(3, H, W): a square of a photo, flipped and transposed by chance."""
        photo = self._photos[random.integers(len(self._photos))]
        top, left = (random.integers(n - self._side + 1) for n in photo.shape[:2])
        crop = photo[top : top + self._side, left : left + self._side]
        crop = crop[:: random.choice((-1, 1)), :: random.choice((-1, 1))]
        axes = (2, 1, 0) if random.random() < 0.5 else (2, 0, 1)
        return np.ascontiguousarray(crop.transpose(axes))

    def _recolour(self, light: Tensor, random: np.random.Generator) -> Tensor:
        """Some photos more, or less, colourful than they are, and some in others' colours.

        Without it a network learns that pinks are rare and paints them orange.
        """
        if random.random() < 0.4:
            grey = light.mean(1, keepdim=True)
            light = torch.lerp(grey, light, 2 ** random.uniform(-0.5, 1.0)).clip(0)
        return light[:, random.permutation(3)] if random.random() < 0.15 else light

    def _highlights(self, light: Tensor, random: np.random.Generator) -> Tensor:
        """Gives some photos back what clipping took from their lamps."""
        if random.random() >= 0.2:
            return light
        near_white = ((light.amin(1, keepdim=True) - 0.8) / 0.2).clip(0, 1)
        return light * (1 + (2 ** random.uniform(0, 4) - 1) * near_white)


def expose(
    light: Tensor,
    exposures: Exposures,
    order: CFA,
    sampler: TorchSampler,
    hot: bool = False,
    pattern: float = 0.0,
) -> Batch:
    """Linear sRGB (N, 3, H, W) → what a sensor makes of it in the dark, and what it should be.

    `hot` adds hot pixels, and `pattern` noise with a pattern, so many times the read noise; the
    latter is counted as read noise, as an estimate from the photo would count it. The mosaic has
    the Bayer order given and is folded to RGGB by leaving out a row or a column, and one at the
    other end.
    """
    to_camera = torch.from_numpy(exposures.camera).to(light.device)
    target = torch.einsum("nij,njhw->nihw", to_camera, light).clip(0, HIGHLIGHT_CEILING)
    factor = scale(
        RGGB, exposures.white_balance, exposures.span, exposures.amplification, light
    ).to(light.device)
    per_colour = factor[:, [0, 1, 3]]  # R, G, B of R G G B
    # what the sensor cannot hold nobody can restore
    target = torch.minimum(target, per_colour * exposures.span)
    signal = mosaic(target / per_colour, order)
    noise = _on(light.device, exposures.noise)
    noisy = noise.add(signal, sampler)
    if pattern:
        noisy = noisy + pattern * noise.read * _pattern(tuple(signal.shape), sampler)
        noise = replace(noise, read=noise.read * (1 + pattern**2) ** 0.5)
    if hot:
        noisy = _add_hot_pixels(noisy, exposures.span, sampler)
    noisy = noisy.clip(None, exposures.span)
    top, left = order.shift
    height, width = (n - 2 for n in light.shape[-2:])
    noisy = noisy[:, top : top + height, left : left + width]
    target = target[..., top : top + height, left : left + width]
    inputs = condition(noisy, RGGB, noise, factor)
    srgb = torch.linalg.inv(to_camera)
    return Batch(inputs, target, srgb)


def _pattern(shape: tuple[int, ...], sampler: TorchSampler) -> Tensor:
    """(N, H, W) of standard deviation 1: what no table of cameras has, and cameras do.

    Neighbours of a row that are alike, and columns that are off.
    """
    fine = sampler.normal(shape)
    alike = torch.cat([fine[..., :2], 0.7 * fine[..., :-2] + 0.51**0.5 * fine[..., 2:]], -1)
    columns = sampler.normal((*shape[:-2], 1, shape[-1]))
    return (alike + 0.5 * columns) / 1.25**0.5


def _add_hot_pixels(plane: Tensor, span: float, sampler: TorchSampler) -> Tensor:
    """Up to one pixel in 5,000 lit by the sensor itself, from faint to white."""
    count = int(2e-4 * float(sampler.uniform((1,))) * plane.numel())
    at = (sampler.uniform((count,)) * plane.numel()).long()
    lit = plane.flatten()
    lit[at] += span * sampler.uniform((count,)) ** 4
    return lit.reshape(plane.shape)


def _on(device: torch.device, noise: NoiseModel) -> NoiseModel:
    return replace(noise, **{n: getattr(noise, n).to(device) for n in NOISE_PARAMETERS})
