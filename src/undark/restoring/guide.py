"""What the first frame of a burst shows, as a guide to merging the others.

A frame's pixel is not exactly where a pixel of the first frame is. By how much their light differs
is read from a first restoration of the first frame alone: its noise is one of many that are
averaged, while that of a restored merge would be in all of them, and made measurements worse.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from undark.align.resample import Between
from undark.engine.model import Model
from undark.engine.recovery import redone_on_cpu
from undark.restoring.bands import network_strips
from undark.sensor.conditioning import most_amplification, signal_per_light
from undark.sensor.exposure import propose_exposure
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel

Floats = NDArray[np.float32]


class Guide:
    """The first frame's restored light."""

    def __init__(self, mosaic: Mosaic, noise: NoiseModel, model: Model) -> None:
        """`mosaic` is the frame without offsets and hot pixels; `model` for its sensor.

        Raises `UnsupportedError`, `ModelError`.
        """
        amplification = propose_exposure(mosaic).amplification
        amplification = most_amplification(mosaic, noise, amplification)
        self._shape = mosaic.shape
        self._light = _restored(model, mosaic, noise, amplification).ravel()
        self._to_signal = signal_per_light(mosaic, amplification)

    def at(
        self, rows: slice, colours: NDArray[np.uint8], down: Floats, across: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Of each pixel in some rows: its signal, by how much that exceeds the signal of its colour
        at a place beside it, and the range of the signal around that place; (h, W) DN.

        `colours`, `down` and `across` (pixels) are (h, W).
        """
        y, x = np.arange(rows.start, rows.stop)[:, None], np.arange(self._shape[1])
        plane = colours.astype(np.intp) * (self._shape[0] * self._shape[1])
        own = self._light[plane + y * self._shape[1] + x].astype(np.float32)
        places = Between.of(y.astype(np.float32) + down, x.astype(np.float32) + across, self._shape)
        corners = places.corners(self._light, plane)
        there = places.between(corners)
        around = np.maximum.reduce(corners) - np.minimum.reduce(corners)
        to_signal = self._to_signal[colours]
        return own * to_signal, (own - there) * to_signal, around * to_signal


@redone_on_cpu
def _restored(
    model: Model, mosaic: Mosaic, noise: NoiseModel, amplification: float
) -> NDArray[np.float16]:
    """(3, H, W), planes of halves: their steps are a thousandth of the light, below its noise."""
    light, top = np.empty((3, *mosaic.shape), np.float16), 0
    for strip in network_strips(model, mosaic, noise, amplification):
        light[:, top : top + len(strip)] = np.moveaxis(strip, -1, 0)
        top += len(strip)
    return light
