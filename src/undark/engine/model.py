"""A trained model: an ONNX file that describes itself, and the session that runs it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from undark.engine.card import CARD_KEY, Card
from undark.engine.catalogue import DEFAULT_MODEL, find_model
from undark.errors import DeviceError, ModelError

_PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "rocm": ("ROCMExecutionProvider", "onnxruntime-rocm"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime on macOS"),
}
DEVICES = ("auto", *_PROVIDERS)


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
