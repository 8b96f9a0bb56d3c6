"""A trained model, ready to run."""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from undark.engine.backends import NO_MARGINS, Margins
from undark.engine.card import read_card
from undark.engine.catalogue import DEFAULT_MODEL, find_model
from undark.engine.devices import AUTO, DEFAULT, DEVICES, Engine, meant
from undark.engine.recovery import EngineWarning, SmallerTiles
from undark.engine.tiling import left_out
from undark.engine.trial import fastest
from undark.errors import DeviceError, EngineFailedError, ModelError, UndarkError

__all__ = ["DEVICES", "Model", "cached_model", "load_model", "read_card"]

KEPT = 4
"""Number of models that `cached_model` keeps loaded."""


class Model:
    """A loaded model, which can be used for many photos."""

    def __init__(self, path: Path, device: str = AUTO) -> None:
        """`device` is one of `DEVICES`. Raises `ModelError` or `DeviceError`."""
        self.path = path
        self.card = read_card(path)
        self.device = device
        self.fell_back = False
        """Whether an engine failed, so that the CPU is used instead."""
        self._falling_back = Lock()
        engine = fastest(path, self.card, meant(device))
        try:
            self.use(engine)
        except (DeviceError, ModelError) as error:
            if engine == DEFAULT or meant(device) != AUTO:
                raise
            self.fall_back(error)  # it has worked here before

    def use(self, engine: Engine) -> None:
        """Load the model into an engine. Raises `ModelError`, `DeviceError`."""
        # at once: other threads' tiles may be running
        self._running = engine, SmallerTiles(engine.open(self.path), self.card, str(engine))

    @property
    def engine(self) -> Engine:
        """In which the model is loaded."""
        return self._running[0]

    def fall_back(self, failure: UndarkError) -> None:
        """Use ONNX Runtime on the CPU from now on; warns (`EngineWarning`), once if several threads
        have seen the engine fail."""
        with self._falling_back:
            if self.fell_back:
                return
            warnings.warn(
                f"{failure}; going on with the CPU, from the beginning of this photo",
                EngineWarning,
                stacklevel=2,
            )
            self.use(DEFAULT)
            self.fell_back = True

    def __call__(
        self, inputs: NDArray[np.float32], margins: Margins = NO_MARGINS
    ) -> NDArray[np.float32]:
        """(1, channels, h, w) → (1, 3, cell·h, cell·w); h and w multiples of `card.multiple`.

        Of `margins`, multiples of it too, a model with `Card.rim` leaves out all but that.
        Raises `ModelError` where the model does not run, or gives another shape or no numbers, and
        `EngineFailedError` if that happens with another engine than ONNX Runtime on the CPU.
        """
        engine, backend = self._running
        try:
            output = backend.run(inputs, margins)
        except Exception as error:  # the exceptions of runtimes share no base class
            why = str(error).splitlines()[0] if str(error) else "no reason given"
            raise self._error(engine, f"cannot be run here ({why})") from error
        if problem := self._problem(inputs, margins, output):
            raise self._error(engine, problem)
        return output

    def _error(self, engine: Engine, what: str) -> ModelError:
        if engine == DEFAULT:
            return ModelError(f"{self.path}: {what}")
        return EngineFailedError(f"{engine}: {self.path.name} {what}")

    def _problem(
        self, inputs: NDArray[np.float32], margins: Margins, output: NDArray[np.float32]
    ) -> str | None:
        top, left, bottom, right = left_out(self.card, margins)
        down, across = inputs.shape[-2:]
        height, width = (n * self.card.cell for n in (down - top - bottom, across - left - right))
        if output.shape != (1, 3, height, width):
            return (
                f"gives {output.shape} where (1, 3, {height}, {width}) is due; "
                "its card does not fit its network: train or choose another"
            )
        if not np.isfinite(output).all():
            return "gives values that are no numbers; train or choose another"
        return None


def load_model(name: str = DEFAULT_MODEL, device: str = AUTO) -> Model:
    """A shipped model, by name, or any undark model, by the path of its .onnx file.

    `device` "auto" is the one that the environment's `UNDARK_DEVICE` names, or else the fastest.
    """
    return Model(find_model(name), device)


def cached_model(name: str) -> Model:
    """`load_model`, cached until the file changes."""
    path = find_model(name).resolve()
    state = path.stat()
    return _cached(path, (state.st_mtime_ns, state.st_size, state.st_ino))


@lru_cache(maxsize=KEPT)
def _cached(path: Path, state: tuple[int, ...]) -> Model:
    return Model(path)
