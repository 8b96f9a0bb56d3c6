"""The models that ship, on undark's own scene seen through their sensors' filters."""

import numpy as np
import pytest

import undark
from undark.demo import load_scene
from undark.develop.colour import CAMERA_MATRICES, camera_from_srgb
from undark.develop.metrics import psnr
from undark.engine.catalogue import choose
from undark.restoring.blend import amplify_and_demosaic
from undark.sensor.cfa import RGGB, X_TRANS, mosaic
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NumPySampler
from undark.sensor.profiles.cameras import find_camera

BLACK, SPAN, RATIO = 512, 15871, 100
BALANCE = np.array([2.0, 1.0, 1.6])
NOISE = find_camera("ILCE-7SM2").at(1600, SPAN)


@pytest.fixture(scope="module")
def light():
    """A part of the scene with figures, book covers and colour patches; a multiple of 6."""
    scene = load_scene()[720:960, 900:1188]
    return np.clip(scene @ camera_from_srgb(CAMERA_MATRICES[-1]).T, 0, None)


def shoot(light, cfa):
    seen = mosaic(np.moveaxis(light / BALANCE, -1, 0), cfa) * (SPAN / RATIO)
    plane = np.clip(NOISE.add(seen.astype(np.float32), NumPySampler(3)) + BLACK, 0, 16383)
    return Mosaic(
        plane=np.rint(plane).astype(np.uint16),
        cfa=cfa,
        black=np.full(cfa.pattern.shape, BLACK, np.float32),
        white=16383.0,
        white_balance=BALANCE.astype(np.float32),
    )


def score(made, light):
    return psnr(np.clip(made, 0, 1), np.clip(light, 0, 1))


@pytest.mark.parametrize(("cfa", "name"), [(RGGB, "bayer"), (X_TRANS, "xtrans")])
def test_each_sensor_has_a_model_that_restores(light, cfa, name):
    assert choose(cfa.kind.name) == name
    dark = shoot(light, cfa)
    made = undark.restore(dark, exposure=RATIO, noise=NOISE)
    assert score(made.linear, light) > score(amplify_and_demosaic(dark, RATIO), light) + 6
    assert score(made.linear, light) > 29
    # no cast: the mean of each colour is that of the scene, as far as black is known
    black = RATIO * NOISE.bias / SPAN * BALANCE
    error = np.abs(made.linear.mean(axis=(0, 1)) - light.mean(axis=(0, 1)))
    assert (error < 0.05 * light.mean() + 3 * black).all()


def test_an_x_trans_photo_may_begin_at_any_phase(light):
    """A frame cut at any pixel is restored as it was in the whole frame, away from its edges.

    Three rows down, the pattern is that of three columns to the right, and the network's coarser
    scales lie elsewhere: such cuts differ by a share of the noise, like any moved frame.
    """
    dark = shoot(light, X_TRANS)
    whole = undark.restore(dark, exposure=RATIO, noise=NOISE).linear
    for top, left in ((1, 4), (2, 1), (0, 5)):
        part = dark.crop(top, left, 230, 280)
        made = undark.restore(part, exposure=RATIO, noise=NOISE).linear
        difference = np.abs(made - whole[top : top + 230, left : left + 280])
        assert difference[60:-60, 60:-60].max() < 3e-3


def test_x_trans_tiles_leave_no_seams(light):
    dark = shoot(light, X_TRANS)
    whole, tiled = (
        undark.restore(dark, exposure=RATIO, noise=NOISE, tile=tile).linear for tile in (768, 24)
    )
    assert np.abs(whole - tiled).max() < 2e-3
