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
from itertools import pairwise
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from undark.learn.kind import BAYER, InputKind, kind_of_cell

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
        """Planes of the input: light and, of a mosaic, as many of noise."""
        return self.kind.channels

    @property
    def multiple(self) -> int:
        """Height and width of the input must be a multiple of this.

        By the network's scales, and so that every tile starts at the pattern's canonical phase: a
        network of one scale on X-Trans takes multiples of 2 packed pixels, 6 pixels.
        """
        return math.lcm(2 ** (len(self.widths) - 1), self.kind.cells)

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

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = Conv(width, width), Conv(width, width)
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
    """(N, channels, h, w) planes and their noise maps → (N, 3, cell·h, cell·w) linear RGB."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths, cell = config.widths, config.cell
        self.head = Conv(config.channels, widths[0])
        self.encoder = nn.ModuleList(map(_blocks, widths, config.encoder))
        self.decoder = nn.ModuleList(map(_blocks, widths, config.decoder))
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(Conv(a, b, size=2, stride=2) for a, b in pairs)
        self.up = nn.ModuleList(Up(b, a) for a, b in pairs)
        self.tail = Conv(widths[0], 3 * cell**2)
        # a linear path that demosaics, so that the U-Net only has to predict a correction
        self.demosaic = Conv(config.planes, 3 * cell**2)
        nn.init.zeros_(self.tail.weight)
        with torch.no_grad():
            self.demosaic.weight.copy_(first_demosaic(config.kind))

    def forward(self, x: Tensor) -> Tensor:
        light = x[:, : self.config.planes]
        features = self.tail(self._features(self.head(x)))
        # the sum and the linear path in float32: bfloat16 has a precision of 8 bits, a photo 14
        with torch.autocast(x.device.type, enabled=False):
            return F.pixel_shuffle(self.demosaic(light) + features.float(), self.config.cell)

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


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(width) for _ in range(count)))


def first_demosaic(kind: InputKind) -> Tensor:
    """Initial weights of the linear path: bilinear for Bayer, otherwise the means of cells."""
    return bilinear_demosaic() if kind == BAYER else mean_demosaic(kind)


def mean_demosaic(kind: InputKind) -> Tensor:
    """(3·cell², 9·planes): each colour of a cell is the mean of its pixels of that colour.

    For X-Trans, which has two kinds of cells, so that no fixed interpolation fits, and for RGB,
    which is not changed.
    """
    colours = torch.tensor(kind.colours)
    weight = torch.zeros(3, kind.cell**2, 9, len(colours))  # colour, place | tap, plane
    for colour in range(3):
        of_colour = colours == colour
        weight[colour, :, 4, of_colour] = 1 / float(of_colour.sum())
    return weight.reshape(3 * kind.cell**2, -1)


def bilinear_demosaic() -> Tensor:
    """(12, 3·3·4): bilinear interpolation of packed RGGB as weights of `Conv(4, 12)`.

    Output channels are 4·colour + 2·row + column, the order of `pixel_shuffle`. The mean of the
    four (or two) nearest pixels of a colour; a pixel's own colour is kept.
    """
    weight = torch.zeros(3, 2, 2, 3, 3, 4)  # colour, row, column | cell row, cell column, plane
    places = [(0, 0, 0), (1, 0, 1), (1, 1, 0), (2, 1, 1)]  # colour, row, column of each plane
    for colour in range(3):
        for row in range(2):
            for column in range(2):
                near: dict[int, list[tuple[int, int, int]]] = {}
                for plane, (c, y, x) in enumerate(places):
                    for cy in range(3) if c == colour else ():
                        for cx in range(3):
                            dy, dx = 2 * (cy - 1) + y - row, 2 * (cx - 1) + x - column
                            near.setdefault(dy * dy + dx * dx, []).append((cy, cx, plane))
                nearest = near[min(near)]
                for cy, cx, plane in nearest:
                    weight[colour, row, column, cy, cx, plane] = 1 / len(nearest)
    return weight.reshape(12, 36)
