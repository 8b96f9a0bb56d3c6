"""`undark calibrate`: simulated cameras of known noise, through files and the command."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import undark
from undark.calibrate.distributions import fit_shape, unrounded_sigma
from undark.calibrate.laws import fit_laws, switches
from undark.calibrate.photons import Points, fit_transfer
from undark.calibrate.survey import frame_of
from undark.files.cameras import CalibrationWarning, calibration_path, read_calibration
from undark.files.dng import write_mosaic
from undark.files.raw import read_uncalibrated
from undark.sensor.cfa import X_TRANS
from undark.sensor.mosaic import Shot
from undark.sensor.noise import NoiseModel, NumPySampler, tukey_lambda
from undark.sensor.profiles.calibration import Calibration, Law, Setting
from undark.sensor.profiles.cameras import cameras, find_camera
from undark.sensor.profiles.lookup import noise_of, without_defects

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from calibration import BLACK_ERRORS, LEVELS, Shooting, measured, shoot, write_frames

SMALL = Shooting(shape=(384, 512), darks=10)
TINY = Shooting(shape=(256, 256), darks=3)
SONY = Shot("SONY", "ILCE-7SM2")
ISOS = (400, 1600, 3200, 12800)

show_warnings = pytest.mark.filterwarnings("always::undark.files.cameras.CalibrationWarning")


def _assert_recovered(setting, truth):
    assert setting.gain == pytest.approx(truth.gain, rel=0.02)
    assert setting.read == pytest.approx(truth.read, rel=0.05)
    by_chance = 0.01 * truth.read  # row noise that is not there
    assert setting.row == pytest.approx(truth.row, rel=0.05, abs=0 if truth.row else by_chance)


# --- what is measured --------------------------------------------------------------------------


@pytest.mark.parametrize("camera", cameras(), ids=lambda c: c.models[0])
def test_every_camera_is_recovered(camera):
    low, high = camera.iso_range
    iso = round((low * high) ** 0.5)
    truth = replace(camera.at(iso), bias=0.1)
    found = measured(truth, iso, SMALL)
    _assert_recovered(found.setting, truth)
    assert np.ravel(found.setting.black) == pytest.approx(
        np.array(BLACK_ERRORS) + SMALL.shading / 3, abs=0.1 + 0.02 * truth.read
    )


def test_noise_below_half_a_step_is_recovered():
    """An iPhone's at its lowest ISO: rounding takes noise away there."""
    camera = find_camera("iPhone 11 Pro")
    truth = camera.at(camera.iso_range[0])
    assert truth.read < 0.3
    found = measured(truth, 32, replace(SMALL, darks=2))
    assert found.setting.read == pytest.approx(truth.read, rel=0.05)
    assert found.setting.shape is None  # cannot be told


def test_single_flats_do_with_unequal_pixels():
    """Pixels whose sensitivity differs by 1 % add 80 % to the variance of the brightest flat."""
    truth = NoiseModel(1.0, 4.0, row=1.0)
    found = measured(truth, 100, replace(SMALL, darks=2, flats=1, uneven=0.01))
    assert found.pairs == 0
    assert found.setting.gain == pytest.approx(1.0, rel=0.05)
    assert found.transfer.uneven == pytest.approx(0.01, rel=0.15)


def test_pairs_cancel_unequal_pixels_and_a_lamp_that_flickers():
    truth = NoiseModel(1.0, 4.0, row=1.0)
    how = replace(SMALL, darks=2, uneven=0.01)
    assert measured(truth, 100, how).setting.gain == pytest.approx(1.0, rel=0.02)


def test_x_trans():
    truth = NoiseModel(2.0, 5.0, row=1.2)
    how = replace(SMALL, shape=(576, 576), cfa=X_TRANS)
    _assert_recovered(measured(truth, 800, how).setting, truth)


def test_shading_is_kept_only_where_it_stands_out():
    truth = NoiseModel(1.0, 4.0)
    none = measured(truth, 100, replace(TINY, shading=0.0)).setting
    some = measured(truth, 100, replace(TINY, shading=3.0)).setting
    assert none.shading is None
    grid = np.array(some.shading)
    assert grid.shape == (2, 2, 12, 16)
    expected = 3 * ((np.arange(12) + 0.5) / 12) ** 2 - 1
    assert grid.mean(axis=(0, 1, 3)) == pytest.approx(expected, abs=0.15)


def test_hot_pixels_are_no_read_noise():
    truth = NoiseModel(1.0, 4.0)
    found = shoot(truth, 100, 0, 0, TINY)
    plane = found.plane.copy()
    plane[np.random.default_rng(0).random(plane.shape) < 0.001] += 3000
    frame = frame_of(Path("a.dng"), found.replace(plane=plane))
    assert frame.dark
    assert frame.means == pytest.approx(frame_of(Path("a"), found).means, abs=0.05)


@pytest.mark.parametrize("sigma", [0.29, 0.45, 0.7])
@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (0.2, 0.2), (7.5, 7.5), (0, 3.0)])
def test_sigma_before_rounding(sigma, low, high):
    level = np.linspace(low, high, 400)[:, None]
    blocks = np.rint(level + np.random.default_rng(1).normal(0, sigma, (400, 256)))
    means, variances = blocks.mean(axis=1), blocks.var(axis=1, ddof=1)
    # at 7.5 two values share the pixels, and there is little to tell
    within = 0.07 if low == 7.5 else 0.02
    assert unrounded_sigma(means, variances, 1.0) == pytest.approx(sigma, rel=within)
    assert unrounded_sigma(4 * means, 16 * variances, 4.0) == pytest.approx(4 * sigma, rel=within)


@pytest.mark.parametrize("shape", [-0.2, -0.05, 0.05])
def test_heavy_tails_are_told_from_a_gaussian(shape):
    sampler = NumPySampler(3)
    heavy = 20 * tukey_lambda(sampler.uniform((100_000,)), shape)
    assert fit_shape([heavy], 1.0).tukey == pytest.approx(shape, abs=0.02)
    assert fit_shape([20 * sampler.normal((100_000,))], 1.0).tukey is None


@pytest.mark.parametrize("known", [True, False])
def test_the_slope_of_a_line_of_points(known):
    """variance = 3 · mean + 50, each with the scatter of 240 squares; a few are far too high."""
    random = np.random.default_rng(2)
    mean = random.uniform(100, 4000, 2000)
    variance = (3 * mean + 50) * random.chisquare(240, 2000) / 240
    variance[:40] *= 5
    points = Points(mean, variance, np.full(2000, 240.0), np.arange(2000) % 4)
    found = fit_transfer(points, 50.0 if known else None, single=False)
    assert found.gain == pytest.approx(3, rel=0.01)
    assert abs(found.gain / 3 - 1) < 4 * found.error < 0.02
    assert found.by_position == pytest.approx([3] * 4, rel=0.02)


# --- over ISO ----------------------------------------------------------------------------------


def _settings(camera, isos):
    noises = [(iso, camera.at(iso)) for iso in isos]
    return [Setting(i, 10, 4, n.gain, 0.002, n.read, n.shape, n.row, n.bias) for i, n in noises]


def test_the_switch_of_the_conversion_gain_is_found():
    camera = find_camera("ILCE-7SM2")
    every = [float(s["iso"]) for s in camera.settings]
    assert switches(_settings(camera, every)) == [(1600, 2000)]
    assert switches(_settings(camera, [100, 200, 800, 3200, 6400])) == [(800, 3200)]
    assert switches(_settings(camera, [400, 1600, 3200, 12800])) == [(1600, 3200)]


@pytest.mark.parametrize("model", ["Canon EOS 5D Mark IV", "Canon EOS 70D", "NIKON D850"])
def test_no_switch_is_seen_where_there_is_none(model):
    """Their read noise grows less than the gain, as a power of it."""
    camera = find_camera(model)
    for isos in ([100, 200, 400, 800, 1600, 3200, 6400], [100, 400, 1600, 6400], [100, 6400]):
        assert switches(_settings(camera, isos)) == []


def test_the_law_holds_between_and_beyond_the_settings():
    """Read noise linear in gain, by construction; at 400 it was measured 10 % off the law."""
    gain = {iso: 0.001 * iso for iso in (100, 200, 400, 800, 1600)}
    settings = [Setting(float(i), 10, 4, g, 0.001, 3 * g + 0.5, None, 0.2) for i, g in gain.items()]
    laws = fit_laws(settings)
    assert laws[0].gain == pytest.approx((1.0, np.log(0.001)), abs=1e-6)
    assert laws[0].read == pytest.approx((3.0, 0.5), rel=1e-6)
    assert laws[0].row == pytest.approx((0.0, 0.2), abs=1e-6)
    off = [replace(s, read=s.read * 1.1) if s.iso == 400 else s for s in settings]
    camera = _calibration(off, fit_laws(settings))
    assert camera.at(560).gain == pytest.approx(0.56)
    assert camera.at(400).read == pytest.approx((3 * 0.4 + 0.5) * 1.1)
    assert camera.at(1100).read == pytest.approx(3 * 1.1 + 0.5)
    assert camera.at(6400).read == pytest.approx(3 * 6.4 + 0.5)
    half = camera.at(round((400 * 800) ** 0.5)).read
    assert half == pytest.approx((3 * 0.566 + 0.5) * 1.05, rel=2e-3)


def test_an_iso_without_flats_takes_its_gain_from_the_law():
    settings = [
        Setting(100.0, 10, 4, 0.1, 0.002, 1.0, None, 0.1),
        Setting(400.0, 10, 0, None, None, 2.0, None, 0.1),
    ]
    camera = _calibration(settings, fit_laws(settings))
    assert camera.at(400).gain == pytest.approx(0.4)
    assert camera.at(400).read == pytest.approx(2.0)


def _calibration(settings, laws):
    return Calibration(
        "SONY", "ILCE-7SM2", "RGGB", (64, 96), 15871.0, 1.0, "tag", tuple(settings), tuple(laws)
    )


# --- the command -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sony(tmp_path_factory):
    """Frames of a Sony A7S2 at four ISOs."""
    folder = tmp_path_factory.mktemp("sony")
    for iso in ISOS:
        write_frames(folder, find_camera("ILCE-7SM2").at(iso), iso, SMALL)
    return folder


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """As few and as small frames as do, at one ISO."""
    folder = tmp_path_factory.mktemp("few")
    write_frames(folder, NoiseModel(1.5, 6.0, row=1.0), 1600, TINY)
    return folder


@pytest.fixture
def frames(few, tmp_path):
    """A copy of them to spoil."""
    return Path(shutil.copytree(few, tmp_path / "frames"))


def test_the_command_measures_the_camera_and_photos_use_it(run, sony, cameras, tmp_path):
    status, out, err = run("calibrate", sony, "-o", tmp_path, "--json")
    said = json.loads(out)
    assert status == 0, err
    for setting, iso in zip(said["settings"], ISOS, strict=True):
        truth = find_camera("ILCE-7SM2").at(iso)
        assert (setting["iso"], setting["darks"], setting["flats"]) == (iso, 10, 4)
        _assert_recovered(Setting(**{k: v for k, v in setting.items() if k != "shaded"}), truth)
    assert [(law["low"], law["high"]) for law in said["laws"]] == [(400, 1600), (3200, 12800)]
    assert any("between ISO 1600 and 3200" in line for line in said["sure"])
    profile = cameras / "sony-ilce-7sm2.json"
    assert said["profile"] == str(profile)
    assert [p.name for p in cameras.iterdir()] == [profile.name]
    assert (tmp_path / "calibration-undark.png").stat().st_size > 20_000

    dark = tmp_path / "dark.dng"
    write_mosaic(dark, shoot(find_camera("ILCE-7SM2").at(800), 800, 0, 99, SMALL))
    photo, truth = undark.read(dark), find_camera("ILCE-7SM2").at(800)
    noise, source = noise_of(photo)
    assert source == "your calibration of the SONY ILCE-7SM2"
    assert (noise.gain, noise.read, noise.row) == pytest.approx(
        (truth.gain, truth.read, truth.row), rel=0.06
    )
    halves = [part.mean() for part in np.array_split(photo.signal(), 4)]
    assert halves == pytest.approx([0] * 4, abs=0.2)  # black was 1 DN off, its shading 3
    status, out, _ = run("info", dark)
    assert status == 0
    assert "(your calibration of the SONY ILCE-7SM2)" in out
    assert "corrected by your calibration" in out


def test_the_command_says_what_is_missing(run, few, cameras, tmp_path):
    status, out, _ = run("calibrate", few, "-o", tmp_path)
    assert status == 0
    assert "missing  ISO 1600: 3 dark frames; 10 or more give" in out
    assert "missing  one ISO alone" in out
    assert "gain 1." in out


def test_a_profile_is_replaced_only_when_asked(run, few, cameras, tmp_path):
    profile = cameras / "sony-ilce-7sm2.json"
    profile.write_text("mine")
    status, _, err = run("calibrate", few, "-o", tmp_path)
    assert status == 1
    assert err.strip() == f"{profile}: this camera has a profile already; --overwrite replaces it"
    assert profile.read_text() == "mine"
    assert run("calibrate", few, "-o", tmp_path, "--overwrite")[0] == 0
    assert read_calibration(profile).model == "ILCE-7SM2"


def test_restoring_and_training_use_the_profile(run, few, cameras, tmp_path):
    assert run("calibrate", few, "-o", tmp_path)[0] == 0
    pytest.importorskip("torch")
    from undark.files.cache import FrameCache
    from undark.learn.aims import AIMS
    from undark.learn.data.draws import draw_exposures
    from undark.learn.data.pair_frames import PairFrames

    photo = next(few.glob("*.dng"))
    frames = PairFrames(FrameCache(tmp_path / "cache"), next(iter(AIMS.values())))
    calibrated = frames.dark(photo)[1]
    assert calibrated.gain == pytest.approx(1.5, rel=0.02)
    again, noise = frames.dark(photo)  # from the cache
    assert noise == calibrated
    corrected, _ = without_defects(undark.read(photo))
    assert again.signal() == pytest.approx(corrected.signal(), abs=1e-3)
    (cameras / "sony-ilce-7sm2.json").unlink()
    assert frames.dark(photo)[1].gain != calibrated.gain

    def gains():
        return draw_exposures(60, np.random.default_rng(0)).noise.gain

    before = gains()
    run("calibrate", few, "-o", tmp_path)
    assert not np.array_equal(before, gains())


# --- bad input ---------------------------------------------------------------------------------


def _remove(folder, dark):
    for path in folder.glob("*.dng"):
        if frame_of(path, read_uncalibrated(path)).dark == dark:
            path.unlink()


@pytest.mark.parametrize(
    ("dark", "line"),
    [
        (False, "3 dark frames and 0 flats; no flats: add some of an evenly lit surface"),
        (True, "0 dark frames and 4 flats; no dark frames: add some with the lens cap on"),
    ],
)
def test_a_folder_without_either_kind(run, frames, cameras, dark, line):
    _remove(frames, dark)
    status, _, err = run("calibrate", frames)
    assert (status, err.strip()) == (2, f"{frames}: {line}")
    assert not list(cameras.iterdir())
    assert not list(frames.glob("*.png"))


def test_an_empty_folder(run, tmp_path):
    status, _, err = run("calibrate", tmp_path / "none")
    assert (status, err) == (2, f"{tmp_path / 'none'}: there is no such folder; check the name\n")
    status, _, err = run("calibrate", tmp_path)
    assert status == 2
    assert "no RAW dark frames or flats; docs/calibrate.md says how to take them" in err


def test_files_that_cannot_be_used_are_named_and_counted(run, frames, cameras):
    noise = NoiseModel(1.5, 6.0)
    (frames / "broken.dng").write_bytes(b"II*\0 and no more")
    write_mosaic(frames / "bright.dng", shoot(noise, 1600, 30_000, 50, TINY))
    write_mosaic(frames / "dim.dng", shoot(noise, 1600, 100, 51, TINY))
    unknown = shoot(noise, 1600, 0, 52, TINY)
    write_mosaic(frames / "noname.dng", unknown.replace(shot=Shot("SONY", "ILCE-7SM2")))
    status, out, err = run("calibrate", frames, "--json")
    assert status == 1
    lines = err.strip().splitlines()
    assert [line for line in lines if "bright.dng" in line and "a saturated flat (" in line]
    assert [line for line in lines if "dim.dng" in line and "neither dark nor a flat" in line]
    assert [line for line in lines if "noname.dng" in line and "no camera or no ISO" in line]
    assert [line for line in lines if "broken.dng" in line and "(left out)" in line]
    assert lines[-1] == "4 files could not be used"
    said = json.loads(out)
    assert len(said["left_out"]) == 4
    assert said["settings"][0]["gain"] == pytest.approx(1.5, rel=0.02)
    assert len(list(cameras.iterdir())) == 1


def test_frames_of_two_cameras(run, frames, cameras):
    other = replace(TINY, make="Canon", model="Canon EOS 70D")
    write_mosaic(frames / "other.dng", shoot(NoiseModel(1.5, 6.0), 1600, 0, 1, other))
    status, _, err = run("calibrate", frames)
    assert status == 2
    assert "frames of more than one camera or size" in err
    assert "SONY ILCE-7SM2, RGGB, 256 x 256: 7 (" in err
    assert "Canon EOS 70D, RGGB, 256 x 256: 1 (other.dng, ...)" in err
    assert not list(cameras.iterdir())


def test_flats_alone_that_are_saturated(run, frames):
    _remove(frames, dark=False)
    write_mosaic(frames / "white.dng", shoot(NoiseModel(1.5, 6.0), 1600, 40_000, 0, TINY))
    status, _, err = run("calibrate", frames)
    assert status == 2
    assert "no flats" in err
    assert "1 files could not be used, the first:" in err
    assert "a saturated flat" in err


def _profile(**changes):
    settings = [Setting(1600.0, 10, 4, 1.5, 0.002, 6.0, None, 1.0, 0.1, ((1.0, 0.0), (0.0, 1.0)))]
    laws = [Law(1600.0, 1600.0, (1.0, -7.0), (4.0, 0.0), (0.7, 0.0))]
    return replace(_calibration(settings, laws), **changes)


@show_warnings
@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "this camera profile is damaged"),
        ('{"format": "undark camera profile 1"}', "this camera profile is damaged"),
        (_profile().to_json()[:200], "this camera profile is damaged"),
        (_profile(span=float("nan")).to_json(), "this camera profile is damaged"),
        (_profile(settings=()).to_json(), "this camera profile is damaged"),
        (_profile(cfa="X-Trans").to_json(), "this camera profile is damaged"),
        (_profile(cfa="RGBW").to_json(), "this camera profile is damaged"),
        (_profile(cfa="BGGR").to_json(), "for another sensor: its filters are BGGR"),
        (_profile(model="ILCE-9").to_json(), "for another sensor: of a ILCE-9"),
        (_profile(span=4095.0).to_json(), "for another sensor: its range is 4095 DN"),
    ],
)
def test_a_profile_that_cannot_be_used(run, few, cameras, content, line):
    """One line, and what the photo would have without it."""
    photo = next(few.glob("*.dng"))
    expected, _ = noise_of(undark.read(photo))
    profile = calibration_path(SONY)
    profile.write_text(content)
    status, out, err = run("info", photo)
    assert status == 0
    (said,) = err.strip().splitlines()
    assert said.startswith(str(profile))
    assert line in said
    assert "(ignored" in said
    assert "your calibration" not in out
    with pytest.warns(CalibrationWarning):
        assert noise_of(undark.read(photo))[0] == expected


def test_a_profile_survives_its_file(cameras):
    made = _profile()
    assert Calibration.from_json(made.to_json()) == made


def test_a_photo_without_iso_or_with_another_black_keeps_its_own(make_mosaic):
    made = _profile()
    photo = make_mosaic().replace(shot=replace(SONY, iso=None))
    assert made.applied(photo) is photo
    masked = photo.replace(shot=replace(SONY, iso=1600), black_source="masked border")
    done = made.applied(masked)
    assert (done.black == masked.black).all()
    assert done.calibrated.read == pytest.approx(6.0)
    tagged = made.applied(masked.replace(black_source="tag"))
    assert tagged.black - masked.black == pytest.approx(np.eye(2))


def test_the_flats_cover_the_range():
    assert min(LEVELS) * 3 <= max(LEVELS) < 0.8 * 15871
