"""Simulate the pictures that cameras make of dark scenes: demosaiced, smoothed, rendered, as JPEG.

After Brooks et al. (CVPR 2019) up to the sensor; from there on forwards, as a camera does. What a
network learns to undo is noise that demosaicing, smoothing, sharpening and JPEG have made coarse
and coloured; the camera's tone curve stays in the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import imagecodecs
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from undark.develop.colour import decode_srgb, encode_srgb
from undark.learn.data.sampler import TorchSampler
from undark.learn.kind import BAYER
from undark.learn.network import bilinear_demosaic
from undark.sensor.cfa import pack
from undark.sensor.kind import BAYER_KIND
from undark.sensor.noise import NoiseModel

QUALITIES = (75, 97)
"""Qualities of JPEG, as libjpeg counts."""
JPEG_BLOCK = 16
"""Side in pixels of the blocks of a JPEG with subsampled colours."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of encoded R, G and B in luma (ITU-R BT.601)."""


@dataclass(frozen=True)
class Rendering:
    """How a camera develops one picture and stores it."""

    noiseless: bool = False
    lens: float = 0.0
    """Standard deviation in pixels of the blur before the sensor, which stays in the target: a
    reduced photograph is sharper than a lens draws, and demosaicing then makes false colours."""
    reduced: bool = False
    """Whether each colour is measured at every pixel, as after reduction to half the size."""
    clipped: bool = True
    """Whether values below black are lost before demosaicing."""
    demosaicing: str = "malvar"
    """One of `DEMOSAICING`."""
    smoothing: tuple[float, float] = (0.0, 0.0)
    """Share of the noise of luma that is removed at a fine and a coarse scale, 0 to 1."""
    colour_blur: float = 0.0
    """Standard deviation in pixels of the blur of colour differences."""
    power: float = 1.0
    """Exponent of the tone curve, applied to sRGB's."""
    contrast: float = 0.0
    """S-shape of the tone curve: its slope is 1 - `contrast` at black and white."""
    sharpening: float = 0.0
    radius: float = 0.8
    """Standard deviation in pixels of the unsharp mask."""
    truncated: bool = False
    """Whether levels are rounded down, as LibRaw does, instead of to the nearest."""
    quality: int | None = None
    """Of JPEG; None: not compressed."""
    subsampled: bool = True
    """Whether JPEG stores colour at half the size (4:2:0)."""
    offset: tuple[int, int] = (0, 0)
    """Rows and columns, below `JPEG_BLOCK`, by which the picture was cropped after compression."""

    def curve(self, light: Tensor) -> Tensor:
        """Linear light → encoded level, both in [0, 1]."""
        level: Tensor = encode_srgb(light) ** self.power
        return level + self.contrast * level * (1 - level) * (2 * level - 1)


def draw_rendering(random: np.random.Generator) -> Rendering:
    """Cameras and phones, from none to strong smoothing; nine in ten pictures are JPEG."""

    def size(share: float, most: float) -> float:
        return float(random.uniform(0, most)) if random.random() < share else 0.0

    aligned = random.random() < 0.7
    offset = (0, 0) if aligned else tuple(random.integers(JPEG_BLOCK, size=2).tolist())
    return Rendering(
        noiseless=random.random() < 0.1,
        lens=float(random.uniform(0.4, 0.9)) if random.random() < 0.6 else 0.0,
        reduced=random.random() < 0.2,
        clipped=random.random() < 0.8,
        demosaicing=str(random.choice(list(DEMOSAICING), p=(0.2, 0.3, 0.5))),
        smoothing=(size(0.5, 1.0), size(0.25, 1.0)),
        colour_blur=size(0.6, 3.0),
        power=float(np.exp(random.normal(0, 0.12))) if random.random() < 0.6 else 1.0,
        contrast=float(random.uniform(-0.2, 0.6)) if random.random() < 0.6 else 0.0,
        sharpening=size(0.6, 1.2),
        radius=float(random.uniform(0.5, 1.3)),
        truncated=random.random() < 0.4,
        quality=int(random.integers(*QUALITIES, endpoint=True)) if random.random() < 0.9 else None,
        subsampled=random.random() < 0.8,
        offset=offset,
    )


def record(
    light: Tensor, noise: NoiseModel, scale: Tensor, how: Rendering, sampler: TorchSampler
) -> Tensor:
    """(1, 3, H, W) white-balanced camera RGB as a camera measures and demosaics it, same unit.

    `scale` (1, 3, 1, 1) is light per DN of each colour. H and W are even.
    """
    signal = light / scale
    if how.noiseless:
        return light
    if how.reduced:
        return noise.add(signal, sampler) * scale
    noisy = noise.add(BAYER.measured(signal), sampler)
    balanced = noisy * BAYER.measured(scale.expand_as(light))
    if how.clipped:
        balanced = balanced.clip(0)
    return DEMOSAICING[how.demosaicing](balanced)


def develop(light: Tensor, how: Rendering) -> Tensor:
    """(1, 3, H, W) linear sRGB, noisy → the levels (1, 3, H, W) uint8 of the stored picture."""
    level = smooth(how.curve(light), how)
    if how.sharpening:
        luma = _luma(level)
        level = level + how.sharpening * (luma - blur(luma, how.radius))
    level = level.clip(0, 1) * 255
    stored = (level if how.truncated else level.round()).to(torch.uint8)
    return stored if how.quality is None else compress(stored, how)


def smooth(level: Tensor, how: Rendering) -> Tensor:
    """Blur colour differences, and move luma towards its local mean where it is close to it."""
    luma = _luma(level)
    colour = level - luma
    if how.colour_blur:
        colour = blur(colour, how.colour_blur)
    for strength, width in zip(how.smoothing, (1.0, 2.5), strict=True):
        if strength:
            away = blur(luma, width) - luma
            usual = 1.48 * away.abs().median() + 1e-6
            luma = luma + strength * away * torch.exp(-((away / (3 * usual)) ** 2))
    return luma + colour


def compress(stored: Tensor, how: Rendering) -> Tensor:
    """(1, 3, H, W) uint8 → the same after JPEG, whose blocks start `how.offset` before it."""
    top, left = how.offset
    padded = F.pad(stored.float(), (left, 0, top, 0), mode="replicate")
    levels = np.ascontiguousarray(padded[0].permute(1, 2, 0).to("cpu", torch.uint8).numpy())
    sampling = "420" if how.subsampled else "444"
    coded = imagecodecs.jpeg8_encode(levels, level=how.quality, subsampling=sampling)
    decoded = torch.from_numpy(imagecodecs.jpeg8_decode(coded)[top:, left:].copy())
    return decoded.permute(2, 0, 1)[None].to(stored.device)


def rendered(light: Tensor, how: Rendering) -> Tensor:
    """Linear sRGB (1, 3, H, W) after the camera's tone curve alone, as linear light."""
    shown: Tensor = decode_srgb(how.curve(light.clip(0, 1)))
    return shown


def blur(planes: Tensor, sigma: float) -> Tensor:
    """(N, C, H, W) after a Gaussian of standard deviation `sigma` pixels."""
    reach = max(1, round(3 * sigma))
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    line = (weights / weights.sum()).to(planes.device)
    flat = planes.flatten(0, 1)[:, None]
    padded = F.pad(flat, (reach, reach, reach, reach), mode="reflect")
    across = F.conv2d(padded, line.view(1, 1, 1, -1))
    return F.conv2d(across, line.view(1, 1, -1, 1)).view(planes.shape)


def bilinear(plane: Tensor) -> Tensor:
    """RGGB mosaic (1, H, W) → (1, 3, H, W) by bilinear interpolation."""
    weight = bilinear_demosaic(BAYER_KIND).view(12, 3, 3, 4).permute(0, 3, 1, 2)
    packed = F.pad(pack(plane, BAYER.cfa), (1, 1, 1, 1), mode="replicate")
    return F.pixel_shuffle(F.conv2d(packed, weight.to(plane.device)), 2)


def malvar(plane: Tensor) -> Tensor:
    """RGGB mosaic (1, H, W) → (1, 3, H, W), interpolated linearly with gradient correction.

    Malvar, He and Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned
    color images" (ICASSP 2004).
    """
    padded = F.pad(plane[:, None], (2, 2, 2, 2), mode="reflect")
    green, same_row, same_column, across = F.conv2d(padded, _malvar_filters(plane.device))[0]
    rgb = plane.expand(3, -1, -1).clone()
    rgb[1, 0::2, 0::2], rgb[1, 1::2, 1::2] = green[0::2, 0::2], green[1::2, 1::2]
    for colour, at in ((0, 0), (2, 1)):  # red pixels are at even rows and columns, blue at odd
        other = 1 - at
        rgb[colour, at::2, other::2] = same_row[at::2, other::2]
        rgb[colour, other::2, at::2] = same_column[other::2, at::2]
        rgb[colour, other::2, other::2] = across[other::2, other::2]
    return rgb[None]


def directional(plane: Tensor) -> Tensor:
    """RGGB mosaic (1, H, W) → (1, 3, H, W), green interpolated along edges, not across.

    Hamilton and Adams, US patent 5,629,734 (1997, expired); red and blue by bilinear interpolation
    of their differences from green. As cameras' own methods and AHD do, it draws short lines into
    noise.
    """
    across, across_edge = _along(plane)
    down, down_edge = (x.transpose(-1, -2) for x in _along(plane.transpose(-1, -2)))
    share = (across_edge < down_edge).float() + 0.5 * (across_edge == down_edge).float()
    is_green = _sites(plane, ((0, 1), (1, 0)))
    green = torch.where(is_green, plane, share * across + (1 - share) * down)
    others = [
        green + _spread((plane - green) * _sites(plane, (site,))) for site in ((0, 0), (1, 1))
    ]
    return torch.stack([others[0], green, others[1]], 1)


def _along(plane: Tensor) -> tuple[Tensor, Tensor]:
    """Green interpolated along rows, and how much rows change there; both (1, H, W)."""
    padded = F.pad(plane, (2, 2), mode="reflect")
    far, near, _, after, further = (padded[..., n : n + plane.shape[-1]] for n in range(5))
    bend = 2 * plane - far - further
    return (near + after) / 2 + bend / 4, (near - after).abs() + bend.abs()


def _sites(plane: Tensor, places: tuple[tuple[int, int], ...]) -> Tensor:
    """(1, H, W) bool: the pixels at these places of the 2×2 cell."""
    at = torch.zeros(plane.shape, dtype=torch.bool, device=plane.device)
    for y, x in places:
        at[..., y::2, x::2] = True
    return at


def _spread(values: Tensor) -> Tensor:
    """Bilinear interpolation of values known at one place of each 2×2 cell, 0 elsewhere."""
    line = values.new_tensor([0.5, 1.0, 0.5])
    padded = F.pad(values[:, None], (2, 2, 2, 2), mode="reflect")
    spread = F.conv2d(F.conv2d(padded, line.view(1, 1, 1, 3)), line.view(1, 1, 3, 1))
    return spread[:, 0, 1:-1, 1:-1]


DEMOSAICING = {"bilinear": bilinear, "malvar": malvar, "directional": directional}
"""Name → (1, H, W) mosaic to (1, 3, H, W)."""


@cache
def _malvar_filters(device: torch.device) -> Tensor:
    """(4, 1, 5, 5): green; a colour between two of its row, of its column; red and blue."""
    green = [
        [0, 0, -2, 0, 0],
        [0, 0, 4, 0, 0],
        [-2, 4, 8, 4, -2],
        [0, 0, 4, 0, 0],
        [0, 0, -2, 0, 0],
    ]
    row = [
        [0, 0, 1, 0, 0],
        [0, -2, 0, -2, 0],
        [-2, 8, 10, 8, -2],
        [0, -2, 0, -2, 0],
        [0, 0, 1, 0, 0],
    ]
    far = [[0, 0, -3, 0, 0], [0, 4, 0, 4, 0], [-3, 0, 12, 0, -3], [0, 4, 0, 4, 0], [0, 0, -3, 0, 0]]
    both = torch.tensor([green, row, far], device=device) / 16
    return torch.stack([both[0], both[1], both[1].T, both[2]])[:, None]


def _luma(level: Tensor) -> Tensor:
    weights = level.new_tensor(LUMA).view(1, 3, 1, 1)
    return (level * weights).sum(1, keepdim=True)
