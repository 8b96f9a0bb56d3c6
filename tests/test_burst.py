"""Merging bursts: alignment, the merge's noise, what is left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import undark
from bursts import BLACK, NOISE, WHITE, branches, lamps, photo, scene
from undark.align.field import Field, resized, smoothest
from undark.align.motion import Motion
from undark.align.nearest import nearest_pixels
from undark.align.noisy import Reference
from undark.errors import UnsupportedError
from undark.files.dng import write_mosaic
from undark.files.raw import read_mosaic
from undark.restoring.burst import merge, profile_of
from undark.sensor.cfa import BAYER_ORDERS, RGGB, X_TRANS
from undark.sensor.noise import NoiseModel
from undark.sensor.profiles.lookup import noise_of


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
    assert len(found.field.rows) == 0  # no rolling shutter
    assert found.fault is None


def test_another_scene_and_noise_alone_are_not_aligned():
    random = np.random.default_rng(1)
    first = Reference((scene() / 20 + random.standard_normal((240, 320))).astype(np.float32))
    other = scene(seed=9) / 20 + random.standard_normal((240, 320))
    assert "does not show" in first.align(other.astype(np.float32)).fault
    noise = [random.standard_normal((240, 320)).astype(np.float32) for _ in "ab"]
    assert Reference(noise[0]).align(noise[1]).fault


def test_a_frame_that_only_what_moves_would_align_is_left_out():
    """A tenth of the area has nearly all of the detail, and moves by 24 pixels."""
    random = np.random.default_rng(4)
    still, other = scene() / 40, scene(seed=5)
    planes = [still + random.standard_normal(still.shape) for _ in "abc"]
    for plane, left in zip(planes, (60, 84, 60), strict=True):
        plane[70:150, left : left + 90] = other[:80, :90] / 10 + random.standard_normal((80, 90))
    first, moved, unmoved = (plane.astype(np.float32) for plane in planes)
    assert "something that moves" in Reference(first).align(moved).fault
    assert Reference(first).align(unmoved).fault is None


@pytest.mark.parametrize(
    ("wave", "most"),
    [
        (lambda u: (3 * u, 1.5 * u), 0.1),  # a shake during the readout
        (lambda u: (2 * u + 1.5 * u**2, u - u**2), 0.12),  # one that turns
        (lambda u: (np.sin(np.pi * u), 0 * u), 0.15),
    ],
)
def test_a_rolling_shutter_is_followed(wave, most):
    """Shifts (x, y) of each row; u is -1 in the first one, 1 in the last."""
    light, random = scene(), np.random.default_rng(3)
    y, x = np.mgrid[:240, :320].astype(float)
    across, down = wave(2 * y / 240 - 1)
    # the content of y is at y + down of the frame; the shift hardly differs between the two
    back = wave(2 * (y - down) / 240 - 1)
    bent = ndimage.map_coordinates(light, [y - back[1], x - back[0]], order=5, mode="mirror")
    planes = [(p / 10 + random.standard_normal(p.shape)).astype(np.float32) for p in (light, bent)]
    found = Reference(planes[0]).align(planes[1])
    error = np.subtract(found.field.at(y[:, 0], x[0]), (across, down))[:, 24:-24, 24:-24]
    assert np.sqrt(np.square(error).sum(axis=0).mean()) < most
    assert found.fault is None


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


def test_the_nearest_pixel_of_a_place_just_below_one():
    """In float32 it is a whole pixel from the one before."""
    place = np.full(3, -1e-9, np.float32)
    y, x = nearest_pixels(RGGB, np.array([0, 0, 0], np.uint8), place, place)
    assert not y.any()
    assert not x.any()


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
    frames = [frame.replace(plane=frame.plane.copy()) for _ in range(4)]
    for number, same in enumerate(frames):
        same.plane[0, number] += 1  # else they were one frame, given four times
    merged = merge(frames, noise=NoiseModel(0.01, 0.1))
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


@pytest.mark.parametrize(
    ("level", "cfa", "most"), [(6000, RGGB, 0.7), (6000, X_TRANS, 0.8), (60000, RGGB, 1.3)]
)
def test_edges_of_lamps_stay_sharp_and_their_noise_is_known(level, cfa, most):
    """Where the guide was taken to be right, lamps that are clipped had 13 times the error."""
    moves = np.vstack([np.zeros(2), np.random.default_rng(9).uniform(-9, 9, (7, 2))])
    lights = [lamps(shift, level) for shift in moves]
    frames = [photo(light, n, cfa) for n, light in enumerate(lights)]
    truth = np.minimum(lights[0], WHITE - BLACK)
    near = ndimage.binary_dilation(lights[0] > level / 4, iterations=3)
    merged = merge(frames, noise=NOISE)
    off, alone = merged.signal() / 4 - truth, frames[0].signal() - truth
    assert (off[near] ** 2).mean() < most * (alone[near] ** 2).mean()
    predicted = NOISE.variance(truth) * merged.merged.share.astype(np.float32)
    assert (off[near] ** 2 / predicted[near]).mean() < 2


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


def test_a_frame_that_is_given_twice_counts_once():
    told, frames = [], [photo(scene(), seed) for seed in (0, 1)]
    copy = frames[1].replace(plane=frames[1].plane.copy())
    merged = merge([*frames, copy, frames[0]], noise=NOISE, told=told.append)
    assert merged.merged.frames == 2
    assert [t.fault for t in told] == [
        None,
        None,
        "it has the same pixels as frame 2",
        "it has the same pixels as frame 1",
    ]


def test_frames_of_few_long_rows_are_aligned():
    light = np.tile(scene(), (1, 9))[:160]
    assert light.shape[1] > 2 * 800
    told = []
    merged = merge([photo(light, seed) for seed in (0, 1)], noise=NOISE, told=told.append)
    assert merged.merged.frames == 2
    assert told[1].shift == pytest.approx((0, 0), abs=0.2)


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
