"""Which model file to use: for a task, a sensor and a quality, or what the user gave."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from undark.engine.card import PICTURE_TASK, TASK, read_card
from undark.errors import ModelError, UnsupportedError

DEFAULT_MODEL = "bayer"
BEST, FAST = "best", "fast"
"""Qualities. A model of the second has a name that ends in "-fast"."""
QUALITIES = (BEST, FAST)
NO_CFA = "none"
"""The sensor of a finished picture, in a card."""


def shipped_models() -> dict[str, Path]:
    """Name → file of each shipped model."""
    folder = Path(str(files("undark.engine") / "weights"))
    return {p.stem: p for p in sorted(folder.glob("*.onnx"))}


def find_model(name: str) -> Path:
    """Raises `ModelError` if there is no such model."""
    shipped = shipped_models()
    if name in shipped:
        return shipped[name]
    path = Path(name)
    if os.path.isfile(path):
        return path
    raise ModelError(
        f"{name}: no such model; give the path of an .onnx file that undark trained, "
        f"or one of: {', '.join(shipped)}"
    )


def choose(cfa: str, task: str = TASK, quality: str = BEST) -> str:
    """The name of the shipped model for a sensor ("Bayer", "X-Trans"), a task and a quality.

    Of finished pictures (`NO_CFA`) there is one quality. Raises `ValueError` for another quality,
    `UnsupportedError` where no model is for the sensor.
    """
    if quality not in QUALITIES:
        raise ValueError(f"quality is {' or '.join(QUALITIES)}, not {quality}")
    if task == PICTURE_TASK:
        quality = BEST
    for name, path in shipped_models().items():
        card = read_card(path)
        its_quality = FAST if name.endswith(f"-{FAST}") else BEST
        if (card.cfa, card.task, its_quality) == (cfa, task, quality):
            return name
    which = f"{quality} model for {cfa}" if quality == FAST else f"model for {cfa}"
    raise UnsupportedError(
        f"this photo's sensor is {cfa}, and no {which} ships; train one with "
        "`undark train` and give it with --model"
    )
