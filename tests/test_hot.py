"""Hot and dead pixels: they go, stars and detail stay. Skies are those of `benchmarks/stars.py`."""

import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from frames import as_mosaic
from undark.sensor.cfa import BAYER_ORDERS, RGGB, X_TRANS, mosaic
from undark.sensor.hot import mend
from undark.sensor.noise import NoiseModel, NumPySampler

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from stars import KEPT, hot_gone, on_the_sky, shoot, stars_kept

NOISE = NoiseModel(gain=1.5, read=6.0)
SIGMA = 8.1
"""Of a pixel of the sky of 20 DN: sqrt(1.5·20 + 6² + 1/12)."""


def flat(cfa=RGGB, shape=(96, 96), level=20.0, seed=0):
    """(H, W) DN above black with noise."""
    return NOISE.add(np.full(shape, level, np.float32), NumPySampler(seed), cfa.period)


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=lambda cfa: cfa.name)
@pytest.mark.parametrize("iso", [400, 1600])
def test_stars_stay_and_hot_pixels_go(cfa, iso):
    sky = shoot(cfa, 256, 0.01, iso, seed=3, camera="ILCE-7SM2")
    mended = mend(sky.mosaic, sky.noise)
    done = mended.mosaic.plane
    assert (stars_kept(sky, done) >= KEPT).mean() >= 0.98
    assert hot_gone(sky, done)[on_the_sky(sky)].mean() >= 0.985
    changed = np.flatnonzero(done != sky.mosaic.plane)
    assert set(changed.tolist()) <= set(mended.pixels.tolist())
    assert (done != sky.mosaic.plane)[~sky.hot].mean() < 0.001


@pytest.mark.parametrize("cfa", [*BAYER_ORDERS, X_TRANS], ids=lambda cfa: cfa.name)
def test_every_colour_and_adjacent_pairs(cfa):
    signal = flat(cfa)
    places = [(y, x + (y // 12) % 6) for y in range(7, 90, 12) for x in range(7, 84, 12)]
    for number, (y, x) in enumerate(places):
        signal[y, x] += 100 * SIGMA
        if number % 2:
            signal[y, x + 1] += 60 * SIGMA
    mended = mend(as_mosaic(signal, cfa), NOISE)
    assert mended.count >= len(places) + len(places) // 2
    assert np.abs(mended.mosaic.signal() - 20).max() < 6 * SIGMA


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=lambda cfa: cfa.name)
def test_adjacent_pixels_that_are_alike(cfa):
    """Each is judged against a background of its own: neither may wait for the other for ever."""
    signal = NOISE.add(
        np.random.default_rng(1).uniform(0, 60, (16, 16)).repeat(12, 0).repeat(12, 1),
        NumPySampler(0),
        cfa.period,
    )
    for number, (y, x) in enumerate(product(range(5, 190, 12), repeat=2)):
        signal[y, x] += 180 * SIGMA
        signal[y + 1, x + number % 3 - 1] += 180 * SIGMA
    mended = mend(as_mosaic(signal, cfa), NOISE)
    assert (mended.mosaic.signal() > 90 * SIGMA).sum() == 0


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=lambda cfa: cfa.name)
def test_two_fainter_ones_beside_a_hot_pixel_make_no_star(cfa):
    signal = flat(cfa)
    places = list(product(range(8, 90, 9), repeat=2))  # 3.7 %, at every phase
    for y, x in places:
        for down, across, height in ((0, 0, 240), (-1, 0, 43), (0, -1, 32)):
            signal[y + down, x + across] += height * SIGMA
    mended = mend(as_mosaic(signal, cfa), NOISE)
    assert (mended.mosaic.signal() > 20 * SIGMA).sum() <= 0.02 * 3 * len(places)


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=lambda cfa: cfa.name)
def test_adjacent_pixels_at_the_edges(cfa):
    """What is copied around the frame has their light until they are mended."""
    signal = flat(cfa)
    for n in range(8, 90, 12):
        for y, x in ((95, n), (0, n), (n, 95), (n, 0)):
            signal[y, x] += 200 * SIGMA
        for y, x in ((94, n), (1, n), (n, 94), (n, 1)):
            signal[y, x] += 700 * SIGMA
    mended = mend(as_mosaic(signal, cfa), NOISE)
    assert mended.mosaic.signal().max() < 100 * SIGMA


def test_a_pixel_between_hot_ones_of_its_colour():
    """It does not stand out before they are mended."""
    signal = flat()
    for y, x in product(range(9, 90, 12), repeat=2):
        for across, height in ((-2, 200), (0, 150), (2, 180)):
            signal[y, x + across] += height * SIGMA
    assert mend(as_mosaic(signal), NOISE).mosaic.signal().max() < 20 + 8 * SIGMA


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=lambda cfa: cfa.name)
def test_corners(cfa):
    """A corner is not compared with copies of itself."""
    for y, x in product((0, 1, 94, 95), repeat=2):
        signal = flat(cfa)
        signal[y, x] += 200 * SIGMA
        assert mend(as_mosaic(signal, cfa), NOISE).mosaic.signal().max() < 20 + 7 * SIGMA


def test_dead_pixels_of_a_bright_area():
    signal = flat(level=2000.0)
    signal[10::16, 11::16] = 0
    mended = mend(as_mosaic(signal), NOISE)
    assert mended.mosaic.signal().min() > 2000 - 6 * float(NOISE.sigma(np.float32(2000)))


def test_pixels_at_the_edges():
    signal = flat()
    hot = [(0, 40), (1, 60), (95, 33), (50, 0), (61, 95)]
    for at in hot:
        signal[at] += 50 * SIGMA
    mended = mend(as_mosaic(signal), NOISE)
    assert {y * 96 + x for y, x in hot} <= set(mended.pixels.tolist())


def test_a_clean_frame_is_left_alone():
    mended = mend(as_mosaic(flat(shape=(240, 240))), NOISE)
    assert mended.count == 0


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=lambda cfa: cfa.name)
@pytest.mark.parametrize("photons", [0.03, 0.1, 0.3, 1.0, 3.0])
def test_single_photons_are_no_hot_pixels(cfa, photons):
    """They stand out of a sensor whose read noise is far below one of them."""
    noise = NoiseModel(gain=180.0, read=10.0)
    light = np.full((192, 192), photons * noise.gain, np.float32)
    signal = noise.add(light, NumPySampler(1), cfa.period)
    hot = np.zeros(signal.shape, bool)
    hot[20:180:16, 20:180:16] = True
    signal[hot] += 25 * noise.gain
    mended = mend(as_mosaic(signal, cfa), noise)
    found = np.zeros(signal.shape, bool)
    found.ravel()[mended.pixels] = True
    assert found[hot].mean() > 0.9
    assert found[~hot].mean() < 5e-4
    lost = (signal - mended.mosaic.signal())[~hot].mean()
    assert abs(lost) < 0.02 * photons * noise.gain


def test_a_few_bright_hot_pixels_are_found():
    signal = flat(shape=(480, 480))
    hot = [(40, 50), (131, 77), (200, 9)]
    for at in hot:
        signal[at] += 60 * SIGMA
    mended = mend(as_mosaic(signal), NOISE)
    assert {y * 480 + x for y, x in hot} <= set(mended.pixels.tolist())
    assert mended.count < 10  # what stands out little is rather noise or detail


def test_wrong_noise_does_not_mend_the_noise():
    # told a fifth of the true sigma, as of 8-bit data stretched to 14
    told = NoiseModel(gain=1.5 / 25, read=6 / 5)
    mended = mend(as_mosaic(flat(shape=(240, 240))), told)
    assert mended.count < 0.005 * 240**2


@pytest.mark.parametrize("width", [1, 2])
def test_lines_and_edges_stay(width):
    # drawn by a lens as narrow as the stars' narrowest: 1.2 pixels at half maximum
    across = np.arange(96) - 48.3
    line = 40 * SIGMA * 0.5 ** (4 * (np.clip(np.abs(across) - width / 2, 0, None) / 1.2) ** 2)
    for rgb in (
        line[:, None] + 0 * line,
        line + 0 * line[:, None],
        np.where(across > 0, 300, 0)[:, None] + 0 * line,
    ):
        light = mosaic(np.stack([rgb / 2, rgb, rgb / 1.6]).astype(np.float32), RGGB)
        noisy = NOISE.add(light + 20, NumPySampler(1))
        after = mend(as_mosaic(noisy), NOISE).mosaic.signal()
        lost = (np.rint(noisy) - after)[light > 5 * SIGMA].sum() / light.sum()
        assert abs(lost) < 0.005


def test_known_pixels_are_mended_in_any_case():
    signal = flat()
    known = np.array([6 * 96 + 20])  # red: its nearest are two rows or columns away
    mended = mend(as_mosaic(signal), NOISE, known)
    assert known[0] in mended.pixels
    near = np.sort(np.rint(signal)[[4, 8, 6, 6], [20, 20, 18, 22]])
    assert mended.mosaic.signal()[6, 20] == np.rint(near[1:3].mean())


def test_tiny_frames():
    tiny = as_mosaic(flat(shape=(3, 3)))
    assert mend(tiny, NOISE).mosaic is tiny
    assert mend(as_mosaic(flat(X_TRANS, (13, 17)), X_TRANS), NOISE).mosaic.shape == (13, 17)
