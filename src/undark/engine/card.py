"""The card: what a model file says of itself."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

CARD_KEY = "undark"
"""Where in an ONNX file's metadata the card is, as JSON."""


TASK = "mosaic to linear RGB"
"""White-balanced camera RGB, to be rendered."""
SRGB_TASK = "mosaic to linear sRGB"
"""Colours as they were in the pictures that it learnt from."""
PICTURE_TASK = "picture to picture"
"""Linear sRGB of a finished picture, dark and bright."""
TASKS = (TASK, SRGB_TASK, PICTURE_TASK)


@dataclass(frozen=True)
class Card:
    """What a model says of itself."""

    name: str
    task: str
    """One of `TASKS`."""
    cfa: str
    """ "Bayer", "X-Trans", or "none" for pictures."""
    channels: int
    """Of the input: cell² planes and as many of noise; or 3 of a picture."""
    multiple: int
    """Height and width of the input in packed pixels are multiples of this."""
    halo: int
    """Packed pixels around a tile that its output depends on."""
    conditioning: str
    licence: str
    training: dict[str, Any]
    """Photos with their licences, steps, packed pixels seen, minutes, commit."""
    scores: dict[str, float]
    """PSNR in dB on the slice that training was watched by."""

    def to_json(self) -> str:
        return json.dumps({f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def from_json(cls, text: str) -> Card:
        """Raises `ValueError`, `KeyError` or `TypeError` if it is not a card."""
        content = json.loads(text)
        card = cls(**{f.name: content[f.name] for f in fields(cls)})
        if card.task not in TASKS or card.channels not in (3, 8, 18):
            raise ValueError("of an unknown task")
        if not (isinstance(card.multiple, int) and isinstance(card.halo, int)):
            raise TypeError("multiple and halo are whole numbers")
        if card.multiple < 1 or card.halo < 0 or card.halo % card.multiple:
            raise ValueError("the halo is a multiple of the multiple")
        return card
