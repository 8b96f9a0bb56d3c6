"""Restoring synthetic mosaics with the shipped model."""

import numpy as np
import pytest

import undark
from undark.demo import photograph
from undark.develop.colour import CAMERA_MATRICES, camera_from_srgb
from undark.develop.metrics import psnr
from undark.develop.render import render
from undark.errors import UnsupportedError
from undark.restoring.blend import amplify_and_demosaic
from undark.restoring.raw import restore
from undark.sensor.cfa import BAYER_ORDERS, X_TRANS
from undark.sensor.exposure import propose_exposure
from undark.sensor.mosaic import Mosaic, Shot


def scene(height=240, width=320):
    """Linear sRGB (H, W, 3): patches of colour on a gradient, with a light source."""
    random = np.random.default_rng(3)
    patches = random.uniform(0.02, 0.8, (height // 40, width // 40, 3))
    light = np.repeat(np.repeat(patches, 40, 0), 40, 1)
    light *= np.linspace(0.5, 1, width)[None, :, None]
    light[10:25, 10:25] = 12.0
    return light.astype(np.float32)


@pytest.fixture(scope="module")
def dark():
    return photograph(scene(), 1600, 100)


@pytest.fixture(scope="module")
def restored(dark):
    return restore(dark, exposure=100)


def truth():
    """The scene in camera RGB, without noise."""
    return (scene() @ camera_from_srgb(CAMERA_MATRICES[-1]).T).astype(np.float32)


def test_restoring_beats_amplifying(dark, restored):
    assert restored.linear.shape == (240, 320, 3)
    assert restored.linear.dtype == np.float32
    wanted = render(truth(), dark, 100) / 255.0
    amplified, clean = (psnr(restored.blend(s).picture() / 255.0, wanted) for s in (0, 1))
    assert clean > amplified + 6
    assert clean > 24


def test_strength_blends_linearly(restored):
    plain, half = restored.blend(0), restored.blend(0.5)
    assert np.allclose(half.linear, (plain.linear + restored.linear) / 2, atol=1e-5)
    assert restored.blend(1) is restored
    for strength in (-1, 2, np.nan):
        with pytest.raises(ValueError, match="strength is 0 to 1"):
            restored.blend(strength)


def _as_order(dark, order, height, width):
    """The same scene with another Bayer order and an odd size."""
    top, left = order.shift
    plane = dark.plane[top : top + height, left : left + width]
    return dark.replace(plane=plane, cfa=order)


@pytest.mark.parametrize("order", BAYER_ORDERS, ids=lambda o: o.name)
def test_every_order_gives_the_whole_frame_in_the_same_colours(dark, restored, order):
    shifted = dark.cfa.crop(*order.shift)
    assert shifted == order
    top, left = order.shift
    part = restore(_as_order(dark, order, 237, 315), exposure=100)
    assert part.linear.shape == (237, 315, 3)
    inside = (slice(80, -8), slice(80, -8))
    expected = restored.linear[top : top + 237, left : left + 315]
    # the same pixels; the halo differs only by how the border was extended
    assert np.abs(part.linear - expected)[inside].mean() < 2e-3


@pytest.mark.parametrize("amplification", [1, 300])
def test_no_seams(amplification):
    """Restored in one tile, the largest that there is, or in six."""
    light = np.tile(scene(), (4, 4, 1))[:800, :1200]
    dark = photograph(light, 1600, amplification)
    one = restore(dark, exposure=amplification, tile=10_000).linear
    many = restore(dark, exposure=amplification, tile=200).linear
    assert np.abs(one - many).max() < 1e-3


def test_a_model_for_another_sensor_is_refused_in_a_clear_line():
    plane = np.full((60, 60), 600, np.uint16)
    photo = Mosaic(plane, X_TRANS, np.full((6, 6), 512, np.float32), 16383, np.ones(3, np.float32))
    with pytest.raises(UnsupportedError, match="sensor is X-Trans, the model bayer restores Bayer"):
        undark.restore(photo, model="bayer")


def test_light_sources_far_above_white_are_kept():
    light = np.full((160, 160, 3), 0.2, np.float32)
    light[60:100, 60:100] = 100.0
    dark = photograph(light, 400, 150)
    made = restore(dark, exposure=150).linear
    assert np.median(made[70:90, 70:90]) == pytest.approx(100, rel=0.1)
    assert np.median(made[:40]) == pytest.approx(0.2, rel=0.05)


@pytest.mark.parametrize("value", [0, 512, 16383, 65535])
@pytest.mark.parametrize("size", [(50, 70), (420, 400)])  # the larger has noise to be estimated
def test_black_and_white_frames(dark, value, size):
    flat = dark.replace(plane=np.full(size, value, np.uint16), shot=Shot())
    made = restore(flat)
    assert made.noise_source == "the photo itself"
    assert np.isfinite(made.linear).all()
    shown = made.picture()
    assert shown.shape == (*size, 3)
    if value == 512:
        assert shown.max() < 40
    if value > 512:
        assert shown.min() > 215


def test_a_tiny_frame(dark):
    assert restore(dark.replace(plane=dark.plane[:7, :9]), exposure=4).linear.shape == (7, 9, 3)


def test_progress_ends_at_one(dark):
    shares = []
    restore(dark, exposure=10, tile=64, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_saving(restored, tmp_path):
    for name in ("a.jpg", "a.png", "a.tif", "a.dng"):
        assert restored.save(tmp_path / name).stat().st_size > 1000
    with pytest.raises(undark.UndarkError, match=r"a\.jpg"):
        restored.save(tmp_path / "a.jpg")
    restored.save(tmp_path / "a.jpg", overwrite=True)


def test_the_mosaic_of_a_restored_scene_is_close_to_the_clean_one():
    """Sampling the result with the CFA gives the clean mosaic: no shift, greens not swapped."""
    dark = photograph(scene(), 400, 20)
    made, clean = restore(dark, exposure=20).linear, truth()
    keep = clean.max(axis=-1) < 0.9

    def error(light):
        return np.abs(light - clean)[keep].mean()

    assert error(made) < 0.02
    for axis in (0, 1):  # a pixel off in any direction is further from it
        for step in (-1, 1):
            assert error(np.roll(made, step, axis)) > 1.2 * error(made)


@pytest.mark.parametrize("sources", [0.0, 0.015])
def test_apart_from_light_sources_hardly_a_pixel_is_white(sources):
    """With the proposed amplification and the renderer's shoulder."""
    random = np.random.default_rng(0)
    tones = np.exp(random.normal(-2.5, 1.3, (30, 40, 1))) * random.uniform(0.6, 1, (30, 40, 3))
    light = np.repeat(np.repeat(tones, 12, 0), 12, 1).astype(np.float32)
    count = round(sources * light.shape[0])
    light[: count * 8, : light.shape[1] // 8] = 1000.0
    dark = photograph(light, 400, 100)
    amplification = propose_exposure(dark).amplification
    picture = render(amplify_and_demosaic(dark, amplification), dark, amplification)
    scene = picture[count * 8 + 8 :]
    assert (scene.min(axis=-1) == 255).mean() < 0.005
    assert 40 < np.median(scene) < 180
