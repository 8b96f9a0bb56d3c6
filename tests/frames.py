"""Mosaics from signals, for tests."""

import numpy as np

from undark.restoring.blocks import clipped_below
from undark.restoring.comparison import Comparison
from undark.restoring.photons import correct
from undark.sensor.cfa import RGGB
from undark.sensor.mosaic import Mosaic

BLACK, WHITE = 512, 16383


def as_mosaic(signal, cfa=RGGB, **changes):
    """A mosaic of 14 bits from DN above black (H, W), rounded and clipped; keywords set fields."""
    black = np.full(cfa.pattern.shape, BLACK, np.float32)
    plane = np.rint(signal + BLACK).clip(0, WHITE).astype(np.uint16)
    balance = np.array([2, 1, 1.6], np.float32)
    return Mosaic(plane, cfa, black, float(WHITE), balance).replace(**changes)


def kept_to_photons(light, mosaic, noise, amplification):
    """Corrects light (H, W, 3) of a whole mosaic, in place; its agreement."""
    floor = clipped_below(mosaic.plane)
    return correct(Comparison(light, mosaic, noise, amplification, floor))
