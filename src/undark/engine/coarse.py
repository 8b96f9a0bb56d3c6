"""The coarse network, which corrects the low frequencies of restored light; one ships.

`restoring.coarse` says what it is given; `scripts/coarse.py` trains it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from undark.engine.backends import Backend

FILE = Path(str(files("undark.engine"))) / "coarse.onnx"


def run_coarse(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """(9, blocks down, blocks across) → (3, blocks down, blocks across), -1 to 1.

    Raises `ModelError`.
    """
    height, width = features.shape[1:]
    even = np.pad(features, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    return _session().run(even[None])[0, :, :height, :width]


@cache
def _session() -> Backend:
    """ONNX Runtime on one thread: the network is small."""
    from undark.engine.backends.onnxruntime import OnnxRuntime

    return OnnxRuntime(FILE, threads=1)
