"""The target of a pair agrees with undark's linear light of the same sensor values."""

import numpy as np
import pytest

from undark.develop.colour import encode_rec709
from undark.files.dng import write_mosaic
from undark.files.raw import read_mosaic
from undark.pairs.target import (
    camera_levels,
    camera_target,
    srgb_levels,
    srgb_picture,
    srgb_target,
)
from undark.sensor.cfa import RGGB
from undark.sensor.mosaic import Mosaic

BLACK, CAMERA_WHITE = 512, 16383
SPAN = CAMERA_WHITE - BLACK
LIGHT = 0.31
"""Of a grey surface in white-balanced camera RGB."""


def photograph(path, gains, light=LIGHT):
    """A DNG of a grey surface: every colour has `light` once it is white-balanced."""
    gains = np.array(gains, np.float32)
    plane = np.empty((96, 96), np.uint16)
    for y, row in enumerate(RGGB.rows):
        for x, colour in enumerate(row):
            plane[y::2, x::2] = round(BLACK + SPAN * min(light / gains[colour], 1))
    black = np.full((2, 2), BLACK, np.float32)
    write_mosaic(path, Mosaic(plane, RGGB, black, CAMERA_WHITE, gains))
    return gains


@pytest.mark.parametrize("gains", [(0.8, 1, 2), (2, 1, 1.6), (1, 1, 1), (0.8, 1, 0.5)])
def test_the_target_is_the_light_of_the_sensor(tmp_path, gains):
    path = tmp_path / "bright.dng"
    balance = photograph(path, gains)
    target = camera_target(camera_levels(path, balance), balance)
    middle = (target.levels * target.scale)[32:64, 32:64].mean((0, 1))
    assert middle == pytest.approx(LIGHT, abs=2e-4)  # a DN is 6e-5 to 1.3e-4 of light
    own = read_mosaic(path).signal()[::2, ::2].mean() / SPAN * gains[0]
    assert middle[0] == pytest.approx(own, abs=2e-4)


def test_light_that_clips_is_a_lower_bound(tmp_path):
    path = tmp_path / "bright.dng"
    balance = photograph(path, (0.8, 1, 2), light=3.0)
    target = camera_target(camera_levels(path, balance), balance)
    middle = (target.levels * target.scale)[32:64, 32:64]
    assert target.saturation == pytest.approx(0.8)
    assert middle.min() >= 0.999 * target.saturation


def test_the_linear_target_is_the_light_behind_the_picture(tmp_path):
    """At 0.8 of white LibRaw's default brightens the frame: training and judging both see it."""
    path = tmp_path / "bright.dng"
    photograph(path, (2, 1, 1.6), light=0.8)
    linear = srgb_target(srgb_levels(path))
    shown = encode_rec709((linear.levels * linear.scale).astype(np.float32))
    assert np.abs(shown - srgb_picture(path) / 65535).max() < 2e-3
