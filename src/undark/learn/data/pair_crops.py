"""Crops of pairs before conditioning: sensor values, noise and target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from undark.develop.picture_noise import PictureNoise
from undark.learn.data.batches import Batch
from undark.learn.data.exposing import NOISE_PARAMETERS
from undark.learn.kind import PICTURE, InputKind
from undark.sensor.conditioning import condition, condition_picture
from undark.sensor.noise import NoiseModel


@dataclass(frozen=True)
class PairCrops:
    """Crops of N pairs, not yet conditioned."""

    signal: Tensor
    """(N, H, W) DN above black at the canonical phase; of pictures (N, 3, H, W) linear light."""
    factor: Tensor
    """(N, planes, 1, 1): factor from DN to amplified, white-balanced light; for pictures
    (N, 1, 1, 1)."""
    noise: Tensor
    """(5, N, 1, 1): `NOISE_PARAMETERS`; of pictures those of `PictureNoise`, then zeros."""
    target: Tensor
    """(N, 3, H, W)."""
    srgb: Tensor
    """(N, 3, 3); see `Batch`."""
    saturation: Tensor
    """(N,); see `Batch`."""
    kind: InputKind

    @property
    def device(self) -> torch.device:
        """The crops' device."""
        return self.target.device

    def to(self, device: torch.device | str) -> PairCrops:
        return self._each(lambda tensor, _: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> PairCrops:
        """In pinned memory, from which a GPU copies asynchronously; called by `DataLoader`."""
        return self._each(lambda tensor, _: tensor.pin_memory())

    def parts(self, count: int) -> list[PairCrops]:
        size = -(-len(self.target) // count)
        return [self._part(at, size) for at in range(0, len(self.target), size)]

    def _part(self, at: int, size: int) -> PairCrops:
        return self._each(lambda t, axis: t.narrow(axis, at, min(size, t.shape[axis] - at)))

    def _each(self, change: Callable[[Tensor, int], Tensor]) -> PairCrops:
        """`change` of each tensor and the axis of its samples."""
        tensors = {name: change(getattr(self, name), axis) for name, axis in _TENSORS.items()}
        return PairCrops(**tensors, kind=self.kind)

    def prepare(self) -> Batch:
        if self.kind == PICTURE:
            noise = self.noise[: len(PictureNoise._fields)].transpose(0, 1)
            inputs = condition_picture(self.signal, self.factor, noise)
        else:
            named = dict(zip(NOISE_PARAMETERS, self.noise, strict=True))
            inputs = condition(self.signal, self.kind.cfa, NoiseModel(**named), self.factor)
        return Batch(inputs, self.target, self.srgb, self.saturation, self.kind)


_TENSORS = {"signal": 0, "factor": 0, "noise": 1, "target": 0, "srgb": 0, "saturation": 0}
"""The tensors of `PairCrops`, each with the axis of its samples."""


def join_pair_crops(parts: Sequence[PairCrops]) -> PairCrops:
    """Concatenate samples."""
    tensors = {n: torch.cat([getattr(p, n) for p in parts], axis) for n, axis in _TENSORS.items()}
    return PairCrops(**tensors, kind=parts[0].kind)
