"""EXIF's orientation: arrays and parts of them, upright and as on the sensor."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from undark.sensor.orientation import (
    as_on_sensor,
    part_on_sensor,
    upright,
    upright_part,
    upright_shape,
)

FRAME = np.arange(35, dtype=np.uint8).reshape(5, 7)
every_orientation = pytest.mark.parametrize("orientation", range(1, 9))


def by_pillow(frame, orientation):
    image = Image.fromarray(frame)
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


@every_orientation
def test_upright_is_as_pillow_says(orientation):
    expected = by_pillow(FRAME, orientation)
    assert np.array_equal(upright(FRAME, orientation), expected)
    assert upright_shape(FRAME.shape, orientation) == expected.shape


@every_orientation
def test_arrays_come_back_and_share_their_memory(orientation):
    picture = np.stack([FRAME, FRAME + 100], axis=-1)
    turned = upright(picture, orientation)
    assert np.shares_memory(turned, picture)
    assert np.array_equal(turned[..., 1], by_pillow(FRAME + 100, orientation))
    back = as_on_sensor(turned, orientation)
    assert np.shares_memory(back, picture)
    assert np.array_equal(back, picture)


@every_orientation
def test_a_part_has_the_same_pixels(orientation):
    picture = by_pillow(FRAME, orientation)
    for part in [(slice(1, 3), slice(0, 4)), (slice(2, 3), slice(4, 5))]:
        on_sensor = part_on_sensor(part, FRAME.shape, orientation)
        assert np.array_equal(upright(FRAME[on_sensor], orientation), picture[part])
        assert upright_part(on_sensor, FRAME.shape, orientation) == part


@every_orientation
def test_a_part_beyond_the_frame_comes_back(orientation):
    part = (slice(-1, 6), slice(2, 9))
    on_sensor = part_on_sensor(part, FRAME.shape, orientation)
    assert upright_part(on_sensor, FRAME.shape, orientation) == part


@pytest.mark.parametrize("orientation", [0, 9])
def test_other_values_count_as_upright(orientation):
    assert np.array_equal(upright(FRAME, orientation), FRAME)
    assert upright_shape(FRAME.shape, orientation) == FRAME.shape
