import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from undark.engine.tiling import run_tiled, tiles


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 8), st.integers(2, 20))
def test_tiles_cover_the_frame_once(rows, columns, halo, side):
    height, width, multiple = rows * 4, columns * 4, 4
    seen = np.zeros((height, width), int)
    for tile in tiles(height, width, multiple, halo * 4, side * 4):
        seen[tile.inner] += 1
        for outer, inner in zip(tile.outer, tile.inner, strict=True):
            assert (outer.stop - outer.start) % multiple == 0
            assert outer.start % multiple == 0
            assert inner.stop - inner.start <= side * 4
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
    plan = tiles(52, 84, 4, 4, 16)
    for (rows, columns), light in run_tiled(_blur, lambda t: frame[t][None, None], plan, 2):
        made[:, rows, columns] = light
    assert len(plan) > 10
    assert np.allclose(made, expected)
