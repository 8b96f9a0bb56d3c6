"""Dark frames: their mean, what fits, the subtraction with its noise, and a run that needs them."""

import json
from pathlib import Path

import numpy as np
import pytest

import undark
from frames import as_mosaic
from undark.errors import DarkFrameError, UnsupportedError
from undark.files.dng import write_mosaic
from undark.restoring import jobs
from undark.restoring.darks import Darks
from undark.restoring.jobs import Options, Restored, plan
from undark.restoring.raw import restore
from undark.sensor.cfa import CFA, RGGB, X_TRANS
from undark.sensor.dark import average, is_lit, subtract
from undark.sensor.mosaic import Mosaic, Shot
from undark.sensor.noise import NoiseModel, NumPySampler

NOISE = NoiseModel(gain=2.0, read=5.0)
SHOT = Shot(make="SONY", model="ILCE-7SM2", exposure_time=10.0, iso=1600.0)
SHAPE = (96, 120)


def frame(light, seed=0, cfa=RGGB, **shot):
    """A photo of `light` DN above black, (H, W) or a number."""
    signal = NOISE.add(np.full(SHAPE, light, np.float32), NumPySampler(seed), cfa.period)
    return as_mosaic(signal, cfa, shot=Shot(**(vars(SHOT) | shot)))


def glow():
    """(H, W) dark signal of 10 s in DN: brighter to the right, as an amplifier's glow."""
    return np.broadcast_to(np.linspace(0, 60, SHAPE[1], dtype=np.float32), SHAPE).copy()


def test_the_mean_and_its_noise():
    dark = average(frame(glow(), seed) for seed in range(16))
    assert dark.frames == 16
    assert np.abs(dark.level - glow()).mean() < 3 / 4 * np.sqrt((25 + 2 * 30) / 1)
    # (2·30 + 5² + 1/12) on average over the glow
    assert dark.variance == pytest.approx(85, rel=0.1)
    assert dark.noise(SHOT) == pytest.approx(dark.variance / 16)


def test_one_frame_has_the_noise_between_its_pixels():
    assert average([frame(0.0)]).variance == pytest.approx(25, rel=0.1)


def test_only_what_is_above_black_scales_with_time():
    light = 40.0
    darks = average(frame(glow(), seed) for seed in range(100, 116))
    photo = frame(light + 3 * glow(), exposure_time=30.0)
    clean, noise, _ = subtract(photo, NOISE, darks)
    error = clean.signal() - light
    assert abs(error.mean()) < 0.5
    assert abs(error[:, -20:].mean() - error[:, :20].mean()) < 3
    assert np.array_equal(clean.black, photo.black)
    # 3²/16 of the dark frames' variance, and the shot noise of 90 DN of dark current
    added = 9 / 16 * darks.variance + 2 * 90 + 1 / 12
    assert noise.read**2 - 25 == pytest.approx(added, rel=0.05)
    assert error.var() == pytest.approx(float(noise.variance(np.float32(light))), rel=0.1)


def test_hot_pixels_of_the_dark_frame_are_mended():
    hot = np.zeros(SHAPE, np.float32)
    places = [(20, 30), (20, 31), (21, 30), (50, 51), (70, 99)]  # three beside each other
    for at in places:
        hot[at] = 400
    darks = [frame(hot, seed) for seed in (1, 2)]
    photo = frame(40 + hot, seed=3)
    _, noise, known = subtract(photo, NOISE, average(darks))
    assert set(known.tolist()) == {y * SHAPE[1] + x for y, x in places}
    restored = restore(photo, exposure=100, dark=darks, noise=NOISE)
    assert restored.mended >= len(places)
    assert restored.noise.read == pytest.approx(noise.read)
    assert np.abs(restored.mosaic.signal() - 40).max() < 6 * noise.sigma(np.float32(40))


def test_clipped_pixels_stay():
    photo = frame(0.0)
    photo.plane[10, 10:14] = 16383
    clean, _, _ = subtract(photo, NOISE, average([frame(50.0, 1), frame(50.0, 2)]))
    assert np.all(clean.plane[10, 10:14] == 16383)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"shot": Shot("Canon", "EOS R5", exposure_time=10.0, iso=1600.0)}, "another camera"),
        ({"plane": np.full((64, 64), 512, np.uint16)}, "another size"),
        ({"cfa": CFA.from_name("BGGR")}, "another colour filter"),
        ({"shot": Shot("SONY", "ILCE-7SM2", exposure_time=10.0, iso=200.0)}, "another ISO"),
        ({"shot": Shot("SONY", "ILCE-7SM2", exposure_time=1.0, iso=1600.0)}, "too short"),
    ],
)
def test_what_does_not_fit(changes, why):
    photo, dark = frame(40.0), frame(0.0).replace(**changes)
    assert why in average([dark]).misfit(photo)
    with pytest.raises(UnsupportedError, match=why):
        undark.restore(photo, dark=[dark])


def test_what_files_do_not_say_counts_as_the_same():
    dark = average([frame(0.0, iso=None, exposure_time=None)])
    assert dark.misfit(frame(40.0)) is None
    assert dark.scale(SHOT) == 1
    assert dark.misfit(frame(40.0, iso=2000.0)) is None


def test_frames_of_different_sensors_have_no_mean():
    with pytest.raises(ValueError, match="different"):
        average([frame(0.0), frame(0.0, cfa=X_TRANS)])
    with pytest.raises(ValueError, match="no dark frames"):
        average([])


def test_a_lit_frame_is_no_dark_frame():
    assert is_lit(frame(4000.0))
    assert not is_lit(frame(glow()))


def saved(path: Path, mosaic: Mosaic) -> Path:
    write_mosaic(path, mosaic)
    return path


def test_of_several_those_that_fit_are_used(tmp_path):
    paths = [
        saved(tmp_path / f"dark{n}.dng", frame(20.0, n, iso=iso, exposure_time=time))
        for n, (iso, time) in enumerate([(1600, 10), (1600, 10), (1600, 30), (100, 10)])
    ]
    photos = [
        saved(tmp_path / f"photo{n}.dng", frame(60.0, 9, iso=iso, exposure_time=10.0))
        for n, iso in enumerate((1600.0, 6400.0))
    ]
    darks = Darks(paths)
    # 30 s scaled to 10 s adds 1/9 of a frame's noise, two of 10 s 1/2
    assert darks.of(undark.read(photos[0])).shot.exposure_time == 30
    events = list(jobs.run(plan(photos, f"{tmp_path}/out/"), Options(dark_frames=tuple(paths))))
    done = [e for e in events if isinstance(e, Restored)]
    assert [d.dark_frames for d in done] == [1, 0]


def test_the_run_stops_before_the_first_photo(tmp_path, run):
    photo = saved(tmp_path / "photo.dng", frame(60.0))
    dark = saved(tmp_path / "dark.dng", frame(0.0, iso=100.0))
    status, out, err = run("restore", photo, "--dark-frame", dark, "--json")
    assert status == 2
    assert json.loads(out) == []
    assert len(err.splitlines()) == 1
    assert "dark.dng" in err
    assert "of another ISO (100, not 1600)" in err
    assert not (tmp_path / "photo-undark.jpg").exists()


def test_what_the_command_says(tmp_path, run):
    photo = saved(tmp_path / "photo.dng", frame(60.0))
    darks = [saved(tmp_path / f"dark{n}.dng", frame(0.0, n)) for n in (1, 2)]
    options = [word for dark in darks for word in ("--dark-frame", dark)]
    status, out, _ = run("restore", photo, *options, "--json")
    assert status == 0
    said = json.loads(out)[0]
    assert said["dark_frames"] == 2
    assert said["mended"] >= 0


@pytest.mark.parametrize("damage", ["missing", "lit", "damaged"])
def test_bad_dark_frames_stop_the_run(tmp_path, damage):
    path = tmp_path / "dark.dng"
    if damage == "lit":
        saved(path, frame(4000.0))
    elif damage == "damaged":
        path.write_bytes(b"II*\0 no photo")
    with pytest.raises(DarkFrameError, match=r"dark\.dng"):
        Darks([path])


def test_photos_that_cannot_be_read_are_reported_as_ever(tmp_path):
    bad = tmp_path / "photo.dng"
    bad.write_bytes(b"II*\0 no photo")
    dark = saved(tmp_path / "dark.dng", frame(0.0))
    events = list(jobs.run(plan([bad]), Options(dark_frames=(dark,))))
    assert type(events[-1]).__name__ == "Failed"
