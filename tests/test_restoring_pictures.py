"""Restoring finished pictures, with a model whose output is the light of its input."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import undark
from conftest import SHOT
from picture_models import Same
from undark.develop.colour import encode_srgb, light_of
from undark.develop.metrics import psnr
from undark.develop.picture_noise import picture_noise
from undark.errors import OutputError, ReadError, UnsupportedError
from undark.files.exif_read import shot_of
from undark.files.picture import open_picture, write_picture
from undark.restoring.picture import restore_picture


def write_dark(path, dtype=np.uint8, shape=(37, 53), darkest=0.02, brightest=0.1):
    """A dark picture: a gradient from left to right."""
    levels = np.linspace(darkest, brightest, shape[1]) * np.iinfo(dtype).max
    pixels = np.broadcast_to(levels[:, None], (*shape, 3)) * (1, 0.8, 0.6)
    write_picture(path, pixels.astype(dtype), SHOT)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("tile", [16, 768])
def test_every_pixel_comes_through_in_its_place(tmp_path, dtype, tile):
    picture = open_picture(write_dark(tmp_path / "a.png", dtype))
    assert picture.levels.dtype == dtype
    shares = []
    made = restore_picture(picture, model=Same(), exposure=20, tile=tile, progress=shares.append)
    assert np.array_equal(made.linear, light_of(picture.levels) * np.float32(20))
    assert shares[-1] == 1
    same = restore_picture(picture, model=Same(), exposure=1)
    assert np.array_equal(same.picture(8 * picture.levels.itemsize), picture.levels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_results_are_upright_and_keep_their_exif(tmp_path, orientation):
    lying = open_picture(write_dark(tmp_path / "a.png"))
    exif = Image.Exif()
    exif[274], exif[271] = orientation, "SONY"
    Image.fromarray(lying.levels).save(tmp_path / "turned.png", exif=exif)
    picture = open_picture(tmp_path / "turned.png")
    assert (picture.orientation, picture.shot.make) == (orientation, "SONY")
    picture = replace(picture, shot=SHOT)
    path = restore_picture(picture, model=Same(), exposure=1).save(tmp_path / "b.png")
    back = open_picture(path)
    turned = Image.open(tmp_path / "turned.png")
    upright = turned if orientation == 1 else turned.transpose(TURNS[orientation])
    assert np.array_equal(back.levels, np.asarray(upright))
    assert (back.orientation, back.shot) == (1, SHOT)


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def test_the_exposure_is_chosen_from_the_picture(tmp_path):
    dark = open_picture(write_dark(tmp_path / "a.png", np.uint16, (160, 240), 0.05, 0.12))
    made = restore_picture(dark, model=Same())
    # a picture of little contrast: its brightest part comes to 0.65
    assert 0.62 < np.quantile(made.linear[..., 1], 0.98) < 0.68
    window = dark.levels.copy()
    window[:, :60] = 32768
    made = restore_picture(replace(dark, levels=window), model=Same())
    assert "all but light sources below 1," in made.exposure.reason
    assert made.linear.max() == pytest.approx(1, abs=1e-3)


def test_the_network_is_told_the_light_of_level_1_and_the_noise(tmp_path):
    seen = []

    class Watched(Same):
        def __call__(self, inputs):
            seen.append(inputs[0, 3:].reshape(3, -1))
            return super().__call__(inputs)

    dark = open_picture(write_dark(tmp_path / "a.png", shape=(96, 128)))
    restore_picture(dark, model=Watched(), exposure=20, tile=32)
    assert len(seen) > 1
    level = np.zeros((1, 1, 3), np.uint8) + 1
    noise = picture_noise(dark.levels, 20)
    assert noise.level > 0
    for told in seen:  # that of the whole picture, in every tile
        assert np.allclose(told[0], 20 * light_of(level)[0, 0, 0])
        assert np.allclose(told[1:].T, noise)


@pytest.mark.parametrize(("exposure", "sigmas"), [(1.0, 2), (1.5, 2)])
def test_a_picture_that_is_not_dark_changes_little(tmp_path, exposure, sigmas):
    class Grey(Same):
        def __call__(self, inputs):
            return np.full_like(inputs[:, :3], 0.1)

    random = np.random.default_rng(0)
    levels = random.normal(120, 0.4, (96, 128, 3)).round().astype(np.uint8)
    write_picture(tmp_path / "a.png", levels, SHOT)
    picture = open_picture(tmp_path / "a.png")
    made = restore_picture(picture, model=Grey(), exposure=exposure, tile=32).linear
    before = encode_srgb(light_of(picture.levels) * np.float32(exposure))
    most = sigmas * picture_noise(picture.levels, exposure).difference
    assert 0 < most < 0.1
    assert np.abs(encode_srgb(made) - before).max() == pytest.approx(most, rel=1e-3)


@pytest.mark.parametrize("noise", [1.0, 2.0, 30.0])
@pytest.mark.parametrize("colours", [1, 3])
def test_a_picture_that_is_neither_dark_nor_noisy_stays_the_same(tmp_path, noise, colours):
    """To 40 dB, whatever the model gives; one that is clearly noisy may change."""

    class Wild(Same):
        def __call__(self, inputs):
            return np.random.default_rng(1).normal(0.5, 1, inputs[:, :3].shape).astype(np.float32)

    random = np.random.default_rng(0)
    levels = random.normal(120, noise, (96, 128, colours)).round().clip(0, 255).astype(np.uint8)
    write_picture(tmp_path / "a.png", np.broadcast_to(levels, (96, 128, 3)), SHOT)
    picture = open_picture(tmp_path / "a.png")
    made = restore_picture(picture, model=Wild(), exposure=1.0).picture()
    clearly = picture_noise(picture.levels, 1).difference > 0.02 and colours == 3
    assert clearly == (noise > 10 and colours == 3)
    assert (psnr(made / 255.0, picture.levels / 255.0) > 40) != clearly


def test_a_dark_picture_changes_even_where_its_colours_show_no_noise(tmp_path):
    class Grey(Same):
        def __call__(self, inputs):
            return np.full_like(inputs[:, :3], 0.1)

    levels = np.random.default_rng(0).integers(2, 5, (96, 128, 1)).astype(np.uint8)
    levels = levels + np.array([0, 1, 2], np.uint8)  # differences of colours are the same all over
    write_picture(tmp_path / "a.png", levels, SHOT)
    picture = open_picture(tmp_path / "a.png")
    assert picture_noise(picture.levels, 1).difference < 1e-6
    assert np.allclose(restore_picture(picture, model=Grey(), exposure=20).linear, 0.1)
    assert not np.allclose(restore_picture(picture, model=Grey(), exposure=1).linear, 0.1)


def test_the_shipped_model_is_loaded_once_for_many_pictures(tmp_path, monkeypatch):
    picture = open_picture(write_dark(tmp_path / "a.png"))
    first = restore_picture(picture, exposure=20)
    monkeypatch.setattr("undark.engine.model.Model", None)
    assert np.array_equal(restore_picture(picture, exposure=20).linear, first.linear)


def test_strength_goes_from_amplified_to_restored(tmp_path):
    class Grey(Same):
        def __call__(self, inputs):
            return np.full_like(inputs[:, :3], 0.5)

    picture = open_picture(write_dark(tmp_path / "a.png"))
    none, half, all_ = (
        restore_picture(picture, model=Grey(), exposure=20, strength=s).linear for s in (0, 0.5, 1)
    )
    assert np.allclose(none, light_of(picture.levels) * 20)
    assert np.allclose(half, (none + all_) / 2)


def test_what_is_no_picture_is_refused(tmp_path):
    picture = open_picture(write_dark(tmp_path / "a.jpg"))
    assert shot_of(tmp_path / "a.jpg") == picture.shot == SHOT
    with pytest.raises(UnsupportedError, match=r"give the RAW file, or a model .* --aim rgb"):
        restore_picture(picture, model=undark.load_model())
    with pytest.raises(ReadError, match="a single row of pixels"):
        open_picture(write_dark(tmp_path / "row.png", shape=(1, 53)))
    for name in ("a.dng", "folder"):
        with pytest.raises(ReadError, match=f"{name}: no JPEG, PNG or TIFF"):
            open_picture(tmp_path / name)
    with pytest.raises(OutputError, match=r"b.dng: cannot write .dng; use .jpg, .png or .tif"):
        restore_picture(picture, model=Same()).save(tmp_path / "b.dng")
    assert not list(tmp_path.glob("*b.dng"))
