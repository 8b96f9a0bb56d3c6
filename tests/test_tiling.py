from itertools import chain

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from undark.engine.tiling import AREA, cut, scaled, strips, tiles


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 8), st.integers(2, 20))
def test_tiles_cover_the_frame_once(rows, columns, halo, side):
    height, width, multiple = rows * 4, columns * 4, 4
    seen = np.zeros((height, width), int)
    for tile in chain(*tiles(height, width, multiple, halo * 4, side * 4)):
        seen[tile.inner] += 1
        for outer in tile.outer:
            assert (outer.stop - outer.start) % multiple == 0
            assert outer.start % multiple == 0
    assert (seen == 1).all()


def _blur(x):
    """A stand-in for a network: (1, 1, h, w) → (1, 3, 2h, 2w), reach 2, zeros outside."""
    padded = np.pad(x[0, 0], 2)
    total = sum(padded[i : i + x.shape[2], j : j + x.shape[3]] for i in range(5) for j in range(5))
    return np.repeat(np.repeat(total, 2, 0), 2, 1)[None, None] * np.ones((1, 3, 1, 1))


def test_tiled_equals_untiled():
    frame = np.random.default_rng(0).random((52, 84))
    expected = _blur(frame[None, None])[0]
    made = np.zeros_like(expected)
    plan = [*chain(*tiles(52, 84, 4, 4, 16))]
    for tile in plan:
        light = _blur(frame[tile.outer][None, None])[0]
        made[:, *scaled(tile.inner, 2)] = cut(light, tile.margins, 2)
    assert len(plan) > 10
    assert np.allclose(made, expected)


@given(
    rows=st.integers(1, 30),
    columns=st.integers(1, 20),
    side=st.integers(1, 6),
    height=st.integers(1, 40),
    corner=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    less=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_strips_are_the_frame_from_top_to_bottom(rows, columns, side, height, corner, less):
    """Whatever the tiles and the height of a strip; the last strip may be lower."""
    whole = np.random.default_rng(0).random((3, rows * 8, columns * 8), np.float32)
    plan = tiles(rows * 4, columns * 4, 4, 4, side * 4)
    parts = ((tile, whole[:, *scaled(tile.inner, 2)]) for tile in chain(*plan))
    shape = tuple(n - c - m for n, c, m in zip(whole.shape[1:], corner, less, strict=True))
    made = [*strips(plan, parts, shape, height, 2, corner)]
    assert all(len(strip) == height for strip in made[:-1])
    assert len(made[-1]) <= height
    frame = whole[:, corner[0] :, corner[1] :][:, : shape[0], : shape[1]]
    assert np.array_equal(np.concatenate(made), np.moveaxis(frame, 0, -1))


def _area(part):
    return (part[0].stop - part[0].start) * (part[1].stop - part[1].start)


@settings(deadline=None)
@given(st.integers(1, 900), st.integers(1, 900), st.integers(0, 8))
def test_by_default_tiles_fit_the_memory(rows, columns, halo):
    """Whatever the frame's size and the network's margin are."""
    height, width = rows * 8, columns * 8
    plan = [*chain(*tiles(height, width, 8, halo * 8))]
    assert max(_area(tile.outer) for tile in plan) <= AREA
    if height * width <= AREA:
        assert len(plan) == 1
    assert sum(_area(tile.inner) for tile in plan) == height * width


def test_what_margins_cost():
    """24 megapixels with a margin of 64: the network is given less than 1.65 of the frame."""
    plan = [*chain(*tiles(2000, 3000, 8, 64))]
    assert sum(_area(tile.outer) for tile in plan) < 1.65 * 2000 * 3000
