"""Ordinary photographs → dark mosaics and the light they should have shown.

After Brooks et al., "Unprocessing images for learned raw denoising" (CVPR 2019): undo the
rendering of a clean photo (curve, colour matrix, white balance), darken it, let a sensor see it.
Whatever is random about a photo happens to the RGB picture, before the mosaic: a flipped mosaic
would have its red pixels elsewhere.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from undark.develop.colour import CAMERA_MATRICES, camera_from_srgb, decode_srgb
from undark.errors import ReadError, TrainingError
from undark.files.folder import find_pictures as pictures_below
from undark.files.picture import read_picture
from undark.learn.sampler import TorchSampler
from undark.sensor.cfa import RGGB, mosaic
from undark.sensor.conditioning import HIGHLIGHT_CEILING, condition, scale
from undark.sensor.noise import NoiseModel
from undark.sensor.profiles.cameras import cameras

MAX_AMPLIFICATION = 300.0
MOST_PATTERN = 1.5
"""Noise with a pattern, in read noises, that some samples have at most."""
NOISE_PARAMETERS = ("gain", "read", "shape", "row", "bias")
"""The fields of `NoiseModel` that differ between photos."""
_ARRAYS = ("amplification", "white_balance", "camera")


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
    """All photographs below a folder, sorted, without files that undark has made.

    Raises `TrainingError` where there are none.
    """
    if not folder.is_dir():
        what = "a file, not a folder" if folder.exists() else "there is no such folder"
        raise TrainingError(f"{folder}: {what}; check the name")
    found = pictures_below(folder)
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


def join(parts: Sequence[Exposures]) -> Exposures:
    """Many batches' exposures as one's."""
    noises: dict[str, Any] = {
        n: torch.cat([getattr(p.noise, n) for p in parts]) for n in NOISE_PARAMETERS
    }
    arrays: dict[str, Any] = {n: np.concatenate([getattr(p, n) for p in parts]) for n in _ARRAYS}
    return replace(parts[0], noise=replace(parts[0].noise, **noises), **arrays)


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
        side = 2 * crop
        self._photos = [p for p in photos if min(p.shape[:2]) >= side]
        if not self._photos:
            raise TrainingError(
                f"none of the photographs is {side} pixels wide and high; give larger ones"
            )
        self._side, self._seed, self._device = side, seed, device
        self._linear = decode_srgb(torch.arange(256, device=device) / 255)

    def batch(self, step: int, share: range) -> Batch:
        """The samples of a step with these numbers, each as if it were alone."""
        randoms = [np.random.default_rng((self._seed, step, number)) for number in share]
        light = torch.cat([self._light(random) for random in randoms])
        exposures = join([draw_exposures(1, random) for random in randoms])
        seeds = [int(random.integers(2**62)) for random in randoms]
        hot = [random.random() < 0.5 for random in randoms]
        patterns = [
            random.uniform(0, MOST_PATTERN) if random.random() < 0.25 else 0.0 for random in randoms
        ]
        return expose(light, exposures, TorchSampler(*seeds, device=self._device), hot, patterns)

    def _light(self, random: np.random.Generator) -> Tensor:
        """(1, 3, H, W) linear sRGB of some photo's crop, its colours and lamps varied."""
        crop = torch.from_numpy(self._crop(random)).to(self._device)
        # not by indexing, which takes five times as long
        light = self._linear.index_select(0, crop.int().flatten()).view(1, *crop.shape)
        return self._highlights(self._recolour(light, random), random)

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
    sampler: TorchSampler,
    hot: Sequence[bool] = (),
    patterns: Sequence[float] = (),
) -> Batch:
    """Linear sRGB (N, 3, H, W) → what a sensor makes of it in the dark, and what it should be.

    Of each photo `hot` adds hot pixels, and `patterns` noise with a pattern, so many times the read
    noise; the latter is counted as read noise, as an estimate from the photo would count it. The
    mosaic is RGGB, to which all Bayer orders are folded. H and W are even.
    """
    to_camera = torch.from_numpy(exposures.camera).to(light.device)
    target = torch.einsum("nij,njhw->nihw", to_camera, light).clip(0, HIGHLIGHT_CEILING)
    factor = scale(
        RGGB, exposures.white_balance, exposures.span, exposures.amplification, light
    ).to(light.device)
    per_colour = factor[:, [0, 1, 3]]  # R, G, B of R G G B
    # what the sensor cannot hold nobody can restore
    target = torch.minimum(target, per_colour * exposures.span)
    noise = _on(light.device, exposures.noise)
    noisy = noise.add(mosaic(target / per_colour, RGGB), sampler)
    for number, strength in enumerate(patterns):
        if strength:
            one = slice(number, number + 1)
            noisy[one] += strength * noise.read[one] * _pattern(noisy[one], sampler.only(one))
    for number, lit in enumerate(hot):
        if lit:
            one = slice(number, number + 1)
            _light_hot_pixels(noisy[one], exposures.span, sampler.only(one))
    told = _with_patterns(noise, patterns)
    inputs = condition(noisy.clip(None, exposures.span), RGGB, told, factor)
    return Batch(inputs, target, torch.linalg.inv(to_camera))


def _pattern(like: Tensor, sampler: TorchSampler) -> Tensor:
    """(N, H, W) of standard deviation 1: what no table of cameras has, and cameras do.

    Neighbours of a row that are alike, and columns that are off.
    """
    fine = sampler.normal(tuple(like.shape))
    alike = torch.cat([fine[..., :2], 0.7 * fine[..., :-2] + 0.51**0.5 * fine[..., 2:]], -1)
    columns = sampler.normal((len(like), 1, like.shape[-1]))
    return (alike + 0.5 * columns) / 1.25**0.5


def _with_patterns(noise: NoiseModel, patterns: Sequence[float]) -> NoiseModel:
    """The noise of N photos, the patterns' counted as read noise."""
    if not any(patterns):
        return noise
    strengths = torch.tensor(patterns, device=noise.read.device)[:, None, None]
    return replace(noise, read=noise.read * (1 + strengths**2) ** 0.5)


def _light_hot_pixels(plane: Tensor, span: float, sampler: TorchSampler) -> None:
    """Light up to one pixel in 5,000 of (1, H, W) as the sensor itself does: faint to white."""
    count = int(2e-4 * float(sampler.uniform((1, 1))) * plane.numel())
    at = (sampler.uniform((1, count))[0] * plane.numel()).long()
    plane.view(-1)[at] += span * sampler.uniform((1, count))[0] ** 4


def _on(device: torch.device, noise: NoiseModel) -> NoiseModel:
    return replace(noise, **{n: getattr(noise, n).to(device) for n in NOISE_PARAMETERS})
