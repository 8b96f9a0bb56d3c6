"""Kinds of input of a network: Bayer, X-Trans, or finished pictures.

One object each, so that samples, losses, film and validation are the same code for all three.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from undark.engine.card import PICTURE_CHANNELS
from undark.sensor.cfa import CFA, mosaic
from undark.sensor.kind import BAYER_KIND, X_TRANS_KIND, SensorKind


@dataclass(frozen=True)
class InputKind:
    """A kind of input. Mosaics are at the canonical phase of their sensor."""

    sensor: SensorKind | None
    """None: pictures, whose three colours are known at every pixel."""

    @property
    def name(self) -> str:
        """As in the card of a model: "Bayer", "X-Trans" or "none"."""
        return self.sensor.name if self.sensor else "none"

    @property
    def cell(self) -> int:
        """Pixels of a packed pixel along a side."""
        return self.sensor.cell if self.sensor else 1

    @property
    def period(self) -> int:
        """Pixels after which the pattern repeats."""
        return self.sensor.period if self.sensor else 1

    @property
    def cells(self) -> int:
        """Crops are multiples of this many packed pixels, to keep the pattern's period."""
        return self.sensor.cells if self.sensor else 1

    @property
    def layouts(self) -> int:
        """Number of layouts of the pattern's cells: 2 for X-Trans, otherwise 1."""
        return self.sensor.layouts if self.sensor else 1

    @property
    def colours(self) -> tuple[int, ...]:
        """The colour (0 red, 1 green, 2 blue) of each plane of light."""
        return self.sensor.colours if self.sensor else (0, 1, 2)

    @property
    def fold(self) -> int:
        """`UNetConfig.fold` of a new network: 2 for pictures, as large as a Bayer cell."""
        return 1 if self.sensor else 2

    @property
    def planes(self) -> int:
        """Planes of light in a network's input."""
        return len(self.colours)

    @property
    def channels(self) -> int:
        """Planes of a network's input: light and, of a mosaic, as many of noise; of a picture
        what `undark.sensor.conditioning.condition_picture` gives."""
        return 2 * self.planes if self.sensor else PICTURE_CHANNELS

    @cached_property
    def cfa(self) -> CFA:
        """The colour filter array. Raises `ValueError` for pictures, which have none."""
        if self.sensor is None:
            raise ValueError("pictures have no colour filter array")
        return CFA(self.sensor.rows)

    def measured(self, light: Tensor) -> Tensor:
        """The measured part of light (N, 3, H, W): its mosaic (N, H, W); for pictures all of it."""
        values: Tensor = mosaic(light, self.cfa) if self.sensor else light
        return values

    def colour_means(self, planes: Tensor) -> Tensor:
        """(N, planes, h, w) → (N, 3, h, w): each colour the mean of its planes."""
        of = [[i for i, c in enumerate(self.colours) if c == colour] for colour in range(3)]
        # plane by plane: a list as an index would make the CPU wait for a GPU
        means = [torch.stack([planes[:, i] for i in chosen]).mean(0) for chosen in of]
        return torch.stack(means, 1)


BAYER = InputKind(BAYER_KIND)
XTRANS = InputKind(X_TRANS_KIND)
PICTURE = InputKind(None)
KINDS = (BAYER, XTRANS, PICTURE)


def kind_of_cell(cell: int) -> InputKind:
    """The kind whose cell has this side, as `UNetConfig` keeps it. Raises `ValueError`."""
    for kind in KINDS:
        if kind.cell == cell:
            return kind
    raise ValueError(f"no kind of sensor has cells of {cell} pixels")
