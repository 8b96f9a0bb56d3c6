"""Which model files there are: those that ship, and what the user gave."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from undark.errors import ModelError

DEFAULT_MODEL = "bayer"


def shipped_models() -> dict[str, Path]:
    """Name → file of each model that ships."""
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
