"""The noise estimated again on a first restoration: texture is no longer taken for noise."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import undark
from frames import BLACK, WHITE, as_mosaic
from undark.demo import load_scene
from undark.restoring.bands import run_network
from undark.restoring.second_look import second_look
from undark.sensor.cfa import RGGB, X_TRANS, mosaic
from undark.sensor.noise import NoiseModel, NumPySampler
from undark.sensor.profiles.lookup import estimate_of

SPAN = WHITE - BLACK
NOISE = NoiseModel(gain=1.5, read=4.0)
AMPLIFICATION = 60.0


def photo(cfa, texture, noise=NOISE, seed=0):
    """Undark's scene with fine texture, `texture` of its light, of a camera without a name."""
    random = np.random.default_rng(seed)
    light = load_scene()[300:948, 600:1608]
    grain = gaussian_filter(random.normal(0, 3.5, light.shape[:2]), 1)  # of variance 1
    light = light * np.exp(texture * grain)[..., None]
    light[:, : light.shape[1] // 3] = 0.3  # a wall
    signal = mosaic(np.moveaxis(light, -1, 0), cfa) * (SPAN / AMPLIFICATION)
    noisy = noise.add(signal.clip(0, SPAN).astype(np.float32), NumPySampler(seed))
    return as_mosaic(noisy, cfa, white_balance=np.ones(3, np.float32))


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=["Bayer", "X-Trans"])
def test_texture_is_no_noise(cfa):
    dark = photo(cfa, texture=0.5)
    first = estimate_of(dark).noise
    restored = undark.restore(dark, exposure=AMPLIFICATION)
    assert restored.estimate.noise == restored.noise
    level = np.float64(0.1 * SPAN / AMPLIFICATION)
    before, after = (float(n.sigma(level) / NOISE.sigma(level)) for n in (first, restored.noise))
    assert abs(after - 1) < 0.1
    assert abs(after - 1) <= abs(before - 1) + 0.02


def test_too_high_an_estimate_is_lowered():
    dark, model = photo(RGGB, texture=0.1), undark.load_model()
    wrong = replace(NOISE, gain=1.4 * NOISE.gain, read=1.4 * NOISE.read)

    found = second_look(dark, wrong, AMPLIFICATION, partial(run_network, model))
    assert found.read == pytest.approx(NOISE.read, rel=0.1)
    assert found.gain == pytest.approx(NOISE.gain, rel=0.15)


def test_noise_that_is_known_stays(make_mosaic):
    given = undark.restore(photo(RGGB, 0.1), exposure=AMPLIFICATION, noise=NOISE)
    assert given.noise == NOISE
    tagged = make_mosaic(shape=(480, 480), noise_profile=((1e-4, 4e-8),))
    made = undark.restore(tagged, exposure=20.0)
    assert made.noise_source == "DNG NoiseProfile"
    assert made.noise.gain == pytest.approx(1e-4 * tagged.span, rel=0.01)


@pytest.mark.parametrize("brightest", [0.4, 6.0])
def test_single_photons_are_no_outliers(brightest):
    """A sensor that reads with a twentieth of a photon; the scene's brightest has so many."""
    noise = NoiseModel(gain=200.0, read=10.0)
    amplification = SPAN / (brightest * noise.gain)
    light = mosaic(np.moveaxis(load_scene()[300:948, 600:1608], -1, 0), RGGB)
    noisy = noise.add((light * (SPAN / amplification)).astype(np.float32), NumPySampler(2))
    dark = as_mosaic(noisy, RGGB, white_balance=np.ones(3, np.float32))
    found = undark.restore(dark, exposure=amplification, quality="fast").noise
    assert found.gain == pytest.approx(noise.gain, rel=0.15)


def test_crushed_blacks_keep_the_first_estimate():
    dark = photo(RGGB, 0.1)
    crushed = dark.replace(plane=np.maximum(dark.plane, BLACK + 2))
    assert second_look(crushed, NOISE, AMPLIFICATION, None) is NOISE
