"""The devices and engines that can run a model: which are here, and the line that installs each.

An engine is opened only when it is used: importing each costs a part of a second.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from undark.engine.backends import BF16, F32, Backend
from undark.errors import DeviceError

AUTO, CPU, OPENVINO = "auto", "cpu", "openvino"
_OTHER = "pip uninstall -y onnxruntime && pip install"
INSTALL = {
    CPU: "pip install onnxruntime",
    OPENVINO: "pip install 'undark[openvino]'",
    "cuda": f"{_OTHER} 'onnxruntime-gpu[cuda,cudnn]'",
    "directml": f"{_OTHER} onnxruntime-directml  (on Windows)",
    "coreml": "pip install onnxruntime  (on macOS)",
}
"""Device → the line that installs it. ONNX Runtime's packages replace each other."""
DEVICES = (AUTO, *INSTALL)


ENVIRONMENT = "UNDARK_DEVICE"
"""Names the device that "auto" stands for."""


@dataclass(frozen=True)
class Engine:
    """What runs a model: a device, and the precision that it computes in."""

    device: str
    precision: str = F32

    @property
    def runtime(self) -> str:
        """The library's name."""
        return "OpenVINO" if self.device == OPENVINO else "ONNX Runtime"

    def open(self, path: Path) -> Backend:
        """Load a model. Raises `ModelError`, `DeviceError`."""
        try:
            if self.device == OPENVINO:
                from undark.engine.backends.openvino import OpenVino

                return OpenVino(path, self.precision)
            from undark.engine.backends.onnxruntime import OnnxRuntime

            return OnnxRuntime(path, self.device)
        except (ImportError, OSError) as error:
            raise DeviceError(
                f"{self.device}: {self.runtime} cannot be loaded ({error}); "
                f"install it again with: {INSTALL[self.device]}"
            ) from error

    def __str__(self) -> str:
        return f"{self.runtime} on {self.device}, {self.precision}"


DEFAULT = Engine(CPU)


def meant(device: str) -> str:
    """The device, for "auto" that of the environment, if it names one."""
    return os.environ.get(ENVIRONMENT) or AUTO if device == AUTO else device


def engines_of(device: str) -> list[Engine]:
    """The engines that a device stands for, those that are installed; "auto": all of them.

    The first is the default. Raises `DeviceError` where a device is unknown or not installed.
    """
    if device == AUTO:
        return [engine for name in INSTALL for engine in _installed(name)]
    if device not in INSTALL:
        raise DeviceError(f"{device}: no such device; choose one of: {', '.join(DEVICES)}")
    found = _installed(device)
    if not found:
        raise DeviceError(
            f"{device}: not installed here; install it with: {INSTALL[device]}; or use --device cpu"
        )
    return found


def _installed(device: str) -> list[Engine]:
    if device != OPENVINO:
        from undark.engine.backends.onnxruntime import is_built_in

        return [Engine(device)] if is_built_in(device) else []
    if not find_spec(OPENVINO):
        return []
    try:
        from undark.engine.backends.openvino import computes_bf16
    except (ImportError, OSError):  # damaged, or for another system
        return []
    return [Engine(OPENVINO, p) for p in ((BF16, F32) if computes_bf16() else (F32,))]
