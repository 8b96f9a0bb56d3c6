"""Simulate dark photos from clean light: network input and target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from undark.learn.data.batches import Batch
from undark.learn.data.defects import Defects, predicted_noise, spoil
from undark.learn.data.looks import Look, decode
from undark.learn.data.sampler import TorchSampler
from undark.learn.kind import InputKind
from undark.sensor.arrays import like
from undark.sensor.conditioning import HIGHLIGHT_CEILING, condition, scale
from undark.sensor.noise import NoiseModel

NOISE_PARAMETERS = ("gain", "read", "shape", "row", "bias")
"""The fields of `NoiseModel` that differ between photos."""
_ARRAYS = ("amplification", "white_balance", "camera", "tint")


@dataclass(frozen=True)
class Exposures:
    """Exposure parameters of N simulated photos, in main memory."""

    amplification: NDArray[np.float32]
    """(N,)"""
    white_balance: NDArray[np.float32]
    """(N, 3) gains, green 1."""
    camera: NDArray[np.float32]
    """(N, 3, 3): linear sRGB → white-balanced camera RGB."""
    tint: NDArray[np.float32]
    """(N, 3) colour of the light, in camera RGB: it stays in the target."""
    span: float
    """DN from black to white, the same for all: only the noise relative to it matters."""
    noise: NoiseModel
    """Parameters (N, 1, 1)."""

    @property
    def sigma_at_black(self) -> NDArray[np.float32]:
        """(N, 3): standard deviation of each colour at black, in amplified, balanced light."""
        dn = self.noise.sigma(self.noise.read * 0).flatten().cpu().numpy()
        sigma: NDArray[np.float32] = (
            self.white_balance * (self.amplification * dn / self.span)[:, None]
        )
        return sigma

    def part(self, some: slice) -> Exposures:
        """The parameters of some photos."""
        noises: dict[str, Any] = {n: getattr(self.noise, n)[some] for n in NOISE_PARAMETERS}
        arrays: dict[str, Any] = {n: getattr(self, n)[some] for n in _ARRAYS}
        return replace(self, noise=replace(self.noise, **noises), **arrays)


def stack(settings: Sequence[NoiseModel]) -> NoiseModel:
    """One model whose parameters are (N, 1, 1), for a batch of N mosaics."""

    def column(name: str) -> Tensor:
        values = [float(getattr(s, name)) for s in settings]
        return torch.tensor(values, dtype=torch.float32)[:, None, None]

    columns: dict[str, Any] = {name: column(name) for name in NOISE_PARAMETERS}
    return NoiseModel(**columns, step=settings[0].step)


def join_exposures(parts: Sequence[Exposures]) -> Exposures:
    """Concatenate exposures."""
    noises: dict[str, Any] = {
        n: torch.cat([getattr(p.noise, n) for p in parts]) for n in NOISE_PARAMETERS
    }
    arrays: dict[str, Any] = {n: np.concatenate([getattr(p, n) for p in parts]) for n in _ARRAYS}
    return replace(parts[0], noise=replace(parts[0].noise, **noises), **arrays)


LINEAR = torch.float32
"""Type of linear light."""


@dataclass(frozen=True)
class PhotoCrops:
    """Clean crops of N photos and their random parameters."""

    coded: Tensor
    """(P, 3, H, W) uint8, sRGB: crops of 8-bit photographs, not converted, to save memory."""
    linear: Tensor
    """(N - P, 3, H, W) `LINEAR`, linear sRGB: the others. H and W are multiples of the period."""
    looks: tuple[Look, ...]
    """Of all N, in order; `coded` says which of the two tensors holds the crop."""
    exposures: Exposures
    defects: tuple[Defects, ...]
    seeds: tuple[int, ...]
    """Of each photo's noise."""
    kind: InputKind

    @property
    def device(self) -> torch.device:
        """The crops' device."""
        return self.coded.device

    def to(self, device: torch.device | str) -> PhotoCrops:
        """With the crops on another device; the random parameters stay in main memory."""
        return self._each(lambda crops: crops.to(device, non_blocking=True))

    def pin_memory(self) -> PhotoCrops:
        """In pinned memory, from which a GPU copies asynchronously; called by `DataLoader`."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> PhotoCrops:
        return replace(self, coded=change(self.coded), linear=change(self.linear))

    def parts(self, count: int) -> list[PhotoCrops]:
        size = -(-len(self.seeds) // count)
        return [self._part(i, i + size) for i in range(0, len(self.seeds), size)]

    def _part(self, first: int, end: int) -> PhotoCrops:
        some = slice(first, end)
        before, inside = (sum(one.coded for one in self.looks[:n]) for n in (first, end))
        return replace(
            self,
            coded=self.coded[before:inside],
            linear=self.linear[first - before : end - inside],
            looks=self.looks[some],
            exposures=self.exposures.part(some),
            defects=self.defects[some],
            seeds=self.seeds[some],
        )

    def light(self) -> Tensor:
        """(N, 3, H, W) linear sRGB, each crop with its look."""
        coded, linear = iter(decode(self.coded)), iter(self.linear)
        return torch.stack([one.light(next(coded if one.coded else linear)) for one in self.looks])

    def prepare(self) -> Batch:
        sampler = TorchSampler(*self.seeds, device=self.device)
        return expose(self.light(), self.exposures, sampler, self.kind, self.defects)


def join_photo_crops(parts: Sequence[PhotoCrops]) -> PhotoCrops:
    """Many samples as one."""
    return PhotoCrops(
        torch.cat([p.coded for p in parts]),
        torch.cat([p.linear for p in parts]),
        tuple(look for p in parts for look in p.looks),
        join_exposures([p.exposures for p in parts]),
        tuple(d for p in parts for d in p.defects),
        tuple(s for p in parts for s in p.seeds),
        parts[0].kind,
    )


def expose(
    light: Tensor,
    exposures: Exposures,
    sampler: TorchSampler,
    kind: InputKind,
    defects: Sequence[Defects] = (),
) -> Batch:
    """Linear sRGB (N, 3, H, W) → input and target of N simulated dark photos.

    `defects` has one entry per photo, or is empty. The noise is that of light up to the sensor's
    saturation. The target is clipped at `HIGHLIGHT_CEILING`; `condition` clips the input there
    after predicting sigma from the noisy signal, as it does for real photos.
    """
    defects, device = defects or [Defects()] * len(light), light.device
    tinted = exposures.camera * exposures.tint[:, :, None]
    camera = torch.einsum("nij,njhw->nihw", like(tinted, light), light)
    gains = exposures.white_balance * (exposures.amplification / exposures.span)[:, None]
    per_colour = like(gains, light)[:, :, None, None]
    # light above the sensor's saturation is not in the data
    clipped = torch.minimum(camera.clip(0), per_colour * exposures.span)
    noise = _on(device, exposures.noise)
    noisy = noise.add(kind.measured(clipped / per_colour), sampler, kind.period)
    for number, defect in enumerate(defects):
        if defect.below_black:
            one = slice(number, number + 1)
            noisy[one] += kind.measured(camera[one].clip(None, 0) / per_colour[one])
    noisy = spoil(noisy, defects, noise, exposures.span, sampler, kind.period)
    factor = scale(
        kind.cfa, exposures.white_balance, exposures.span, exposures.amplification, light
    )
    inputs = condition(
        noisy.clip(None, exposures.span), kind.cfa, predicted_noise(noise, defects), factor
    )
    unlimited = torch.full((len(light),), torch.inf, device=device)
    target = clipped.clip(None, HIGHLIGHT_CEILING)
    to_srgb = like(np.linalg.inv(exposures.camera), light)
    return Batch(inputs, target, to_srgb, unlimited, kind)


def _on(device: torch.device, noise: NoiseModel) -> NoiseModel:
    """The noise on the light's device, except for the shape, which NumPy reads."""
    moved = [name for name in NOISE_PARAMETERS if name != "shape"]
    return replace(noise, **{n: getattr(noise, n).to(device, non_blocking=True) for n in moved})
