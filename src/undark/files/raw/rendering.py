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

_REFUSED = (AssertionError, AttributeError, LookupError, TypeError, ValueError)
_X_TRANS_TILE = 512
"""Pixels along a side of the tiles of LibRaw's X-Trans demosaicing: smaller frames fail."""
LIBRAW_SPACES = rawpy.ColorSpace
"""What `render_with_libraw` takes as `output_color`."""


def render(path: Path, **options: Any) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """See `reading.render_with_libraw`. Runs in a RAW worker."""
    with opened(path) as raw:
        # asked for now: LibRaw forgets them where it fails
        is_x_trans, shape = _is_x_trans(raw), (raw.sizes.height, raw.sizes.width)
        try:
            picture: NDArray[np.uint8] | NDArray[np.uint16] = raw.postprocess(**options)
        except (rawpy.LibRawError, rawpy.NotSupportedError) as error:
            raise UnsupportedError(_why(is_x_trans, shape, error)) from error
    return picture


def _is_x_trans(raw: rawpy.RawPy) -> bool:
    try:
        pattern = raw.raw_pattern
    except NotImplementedError:  # a filter that rawpy does not know
        return False
    return pattern is not None and len(pattern) == 6


def _why(is_x_trans: bool, shape: tuple[int, int], error: Exception) -> str:
    """Why LibRaw does not render a file that it decodes."""
    if is_x_trans and min(shape) < _X_TRANS_TILE:
        return (
            f"{shape[1]} x {shape[0]} pixels: LibRaw demosaics X-Trans photos of at least "
            f"{_X_TRANS_TILE} x {_X_TRANS_TILE}; leave it out"
        )
    said = error.args[0] if error.args else "no reason given"
    why = said.decode("ascii", "replace") if isinstance(said, bytes) else said
    return f"LibRaw cannot render it with these options ({why}); leave it out, or change them"


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
    except (*_REFUSED, rawpy.NotSupportedError) as error:
        said = ", ".join(f"{name}={value!r}" for name, value in options.items())
        why = f" ({error})" if str(error) else ""
        raise ValueError(f"{said}: values that LibRaw's postprocess does not take{why}") from error
