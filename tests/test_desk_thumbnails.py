"""Thumbnails: the camera's preview first, amplified, and the RAW data where that is too dark."""

from io import BytesIO

import imagecodecs
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="starlette comes with undark[desk]")

from conftest import SHOT
from undark.develop.colour import encode_srgb, light_of
from undark.develop.demosaic import demosaic
from undark.errors import ReadError
from undark.files.dng import write_mosaic
from undark.files.picture import write_picture
from undark.files.raw import RAW_SUFFIXES, Preview, read_preview
from undark.files.small import picture_size, reduced, small_light
from undark.sensor.cfa import CFA
from undark.web import thumbnails
from undark.web.thumbnails import SIDE, binned, quick_thumbnail, raw_thumbnail


def gradient(shape, brightest):
    """(H, W, 3) levels: dark at the left, `brightest` in linear light at the right."""
    light = np.linspace(0, brightest, shape[1])[None, :, None] * np.ones((shape[0], 1, 3))
    return np.rint(encode_srgb(light.astype(np.float32)) * 255).astype(np.uint8)


def decoded(thumbnail):
    return np.asarray(Image.open(BytesIO(thumbnail.jpeg))).astype(float)


def preview_of(levels, orientation=1, landscape=True):
    return Preview(imagecodecs.jpeg8_encode(levels, level=95), None, orientation, landscape)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_a_dark_picture_becomes_visible(tmp_path, name):
    write_picture(tmp_path / name, gradient((900, 1400), 0.02), SHOT)
    made = quick_thumbnail(tmp_path / name)
    pixels = decoded(made)
    assert max(pixels.shape) <= SIDE
    assert pixels.shape[1] / pixels.shape[0] == pytest.approx(1400 / 900, rel=0.02)
    assert pixels[:, -20:].mean() > 150
    assert not made.rough


def test_a_bright_picture_stays_as_it_is(tmp_path):
    write_picture(tmp_path / "a.png", gradient((300, 390), 0.69), SHOT)
    small = gradient((300, 390), 0.69).astype(float)
    assert np.abs(decoded(quick_thumbnail(tmp_path / "a.png")) - small).mean() < 3


def test_a_preview_that_is_nearly_black_is_rough(monkeypatch, tmp_path):
    for brightest, rough in ((0.3, False), (0.005, True)):
        found = preview_of(gradient((600, 900), brightest))
        monkeypatch.setattr(thumbnails, "read_preview", lambda path, found=found: found)
        made = quick_thumbnail(tmp_path / "a.dng")
        assert made.rough == rough
        assert decoded(made)[:, -20:].mean() > 100
    monkeypatch.setattr(thumbnails, "read_preview", lambda path: None)
    assert quick_thumbnail(tmp_path / "a.dng") is None


def test_previews_are_turned_upright_unless_they_are_already(monkeypatch, tmp_path):
    lying, upright = gradient((600, 900), 0.3), gradient((900, 600), 0.3)
    for levels in (lying, upright):
        found = preview_of(levels, orientation=6, landscape=True)
        monkeypatch.setattr(thumbnails, "read_preview", lambda path, found=found: found)
        height, width = decoded(quick_thumbnail(tmp_path / "a.dng")).shape[:2]
        assert height > width


@pytest.mark.parametrize("name", ["RGGB", "GBRG", "X-Trans"])
def test_the_raw_data_is_binned_by_colour(make_mosaic, name):
    """Against the means of the demosaiced frame."""
    mosaic = make_mosaic(cfa=CFA.from_name(name), shape=(1204, 1806))
    tint = np.array([1.0, 3.0, 2.0])[mosaic.cfa.pattern]
    times = tuple(n // mosaic.cfa.period for n in mosaic.shape)
    light = np.tile(tint, (times[0] + 1, times[1] + 1))[:1204, :1806] * 100
    mosaic = mosaic.replace(plane=(512 + light).astype(np.uint16))
    small = binned(mosaic, 10.0)
    assert max(small.shape[:2]) <= SIDE
    factor = mosaic.white_balance * 10 / mosaic.span
    whole = demosaic(mosaic.signal(), mosaic.cfa)
    expected = whole.mean(axis=(0, 1), dtype=np.float64) * factor
    assert small.mean(axis=(0, 1), dtype=np.float64) == pytest.approx(expected, rel=0.01)
    assert np.ptp(small, axis=(0, 1)).max() < 1e-4


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_raw_file_without_a_preview(make_mosaic, tmp_path, orientation):
    write_mosaic(tmp_path / "a.dng", make_mosaic(shape=(120, 180), orientation=orientation))
    assert quick_thumbnail(tmp_path / "a.dng") is None
    height, width = decoded(raw_thumbnail(tmp_path / "a.dng")).shape[:2]
    assert (height > width) == (orientation == 6)


def test_previews_of_real_files(shared):
    files = [p for p in (shared / "raw").iterdir() if p.suffix.lower() in RAW_SUFFIXES]
    found = {p.name: read_preview(p) for p in files}
    assert any(found.values())
    for path in files:
        if found[path.name] and found[path.name].jpeg:
            assert decoded(quick_thumbnail(path)).std() > 5


def test_what_is_no_raw_file_is_named(tmp_path):
    (tmp_path / "a.dng").write_bytes(b"nothing" * 50)
    with pytest.raises(ReadError, match=r"a\.dng"):
        read_preview(tmp_path / "a.dng")


def test_small_light_is_the_mean_of_the_light(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (160, 240, 3), np.uint8)
    write_picture(tmp_path / "a.png", levels, SHOT)
    light, orientation = small_light(tmp_path / "a.png", 60)
    expected = light_of(levels).reshape(40, 4, 60, 4, 3).mean(axis=(1, 3))
    assert orientation == 1
    assert np.abs(light - expected).max() < 1e-6
    assert reduced(light, 1000).shape == light.shape


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_the_size_that_a_file_declares(tmp_path, name):
    write_picture(tmp_path / name, gradient((31, 47), 0.5), SHOT)
    assert picture_size(tmp_path / name) == (31, 47)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:12])
    with pytest.raises(ReadError, match=name):
        picture_size(tmp_path / name)
