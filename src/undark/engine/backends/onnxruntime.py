"""ONNX Runtime. Nothing else imports it, so that its telemetry is off before it is loaded."""

from __future__ import annotations

import os
import sys
import warnings
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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


@cache
def _share_memory() -> None:
    """Sessions share one allocator, which takes what is asked for; by default each doubles its
    own. It saves 8 % of the memory of a run."""
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    sizes = {"max_mem": 0, "initial_chunk_size_bytes": -1, "max_dead_bytes_per_chunk": -1}
    as_requested = {"arena_extend_strategy": 1}
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg(sizes | as_requested))


def _open(path: Path, providers: list[str]) -> ort.InferenceSession:
    options = ort.SessionOptions()
    _share_memory()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.enable_mem_pattern = False  # it doubles memory for a few per cent of the time
    options.log_severity_level = 4  # errors are reported once, by undark
    options.intra_op_num_threads = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    )
    try:
        return ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime's own exceptions share no base class
        raise ModelError(f"{path}: not a model that can be run; train or choose another") from error
