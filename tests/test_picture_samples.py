"""Simulated pictures of cameras: demosaicing, JPEG, curves, and the samples made of them."""

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter

torch = pytest.importorskip("torch", reason="torch comes with undark[train]")

from undark.demo import load_scene  # noqa: E402
from undark.develop.colour import decode_srgb, encode_srgb  # noqa: E402
from undark.develop.demosaic import demosaic  # noqa: E402
from undark.develop.metrics import psnr  # noqa: E402
from undark.learn.data.batches import make_batch, prepare  # noqa: E402
from undark.learn.data.camera_pictures import (  # noqa: E402
    Rendering,
    bilinear,
    blur,
    compress,
    develop,
    directional,
    draw_rendering,
    malvar,
    rendered,
)
from undark.learn.data.draws import draw_exposures  # noqa: E402
from undark.learn.data.photos import PhotoFiles  # noqa: E402
from undark.learn.data.picture_samples import PictureSamples, photograph  # noqa: E402
from undark.learn.data.sampler import TorchSampler  # noqa: E402
from undark.learn.from_photos import train_photos, val_batch  # noqa: E402
from undark.learn.kind import BAYER, PICTURE  # noqa: E402
from undark.learn.network import UNetConfig, init_network  # noqa: E402
from undark.learn.options import Training  # noqa: E402
from undark.sensor.cfa import RGGB, mosaic  # noqa: E402

PLAIN = Rendering(noiseless=True)


@pytest.fixture(scope="module")
def light():
    """(1, 3, 96, 128) linear sRGB of a part of undark's scene."""
    part = np.moveaxis(load_scene()[760:856, 920:1048], -1, 0)
    return torch.from_numpy(np.ascontiguousarray(part, np.float32))[None].clip(0, 1)


@pytest.fixture
def exposures():
    drawn = draw_exposures(1, np.random.default_rng(3))
    return replace(
        drawn,
        amplification=np.full(1, 20, np.float32),
        white_balance=np.array([[2, 1, 1.5]], np.float32),
        tint=np.ones((1, 3), np.float32),
    )


@pytest.fixture
def files(tmp_path):
    levels = np.rint(255 * encode_srgb(load_scene()[600:856, 800:1120])).astype(np.uint8)
    for name in "ab":
        Image.fromarray(levels).save(tmp_path / "photos" / f"{name}.png")
    return tmp_path / "photos"


@pytest.fixture(autouse=True)
def folder(tmp_path):
    (tmp_path / "photos").mkdir()


def test_bilinear_is_the_renderers(light):
    plane = mosaic(light, BAYER.cfa)
    expected = demosaic(plane[0].numpy(), RGGB)
    made = bilinear(plane)[0].permute(1, 2, 0).numpy()
    inside = (slice(2, -2), slice(2, -2))
    assert np.allclose(made[inside], expected[inside], atol=1e-6)


@pytest.mark.parametrize("way", [malvar, directional])
def test_demosaicing_keeps_what_was_measured_and_planes_of_one_slope(light, way):
    plane = mosaic(light, BAYER.cfa)
    assert torch.allclose(mosaic(way(plane), BAYER.cfa), plane, atol=1e-6)
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    ramp = (0.1 + 0.01 * y + 0.02 * x).expand(1, 3, -1, -1)
    made = way(mosaic(ramp, BAYER.cfa))
    assert torch.allclose(made[..., 4:-4, 4:-4], ramp[..., 4:-4, 4:-4], atol=1e-5)


@pytest.mark.parametrize("better", [malvar, directional])
def test_gradients_make_demosaicing_better_where_colours_change_together(light, better):
    grey = light.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    plane, truth = mosaic(grey, BAYER.cfa), grey.numpy()
    assert psnr(better(plane).numpy(), truth) > psnr(bilinear(plane).numpy(), truth) + 4


def test_blur_is_scipys(light):
    made = blur(light, 1.5)[0, 0].numpy()
    expected = gaussian_filter(light[0, 0].numpy(), 1.5, truncate=4 / 1.5, mode="mirror")
    assert np.allclose(made, expected, atol=1e-5)


@pytest.mark.parametrize("subsampled", [False, True])
def test_jpeg_is_pillows(light, subsampled):
    levels = (255 * light).round().to(torch.uint8)
    how = Rendering(quality=85, subsampled=subsampled)
    file = io.BytesIO()
    Image.fromarray(levels[0].permute(1, 2, 0).numpy()).save(
        file, "JPEG", quality=85, subsampling="4:2:0" if subsampled else "4:4:4"
    )
    expected = np.asarray(Image.open(file)).astype(int)
    made = compress(levels, how)[0].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(made - expected).max() <= 2
    assert np.abs(made - expected).mean() < 0.1


def test_a_picture_that_was_cropped_has_its_blocks_elsewhere(light):
    levels = (255 * light).round().to(torch.uint8)
    moved = compress(levels, Rendering(quality=75, offset=(3, 5)))
    assert moved.shape == levels.shape
    assert not torch.equal(moved, compress(levels, Rendering(quality=75)))


@given(st.integers(0, 10_000))
def test_every_tone_curve_rises_from_black_to_white(seed):
    how = draw_rendering(np.random.default_rng(seed))
    levels = how.curve(torch.linspace(0, 1, 1000))
    assert (levels.diff() > 0).all()
    assert (levels[0], levels[-1]) == (0, pytest.approx(1, abs=1e-5))
    assert all(0 <= n < 16 for n in how.offset)


def test_a_picture_of_noiseless_light_is_its_target(light, exposures):
    batch = photograph(light, exposures, PLAIN, TorchSampler(1))
    # rounding to 8 bits alone, at a twentieth of the light
    shown = batch.inputs[:, :3]
    assert psnr(encode_srgb(shown.clip(0, 1)), encode_srgb(batch.target.clip(0, 1))) > 33
    assert float(shown.mean()) == pytest.approx(float(batch.target.mean()), rel=0.02)
    assert (batch.kind, shown.shape) == (PICTURE, light.shape)
    assert batch.inputs[:, 3].unique().numpy() == pytest.approx(decode_srgb(np.array(1 / 255)) * 20)


def test_a_picture_that_was_not_dark_is_to_stay_as_the_camera_stored_it(light, exposures):
    how = Rendering(noiseless=True, sharpening=1.0, quality=80)
    bright = replace(exposures, amplification=np.full(1, 1.2, np.float32))
    batch = photograph(light, bright, how, TorchSampler(1))
    assert torch.allclose(batch.inputs[:, :3], batch.target, atol=1e-6)
    noisy = photograph(light, bright, replace(how, noiseless=False), TorchSampler(1))
    assert torch.equal(noisy.target, batch.target)
    assert not torch.allclose(noisy.inputs, batch.inputs, atol=1e-3)


def test_the_target_has_the_curve_but_not_the_noise(light, exposures):
    how = Rendering(contrast=0.5, quality=80)
    one, two = (photograph(light, exposures, how, TorchSampler(seed)) for seed in (1, 2))
    assert torch.equal(one.target, two.target)
    assert not torch.equal(one.inputs, two.inputs)
    plain = photograph(light, exposures, Rendering(quality=80), TorchSampler(1))
    assert (one.target / one.target.mean() - plain.target / plain.target.mean()).abs().max() > 0.1


def test_noise_of_a_reduced_picture_is_independent_between_pixels(exposures):
    grey = torch.full((1, 3, 64, 64), 0.4)
    fine = Rendering(reduced=True, quality=None)
    coarse = Rendering(demosaicing="bilinear", quality=None)
    found = []
    for how in (fine, coarse):
        made = photograph(grey, exposures, how, TorchSampler(4)).inputs[0, 1]
        made = made - made.mean()
        found.append(float((made[:, 1:] * made[:, :-1]).mean() / made.square().mean()))
    assert abs(found[0]) < 0.1
    assert found[1] > 0.2


def test_smoothing_takes_noise_away(light):
    noisy = (light + 0.03 * torch.randn(light.shape)).clip(0, 1)
    rough, smooth = (
        develop(noisy, Rendering(smoothing=(s, 0.0), colour_blur=2 * s)) / 255 for s in (0.0, 1.0)
    )
    truth = encode_srgb(light)
    assert psnr(smooth, truth) > psnr(rough, truth) + 2


def test_a_sample_is_a_function_of_its_key(files):
    samples = PictureSamples(PhotoFiles(sorted(files.iterdir())), 64)
    one, two = (make_batch(samples, 3, range(4)) for _ in range(2))
    assert torch.equal(one.inputs, two.inputs)
    alone = prepare(samples.join([samples.sample(3, 2)]))
    assert torch.allclose(alone.inputs[0], one.inputs[2], atol=1e-6)
    assert one.target.shape == (4, 3, 64, 64)
    assert one.inputs.shape == (4, 6, 64, 64)


def test_amplifications_reach_from_bright_to_dark(files):
    samples = PictureSamples(PhotoFiles(sorted(files.iterdir())), 64)
    drawn = [float(samples.sample(0, n).photos.exposures.amplification[0]) for n in range(200)]
    assert 0.15 < np.mean(np.array(drawn) < 3) < 0.35
    assert 1 <= min(drawn) < 1.2
    assert 100 < max(drawn) <= 120


def test_rendered_light_is_clipped_as_a_picture_is():
    shown = rendered(torch.tensor([-1.0, 0.5, 3.0]).expand(1, 3, 1, 3), Rendering())
    assert torch.allclose(shown[0, 0, 0], torch.tensor([0.0, 0.5, 1.0]), atol=1e-5)


def test_a_network_that_folds_pixels_starts_as_a_copy():
    config = UNetConfig(cell=1, fold=2, widths=(8, 12), encoder=(1, 1), decoder=(1,))
    assert (config.channels, config.multiple) == (6, 4)
    picture = 3 * torch.rand(1, 6, 32, 48)
    with torch.no_grad():
        assert torch.allclose(init_network(config, 0)(picture), picture[:, :3], atol=1e-5)


def test_training_on_pictures_learns(files, tmp_path):
    config = UNetConfig(cell=1, fold=2, widths=(12, 16), encoder=(1, 1), decoder=(1,))
    training = Training(files, tmp_path / "run", steps=60, crop=64, batch=4, network=config)
    done = train_photos(training, PICTURE)
    assert set(done.scores) == {"x3", "x10", "x30", "x100"}
    photo = val_batch(load_levels(files), 1600, 30, PICTURE)
    untrained = float(psnr(encode_srgb(photo.inputs[:, :3].clip(0, 1)), encode_srgb(photo.target)))
    assert done.scores["x30"] > untrained + 0.3
    assert done.model.exists()


def load_levels(folder):
    return np.asarray(Image.open(folder / "a.png"))
