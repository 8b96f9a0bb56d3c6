"""The classical methods: each one's defining property."""

import numpy as np
import pytest

from undark.develop.classical import (
    BAND,
    TONES,
    clahe,
    gamma,
    histogram,
    non_local_means,
    retinex,
)
from undark.develop.metrics import psnr


@pytest.fixture(scope="module")
def ramp():
    """(H, W, 3): a dark ramp in a colour, with texture."""
    tones = np.linspace(0.02, 0.3, 200, dtype=np.float32) ** 2 * 4
    texture = 1 + 0.2 * np.sin(np.arange(150, dtype=np.float32))[:, None]
    return (texture * tones)[..., None] * np.array([1, 0.7, 0.4], np.float32)


@pytest.mark.parametrize("name", TONES)
def test_a_picture_comes_of_a_picture(ramp, name):
    before = ramp.copy()
    toned = TONES[name](ramp)
    assert (toned.shape, toned.dtype) == (ramp.shape, np.float32)
    assert toned.min() >= 0
    assert toned.max() <= 1
    assert np.array_equal(ramp, before)
    assert TONES[name](np.zeros((64, 64, 3), np.float32)).max() <= 1  # black breaks nothing


@pytest.mark.parametrize("tone", [histogram, clahe, retinex])
def test_hue_and_saturation_stay(ramp, tone):
    toned = tone(ramp)
    bright = toned[..., 0] > 0.05
    assert toned[bright] / toned[bright][:, :1] == pytest.approx(
        np.broadcast_to([1, 0.7, 0.4], (bright.sum(), 3)), abs=1e-3
    )


def test_gamma_brings_the_middle_tone_to_one_half(ramp):
    assert np.median(gamma(ramp).max(axis=-1)) == pytest.approx(0.5, abs=1e-3)


def test_equalised_tones_are_equally_frequent(ramp):
    counts, _ = np.histogram(histogram(ramp)[..., 0], 5, (0, 1))
    assert counts == pytest.approx(np.full(5, counts.mean()), rel=0.05)


def test_clahe_raises_local_contrast(ramp):
    assert clahe(ramp)[:, 20, 0].std() > 2 * ramp[:, 20, 0].std()


def test_retinex_takes_away_the_light_and_keeps_the_texture():
    """A texture whose illumination falls tenfold across the frame, and evenly illuminated."""
    texture = 0.3 + 0.2 * np.sin(np.arange(400) / 3)[:, None] * np.sin(np.arange(600) / 3)
    fading = np.geomspace(1, 0.1, 600)

    def shown(light):
        picture = np.repeat((texture * light)[..., None], 3, axis=-1).astype(np.float32)
        value = retinex(picture)[50:-50, 100:-100, 0]
        return value.mean(axis=0)[:200].mean() / value.mean(axis=0)[-200:].mean()

    assert shown(np.ones(600)) == pytest.approx(1, abs=0.05)
    assert shown(fading) < 2 < fading[200] / fading[-200]


def test_non_local_means_takes_noise_away_without_seams():
    rows, columns = np.indices((2 * BAND + 40, 120)) // 24
    clean = np.repeat(((rows + columns) % 2 * 0.4 + 0.3)[..., None], 3, -1).astype(np.float32)
    noisy = clean + 0.1 * np.random.default_rng(0).standard_normal(clean.shape).astype(np.float32)
    done = non_local_means(noisy)
    assert psnr(done, clean) > psnr(noisy, clean) + 8
    errors = ((done - clean) ** 2).mean(axis=(1, 2))
    seam = np.r_[BAND - 3 : BAND + 3, 2 * BAND - 3 : 2 * BAND + 3]
    assert errors[seam].mean() < 2 * np.median(errors)
