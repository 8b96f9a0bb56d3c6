"""Augmentation of photographs before the mosaic is taken: colours and highlights.

Parameters are drawn with the crop; the computation runs on the crop's device.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from undark.develop.colour import decode_srgb


@dataclass(frozen=True)
class Look:
    """Colour augmentation of one crop."""

    coded: bool = False
    """Whether the crop is 8-bit sRGB; otherwise it is linear light."""
    saturation: float = 1.0
    """Colourfulness: 0 grey, 1 unchanged."""
    order: tuple[int, int, int] = (0, 1, 2)
    """The channel that each of red, green and blue is taken from."""
    highlights: float = 1.0
    """Factor of white, which simulates unclipped highlights; light below 0.8 is unchanged."""

    def light(self, light: Tensor) -> Tensor:
        """(3, H, W) linear sRGB → the same with this look."""
        if self.saturation != 1:
            light = torch.lerp(light.mean(0, keepdim=True), light, self.saturation).clip(0)
        if self.order != (0, 1, 2):
            light = torch.stack([light[channel] for channel in self.order])
        if self.highlights != 1:
            near_white = ((light.amin(0, keepdim=True) - 0.8) / 0.2).clip(0, 1)
            light = light * (1 + (self.highlights - 1) * near_white)
        return light


def draw_look(random: np.random.Generator, coded: bool) -> Look:
    """Random changes of colourfulness, order of channels and highlights (up to 16 times brighter).

    Without them a network learns that pinks are rare and shifts them to orange.
    """
    saturation = 2 ** random.uniform(-0.5, 1.0) if random.random() < 0.4 else 1.0
    order = random.permutation(3) if random.random() < 0.15 else np.arange(3)
    highlights = 2 ** random.uniform(0, 4) if random.random() < 0.25 else 1.0
    red, green, blue = order.tolist()
    return Look(coded, float(saturation), (red, green, blue), float(highlights))


def decode(coded: Tensor) -> Tensor:
    """8-bit sRGB → linear light, float32, of the same shape."""
    # `index_select` takes a fifth of the time of indexing
    return _curve(coded.device).index_select(0, coded.int().flatten()).view(coded.shape)


@cache
def _curve(device: torch.device) -> Tensor:
    return decode_srgb(torch.arange(256) / 255).to(device)
