"""PSNR and SSIM beside scikit-image's, and the brightness correction."""

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from undark.develop.metrics import (
    BLOCK,
    brightness_correction,
    colour_error,
    dark_block_errors,
    psnr,
    ssim,
)


def pair(shape, noise=0.1):
    random = np.random.default_rng(0)
    smooth = np.cumsum(random.standard_normal(shape), axis=0)
    truth = (smooth - smooth.min()) / np.ptp(smooth)
    return truth, np.clip(truth + noise * random.standard_normal(shape), 0, 1)


@pytest.mark.parametrize("shape", [(64, 48), (33, 57, 3), (40, 41, 4), (7, 7)])
@pytest.mark.parametrize("noise", [0.0003, 0.1])
@pytest.mark.parametrize("data_range", [1, 255])
def test_as_scikit_image(shape, noise, data_range):
    a, b = (picture * data_range for picture in pair(shape, noise))
    axis = -1 if len(shape) == 3 else None
    theirs = structural_similarity(a, b, data_range=data_range, channel_axis=axis)
    assert ssim(a, b, data_range) == pytest.approx(theirs, abs=1e-6)
    theirs = peak_signal_noise_ratio(a, b, data_range=data_range)
    assert psnr(a, b, data_range) == pytest.approx(theirs, abs=1e-6)


def test_large_pictures_lose_no_accuracy():
    a, b = pair((900, 700), 0.01)
    a, b = 0.9 + a / 1000, 0.9 + b / 1000  # little contrast, much light
    theirs = structural_similarity(a, b, data_range=1)
    assert ssim(a, b) == pytest.approx(theirs, abs=1e-6)


def test_bytes_do_not_overflow():
    a = np.full((8, 8), 250, np.uint8)
    b = np.full((8, 8), 5, np.uint8)
    assert psnr(a, b, 255) == pytest.approx(20 * math.log10(255 / 245))


def test_equal_pictures():
    a, _ = pair((20, 20))
    assert psnr(a, a) == math.inf
    assert ssim(a, a) == pytest.approx(1)


def test_known_value():
    assert psnr(np.zeros((4, 4)), np.full((4, 4), 0.1)) == pytest.approx(20)


def test_sizes_that_cannot_be_compared():
    with pytest.raises(ValueError, match="different sizes"):
        psnr(np.zeros((4, 4)), np.zeros((4, 5)))
    with pytest.raises(ValueError, match="7×7"):
        ssim(np.zeros((6, 9)), np.zeros((6, 9)))


def test_brightness_correction_finds_the_factor():
    truth, _ = pair((30, 30, 4))
    truth = truth * 0.9
    assert brightness_correction(truth / 1.25, truth) == pytest.approx(1.25)


def test_brightness_correction_leaves_out_saturated_pixels():
    truth = np.array([[0.2, 0.4, 1.0]])
    assert brightness_correction(np.array([[0.1, 0.2, 0.9]]), truth) == pytest.approx(2)


def test_brightness_correction_minimises_the_error():
    truth, noisy = pair((30, 30), 0.2)
    truth, noisy = truth * 0.8, noisy * 0.7
    best = brightness_correction(noisy, truth)
    errors = [np.mean((f * noisy - truth) ** 2) for f in (best * 0.99, best, best * 1.01)]
    assert np.argmin(errors) == 1


def test_brightness_correction_of_a_black_picture():
    assert brightness_correction(np.zeros((3, 3)), np.ones((3, 3)) / 2) == 1


def test_errors_of_the_dark_blocks():
    """Nine blocks of known levels: the three darkest count, with the errors put into them."""
    levels = np.array([[9, 1, 8], [2, 7, 3], [6, 5, 4]]) / 10.0
    truth = np.repeat(np.repeat(levels, BLOCK, 0), BLOCK, 1)[..., None] * np.ones(3)
    truth = np.pad(truth, ((0, 5), (0, 7), (0, 0)))  # fills no block: left out
    off = np.zeros_like(truth)
    off[:BLOCK, BLOCK : 2 * BLOCK] = (0.02, 0, 0)
    off[BLOCK : 2 * BLOCK, :BLOCK] = 0.01
    off[:BLOCK, :BLOCK] = 1.0  # the brightest
    noise = np.random.default_rng(0).normal(0, 0.05, truth.shape)
    blocks = noise[: 3 * BLOCK, : 3 * BLOCK].reshape(3, BLOCK, 3, BLOCK, 3).mean(axis=(1, 3))
    noise[: 3 * BLOCK, : 3 * BLOCK] -= np.repeat(np.repeat(blocks, BLOCK, 0), BLOCK, 1)
    errors = dark_block_errors(truth + off + noise, truth)
    assert errors == pytest.approx(np.array([[0.02, 0, 0], [0.01] * 3, [0] * 3]), abs=1e-12)
    # (2/3, -1/3, -1/3) · 0.02 in one of three blocks
    assert colour_error(errors) == pytest.approx(0.02 * math.sqrt(6 / 9 / 9))
    with pytest.raises(ValueError, match="no block of 16 pixels"):
        dark_block_errors(truth[:8], truth[:8])
