"""Dark shading: its grid against plain interpolation, and through crops, flips and extension."""

import numpy as np
import pytest

from undark.sensor.cfa import BAYER_ORDERS, RGGB, X_TRANS, dihedral
from undark.sensor.shading import Shading


def _grid(period, seed=0):
    return np.random.default_rng(seed).normal(0, 5, (period, period, 4, 5)).astype(np.float32)


def _shaded(make_mosaic, cfa, shape=(36, 54)):
    shading = Shading.over_frame(_grid(cfa.period), shape)
    return make_mosaic(cfa, shape, shading=shading)


def test_a_node_is_at_the_middle_of_its_cell():
    """8 pixels a cell: its middle lies between pixels 3 and 4, half a step around the node."""
    grid = np.zeros((2, 2, 3, 3), np.float32)
    grid[:, :, 1, 1] = 16
    found = Shading.over_frame(grid, (24, 24)).at(0, 0, (24, 24))
    assert found[11:13, 11:13] == pytest.approx(16 * (15 / 16) ** 2)
    assert found[12, 4:20] == pytest.approx(
        16 * 15 / 16 * np.clip(1 - abs(np.arange(4, 20) - 11.5) / 8, 0, None), abs=1e-5
    )


def test_it_is_linear_to_the_edges():
    columns = np.arange(5, dtype=np.float32)
    grid = np.broadcast_to(columns, (2, 2, 4, 5)).copy()
    row = Shading.over_frame(grid, (40, 50)).at(0, 0, (40, 50))[7]
    assert row == pytest.approx((np.arange(50) + 0.5) / 10 - 0.5, abs=1e-5)


def test_each_position_has_its_own():
    grid = np.zeros((2, 2, 2, 2), np.float32)
    grid[0, 1] = 3
    found = Shading.over_frame(grid, (6, 8)).at(1, 1, (5, 7))
    assert (found[1::2, 0::2] == 3).all()
    assert found.sum() == 3 * found[1::2, 0::2].size


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=lambda c: c.name)
def test_the_signal_of_a_part_is_the_part_of_the_signal(make_mosaic, cfa):
    photo = _shaded(make_mosaic, cfa)
    plain = photo.replace(shading=None).signal()
    assert abs(plain - photo.signal()).max() > 5
    part = photo.signal(slice(7, 20), slice(3, 30))
    assert part == pytest.approx(photo.signal()[7:20, 3:30], abs=1e-3)


@pytest.mark.parametrize("cfa", [*BAYER_ORDERS, X_TRANS], ids=lambda c: c.name)
@pytest.mark.parametrize("k", range(8))
def test_turned_and_cropped_frames_keep_their_signal(make_mosaic, cfa, k):
    photo = _shaded(make_mosaic, cfa).crop(5, 3, 25, 40)
    whole = _shaded(make_mosaic, cfa).signal()[5:30, 3:43]
    assert photo.signal() == pytest.approx(whole, abs=1e-3)
    assert photo.dihedral(k).signal() == pytest.approx(dihedral(whole, k), abs=1e-3)


def test_an_extended_frame_keeps_its_signal(make_mosaic):
    photo = _shaded(make_mosaic, BAYER_ORDERS[1])
    (top, left), (height, width) = photo.cfa.shift, photo.shape
    assert (top, left) != (0, 0)
    wide = photo.canonical(16).signal()
    inner = wide[top : top + height, left : left + width]
    assert inner == pytest.approx(photo.signal(), abs=1e-3)
