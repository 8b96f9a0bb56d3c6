"""Pixels of JPEG, PNG and TIFF of every kind, and their colour profiles."""

import io

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from conftest import SHOT
from undark.errors import ReadError
from undark.files.icc import srgb_profile
from undark.files.picture import open_picture, read_picture, write_picture

RAMP = np.mgrid[0:48, 0:64].sum(0)[..., None] * [1, 1.4, 0.6]
RGB8 = RAMP.clip(0, 255).astype(np.uint8)
RGB16 = (RAMP * 257).clip(0, 65535).astype(np.uint16)
GREY = RGB8[..., :1].repeat(3, axis=-1)

TIFFS = {
    "rgb": (RGB8, RGB8, {"photometric": "rgb"}),
    "packed": (RGB16, RGB16, {"photometric": "rgb", "compression": "zlib", "predictor": True}),
    "big endian": (RGB16, RGB16, {"photometric": "rgb", "byteorder": ">"}),
    "tiles": (RGB8, RGB8, {"photometric": "rgb", "tile": (16, 16)}),
    "planes": (
        np.moveaxis(RGB8, -1, 0).copy(),
        RGB8,
        {"photometric": "rgb", "planarconfig": "separate"},
    ),
    "grey": (RGB8[..., 0].copy(), GREY, {"photometric": "minisblack"}),
    "white is 0": (255 - RGB8[..., 0], GREY, {"photometric": "miniswhite"}),
    "one bit": (GREY[..., 0] > 99, (GREY > 99) * 255, {"photometric": "minisblack"}),
    "alpha": (
        np.dstack([RGB8, RGB8[..., 0]]),
        RGB8,
        {"photometric": "rgb", "extrasamples": ["unassalpha"]},
    ),
    "float": ((RGB16 / 65535).astype(np.float32), RGB16, {"photometric": "rgb"}),
    "long": (RGB16.astype(np.uint32) * 65537, RGB16, {"photometric": "rgb"}),
}


@pytest.mark.parametrize("name", TIFFS)
def test_tiff(tmp_path, name):
    stored, expected, layout = TIFFS[name]
    tifffile.imwrite(tmp_path / "x.tif", stored, **layout)
    levels = open_picture(tmp_path / "x.tif").levels
    assert levels.dtype == (np.uint16 if expected.max() > 255 else np.uint8)
    assert np.array_equal(levels, expected)


@pytest.mark.parametrize("layout", [{}, {"compression": "zlib"}, {"tile": (16, 16)}])
def test_a_cut_tiff_is_named(tmp_path, layout):
    tifffile.imwrite(tmp_path / "x.tif", RGB8, photometric="rgb", **layout)
    content = (tmp_path / "x.tif").read_bytes()
    for length in np.linspace(0, len(content) - 1, 20).astype(int):
        (tmp_path / "x.tif").write_bytes(content[:length])
        with pytest.raises(ReadError, match=r"x\.tif"):
            read_picture(tmp_path / "x.tif")


def test_colours_that_are_not_read_are_named(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", RGB8, photometric="cielab")
    with pytest.raises(ReadError, match="CIELAB; convert it to RGB"):
        read_picture(tmp_path / "x.tif")


def test_png_with_palette_and_16_bits(tmp_path):
    image = Image.fromarray(RGB8).quantize(16)
    image.save(tmp_path / "palette.png")
    assert np.array_equal(read_picture(tmp_path / "palette.png"), np.asarray(image.convert("RGB")))
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(RGB16))
    assert np.array_equal(open_picture(tmp_path / "deep.png").levels, RGB16)
    rounded = np.rint(RGB16 / 257).astype(np.uint8)
    assert np.array_equal(read_picture(tmp_path / "deep.png"), rounded)


def test_a_jpeg_of_four_inks(tmp_path):
    Image.fromarray(RGB8).convert("CMYK").save(tmp_path / "x.jpg", quality=100)
    assert read_picture(tmp_path / "x.jpg") == pytest.approx(RGB8, abs=12)


def test_large_photos_are_no_attack(tmp_path, monkeypatch):
    """Pillow warns of pictures above its limit and refuses those of twice as many pixels."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", RGB8.shape[0] * RGB8.shape[1] // 3)
    Image.fromarray(RGB8).save(tmp_path / "x.jpg")
    assert read_picture(tmp_path / "x.jpg").shape == RGB8.shape


def test_damaged_exif_costs_no_picture(tmp_path):
    """Nor a warning, which pytest makes an error: Pillow has some, and refuses some pictures."""
    path, random = tmp_path / "x.jpg", np.random.default_rng(0)
    write_picture(path, RGB8, SHOT)
    content, expected = path.read_bytes(), read_picture(path)
    start = content.index(b"Exif\0\0")
    for _ in range(200):
        damaged = bytearray(content)
        for place in random.integers(start, start + 300, 6):
            damaged[place] = random.choice([0, 255, 1, 128])
        path.write_bytes(damaged)
        assert np.array_equal(read_picture(path), expected)


def test_a_damaged_profile_costs_no_png(tmp_path):
    write_picture(tmp_path / "x.png", RGB8, SHOT)
    content = bytearray((tmp_path / "x.png").read_bytes())
    start = content.index(b"iCCP")
    content[start + 11 : start + 40] = bytes(29)
    (tmp_path / "x.png").write_bytes(content)
    assert np.array_equal(read_picture(tmp_path / "x.png"), RGB8)


# --- colour profiles ---------------------------------------------------------------------------

D65 = (0.3127, 0.3290)
SPACES = {
    "p3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    "adobe": ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060)),
    "srgb": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
}


def profile(space):
    primaries = [n for x, y in SPACES[space] for n in (x, y, 1)]
    curve = {"gamma": 563 / 256}
    if space == "p3":
        x = np.linspace(0, 1, 4096)
        light = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
        curve = {"transferfunction": np.rint(light * 65535).astype(np.uint16)}
    made = imagecodecs.cms_profile("rgb", whitepoint=(*D65, 1.0), primaries=primaries, **curve)
    return bytes(made)


def xyz_from(space):
    """Linear RGB → XYZ, from the chromaticities of the primaries and D65."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in SPACES[space]]).T
    white = np.array([D65[0] / D65[1], 1, (1 - sum(D65)) / D65[1]])
    return columns * np.linalg.solve(columns, white)


def expected_srgb(levels, space):
    """The picture in sRGB by the definitions of the two spaces, in [0, 1]."""
    x = levels / np.iinfo(levels.dtype).max
    if space == "p3":
        light = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    else:
        light = x ** (563 / 256)
    light = (light @ (np.linalg.inv(xyz_from("srgb")) @ xyz_from(space)).T).clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def save(path, levels, icc):
    """A file with a profile, not through undark."""
    if path.suffix == ".tif":
        tifffile.imwrite(path, levels, photometric="rgb", iccprofile=icc)
    elif levels.dtype == np.uint8:
        Image.fromarray(levels).save(path, icc_profile=icc, quality=100, subsampling=0)
    else:
        small = io.BytesIO()
        Image.fromarray(levels[:1, :1].astype(np.uint8)).save(small, "PNG", icc_profile=icc)
        plain, chunk = imagecodecs.png_encode(levels), small.getvalue()
        start = chunk.index(b"iCCP") - 4
        length = int.from_bytes(chunk[start : start + 4], "big") + 12
        path.write_bytes(plain[:33] + chunk[start : start + length] + plain[33:])


def random_levels(dtype):
    """Random levels of every brightness and hue, as many dark as bright ones."""
    coarse = np.random.default_rng(0).uniform(0, 1, (8, 8, 3)) ** 3
    fine = coarse.repeat(16, axis=0).repeat(16, axis=1)
    return np.rint(fine * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("space", ["p3", "adobe"])
@pytest.mark.parametrize(
    ("suffix", "dtype", "tolerance"),
    [
        (".jpg", np.uint8, 0.8 / 255),
        (".png", np.uint8, 0.8 / 255),
        (".png", np.uint16, 0.15 / 255),
        (".tif", np.uint8, 0.8 / 255),
        (".tif", np.uint16, 0.15 / 255),
    ],
)
def test_profiles_are_converted_to_srgb(tmp_path, space, suffix, dtype, tolerance):
    path, levels = tmp_path / f"x{suffix}", random_levels(dtype)
    save(path, levels, profile(space))
    if suffix == ".jpg":  # what JPEG itself changes is not the profile's
        levels = np.asarray(Image.open(path))
    expected = expected_srgb(levels, space)
    assert np.abs(expected - levels / np.iinfo(dtype).max).max() > 0.1  # or it proves nothing
    read = open_picture(path).levels
    assert read.dtype == dtype
    assert np.abs(read / np.iinfo(dtype).max - expected).max() < tolerance


def test_adobe_rgb_by_exif_alone(tmp_path):
    """Cameras write no profile: interoperability index R03 says Adobe RGB."""
    levels = random_levels(np.uint8)
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 65535
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    Image.fromarray(levels).save(tmp_path / "x.jpg", quality=100, subsampling=0, exif=exif)
    stored = np.asarray(Image.open(tmp_path / "x.jpg"))
    error = np.abs(read_picture(tmp_path / "x.jpg") / 255 - expected_srgb(stored, "adobe"))
    assert error.max() < 0.8 / 255


def test_a_grey_profile(tmp_path):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    grey = bytes(imagecodecs.cms_profile("gray", gamma=1.0))
    Image.fromarray(levels).save(tmp_path / "x.png", icc_profile=grey)
    light = levels / 255
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    read = read_picture(tmp_path / "x.png")
    assert np.abs(read / 255 - expected[..., None]).max() < 0.6 / 255


@pytest.mark.parametrize("icc", ["undark", "little cms", "damaged", "other space"])
def test_srgb_and_useless_profiles_change_no_pixel(tmp_path, icc):
    made = {
        "undark": srgb_profile(),
        "little cms": bytes(imagecodecs.cms_profile("srgb")),
        "damaged": b"no profile" * 40,
        "other space": bytes(imagecodecs.cms_profile("gray", gamma=1.0)),
    }[icc]
    levels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    save(tmp_path / "x.tif", levels, made)
    assert np.array_equal(read_picture(tmp_path / "x.tif"), levels)
