"""`undark burst` on X-Trans DNGs, end to end: its results against the light that was simulated."""

import numpy as np
import pytest
import rawpy
from scipy import ndimage

import undark
from frames import BLACK, as_mosaic
from undark.files.dng import write_mosaic
from undark.files.picture import open_picture
from undark.sensor.cfa import X_TRANS, mosaic
from undark.sensor.mosaic import Shot
from undark.sensor.noise import NoiseModel, NumPySampler

SHAPE = (183, 241)  # no whole number of periods
NOISE = NoiseModel(gain=2.0, read=4.0)
SHOT = Shot("FUJIFILM", "X-Test", exposure_time=0.05, aperture=2.0, iso=1600.0)
PERIODS = [(0, 0), (6, -12), (-12, 6), (6, 6)]
"""Shifts of a still scene, pixels down and right: pixels lie on pixels of their colour."""
BY_HAND = [(0, 0), (6.3, -4.6), (-9.2, 11.7), (3.5, 3.5)]
MARGIN = 16
"""Pixels at the border that some frame does not see."""
SQUARE = 36
"""Side of what moves, pixels."""


def light(shift=(0.0, 0.0), square=None):
    """(3, H, W) DN: coloured texture at a shift; `square` is the left column of a bright thing."""
    random, wide = np.random.default_rng(0), tuple(n + 80 for n in SHAPE)
    places = [np.arange(n) + 40.0 - s for n, s in zip(SHAPE, shift, strict=True)]
    found = []
    for level in (60, 120, 75):  # what a sensor sees of grey
        texture = sum(
            ndimage.gaussian_filter(random.standard_normal(wide), s, mode="wrap") * s * a
            for s, a in ((2, 0.4), (6, 0.5), (20, 0.6))
        )
        at = np.meshgrid(*places, indexing="ij")
        found.append(level * np.exp(ndimage.map_coordinates(texture, at, order=5)))
    seen = np.stack(found).astype(np.float32)
    if square is not None:
        bright = np.array([120, 240, 150])
        seen[:, 70 : 70 + SQUARE, square : square + SQUARE] = bright[:, None, None]
    return seen


def shoot(folder, lights, cfa=X_TRANS):
    """Write a DNG of each light; their paths, and the first one's light on the mosaic (H, W)."""
    paths = []
    for number, seen in enumerate(lights):
        signal = NOISE.add(mosaic(seen, cfa), NumPySampler(number), cfa.period)
        paths.append(folder / f"{number}.dng")
        write_mosaic(paths[-1], as_mosaic(signal, cfa, shot=SHOT))
    return paths, mosaic(lights[0], cfa)


def merged_by_command(run, paths):
    """The mosaic that `undark burst` writes of all these frames, and its picture, 0 to 255."""
    status, _, said = run("burst", *paths, "--to", "png")
    assert status == 0, said
    assert f"{len(paths)} of {len(paths)} frames" in said
    results = [paths[0].with_name(f"0-undark-burst.{suffix}") for suffix in ("dng", "png")]
    return undark.read(results[0]), open_picture(results[1]).levels.astype(float)


def by_colour(plane, cfa):
    """The pixels of each colour that all frames see."""
    inner = np.zeros(plane.shape, bool)
    inner[MARGIN:-MARGIN, MARGIN:-MARGIN] = True
    return [plane[inner & (cfa.colour_map(plane.shape) == colour)] for colour in range(3)]


def noise_ratios(merged, path, truth, cfa):
    """Mean squares of merged pixels' errors over those of the first frame's, by colour."""
    planes = (merged.signal() / 4 - truth, undark.read(path).signal() - truth)
    pairs = zip(*(by_colour(plane, cfa) for plane in planes), strict=True)
    return [(merge**2).mean() / (alone**2).mean() for merge, alone in pairs]


def test_an_x_trans_burst_becomes_an_x_trans_dng_with_the_noise_of_four_frames(tmp_path, run):
    cfa = X_TRANS.crop(1, 2)  # frames begin in the middle of a cell
    paths, truth = shoot(tmp_path, [light(shift) for shift in PERIODS], cfa)
    merged, picture = merged_by_command(run, paths)
    assert picture.shape == (*SHAPE, 3)
    assert 60 < picture.mean() < 200
    assert (merged.cfa, merged.shot) == (cfa, SHOT)
    with rawpy.imread(str(tmp_path / "0-undark-burst.dng")) as raw:
        assert raw.raw_pattern.shape == (6, 6)
        assert np.array_equal(raw.raw_colors, cfa.colour_map(SHAPE))
        assert np.array_equal(raw.raw_image, merged.plane)
        assert raw.white_level == 4 * 16383
        assert set(raw.black_level_per_channel) == {4 * BLACK}
    assert noise_ratios(merged, paths[0], truth, cfa) == pytest.approx([1 / 4] * 3, rel=0.08)
    for off in by_colour(merged.signal() / 4 - truth, cfa):
        assert abs(off.mean()) < 0.3


def test_frames_that_lie_between_pixels_are_nearly_as_good(tmp_path, run):
    """Also red and blue ones, which are farther apart than green pixels."""
    paths, truth = shoot(tmp_path, [light(shift) for shift in BY_HAND])
    merged, _ = merged_by_command(run, paths)
    for ratio in noise_ratios(merged, paths[0], truth, X_TRANS):
        assert 0.24 < ratio < 0.29


def test_what_moves_leaves_no_ghost_in_an_x_trans_burst(tmp_path, run):
    columns = (24, 80, 136, 170)
    lights = [light(shift, column) for shift, column in zip(PERIODS, columns, strict=True)]
    paths, truth = shoot(tmp_path, lights)
    merged, _ = merged_by_command(run, paths)
    off, colours = merged.signal() / 4 - truth, X_TRANS.colour_map(SHAPE)
    for column in columns:
        there = (slice(74, 66 + SQUARE), slice(column + 4, column - 4 + SQUARE))
        for colour in range(3):
            chosen = colours[there] == colour
            error = np.sqrt(NOISE.variance(truth[there][chosen]).mean() / chosen.sum())
            # at most 6 DN, one frame's noise; the plain mean of the frames is off by 10 to 79
            assert abs(off[there][chosen].mean()) < 4 * error < 6
