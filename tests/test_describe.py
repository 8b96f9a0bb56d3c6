"""`undark info`, label by label, of a photo whose every property is known."""

from dataclasses import replace

import numpy as np

from undark.files.dng import write_mosaic
from undark.files.picture import write_picture
from undark.restoring.describe import UNKNOWN, describe, noise_lines
from undark.sensor.cfa import X_TRANS
from undark.sensor.mosaic import Shot
from undark.sensor.profiles.lookup import estimate_of


def described(tmp_path, mosaic):
    write_mosaic(tmp_path / "a.dng", mosaic)
    return describe(tmp_path / "a.dng")


def test_each_label_shows_what_the_file_says(make_mosaic, tmp_path):
    black = np.array([[512, 510], [513, 512]], np.float32)
    found = described(tmp_path, make_mosaic(black=black, default_crop=(4, 8, 48, 64)))
    assert {label: found[label] for label in list(found)[:18]} == {
        "camera": "SONY ILCE-7SM2",
        "lens": "FE 35mm F1.8",
        "exposure time": "0.0333333 s",
        "aperture": "f/2.8",
        "ISO": "25600",
        "focal length": "35 mm",
        "taken": "2024-05-06 07:08:09",
        "GPS": "-33.50000, 151.25000",
        # log2(2.8² · 30) - log2(256)
        "exposure value": "EV -0.1 at ISO 100",
        "size": "96 x 64",
        "default crop": "64 x 48 at 8, 4",
        "CFA": "RGGB",
        "black level": "510, 512, 513 DN (tag)",
        "white level": "16383 DN",
        "white balance": "2.125, 1.000, 1.500 (camera)",
        # the matrix times the white of D65 (0.9505, 1, 1.0891): 0.3800, 1.0703, 0.7166
        "daylight": "2.816, 1.000, 1.494 (colour matrix, D65)",
        "colour matrix": "known",
        "orientation": "1",
    }
    assert found["noise"].endswith(")")
    assert found["scene"].endswith("lux")


def test_what_the_file_does_not_say_is_unknown(make_mosaic, tmp_path):
    found = described(tmp_path, make_mosaic(shot=Shot(), camera_from_xyz=None))
    assert found["camera"] == "unknown camera"
    assert found["default crop"] == "all"
    assert found["scene"] == UNKNOWN
    for label in ("lens", "exposure time", "aperture", "ISO", "focal length", "taken", "GPS"):
        assert found[label] == UNKNOWN
    for label in ("exposure value", "daylight", "colour matrix"):
        assert found[label] == UNKNOWN


def test_black_errors_of_x_trans_are_a_range(make_mosaic):
    """36 numbers would fill the screen."""
    off = np.linspace(-3, 4, 36).reshape(6, 6).astype(np.float32)
    mosaic = make_mosaic(cfa=X_TRANS, shape=(120, 120))
    found = replace(estimate_of(mosaic), black_errors=off, black_source="flat blocks")
    assert noise_lines(found)["black error"] == "-3.00 to +4.00 DN (flat blocks)"


def test_a_picture_is_described(tmp_path):
    levels = np.full((48, 64, 3), 13, np.uint8)
    write_picture(tmp_path / "a.jpg", levels, Shot("SONY", "ILCE-7SM2", iso=3200.0))
    found = describe(tmp_path / "a.jpg")
    assert (found["camera"], found["ISO"]) == ("SONY ILCE-7SM2", "3200")
    assert (found["size"], found["bits"]) == ("64 x 48", "8 a channel")
    # of one tone, ((13 / 255 + 0.055) / 1.055)^2.4 in linear light, that comes to 0.65
    assert found["amplification"].startswith("x161 (+7.3 EV)")
    assert found["noise"].startswith("0.000 of white in the amplified picture, 0.000 between")
