"""Offsets of rows and columns that the masked border shows."""

from dataclasses import replace

import numpy as np
import pytest

from undark.demo import load_scene
from undark.files.raw.black import Frame, masked_border
from undark.sensor.blind import estimate
from undark.sensor.cfa import RGGB, X_TRANS, mosaic
from undark.sensor.mosaic import Mosaic

BLACK, BORDER, SIGMA = 512.0, 36, 6.0


def photograph(cfa=RGGB, rows=0.0, columns=0.0, inside=1.0, seed=0, hot=0.0):
    """A dark frame of undark's scene with its border, and the offsets of its rows and columns.

    The frame itself has `inside` times the offsets that the border has.
    """
    random = np.random.default_rng(seed)
    light = load_scene()[: 606 if cfa is X_TRANS else 608, :606].astype(np.float64)
    clean = mosaic(np.moveaxis(light, -1, 0), cfa) * 60
    image = np.pad(clean, ((BORDER, 0), (BORDER, 0)))
    image += SIGMA * random.standard_normal(image.shape)
    sizes = zip((rows, columns), image.shape, strict=True)
    offsets = [size * random.standard_normal(n) for size, n in sizes]
    share = np.ones(image.shape)
    share[BORDER:, BORDER:] = inside
    image += share * (offsets[0][:, None] + offsets[1])
    image[random.random(image.shape) < hot] += 3000
    image = np.rint(image + BLACK).clip(0, 16383).astype(np.uint16)
    tag = np.full(cfa.pattern.shape, BLACK, np.float32)
    border = masked_border(image, Frame(BORDER, BORDER, *clean.shape), tag, 16383)
    assert border
    plane = image[BORDER:, BORDER:].copy()
    made = Mosaic(
        plane,
        cfa,
        border.black,
        16383,
        np.ones(3, np.float32),
        black_source="masked border",
        masked=border.lines,
    )
    return made, [_beside(o[BORDER:], cfa.period) for o in offsets]


def _beside(lines, period):
    """Beside the mean of each phase, which is the black level's."""
    lines = lines.copy()
    for phase in range(period):
        lines[phase::period] -= lines[phase::period].mean()
    return lines


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.mark.parametrize("hot", [0.0, 0.01])
@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=lambda c: c.name)
def test_the_border_measures_offsets_within_its_error(cfa, hot):
    photo, (rows, columns) = photograph(cfa, rows=5, columns=3, hot=hot)
    expected = SIGMA / (BORDER - 2) ** 0.5
    found = photo.masked
    assert found.row_error == pytest.approx(expected, rel=0.1 if not hot else 0.4)
    assert rms(found.means.rows[:, 0] - rows) == pytest.approx(found.row_error, rel=0.15)
    assert rms(found.means.columns[0] - columns) == pytest.approx(found.column_error, rel=0.15)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=lambda c: c.name)
@pytest.mark.parametrize("size", [2.0, 15.0])
def test_what_is_left_of_offsets_is_less_with_a_border(cfa, axis, size):
    photo, offsets = photograph(cfa, **{("rows", "columns")[axis]: size})
    found, alone = estimate(photo), estimate(photo.replace(masked=None))
    left = [rms(offsets[axis] - (e.row_offsets, e.column_offsets)[axis]) for e in (found, alone)]
    assert found.masked_lines
    assert left[0] < 0.75 * left[1]
    assert left[0] < 0.15 * size + SIGMA / (BORDER - 2) ** 0.5
    assert (found.rows, found.columns)[axis] == pytest.approx(size, rel=0.15)


@pytest.mark.parametrize("inside", [0.0, 0.2, -1.0])
def test_offsets_that_only_the_border_has_are_not_taken_off(inside):
    """Some cameras take them off the frame, and leave the border as it was."""
    photo, _ = photograph(rows=5, inside=inside)
    found, alone = estimate(photo), estimate(photo.replace(masked=None))
    assert not found.masked_lines
    assert found.rows == alone.rows
    assert np.array_equal(found.row_offsets, alone.row_offsets)


def test_what_changes_over_the_whole_border_is_no_offset():
    """A sensor is warmer at one end, or light leaks in."""
    photo, (rows, _) = photograph(rows=5)
    drift = 8 * np.linspace(-1, 1, len(rows), dtype=np.float32)[:, None] ** 2
    means = replace(photo.masked.means, rows=photo.masked.means.rows + drift)
    found = estimate(photo.replace(masked=replace(photo.masked, means=means)))
    assert found.masked_lines
    assert rms(rows - found.row_offsets) < 2 * SIGMA / (BORDER - 2) ** 0.5


def test_masked_lines_move_with_the_frame():
    photo, (rows, _) = photograph(rows=15, columns=4)
    part = photo.crop(60, 30, 480, 420)
    assert rms(_beside(rows[60:540], 2) - estimate(part).row_offsets) < 2.5
    for k in range(8):
        turned = estimate(photo.dihedral(k))
        sizes = sorted((turned.rows, turned.columns))
        assert turned.masked_lines
        assert sizes == pytest.approx([4, 15], rel=0.2)
    assert photo.canonical(4).masked is None


def test_offsets_that_are_known_already_are_not_found_again():
    photo, _ = photograph(rows=15)
    again = estimate(estimate(photo).correct(photo))
    assert again.rows < 2
