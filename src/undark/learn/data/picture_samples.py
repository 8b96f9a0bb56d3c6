"""Samples of training on dark pictures: photographs, darkened, as a camera would store them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from undark.develop.picture_noise import picture_noise
from undark.learn.data.batches import Batch, join_batches
from undark.learn.data.camera_pictures import (
    Rendering,
    blur,
    develop,
    draw_rendering,
    record,
    rendered,
)
from undark.learn.data.draws import draw_exposures
from undark.learn.data.exposing import Exposures, PhotoCrops, join_photo_crops
from undark.learn.data.looks import decode
from undark.learn.data.photos import PhotoFiles, PhotoSamples
from undark.learn.data.sampler import TorchSampler
from undark.learn.kind import BAYER, PICTURE
from undark.sensor.arrays import like
from undark.sensor.conditioning import condition_picture

MOST_AMPLIFICATION = 120.0
"""Of dark pictures. Beyond it 8 bits hold three levels of a scene's middle tone, or fewer."""
MOST_NOISE = 0.12
"""Mean standard deviation of the noise at black in amplified light (white 1): above it, rounding
and the loss of values below black leave next to nothing to restore. It bounds the amplification."""
BRIGHT = 3.0
"""Amplification up to which a quarter of the samples is."""
KEPT = 1.5
"""Amplification up to which only noise is removed, and half the samples have none."""


@dataclass(frozen=True)
class PictureCrops:
    """Clean crops of N photos, and how each becomes a dark picture."""

    photos: PhotoCrops
    renderings: tuple[Rendering, ...]

    @property
    def device(self) -> torch.device:
        """The crops' device."""
        return self.photos.device

    def to(self, device: torch.device | str) -> PictureCrops:
        return replace(self, photos=self.photos.to(device))

    def pin_memory(self) -> PictureCrops:
        """In pinned memory, from which a GPU copies asynchronously; called by `DataLoader`."""
        return replace(self, photos=self.photos.pin_memory())

    def parts(self, count: int) -> list[PictureCrops]:
        photos = self.photos.parts(count)
        ends = np.cumsum([0, *(len(p.seeds) for p in photos)])
        return [
            PictureCrops(p, self.renderings[a:b])
            for p, a, b in zip(photos, ends[:-1], ends[1:], strict=True)
        ]

    def prepare(self) -> Batch:
        each = [
            photograph(light[None], photo.exposures, how, TorchSampler(seed, device=self.device))
            for light, photo, how, seed in zip(
                self.photos.light(),
                self.photos.parts(len(self.renderings)),
                self.renderings,
                self.photos.seeds,
                strict=True,
            )
        ]
        return join_batches(each)


def photograph(light: Tensor, exposures: Exposures, how: Rendering, sampler: TorchSampler) -> Batch:
    """Linear sRGB (1, 3, H, W) → input and target of one dark picture; H and W are even.

    Both are of amplified linear sRGB. The target has the camera's colours and tone curve, but
    neither noise nor rounding nor compression. That of a picture which was not dark (up to `KEPT`)
    is what the camera would have stored without noise: such a picture is not to be developed anew.
    """
    tinted = exposures.camera * exposures.tint[:, :, None]
    if how.lens:
        light = blur(light, how.lens)
    camera = torch.einsum("nij,njhw->nihw", like(tinted, light), light).clip(0)
    gains = exposures.white_balance * (exposures.amplification / exposures.span)[:, None]
    scale = like(gains, light)[:, :, None, None]
    clipped = torch.minimum(camera, scale * exposures.span)  # the sensor saturates
    darkness = float(exposures.amplification[0])
    to_srgb = like(np.linalg.inv(exposures.camera), light) / darkness

    def linear(of: Tensor) -> Tensor:
        return torch.einsum("nij,njhw->nihw", to_srgb, of).clip(0, 1)

    noisy = record(clipped, exposures.noise, scale, how, sampler)
    levels = develop(linear(noisy), how)
    as_stored = darkness <= KEPT
    target = decode(develop(linear(clipped), how)) if as_stored else rendered(linear(clipped), how)
    # a tone curve moves the brightness, which the amplification of a picture then makes up for
    amplification = darkness * linear(clipped).mean() / target.mean().clip(1e-6)
    amplification = amplification.clip(1, 3 * darkness)
    eye = torch.eye(3, device=light.device)[None]
    unlimited = torch.full((1,), torch.inf, device=light.device)
    stored = levels[0].permute(1, 2, 0).cpu().numpy()
    found = light.new_tensor(picture_noise(stored, float(amplification)))
    inputs = condition_picture(decode(levels), amplification, found[None, :, None, None])
    return Batch(inputs, target * amplification, eye, unlimited, PICTURE)


class PictureSamples(PhotoSamples):
    """Crops of photographs, for the simulation of cameras' pictures."""

    def __init__(self, files: PhotoFiles, crop: int, seed: int = 0) -> None:
        """`crop` is in pixels, even. Raises `TrainingError` if no photo is large enough."""
        super().__init__(files, crop // BAYER.cell, seed, BAYER)

    def _exposures(self, random: np.random.Generator, is_scene: bool) -> Exposures:
        """From bright pictures to those that are 120 times too dark."""
        drawn = draw_exposures(1, random)
        low, high = (1.0, BRIGHT) if random.random() < 0.25 else (BRIGHT, MOST_AMPLIFICATION)
        chosen = np.exp(random.uniform(np.log(low), np.log(high), 1)).astype(np.float32)
        exposures = replace(drawn, amplification=chosen)
        excess = exposures.sigma_at_black.mean() / MOST_NOISE
        return replace(exposures, amplification=(chosen / max(excess, 1)).clip(1, None))

    def sample(self, step: int, number: int) -> PictureCrops:  # type: ignore[override]
        photos = super().sample(step, number)
        random = np.random.default_rng((self._seed, step, number, 1))
        how = draw_rendering(random)
        if photos.exposures.amplification[0] <= KEPT and random.random() < 0.5:
            how = replace(how, noiseless=True)
        return PictureCrops(photos, (how,))

    def join(self, crops: Sequence[PictureCrops]) -> PictureCrops:  # type: ignore[override]
        photos = join_photo_crops([one.photos for one in crops])
        return PictureCrops(photos, tuple(how for one in crops for how in one.renderings))
