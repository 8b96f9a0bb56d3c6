"""A model's own ONNX file, which `docs/export.md` says how to feed."""

from __future__ import annotations

import shutil
from pathlib import Path

from undark.engine.card import Card, read_card
from undark.files.output import atomic_output

SUFFIX = ".onnx"


def write_onnx(model: Path, out: Path, overwrite: bool = False) -> Path:
    """Copy a model's file. Raises `ModelError` where it is none, `ExistsError`, `OutputError`."""
    read_card(model)
    with atomic_output(out, overwrite) as temporary:
        shutil.copyfile(model, temporary)
    return out


def default_name(card: Card) -> str:
    """The name of the file."""
    return f"{card.name}{SUFFIX}"
