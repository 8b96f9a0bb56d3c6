"""Array functions for both NumPy and torch."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace, device, is_torch_array
from numpy.typing import NDArray

Array = Any
"""An array of any library that supports the Python array API (NumPy, torch)."""


def like(values: NDArray[Any], other: Array) -> Array:
    """NumPy values as an array of the library and type of `other`, on its device.

    A GPU gets them without the CPU waiting until it has done all that it was given before.
    """
    found = array_namespace(other).asarray(values, dtype=other.dtype)
    return found.to(device(other), non_blocking=True) if is_torch_array(other) else found
