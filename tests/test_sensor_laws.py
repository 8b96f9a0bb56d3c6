"""Properties of the package `sensor`: crops of mosaics, cameras between settings, exposure."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undark.sensor.blind import estimate_noise
from undark.sensor.cfa import BAYER_ORDERS, CFA, RGGB, X_TRANS, extend, mosaic, pack
from undark.sensor.exposure import (
    HIGHLIGHT_LEVEL,
    MAX_AMPLIFICATION,
    MAX_EV,
    MIDDLE_LEVEL,
    WHITE_LEVEL,
    Exposure,
    as_exposure,
    block_levels,
    exposure_ratio,
    exposure_value,
    parse_exposure,
    propose_exposure,
    scene_lux,
)
from undark.sensor.mosaic import Mosaic, Shot
from undark.sensor.noise import NoiseModel, NumPySampler, tukey_lambda, tukey_std
from undark.sensor.profiles.cameras import CameraNoise, cameras
from undark.sensor.profiles.lookup import noise_of

PHASES = [*BAYER_ORDERS, *(X_TRANS.crop(y, x) for y in range(6) for x in range(6))]
phases = st.sampled_from(PHASES)
sizes = st.tuples(st.integers(7, 30), st.integers(7, 30))
SPAN = 10000.0


def photo(plane, cfa=RGGB, **changes):
    """A mosaic of DN above black, with a different black level at each position."""
    black = 500 + np.arange(cfa.pattern.size, dtype=np.float32).reshape(cfa.pattern.shape)
    rows, columns = np.indices(plane.shape) % cfa.period
    return Mosaic(
        plane=np.clip(np.round(plane) + black[rows, columns], 0, 65535).astype(np.uint16),
        cfa=cfa,
        black=black,
        white=float(black.mean() + SPAN),
        white_balance=np.array([2, 1, 1.5], np.float32),
        **changes,
    )


# --- mosaics and their colours


@settings(deadline=None)
@given(phases, sizes, st.data())
def test_the_signal_of_a_part_is_part_of_the_signal(cfa, size, data):
    signal = np.random.default_rng(0).integers(-400, 9000, size)
    full = photo(signal, cfa)
    np.testing.assert_array_equal(full.signal(), signal)
    top, left = (data.draw(st.integers(0, n - 1)) for n in size)
    rows = slice(top, data.draw(st.integers(top + 1, size[0])))
    columns = slice(left, data.draw(st.integers(left + 1, size[1])))
    np.testing.assert_array_equal(full.signal(rows, columns), signal[rows, columns])
    np.testing.assert_array_equal(full.signal(rows), signal[rows])
    np.testing.assert_array_equal(full.signal(columns=columns), signal[:, columns])
    assert full.span == pytest.approx(SPAN)


@settings(deadline=None)
@given(phases, sizes, st.integers(1, 4))
def test_the_canonical_mosaic_holds_the_mosaic(cfa, size, times):
    signal = np.random.default_rng(0).integers(-400, 9000, size)
    multiple = times * cfa.period
    made = photo(signal, cfa).canonical(multiple)
    assert made.cfa == (RGGB if cfa.period == 2 else X_TRANS)
    assert all(n % multiple == 0 for n in made.shape)
    assert all(n < m + s + multiple for n, m, s in zip(made.shape, size, cfa.shift, strict=True))
    top, left = cfa.shift
    np.testing.assert_array_equal(made.signal()[top : top + size[0], left : left + size[1]], signal)


@given(phases, sizes, st.tuples(*[st.integers(0, 6)] * 4))
def test_what_is_put_around_is_copied_from_the_nearest_of_its_phase(cfa, size, border):
    """Never from further than a period away."""
    top, left, bottom, right = (min(n, cfa.period) for n in border)
    places = np.stack(np.indices(size))  # each pixel is its own place
    wide = extend(places, (top, left), (bottom, right), cfa.period)
    for axis, (first, last) in enumerate(((top, bottom), (left, right))):
        at = np.moveaxis(wide[axis], axis, 0)
        assert (at == at[:, :1]).all()
        where = np.arange(-first, size[axis] + last)
        inside = np.clip(where, 0, size[axis] - 1)
        np.testing.assert_array_equal(at[:, 0][where == inside], inside[where == inside])
        assert np.abs(at[:, 0] - inside).max() < cfa.period
        assert ((at[:, 0] - where) % cfa.period == 0).all()


@pytest.mark.parametrize("cfa", PHASES)
def test_what_is_known_of_a_cfa(cfa):
    bayer = cfa.period == 2
    assert (cfa.cell, cfa.colours) == ((2, (0, 1, 1, 2)) if bayer else (3, (0, 0, *[1] * 5, 2, 2)))
    if bayer:
        assert CFA.from_name(cfa.name) == cfa
        assert cfa.name == "".join("RGB"[c] for c in cfa.pattern.ravel())
    assert cfa.crop(cfa.period, 2 * cfa.period) == cfa
    assert all(0 <= s < cfa.period for s in cfa.shift)


def test_x_trans_is_as_fujifilm_draws_it():
    """Every row and column has all colours, twenty of 36 are green, each 3×3 has five."""
    pattern = X_TRANS.pattern
    for line in (*pattern, *pattern.T):
        assert set(line) == {0, 1, 2}
    assert np.bincount(pattern.ravel()).tolist() == [8, 20, 8]
    assert {int((pattern[y : y + 3, x : x + 3] == 1).sum()) for y in (0, 3) for x in (0, 3)} == {5}
    assert CFA.from_name("X-Trans") == X_TRANS


@pytest.mark.parametrize(
    ("make", "model", "name"),
    [
        ("SONY", "ILCE-7SM2", "SONY ILCE-7SM2"),
        ("Canon", "Canon EOS 70D", "Canon EOS 70D"),
        ("canon", "Canon EOS 70D", "Canon EOS 70D"),
        ("NIKON CORPORATION", "NIKON D850", "NIKON CORPORATION NIKON D850"),
        (None, "X-T3", "X-T3"),
        ("FUJIFILM", None, "FUJIFILM"),
        (None, None, "unknown camera"),
    ],
)
def test_a_camera_is_named_once(make, model, name):
    assert Shot(make=make, model=model).camera == name


# --- noise


def camera(*settings, span=SPAN):
    names = ("iso", "gain", "read", "row", "bias", "shape")
    rows = tuple(dict(zip(names, values, strict=True)) for values in settings)
    return CameraNoise("MAKE", ("ONE", "TWO"), "test", span, rows)


MEASURED = camera((100, 0.5, 2, 0.5, 0, 0.1), (400, 2, 4, 1, 0, -0.1), (1600, 6, 16, 3, 0, -0.2))


def test_a_camera_between_settings_is_their_geometric_mean():
    at = MEASURED.at(200)
    assert (at.gain, at.read, at.row) == pytest.approx((1, 8**0.5, 0.5**0.5))
    assert at.shape == pytest.approx(0)
    assert MEASURED.at(800).gain == pytest.approx(12**0.5)
    assert MEASURED.at(800).shape == pytest.approx(-0.15)
    assert MEASURED.iso_range == (100, 1600)


@pytest.mark.parametrize(("iso", "gain", "read"), [(100, 0.5, 2), (400, 2, 4), (1600, 6, 16)])
def test_a_camera_at_its_settings_is_as_measured(iso, gain, read):
    at = MEASURED.at(iso)
    assert (at.gain, at.read) == pytest.approx((gain, read))
    assert at.bias == 0  # nothing measured is nothing, though 0 has no logarithm


@pytest.mark.parametrize(("iso", "end"), [(25, 100), (6400, 1600)])
def test_beyond_its_settings_all_noise_is_in_proportion_to_the_iso(iso, end):
    at, last = MEASURED.at(iso), MEASURED.at(end)
    for name in ("gain", "read", "row"):
        assert getattr(at, name) == pytest.approx(getattr(last, name) * iso / end)
    assert at.shape == last.shape


def test_a_camera_without_shapes_has_gaussian_noise():
    gaussian = camera((100, 0.5, 2, None, None, None), (400, 2, 4, None, None, None)).at(200)
    assert (gaussian.shape, gaussian.row, gaussian.bias) == (None, 0, 0)
    assert gaussian.gain == pytest.approx(1)


@pytest.mark.parametrize("one", cameras(), ids=lambda c: c.models[0])
def test_every_camera_of_the_table_is_as_it_was_measured(one):
    for setting in one.settings:
        at = one.at(setting["iso"], one.span / 2)
        for name in ("gain", "read", "row", "bias"):
            assert getattr(at, name) == pytest.approx((setting[name] or 0) / 2, abs=2e-6)
        assert at.shape == pytest.approx(setting["shape"])


def test_all_but_the_shape_and_the_step_scale():
    noise = NoiseModel(2.0, 3.0, 0.1, 0.5, 0.25, step=1.0)
    assert noise.scaled(4) == NoiseModel(8.0, 12.0, 0.1, 2.0, 1.0, step=1.0)


def test_variance_is_a_sum_of_its_parts():
    noise = NoiseModel(2.0, 3.0, None, 5.0, 7.0, step=6.0)
    still = 9 + 25 + 49 + 3
    expected = [still, still, 2 * 10 + still]
    assert noise.variance(np.array([-5.0, 0.0, 10.0])) == pytest.approx(expected)
    assert noise.sigma(np.array([10.0])) == pytest.approx([(20 + still) ** 0.5])


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=lambda c: c.name)
def test_black_levels_are_off_by_position_of_the_period(cfa):
    noisy = NoiseModel(1e-6, bias=3.0, step=0).add(np.zeros((31, 44)), NumPySampler(0), cfa.period)
    period = noisy[: cfa.period, : cfa.period]
    assert len(np.unique(period)) == cfa.period**2
    rows, columns = np.indices(noisy.shape) % cfa.period
    np.testing.assert_array_equal(noisy, period[rows, columns])


@settings(deadline=None)
@given(st.floats(-0.3, 0.4))
def test_tukey_noise_is_symmetric_of_deviation_one_and_has_the_asked_tails(shape):
    uniform = (np.arange(200_001) + 0.5) / 200_001
    made = tukey_lambda(uniform, shape)
    np.testing.assert_allclose(made, -made[::-1], atol=1e-9)
    assert np.diff(made).min() > 0
    # its quantiles are (u^λ - (1-u)^λ) / λ: the ratio of two of them tells λ
    if abs(shape) > 0.01:
        far, near = (((u**shape) - (1 - u) ** shape) / shape for u in (0.99, 0.75))
        assert np.interp(0.99, uniform, made) == pytest.approx(far / tukey_std(shape), rel=1e-4)
        assert np.interp(0.75, uniform, made) == pytest.approx(near / tukey_std(shape), rel=1e-4)
    assert made.std() == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize("cfa", [*BAYER_ORDERS, X_TRANS, X_TRANS.crop(1, 4)])
def test_noise_is_estimated_whatever_the_cfa(cfa):
    """From a coloured ramp of odd size, with a different black level at each position."""
    ramp = np.linspace(0, 2000, 511)[None, None, :] * np.array([0.5, 1, 0.3])[:, None, None]
    clean = mosaic(np.broadcast_to(ramp, (3, 501, 511)).copy(), cfa).astype(np.float32)
    found = estimate_noise(photo(NoiseModel(2.0, 5.0).add(clean, NumPySampler(0)), cfa))
    assert found.gain == pytest.approx(2, rel=0.1)
    assert found.read == pytest.approx(5, rel=0.15)


def test_texture_and_saturated_areas_do_not_count_as_noise():
    """Half of the frame is a fine grating; a tenth is saturated and therefore without noise."""
    clean = np.linspace(0, 3000, 512)[None, :] * np.ones((400, 1))
    clean[::2, ::64] *= 2
    noisy = NoiseModel(2.0, 5.0).add(clean.astype(np.float32), NumPySampler(0))
    noisy[:40] = SPAN
    found = estimate_noise(photo(noisy))
    assert found.gain == pytest.approx(2, rel=0.15)
    assert found.read == pytest.approx(5, rel=0.3)


@pytest.mark.parametrize("level", [0, 300, SPAN])
@pytest.mark.parametrize("size", [(16, 16), (400, 400)])
def test_a_photo_without_noise_has_some_of_its_own(level, size):
    """Never 0: the estimate contains at least the quantisation noise."""
    found = estimate_noise(photo(np.full(size, level)))
    assert 0 < found.gain < 0.1
    assert 0.1 < found.read < 2


def test_a_profile_is_the_mean_of_its_channels():
    dark = photo(np.zeros((8, 8)), noise_profile=((1e-4, 4e-8), (3e-4, 0), (2e-4, 8e-8)))
    noise, _ = noise_of(dark)
    assert (noise.gain, noise.read) == pytest.approx((2e-4 * SPAN, 2e-4 * SPAN))
    nothing, source = noise_of(dark.replace(noise_profile=((0.0, -1e-8),)))
    assert nothing.gain > 0
    assert nothing.read > 0
    assert "implausible" in source


def test_a_known_camera_of_unknown_iso_is_measured_from_the_photo():
    dark = photo(np.zeros((8, 8)), shot=Shot(model="ILCE-7SM2"))
    assert noise_of(dark)[1] == "the photo itself"
    assert noise_of(dark.replace(shot=Shot(iso=800)))[1] == "the photo itself"
    known = noise_of(dark.replace(shot=Shot(model="ILCE-7SM2", iso=800)))
    assert known[1] == "measurements of the ILCE-7SM2"
    (sony,) = (c for c in cameras() if "ILCE-7SM2" in c.models)
    assert known[0] == sony.at(800, SPAN)


# --- exposure


@settings(deadline=None, max_examples=30)
@given(
    cfa=st.sampled_from([RGGB, X_TRANS]),
    blocks=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    seed=st.integers(0, 9),
)
def test_levels_are_those_of_green_in_each_block(cfa, blocks, seed):
    """A flat green a block, red and blue any, comes out exactly; a hot pixel is left out."""
    side = 8 * cfa.cell
    random = np.random.default_rng(seed)
    tones = random.integers(10, 9000, blocks)
    green = np.repeat(np.repeat(tones, side, 0), side, 1)
    red, blue = 9000 * random.random((2, *green.shape))
    signal = mosaic(np.stack([red, green, blue]), cfa)
    signal[tuple(np.argwhere(signal == green)[seed])] = SPAN
    np.testing.assert_allclose(block_levels(photo(signal, cfa)), tones / SPAN, rtol=1e-4)


@pytest.mark.parametrize("cfa", [*BAYER_ORDERS, X_TRANS])
def test_levels_are_the_same_in_bands_of_rows(cfa):
    """A frame higher than a band of rows, each row of blocks lighter than the one above."""
    side = 8 * cfa.cell
    tones = np.arange(1, 61)
    green = np.repeat(tones * 100.0, side)[:, None] * np.ones((1, 2 * side))
    levels = block_levels(photo(mosaic(np.stack([0 * green, green, 0 * green]), cfa), cfa))
    assert levels.shape == (60, 2)
    np.testing.assert_allclose(levels[:, 0], tones * 100 / SPAN, rtol=1e-4)


def flat(level, bright=None, **changes):
    """A grey frame, its right tenth at another level."""
    plane = np.full((160, 160), level * SPAN)
    plane[:, 144:] = (level if bright is None else bright) * SPAN
    return photo(plane, **changes)


@pytest.mark.parametrize(
    ("level", "bright", "amplification", "why"),
    [
        (0.01, 0.1, MIDDLE_LEVEL / 0.01, f"brings the middle tone of the scene to {MIDDLE_LEVEL}"),
        (
            0.01,
            None,
            HIGHLIGHT_LEVEL / 0.01,
            f"brings the brightest part of the scene to {HIGHLIGHT_LEVEL}",
        ),
        (
            0.01,
            0.5,
            WHITE_LEVEL / 0.5,
            "holds all but light sources below 3, where detail still shows",
        ),
        (0.7, None, 1, "bright enough as it is"),
        (0.0001, None, MAX_AMPLIFICATION, "the most there is; the middle tone only reaches 0.030"),
        (0.0, None, MAX_AMPLIFICATION, "the most there is; the middle tone only reaches 0.000"),
    ],
)
def test_what_is_proposed_and_why(level, bright, amplification, why):
    proposed = propose_exposure(flat(level, bright))
    assert proposed.amplification == pytest.approx(amplification, rel=0.02)
    assert proposed.reason == why


def test_what_counts_as_white_may_be_another():
    dark = flat(0.01, 0.5)
    assert propose_exposure(dark, 1.0).amplification == pytest.approx(2, rel=0.01)
    assert "below 1," in propose_exposure(dark, 1.0).reason
    assert as_exposure(None, dark, 1.0) == propose_exposure(dark, 1.0)
    assert parse_exposure("auto").of(dark, 1.0) == propose_exposure(dark, 1.0)
    assert parse_exposure("auto+1").of(dark, 1.0).amplification == pytest.approx(4, rel=0.01)


def test_what_was_asked_for_is_said():
    dark = flat(0.01, 0.1)
    assert as_exposure(7, dark) == Exposure(7.0, "as given")
    assert as_exposure(Exposure(3.0, "why"), dark) == Exposure(3.0, "why")
    assert parse_exposure("2").of(dark) == Exposure(4.0, "+2 EV, as asked")
    assert parse_exposure("-0.5").of(dark).reason == "-0.5 EV, as asked"
    relative = parse_exposure("auto-1").of(dark)
    assert relative.reason == f"{propose_exposure(dark).reason}; -1 EV, as asked"
    assert relative.amplification == pytest.approx(MIDDLE_LEVEL / 0.01 / 2, rel=0.02)


@pytest.mark.parametrize("text", ["16", "-16", "auto+16", "auto-16", "AUTO", " .5 ", "3.", "0"])
def test_words_that_are_exposures(text):
    assert abs(parse_exposure(text).ev) <= MAX_EV
    assert parse_exposure(text).relative == ("auto" in text.lower())


@pytest.mark.parametrize(
    "text", ["16.01", "-17", "auto+16.5", "auto1", "auto 1", "+", "auto+", "."]
)
def test_words_that_are_not_exposures(text):
    with pytest.raises(ValueError, match=f"from -{MAX_EV} to {MAX_EV}"):
        parse_exposure(text)


SETTINGS = {"exposure_time": 1 / 50, "aperture": 4.0, "iso": 1600.0}


@pytest.mark.parametrize("missing", SETTINGS)
def test_without_a_setting_there_is_no_exposure_value(missing):
    some = Shot(**(SETTINGS | {missing: None}))
    assert exposure_value(some) is None
    assert scene_lux(flat(0.18, shot=some)) is None
    known = exposure_ratio(some, Shot(**SETTINGS))
    assert known == (None if missing == "exposure_time" else pytest.approx(1))
    assert exposure_ratio(Shot(**SETTINGS), some) == known


def test_a_stop_is_a_factor_of_two():
    shot = Shot(**SETTINGS)
    assert exposure_value(shot) == pytest.approx(np.log2(16 * 50 / 16))
    for name, factor in (("exposure_time", 2), ("iso", 2), ("aperture", 0.5**0.5)):
        brighter = Shot(**(SETTINGS | {name: SETTINGS[name] * factor}))
        assert exposure_value(brighter) == pytest.approx(exposure_value(shot) - 1)
        assert exposure_ratio(shot, brighter) == pytest.approx(2)


def test_a_scene_has_light_in_proportion_to_its_middle_tone():
    shot = Shot(**SETTINGS)
    assert scene_lux(flat(0.18, shot=shot)) == pytest.approx(2.5 * 50, rel=0.01)
    assert scene_lux(flat(0.018, shot=shot)) == pytest.approx(12.5, rel=0.01)
    assert scene_lux(flat(0.0, shot=shot)) is None


def test_packing_needs_no_more_than_the_periods_that_hold_the_mosaic():
    for cfa in PHASES:
        packed = pack(np.zeros((13, 20)), cfa)
        periods = [-(-(n + s) // cfa.period) for n, s in zip((13, 20), cfa.shift, strict=True)]
        per = cfa.period // cfa.cell
        assert packed.shape == (cfa.cell**2, periods[0] * per, periods[1] * per)
