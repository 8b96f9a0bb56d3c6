"""What runs a model: one small protocol, and a module for each runtime."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

F32, BF16 = "float32", "bfloat16"
"""Precisions."""


class Backend(Protocol):
    """A model file, loaded on a device."""

    def run(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """(1, channels, h, w) → the model's only output. May raise any exception."""
        ...
