"""The noise of finished pictures, from the pictures alone, against noise that was added."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undark.develop.colour import decode_srgb, encode_srgb
from undark.develop.picture_noise import BLOCK, picture_noise

FLAT = (320, 256, 3)


def noisy(levels, sigma, seed=0):
    """Linear light of a picture with white noise, both given after sRGB's curve."""
    random = np.random.default_rng(seed)
    return decode_srgb((levels + random.normal(0, sigma, np.shape(levels))).clip(0, 1))


@settings(max_examples=40, deadline=None)
@given(st.floats(0.004, 0.08), st.floats(0.4, 0.6), st.integers(0, 1000))
def test_white_noise_on_a_slope_is_measured(sigma, level, seed):
    ramp = level + np.linspace(-0.02, 0.02, FLAT[1])[:, None] + np.zeros(FLAT)
    found = picture_noise(noisy(ramp, sigma, seed), 1)
    # the flattest fifth of the blocks has by chance a little less
    assert 0.88 * sigma < found.level < 1.05 * sigma
    # red - green and blue - green, by the root of two
    assert 0.85 * sigma < found.difference < 1.05 * sigma


def test_amplification_and_levels():
    dark = noisy(np.full(FLAT, 0.5), 0.03) / 20
    told = picture_noise(dark, 20)
    assert told.level == pytest.approx(0.03, rel=0.1)
    stored = np.rint(65535 * encode_srgb(dark)).astype(np.uint16)
    assert picture_noise(stored, 20) == pytest.approx(told, rel=0.001)


def test_grey_texture_hardly_counts_in_differences():
    random = np.random.default_rng(1)
    texture = np.broadcast_to(random.uniform(0.2, 0.8, (*FLAT[:2], 1)), FLAT)
    found = picture_noise(noisy(texture, 0.01), 1)
    assert found.level > 0.1
    assert found.difference == pytest.approx(0.01, rel=0.1)


def test_a_picture_without_colours():
    random = np.random.default_rng(3)
    grey = decode_srgb(0.5 + random.normal(0, 0.02, (*FLAT[:2], 1))) * np.ones(3)
    found = picture_noise(grey, 1)
    assert found.level == found.difference == pytest.approx(0.02, rel=0.1)


def test_a_flat_part_is_enough():
    random = np.random.default_rng(2)
    levels = np.full(FLAT, 0.5)
    levels[100:] = random.uniform(0.2, 0.8, levels[100:].shape)
    assert picture_noise(noisy(levels, 0.02), 1).level == pytest.approx(0.02, rel=0.15)


def test_black_and_white_parts_do_not_count():
    levels = np.full(FLAT, 0.5)
    levels[:100], levels[100:200] = 0, 1.2
    assert picture_noise(noisy(levels, 0.02), 1).level == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize("shape", [(BLOCK - 1, 500, 3), (1, 1, 3)])
def test_a_picture_smaller_than_a_block(shape):
    assert picture_noise(np.full(shape, 0.1), 3) == (0, 0)


@pytest.mark.parametrize("level", [0, 255])
def test_a_picture_without_anything(level):
    assert picture_noise(np.full((64, 64, 3), level, np.uint8), 10) == (0, 0)
