"""What runs a model: one small protocol, and a module for each runtime."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Margins = tuple[int, int, int, int]
"""Of a tile, in packed pixels: top, left, bottom, right."""
NO_MARGINS: Margins = (0, 0, 0, 0)
F32, BF16 = "float32", "bfloat16"
"""Precisions."""


class Backend(Protocol):
    """A model file, loaded on a device."""

    def run(
        self, inputs: NDArray[np.float32], margins: Margins = NO_MARGINS
    ) -> NDArray[np.float32]:
        """(1, channels, h, w) → the model's only output. May raise any exception. May be called
        from several threads at the same time.

        `margins` are given only to a network that takes them; see `Card.rim`.
        """
        ...
