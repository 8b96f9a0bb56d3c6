"""Array functions for both NumPy and torch."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_torch_array
from numpy.typing import NDArray

Array = Any
"""An array of any library that supports the Python array API (NumPy, torch)."""


def namespace(array: Array) -> ModuleType:
    """The Python array API's functions for an array.

    NumPy's own, which array-api-compat would copy: for that it loads all of NumPy, f2py too, 0.1 s.
    """
    found: ModuleType = np if isinstance(array, np.ndarray | np.generic) else array_namespace(array)
    return found


def like(values: NDArray[Any], other: Array) -> Array:
    """NumPy values as an array of the library and type of `other`, on its device.

    A GPU gets them without the CPU waiting until it has done all that it was given before.
    """
    found = namespace(other).asarray(values, dtype=other.dtype)
    return found.to(device(other), non_blocking=True) if is_torch_array(other) else found
