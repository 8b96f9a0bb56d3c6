import numpy as np
import pytest

from undark.sensor.cfa import RGGB
from undark.sensor.exposure import (
    HIGHLIGHT_LEVEL,
    MAX_AMPLIFICATION,
    MIDDLE_LEVEL,
    Exposure,
    exposure_ratio,
    exposure_value,
    parse_exposure,
    propose_exposure,
    scene_lux,
)
from undark.sensor.mosaic import Mosaic, Shot
from undark.sensor.noise import NoiseModel, NumPySampler

SPAN = 15871


def photo(level, noise=None, seed=0, **shot):
    """A 14-bit mosaic of a textured grey scene with a mean linear level (white 1)."""
    random = np.random.default_rng(seed)
    scene = np.repeat(np.repeat(random.uniform(0.5, 1.5, (24, 32)), 16, 0), 16, 1)
    signal = (scene * level * SPAN).astype(np.float32)
    if noise:
        signal = noise.add(signal, NumPySampler(seed))
    plane = np.clip(signal + 512, 0, 16383).astype(np.uint16)
    black = np.full((2, 2), 512, np.float32)
    return Mosaic(plane, RGGB, black, 16383, np.ones(3, np.float32), shot=Shot(**shot))


@pytest.mark.parametrize("ratio", [10, 100, 250])
def test_the_middle_tone_reaches_its_level(ratio):
    exposure = propose_exposure(contrasty(MIDDLE_LEVEL / ratio))
    assert exposure.amplification == pytest.approx(ratio, rel=0.15)
    assert "middle tone" in exposure.reason


def contrasty(level):
    """A textured scene whose middle tone is at the level; a tenth of it is ten times as bright."""
    grey = photo(level)
    plane = grey.plane.copy()
    bright = plane[:, : plane.shape[1] // 10]
    bright[:] = np.minimum(512 + 10 * (bright.astype(int) - 512), 16383)
    return grey.replace(plane=plane)


@pytest.mark.parametrize("ratio", [10, 100, 250])
def test_a_white_wall_becomes_white(ratio):
    # the scene's texture reaches 1.5 times its mean
    exposure = propose_exposure(photo(HIGHLIGHT_LEVEL / 1.5 / ratio))
    assert exposure.amplification == pytest.approx(ratio, rel=0.15)
    assert "brightest part" in exposure.reason


def test_noise_does_not_move_it():
    clean = propose_exposure(photo(0.001)).amplification
    for seed in range(3):
        noisy = propose_exposure(photo(0.001, NoiseModel(6.0, 7.1, -0.07, 0.7), seed))
        assert noisy.amplification == pytest.approx(clean, rel=0.1)


def test_hot_pixels_and_light_sources_do_not_move_it():
    clean = photo(0.001)
    plane = clean.plane.copy()
    hot = np.random.default_rng(1).random(plane.shape) < 2e-3
    plane[hot] = 16383
    plane[100:130, 200:230] = 16383  # a light source: 0.5 % of the frame
    lit = propose_exposure(clean.replace(plane=plane)).amplification
    assert lit == pytest.approx(propose_exposure(clean).amplification, rel=0.05)


def test_bright_parts_larger_than_lamps_hold_it_back():
    dark = photo(0.0006)
    plane = dark.plane.copy()
    plane[:, :128] = 512 + round(0.05 * SPAN)  # a quarter of the frame at 0.05
    exposure = propose_exposure(dark.replace(plane=plane))
    assert exposure.amplification == pytest.approx(60, rel=0.05)
    assert "all but light sources" in exposure.reason


def test_it_stays_between_1_and_300():
    assert propose_exposure(photo(0.5)).amplification == 1
    assert propose_exposure(photo(1e-6)).amplification == MAX_AMPLIFICATION


@pytest.mark.parametrize(("text", "ev"), [("3", 3), ("-1", -1), ("+2.5", 2.5), ("0", 0)])
def test_ev_means_a_power_of_two(text, ev):
    assert parse_exposure(text).of(photo(0.01)).amplification == pytest.approx(2.0**ev)


def test_auto_and_relative_to_auto():
    dark = photo(0.001)
    auto = propose_exposure(dark)
    assert parse_exposure("auto").of(dark) == auto
    assert parse_exposure("auto+1").of(dark).amplification == pytest.approx(2 * auto.amplification)
    assert parse_exposure("auto-0.5").of(dark).ev == pytest.approx(auto.ev - 0.5)


@pytest.mark.parametrize("text", ["", "bright", "auto1x", "nan", "1e9", "autoauto"])
def test_other_words_are_refused(text):
    with pytest.raises(ValueError, match="give auto, a number of EV"):
        parse_exposure(text)


def test_exposure_value_and_lux():
    shot = {"exposure_time": 1 / 60, "aperture": 2.0, "iso": 100.0}
    assert exposure_value(Shot(**shot)) == pytest.approx(7.907, abs=1e-3)
    assert exposure_value(Shot(iso=100)) is None
    metered = photo(0.18, **shot)
    assert scene_lux(metered) == pytest.approx(2.5 * 2**7.907, rel=0.15)
    assert scene_lux(photo(0.18)) is None


def test_exposure_in_ev():
    assert Exposure(8.0, "").ev == 3


def test_exposure_ratio():
    dark = Shot(exposure_time=1 / 50, aperture=4.0, iso=1600.0)
    bright = Shot(exposure_time=32.0, aperture=4.0, iso=100.0)
    assert exposure_ratio(dark, bright) == pytest.approx(100)
    assert exposure_ratio(bright, dark) == pytest.approx(0.01)
    wider = Shot(exposure_time=1 / 50, aperture=2.0, iso=1600.0)
    assert exposure_ratio(dark, wider) == pytest.approx(4)


def test_exposure_ratio_of_a_lens_without_contacts():
    dark, bright = Shot(exposure_time=0.1, iso=200.0), Shot(exposure_time=10.0, iso=200.0)
    assert exposure_ratio(dark, bright) == pytest.approx(100)
    one_sided = Shot(exposure_time=10.0, aperture=4.0)  # counts as the same for both
    assert exposure_ratio(dark, one_sided) == pytest.approx(100)
    assert exposure_ratio(dark, Shot(iso=200.0)) is None
