"""Blind estimation against the truth of simulated frames with faults."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from blind import score  # noqa: E402
from blind_frames import CASES, make  # noqa: E402
from undark.demo import load_scene  # noqa: E402
from undark.sensor.blind import estimate, estimate_noise, with_known_noise  # noqa: E402
from undark.sensor.blind.clipped import unclip  # noqa: E402
from undark.sensor.blind.steps import find_steps  # noqa: E402
from undark.sensor.cfa import RGGB, X_TRANS  # noqa: E402
from undark.sensor.mosaic import MASKED_BORDER, Mosaic  # noqa: E402
from undark.sensor.noise import NoiseModel, NumPySampler  # noqa: E402
from undark.sensor.offsets import LineOffsets  # noqa: E402

BLACK = 512.0


@pytest.fixture(scope="module")
def light():
    """(H, W, 3): the middle of undark's own scene."""
    scene = load_scene()
    top, left = ((n - 640) // 4 * 2 for n in scene.shape[:2])
    return scene[top : top + 640, left : left + 640].astype(np.float64)


def frame(noisy, cfa=RGGB, step=1.0, lowest=0.0, **changes):
    """A mosaic of values in DN above black."""
    plane = np.clip(np.rint((noisy + BLACK) / step) * step, lowest, 16383).astype(np.uint16)
    black = np.full(cfa.pattern.shape, BLACK, np.float32)
    return Mosaic(plane, cfa, black, 16383, np.ones(3, np.float32), **changes)


def flat(level, sigma, shape=(480, 640), seed=0):
    return level + sigma * np.random.default_rng(seed).standard_normal(shape)


def sigma_of(found, level):
    return float(found.uncorrected.sigma(np.float64(level)))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [2, 3])
def test_sigma_and_black_of_frames_with_faults(light, case, seed):
    """Issue 12's faults; `benchmarks/blind.py` has the figures over photographs."""
    found = score(make(light, RGGB, case, (CASES.index(case), seed)))
    assert found.ratio == pytest.approx(1, abs=0.2)
    if case in ("none", "12 bit", "black", "hot"):
        assert found.black < 0.5


def test_x_trans(light):
    found = score(make(light[:636, :636], X_TRANS, "none", (1, 3)))
    assert found.ratio == pytest.approx(1, abs=0.2)
    assert found.black < 0.5


@pytest.mark.parametrize(("step", "sigma"), [(64, 32), (64, 190), (16, 10), (4, 6), (1, 5)])
def test_steps_are_found_and_are_part_of_the_noise(step, sigma):
    """A step much wider than the noise leaves most differences at 0, which is no variance of 0."""
    found = estimate(frame(flat(np.linspace(0, 300, 640), sigma), step=step))
    assert found.step == pytest.approx(step, rel=0.01)
    expected = (sigma**2 + step**2 / 12) ** 0.5
    assert sigma_of(found, 0) == pytest.approx(expected, rel=0.05)
    assert found.noise.read == pytest.approx(sigma, rel=0.08)


def test_a_lossy_curve_has_steps_that_grow():
    """Levels 1 DN apart at black and 8 DN apart above 600 DN."""
    signal = np.tile(np.linspace(0, 1500, 640), (480, 1))
    noisy = NoiseModel(2.0, 4.0, step=0).add(signal, NumPySampler(0))
    levels = np.concatenate([np.arange(-40, 600), np.arange(600, 2200, 8)])
    near = np.abs(levels - noisy.reshape(-1, 1)[::7]).argmin(axis=1)
    steps = find_steps(
        (levels[near][:43520] + 512).reshape(-1, 1, 8, 8).astype(np.uint16),
        np.full((1, 1), 512, np.float32),
    )
    assert not steps.even
    assert 1 < steps.step < 8


def test_levels_that_few_pixels_have_are_not_steps():
    """A camera that mends bad pixels after converting leaves a few values between the steps."""
    plane = frame(flat(100, 20), step=4).plane
    some = np.random.default_rng(1).random(plane.shape) < 0.002
    plane[some] += 2
    assert estimate(frame(plane - BLACK)).step == pytest.approx(4, rel=0.02)


def test_steps_wider_than_the_noise_in_a_bright_scene():
    """Few pixels have the brighter levels, which are the converter's all the same."""
    signal = np.tile(np.geomspace(1, 3000, 640), (480, 1))
    found = estimate(frame(NoiseModel(3.0, 8.0, step=0).add(signal, NumPySampler(0)), step=64))
    assert found.step == pytest.approx(64, rel=0.01)


def test_noise_below_half_a_step_is_said_to_be_unknown():
    found = estimate(frame(flat(20, 10), step=64))
    assert found.doubts
    assert not estimate(frame(flat(20, 40), step=64)).doubts


@pytest.mark.parametrize("level", [-3.0, 0.0, 4.0, 12.0])
def test_crushed_blacks(level):
    """The file has nothing below black, as of cameras that clip there."""
    found = estimate(frame(flat(level, 8), lowest=BLACK))
    assert sigma_of(found, level) == pytest.approx((64 + 1 / 12) ** 0.5, rel=0.06)


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.65])
def test_clipping_is_undone_exactly(share):
    """Against random numbers."""
    noise = np.random.default_rng(0).standard_normal(2_000_000) * 7 + 3
    floor = float(np.quantile(noise, share))
    clipped = np.maximum(noise, floor)
    variance, mean = unclip(float(clipped.var()), float(clipped.mean()), share, floor)
    assert variance == pytest.approx(49, rel=0.02)
    assert mean == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=lambda c: c.name)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("sigma", [2.0, 20.0])
def test_offsets_of_lines_are_told_and_taken_off(cfa, axis, sigma):
    rng = np.random.default_rng(4)
    shape = (720, 780)
    smooth = np.add.outer(np.linspace(0, 60, shape[0]), 30 * np.sin(np.arange(shape[1]) / 120))
    offsets = rng.normal(0, sigma, shape[axis])
    noisy = smooth + 8 * rng.standard_normal(shape)
    noisy += offsets[:, None] if axis == 0 else offsets
    photo = frame(noisy, cfa)
    found = estimate(photo)
    told = (found.rows, found.columns)
    assert told[axis] == pytest.approx(sigma, rel=0.12)
    assert told[1 - axis] < 0.6
    values = (found.row_offsets, found.column_offsets)[axis]
    left = offsets - values
    assert left.std() < 0.35 * sigma + 0.6
    # what is left is in the noise that the network is told
    assert found.noise.row == pytest.approx(left.std(), rel=0.5)
    corrected = found.correct(photo).signal()
    assert (corrected - smooth).mean(axis=1 - axis).std() < 0.35 * sigma + 0.6


def test_periodic_bands_are_taken_off():
    rows = np.arange(960)
    bands = 15 * np.sin(2 * np.pi * rows / 23)
    found = estimate(frame(flat(30, 10, (960, 800)) + bands[:, None]))
    assert (bands - found.row_offsets).std() < 1.5


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=lambda c: c.name)
def test_slow_bands_are_told_from_stripes_by_their_colour(cfa):
    """Both are as slow and as wide as the frame; the stripes have a sensor's colours of grey."""
    rows, columns = np.arange(540), np.arange(648)
    bands = 12 * np.sin(2 * np.pi * rows / 60)
    light = 60 + 25 * np.sin(2 * np.pi * rows / 110)[:, None] + 0.1 * columns
    for offsets in (bands, np.zeros(540)):
        clean = light * np.array([0.5, 1, 0.6])[cfa.colour_map(light.shape)]
        noisy = NoiseModel(0.5, 3.0).add(clean, NumPySampler(0)) + offsets[:, None]
        found = estimate(frame(noisy, cfa))
        left = offsets if found.row_offsets is None else offsets - found.row_offsets
        assert left.std() < 1.5


def test_the_scene_is_no_offset():
    """Edges and stripes that do not cross the whole frame, and an edge that does."""
    clean = np.full((720, 900), 50.0)
    clean[200:] = 150
    clean[500:, 300:] = 20
    clean[::6, 600:] *= 1.3
    clean[:, 400:420] += 40
    clean[300:, 402] += 60
    found = estimate(frame(NoiseModel(0.5, 3.0).add(clean, NumPySampler(0))))
    assert found.row_offsets is None
    assert found.rows < 0.5


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=lambda c: c.name)
def test_black_errors_between_positions_of_a_colour(cfa):
    """The mean of a colour's positions is not told, their differences are."""
    period = cfa.period
    errors = np.random.default_rng(5).uniform(-4, 4, (period, period))
    tiled = np.tile(errors, (600 // period + 1, 600 // period + 1))[:600, :600]
    clean = np.tile(np.linspace(20, 200, 600), (600, 1))
    noisy = NoiseModel(1.0, 4.0).add(clean, NumPySampler(0)) + tiled
    found = estimate(frame(noisy, cfa))
    off = errors - found.black_errors
    # what is not told is in the noise: of a size that the differences show
    same = [errors[cfa.pattern == colour] for colour in range(3)]
    spread = sum(((s - s.mean()) ** 2).sum() * len(s) / max(len(s) - 1, 1) for s in same)
    spread /= sum(len(s) for s in same if len(s) > 1)
    assert found.noise.bias == pytest.approx((spread * 3 / period**2) ** 0.5, rel=0.25)
    for colour in range(3):
        same = off[cfa.pattern == colour]
        assert np.ptp(same) < (0.5 if period == 2 else 2.0)


def test_greens_that_differ_by_their_light_have_no_black_error():
    clean = np.tile(np.linspace(0, 400, 600), (600, 1))
    clean[1::2, ::2] *= 1.03
    found = estimate(frame(NoiseModel(1.0, 4.0).add(clean, NumPySampler(0))))
    assert np.abs(found.black_errors).max() < 0.5


def test_light_is_not_below_black():
    """The file's black is 4 DN too high, and the scene is dark in places."""
    clean = np.maximum(np.tile(np.linspace(-100, 200, 600), (600, 1)), 0)
    noisy = NoiseModel(1.0, 4.0).add(clean, NumPySampler(0)) - 4
    assert estimate(frame(noisy)).black_errors == pytest.approx(-4, abs=0.6)


@pytest.mark.parametrize(
    "source", [MASKED_BORDER, f"{MASKED_BORDER}, corrected by your calibration"]
)
def test_a_measured_black_stays(source):
    noisy = flat(20, 5)
    noisy[::2, 1::2] += 6
    found = estimate(frame(noisy, black_source=source))
    assert not found.black_errors.any()
    assert found.black_source == source


def test_known_noise_comes_first_and_a_contradiction_is_said():
    found = estimate(frame(flat(20, 10)))
    known = NoiseModel(1e-3, 10.0)
    agreed = with_known_noise(found, known, "there")
    assert (agreed.noise.read, agreed.noise_source, agreed.doubts) == (10.0, "there", ())
    assert "times this noise" in with_known_noise(found, replace(known, read=3.0), "").doubts[0]


def test_trust_is_the_scatter_of_the_estimate():
    """Relative standard error against the spread over frames."""
    found = [estimate(frame(flat(50, 10, (240, 320), seed))) for seed in range(24)]
    sigmas = [sigma_of(f, f.level) for f in found]
    claimed = np.mean([f.error for f in found])
    assert 0.4 < np.std(sigmas) / np.mean(sigmas) / claimed < 2.5


def test_offsets_move_with_the_frame():
    """Cut, extended and turned, a frame's signal is that of the corrected frame."""
    rng = np.random.default_rng(0)
    photo = frame(flat(50, 10, (24, 36)))
    offsets = LineOffsets.of((24, 36), rng.normal(size=24).astype(np.float32), None)
    other = LineOffsets.of((24, 36), None, rng.normal(size=36).astype(np.float32))
    moved = photo.replace(offsets=offsets + other)
    plain = moved.signal()
    assert np.array_equal(moved.crop(3, 5, 12, 14).signal(), plain[3:15, 5:19])
    assert np.array_equal(moved.signal(slice(2, 9), slice(4, None)), plain[2:9, 4:])
    bggr = moved.crop(1, 1, 22, 34)
    assert np.array_equal(bggr.canonical(4).signal()[1:23, 1:35], bggr.signal())
    for k in range(8):
        turned = photo.replace(plane=np.rint(plain + 600).astype(np.uint16)).dihedral(k).signal()
        assert np.abs(moved.dihedral(k).signal() + 88 - turned).max() <= 0.51
    assert LineOffsets.of((24, 36), None, None) is None


def test_24_megapixels_take_about_a_second():
    """CPU time, three times what it takes, so that a busy machine passes."""
    rng = np.random.default_rng(0)
    tile = rng.normal(40, 10, (500, 750))
    photo = frame(np.tile(tile, (8, 8)))
    began = time.process_time()
    estimate_noise(photo)
    assert time.process_time() - began < 3


@pytest.mark.parametrize("seed", range(3))
def test_the_gain_of_a_black_frame_with_a_bright_part(seed):
    """Nine tenths hold 0.01 electrons a pixel; each CFA position's black is off by up to 1 DN."""
    random = np.random.default_rng(seed)
    noise = NoiseModel(gain=6.6, read=6.5)
    light = np.full((600, 900), 0.07)
    light[:120, :450] = random.uniform(20, 60, (4, 15)).repeat(30, 0).repeat(30, 1)
    plane = noise.add(light.astype(np.float32), NumPySampler(seed))
    plane += np.tile(random.uniform(-1, 1, (2, 2)), (300, 450))
    found = estimate(frame(plane))
    assert found.noise.gain == pytest.approx(6.6, rel=0.15)
    assert found.noise.read == pytest.approx(6.5, rel=0.05)
