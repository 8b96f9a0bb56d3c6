"""The coarse network, which corrects the low frequencies of restored light; one ships.

`restoring.coarse` says what it is given; `scripts/coarse.py` trains it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
CoarseNetwork = Callable[[Floats], Floats]
"""(9, blocks down, blocks across) → (3, blocks down, blocks across), -1 to 1."""

FILE = Path(str(files("undark.engine"))) / "coarse.onnx"


@cache
def coarse_network() -> CoarseNetwork:
    """The one that ships, in ONNX Runtime on one thread: it is small. Raises `ModelError`."""
    from undark.engine.backends.onnxruntime import OnnxRuntime

    session = OnnxRuntime(FILE, threads=1)

    def run(features: Floats) -> Floats:
        height, width = features.shape[1:]
        even = np.pad(features, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
        return session.run(even[None])[0, :, :height, :width]

    return run
