"""The card: a model's description of itself, in its file's metadata."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from undark.engine.metadata import read_metadata
from undark.errors import ModelError
from undark.sensor.kind import SENSOR_KINDS, SensorKind

CARD_KEY = "undark"
"""Key of the card, as JSON, in an ONNX file's metadata."""


TASK = "mosaic to linear RGB"
"""White-balanced camera RGB, to be rendered."""
SRGB_TASK = "mosaic to linear sRGB"
"""Linear sRGB with the colours of the training targets."""
PICTURE_TASK = "picture to picture"
"""Linear sRGB of a finished picture, dark and bright."""
TASKS = (TASK, SRGB_TASK, PICTURE_TASK)
PICTURE_CHANNELS = 6
"""Of a picture's input: what `sensor.conditioning.condition_picture` gives."""
MARGINS = "margins"
"""Name of a network's second input, int64 (4,); see `Card.rim`."""
MOST_MULTIPLE, MOST_HALO = 256, 2048
"""Packed pixels. A photo is padded to the multiple, a tile by the halo: memory limits both."""
_TYPES = {
    "name": str,
    "task": str,
    "cfa": str,
    "channels": int,
    "multiple": int,
    "halo": int,
    "conditioning": str,
    "licence": str,
    "training": dict,
    "scores": dict,
    "fold": int,
    "rim": int,
}


@dataclass(frozen=True)
class Card:
    """A model's description of itself."""

    name: str
    task: str
    """One of `TASKS`."""
    cfa: str
    """ "Bayer", "X-Trans", or "none" for pictures."""
    channels: int
    """Channels of the input: cell² planes and as many noise maps; `PICTURE_CHANNELS`."""
    multiple: int
    """Height and width of the input in packed pixels are multiples of this."""
    halo: int
    """Margin of a tile in packed pixels: the distance up to which inputs change an output."""
    conditioning: str
    licence: str
    training: dict[str, Any]
    """Photos with their licences, steps, packed pixels, minutes, commit."""
    scores: dict[str, float]
    """Validation PSNR in dB."""
    fold: int = 1
    """Side of the squares of input pixels that the network's first scale takes as one pixel."""
    rim: int = 0
    """Packed pixels of a tile's margins that the network's output still has, or all if they are
    fewer. The network is told the margins (top, left, bottom, right) by its input `MARGINS`; 0: it
    has no such input and gives all of its input's pixels."""

    @property
    def sensor(self) -> SensorKind | None:
        """None: of pictures."""
        return next((kind for kind in SENSOR_KINDS if kind.name == self.cfa), None)

    @property
    def cell(self) -> int:
        """Output pixels per input pixel along a side."""
        return self.sensor.cell if self.sensor else 1

    @property
    def cells(self) -> int:
        """Tiles begin at multiples of this many packed pixels, to keep the pattern's period."""
        return self.sensor.cells if self.sensor else 1

    def to_json(self) -> str:
        return json.dumps({f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def from_json(cls, text: str) -> Card:
        """Raises `ValueError`, `KeyError` or `TypeError` if it is not a card."""
        content = json.loads(text)
        content = {"fold": 1, "rim": 0} | content  # which older models lack
        card = cls(**{f.name: content[f.name] for f in fields(cls)})
        for name, kind in _TYPES.items():
            if type(getattr(card, name)) is not kind:
                raise TypeError(f"{name} is of another type")
        _check(card)
        return card


def _check(card: Card) -> None:
    """Raises `ValueError` for values that are inconsistent or out of range."""
    channels = {kind.name: 2 * kind.planes for kind in SENSOR_KINDS} | {"none": PICTURE_CHANNELS}
    if card.task not in TASKS or channels.get(card.cfa) != card.channels:
        raise ValueError("of an unknown task")
    if not 1 <= card.multiple <= MOST_MULTIPLE or not 0 <= card.halo <= MOST_HALO:
        raise ValueError("multiple or halo out of range")
    if card.halo % card.multiple or card.fold < 1 or card.multiple % card.fold:
        raise ValueError("the halo is a multiple of the multiple, and that of the fold")
    if not 0 <= card.rim <= MOST_HALO:
        raise ValueError("rim out of range")


def read_card(path: Path) -> Card:
    """The card of an undark model, without loading its weights. Raises `ModelError`."""
    try:
        metadata = read_metadata(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not a model that can be run; train or choose another") from error
    try:
        return Card.from_json(metadata[CARD_KEY])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{path}: not an undark model (it has no card that can be used); "
            "use one that undark trained"
        ) from error
