"""Bilinear demosaicing: exact cases, and equal results in bands and at once."""

import numpy as np
import pytest
from scipy.ndimage import convolve

from undark.develop import demosaic as module
from undark.develop.demosaic import demosaic
from undark.sensor.cfa import BAYER_ORDERS, RGGB, X_TRANS, mosaic

PATTERNS = [*BAYER_ORDERS, X_TRANS, X_TRANS.crop(2, 5)]
NAMES = [f"{cfa.name}-{n}" for n, cfa in enumerate(PATTERNS)]


def scene(height=36, width=42):
    return np.random.default_rng(0).random((height, width, 3), np.float32)


def seen(rgb, cfa):
    return mosaic(rgb.transpose(2, 0, 1), cfa)


@pytest.mark.parametrize("cfa", PATTERNS, ids=NAMES)
def test_own_colour_is_kept(cfa):
    plane = seen(scene(), cfa)
    rgb = demosaic(plane, cfa)
    assert rgb.shape == (36, 42, 3)
    assert rgb.dtype == np.float32
    np.testing.assert_array_equal(seen(rgb, cfa), plane)


@pytest.mark.parametrize("cfa", PATTERNS, ids=NAMES)
@pytest.mark.parametrize("size", [(36, 42), (37, 41), (7, 7)])
def test_flat_colour_comes_back(cfa, size):
    rgb = np.broadcast_to(np.float32([0.9, 0.5, 0.1]), (*size, 3))
    np.testing.assert_allclose(demosaic(seen(rgb, cfa), cfa), rgb, atol=1e-6)


@pytest.mark.parametrize("cfa", BAYER_ORDERS, ids=lambda cfa: cfa.name)
def test_bayer_is_bilinear_interpolation(cfa):
    plane = seen(scene(), cfa)
    mine = demosaic(plane, cfa)
    for colour in range(3):
        of_colour = np.tile(cfa.pattern == colour, (18, 21))
        cross = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
        square = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
        kernel = cross if colour == 1 else square
        theirs = convolve(np.where(of_colour, plane, 0), kernel, mode="mirror")
        np.testing.assert_allclose(mine[..., colour], theirs, atol=1e-6)


@pytest.mark.parametrize("cfa", PATTERNS, ids=NAMES)
def test_a_slope_comes_back_inside(cfa):
    """Neighbours on both sides: a linear ramp is interpolated well, for Bayer exactly."""
    ramp = np.arange(42, dtype=np.float32) / 42
    rgb = np.repeat(np.broadcast_to(ramp, (36, 42))[..., None], 3, axis=2)
    error = np.abs(demosaic(seen(rgb, cfa), cfa) - rgb)[2:-2, 2:-2].max()
    assert error < (1e-6 if cfa.period == 2 else 1 / 42)


@pytest.mark.parametrize("cfa", PATTERNS, ids=NAMES)
def test_rows_are_those_of_the_full_frame(cfa, monkeypatch):
    plane = seen(scene(), cfa)
    full = demosaic(plane, cfa)
    monkeypatch.setattr(module, "BAND", 5)
    np.testing.assert_array_equal(demosaic(plane, cfa), full)
    np.testing.assert_array_equal(demosaic(plane, cfa, (11, 29)), full[11:29])


def test_negative_noise_and_light_sources_pass():
    plane = np.full((4, 4), -3.0, np.float32)
    plane[0, 0] = 600
    rgb = demosaic(plane, RGGB)
    assert rgb.min() == -3
    assert rgb[0, 0, 0] == 600
