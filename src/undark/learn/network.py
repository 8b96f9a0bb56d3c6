"""The U-Net: plain convolutions without bias, packed mosaic in, full-size RGB out.

Without biases and with leaky ReLU the network is homogeneous: twice the light and twice the noise
give exactly twice the output (Mohan et al., "Robust and interpretable blind image denoising via
bias-free convolutional neural networks", ICLR 2020). One network can therefore be used at ×1 and
×300, and for light sources far above white. Residual blocks and added skips after DRUNet (Zhang et
al., TPAMI 2021).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import pairwise, product
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from undark.develop.colour import decode_srgb, srgb_curve
from undark.learn.kind import InputKind, kind_of_cell
from undark.sensor.kind import SensorKind

SLOPE = 0.1
"""Slope of the leaky ReLU below 0. With ReLU, units of the coarse scales became inactive: light is
never negative, so one large step can switch a unit off for every photo, and there is no bias that
could switch it on again."""


@dataclass(frozen=True)
class UNetConfig:
    """The dimensions of a `UNet`; stored in every checkpoint."""

    cell: int = 2
    """Side of the CFA's cell: 2 for Bayer, 3 for X-Trans, 1 for a picture (RGB, no mosaic)."""
    widths: tuple[int, ...] = (32, 64, 128, 192)
    """Channels at each scale, the full packed size first."""
    encoder: tuple[int, ...] = (1, 1, 1, 2)
    """Residual blocks of the encoder at each scale."""
    decoder: tuple[int, ...] = (1, 1, 1)
    """Residual blocks of the decoder at each scale but the coarsest."""
    inner: tuple[int, ...] = ()
    """Channels between the two convolutions of a block at each scale; empty: those of `widths`."""
    fold: int = 1
    """Side of the squares of pixels that a network for pictures takes as one pixel of its first
    scale, with as many times the channels. A mosaic's cells are folded already."""

    @property
    def kind(self) -> InputKind:
        """The kind of input."""
        return kind_of_cell(self.cell)

    @property
    def planes(self) -> int:
        """Planes of light in the input."""
        return self.kind.planes

    @property
    def channels(self) -> int:
        """Planes of the input; see `InputKind.channels`."""
        return self.kind.channels

    @property
    def layouts(self) -> int:
        """Number of layouts of the CFA's cells; see `split_layouts`."""
        return self.kind.layouts

    @property
    def multiple(self) -> int:
        """Height and width of the input must be a multiple of this.

        By the network's scales, and so that every tile starts at the pattern's canonical phase: a
        network of one scale on X-Trans takes multiples of 2 packed pixels, 6 pixels.
        """
        return math.lcm(self.fold * 2 ** (len(self.widths) - 1), self.kind.cells)

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, known: dict[str, Any]) -> Self:
        """The inverse of `as_dict`."""
        fields: dict[str, Any] = {}
        for name, value in known.items():
            fields[name] = tuple(value) if isinstance(value, list) else value
        return cls(**fields)


NETWORKS = {
    "unet": UNetConfig(),
    "residual-unet": UNetConfig(encoder=(2, 2, 2, 4), decoder=(2, 2, 2)),
    "residual": UNetConfig(widths=(64,), encoder=(8,), decoder=()),
}
"""As shipped; with twice the blocks, as in DRUNet; with one scale, as in EDSR (Lim et al. 2017)."""


class Conv(nn.Module):
    """A convolution without bias, with its weight stored as a matrix (out, k·k·in).

    Muon trains matrices; reshaped to a kernel, the matrix has the channels_last memory format.
    """

    def __init__(self, ins: int, outs: int, size: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.ins, self.size, self.stride = ins, size, stride
        self.weight = nn.Parameter(torch.empty(outs, size * size * ins))
        nn.init.kaiming_uniform_(self.weight, a=SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        k = self.size
        weight = self.weight.view(-1, k, k, self.ins).permute(0, 3, 1, 2)
        return F.conv2d(x, weight, stride=self.stride, padding=k // 2 if self.stride == 1 else 0)


class Block(nn.Module):
    """x + conv(leaky_relu(conv(x))); starts as the identity."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.first, self.second = Conv(width, inner), Conv(inner, width)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.leaky_relu(self.first(x), SLOPE))


class Up(nn.Module):
    """Upsampling by 2: a 1×1 convolution and a pixel shuffle."""

    def __init__(self, ins: int, outs: int) -> None:
        super().__init__()
        self.conv = Conv(ins, 4 * outs, size=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(x), 2)


class UNet(nn.Module):
    """(N, channels, h, w) planes and their noise maps → (N, 3, cell·h, cell·w) linear RGB.

    The layers see a picture's light after sRGB's curve, where cameras rounded, sharpened and
    compressed it and where its noise is about as strong in shadows as in bright parts.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths, cell = config.widths, config.cell
        self.head = Conv(config.fold**2 * config.layouts * config.channels, widths[0])
        inner = config.inner or widths
        self.encoder = nn.ModuleList(map(_blocks, widths, inner, config.encoder))
        self.decoder = nn.ModuleList(map(_blocks, widths, inner, config.decoder))
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(Conv(a, b, size=2, stride=2) for a, b in pairs)
        self.up = nn.ModuleList(Up(b, a) for a, b in pairs)
        self.tail = Conv(widths[0], 3 * (config.fold * cell) ** 2)
        # a linear path that demosaics, so that the U-Net only has to predict a correction
        self.demosaic = Conv(config.layouts * config.planes, 3 * cell**2)
        nn.init.zeros_(self.tail.weight)
        with torch.no_grad():
            self.demosaic.weight.copy_(first_demosaic(config.kind))

    def forward(self, x: Tensor) -> Tensor:
        if self.config.kind.sensor is None:
            light, noise = x[:, :-2], x[:, -2:]  # the noise is given after the curve
            return decode_srgb(self._restored(torch.cat([srgb_curve(light), noise], 1)))
        return self._restored(split_layouts(x) if self.config.layouts > 1 else x)

    def _restored(self, x: Tensor) -> Tensor:
        light = x[:, : self.config.layouts * self.config.planes]
        fold = self.config.fold
        features = self.tail(
            self._features(self.head(F.pixel_unshuffle(x, fold) if fold > 1 else x))
        )
        # the sum and the linear path in float32: bfloat16 has a precision of 8 bits, a photo 14
        with torch.autocast(x.device.type, enabled=False):
            correction = features.float()
            if fold > 1:
                correction = F.pixel_shuffle(correction, fold)
            return F.pixel_shuffle(self.demosaic(light) + correction, self.config.cell)

    def _features(self, x: Tensor) -> Tensor:
        skips = []
        for encode, down in zip(self.encoder, self.down, strict=False):
            x = encode(x)
            skips.append(x)
            x = down(x)
        x = self.encoder[-1](x)
        for skip, up, decode in reversed(list(zip(skips, self.up, self.decoder, strict=True))):
            x = decode(up(x) + skip)
        return x


def init_network(config: UNetConfig, seed: int) -> UNet:
    """An untrained network; a function of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(config)


def _blocks(width: int, inner: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(width, inner) for _ in range(count)))


def split_layouts(x: Tensor) -> Tensor:
    """(N, C, h, w) → (N, 2·C, h, w): each plane where the cell is as at (0, 0), 0 elsewhere, then
    where it is as at (0, 1).

    Neighbouring cells of X-Trans have red and blue in each other's place, and a convolution cannot
    tell at which it is: here each of the two has weights of its own.
    """
    count, channels, height, width = x.shape
    by_place = F.pixel_unshuffle(x, 2).view(count, channels, 4, height // 2, width // 2)
    even = by_place.new_tensor([1, 0, 0, 1]).view(1, 1, 4, 1, 1)
    first = F.pixel_shuffle((by_place * even).flatten(1, 2), 2)
    both = torch.stack([first, x - first], 1)  # count, layout, plane
    half = channels // 2
    return torch.cat([both[:, :, :half].flatten(1, 2), both[:, :, half:].flatten(1, 2)], 1)


def first_demosaic(kind: InputKind) -> Tensor:
    """Initial weights of the linear path: bilinear interpolation; a picture is not changed."""
    return bilinear_demosaic(kind.sensor) if kind.sensor else picture_copy()


def picture_copy() -> Tensor:
    """(3, 9·3): the weights of `Conv(3, 3)` that copies."""
    weight = torch.zeros(3, 9, 3)
    weight[:, 4] = torch.eye(3)
    return weight.reshape(3, -1)


def bilinear_demosaic(sensor: SensorKind) -> Tensor:
    """(3·cell², 9·layouts·planes): bilinear interpolation of a packed mosaic, as weights of `Conv`.

    Output channels are cell²·colour + cell·row + column, the order of `pixel_shuffle`; input planes
    those of the first layout of cells, then those of the second. The mean of the nearest pixels of
    a colour in the 3×3 cells around; a pixel's own colour is kept.
    """
    cell, layouts = sensor.cell, sensor.layouts
    weight = torch.zeros(3, cell, cell, 3, 3, layouts, sensor.planes)
    for layout in range(layouts):  # of the cell in the middle
        taps = [
            (sensor.colours[plane], cell * (cy - 1) + y, cell * (cx - 1) + x, (cy, cx, of, plane))
            for cy, cx in product(range(3), range(3))
            for of in [(layout + cy + cx) % layouts]
            for plane, (y, x) in enumerate(sensor.places_in(of))
        ]
        for colour, row, column in product(range(3), range(cell), range(cell)):
            near: dict[int, list[tuple[int, ...]]] = {}
            for c, y, x, tap in taps:
                if c == colour:
                    near.setdefault((y - row) ** 2 + (x - column) ** 2, []).append(tap)
            nearest = near[min(near)]
            for place in nearest:
                weight[(colour, row, column, *place)] = 1 / len(nearest)
    return weight.reshape(3 * cell**2, -1)
