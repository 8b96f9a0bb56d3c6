"""The restored light around a grey point, before the photo is restored from top to bottom."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from undark.develop.white_balance import WhiteBalance, gains_for
from undark.restoring.bands import AROUND
from undark.restoring.blend import blended
from undark.restoring.blocks import PATCH
from undark.restoring.raw import Prepared

Floats = NDArray[np.float32]


def gains_before(asked: WhiteBalance, photo: Prepared, strength: float = 1.0) -> Floats | None:
    """`gains_for` of a photo that is not restored yet: around a grey point a part of it is.

    The part's edge has a small effect: gains are within 1 % of those of the whole photo.
    """
    return gains_for(
        asked,
        photo.mosaic,
        photo.exposure.amplification,
        lambda rows, columns: _restored(photo, rows, columns, strength),
    )


def _restored(photo: Prepared, rows: slice, columns: slice, strength: float) -> Floats:
    """The light (h, w, 3) of these rows and columns of the sensor."""
    mosaic = photo.mosaic
    margin = max(AROUND, photo.model.card.halo * mosaic.cfa.cell)
    tall, wide = (_around(s, margin, n) for s, n in zip((rows, columns), mosaic.shape, strict=True))
    part = mosaic.crop(tall.start, wide.start, tall.stop - tall.start, wide.stop - wide.start)
    inside = slice(rows.start - tall.start, rows.stop - tall.start)
    across = slice(columns.start - wide.start, columns.stop - wide.start)
    part_of = replace(photo, mosaic=part, earlier=None)
    light = np.concatenate([band.light.copy() for band in part_of.bands()])
    if strength < 1:
        light = blended(light, 0, part, photo.exposure.amplification, strength)
    return light[inside, across]


def _around(window: slice, margin: int, size: int) -> slice:
    """The window and a margin around it within `size`, from a multiple of the correction's blocks,
    which lie as in the whole photo."""
    start = max(window.start - margin, 0) // PATCH * PATCH
    return slice(start, min(window.stop + margin, size))
