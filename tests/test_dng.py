"""DNG files: mosaics are read back unchanged, linear pictures open with the right colours."""

import io

import exifread
import numpy as np
import pytest
import rawpy
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import A7S2_FROM_XYZ, SHOT
from undark.develop.colour import camera_from_srgb
from undark.errors import OutputError
from undark.files.dng import HEADROOM, write_linear, write_mosaic
from undark.files.raw import read_mosaic
from undark.sensor.cfa import BAYER_ORDERS, RGGB, X_TRANS
from undark.sensor.mosaic import GPS, Mosaic, Shot

CFAS = [*BAYER_ORDERS, *(X_TRANS.crop(y, x) for y in range(6) for x in range(6))]
PATCHES = np.array(
    [[1, 1, 1], [0.18, 0.18, 0.18], [0.6, 0.1, 0.1], [0.1, 0.6, 0.1], [0.1, 0.1, 0.6]], np.float32
)


def same(value, other):
    """Equal, arrays element by element, bit by bit."""
    return np.array_equal(value, other) if isinstance(value, np.ndarray) else value == other


def different_fields(mosaic, other):
    return [name for name, value in vars(mosaic).items() if not same(value, getattr(other, name))]


shots = st.builds(
    Shot,
    make=st.none() | st.sampled_from(["SONY", "Fabrika Łódź"]),
    model=st.sampled_from(["ILCE-7SM2", "Unheard of"]),
    lens=st.none() | st.just("35 mm ƒ/1.8"),
    exposure_time=st.none() | st.sampled_from([1 / 8000, 1 / 30, 1.0, 30.0]),
    aperture=st.none() | st.sampled_from([0.95, 1.0, 2.8]),
    iso=st.none() | st.sampled_from([50.0, 25600.0, 409600.0]),
    focal_length=st.none() | st.just(23.5),
    taken=st.none() | st.datetimes().map(lambda t: t.replace(microsecond=0)),
    gps=st.none() | st.builds(GPS, st.just(-33.5), st.just(151.25), st.none() | st.just(-12.25)),
)


@st.composite
def mosaics(draw):
    cfa, random = draw(st.sampled_from(CFAS)), np.random.default_rng(draw(st.integers(0, 999)))
    height, width = draw(st.integers(30, 90)), draw(st.integers(30, 600))
    red, blue = draw(st.tuples(*[st.floats(1, 8, width=32)] * 2))
    return Mosaic(
        plane=random.integers(0, 65536, (height, width)).astype(np.uint16),
        cfa=cfa,
        black=random.uniform(0, 4000, cfa.pattern.shape).astype(np.float32),
        white=float(draw(st.integers(4100, 65535))),
        white_balance=np.array([red, 1, blue], np.float32),
        camera_from_xyz=draw(st.sampled_from([None, A7S2_FROM_XYZ])),
        orientation=draw(st.integers(1, 8)),
        default_crop=draw(st.none() | st.just((3, 4, 20, 21))),
        noise_profile=draw(st.sampled_from([None, ((1e-4, 2e-7),), ((1e-4, 2e-7),) * 3])),
        shot=draw(shots),
    )


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(mosaics())
def test_a_mosaic_comes_back_as_it_was(tmp_path, mosaic):
    if mosaic.camera_from_xyz is None:  # LibRaw's table would know this camera
        mosaic = mosaic.replace(shot=Shot(model="Unheard of"))
    write_mosaic(tmp_path / "m.dng", mosaic)
    assert not different_fields(mosaic, read_mosaic(tmp_path / "m.dng"))


@pytest.mark.parametrize("cfa", CFAS, ids=lambda cfa: f"{cfa.name}{cfa.shift}")
def test_every_phase_of_every_filter_comes_back(tmp_path, make_mosaic, cfa):
    mosaic = make_mosaic(cfa, (301, 263))
    write_mosaic(tmp_path / "m.dng", mosaic)
    assert not different_fields(mosaic, read_mosaic(tmp_path / "m.dng"))


def test_a_fractional_white_level_is_rounded(tmp_path, mosaic):
    write_mosaic(tmp_path / "m.dng", mosaic.replace(white=4095.4))
    assert read_mosaic(tmp_path / "m.dng").white == 4095


def write_patches(path, make_mosaic, source=1.0, brightness=1.0, **changes):
    """A linear DNG of colour patches, each 32 pixels wide, with a light source in the corner."""
    camera = PATCHES * brightness @ camera_from_srgb(A7S2_FROM_XYZ).T.astype(np.float32)
    linear = np.tile(np.repeat(camera, 32, 0), (40, 1, 1)).astype(np.float32)
    linear[:4, :4] *= source
    mosaic = make_mosaic(shape=linear.shape[:2], **changes)
    write_linear(path, linear, mosaic, 200)
    return linear, mosaic


def levels_of_white(path):
    """White level, and the EV that are left for BaselineExposure."""
    with tifffile.TiffFile(path) as tiff:
        tags = tiff.pages[0].tags
        up, down = tags[50730].value
        red, green, blue = tags[50717].value
    assert red == green == blue
    return green, up / down


@pytest.mark.parametrize(
    ("source", "brightness", "white"),
    [(1, 1, 65535), (4, 1, 16384), (300, 1, 4096), (1, 0.5, 65535)],
)
def test_a_linear_dng_opens_in_libraw_with_the_right_colours_and_exposure(
    tmp_path, make_mosaic, source, brightness, white
):
    write_patches(tmp_path / "l.dng", make_mosaic, source, brightness)
    level, exposure = levels_of_white(tmp_path / "l.dng")
    assert level == white
    assert exposure == pytest.approx(0, abs=2e-4)
    with rawpy.imread(str(tmp_path / "l.dng")) as raw:
        light = raw.postprocess(
            use_camera_wb=True, no_auto_bright=True, gamma=(1, 1), output_bps=16
        )
    assert light[20, 16::32] / 65535 == pytest.approx(PATCHES * brightness, abs=0.003)
    assert light[1, 1].min() >= 65000 * min(brightness, 1)  # the source: white, not magenta


def test_a_linear_dng_is_proportional_to_light_before_white_balance(tmp_path, make_mosaic):
    linear, mosaic = write_patches(tmp_path / "l.dng", make_mosaic, source=2.0)
    stored = tifffile.imread(tmp_path / "l.dng")
    light = linear / mosaic.white_balance
    assert stored.dtype == np.uint16
    assert stored.max() == 65535
    assert stored == pytest.approx(light * 65535 / light.max(), abs=1)


def test_light_sources_leave_thousands_of_levels_for_the_rest(tmp_path, make_mosaic):
    write_patches(tmp_path / "l.dng", make_mosaic, source=300)
    stored = tifffile.imread(tmp_path / "l.dng")
    assert stored[20, 16, 1] == pytest.approx(65535 / HEADROOM, abs=1)  # green of the white patch


@pytest.mark.parametrize("gains", [(0.8, 1, 1.5), (2, 1, 0.7)])
def test_white_is_white_where_green_needs_more_than_another(tmp_path, make_mosaic, gains):
    gains = np.array(gains, np.float32)
    write_patches(tmp_path / "l.dng", make_mosaic, white_balance=gains)
    with rawpy.imread(str(tmp_path / "l.dng")) as raw:
        light = raw.postprocess(
            use_camera_wb=True, no_auto_bright=True, gamma=(1, 1), output_bps=16
        )
    assert light[20, 16::32] / 65535 == pytest.approx(PATCHES, abs=0.003)


def test_black_and_negative_light_can_be_written(tmp_path, make_mosaic):
    linear = np.full((40, 50, 3), -0.01, np.float32)
    write_linear(tmp_path / "l.dng", linear, make_mosaic(shape=(40, 50)), 1)
    assert not tifffile.imread(tmp_path / "l.dng").any()


def test_a_linear_dng_without_known_colours_has_srgbs(tmp_path, make_mosaic):
    write_patches(tmp_path / "l.dng", make_mosaic, camera_from_xyz=None)
    with tifffile.TiffFile(tmp_path / "l.dng") as tiff:
        flat = np.array(tiff.pages[0].tags[50721].value, float)
    assert flat[0] / flat[1] == pytest.approx(3.2405, abs=1e-3)


def test_a_linear_dng_carries_its_tags(tmp_path, make_mosaic):
    write_patches(tmp_path / "l.dng", make_mosaic, orientation=6)
    with tifffile.TiffFile(tmp_path / "l.dng") as tiff:
        page = tiff.pages[0]
        values = {code: tag.value for code, tag in page.tags.items()}
        exif, gps = values[34665], values[34853]
    assert values[254] == 0  # the main image, written out
    assert values[262] == 34892  # LinearRaw
    assert values[259] == 7  # lossless JPEG
    assert values[258] == (16, 16, 16)
    assert values[274] == 6
    assert values[50778] == 21  # D65
    assert values[50706][:2] == bytes([1, 4])
    assert values[305].startswith("undark")
    assert (values[271], values[272]) == ("SONY", "ILCE-7SM2")
    assert exif["ExposureTime"] == (1, 30)
    assert exif["ISOSpeedRatings"] == 25600
    assert exif["LensModel"] == "FE 35mm F1.8"
    assert gps["GPSLatitudeRef"] == "S"


def test_exifread_finds_exif_and_gps(tmp_path, mosaic):
    write_mosaic(tmp_path / "m.dng", mosaic)
    tags = exifread.process_file(io.BytesIO((tmp_path / "m.dng").read_bytes()), details=False)
    assert str(tags["EXIF DateTimeOriginal"]) == f"{SHOT.taken:%Y:%m:%d %H:%M:%S}"
    assert [float(v) for v in tags["GPS GPSLatitude"].values] == [33, 30, 0]
    assert tags["GPS GPSAltitudeRef"].values == [1]


def test_a_dng_that_cannot_be_written_says_why(tmp_path, mosaic):
    with pytest.raises(OutputError, match=r"missing.*m\.dng"):
        write_mosaic(tmp_path / "missing" / "m.dng", mosaic)


def test_tiles_are_never_wider_than_the_picture(tmp_path, make_mosaic):
    """LibRaw decodes such tiles wrongly: a regression."""
    mosaic = make_mosaic(RGGB, (50, 173))
    write_mosaic(tmp_path / "m.dng", mosaic)
    assert np.array_equal(read_mosaic(tmp_path / "m.dng").plane, mosaic.plane)
