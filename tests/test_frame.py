import numpy as np
import pytest

from undark.develop.demosaic import demosaic
from undark.restoring.frame import Frame
from undark.sensor.cfa import RGGB, X_TRANS, pack, unpack
from undark.sensor.conditioning import HIGHLIGHT_CEILING, scale
from undark.sensor.noise import NoiseModel

NOISE = NoiseModel(gain=0.5, read=2.0)


@pytest.mark.parametrize("cfa", [RGGB, X_TRANS], ids=["Bayer", "X-Trans"])
@pytest.mark.parametrize("lamps", [0, 1, 3])
def test_light_above_the_ceiling_is_added_wherever_tiles_end(make_mosaic, cfa, lamps):
    """Against demosaicing of the whole frame."""
    random = np.random.default_rng(lamps)
    mosaic = make_mosaic(cfa, shape=(72, 96))
    plane = np.full(mosaic.shape, 600, np.uint16)
    for y, x in zip(random.integers(0, 70, lamps), random.integers(0, 92, lamps), strict=True):
        plane[y : y + 2, x : x + 4] = random.integers(
            3000, 16000, plane[y : y + 2, x : x + 4].shape
        )
    mosaic = mosaic.replace(plane=plane)
    balance = mosaic.white_balance
    factor = scale(cfa, balance, mosaic.span, 40.0, np.empty(0, np.float32))
    above = np.clip(pack(mosaic.signal(), cfa) * factor - HIGHLIGHT_CEILING, 0, None)
    expected = np.moveaxis(demosaic(unpack(above, cfa, mosaic.shape), cfa), -1, 0)
    assert (expected.max() > 0) == (lamps > 0)
    frame, found = Frame(mosaic, NOISE, 40.0), np.zeros_like(expected)
    for rows in (slice(0, 24), slice(24, 36), slice(36, 72)):
        for columns in (slice(0, 48), slice(48, 96)):
            frame.add_highlights(found[:, rows, columns], rows, columns)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
