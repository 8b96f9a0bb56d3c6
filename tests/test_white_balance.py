"""White balance and contrast that are chosen when the picture is made."""

from dataclasses import replace

import numpy as np
import pytest
import rawpy
import tifffile
from hypothesis import given
from hypothesis import strategies as st

import undark
from picture_models import Same
from test_render import UPRIGHT
from undark.demo import photograph
from undark.develop.colour import CAMERA_MATRICES, camera_from_srgb
from undark.develop.render import MIDDLE_GREY, apply_contrast, contrast_curve, render
from undark.develop.white_balance import (
    AS_SHOT,
    DAYLIGHT,
    daylight_gains,
    grey_gains,
    parse_white_balance,
    window,
)
from undark.errors import UnsupportedError
from undark.files.dng import write_linear, write_mosaic
from undark.files.picture import open_picture, write_picture
from undark.restoring import jobs, models
from undark.restoring.jobs import Failed, Options, Restored, plan
from undark.restoring.picture import restore_picture
from undark.sensor.exposure import parse_exposure
from undark.sensor.mosaic import Shot

TUNGSTEN = np.float32([1.0, 0.62, 0.28])
"""Linear sRGB of white under a bulb, about."""
GREY = (150, 60)
"""A pixel (x, y) of the grey card of `scene`."""


def scene(light=TUNGSTEN):
    """(H, W, 3) linear sRGB: a grey card among coloured patches, in the light of a bulb."""
    patches = np.random.default_rng(3).uniform(0.05, 0.6, (3, 4, 3))
    patches[1, 2] = 0.4
    picture = np.repeat(np.repeat(patches, 48, 0), 64, 1).astype(np.float32)
    picture[:8, :8] = 200.0  # saturates the sensor at ×20
    picture[-48:, :64] = 0.0
    return picture * light


@pytest.fixture(scope="module")
def dark():
    return photograph(scene(), 800, 20)


@pytest.fixture(scope="module")
def restored(dark):
    return undark.restore(dark, exposure=20.0)


@pytest.mark.parametrize(
    ("text", "asked"),
    [("as-shot", AS_SHOT), ("Daylight", DAYLIGHT), ("12,34", (12, 34)), (" 0 , 7 ", (0, 7))],
)
def test_white_balances_are_parsed(text, asked):
    assert parse_white_balance(text) == asked


@pytest.mark.parametrize("text", ["", "cloudy", "1", "1,2,3", "-1,5", "1.5,2", "5500K"])
def test_other_white_balances_are_refused_with_what_to_give(text):
    with pytest.raises(ValueError, match=r"as-shot, daylight, or X,Y"):
        parse_white_balance(text)


def test_a_grey_card_under_tungsten_becomes_neutral(restored):
    x, y = GREY
    card = np.s_[y - 5 : y + 6, x - 5 : x + 6]
    yellow = restored.picture()[card].mean(axis=(0, 1))
    assert yellow[0] - yellow[2] > 60
    neutral = restored.picture(white_balance=GREY)[card].mean(axis=(0, 1))
    assert np.ptp(neutral) < 1
    assert neutral[1] == pytest.approx(yellow[1], abs=25)


def test_the_gains_are_those_of_the_light(restored, dark):
    """What the sensor would need, by the colours the scene was made of."""
    white = TUNGSTEN @ camera_from_srgb(CAMERA_MATRICES[-1]).T
    expected = dark.white_balance * white[1] / white
    assert restored.gains(GREY) == pytest.approx(expected, rel=0.02)


def test_nothing_changes_unless_asked(restored):
    for bits in (8, 16):
        usual = restored.picture(bits)
        assert np.array_equal(usual, restored.picture(bits, "as-shot", 0.0))
        own = restored.mosaic.white_balance
        same = render(restored.linear, restored.mosaic, 20.0, bits, gains=own)
        assert np.array_equal(usual, same)


def test_daylight_makes_a_card_in_daylight_neutral_whatever_the_camera_chose(dark):
    """The camera chose the bulb's white balance, the light was daylight."""
    matrix, chosen = dark.camera_from_xyz, np.float32([1.2, 1, 3.4])
    gains = daylight_gains(matrix)
    truth = scene(1) @ camera_from_srgb(matrix).T.astype(np.float32)
    photo = dark.replace(white_balance=chosen)
    light = (truth * chosen / gains).astype(np.float32)
    x, y = GREY
    assert np.ptp(render(light, photo, 20)[y, x].astype(int)) > 30
    shown = render(light, photo, 20, gains=gains)
    assert np.ptp(shown[y, x].astype(int)) <= 1
    expected = render(truth, photo.replace(white_balance=gains), 20)
    assert np.abs(shown.astype(int) - expected).max() <= 1


def test_saturated_light_stays_white(restored):
    for asked in (AS_SHOT, DAYLIGHT, GREY):
        assert restored.picture(white_balance=asked)[2:5, 2:5].min() >= 250, asked


@pytest.mark.parametrize("number", range(len(CAMERA_MATRICES)))
def test_daylight_is_librawns(tmp_path, dark, number):
    """LibRaw makes its multipliers of the DNG's matrix."""
    matrix = CAMERA_MATRICES[number].astype(np.float32)
    write_mosaic(tmp_path / "a.dng", dark.replace(camera_from_xyz=matrix))
    with rawpy.imread(str(tmp_path / "a.dng")) as raw:
        theirs = np.array(raw.daylight_whitebalance[:3])
    assert daylight_gains(matrix) == pytest.approx(theirs / theirs[1], rel=1e-3)


def test_daylight_of_real_files_is_librawns(shared):
    for name in ("canon_powershot_g2.crw", "canon_kiss_x4_magic_lantern.dng"):
        with rawpy.imread(str(shared / "raw" / name)) as raw:
            theirs = np.array(raw.daylight_whitebalance[:3])
        ours = daylight_gains(undark.read(shared / "raw" / name).camera_from_xyz)
        assert ours == pytest.approx(theirs / theirs[1], rel=1e-3)


def test_daylight_is_refused_where_it_is_not_known(restored):
    unknown = replace(restored, mosaic=restored.mosaic.replace(camera_from_xyz=None))
    with pytest.raises(UnsupportedError, match=r"daylight.*not known.*as-shot or a grey point"):
        unknown.picture(white_balance="daylight")
    assert daylight_gains(np.zeros((3, 3))) is None


@pytest.mark.parametrize(
    ("point", "why"),
    [
        ((256, 0), r"outside .* 256 x 144"),
        ((0, 144), r"outside"),
        ((4, 4), r"4,4 is clipped"),
        ((30, 120), r"30,120 is nearly black"),
    ],
)
def test_points_that_cannot_be_grey_are_refused(restored, point, why):
    with pytest.raises(UnsupportedError, match=why):
        restored.picture(white_balance=point)


def test_a_coloured_point_is_refused():
    light = np.full((3, 3, 3), (0.5, 0.5, 0.01), np.float32)
    with pytest.raises(UnsupportedError, match="too strongly coloured"):
        grey_gains(light, np.ones(3), 20)


@pytest.mark.parametrize("wrong", ["cloudy", (1,), (1.5, 2), None])
def test_python_is_told_what_a_white_balance_is(restored, wrong):
    with pytest.raises(ValueError, match="white_balance is 'as-shot'"):
        restored.picture(white_balance=wrong)


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("point", [(7, 8), (0, 0), (29, 22)])
def test_points_are_those_of_the_upright_picture(orientation, point):
    numbers = np.arange(23 * 30).reshape(23, 30)
    upright = UPRIGHT[orientation](numbers)
    x, y = (min(n, m - 1) for n, m in zip(point, upright.shape[::-1], strict=True))
    rows, columns = window((x, y), numbers.shape, orientation)
    assert upright[y, x] in numbers[rows, columns]
    around = upright[max(y - 5, 0) : y + 6, max(x - 5, 0) : x + 6]
    assert np.array_equal(np.sort(around.ravel()), np.sort(numbers[rows, columns].ravel()))


def batch(source, target, **asked):
    done = run_all(source, target, **asked)
    assert isinstance(done, Restored), done
    return done.target


def run_all(source, target, **asked):
    options = Options(exposure=parse_exposure("4.32"), **asked)
    events = jobs.run(plan([source], target), options)
    (done,) = (e for e in events if isinstance(e, Restored | Failed))
    return done


@pytest.mark.parametrize(("asked", "strength"), [(DAYLIGHT, 1.0), (GREY, 0.5)])
def test_a_batch_writes_what_python_gives(tmp_path, dark, asked, strength):
    """The grey point is restored by itself there: levels may differ by one."""
    write_mosaic(tmp_path / "a.dng", dark)
    how = {"white_balance": asked, "contrast": 0.4}
    path = batch(tmp_path / "a.dng", tmp_path / "a.png", strength=strength, **how)
    made = undark.restore(dark, exposure=2**4.32, strength=strength).picture(**how)
    differences = np.abs(open_picture(path).levels.astype(int) - made)
    assert differences.max() <= (0 if asked == DAYLIGHT else 1)


def test_a_dng_keeps_its_pixels_and_says_the_white_balance(tmp_path, dark, restored):
    write_mosaic(tmp_path / "a.dng", dark)
    shots = {
        asked: batch(tmp_path / "a.dng", tmp_path / f"{n}.dng", white_balance=asked)
        for n, asked in enumerate((AS_SHOT, DAYLIGHT, GREY))
    }
    restored.save(tmp_path / "python.dng", white_balance=GREY, contrast=0.5)
    pixels = [tifffile.imread(path) for path in shots.values()]
    assert all(np.array_equal(pixels[0], other) for other in pixels[1:])
    for asked, path in {**shots, "python": tmp_path / "python.dng"}.items():
        gains = restored.gains(GREY if asked == "python" else asked)
        expected = restored.mosaic.white_balance if gains is None else gains
        with rawpy.imread(str(path)) as raw:
            theirs = np.array(raw.camera_whitebalance[:3])
        assert theirs / theirs[1] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("gains", [None, (0.7, 1, 3), (2.5, 1, 1.2)])
def test_white_stays_white_in_a_dng_of_another_balance(tmp_path, restored, gains):
    """The white level follows: renderers take as white the neutral light of the smallest gain."""
    balance = restored.mosaic.white_balance
    shown = balance if gains is None else np.float32(gains)
    path = tmp_path / "a.dng"
    given = None if gains is None else shown
    write_linear(path, restored.linear, restored.mosaic, 20.0, gains=given)
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        up, down = tags[50730].value
        level = tags[50717].value[0] * 2 ** -(up / down)
    brightest = (np.minimum(restored.linear, 16) / balance).max()
    assert level == pytest.approx(65535 / brightest / shown.min(), rel=1e-3)


@pytest.fixture
def yellow(tmp_path):
    """A dark JPEG's picture, as PNG: grey on the left, under a bulb, turned by EXIF."""
    levels = np.full((40, 60, 3), (60, 50, 30), np.uint8)
    levels[:, 50:] = 255
    levels[:10, :10] = 0
    write_picture(tmp_path / "a.png", levels, Shot())
    return tmp_path / "a.png"


def test_a_grey_point_of_a_picture(tmp_path, yellow, monkeypatch):
    picture = open_picture(yellow)
    made = restore_picture(picture, model=Same(), exposure=2**4.32)
    shown = made.picture(white_balance=(20, 20))
    assert np.ptp(shown[20, 20].astype(int)) <= 1
    assert shown[20, 55].tolist() == [255, 255, 255]
    assert np.ptp(made.picture()[20, 20].astype(int)) > 30
    monkeypatch.setattr(models, "load_model", lambda name, device: Same())
    path = batch(yellow, tmp_path / "b.png", model="x", white_balance=(20, 20), contrast=0.3)
    expected = made.picture(white_balance=(20, 20), contrast=0.3)
    assert np.array_equal(open_picture(path).levels, expected)


def test_the_white_of_a_bright_picture_stays_white(yellow):
    made = restore_picture(open_picture(yellow), model=Same(), exposure=1.0)
    shown = made.picture(white_balance=(20, 20))
    assert shown[20, 55].tolist() == [255, 255, 255]


def test_pictures_refuse_daylight_and_unusable_points(tmp_path, yellow, monkeypatch):
    made = restore_picture(open_picture(yellow), model=Same(), exposure=16.0)
    for asked, why in (("daylight", "RAW photos only"), ((55, 20), "clipped"), ((3, 3), "black")):
        with pytest.raises(UnsupportedError, match=why):
            made.picture(white_balance=asked)
    monkeypatch.setattr(models, "load_model", lambda name, device: Same())
    failed = run_all(yellow, tmp_path / "b.png", model="x", white_balance=DAYLIGHT)
    assert isinstance(failed, Failed)
    assert str(yellow) in failed.reason
    assert "RAW photos only" in failed.reason
    assert not (tmp_path / "b.png").exists()


contrasts = st.floats(-1, 1)


@given(contrasts)
def test_contrast_is_monotone_and_keeps_black_middle_grey_and_white(contrast):
    light = np.linspace(0, 1, 5001, dtype=np.float32)
    curve = contrast_curve(light, contrast)
    assert np.diff(curve).min() >= -1e-7
    kept = np.float32([0, MIDDLE_GREY, 1])
    assert contrast_curve(kept, contrast) == pytest.approx(kept, abs=1e-6)
    assert curve.dtype == np.float32


@given(contrasts, st.floats(0, 1, width=32))
def test_less_contrast_takes_more_back(contrast, light):
    there = contrast_curve(np.float32([light]), contrast)
    assert contrast_curve(there, -contrast)[0] == pytest.approx(light, abs=1e-5)


@given(contrasts)
def test_the_slope_at_middle_grey_is_the_contrast(contrast):
    around = np.float32([MIDDLE_GREY - 1e-3, MIDDLE_GREY, MIDDLE_GREY + 1e-3])
    slopes = np.diff(contrast_curve(around, contrast)) / np.diff(around)
    assert slopes == pytest.approx([2**contrast] * 2, rel=0.02)


@given(contrasts, st.tuples(*[st.floats(0, 1, width=32)] * 3).filter(lambda c: max(c) > 0.01))
def test_contrast_keeps_hue_and_more_light_is_never_darker(contrast, colour):
    scales = np.linspace(0.001, 1, 300, dtype=np.float32)[:, None]
    light = np.float32(colour) / max(colour) * scales
    planes = tuple(np.ascontiguousarray(light[:, c]) for c in range(3))
    shown = np.stack(apply_contrast(planes, contrast), -1)
    assert np.diff(shown, axis=0).min() > -1e-6
    assert np.allclose(shown / shown.max(axis=1)[:, None], light / scales, atol=1e-5)


@pytest.mark.parametrize("contrast", [-1.0, 0.5, 1.0])
def test_pictures_with_contrast_are_monotone(restored, contrast):
    ramp = np.repeat(np.geomspace(1e-4, 20, 3000, dtype=np.float32)[None, :, None], 3, axis=2)
    levels = render(ramp, restored.mosaic, 20, 16, contrast=contrast)[0].astype(int)
    assert np.diff(levels, axis=0).min() >= -1
    assert levels[-1].min() == 65535


@pytest.mark.parametrize("contrast", [1.01, -2, float("nan")])
def test_contrast_is_bounded(restored, contrast):
    with pytest.raises(ValueError, match="contrast is -1 to 1"):
        restored.picture(contrast=contrast)
    with pytest.raises(ValueError, match="contrast is -1 to 1"):
        Options(contrast=contrast)


def test_the_command_line(tmp_path, dark, run):
    write_mosaic(tmp_path / "a.dng", dark)
    out = tmp_path / "a.png"
    asked = ("--white-balance", "150,60", "--contrast", "-0.5", "--exposure", "4.32")
    status, _, said = run("restore", tmp_path / "a.dng", "-o", out, *asked)
    assert status == 0, said
    levels = open_picture(out).levels[55:66, 145:156].mean(axis=(0, 1))
    assert np.ptp(levels) < 1
    status, _, said = run("restore", tmp_path / "a.dng", "-o", tmp_path / "b.dng", *asked)
    assert status == 2
    assert "does not apply to a DNG" in said
    status, _, said = run("restore", tmp_path / "a.dng", "--white-balance", "cloudy")
    assert status == 2
    assert "as-shot, daylight, or X,Y" in said.replace("\n", " ")
    status, _, said = run("restore", tmp_path / "a.dng", "--white-balance", "9000,1")
    assert status == 1
    assert "9000,1 is outside" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.dng", "a.png"]
