"""Crops and flips of mosaics keep each pixel's colour and black level."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from undark.sensor.cfa import BAYER_ORDERS, X_TRANS, dihedral, mosaic
from undark.sensor.mosaic import Mosaic

phases = st.sampled_from([*BAYER_ORDERS, *(X_TRANS.crop(y, x) for y in range(6) for x in range(6))])
sizes = st.tuples(st.integers(8, 21), st.integers(8, 21))


def random_mosaic(cfa, size, seed):
    """A mosaic with a different black level at each position of the period."""
    random = np.random.default_rng(seed)
    return Mosaic(
        plane=random.integers(0, 2**14, size).astype(np.uint16),
        cfa=cfa,
        black=random.integers(400, 600, cfa.pattern.shape).astype(np.float32),
        white=16383.0,
        white_balance=np.ones(3, np.float32),
    )


def colours(cfa, size):
    """The colour of each pixel: 0, 1 or 2."""
    return mosaic(np.stack([np.full(size, colour) for colour in range(3)]), cfa)


@settings(deadline=None)  # the first call imports array libraries
@given(phases, sizes, st.integers(0, 7), st.integers(0, 99))
def test_flipping_keeps_colours_and_black(cfa, size, k, seed):
    before = random_mosaic(cfa, size, seed)
    after = before.dihedral(k)
    assert np.array_equal(after.signal(), dihedral(before.signal(), k))
    assert np.array_equal(colours(after.cfa, after.shape), dihedral(colours(cfa, size), k))
    assert after.span == before.span


@settings(deadline=None)  # the first call imports array libraries
@given(phases, sizes, st.integers(0, 7), st.integers(0, 7), st.integers(0, 99))
def test_cropping_keeps_colours_and_black(cfa, size, top, left, seed):
    before = random_mosaic(cfa, size, seed)
    after = before.crop(top, left, size[0] - top, size[1] - left)
    assert np.array_equal(after.signal(), before.signal()[top:, left:])
    assert np.array_equal(colours(after.cfa, after.shape), colours(cfa, size)[top:, left:])


def test_fields_of_the_full_frame_are_dropped(make_mosaic):
    frame = make_mosaic(default_crop=(2, 2, 60, 90), orientation=6)
    assert frame.crop(0, 0, 32, 32).default_crop is None
    assert frame.dihedral(3).default_crop is None
    assert frame.dihedral(3).orientation == 1
    assert np.shares_memory(frame.dihedral(3).plane, frame.plane)
