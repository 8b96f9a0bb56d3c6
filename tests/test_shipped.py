"""The models that ship, on undark's own scene seen through their sensors' filters."""

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import undark
from undark.demo import load_scene
from undark.develop.colour import CAMERA_MATRICES, camera_from_srgb, encode_srgb
from undark.develop.metrics import psnr
from undark.engine.card import PICTURE_TASK
from undark.engine.catalogue import NO_CFA, QUALITIES, choose, shipped_models
from undark.engine.coarse import FILE
from undark.files.picture import Picture
from undark.restoring.bands import run_network
from undark.restoring.blend import amplify_and_demosaic
from undark.restoring.raw import Earlier, prepare, restored_light
from undark.sensor.cfa import RGGB, X_TRANS, mosaic
from undark.sensor.exposure import ExposureWish
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel, NumPySampler
from undark.sensor.profiles.cameras import find_camera

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from speed import multiply_adds

BLACK, SPAN, RATIO = 512, 15871, 100
BALANCE = np.array([2.0, 1.0, 1.6])
NOISE = find_camera("ILCE-7SM2").at(1600, SPAN)


@pytest.fixture(scope="module")
def light():
    """A part of the scene with figures, book covers and colour patches; a multiple of 6."""
    scene = load_scene()[720:960, 900:1188]
    return np.clip(scene @ camera_from_srgb(CAMERA_MATRICES[-1]).T, 0, None)


@pytest.mark.parametrize("path", [*shipped_models().values(), FILE], ids=lambda p: p.stem)
def test_a_model_says_nothing_of_the_machine_that_wrote_it(path):
    """torch's exporter notes stack traces, with their paths, of each node."""
    model = onnx.load(path)
    assert not any(node.metadata_props for node in model.graph.node)
    assert b"site-packages" not in path.read_bytes()


def shoot(light, cfa):
    seen = mosaic(np.moveaxis(light / BALANCE, -1, 0), cfa) * (SPAN / RATIO)
    plane = np.clip(NOISE.add(seen.astype(np.float32), NumPySampler(3)) + BLACK, 0, 16383)
    return Mosaic(
        plane=np.rint(plane).astype(np.uint16),
        cfa=cfa,
        black=np.full(cfa.pattern.shape, BLACK, np.float32),
        white=16383.0,
        white_balance=BALANCE.astype(np.float32),
    )


def score(made, light):
    return psnr(np.clip(made, 0, 1), np.clip(light, 0, 1))


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize(("cfa", "name"), [(RGGB, "bayer"), (X_TRANS, "xtrans")])
def test_each_sensor_has_models_that_restore(light, cfa, name, quality):
    assert choose(cfa.kind.name, quality=quality) == {"best": name, "fast": f"{name}-fast"}[quality]
    dark = shoot(light, cfa)
    made = undark.restore(dark, exposure=RATIO, noise=NOISE, quality=quality)
    assert score(made.linear, light) > score(amplify_and_demosaic(dark, RATIO), light) + 6
    assert score(made.linear, light) > {"best": 29, "fast": 28}[quality]
    # no cast: the mean of each colour is that of the scene, as far as black is known
    black = RATIO * NOISE.bias / SPAN * BALANCE
    error = np.abs(made.linear.mean(axis=(0, 1)) - light.mean(axis=(0, 1)))
    assert (error < 0.05 * light.mean() + 3 * black).all()


def test_an_x_trans_photo_may_begin_at_any_phase(light):
    """A frame cut at any pixel is restored as it was in the whole frame, away from its edges.

    Three rows down, the pattern is that of three columns to the right, and the network's coarser
    scales lie elsewhere: such cuts differ by a share of the noise, like any moved frame. So do the
    blocks of the correction of low frequencies, which begin at the frame's corner.
    """
    dark, model = shoot(light, X_TRANS), undark.load_model("xtrans")
    sigma = RATIO / SPAN * BALANCE * float(NOISE.sigma(np.zeros(1))[0])

    def of_network(photo):
        return run_network(model, photo, NOISE, RATIO)

    def restored(photo):
        return undark.restore(photo, exposure=RATIO, noise=NOISE, model=model).linear

    for make, most in ((of_network, 3e-3), (restored, 0.1 * sigma)):
        whole = make(dark)
        for top, left in ((1, 4), (2, 1), (0, 5)):
            made = make(dark.crop(top, left, 230, 280))
            difference = np.abs(made - whole[top : top + 230, left : left + 280])
            assert (difference[60:-60, 60:-60] < most).all()


STRONG = NoiseModel(2.0, 40.0)
FAR = 2.5 * SPAN / STRONG.read
"""Amplification at which that noise is 2.5 times white: more than networks are given of light."""


def shoot_strong(cfa):
    """Flat light of a tenth of white, amplified."""
    plane = STRONG.add(np.full((240, 288), 0.1 * SPAN / FAR, np.float32), NumPySampler(5))
    return Mosaic(
        plane=np.rint(plane + BLACK).astype(np.uint16),
        cfa=cfa,
        black=np.full(cfa.pattern.shape, BLACK, np.float32),
        white=16383.0,
        white_balance=BALANCE.astype(np.float32),
    )


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("cfa", [RGGB, X_TRANS])
def test_noise_far_above_white_leaves_no_dots(cfa, quality):
    dark = shoot_strong(cfa)
    light, less = (
        undark.restore(dark, exposure=r, noise=STRONG, quality=quality).linear
        for r in (FAR, FAR / 16)
    )
    assert light == pytest.approx(16 * less, abs=1e-3)
    sigma = 2.5 * BALANCE
    assert (light.std(axis=(0, 1)) < 0.2 * sigma).all()
    assert (np.abs(light - light.mean(axis=(0, 1))).max(axis=(0, 1)) < sigma).all()


def test_light_of_an_earlier_run_is_that_of_a_new_one_at_any_amplification():
    ready = prepare(shoot_strong(RGGB), exposure=FAR, noise=STRONG, quality="fast")
    assert ready.exposure.network_amplification < FAR / 4
    light, agreement = restored_light(ready.model, ready, lambda share: None)
    kept = replace(ready, earlier=Earlier(light, FAR, agreement))
    for wish in (ExposureWish(0.0, relative=True), ExposureWish(-1.5, relative=True)):
        new, old = (
            np.concatenate([band.light for band in made.exposed(wish).bands()])
            for made in (ready, kept)
        )
        assert old == pytest.approx(new, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("cfa", [RGGB, X_TRANS])
def test_tiles_leave_no_seams(light, cfa, quality):
    how = {"exposure": RATIO, "noise": NOISE, "quality": quality}
    whole, tiled = (undark.restore(shoot(light, cfa), **how, tile=n).linear for n in (768, 24))
    assert np.abs(whole - tiled).max() < 2e-3


@pytest.mark.parametrize("name", ["bayer", "xtrans"])
def test_fast_costs_a_third(name):
    pytest.importorskip("onnx", reason="onnx comes with undark[train]")
    fast, best = (multiply_adds(shipped_models()[n]) for n in (f"{name}-fast", name))
    assert fast < best / 3


def test_an_unknown_quality(light):
    with pytest.raises(ValueError, match="best or fast"):
        undark.restore(shoot(light, RGGB), quality="good")


def dark_jpeg(ratio, quality=90):
    """The scene as a camera stores it, `ratio` times too dark, and its truth; by Pillow alone."""
    truth = np.clip(load_scene()[720:960, 900:1188], 0, 1)
    random = np.random.default_rng(5)
    level = 4000 * truth / ratio  # electrons
    noisy = (random.poisson(level) + random.normal(0, 2.5, level.shape)) / 4000
    levels = np.rint(255 * encode_srgb(np.clip(noisy, 0, 1))).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "JPEG", quality=quality)
    return Picture(np.asarray(Image.open(file))), encode_srgb(truth)


@pytest.mark.parametrize(("ratio", "gain"), [(10, 2), (40, 4)])
def test_a_dark_jpeg_becomes_bright_and_clean(ratio, gain):
    dark, truth = dark_jpeg(ratio)
    model = undark.load_model(choose(NO_CFA, PICTURE_TASK))
    made, amplified = (
        undark.restore_picture(dark, model=model, exposure=ratio, strength=s).picture() / 255
        for s in (1, 0)
    )
    assert psnr(made, truth) > psnr(amplified, truth) + gain
    # no cast: black clipped at 0 in the dark picture is the brighter for it
    means = made.mean(axis=(0, 1)) - truth.mean(axis=(0, 1))
    assert np.abs(means).max() < 0.05


def test_a_bright_jpeg_stays_as_it_is():
    levels = np.rint(255 * encode_srgb(np.clip(load_scene()[600:1100, 700:1400], 0, 1)))
    file = io.BytesIO()
    Image.fromarray(levels.astype(np.uint8)).save(file, "JPEG", quality=95)
    bright = Picture(np.asarray(Image.open(file)))
    model = undark.load_model(choose(NO_CFA, PICTURE_TASK))
    made = undark.restore_picture(bright, model=model, exposure=1)
    assert psnr(made.picture() / 255, bright.levels / 255) > 40


def test_tiles_of_a_picture_leave_no_seams():
    dark, _ = dark_jpeg(20)
    model = undark.load_model(choose(NO_CFA, PICTURE_TASK))
    whole, tiled = (
        undark.restore_picture(dark, model=model, exposure=20, tile=n).linear for n in (768, 48)
    )
    assert np.abs(whole - tiled).max() < 2e-3
