"""A trained model: an ONNX file that describes itself, and the session that runs it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from undark.errors import DeviceError, ModelError

CARD_KEY = "undark"
"""Where in an ONNX file's metadata the card is, as JSON."""

DEFAULT_MODEL = "bayer"
TASK = "mosaic to linear RGB"
"""White-balanced camera RGB, to be rendered."""
SRGB_TASK = "mosaic to linear sRGB"
"""Colours as they were in the pictures that it learnt from."""
PICTURE_TASK = "picture to picture"
"""Linear sRGB of a finished picture, dark and bright."""
TASKS = (TASK, SRGB_TASK, PICTURE_TASK)

_PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "rocm": ("ROCMExecutionProvider", "onnxruntime-rocm"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime on macOS"),
}
DEVICES = ("auto", *_PROVIDERS)


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


class Model:
    """A model ready to run. Make it once, use it for many photos."""

    def __init__(self, path: Path, device: str = "auto") -> None:
        """Raises `ModelError` or `DeviceError`."""
        providers = _providers(device)
        self.path = path
        self._session = _open(path, providers)
        self.card = _read_card(self._session, path)
        self.device = device

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """(1, channels, h, w) → (1, 3, cell·h, cell·w); h and w multiples of `card.multiple`."""
        try:
            output: NDArray[np.float32] = self._session.run(None, {"input": inputs})[0]
        except Exception as error:  # ONNX Runtime's own exceptions share no base class
            why = str(error).splitlines()[0] if str(error) else "no reason given"
            raise ModelError(f"{self.path}: cannot be run here ({why})") from error
        return output


def load_model(name: str = DEFAULT_MODEL, device: str = "auto") -> Model:
    """A model that ships, by name, or any undark model, by the path of its .onnx file."""
    return Model(find_model(name), device)


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


def read_card(path: Path) -> Card:
    """The card of an undark model. Raises `ModelError`."""
    return _read_card(_open(path, ["CPUExecutionProvider"]), path)


def _providers(device: str) -> list[str]:
    available = ort.get_available_providers()
    if device == "auto":
        known = [provider for provider, _ in _PROVIDERS.values() if provider in available]
        return sorted(known, key="CPUExecutionProvider".__eq__)  # the CPU last
    if device not in _PROVIDERS:
        raise DeviceError(f"{device}: no such device; choose one of: {', '.join(DEVICES)}")
    provider, package = _PROVIDERS[device]
    if provider not in available:
        raise DeviceError(
            f"{device}: this installation of ONNX Runtime cannot use it; "
            f"install {package} in place of onnxruntime, or use --device cpu"
        )
    return [provider]


def _open(path: Path, providers: list[str]) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is said once, by us
    options.intra_op_num_threads = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    )
    try:
        return ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime's own exceptions share no base class
        raise ModelError(f"{path}: not a model that can be run; train or choose another") from error


def _read_card(session: ort.InferenceSession, path: Path) -> Card:
    metadata = session.get_modelmeta().custom_metadata_map
    try:
        return Card.from_json(metadata[CARD_KEY])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path}: not an undark model (it has no card); use one that undark trained"
        ) from error
