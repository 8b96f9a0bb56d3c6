"""RAW files of real cameras and synthetic ones: what is read, and the errors of damaged ones."""

import shutil
import struct
import time
from datetime import datetime

import numpy as np
import pytest
import tifffile
from rawpy import DemosaicAlgorithm

import undark
from conftest import A7S2_FROM_XYZ
from undark.errors import ReadError, UnsupportedError
from undark.files.dng import write_mosaic
from undark.files.picture import write_picture
from undark.files.raw import (
    RAW_SUFFIXES,
    find_raws,
    pool,
    read_header,
    read_mosaic,
    render_with_libraw,
)
from undark.files.raw.black import Frame, masked_border
from undark.files.raw.white_balance import choose_white_balance
from undark.restoring.describe import describe
from undark.sensor.cfa import BAYER_ORDERS, RGGB, X_TRANS
from undark.sensor.mosaic import Shot

CFA_TAGS = [(33421, "H", 2, (2, 2)), (33422, "B", 4, (0, 1, 1, 2))]
BYTE, SHORT, LONG, RATIONAL, SRATIONAL = 1, 3, 4, 5, 10


def write_dng(path, tags=(), plane=None, patch=(), photometric=32803, cfa=CFA_TAGS):
    """A DNG as some other program writes it, uncompressed; `patch` changes tags of tifffile's."""
    plane = np.full((120, 160), 700, np.uint16) if plane is None else plane
    named = [(50706, "B", 4, (1, 4, 0, 0)), (50708, "s", 0, "Unheard of")]
    extra = [(*tag, True) for tag in [*named, *cfa, *tags]]
    tifffile.imwrite(
        path, plane, photometric=photometric, subfiletype=0, metadata=None, extratags=extra
    )
    with tifffile.TiffFile(path) as tiff:
        places = {code: tiff.pages[0].tags[code].valueoffset for code, _ in patch}
    with path.open("r+b") as file:
        for code, value in patch:
            file.seek(places[code])
            file.write(struct.pack("<H", value))
    return path


# ---- real cameras


def test_canon_g2(shared):
    mosaic = read_mosaic(shared / "raw" / "canon_powershot_g2.crw")
    assert mosaic.shape == (1720, 2312)
    assert mosaic.cfa == RGGB
    assert mosaic.black == pytest.approx(32.1, abs=0.1)
    assert mosaic.black_source == "masked border"
    assert mosaic.white == 1023
    assert mosaic.white_balance == pytest.approx([1.628, 1, 1.597], abs=0.001)
    assert mosaic.white_balance_source == "camera"
    assert mosaic.default_crop == (8, 20, 1704, 2272)
    assert mosaic.camera_from_xyz[0] == pytest.approx([0.9194, -0.2787, -0.1059])
    assert mosaic.shot == Shot(
        make="Canon",
        model="PowerShot G2",
        exposure_time=0.0198289,
        aperture=4.0,
        iso=50.0,
        focal_length=7.0,
        taken=datetime(2022, 1, 20, 8, 13, 24),
    )


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_the_cameras_clock_is_read_wherever_this_runs(shared, monkeypatch, zone):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    pool.stop()  # the next worker starts in this zone
    try:
        mosaic = read_mosaic(shared / "raw" / "canon_powershot_g2.crw")
    finally:
        monkeypatch.undo()
        time.tzset()
        pool.stop()
    assert mosaic.shot.taken == datetime(2022, 1, 20, 8, 13, 24)


def test_magic_lantern_dng(shared):
    mosaic = read_mosaic(shared / "raw" / "canon_kiss_x4_magic_lantern.dng")
    assert mosaic.shape == (1156, 1734)
    assert mosaic.black == pytest.approx(2048.6, abs=2)  # its tag says 2056
    assert mosaic.black_source == "masked border"
    assert mosaic.white_balance == pytest.approx([2.477, 1, 1.694], abs=0.001)
    assert mosaic.camera_from_xyz[0] == pytest.approx([0.6461, -0.1164, -0.0857])
    assert mosaic.default_crop is None  # its crop is the visible frame
    assert mosaic.shot == Shot("Canon", "Canon EOS Kiss X4")  # the rest is zero in the file


def test_kodaks(shared):
    with pytest.raises(UnsupportedError, match=r"dc120\.kdc: the pixels are not square"):
        read_mosaic(shared / "raw" / "kodak_dc120.kdc")
    mosaic = read_mosaic(shared / "raw" / "kodak_dc50.kdc")
    assert mosaic.camera_from_xyz is None
    assert mosaic.shot.exposure_time == pytest.approx(0.03915)
    assert mosaic.shot.taken == datetime(1994, 1, 1, 14, 40, 33)


@pytest.mark.parametrize("part", [0.0001, 0.01, 0.5, 0.9, 0.999, 0.99999])
@pytest.mark.parametrize(
    "name",
    ["canon_kiss_x4_magic_lantern.dng", "canon_powershot_s40.crw", "kodak_dc50.kdc"],
)
def test_real_files_cut_short(shared, tmp_path, capfd, name, part):
    complete = (shared / "raw" / name).read_bytes()
    cut = tmp_path / name
    cut.write_bytes(complete[: int(len(complete) * part)])
    with pytest.raises(ReadError, match="cut short"):
        read_mosaic(cut)
    assert capfd.readouterr() == ("", "")


def test_a_damaged_file_is_an_error(shared, tmp_path, capfd):
    damaged = bytearray((shared / "raw" / "canon_powershot_g2.crw").read_bytes())
    damaged[1_000_000:1_003_000] = np.random.default_rng(0).bytes(3000)
    (tmp_path / "x.crw").write_bytes(damaged)
    with pytest.raises(ReadError, match="damaged"):
        read_mosaic(tmp_path / "x.crw")
    assert capfd.readouterr() == ("", "")


# ---- synthetic files


@pytest.mark.parametrize("part", [0.001, 0.3, 0.6, 0.95, 0.99])
def test_lossless_jpeg_cut_short(tmp_path, make_mosaic, part):
    write_mosaic(tmp_path / "x.dng", make_mosaic(shape=(600, 800)))
    complete = (tmp_path / "x.dng").read_bytes()
    (tmp_path / "x.dng").write_bytes(complete[: int(len(complete) * part)])
    with pytest.raises(ReadError, match="cut short"):
        read_mosaic(tmp_path / "x.dng")


def test_what_the_file_does_not_say_is_unknown(tmp_path):
    mosaic = read_mosaic(write_dng(tmp_path / "x.dng"))
    assert mosaic.shot == Shot()
    assert mosaic.camera_from_xyz is None
    assert mosaic.noise_profile is None
    assert mosaic.default_crop is None
    assert mosaic.orientation == 1


def test_pixels_stay_when_the_next_file_is_read(tmp_path, make_mosaic):
    """LibRaw's own memory is gone after reading: a regression."""
    write_mosaic(tmp_path / "x.dng", make_mosaic())
    write_mosaic(tmp_path / "y.dng", make_mosaic(seed=1))
    first, second = (read_mosaic(tmp_path / name) for name in ("x.dng", "y.dng"))
    assert first.plane.flags.writeable
    second.plane[:] = 0
    assert np.array_equal(first.plane, make_mosaic().plane)


def test_stdout_works_after_an_error(tmp_path, capfd):
    with pytest.raises(ReadError):
        read_mosaic(write_dng(tmp_path / "x.dng").with_suffix(".not"))
    print("still here", flush=True)
    assert capfd.readouterr().out == "still here\n"


def test_an_implausible_noise_profile_is_said(tmp_path, make_mosaic):
    """Tracebacks and a nonsense picture once; the camera's measurements are used in its place."""
    write_mosaic(tmp_path / "x.dng", make_mosaic(noise_profile=((1e300, 1e300),)))
    assert "NoiseProfile is implausible" in describe(tmp_path / "x.dng")["noise"]
    mosaic = read_mosaic(tmp_path / "x.dng")
    restored = undark.restore(mosaic, exposure=10)
    expected = undark.restore(mosaic.replace(noise_profile=None), exposure=10)
    assert np.array_equal(restored.linear, expected.linear)


def test_fractional_black_by_position(tmp_path):
    levels = (1001, 2, 201, 1, 300, 1, 4005, 10)
    tags = [(50713, SHORT, 2, (2, 2)), (50714, RATIONAL, 4, levels), (50717, LONG, 1, (4000,))]
    mosaic = read_mosaic(write_dng(tmp_path / "x.dng", tags))
    assert mosaic.black.tolist() == [[500.5, 201], [300, 400.5]]
    assert mosaic.black_source == "tag"


def test_one_black_for_all(tmp_path):
    mosaic = read_mosaic(write_dng(tmp_path / "x.dng", [(50714, SHORT, 1, (512,))]))
    assert mosaic.black.tolist() == [[512, 512], [512, 512]]


@pytest.mark.parametrize("size", [(0, 0), (0, 5)])
def test_a_pattern_of_no_black_levels_is_ignored(tmp_path, size):
    mosaic = read_mosaic(write_dng(tmp_path / "x.dng", [(50713, SHORT, 2, size)]))
    assert mosaic.black.tolist() == [[0, 0], [0, 0]]


def rational(values, scale=10000):
    return tuple(n for v in values for n in (round(v * scale), scale))


def matrix_tags(*lights):
    """A colour matrix for each light source, that for D65 the right one."""
    for number, light in enumerate(lights):
        matrix = A7S2_FROM_XYZ.ravel() * (1 if light == 21 else 0.5)
        yield (50721 + number, SRATIONAL, 9, rational(matrix))
        yield (50778 + number, SHORT, 1, (light,))


@pytest.mark.parametrize("lights", [(17, 21), (21, 17), (21,)])
def test_the_matrix_nearest_to_daylight_is_taken(tmp_path, lights):
    mosaic = read_mosaic(write_dng(tmp_path / "x.dng", list(matrix_tags(*lights))))
    assert mosaic.camera_from_xyz == pytest.approx(A7S2_FROM_XYZ, abs=1e-4)
    assert mosaic.white_balance_source == "daylight"  # from the matrix


def test_calibration_and_balance_go_into_the_matrix(tmp_path):
    calibration = np.diag([1.1, 1, 0.9]).ravel()
    tags = [
        *matrix_tags(21),
        (50723, SRATIONAL, 9, rational(calibration)),
        (50727, RATIONAL, 3, rational((1, 0.5, 1))),
    ]
    mosaic = read_mosaic(write_dng(tmp_path / "x.dng", tags))
    expected = A7S2_FROM_XYZ * np.array([[1.1], [0.5], [0.9]])
    assert mosaic.camera_from_xyz == pytest.approx(expected, abs=1e-4)


def test_a_singular_matrix_is_none(tmp_path):
    tags = [(50721, SRATIONAL, 9, rational([0.5] * 9))]
    assert read_mosaic(write_dng(tmp_path / "x.dng", tags)).camera_from_xyz is None


def test_a_damaged_tag_is_passed_over_in_silence(tmp_path, capfd):
    path = write_dng(tmp_path / "x.dng", list(matrix_tags(21)))
    entry = struct.pack("<HHI", 50721, SRATIONAL, 9)
    damaged = bytearray(path.read_bytes())
    at = damaged.index(entry) + len(entry)
    damaged[at : at + 4] = struct.pack("<I", 2**31)  # far behind the end of the file
    path.write_bytes(damaged)
    assert read_mosaic(path).camera_from_xyz is None
    assert capfd.readouterr() == ("", "")


def test_a_mosaic_behind_a_thumbnail(tmp_path):
    plane = np.random.default_rng(0).integers(500, 900, (120, 160)).astype(np.uint16)
    tags = [*CFA_TAGS, (50714, RATIONAL, 1, (1001, 2)), (50719, LONG, 2, (4, 2))]
    tags.append((50720, LONG, 2, (100, 90)))
    shot = [(50706, "B", 4, (1, 4, 0, 0)), (50708, "s", 0, "Unheard of"), (271, "s", 0, "Acme")]
    with tifffile.TiffWriter(tmp_path / "x.dng") as tiff:
        tiff.write(
            np.zeros((30, 40, 3), np.uint8),
            photometric="rgb",
            subfiletype=1,
            subifds=1,
            metadata=None,
            extratags=[(*tag, True) for tag in shot],
        )
        extra = [(*tag, True) for tag in tags]
        tiff.write(plane, photometric=32803, subfiletype=0, metadata=None, extratags=extra)
    mosaic = read_mosaic(tmp_path / "x.dng")
    assert np.array_equal(mosaic.plane, plane)
    assert np.all(mosaic.black == 500.5)
    assert mosaic.default_crop == (2, 4, 90, 100)
    assert mosaic.shot.make == "Acme"


# ---- black level


def bordered(cfa=RGGB, black=512.0, border=(20, 30), seed=0, noise=4.0):
    """A RAW image of a dark scene, its frame, and the black level's tag, 3 DN off."""
    random = np.random.default_rng(seed)
    image = random.normal(black, noise, (400, 500))
    frame = Frame(border[0], border[1], 400 - 2 * border[0], 500 - 2 * border[1])
    visible = image[frame.top :, frame.left :][: frame.height, : frame.width]
    visible += random.poisson(20, visible.shape)
    tag = np.full(cfa.pattern.shape, black - 3, np.float32)
    return np.rint(image).astype(np.uint16), frame, tag


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=["Bayer", "X-Trans"])
def test_masked_pixels_win_over_the_tag(cfa):
    image, frame, tag = bordered(cfa)
    assert masked_border(image, frame, tag, 16383).black == pytest.approx(512, abs=0.6)


@pytest.mark.parametrize("border", [(20, 30), (21, 33)])
def test_masked_levels_belong_to_positions_seen_from_the_frame(border):
    image, frame, tag = bordered(border=border)
    image[frame.top % 2 :: 2, (frame.left + 1) % 2 :: 2] += 20  # the green of red rows
    expected = [[512, 532], [512, 512]]
    assert masked_border(image, frame, tag, 16383).black == pytest.approx(
        np.array(expected), abs=0.6
    )


def test_a_border_that_leaks_light_is_left_out():
    image, frame, tag = bordered()
    image[:, : frame.left] += 400
    assert masked_border(image, frame, tag, 16383).black == pytest.approx(512, abs=0.6)


def test_light_that_leaks_into_one_colour_is_noticed():
    image, frame, tag = bordered()
    inside = image[frame.top : -frame.top, frame.left : -frame.left].copy()
    image[::2, ::2] += 300
    image[frame.top : -frame.top, frame.left : -frame.left] = inside
    assert masked_border(image, frame, tag, 16383) is None


def test_a_border_brighter_than_the_darkest_of_the_picture_is_not_black():
    image, frame, tag = bordered()
    inside = image[frame.top : -frame.top, frame.left : -frame.left].copy()
    image += 60  # within what the tag allows, but above all that the picture shows
    image[frame.top : -frame.top, frame.left : -frame.left] = inside
    assert masked_border(image, frame, tag, 16383) is None


def test_few_masked_pixels_do_not_decide():
    image, frame, tag = bordered(border=(2, 3))
    assert masked_border(image, frame, tag, 16383) is None


def test_hot_pixels_in_the_border_do_not_count():
    image, frame, tag = bordered()
    image[::17, ::13] = 16000
    assert masked_border(image, frame, tag, 16383).black == pytest.approx(512, abs=0.6)


def test_a_masked_border_in_a_file(tmp_path):
    image, frame, _ = bordered()
    area = (frame.top, frame.left, frame.top + frame.height, frame.left + frame.width)
    tags = [(50714, SHORT, 1, (509,)), (50717, LONG, 1, (16383,)), (50829, LONG, 4, area)]
    mosaic = read_mosaic(write_dng(tmp_path / "x.dng", tags, image))
    assert mosaic.shape == (frame.height, frame.width)
    assert mosaic.black_source == "masked border"
    assert mosaic.black == pytest.approx(512, abs=0.6)


# ---- white balance

DAYLIGHT = (2.0, 0.9, 1.4, 0.0)


@pytest.mark.parametrize(
    ("camera", "expected"),
    [
        ((2048, 1024, 1536, 1024), (2, 1, 1.5)),
        ((0.5, 0.25, 0.375, 0), (2, 1, 1.5)),  # any scale
        ((1.3, 1, 2.9, 1), (1.3, 1, 2.9)),  # incandescent light
        ((0.5, 1, 0.667, 0), (2, 1, 1.5)),  # reciprocals
        ((0.9, 1, 1.6, 0), (0.9, 1, 1.6)),
    ],
)
def test_the_cameras_white_balance(mosaic, camera, expected):
    gains, source = choose_white_balance(mosaic, camera, DAYLIGHT)
    assert source == "camera"
    assert gains.dtype == np.float32
    assert gains == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    "camera", [(0, 1, 0, 0), (-1, -1, -1, -1), (2, 1, np.nan, 1), (2, 1, np.inf, 1), (50, 1, 2, 1)]
)
def test_without_the_cameras_daylights(mosaic, camera):
    gains, source = choose_white_balance(mosaic, camera, DAYLIGHT)
    assert source == "daylight"
    assert gains == pytest.approx([2 / 0.9, 1, 1.4 / 0.9])


def test_without_any_grey_world(mosaic):
    plane = np.full(mosaic.shape, 512 + 400, np.uint16)
    plane[::2, ::2] = 512 + 200
    plane[1::2, 1::2] = 512 + 250
    plane[:8, :8] = 16383  # clipped: left out
    gains, source = choose_white_balance(mosaic.replace(plane=plane), (0, 1, 0, 0), (1, 1, 1, 0))
    assert source == "grey world"
    assert gains == pytest.approx([2, 1, 1.6])


def test_a_black_frame_has_a_white_balance(mosaic):
    black = mosaic.replace(plane=np.full(mosaic.shape, 500, np.uint16))
    gains, _ = choose_white_balance(black, (0, 0, 0, 0), (0, 0, 0, 0))
    assert gains.tolist() == [1, 1, 1]


# ---- files that are none, or not for us


def test_missing_empty_and_folder(tmp_path):
    with pytest.raises(ReadError, match=r"x\.arw: there is no such file"):
        read_mosaic(tmp_path / "x.arw")
    (tmp_path / "x.arw").touch()
    with pytest.raises(ReadError, match=r"x\.arw: the file is empty"):
        read_mosaic(tmp_path / "x.arw")
    with pytest.raises(
        ReadError, match="a folder, where a RAW file is asked for; give the files in it"
    ):
        read_mosaic(tmp_path)


def test_a_jpeg_renamed(tmp_path):
    write_picture(tmp_path / "x.jpg", np.zeros((40, 60, 3), np.uint8), Shot("SONY", "ILCE-7SM2"))
    shutil.move(tmp_path / "x.jpg", tmp_path / "x.ARW")
    with pytest.raises(ReadError, match=r"x\.ARW: this is a JPEG picture, not a RAW photo"):
        read_mosaic(tmp_path / "x.ARW")


@pytest.mark.parametrize("name", ["x.arw", "x.txt"])
def test_nonsense(tmp_path, name):
    (tmp_path / name).write_bytes(np.random.default_rng(0).bytes(50_000))
    with pytest.raises(ReadError, match=r"damaged, cut short|not a RAW photo"):
        read_mosaic(tmp_path / name)


def test_a_tiff_picture(tmp_path):
    write_picture(tmp_path / "x.tif", np.zeros((40, 60, 3), np.uint16), Shot("Canon", "EOS"))
    with pytest.raises(ReadError, match="not a RAW photo"):
        read_mosaic(tmp_path / "x.tif")


def test_gopro(tmp_path):
    write_dng(tmp_path / "x.gpr", patch=[(259, 9)])  # VC-5 compression
    with pytest.raises(UnsupportedError, match=r"x\.gpr: GoPro GPR is not supported; convert"):
        read_mosaic(tmp_path / "x.gpr")


def test_black_above_white(tmp_path):
    levels = [(50714, "H", 1, (5000,)), (50717, "I", 1, (4000,))]
    path = write_dng(tmp_path / "x.dng", levels)
    with pytest.raises(ReadError, match=r"x\.dng: its black level is not below its white level"):
        read_mosaic(path)


def test_a_frame_larger_than_its_file_can_hold(tmp_path):
    huge = [(256, 20000), (257, 20000), (278, 20000), (259, 7)]  # as lossless JPEG
    path = write_dng(tmp_path / "x.dng", patch=huge)
    began = time.monotonic()
    with pytest.raises(ReadError, match=r"x\.dng: the file is damaged or cut short"):
        read_mosaic(path)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("tag", "orientation"), [(0, 1), (1, 1), (6, 6), (8, 8), (9, 1), (255, 1), (65535, 1)]
)
def test_orientation_tag(tmp_path, tag, orientation):
    path = write_dng(tmp_path / "x.dng", [(274, "H", 1, (tag,))])
    assert read_mosaic(path).orientation == orientation
    assert read_header(path).orientation == orientation


def unsupported(path):
    with pytest.raises(UnsupportedError, match="undark restores Bayer and X-Trans") as caught:
        read_mosaic(path)
    return str(caught.value)


def test_monochrome(tmp_path):
    path = write_dng(tmp_path / "x.dng", photometric=1, cfa=[], patch=[(262, 34892)])
    assert "monochrome" in unsupported(path)


def test_linear_dng(tmp_path):
    rgb = np.full((120, 160, 3), 700, np.uint16)
    path = write_dng(tmp_path / "x.dng", plane=rgb, photometric=34892, cfa=[])
    assert "no mosaic" in unsupported(path)


def test_four_colours(tmp_path):
    cfa = [(33421, "H", 2, (2, 2)), (33422, "B", 4, (3, 1, 5, 4)), (50710, "B", 4, (3, 1, 5, 4))]
    assert "GMCY" in unsupported(write_dng(tmp_path / "x.dng", cfa=cfa))


def test_quad_bayer(tmp_path):
    pattern = (0, 0, 1, 1) * 2 + (1, 1, 2, 2) * 2
    cfa = [(33421, "H", 2, (4, 4)), (33422, "B", 16, pattern)]
    assert "unusual" in unsupported(write_dng(tmp_path / "x.dng", cfa=cfa))


# ---- LibRaw's own rendering


@pytest.mark.parametrize("cfa", [*BAYER_ORDERS, X_TRANS], ids=lambda cfa: cfa.name)
def test_a_rendering_has_the_mosaics_orientation(tmp_path, make_mosaic, cfa):
    plane = np.full((48, 72), 600, np.uint16)
    plane[18:24, 30:36] = 9000
    write_mosaic(tmp_path / "x.dng", make_mosaic(cfa=cfa, plane=plane, orientation=6))
    linear = DemosaicAlgorithm.LINEAR  # LibRaw's own for X-Trans wants large frames
    options = {"output_bps": 16, "demosaic_algorithm": linear}
    picture = render_with_libraw(tmp_path / "x.dng", user_flip=0, **options)
    assert picture.dtype == np.uint16
    assert picture.shape == (48, 72, 3)
    lit = picture.min(axis=2) > picture.max() / 4
    assert lit[19:23, 31:35].all()
    assert not lit[:16].any()
    assert not lit[:, :28].any()
    assert render_with_libraw(tmp_path / "x.dng", **options).shape == (72, 48, 3)  # upright


@pytest.mark.parametrize("shape", [(64, 96), (600, 508), (508, 600)])
def test_x_trans_frames_below_libraws_tile(tmp_path, make_mosaic, shape):
    """The message named an option that no command has."""
    write_mosaic(tmp_path / "x.dng", make_mosaic(cfa=X_TRANS, shape=shape))
    size = f"{shape[1]} x {shape[0]}"
    with pytest.raises(UnsupportedError, match=rf"x\.dng: {size} pixels: .* at least 512 x 512;"):
        render_with_libraw(tmp_path / "x.dng")


def test_x_trans_frames_of_libraws_tile(tmp_path, make_mosaic):
    write_mosaic(tmp_path / "x.dng", make_mosaic(cfa=X_TRANS, shape=(516, 516)))
    assert render_with_libraw(tmp_path / "x.dng").shape == (516, 516, 3)


def test_rendering_a_sensor_that_is_no_mosaic(tmp_path):
    rgb = np.full((120, 160, 3), 700, np.uint16)
    path = write_dng(tmp_path / "x.dng", plane=rgb, photometric=34892, cfa=[])
    assert render_with_libraw(path).shape == (120, 160, 3)


def test_rendering_what_is_not_a_raw_photo(tmp_path):
    with pytest.raises(ReadError, match=r"x\.arw: there is no such file"):
        render_with_libraw(tmp_path / "x.arw")
    (tmp_path / "x.arw").write_bytes(b"nonsense")
    with pytest.raises(ReadError, match=r"x\.arw: .* damaged"):
        render_with_libraw(tmp_path / "x.arw")


def test_misspelt_options_of_the_rendering(tmp_path):
    with pytest.raises(TypeError, match=r"use_camra_wb: .* no such option; perhaps use_camera_wb"):
        render_with_libraw(tmp_path / "x.dng", use_camra_wb=True)
    with pytest.raises(ValueError, match=r"user_wb=\[2, 1\]: values that .* does not take"):
        render_with_libraw(tmp_path / "x.dng", user_wb=[2, 1])
    with pytest.raises(ValueError, match="gamma=3"):
        render_with_libraw(tmp_path / "x.dng", gamma=3)
    with pytest.raises(ValueError, match="requires GPL2"):
        render_with_libraw(tmp_path / "x.dng", demosaic_algorithm=DemosaicAlgorithm.AFD)


def test_find_raws(tmp_path):
    for name in ("b.ARW", "a/c.dng", "a/d.jpg", ".e.nef", ".trash/f.nef", "g.crw"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.dng").mkdir()
    found = [str(p.relative_to(tmp_path)) for p in find_raws(tmp_path)]
    assert found == ["a/c.dng", "b.ARW", "g.crw"]
    assert all(s.startswith(".") and s == s.lower() for s in RAW_SUFFIXES)
