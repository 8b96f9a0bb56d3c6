"""ONNX Runtime. Nothing else imports it, so that its telemetry is off before it is loaded."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from undark.cpus import usable_cpus
from undark.errors import DeviceError, ModelError

TELEMETRY = "ORT_DISABLE_TELEMETRY"
"""Version 1.32 reads it while it is imported; `disable_telemetry_events()` comes too late: the
device identifier below the user's home is written and the host looked up by then."""

if "onnxruntime" in sys.modules and os.environ.get(TELEMETRY) != "1":
    warnings.warn(
        "onnxruntime was imported before undark, with its telemetry on; import undark's model "
        f"first, or set {TELEMETRY}=1",
        stacklevel=2,
    )
os.environ[TELEMETRY] = "1"

import onnxruntime as ort  # noqa: E402

_PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "rocm": ("ROCMExecutionProvider", "onnxruntime-rocm"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime on macOS"),
}
DEVICES = ("auto", *_PROVIDERS)


class OnnxRuntime:
    """A session of ONNX Runtime."""

    def __init__(self, path: Path, device: str = "auto") -> None:
        """Raises `ModelError` or `DeviceError`."""
        self._session = _open(path, _providers(device))

    def run(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Backend`."""
        output: NDArray[np.float32] = self._session.run(None, {"input": inputs})[0]
        return output


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
    options.log_severity_level = 4  # errors are reported once, by undark
    options.intra_op_num_threads = usable_cpus()
    try:
        return ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime's own exceptions share no base class
        raise ModelError(f"{path}: not a model that can be run; train or choose another") from error
