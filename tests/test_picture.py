"""Written pictures: pixels, EXIF, GPS and profile in every format."""

import io

import exifread
import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import SHOT
from undark.errors import OutputError, ReadError
from undark.files.exif_read import read_tags, shot_from_tags
from undark.files.exif_write import degrees, exif_block
from undark.files.icc import srgb_profile
from undark.files.picture import read_light, read_picture, write_picture
from undark.sensor.mosaic import GPS, Shot

KINDS = [(".jpg", np.uint8)] + [(s, d) for s in (".png", ".tif") for d in (np.uint8, np.uint16)]


def smooth(shape=(48, 64), dtype=np.uint8):
    """A picture of soft gradients that JPEG hardly changes."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]] / max(shape)
    rgb = np.stack([rows, columns, 1 - rows], axis=-1)
    return (rgb * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize(("suffix", "dtype"), KINDS)
def test_pixels_arrive(tmp_path, suffix, dtype):
    path, rgb = tmp_path / f"x{suffix}", smooth(dtype=dtype)
    write_picture(path, rgb, SHOT)
    if suffix == ".jpg":
        assert read_picture(path) == pytest.approx(rgb, abs=6)
    else:
        stored = imagecodecs.imread(path)
        assert stored.dtype == dtype
        assert np.array_equal(stored, rgb)


@pytest.mark.parametrize(("suffix", "dtype"), KINDS)
@pytest.mark.parametrize("shot", [SHOT, Shot(), Shot(iso=409600.0, lens="ƒ/1.8")])
def test_exif_and_gps_arrive(tmp_path, suffix, dtype, shot):
    path = tmp_path / f"x{suffix}"
    write_picture(path, smooth(dtype=dtype), shot)
    tags = read_tags(io.BytesIO(path.read_bytes()))
    assert shot_from_tags(tags) == shot
    assert tags["Image Orientation"].values == [1]
    assert str(tags["Image Software"]).startswith("undark")
    assert tags["EXIF ColorSpace"].values == [1]  # sRGB


@pytest.mark.parametrize(("suffix", "dtype"), KINDS)
def test_the_profile_is_embedded(tmp_path, suffix, dtype):
    image = pytest.importorskip("PIL.Image", reason="Pillow checks the profile")
    write_picture(tmp_path / f"x{suffix}", smooth((4, 4), dtype), SHOT)
    if dtype == np.uint16 and suffix == ".tif":
        assert srgb_profile() in (tmp_path / "x.tif").read_bytes()  # Pillow opens no such TIFF
    else:
        with image.open(tmp_path / f"x{suffix}") as picture:
            assert picture.info["icc_profile"] == srgb_profile()


def test_the_profile_is_srgb():
    cms = pytest.importorskip("PIL.ImageCms", reason="Pillow checks the profile")
    image = pytest.importorskip("PIL.Image")
    ours = cms.ImageCmsProfile(io.BytesIO(srgb_profile()))
    assert "sRGB" in cms.getProfileDescription(ours)
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    through = cms.profileToProfile(image.fromarray(rgb), ours, cms.createProfile("sRGB"))
    assert np.abs(np.asarray(through, int) - rgb).max() <= 1


def test_jpeg_keeps_full_colour_resolution(tmp_path):
    rgb = np.zeros((16, 16, 3), np.uint8)
    rgb[:, ::2, 0] = 255  # red stripes a pixel wide
    write_picture(tmp_path / "x.jpg", rgb, Shot())
    assert read_picture(tmp_path / "x.jpg") == pytest.approx(rgb, abs=40)


def test_quality_counts(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    write_picture(tmp_path / "fine.jpg", rgb, Shot())
    write_picture(tmp_path / "coarse.jpg", rgb, Shot(), quality=50)
    assert (tmp_path / "coarse.jpg").stat().st_size < (tmp_path / "fine.jpg").stat().st_size * 0.6


def test_other_kinds_and_16_bit_jpeg_are_refused(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write \.webp; use \.jpg"):
        write_picture(tmp_path / "x.webp", smooth(), Shot())
    with pytest.raises(OutputError, match="JPEG holds 8 bits"):
        write_picture(tmp_path / "x.jpg", smooth(dtype=np.uint16), Shot())
    assert not list(tmp_path.iterdir())


@given(st.floats(-180, 180))
def test_degrees_minutes_seconds(angle):
    d, m, s = degrees(angle)
    assert d + m / 60 + s / 3600 == pytest.approx(abs(angle), abs=1e-10)
    assert d == int(d)
    assert 0 <= m < 60
    assert 0 <= s < 60


places = st.builds(
    GPS, st.floats(-90, 90), st.floats(-180, 180), st.none() | st.floats(-400, 9000, width=32)
)


@settings(deadline=None)
@given(places)
def test_places_come_back(place):
    tags = exifread.process_file(io.BytesIO(exif_block(4, 4, Shot(gps=place))), details=False)
    back = shot_from_tags(tags).gps
    assert back is not None
    assert back.latitude == pytest.approx(place.latitude, abs=1e-9)
    assert back.longitude == pytest.approx(place.longitude, abs=1e-9)
    known = None if place.altitude is None else pytest.approx(place.altitude, abs=1e-6)
    assert back.altitude == known


def test_grey_and_transparent_pictures_become_rgb(tmp_path):
    rgb = smooth()
    (tmp_path / "grey.png").write_bytes(imagecodecs.png_encode(rgb[..., 0].copy()))
    (tmp_path / "alpha.png").write_bytes(imagecodecs.png_encode(np.dstack([rgb, rgb[..., 0]])))
    (tmp_path / "both.png").write_bytes(imagecodecs.png_encode(np.ascontiguousarray(rgb[..., :2])))
    for name in ("grey.png", "both.png"):
        assert np.array_equal(read_picture(tmp_path / name), rgb[..., [0, 0, 0]])
    assert np.array_equal(read_picture(tmp_path / "alpha.png"), rgb)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_bad_pictures_are_errors(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    with pytest.raises(ReadError, match="there is no such file"):
        read_picture(path)
    path.write_bytes(b"")
    with pytest.raises(ReadError, match="not a picture"):
        read_picture(path)
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    write_picture(path, rgb, Shot())
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(ReadError, match="damaged or cut short"):
        read_picture(path)


def test_a_scene_in_linear_light(tmp_path):
    light = np.linspace(0, 16, 3 * 48, dtype=np.float32).reshape(6, 8, 3)
    codes = np.rint((light / 16) ** (1 / 3) * 65535).astype(np.uint16)
    encoded = imagecodecs.jpegxl_encode(codes, lossless=True)
    (tmp_path / "scene.jxl").write_bytes(encoded)
    read = read_light(tmp_path / "scene.jxl")
    assert read.dtype == np.float32
    assert read == pytest.approx(light, abs=2e-3)


def test_a_bad_scene_is_an_error(tmp_path):
    with pytest.raises(ReadError, match="no such file"):
        read_light(tmp_path / "scene.jxl")
    (tmp_path / "scene.jxl").write_bytes(b"nonsense")
    with pytest.raises(ReadError, match="damaged"):
        read_light(tmp_path / "scene.jxl")
