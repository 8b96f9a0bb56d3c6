"""How photographs are varied before a sensor sees them: their colours and their highlights.

Drawn with the crop, computed on whatever device the crop is on.
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
    """What is done to the light of one crop."""

    coded: bool = False
    """Whether the crop is sRGB in 8 bits; else it is linear light."""
    saturation: float = 1.0
    """Colourfulness: 0 grey, 1 as it is."""
    order: tuple[int, int, int] = (0, 1, 2)
    """The channel that each of red, green and blue is taken from."""
    highlights: float = 1.0
    """Factor of what is white, as before clipping; 1 below 0.8."""

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
    """Some photos more, or less, colourful than they are, some with channels exchanged.

    Without it a network learns that pinks are rare and paints them orange. One in four gets
    highlights up to 16 times brighter.
    """
    saturation = 2 ** random.uniform(-0.5, 1.0) if random.random() < 0.4 else 1.0
    order = random.permutation(3) if random.random() < 0.15 else np.arange(3)
    highlights = 2 ** random.uniform(0, 4) if random.random() < 0.25 else 1.0
    red, green, blue = order.tolist()
    return Look(coded, float(saturation), (red, green, blue), float(highlights))


def decode(coded: Tensor) -> Tensor:
    """sRGB in 8 bits → linear light, float32, of the same shape."""
    # not by indexing, which takes five times as long
    return _curve(coded.device).index_select(0, coded.int().flatten()).view(coded.shape)


@cache
def _curve(device: torch.device) -> Tensor:
    return decode_srgb(torch.arange(256) / 255).to(device)
