import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undark.sensor.blind import estimate_noise
from undark.sensor.cfa import BAYER_ORDERS, RGGB, X_TRANS
from undark.sensor.conditioning import condition, scale
from undark.sensor.mosaic import Mosaic, Shot
from undark.sensor.noise import NoiseModel, NumPySampler, tukey_lambda, tukey_std
from undark.sensor.profiles.cameras import cameras, find_camera
from undark.sensor.profiles.lookup import noise_of

FRAMES = 4000


def frames(noise, signal, count=FRAMES, seed=1):
    """Independent frames (count, 4, 8) of one clean signal (4, 8)."""
    return noise.add(np.broadcast_to(signal, (count, *signal.shape)), NumPySampler(seed))


@settings(max_examples=12, deadline=None)
@given(
    gain=st.floats(0.05, 20),
    read=st.floats(0.5, 25),
    shape=st.one_of(st.none(), st.floats(-0.15, 0.2)),
    row=st.floats(0, 3),
    bias=st.floats(0, 1),
    level=st.floats(0, 3000),
)
def test_predicted_sigma_is_the_spread_over_frames(gain, read, shape, row, bias, level):
    noise = NoiseModel(gain, read, shape, row, bias)
    signal = np.full((4, 8), level, np.float32)
    spread = frames(noise, signal).std(axis=0, dtype=np.float64)
    # 32 pixels share rows and black levels: the mean of their variances is known to about 1.5 %
    assert np.sqrt((spread**2).mean()) == pytest.approx(float(noise.sigma(signal).mean()), rel=0.03)


@pytest.mark.parametrize("camera", cameras(), ids=lambda c: c.models[0])
def test_predicted_sigma_holds_for_every_camera(camera):
    noise = camera.at(1600)
    signal = np.linspace(0, 400, 32, dtype=np.float32).reshape(4, 8)
    spread = (frames(noise, signal).var(axis=0, dtype=np.float64) / noise.variance(signal)).mean()
    assert spread**0.5 == pytest.approx(1, abs=0.03)


def test_noise_has_no_bias_of_its_own():
    noise = find_camera("ILCE-7SM2").at(6400)
    signal = np.full((4, 8), 20, np.float32)
    mean = frames(noise, signal, 20000).mean()
    # 20000 frames of 4 rows and 4 black levels: the mean is known to about 0.03 DN
    assert mean == pytest.approx(20, abs=0.15)


def test_rows_share_an_offset_and_positions_a_black_level():
    signal = np.full((6, 400), 0, np.float32)
    rows = NoiseModel(1.0, row=3.0, step=0).add(signal, NumPySampler(0))
    assert (rows.std(axis=1) < 1e-6).all()
    assert rows[:, 0].std() > 1
    biased = NoiseModel(1.0, bias=3.0, step=0).add(signal, NumPySampler(0))
    assert len(np.unique(biased)) == 4
    assert np.array_equal(biased[:2, :2], biased[4:, 398:])


def test_the_converter_rounds():
    noisy = NoiseModel(0.3, 2.0).add(np.full((8, 8), 10.3, np.float32), NumPySampler(0))
    assert np.array_equal(noisy, np.round(noisy))


@pytest.mark.parametrize(("shape", "expected"), [(0.14, 1.4527), (-0.14, 2.3784), (0.0, 1.8138)])
def test_tukey_lambda_scale(shape, expected):
    # FACTS: 1.45 times the scale at 0.14, 2.38 times at -0.14
    assert tukey_std(shape) == pytest.approx(expected, abs=1e-4)
    deviates = tukey_lambda(np.random.default_rng(0).random(400_000, np.float32), shape)
    assert deviates.std() == pytest.approx(1, abs=0.02)


def test_torch_and_numpy_agree():
    torch = pytest.importorskip("torch", reason="torch comes with undark[train]")
    from undark.learn.data.sampler import TorchSampler

    batch = NoiseModel(
        *(torch.tensor(v).float()[:, None, None] for v in ([0.4, 6.0], [2.0, 7.0], [0.1, -0.07]))
    )
    signal = torch.full((2, 64, 512), 50.0)
    noisy = batch.add(signal, TorchSampler(3, 4))
    for i, one in enumerate((NoiseModel(0.4, 2.0, 0.1), NoiseModel(6.0, 7.0, -0.07))):
        alone = one.add(signal[i].numpy(), NumPySampler(3))
        assert float(noisy[i].std()) == pytest.approx(float(alone.std()), rel=0.02)
        assert np.allclose(batch.sigma(signal)[i].numpy(), one.sigma(signal[i].numpy()))


@pytest.mark.parametrize("rate", [0.0, 0.003, 0.3, 2.0, 9.7, 10.0, 14.0, 60.0, 4000.0])
def test_torch_draws_photons_by_poissons_law(rate):
    torch = pytest.importorskip("torch", reason="torch comes with undark[train]")
    from undark.learn.data.sampler import TorchSampler

    count = 500_000
    drawn = TorchSampler(5, 6).poisson(torch.full((2, count // 2), rate)).flatten().long()
    assert drawn.min() >= 0
    assert float(drawn.double().mean()) == pytest.approx(rate, abs=4.5 * (rate / count) ** 0.5)
    # the frequency of every count, including the tails
    seen = torch.bincount(drawn)
    counts = torch.arange(len(seen))
    law = torch.exp(torch.special.xlogy(counts, rate) - rate - torch.lgamma(counts + 1.0))
    expected = count * law
    often = expected > 20
    off = (seen - expected)[often] / (expected[often] + (0.003 * expected[often]) ** 2) ** 0.5
    assert float(off.abs().max()) < 5
    assert float((seen - expected).abs().sum()) / count < 0.012 + 0.002 * rate**0.5


def test_cameras_are_found_by_model_and_scale_with_the_span():
    camera = find_camera("ilce-7sm2 ")
    assert camera is not None
    assert find_camera("ILCE-1") is None
    assert find_camera(None) is None
    assert camera.at(1600).gain == pytest.approx(1.5301)
    assert camera.at(1600, camera.span / 4).read == pytest.approx(camera.at(1600).read / 4)
    between = camera.at(1800)
    assert 1.5301 < between.gain < 1.9126
    beyond = camera.at(51200)
    assert beyond.gain == pytest.approx(2 * camera.at(25600).gain)


def _flat_with_texture(noise, seed=0):
    """A mosaic of a gradient from black to 2000 DN with some texture."""
    clean = np.linspace(0, 2000, 512, dtype=np.float32)[None, :] * np.ones((384, 1), np.float32)
    clean[100:150, ::7] *= 1.3
    noisy = noise.add(clean, NumPySampler(seed))
    plane = np.clip(noisy + 512, 0, 16383).astype(np.uint16)
    ones = np.ones(3, np.float32)
    return Mosaic(plane, RGGB, np.full((2, 2), 512, np.float32), 16383, ones)


@pytest.mark.parametrize(("gain", "read"), [(0.4, 2.0), (1.5, 6.3), (6.0, 7.1), (20.0, 22.0)])
def test_noise_is_estimated_from_the_photo(gain, read):
    found = estimate_noise(_flat_with_texture(NoiseModel(gain, read)))
    assert found.gain == pytest.approx(gain, rel=0.15)
    assert found.read == pytest.approx(read, rel=0.25)


def _seen(clean, noise, cfa=RGGB, seed=0):
    """A frame of a clean mosaic (H, W), DN above a black level of 512."""
    noisy = noise.add(clean, NumPySampler(seed), cfa.period)
    black = np.full(cfa.pattern.shape, 512, np.float32)
    plane = np.clip(noisy + 512, 0, 16383).astype(np.uint16)
    return Mosaic(plane, cfa, black, 16383, np.ones(3, np.float32))


@pytest.mark.parametrize("cfa", [*BAYER_ORDERS, X_TRANS, X_TRANS.crop(1, 2)], ids=lambda c: c.name)
@pytest.mark.parametrize("row", [0.0, 4.0])
def test_row_noise_is_part_of_the_estimate(cfa, row):
    clean = np.tile(np.linspace(0, 400, 900, dtype=np.float32), (720, 1))
    truth = NoiseModel(0.5, 3.0, row=row)
    found = estimate_noise(_seen(clean, truth, cfa))
    for level in (0.0, 100.0, 400.0):
        assert found.sigma(np.float32(level)) == pytest.approx(
            truth.sigma(np.float32(level)), rel=0.06
        )
    assert found.read == pytest.approx(3.0, rel=0.1)


def test_edges_of_the_scene_are_not_row_noise():
    """Horizontal and vertical edges, and fine texture in part of the width."""
    clean = np.full((720, 900), 50, np.float32)
    clean[200:] = 150
    clean[500:, 300:] = 20
    clean[::6, 600:] *= 1.3
    found = estimate_noise(_seen(clean, NoiseModel(0.5, 3.0)))
    assert found.row < 0.5


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=lambda c: c.name)
def test_the_black_levels_error_is_part_of_the_estimate(cfa):
    """One frame has few positions, so the variance is right on average over frames."""
    clean = np.tile(np.linspace(0, 400, 300, dtype=np.float32), (240, 1))
    noise = NoiseModel(0.5, 1.0, bias=3.0)
    frames = 60 if cfa == RGGB else 12
    found = [estimate_noise(_seen(clean, noise, cfa, seed)).bias ** 2 for seed in range(frames)]
    assert np.mean(found) == pytest.approx(9.0, rel=0.4)
    without = [
        estimate_noise(_seen(clean, NoiseModel(0.5, 1.0, row=2.0), cfa, seed)).bias
        for seed in range(8)
    ]
    assert max(without) < 0.5


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=lambda c: c.name)
@pytest.mark.parametrize("shape", [(1, 1), (12, 12), (64, 96), (480, 640), (600, 900)])
@pytest.mark.parametrize("level", [0, 300, 16383])
def test_a_frame_of_one_level_has_an_estimate(cfa, shape, level):
    """All pixels at black, or all clipped: once the error `SVD did not converge`."""
    photo = _seen(np.full(shape, level, np.float32), NoiseModel(1e-9, step=1.0), cfa)
    photo = photo.replace(plane=np.full(shape, min(512 + level, 16383), np.uint16))
    found = estimate_noise(photo)
    assert 0 < float(found.sigma(np.float32(0))) < 1.5
    assert found.gain > 0


@pytest.mark.parametrize(("shape", "within"), [((380, 400), 0.1), ((120, 160), 0.2), ((24, 36), 1)])
def test_small_frames_are_estimated_too(shape, within):
    """Below 153,600 pixels, sigma was always 1 DN."""
    clean = np.tile(np.linspace(0, 200, shape[1], dtype=np.float32), (shape[0], 1))
    truth = NoiseModel(4.0, 20.0)
    found = estimate_noise(_seen(clean, truth))
    for level in (0.0, 100.0):
        assert found.sigma(np.float32(level)) == pytest.approx(
            truth.sigma(np.float32(level)), rel=within
        )
    assert found.sigma(np.float32(0)) > 10


def test_where_noise_is_known_from():
    photo = _flat_with_texture(NoiseModel(1.0, 3.0))
    assert noise_of(photo)[1] == "the photo itself"
    sony = photo.replace(shot=Shot(model="ILCE-7SM2", iso=1600))
    assert noise_of(sony)[1] == "measurements of the ILCE-7SM2"
    profiled = sony.replace(noise_profile=((1e-4, 4e-8),))
    noise, source = noise_of(profiled)
    assert source == "DNG NoiseProfile"
    assert noise.gain == pytest.approx(1e-4 * photo.span)
    assert noise.read == pytest.approx(2e-4 * photo.span)


@pytest.mark.parametrize(
    "pair", [(1e300, 1e300), (1e308, 0.0), (20.0, 0.0), (1e-4, 5.0), (0.0, 0.0), (np.nan, 0.0)]
)
def test_an_implausible_profile_is_ignored_and_that_is_said(pair):
    """One channel is enough to make it so."""
    photo = _flat_with_texture(NoiseModel(1.0, 3.0))
    profiled = photo.replace(noise_profile=((1e-4, 4e-8), (1e-4, 4e-8), pair))
    noise, source = noise_of(profiled)
    assert source == "the photo itself; the DNG's NoiseProfile is implausible and ignored"
    assert noise == noise_of(photo)[0]


@pytest.mark.parametrize("pair", [(1e-6, 0.0), (0.3, 0.01)])
def test_a_profile_at_the_ends_of_what_sensors_have_is_used(pair):
    photo = _flat_with_texture(NoiseModel(1.0, 3.0)).replace(noise_profile=(pair,))
    assert noise_of(photo)[1] == "DNG NoiseProfile"


def test_the_noise_of_a_photo_is_reproducible():
    """A change of these numbers is a change for every user: say so in the changelog."""
    photo = _flat_with_texture(NoiseModel(1.5, 6.3, row=2.0, bias=1.0))
    sony = photo.replace(shot=Shot(model="ILCE-7SM2", iso=1600))
    profiled = photo.replace(noise_profile=((1e-4, 4e-8),))
    found = [noise_of(p)[0] for p in (photo, sony, profiled)]
    values = np.array([(n.gain, n.read, n.row, n.bias) for n in found])
    expected = [
        (1.5226, 6.4517, 2.4105, 1.4722),
        (1.5301, 6.2992, 0.98879, 0.038777),
        (1.5871, 3.1742, 0, 0),
    ]
    assert values == pytest.approx(np.array(expected), rel=1e-3)


def test_conditioning_amplifies_balances_and_keeps_negatives():
    signal = np.array([[10, -4], [6, 8]], np.float32)
    balance = np.array([2.0, 1.0, 1.5], np.float32)
    noise = NoiseModel(2.0, 3.0, step=0)
    factor = scale(RGGB, balance, 1000.0, 100.0, signal)
    made = condition(signal, RGGB, noise, factor)
    assert made[:4, 0, 0] == pytest.approx([2.0, -0.4, 0.6, 1.2])
    assert made[4:, 0, 0] == pytest.approx([0.2 * 29**0.5, 0.1 * 3, 0.1 * 21**0.5, 0.15 * 25**0.5])
