"""What happens when a device or an engine fails in the middle: smaller tiles, then the CPU."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from itertools import chain
from math import lcm
from threading import Lock
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from undark.engine.backends import NO_MARGINS, Backend, Margins
from undark.engine.card import Card
from undark.engine.tiling import cut, inner_light, left_out, scaled, tiles
from undark.errors import EngineFailedError, UndarkError

SMALLEST_TILE = 96
"""Packed pixels of a tile's inner side, down to which it is halved where memory is short."""
_OUT_OF_MEMORY = (
    "out of memory",  # CUDA, cuDNN
    "can't allocate memory",  # torch, on the CPU
    "failed to allocate memory",  # ONNX Runtime's arenas
    "bad_alloc",
    "not enough memory",  # DirectML
    "8007000e",  # the same, as Windows' code
)


class EngineWarning(UserWarning):
    """A device failed, or has too little memory for tiles of the usual size."""


class SmallerTiles:
    """A backend that runs its input in smaller tiles where the device's memory is too small.

    Tiles are halved until they fit, and stay so for the next inputs.
    """

    def __init__(self, backend: Backend, card: Card, name: str) -> None:
        """`name` is the engine's, for the warning."""
        self._backend, self._card, self._name = backend, card, name
        self._side: int | None = None  # whole inputs
        self._shrinking = Lock()

    def run(
        self, inputs: NDArray[np.float32], margins: Margins = NO_MARGINS
    ) -> NDArray[np.float32]:
        """See `Backend`. Warns (`EngineWarning`) when tiles become smaller."""
        while True:
            tried = self._side
            try:
                return self._attempt(inputs, margins, tried)
            except Exception as error:  # runtimes' exceptions share no base class
                side = (tried or max(inputs.shape[-2:])) // 2
                if not is_out_of_memory(error) or side < SMALLEST_TILE:
                    raise
            with self._shrinking:
                if self._side != tried:  # another thread's tile has failed as well
                    continue
                self._side = side
            warnings.warn(
                f"{self._name}: out of memory; tiles have {side} packed pixels from now on",
                EngineWarning,
                stacklevel=2,
            )

    def _attempt(
        self, inputs: NDArray[np.float32], margins: Margins, side: int | None
    ) -> NDArray[np.float32]:
        if side is None:
            return self._backend.run(inputs, margins)
        card, (height, width) = self._card, inputs.shape[-2:]
        plan = tiles(height, width, lcm(card.multiple, card.cells), card.halo, side)
        output = np.empty((1, 3, card.cell * height, card.cell * width), np.float32)

        for tile in chain(*plan):
            part = np.ascontiguousarray(inputs[:, :, *tile.outer])
            light = inner_light(card, self._backend.run, part, tile.margins)
            output[:, :, *scaled(tile.inner, card.cell)] = light
        return cut(output, left_out(card, margins), card.cell)


def is_out_of_memory(error: Exception) -> bool:
    """Whether a runtime's exception says that memory is short."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(text in said for text in _OUT_OF_MEMORY)


class FallsBack(Protocol):
    """A model that can go on with ONNX Runtime on the CPU."""

    def fall_back(self, failure: UndarkError) -> None: ...


M = TypeVar("M", bound=FallsBack)
P = ParamSpec("P")
R = TypeVar("R")


def redone_on_cpu(work: Callable[Concatenate[M, P], R]) -> Callable[Concatenate[M, P], R]:
    """Decorate what runs a model over a photo: if its engine fails, once more on the CPU.

    From the start, so that no photo is made by two engines.
    """

    @wraps(work)
    def attempt(model: M, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return work(model, *args, **kwargs)
        except EngineFailedError as failure:
            model.fall_back(failure)
        return work(model, *args, **kwargs)

    return attempt
