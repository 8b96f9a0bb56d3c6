"""The correction of low frequencies: bounded by the noise, the same by bands, and of use."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, map_coordinates

from undark.develop.metrics import block_means
from undark.restoring.blocks import BLOCK
from undark.restoring.coarse import (
    REACH,
    BlockMeans,
    CoarseField,
    add_field,
    corrections,
    moved_means,
)
from undark.restoring.comparison import Comparison
from undark.sensor.cfa import RGGB, X_TRANS, mosaic
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel, NumPySampler


def some_means(down=40, across=31, seed=0, scale=1.0):
    """Restored means with errors, and measured ones with noise, of random light."""
    random = np.random.default_rng(seed)
    error = np.float32(scale) * random.uniform(0.5, 2, (down, across, 3)).astype(np.float32)
    light = gaussian_filter(random.normal(0, 20, (down, across, 3)), (3, 3, 0)) * scale
    restored = (light + 0.3 * error * random.normal(size=light.shape)).astype(np.float32)
    residual = (light - restored + error * random.normal(size=light.shape)).astype(np.float32)
    return BlockMeans(restored, residual, error)


@given(seed=st.integers(0, 1000), wild=st.floats(0, 1e6), size=st.tuples(*[st.integers(1, 9)] * 2))
@settings(max_examples=25, deadline=None)
def test_no_mean_moves_by_more_than_the_least_standard_error_around_it(seed, wild, size):
    means = some_means(*size, seed=seed)
    means.restored[0, 0] *= np.float32(wild)
    means.residual[-1, -1] *= np.float32(wild)
    moved = np.abs(corrections(means))
    for y in range(size[0]):
        for x in range(size[1]):
            near = means.error[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            assert np.all(moved[y, x] <= near.min(axis=(0, 1)) * 1.0001)


def test_light_and_noise_times_a_constant_give_a_correction_times_it():
    one, other = corrections(some_means()), corrections(some_means(scale=64.0))
    assert np.abs(one).max() > 0.05
    np.testing.assert_allclose(other, 64 * one, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("height", [1, 3, 2 * REACH + 1, 61])
def test_corrections_from_top_to_bottom_are_those_of_the_whole_frame(height):
    means = some_means(height, 25)
    whole, field, first = corrections(means), CoarseField((height, 25)), 0
    for top in range(0, height, 6):
        rows = slice(top, top + 6)
        field.add(BlockMeans(means.restored[rows], means.residual[rows], means.error[rows]))
        while first < height and field.is_known(first + 6):
            last = min(first + 6, height)
            made = field.rows(first, last)
            expected = whole[np.arange(first - 1, last + 1).clip(0, height - 1)]
            np.testing.assert_allclose(made, expected, atol=1e-5)
            first = last
    assert first >= height


@pytest.mark.parametrize(("height", "width"), [(96, 80), (77, 45), (5, 3)])
def test_a_field_is_bilinear_between_the_centres_of_blocks(height, width):
    random = np.random.default_rng(0)
    down, across = -(-height // BLOCK), -(-width // BLOCK)
    blocks = random.normal(size=(down, across, 3)).astype(np.float32)
    field = np.concatenate([blocks[:1], blocks, blocks[-1:]])
    light = np.full((height, width, 3), 5, np.float32)
    add_field(light, field)
    y, x = (np.arange(n) / BLOCK + 0.5 / BLOCK - 0.5 for n in (height, width))
    places = np.meshgrid(y, x, indexing="ij")
    for colour in range(3):
        expected = 5 + map_coordinates(blocks[..., colour], places, order=1, mode="nearest")
        np.testing.assert_allclose(light[..., colour], expected, atol=1e-5)
    if not (height % BLOCK or width % BLOCK):
        made = block_means(light - 5).reshape(down, across, 3)
        np.testing.assert_allclose(moved_means(field), made, atol=1e-5)


NOISE, AMPLIFICATION = NoiseModel(gain=1.0, read=4.0), 100.0


def shoot(truth, cfa, seed=0):
    """A noisy mosaic of light (H, W, 3) in DN above black."""
    signal = mosaic(np.moveaxis(truth, -1, 0), cfa)
    plane = np.rint(NOISE.add(signal, NumPySampler(seed)) + 512).clip(0).astype(np.uint16)
    black = np.full(cfa.pattern.shape, 512, np.float32)
    return Mosaic(plane, cfa, black, 16383.0, np.ones(3, np.float32))


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS])
def test_blotches_of_colour_become_fainter(cfa):
    """Restored light of a dark wall with errors that are correlated over 40 pixels."""
    random = np.random.default_rng(1)
    shape = (24 * BLOCK, 28 * BLOCK)
    slope = np.linspace(1, 4, shape[1])[None, :, None]
    truth = (np.ones((*shape, 3)) * slope * [1.0, 0.8, 0.6]).astype(np.float32)
    blotches = gaussian_filter(random.normal(size=(*shape, 3)), (40 / 3, 40 / 3, 0))
    blotches *= 0.3 / blotches.std()
    photo = shoot(truth, cfa)
    to_light = np.float32(AMPLIFICATION / photo.span)
    restored = ((truth + blotches) * to_light).astype(np.float32)
    comparison = Comparison(restored.copy(), photo, NOISE, AMPLIFICATION)
    moved = corrections(comparison.block_means())
    add_field(restored, np.concatenate([moved[:1], moved, moved[-1:]]))
    left = block_means(restored / to_light - truth)
    before, after = (
        np.sqrt(np.square(e - e.mean(axis=1, keepdims=True)).mean())
        for e in (block_means(blotches), left)
    )
    assert after < 0.92 * before


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS])
def test_block_means_are_those_of_the_light_and_of_the_pixels(cfa):
    truth = np.full((4 * BLOCK, 6 * BLOCK, 3), [30, 20, 10], np.float32)
    photo = shoot(truth, cfa)
    light = (truth + np.array([3, 0, -3], np.float32)) * np.float32(AMPLIFICATION / photo.span)
    means = Comparison(light, photo, NOISE, AMPLIFICATION).block_means()
    unit = AMPLIFICATION / photo.span
    np.testing.assert_allclose(means.restored / unit, np.full((4, 6, 3), [33, 20, 7]), rtol=1e-4)
    signal, of_pixel = photo.signal(), cfa.colour_map(photo.shape)
    for colour in range(3):
        ours = (of_pixel == colour)[:BLOCK, :BLOCK]
        measured = signal[:BLOCK, :BLOCK][ours].mean()
        residual = means.residual[0, 0, colour] / unit
        assert residual == pytest.approx(measured - [33, 20, 7][colour], abs=1e-3)
        expected = np.sqrt((max(measured, [33, 20, 7][colour]) + 16 + 1 / 12) / ours.sum())
        assert means.error[0, 0, colour] / unit == pytest.approx(expected, rel=0.05)


def test_clipped_light_allows_nothing_beside_it():
    """A lamp's blocks are not moved, and the dark blocks beside them by their own noise at most."""
    truth = np.full((6 * BLOCK, 6 * BLOCK, 3), 3, np.float32)
    truth[:, 3 * BLOCK :] = 50_000
    photo = shoot(truth, RGGB).replace(white=16383.0)
    photo = photo.replace(plane=np.minimum(photo.plane, 16383))
    light = truth * np.float32(AMPLIFICATION / photo.span)
    means = Comparison(light, photo, NOISE, AMPLIFICATION).block_means()
    assert np.all(means.residual[:, 3:] == 0)
    dark = means.error[0, 0]
    assert np.all(means.limit()[:, :4] <= dark * 1.2)
