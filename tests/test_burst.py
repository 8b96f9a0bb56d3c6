"""Merging bursts: alignment, the merge's noise, what is left out, the plan, the command."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from typer.testing import CliRunner

import undark
from undark.align.field import Field, resized, smoothest
from undark.align.motion import Motion
from undark.align.nearest import nearest_pixels
from undark.align.noisy import Reference
from undark.cli.app import app
from undark.errors import UnsupportedError
from undark.files.dng import write_mosaic
from undark.files.picture import open_picture
from undark.files.provenance import source_of
from undark.files.raw import read_header, read_mosaic
from undark.restoring.burst import merge, profile_of
from undark.restoring.burst_jobs import (
    BurstProgress,
    BurstRestored,
    BurstSkipped,
    FrameLeftOut,
    run_bursts,
)
from undark.restoring.burst_plan import MANY, name_burst, plan_bursts, read_taken
from undark.restoring.jobs import Options
from undark.sensor.cfa import BAYER_ORDERS, RGGB, X_TRANS
from undark.sensor.mosaic import Mosaic, Shot
from undark.sensor.noise import NoiseModel, NumPySampler
from undark.sensor.profiles.lookup import noise_of

BLACK, WHITE = 512, 16383
NOISE = NoiseModel(2.0, 4.0)
SHOT = Shot("Maker", "Model", exposure_time=0.05, aperture=2.0, iso=1600.0)


def scene(shape=(240, 320), seed=0, shift=(0.0, 0.0), turn=0.0):
    """Smooth random light (H, W), DN, sampled by a quintic spline at shifted, turned places."""
    random = np.random.default_rng(seed)
    wide = (shape[0] + 80, shape[1] + 80)
    texture = sum(
        ndimage.gaussian_filter(random.standard_normal(wide), s, mode="wrap") * s * a
        for s, a in ((1.5, 40.0), (5, 60.0), (20, 80.0))
    )
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    v, u = y - (shape[0] - 1) / 2 - shift[0], x - (shape[1] - 1) / 2 - shift[1]
    v, u = np.cos(turn) * v - np.sin(turn) * u, np.cos(turn) * u + np.sin(turn) * v
    at = [v + (wide[0] - 1) / 2, u + (wide[1] - 1) / 2]
    return np.maximum(120 + ndimage.map_coordinates(texture, at, order=5), 5).astype(np.float32)


def branches(shift, shape=(240, 320)):
    """Light (H, W), DN, of dark lines 1.6 pixels wide before a bright sky, at shifted places."""
    y, x = (np.mgrid[: shape[0], : shape[1]].T - shift).T
    random, light = np.random.default_rng(0), np.full(shape, 700.0)
    for _ in range(40):
        angle, place = random.uniform(0, np.pi), random.uniform(-160, 320)
        away = np.abs(np.cos(angle) * x + np.sin(angle) * y - place)
        light *= 1 - 0.4 * (1 - np.tanh((away - 0.8) * 2))
    return light.astype(np.float32)


def photo(light, seed=None, cfa=RGGB, noise=NOISE):
    """A frame of grey light, noisy if it has a seed."""
    if seed is not None:
        light = noise.add(light, NumPySampler(seed))
    plane = np.rint(light + BLACK).clip(0, WHITE).astype(np.uint16)
    return Mosaic(
        plane, cfa, np.full(cfa.pattern.shape, BLACK, np.float32), WHITE, np.ones(3, np.float32)
    )


@pytest.mark.parametrize(
    ("shift", "degrees"),
    [((0.0, 0.0), 0.0), ((0.4, -0.6), 0.0), ((11.3, -16.2), 0.0), ((-7.5, 4.25), 1.0)],
)
def test_motion_is_found_to_a_fraction_of_a_pixel_without_bias(shift, degrees):
    turn = np.radians(degrees)
    planes = [
        (scene(shift=s, turn=t) + np.random.default_rng(n).normal(0, 20, (240, 320))) / 20
        for n, (s, t) in enumerate([((0.0, 0.0), 0.0), (shift, turn)])
    ]
    found = Reference(planes[0].astype(np.float32)).align(planes[1].astype(np.float32))
    motion = found.field.motion
    assert motion.y == pytest.approx(shift[0], abs=0.12)
    assert motion.x == pytest.approx(shift[1], abs=0.12)
    assert motion.turn == pytest.approx(turn, abs=1.5e-3)
    assert found.fault is None


def test_another_scene_and_noise_alone_are_not_aligned():
    random = np.random.default_rng(1)
    first = Reference((scene() / 20 + random.standard_normal((240, 320))).astype(np.float32))
    other = scene(seed=9) / 20 + random.standard_normal((240, 320))
    assert "does not show" in first.align(other.astype(np.float32)).fault
    noise = [random.standard_normal((240, 320)).astype(np.float32) for _ in "ab"]
    assert Reference(noise[0]).align(noise[1]).fault


def test_a_rolling_shutter_is_followed():
    """A shift along the rows that varies from top to bottom."""
    light, random = scene(), np.random.default_rng(3)
    y, x = np.mgrid[:240, :320].astype(float)
    wave = np.sin(2 * np.pi * y / 240)
    bent = ndimage.map_coordinates(light, [y, x - wave], order=5, mode="mirror")
    planes = [(p / 10 + random.standard_normal(p.shape)).astype(np.float32) for p in (light, bent)]
    across, down = Reference(planes[0]).align(planes[1]).field.at(y[:, 0], x[0])
    inner = slice(24, -24)
    assert np.sqrt(np.square(across - wave)[inner, inner].mean()) < 0.3
    assert np.sqrt(np.square(down)[inner, inner].mean()) < 0.15


@given(st.sampled_from([*BAYER_ORDERS, X_TRANS]), st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_nearest_pixels_are_those_of_a_search(cfa, seed):
    random = np.random.default_rng(seed)
    rows, columns = random.uniform(-3, 30, (2, 40)).astype(np.float32)
    colours = random.integers(0, 3, 40).astype(np.uint8)
    y, x = nearest_pixels(cfa, colours, rows, columns)
    near = np.arange(-6, 40)
    seen = cfa.pattern[np.ix_(near % cfa.period, near % cfa.period)]
    for k in range(40):
        assert cfa.pattern[y[k] % cfa.period, x[k] % cfa.period] == colours[k]
        away = np.hypot(near[:, None] - rows[k], near[None] - columns[k])
        best = away[seen == colours[k]].min()
        assert np.hypot(y[k] - rows[k], x[k] - columns[k]) <= best + 0.18


def test_a_field_is_the_same_on_another_grid_and_smooth_where_nothing_is_known():
    slope = np.stack(np.meshgrid(np.arange(8.0), np.arange(6.0)), axis=-1)
    finer = resized(slope, (12, 16))
    assert finer[2:-2, 2:-2, 0] == pytest.approx(
        np.tile((np.arange(16) + 0.5) / 2 - 0.5, (12, 1))[2:-2, 2:-2]
    )
    shift, precision = np.zeros((9, 9, 2)), np.zeros((9, 9, 2, 2))
    shift[4, 4], precision[4, 4] = (1.0, -2.0), np.eye(2) * 1e6
    found = smoothest(shift, precision, apart=0.1, away=5.0, steps=400)
    assert found[4, 4] == pytest.approx([1.0, -2.0], abs=0.01)
    assert np.all(np.abs(found[0, 0]) > 0.2)


def test_a_field_moves_places_as_its_motion_says():
    field = Field(Motion(2.0, -1.0, 0.1), np.full((2, 2, 2), 0.5), 16.0, (32, 32))
    across, down = field.at(np.array([15.5]), np.array([15.5]))
    assert (across[0, 0], down[0, 0]) == pytest.approx((2.5, -0.5))


@pytest.mark.parametrize("cfa", [RGGB, BAYER_ORDERS[2], X_TRANS], ids=lambda cfa: cfa.name)
def test_identical_noiseless_frames_give_the_frame(cfa):
    frame = photo(scene(), cfa=cfa)
    merged = merge([frame] * 4, noise=NoiseModel(0.01, 0.1))
    assert merged.signal() / 4 == pytest.approx(frame.signal(), abs=0.3)
    assert merged.merged.frames == 4
    assert merged.merged.share.astype(float) == pytest.approx(0.25, abs=0.02)
    assert (merged.white, merged.cfa) == (WHITE * 4, cfa)


def test_static_frames_have_a_share_of_the_variance_and_no_bias():
    light = scene()
    merged = merge([photo(light, seed) for seed in range(6)], noise=NOISE)
    off = merged.signal() / 4 - light
    predicted = NOISE.variance(light) * merged.merged.share.astype(np.float32)
    assert (off**2 / predicted).mean() == pytest.approx(1, abs=0.12)
    assert merged.merged.middle == pytest.approx(1 / 6, rel=0.1)
    assert abs(off.mean()) < 0.1
    # white: pixels of one colour that are neighbours have nothing in common
    inner = off[2:-2, 2:-2]
    assert abs((inner * off[2:-2, 4:]).mean()) < 0.05 * (inner**2).mean()


def test_moved_frames_are_merged_where_the_first_one_has_them():
    moves = [((0.0, 0.0), 0.0), ((6.3, -4.6), 0.005), ((-9.2, 11.7), -0.01), ((3.5, 3.5), 0.0)]
    frames = [photo(scene(shift=s, turn=t), n) for n, (s, t) in enumerate(moves)]
    told = []
    merged = merge(frames, noise=NOISE, told=told.append)
    off = (merged.signal() / 4 - scene())[32:-32, 32:-32]
    alone = (frames[0].signal() - scene())[32:-32, 32:-32]
    assert [t.fault for t in told] == [None] * 4
    assert told[2].shift == pytest.approx((-9.2, 11.7), abs=0.3)
    assert (off**2).mean() < 0.5 * (alone**2).mean()
    assert abs(off.mean()) < 0.3


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=lambda cfa: cfa.name)
def test_fine_lines_are_not_blurred_where_there_is_little_noise(cfa):
    """Weights by distance alone made errors five times those of the first frame."""
    noise = NoiseModel(0.3, 1.0)
    moves = ((0.0, 0.0), (6.3, -4.6), (-9.2, 11.7), (3.5, 3.5), (0.5, 7.25), (-4.75, 0.4))
    lights = [branches(shift) for shift in moves]
    frames = [photo(light, n, cfa, noise) for n, light in enumerate(lights)]
    inner = (slice(32, -32), slice(32, -32))
    off = (merge(frames, noise=noise).signal() / 4 - lights[0])[inner]
    alone = (frames[0].signal() - lights[0])[inner]
    assert (off**2).mean() < 0.85 * (alone**2).mean()


def test_what_moves_leaves_no_ghost_and_its_noise_is_known():
    """A bright square is elsewhere in every frame: the merge shows it where the first one does."""
    frames, lights = [], []
    for n in range(5):
        light = scene()
        light[80:130, 40 + 40 * n : 90 + 40 * n] = 400
        lights.append(light)
        frames.append(photo(light, n))
    merged = merge(frames, noise=NOISE)
    off = merged.signal() / 4 - lights[0]
    first = off[84:126, 44:76]
    assert abs(first.mean()) < 2
    assert (first**2).mean() == pytest.approx(float(NOISE.variance(np.float32(400))), rel=0.15)
    assert merged.merged.share[84:126, 44:76].astype(float).mean() > 0.9
    for n in range(1, 5):
        assert abs(off[86:124, 46 + 40 * n : 84 + 40 * n].mean()) < 3
    assert merged.merged.excess()[84:126, 44:76].mean() > 3


def test_frames_of_another_scene_are_left_out_and_named():
    told = []
    frames = [photo(scene(), 0), photo(scene(seed=5), 1), photo(scene(), 2)]
    merged = merge(frames, noise=NOISE, told=told.append)
    assert [t.fault is None for t in told] == [True, False, True]
    assert merged.merged.frames == 2


def test_frames_that_cannot_be_one_burst_are_refused():
    frame = photo(scene(), 0)
    with pytest.raises(ValueError, match="no frames"):
        merge([])
    with pytest.raises(UnsupportedError, match="another size"):
        merge([frame, frame.crop(0, 0, 200, 300)], noise=NOISE)
    with pytest.raises(UnsupportedError, match="merged already"):
        merge([merge([frame, frame], noise=NOISE)], noise=NOISE)
    with pytest.raises(UnsupportedError, match="too small"):
        merge([frame.crop(0, 0, 40, 40)], noise=NOISE)


def test_the_noise_goes_with_the_mosaic():
    merged = merge([photo(scene(), n) for n in range(3)], noise=NOISE)
    noise, source = noise_of(merged)
    assert source == "the merge of 3 frames"
    assert noise.gain == pytest.approx(NOISE.gain * 4 * merged.merged.middle)
    part = merged.crop(10, 20, 60, 80)
    assert np.array_equal(part.merged.share, merged.merged.share[10:70, 20:100])
    assert part.merged.middle == merged.merged.middle
    turned = merged.dihedral(3)
    assert turned.merged.share.shape == turned.shape
    grown = merged.crop(1, 1, 61, 81).canonical(12)
    assert grown.merged.share.shape == grown.shape


def test_the_profile_describes_the_noise():
    ((slope, offset),) = profile_of(NoiseModel(2.0, 3.0), 1000.0)
    assert slope * 0.5 + offset == pytest.approx(
        NoiseModel(2.0, 3.0, step=0).variance(np.float64(500)) / 1e6
    )


def test_levels_survive_the_dng(tmp_path):
    merged = merge([photo(scene(), n) for n in range(4)], noise=NOISE)
    path = tmp_path / "a.dng"
    write_mosaic(path, merged)
    back = read_mosaic(path)
    assert np.array_equal(back.plane, merged.plane)
    assert (back.white, back.black.tolist()) == (merged.white, merged.black.tolist())
    assert back.noise_profile[0] == pytest.approx(merged.noise_profile[0])
    assert noise_of(back)[0].sigma(np.float32(400)) == pytest.approx(
        merged.merged.typical.sigma(np.float32(400)), rel=0.01
    )


def write_frame(path, light, seed, second=0.0, **changes):
    taken = datetime(2024, 5, 6, 7, 8, 9) + timedelta(seconds=second)
    shot = replace(SHOT, taken=taken, **changes)
    write_mosaic(path, photo(light, seed).replace(shot=shot))
    return path


def test_a_folder_is_split_at_gaps_and_at_settings(tmp_path):
    light = scene((96, 128))
    seconds = [0, 0.5, 0.9, 4.0, 4.25, 6.0, 20.0]
    for n, second in enumerate(seconds):
        write_frame(tmp_path / f"{9 - n}.dng", light, n, second, iso=3200.0 if n == 5 else 1600.0)
    (tmp_path / "8-undark-burst.dng").write_bytes((tmp_path / "9.dng").read_bytes())
    plan = plan_bursts([tmp_path])
    assert [[p.name for p in g.frames] for g in plan.groups] == [
        ["9.dng", "8.dng", "7.dng"],
        ["6.dng", "5.dng"],
    ]
    assert [p.name for p in plan.single] == ["4.dng", "3.dng"]
    assert plan.groups[0].picture == tmp_path / "9-undark-burst.jpg"
    assert plan.groups[0].dng == tmp_path / "9-undark-burst.dng"
    given = plan_bursts([tmp_path / "9.dng", tmp_path / "3.dng"], str(tmp_path / "out/"))
    assert len(given.groups) == 1
    assert not given.groups[0].is_doubtful


def test_sub_seconds_are_read_back(tmp_path):
    path = write_frame(tmp_path / "a.dng", scene((96, 128)), 0, 0.27)
    assert read_mosaic(path).shot.taken.microsecond == 270_000


def test_a_time_lapse_is_not_merged_without_yes(tmp_path):
    light = scene((96, 128))
    first = write_frame(tmp_path / "00.dng", light, 0)
    for n in range(1, MANY + 1):
        taken = datetime(2024, 5, 6, 7, 8, 9) + timedelta(seconds=n)
        write_mosaic(
            tmp_path / f"{n:02d}.dng", read_mosaic(first).replace(shot=replace(SHOT, taken=taken))
        )
    done = CliRunner().invoke(app, ["burst", str(tmp_path)])
    assert done.exit_code == 1
    assert "time-lapse; --yes merges them" in done.stderr
    assert not list(tmp_path.glob("*-undark*"))


def test_a_burst_from_files_to_files(tmp_path):
    """The frames through the command's jobs: one of another scene and a damaged one are named."""
    frames = [
        write_frame(tmp_path / f"{n}.dng", scene(shift=(n, 2.5 * n)), n, n / 4) for n in range(3)
    ]
    frames.append(write_frame(tmp_path / "3.dng", scene(seed=7), 3, 1))
    frames.append(tmp_path / "4.dng")
    frames[-1].write_bytes(b"II*\0damaged")
    (group,) = plan_bursts(frames, kind="png").groups
    events = list(run_bursts([group], Options(bits=16)))
    left_out = [e for e in events if isinstance(e, FrameLeftOut)]
    assert [e.frame.name for e in left_out] == ["4.dng", "3.dng"] or [
        e.frame.name for e in left_out
    ] == ["3.dng", "4.dng"]
    assert isinstance(events[-1], BurstRestored), events[-1]
    assert events[-1].frames == 3
    back = undark.read(group.dng)
    assert back.shot.iso == 1600
    done = CliRunner().invoke(app, ["burst", *map(str, frames), "--to", "png", "--json"])
    assert '"status": "skipped"' in done.stdout
    alone = CliRunner().invoke(app, ["burst", str(frames[0]), "--overwrite"])
    assert alone.exit_code == 1
    assert "no other frame can be merged" in alone.stderr


def test_white_balance_and_contrast_are_those_of_the_picture(tmp_path):
    frames = [write_frame(tmp_path / f"{n}.dng", scene((160, 192)), n, n / 4) for n in range(2)]
    pictures = []
    for label, contrast in (("-a", -0.8), ("-b", 0.8)):
        group = name_burst(frames, tmp_path, "png", label)
        options = Options(white_balance=(2.0, 1.0, 1.0), contrast=contrast)
        *_, done = run_bursts([group], options)
        assert isinstance(done, BurstRestored), done
        pictures.append(open_picture(group.picture).levels.astype(float))
        assert source_of(group.dng) == source_of(group.picture)
    assert all(levels[..., 0].mean() > levels[..., 1].mean() + 10 for levels in pictures)
    assert pictures[1].mean() > pictures[0].mean() + 5  # above mid-grey: brighter with contrast
    merges = [read_mosaic(tmp_path / f"0{label}-undark-burst.dng") for label in ("-a", "-b")]
    assert np.array_equal(merges[0].plane, merges[1].plane)
    assert merges[0].white_balance == pytest.approx(merges[1].white_balance)
    wrong = CliRunner().invoke(app, ["burst", str(tmp_path), "--white-balance", "warm"])
    assert wrong.exit_code == 2


def test_the_merge_alone(tmp_path):
    frames = [write_frame(tmp_path / f"{n}.dng", scene((160, 192)), n, n / 4) for n in range(2)]
    group = name_burst(frames, tmp_path / "out", "dng")
    events = list(run_bursts([group], Options()))
    assert isinstance(events[-1], BurstRestored), events[-1]
    assert max(e.share for e in events if isinstance(e, BurstProgress)) == 1
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["0-undark-burst.dng"]
    assert isinstance(list(run_bursts([group], Options()))[-1], BurstSkipped)


def test_a_photo_without_a_date_in_exif_is_not_decoded(tmp_path, monkeypatch):
    """Its header says as much as the decoded photo; such are CR3 and CRW."""
    path = write_frame(tmp_path / "a.dng", scene((96, 128)), 0)
    header, mosaic = read_header(path), read_mosaic(path)
    assert (header.shot, header.orientation) == (mosaic.shot, mosaic.orientation)
    assert header.shape == mosaic.shape
    monkeypatch.setattr("undark.restoring.burst_plan.shot_from_tags", lambda tags: Shot())
    taken = read_taken(path)
    assert (taken.shot, taken.size) == (mosaic.shot, mosaic.shape)


def test_restoring_uses_the_noise_of_each_pixel():
    """Where frames were rejected, restored light is as smooth as elsewhere, not noisy."""
    frames = []
    for n in range(5):
        moved = scene()
        moved[80:130, 40 + 40 * n : 90 + 40 * n] += 200
        frames.append(photo(moved, n))
    merged = merge(frames, noise=NOISE)
    restored = undark.restore(merged, exposure=20.0)
    assert restored.noise_source == "the merge of 5 frames"
    assert restored.confidence[84:126, 44:86].mean() > 1.3 * restored.confidence[10:60].mean()
