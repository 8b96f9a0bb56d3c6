import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from undark.sensor.cfa import (
    BAYER_ORDERS,
    CFA,
    RGGB,
    X_TRANS,
    dihedral,
    extend,
    mosaic,
    pack,
    unpack,
)

X_TRANS_PHASES = [X_TRANS.crop(y, x) for y in range(6) for x in range(6)]
phases = st.sampled_from([*BAYER_ORDERS, *X_TRANS_PHASES])
sizes = st.tuples(st.integers(6, 29), st.integers(6, 29))


@given(phases, sizes, st.integers(0, 2**32 - 1))
def test_unpack_undoes_pack_exactly(cfa, size, seed):
    plane = np.random.default_rng(seed).integers(0, 2**14, size).astype(np.uint16)
    assert np.array_equal(unpack(pack(plane, cfa), cfa, size), plane)


@given(phases, sizes)
def test_each_packed_plane_holds_one_colour(cfa, size):
    colour = np.fromfunction(
        lambda y, x: cfa.pattern[y % cfa.period, x % cfa.period], size, dtype=int
    )
    for plane, expected in zip(pack(colour, cfa), cfa.colours, strict=True):
        assert (plane == expected).all()


@given(phases, sizes, st.tuples(*[st.integers(0, 7)] * 4))
def test_extending_keeps_the_phase(cfa, size, border):
    top, left, bottom, right = border
    colour = np.fromfunction(
        lambda y, x: cfa.pattern[y % cfa.period, x % cfa.period], size, dtype=int
    )
    wide = extend(colour, (top, left), (bottom, right), cfa.period)
    phase = cfa.crop(-top, -left)
    rows, columns = np.indices(wide.shape)
    assert np.array_equal(wide, phase.pattern[rows % cfa.period, columns % cfa.period])


@pytest.mark.parametrize("k", range(8))
def test_turns_are_numbered_as_pillows(k):
    picture = np.random.default_rng(0).integers(0, 255, (5, 8, 3)).astype(np.uint8)
    pillow = Image.fromarray(picture)
    turned = pillow if k == 0 else pillow.transpose(Image.Transpose(k - 1))
    assert np.array_equal(dihedral(picture, k), np.asarray(turned))


def test_bayer_packs_as_the_literature_does():
    plane = np.arange(16).reshape(4, 4)
    packed = pack(plane, RGGB)
    assert np.array_equal(packed[0], plane[::2, ::2])
    assert np.array_equal(packed[1], plane[::2, 1::2])
    assert np.array_equal(packed[2], plane[1::2, ::2])
    assert np.array_equal(packed[3], plane[1::2, 1::2])


def test_a_batch_packs_like_its_members():
    batch = np.random.default_rng(0).random((2, 13, 18))
    for cfa in (BAYER_ORDERS[3], X_TRANS.crop(1, 4)):
        assert np.array_equal(pack(batch, cfa)[1], pack(batch[1], cfa))


def test_torch_and_numpy_pack_alike():
    torch = pytest.importorskip("torch", reason="torch comes with undark[train]")
    plane = np.random.default_rng(0).random((14, 20), np.float32)
    for cfa in (*BAYER_ORDERS, X_TRANS.crop(2, 3)):
        packed = pack(torch.from_numpy(plane), cfa)
        assert np.array_equal(packed.numpy(), pack(plane, cfa))
        assert np.array_equal(unpack(packed, cfa, plane.shape).numpy(), plane)


@given(phases)
def test_mosaic_takes_each_pixel_from_its_colour(cfa):
    rgb = np.stack([np.full((12, 12), colour) for colour in range(3)])
    rows, columns = np.indices((12, 12))
    assert np.array_equal(mosaic(rgb, cfa), cfa.pattern[rows % cfa.period, columns % cfa.period])


@pytest.mark.parametrize("rows", [((0, 1), (2, 1)), ((1,),), ((0, 0), (0, 0)), ((0, 1, 2),) * 3])
def test_other_patterns_are_refused(rows):
    with pytest.raises(ValueError, match="neither a Bayer nor an X-Trans"):
        CFA(rows)


@settings(max_examples=20)
@given(phases)
def test_names_and_shifts(cfa):
    assert (cfa.name == "X-Trans") == (cfa.period == 6)
    assert np.array_equal(np.roll(cfa.pattern, cfa.shift, (0, 1)), cfa.kind.pattern)


@pytest.mark.parametrize("cfa", [*BAYER_ORDERS, X_TRANS, X_TRANS.crop(1, 4)])
def test_the_colour_of_every_pixel_is_that_of_its_filter(cfa):
    """A picture whose colours are 0, 1 and 2 gives a mosaic of its own colour map."""
    rgb = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((3, 13, 17), np.uint8)
    seen = cfa.colour_map((13, 17))
    assert np.array_equal(seen, mosaic(rgb, cfa))
    assert seen[0, 0] == cfa.rows[0][0]
