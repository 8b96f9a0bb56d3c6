"""A mosaic's facts survive JSON, as the cache of frames keeps them."""

import json
from dataclasses import fields, is_dataclass

import numpy as np
import pytest

from undark.files.mosaic_facts import facts_of, mosaic_of
from undark.sensor.cfa import BAYER_ORDERS, X_TRANS
from undark.sensor.mosaic import Shot
from undark.sensor.noise import NoiseModel
from undark.sensor.offsets import LineOffsets, MaskedLines
from undark.sensor.shading import Shading


def assert_same(found, expected):
    """Two values, or all fields of two dataclasses, of one type and equal."""
    assert type(found) is type(expected)
    if is_dataclass(expected):
        for field in fields(expected):
            assert_same(getattr(found, field.name), getattr(expected, field.name))
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    else:
        assert found == expected


def lines(seed):
    random = np.random.default_rng(seed)
    return LineOffsets.of((60, 96), *(random.random(n, np.float32) for n in (60, 96)))


def full(make_mosaic):
    """Every field that a file's mosaic may have, with a masked border beside its rows only."""
    grid = np.random.default_rng(0).random((6, 6, 2, 3), np.float32)
    return make_mosaic(
        cfa=X_TRANS.crop(1, 2),
        shape=(60, 96),
        orientation=6,
        default_crop=(2, 4, 50, 80),
        noise_profile=((1e-4, 2e-7), (2e-4, 3e-7)),
        black_source="masked border",
        white_balance_source="daylight",
        calibrated=NoiseModel(2.5, 3.5, shape=0.1),
        shading=Shading.over_frame(grid, (60, 96)).crop(2, 4),
        offsets=lines(1),
        masked=MaskedLines(lines(2), 0.25, np.inf),
    )


def bare(make_mosaic):
    return make_mosaic(cfa=BAYER_ORDERS[2], camera_from_xyz=None, shot=Shot())


@pytest.mark.parametrize("make", [full, bare])
def test_a_mosaic_is_the_same_after_json(make_mosaic, make):
    mosaic = make(make_mosaic)
    for facts in (facts_of(mosaic), json.loads(json.dumps(facts_of(mosaic)))):
        assert_same(mosaic_of(mosaic.plane, facts), mosaic)
