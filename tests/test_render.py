"""The renderer: neutral, monotone, independent of tiles, upright."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undark.develop import render as renderer
from undark.develop.colour import CAMERA_MATRICES, camera_from_srgb, decode_srgb, encode_srgb
from undark.develop.render import (
    KNEE,
    TILE,
    WHITE,
    compress_gamut,
    fade,
    render,
    roll_off,
    shoulder,
    srgb_matrix,
)
from undark.sensor.cfa import RGGB
from undark.sensor.mosaic import Mosaic

GAINS = np.array([2.0, 1.0, 1.6], np.float32)
MATRIX = CAMERA_MATRICES[-1].astype(np.float32)


def photo(orientation=1, matrix=MATRIX, gains=GAINS):
    return Mosaic(
        plane=np.zeros((2, 2), np.uint16),
        cfa=RGGB,
        black=np.zeros((2, 2), np.float32),
        white=16383.0,
        white_balance=gains,
        camera_from_xyz=matrix,
        orientation=orientation,
    )


def camera(srgb):
    """Linear sRGB → camera RGB of the test's camera."""
    return (srgb @ camera_from_srgb(MATRIX).T).astype(np.float32)


def planes(rgb):
    return tuple(np.ascontiguousarray(rgb[..., c]) for c in range(3))


@settings(deadline=None)
@given(
    light=st.floats(0, 1000, width=32),
    amplification=st.sampled_from([1.0, 3.0, 20.0, 300.0]),
    camera_number=st.integers(0, len(CAMERA_MATRICES) - 1),
    bits=st.sampled_from([8, 16]),
)
def test_neutral_light_stays_neutral(light, amplification, camera_number, bits):
    matrix = CAMERA_MATRICES[camera_number].astype(np.float32)
    linear = np.full((1, 1, 3), light, np.float32)
    pixel = render(linear, photo(matrix=matrix), amplification, bits)[0, 0].astype(int)
    assert np.ptp(pixel) <= (0 if bits == 8 else 1)


@settings(deadline=None)
@given(
    colour=st.tuples(*[st.floats(0, 1, width=32)] * 3).filter(lambda c: max(c) > 0.01),
    white=st.floats(1, 300),
)
def test_more_light_is_never_darker(colour, white):
    light = np.float32(colour) * np.geomspace(1e-3, 2000, 400, dtype=np.float32)[:, None]
    shown = np.stack(shoulder(planes(light), white), axis=-1)
    assert np.diff(shown, axis=0).min() > -1e-5
    assert shown.max() <= 1 + 1e-6


@pytest.mark.parametrize("bits", [8, 16])
def test_picture_is_monotone_in_steps_of_its_own(bits):
    ramp = np.repeat(np.geomspace(1e-5, 40, 5000, dtype=np.float32)[None, :, None], 3, axis=2)
    levels = render(ramp, photo(), 300, bits)[0, :, 1].astype(int)
    assert np.diff(levels).min() >= 0
    assert levels[-1] == 2**bits - 1


def test_midtones_are_srgb_exactly():
    srgb = np.random.default_rng(1).integers(8, 200, (40, 50, 3), np.uint8)
    shown = render(camera(decode_srgb(srgb / 255)), photo(), 300)
    strong = decode_srgb(srgb.max(-1) / 255) * renderer.BORDER
    inside = (decode_srgb(srgb.min(-1) / 255) > strong) & (
        srgb.max(-1) < encode_srgb(np.array(KNEE)) * 255
    )
    assert inside.sum() > 500
    assert np.abs(shown.astype(int) - srgb)[inside].max() <= 1


def test_sixteen_bits_are_within_one_level():
    light = np.linspace(0, KNEE, 3000, dtype=np.float32)
    linear = np.repeat(light[None, :, None], 3, axis=2)
    levels = render(linear, photo(matrix=None), 300, 16)[0, :, 0]
    assert np.abs(levels - encode_srgb(light.astype(np.float64)) * 65535).max() < 1


@pytest.mark.parametrize("amplification", [1, 20, 300])
def test_saturated_sensor_is_white_not_magenta(amplification):
    most = amplification * GAINS  # all that each channel can hold
    assert render(most.reshape(1, 1, 3), photo(), amplification).tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize("amplification", [1, 20, 300])
def test_gains_below_one_still_reach_white(amplification):
    gains = np.array([0.7, 1.0, 2.4], np.float32)
    most = (amplification * gains).reshape(1, 1, 3)
    assert render(most, photo(gains=gains), amplification).min() == 255


def test_a_coloured_light_source_keeps_its_hue_and_fades_to_white():
    red = np.float32([[1.0, 0.1, 0.05]])
    shown = np.stack([np.stack(shoulder(planes(red * e)), -1)[0] for e in (1, 3, 10, 1000)])
    assert np.all(np.diff(shown[:, 0]) > 0)
    assert shown[1, 1] < 0.3  # three times white is still red
    assert shown[3].min() > 0.999


def test_roll_off_is_straight_then_flat():
    light = np.float32([0, 0.3, KNEE])
    np.testing.assert_array_equal(roll_off(light), light)
    assert roll_off(np.float32([1.0]))[0] == pytest.approx(0.85, abs=0.01)
    assert roll_off(np.float32([WHITE, 300])) == pytest.approx([1, 1])
    slope = np.diff(roll_off(np.float32([KNEE, KNEE + 1e-3])))[0] / 1e-3
    assert slope == pytest.approx(1, abs=0.01)


def test_roll_off_without_headroom_is_no_curve():
    light = np.linspace(0, 1, 50, dtype=np.float32)
    np.testing.assert_allclose(roll_off(light, white=1), light, atol=1e-6)


def test_fade_begins_above_white():
    assert fade(np.float32([0.0, 1.0])).tolist() == [0, 0]
    assert fade(np.float32([1 + renderer.FADE]))[0] == pytest.approx(0.5)


@settings(deadline=None)
@given(st.tuples(*[st.floats(-2, 2, width=32)] * 3))
def test_gamut_compression_leaves_no_negative_light_and_the_strongest_alone(colour):
    before = np.float32(colour).reshape(1, 3)
    after = np.stack(compress_gamut(planes(before.copy())), -1)
    assert after.min() >= 0
    if before.max() > 1e-3:
        assert after.max() == pytest.approx(before.max())
        inside = before > renderer.BORDER * before.max()
        np.testing.assert_array_equal(after[inside], before[inside])


def test_gamut_compression_is_smooth_and_ordered():
    green = np.linspace(-0.2, 0.2, 401, dtype=np.float32)
    red = np.ones_like(green)
    _, after, _ = compress_gamut((red, green.copy(), red.copy()))
    steps = np.diff(after)
    assert steps.min() > -1e-7
    assert np.abs(np.diff(steps)).max() < 2e-5


def test_tiles_equal_the_full_frame(monkeypatch):
    random = np.random.default_rng(0)
    linear = (random.random((70, 90, 3), np.float32) ** 4 * 20 - 0.05).astype(np.float32)
    expected = render(linear, photo(), 300, 16)
    monkeypatch.setattr(renderer, "TILE", (7, 11))
    np.testing.assert_array_equal(render(linear, photo(), 300, 16), expected)


# what EXIF says of each orientation, done with other means
UPRIGHT = {
    1: lambda p: p,
    2: np.fliplr,
    3: lambda p: np.rot90(p, 2),
    4: np.flipud,
    5: lambda p: np.fliplr(np.rot90(p, -1)),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.fliplr(np.rot90(p, 1)),
    8: lambda p: np.rot90(p, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_orientation(orientation):
    height, width = TILE[0] + 5, TILE[1] + 3  # more than a tile
    linear = np.random.default_rng(0).random((height, width, 3), np.float32)
    lying = render(linear, photo(), 300)
    upright = render(linear, photo(orientation), 300)
    np.testing.assert_array_equal(upright, UPRIGHT[orientation](lying))
    assert upright.flags.c_contiguous


def test_unknown_or_impossible_matrix_counts_as_srgb():
    np.testing.assert_array_equal(srgb_matrix(None), np.eye(3))
    np.testing.assert_array_equal(srgb_matrix(np.zeros((3, 3))), np.eye(3))


def test_types_and_bad_bits():
    linear = np.zeros((4, 6, 3), np.float32)
    assert render(linear, photo(), 1).dtype == np.uint8
    assert render(linear, photo(), 1, 16).dtype == np.uint16
    with pytest.raises(ValueError, match="8 or 16"):
        render(linear, photo(), 1, 12)
