"""Mosaics and arguments that no photo has: one error that says so, and no light or colours."""

from dataclasses import replace

import numpy as np
import pytest

import undark
from undark.errors import UnsupportedError
from undark.sensor.cfa import RGGB, X_TRANS
from undark.sensor.exposure import Exposure
from undark.sensor.noise import NoiseModel

BAD = {
    "floats": {"plane": np.zeros((32, 32), np.float32)},
    "three axes": {"plane": np.zeros((32, 32, 3), np.uint16)},
    "white below black": {"white": 100.0},
    "no span": {"white": 512.0},
    "white without end": {"white": np.inf},
    "black unknown": {"black": np.full((2, 2), np.nan, np.float32)},
    "a gain of 0": {"white_balance": np.array([0, 1, 1], np.float32)},
    "a negative gain": {"white_balance": np.array([-1, 1, 1], np.float32)},
    "a gain unknown": {"white_balance": np.array([np.nan, 1, 1], np.float32)},
    "a gain without end": {"white_balance": np.array([np.inf, 1, 1], np.float32)},
    "two gains": {"white_balance": np.array([2, 1], np.float32)},
}


@pytest.mark.parametrize("fields", BAD.values(), ids=BAD.keys())
def test_a_mosaic_that_no_photo_is(make_mosaic, fields):
    photo = make_mosaic(shape=(32, 32))
    with pytest.raises(ValueError, match=next(iter(fields))):
        undark.restore(photo.replace(**fields), quality="fast")
    with pytest.raises(ValueError, match=next(iter(fields))):
        undark.merge([photo.replace(**fields)] * 2)


@pytest.mark.parametrize(
    ("cfa", "shape"),
    [(RGGB, (1, 40)), (RGGB, (40, 1)), (X_TRANS, (5, 40)), (X_TRANS, (40, 2)), (X_TRANS, (1, 1))],
)
def test_a_photo_smaller_than_the_pattern(make_mosaic, cfa, shape):
    photo = make_mosaic(cfa, shape=(48, 48))
    small = photo.replace(plane=photo.plane[: shape[0], : shape[1]])
    with pytest.raises(UnsupportedError, match=f"{shape[1]} x {shape[0]} pixels"):
        undark.restore(small, quality="fast")


@pytest.mark.parametrize("amplification", [0.0, -1.0, 1e-30, 1e30, np.inf, np.nan])
def test_an_amplification_that_no_photo_needs(make_mosaic, amplification):
    for asked in (amplification, Exposure(amplification, "as given")):
        with pytest.raises(ValueError, match="an amplification is"):
            undark.restore(make_mosaic(shape=(32, 32)), exposure=asked, quality="fast")


@pytest.mark.parametrize(
    "change", [{"gain": 0.0}, {"gain": np.inf}, {"read": np.nan}, {"row": -1.0}, {"read": 1e30}]
)
def test_noise_that_no_sensor_has(make_mosaic, change):
    noise = replace(NoiseModel(1.0, 3.0), **change)
    with pytest.raises(ValueError, match="gain is above 0"):
        undark.restore(make_mosaic(shape=(32, 32)), noise=noise, quality="fast")


def test_a_single_dark_frame_needs_no_list(make_mosaic):
    photo = make_mosaic(shape=(64, 64))
    dark = make_mosaic(shape=(64, 64), seed=5)
    one, listed = (undark.restore(photo, dark=d, quality="fast") for d in (dark, [dark]))
    assert np.array_equal(one.linear, listed.linear)
