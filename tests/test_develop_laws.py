"""Properties of the package `develop`: curves, colours, the renderer, classical methods, sheets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undark.develop.classical import CLIPPED, SCALES, _blurred, gamma, retinex
from undark.develop.colour import (
    XYZ_FROM_SRGB,
    camera_from_srgb,
    decode_rec709,
    decode_srgb,
    encode_rec709,
    encode_srgb,
    light_of,
)
from undark.develop.drawing import fitted, most_detail, resized, title_bar, titled
from undark.develop.render import (
    FADE,
    KNEE,
    WHITE,
    apply_matrix,
    clip_highlights,
    compress_gamut,
    fade,
    render,
    roll_off,
    saturation,
    shoulder,
)
from undark.sensor.cfa import RGGB
from undark.sensor.mosaic import Mosaic

light = st.floats(0, 50, width=32)


def planes(rgb):
    return tuple(np.ascontiguousarray(rgb[..., c]) for c in range(3))


# --- colour


@pytest.mark.parametrize(
    ("encode", "decode", "points"),
    [
        # IEC 61966-2-1, as tabulated
        (
            encode_srgb,
            decode_srgb,
            {0.002: 0.02584, 0.0031308: 0.04045, 0.01: 0.09985, 0.21404: 0.5, 0.5: 0.73536, 1: 1},
        ),
        # ITU-R BT.709 within a thousandth: LibRaw's curve differs by that
        (
            encode_rec709,
            decode_rec709,
            {0.004: 0.018, 0.018: 0.081, 0.18: 0.409, 0.5: 0.7055, 1: 1},
        ),
    ],
    ids=["sRGB", "Rec. 709"],
)
def test_curves_go_through_known_points(encode, decode, points):
    exact = 1e-5 if encode is encode_srgb else 1e-3
    for linear, encoded in points.items():
        assert float(encode(np.array(linear))) == pytest.approx(encoded, abs=exact)
        assert float(decode(np.array(encoded))) == pytest.approx(linear, abs=2 * exact)
    ramp = np.linspace(-1, 2, 300_001)
    assert np.diff(encode(ramp)).min() >= 0
    assert np.abs(np.diff(encode(ramp))).max() < 2e-4  # no step where its two parts meet
    assert (encode(ramp).min(), encode(ramp).max()) == pytest.approx((0, 1))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_levels_are_light_by_srgbs_curve(dtype):
    most = np.iinfo(dtype).max
    levels = np.array([0, 1, most // 2, most], dtype)
    made = light_of(levels)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, decode_srgb(levels.astype(np.float64) / most), rtol=1e-4)


def test_a_camera_that_sees_as_srgb_changes_nothing():
    np.testing.assert_allclose(camera_from_srgb(np.linalg.inv(XYZ_FROM_SRGB)), np.eye(3), atol=1e-9)
    # whatever a channel is multiplied by, white balance takes away
    scaled = np.diag([0.5, 3, 2]) @ np.linalg.inv(XYZ_FROM_SRGB)
    np.testing.assert_allclose(camera_from_srgb(scaled), np.eye(3), atol=1e-9)


@pytest.mark.parametrize("row", range(3))
@pytest.mark.parametrize("value", [np.nan, np.inf, 0, -1])
def test_one_bad_row_spoils_a_matrix(row, value):
    matrix = np.linalg.inv(XYZ_FROM_SRGB)
    matrix[row] = matrix[row] * value if value in (0, -1) else value
    with pytest.raises(ValueError, match="does not map white to white"):
        camera_from_srgb(matrix)


def test_two_equal_rows_are_singular():
    matrix = np.linalg.inv(XYZ_FROM_SRGB)
    matrix[2] = matrix[1]
    with pytest.raises(ValueError, match="singular"):
        camera_from_srgb(matrix)


# --- the renderer


@given(light, st.floats(0.1, 400))
def test_roll_off_is_reinhards_curve_from_the_knee_on(value, white):
    """SIGGRAPH 2002, eq. 4, above the knee."""
    span = 1 - KNEE
    above, most = max(value - KNEE, 0) / span, (min(max(white, 1), WHITE) - KNEE) / span
    curve = min(value, KNEE) + span * above * (1 + above / most**2) / (1 + above)
    assert float(roll_off(np.float32([value]), white)[0]) == pytest.approx(min(curve, 1), abs=1e-5)


@pytest.mark.parametrize(("white", "half"), [(1, 2), (5.2857, 2), (8.5, 3.5), (16, 7), (300, 7)])
def test_colours_are_half_faded_at(white, half):
    """At 8 times white; at less with a lower white, but not below 3 times."""
    made = fade(np.float32([0.5, 1, 1 + half / 2, 1 + half, 1 + 3 * half]), white)
    assert made == pytest.approx([0, 0, 0.2, 0.5, 0.9], abs=1e-4)
    assert half <= FADE


@given(st.floats(0.1, 30), st.floats(-0.2, 0.2))
def test_gamut_compression_is_a_parabola_within_the_border(strong, share):
    """(share + border)² / 4 border, between share = -border and border, in any unit of light."""
    border = 0.04
    made = compress_gamut(planes(np.float32([[strong, strong * share, strong]])))
    expected = max(share, 0) if abs(share) > border else (share + border) ** 2 / (4 * border)
    assert float(made[1][0]) / strong == pytest.approx(expected, abs=1e-5)
    assert (float(made[0][0]), float(made[2][0])) == pytest.approx((strong, strong))


@settings(deadline=None)
@given(st.tuples(light, light, light), st.floats(1, 300))
def test_a_shoulder_shows_the_strongest_by_the_curve_and_the_others_between(colour, white):
    before = np.float32(colour).reshape(1, 3)
    shown = np.stack(shoulder(planes(before.copy()), white), -1)[0]
    peak = before.max()
    if peak <= KNEE:
        np.testing.assert_array_equal(shown, before[0])
        return
    top, faded = roll_off(np.float32([peak]), white)[0], fade(np.float32([peak]), white)[0]
    expected = top * (faded + (1 - faded) * before[0] / peak)
    np.testing.assert_allclose(shown, expected, atol=1e-5)


def test_matrices_and_saturation_by_their_formulas():
    rgb = np.random.default_rng(0).random((5, 7, 3)).astype(np.float32)
    matrix = np.array([[2, -0.5, -0.5], [0.1, 0.8, 0.1], [-0.3, 0, 1.3]])
    made = np.stack(apply_matrix(planes(rgb), matrix), -1)
    np.testing.assert_allclose(made, rgb @ matrix.T, atol=1e-6)
    clipped = np.stack(clip_highlights(rgb, 0.5), -1)
    np.testing.assert_array_equal(clipped, np.minimum(rgb, 0.5))
    assert saturation(np.array([2, 1, 1.6]), 30) == 30
    assert saturation(np.array([2, 1, 0.5]), 30) == 15


def dark(**changes):
    black, ones = np.zeros((2, 2), np.float32), np.ones(3, np.float32)
    return Mosaic(np.zeros((2, 2), np.uint16), RGGB, black, 16383.0, ones).replace(**changes)


@pytest.mark.parametrize("amplification", [0.25, 1])
def test_where_the_sensor_saturates_is_white(amplification):
    """Without amplification no light is above saturation: no shoulder, the full range is used.

    Every tone is sRGB's, the brightest the sensor can hold is 255.
    """
    ramp = np.linspace(0, amplification, 256, dtype=np.float32)
    linear = np.repeat(ramp[None, :, None], 3, 2)
    shown = render(linear, dark(), amplification)[0, :, 1].astype(int)
    expected = np.rint(255 * encode_srgb(ramp.astype(float) / amplification))
    assert np.abs(shown - expected).max() <= 1
    assert (shown != expected).mean() < 0.05


@pytest.mark.parametrize("orientation", [0, 9, -1])
def test_an_orientation_that_exif_does_not_know_is_upright(orientation):
    linear = np.random.default_rng(0).random((6, 9, 3)).astype(np.float32)
    known = render(linear, dark(), 1)
    np.testing.assert_array_equal(render(linear, dark(orientation=orientation), 1), known)


# --- the classical methods


@pytest.mark.parametrize(("tone", "shown"), [(0.25, 0.5), (0.0, 0.0), (1.0, 1.0)])
def test_gamma_of_one_tone(tone, shown):
    """The median becomes one half, but black stays black and white stays white."""
    made = gamma(np.full((4, 4, 3), tone, np.float32))
    assert made == pytest.approx(np.full((4, 4, 3), shown), abs=1e-4)


def test_retinex_reaches_from_black_to_white():
    """Except for a hundredth of the pixels at either end, which are black and white."""
    picture = np.random.default_rng(0).random((200, 150, 3)).astype(np.float32)
    value = retinex(picture).max(axis=-1)
    for end in (0, 1):
        assert np.isclose(value, end, atol=1e-6).mean() == pytest.approx(CLIPPED, rel=0.02)
    assert 0.05 < np.median(value) < 0.95


@pytest.mark.parametrize("sigma", SCALES[:2])
def test_a_surround_is_as_wide_as_it_says(sigma):
    """The standard deviation of a blurred point along both axes; the sum is kept."""
    point = np.zeros((801, 801), np.float32)
    point[400, 400] = 1
    made = _blurred(point, sigma).astype(np.float64)
    assert made.sum() == pytest.approx(1, abs=1e-3)
    away = np.arange(801) - 400
    for axis in (0, 1):
        assert (made.sum(axis=axis) * away).sum() == pytest.approx(0, abs=0.01)
        assert (made.sum(axis=axis) * away**2).sum() ** 0.5 == pytest.approx(sigma, rel=0.04)


# --- sheets


def test_titles_stand_above_their_pictures():
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 255, (50, 80, 3)).astype(np.uint8) for _ in range(3)]
    sheet = titled(pictures, ["one", "two", "three"], 20)
    assert (sheet.shape, sheet.dtype) == ((70, 240, 3), np.uint8)
    for i, (picture, title) in enumerate(zip(pictures, ("one", "two", "three"), strict=True)):
        column = sheet[:, 80 * i : 80 * (i + 1)]
        np.testing.assert_array_equal(column[20:], picture)
        np.testing.assert_array_equal(column[:20], title_bar(title, 80, 20))


def test_a_title_is_light_on_a_dark_bar_and_in_its_colour():
    bar = title_bar("HHHH", 200, 40)
    assert (bar.shape, bar.dtype) == ((40, 200, 3), np.uint8)
    assert np.median(bar) == 18
    assert bar.max() > 200
    rows, columns = (np.flatnonzero(bar.max(axis=(axis, 2)) > 100) for axis in (1, 0))
    assert rows.min() >= 8  # within the bar, near its left end
    assert rows.max() <= 31
    assert columns.min() in range(10, 18)
    red = title_bar("HHHH", 200, 40, (1.0, 0.0, 0.0))
    assert red[..., 0].max() > 200
    assert red[..., 1:].max() <= 18
    assert title_bar("", 30).max() == 18


def test_resizing_keeps_the_place_of_things():
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:20, 30:] = (200, 100, 50)
    small = resized(picture, 20, 30)
    assert small.shape == (20, 30, 3)
    assert small[2, 27].tolist() == [200, 100, 50]
    assert small[17, 27].max() == small[2, 3].max() == 0
    assert resized(picture, 80, 60).shape == (80, 60, 3)
    np.testing.assert_array_equal(resized(picture, 40, 60), picture)


@pytest.mark.parametrize(
    ("shape", "height", "width", "top", "left"),
    [((40, 60), 80, 120, 0, 0), ((40, 60), 100, 120, 10, 0), ((60, 40), 60, 100, 0, 30)],
)
def test_a_picture_is_fitted_in_the_middle_of_black(shape, height, width, top, left):
    made = fitted(np.full((*shape, 3), 90, np.uint8), height, width)
    assert made.shape == (height, width, 3)
    expected = np.zeros_like(made)
    expected[top : height - top, left : width - left] = 90
    np.testing.assert_array_equal(made, expected)


def test_a_very_narrow_picture_keeps_a_pixel():
    assert fitted(np.full((1, 300, 3), 90, np.uint8), 20, 30).max() == 90


@pytest.mark.parametrize(("top", "left"), [(0, 0), (40, 75), (80, 150)])
def test_the_region_with_most_detail_is_found(top, left):
    """Stripes in one region, and elsewhere a light source, whose edge is a single steep one."""
    picture = np.full((120, 200, 3), 20, np.uint8)
    picture[50:60, 95:105] = 255
    picture[top : top + 40, left : left + 50 : 4] = 50
    rows, columns = most_detail(picture, (40, 50))
    assert (rows, columns) == (slice(top, top + 40), slice(left, left + 50))


def test_of_a_smaller_picture_all_is_shown():
    rows, columns = most_detail(np.full((30, 40, 3), 9, np.uint8), (100, 120))
    assert np.zeros((30, 40))[rows, columns].shape == (30, 40)
