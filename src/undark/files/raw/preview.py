"""The camera's own preview inside a RAW file. Runs in a RAW worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rawpy
from numpy.typing import NDArray

from undark.files.raw.libraw import opened

# LibRaw's flip (as in dcraw) → EXIF orientation
ORIENTATIONS = {0: 1, 1: 2, 2: 4, 3: 3, 4: 5, 5: 8, 6: 6, 7: 7}


@dataclass(frozen=True, eq=False)
class Preview:
    """A preview as it is in the file."""

    jpeg: bytes | None
    """A JPEG file, or None where the preview is `pixels`."""
    pixels: NDArray[np.uint8] | None
    """(H, W, 3) sRGB."""
    orientation: int
    """The EXIF orientation of the RAW frame, 1 to 8."""
    landscape: bool
    """Whether the RAW frame is wider than high, before it is turned upright."""


def preview(path: Path) -> Preview | None:
    """See `reading.read_preview`. Errors do not name the file."""
    with opened(path, unpack=False) as raw:
        try:
            found = raw.extract_thumb()
        except (rawpy.LibRawError, rawpy.NotSupportedError):
            return None
        orientation = ORIENTATIONS.get(raw.sizes.flip, 1)
        landscape = raw.sizes.raw_width >= raw.sizes.raw_height
    if found.format == rawpy.ThumbFormat.JPEG:
        return Preview(bytes(found.data), None, orientation, landscape)
    return Preview(None, np.array(found.data, np.uint8), orientation, landscape)
