"""A trained model, ready to run."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from undark.engine.backends import Backend
from undark.engine.backends.onnxruntime import DEVICES, OnnxRuntime
from undark.engine.card import read_card
from undark.engine.catalogue import DEFAULT_MODEL, find_model
from undark.errors import ModelError

__all__ = ["DEVICES", "Model", "cached_model", "load_model", "read_card"]

KEPT = 4
"""Number of models that `cached_model` keeps loaded."""


class Model:
    """A loaded model, which can be used for many photos."""

    def __init__(self, path: Path, device: str = "auto") -> None:
        """Raises `ModelError` or `DeviceError`."""
        self.path = path
        self.card = read_card(path)
        self._backend: Backend = OnnxRuntime(path, device)
        self.device = device

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """(1, channels, h, w) → (1, 3, cell·h, cell·w); h and w multiples of `card.multiple`.

        Raises `ModelError` where the model does not run, or gives another shape or no numbers.
        """
        try:
            output = self._backend.run(inputs)
        except Exception as error:  # the exceptions of runtimes share no base class
            why = str(error).splitlines()[0] if str(error) else "no reason given"
            raise ModelError(f"{self.path}: cannot be run here ({why})") from error
        self._check(inputs, output)
        return output

    def _check(self, inputs: NDArray[np.float32], output: NDArray[np.float32]) -> None:
        height, width = (n * self.card.cell for n in inputs.shape[-2:])
        if output.shape != (1, 3, height, width):
            raise ModelError(
                f"{self.path}: gives {output.shape} where (1, 3, {height}, {width}) is due; "
                "its card does not fit its network: train or choose another"
            )
        if not np.isfinite(output).all():
            raise ModelError(
                f"{self.path}: gives values that are no numbers; train or choose another"
            )


def load_model(name: str = DEFAULT_MODEL, device: str = "auto") -> Model:
    """A shipped model, by name, or any undark model, by the path of its .onnx file."""
    return Model(find_model(name), device)


def cached_model(name: str) -> Model:
    """`load_model`, cached until the file changes."""
    path = find_model(name).resolve()
    state = path.stat()
    return _cached(path, (state.st_mtime_ns, state.st_size, state.st_ino))


@lru_cache(maxsize=KEPT)
def _cached(path: Path, state: tuple[int, ...]) -> Model:
    return Model(path)
