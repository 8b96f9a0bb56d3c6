"""ONNX Runtime. Nothing else imports it, so that its telemetry is off before it is loaded."""

from __future__ import annotations

import io
import os
import sys
import warnings
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.cpus import threads_of_tile
from undark.engine.backends import NO_MARGINS, Margins
from undark.engine.card import MARGINS
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

ort.set_default_logger_severity(4)  # errors are reported once, by undark

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
"""Device → ONNX Runtime's name of it."""
_OPTIONS = {"cuda": {"use_tf32": "0"}}
"""TF32 has a precision of 11 bits, a photo 14."""


class OnnxRuntime:
    """A session of ONNX Runtime, in float32."""

    def __init__(self, path: Path, device: str = "cpu", threads: int | None = None) -> None:
        """`threads` are those of one `run`, by default `threads_of_tile`: more run beside it.

        Raises `ModelError`, and `DeviceError` where the device does not start here.
        """
        if not is_built_in(device):
            raise DeviceError(f"{device}: this installation of ONNX Runtime cannot use it")
        if device == "cuda":
            _load_cuda()
        self._session = _open(path, device, threads or threads_of_tile())
        # DirectML's sessions do one run at a time, and more would only take a GPU's memory
        self._turn: AbstractContextManager[Any] = nullcontext() if device == "cpu" else Lock()
        self._session.disable_fallback()  # which prints; `engine.recovery` does it
        if self._session.get_providers()[0] != PROVIDERS[device]:  # it goes to the CPU in silence
            raise DeviceError(
                f"{device}: does not start here; check its driver and libraries, "
                "or use --device cpu"
            )

    def run(
        self, inputs: NDArray[np.float32], margins: Margins = NO_MARGINS
    ) -> NDArray[np.float32]:
        """See `Backend`."""
        given = {"input": inputs}
        if any(margins):
            given[MARGINS] = np.array(margins, np.int64)
        with self._turn:
            output: NDArray[np.float32] = self._session.run(None, given)[0]
        return output


def is_built_in(device: str) -> bool:
    """Whether the installed package of ONNX Runtime was built for a device."""
    return PROVIDERS[device] in ort.get_available_providers()


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


def _load_cuda() -> None:
    """Load CUDA and cuDNN from the packages of `onnxruntime-gpu[cuda,cudnn]`, if they are there."""
    with redirect_stdout(io.StringIO()):  # it prints what it does not find
        ort.preload_dlls()


def _open(path: Path, device: str, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    if device == "cpu":
        _share_memory()
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.enable_mem_pattern = False  # it doubles memory for a few per cent of the time
    options.log_severity_level = 4  # as above
    options.intra_op_num_threads = threads
    provider = (PROVIDERS[device], _OPTIONS.get(device, {}))
    try:
        return ort.InferenceSession(str(path), options, providers=[provider], enable_fallback=0)
    except Exception as error:  # ONNX Runtime's own exceptions share no base class
        raise ModelError(f"{path}: not a model that can be run; train or choose another") from error
