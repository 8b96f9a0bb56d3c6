"""LibRaw's own rendering of a RAW photo."""

from __future__ import annotations

import difflib
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import rawpy
from numpy.typing import NDArray

from undark.errors import UnsupportedError
from undark.files.raw.libraw import opened

LIBRAW_SPACES = rawpy.ColorSpace
"""What `render_with_libraw` takes as `output_color`."""


def render(path: Path, **options: Any) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """See `reading.render_with_libraw`. Runs in a RAW worker."""
    with opened(path) as raw:
        try:
            picture: NDArray[np.uint8] | NDArray[np.uint16] = raw.postprocess(**options)
        except (rawpy.LibRawError, rawpy.NotSupportedError) as error:
            said = error.args[0] if error.args else "no reason given"
            why = said.decode("ascii", "replace") if isinstance(said, bytes) else said
            raise UnsupportedError(
                f"LibRaw cannot render it with these options ({why}); choose another "
                "demosaic_algorithm, or use the mosaic"
            ) from error
    return picture


def check_rendering(**options: Any) -> None:
    """Raises `TypeError` for an option that rawpy's `postprocess` does not have, `ValueError` for
    a value that it does not take."""
    known = list(inspect.signature(rawpy.Params).parameters)
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0)[0]
            raise TypeError(f"{name}: LibRaw's postprocess has no such option; perhaps {near}")
    try:
        rawpy.Params(**options)
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        said = ", ".join(f"{name}={value!r}" for name, value in options.items())
        why = f" ({error})" if str(error) else ""
        raise ValueError(f"{said}: values that LibRaw's postprocess does not take{why}") from error
