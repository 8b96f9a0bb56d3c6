"""The dark photo of a pair is given to the network as restoring gives it."""

import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch comes with undark[train]")

import undark
from undark.files.cache import FrameCache
from undark.files.cameras import calibration_path, write_calibration
from undark.files.dng import write_mosaic
from undark.learn.aims import AIMS
from undark.learn.data.pair_frames import PairFrames
from undark.restoring import raw
from undark.sensor.cfa import pack
from undark.sensor.conditioning import condition, scale
from undark.sensor.profiles.calibration import Calibration, Law, Setting


class Recorder:
    """The shipped model, whose inputs are kept."""

    path = None

    def __init__(self):
        self._model = undark.load_model()
        self.card = self._model.card
        self.inputs = []

    def __call__(self, inputs, margins=(0, 0, 0, 0)):
        self.inputs.append(inputs)
        return self._model(inputs, margins)


@pytest.fixture
def faulty(tmp_path, make_mosaic):
    """A DNG of a dark frame with row offsets and hot pixels, of a camera in no table."""
    random = np.random.default_rng(0)
    plane = 512 + random.poisson(30, (256, 320)) + random.normal(0, 4, (256, 320))
    plane += random.normal(0, 12, (256, 1))
    plane.ravel()[random.integers(0, plane.size, 40)] += 3000
    mosaic = make_mosaic(shape=(256, 320))
    shot = replace(mosaic.shot, make="Any", model="Any 1")
    path = tmp_path / "dark.dng"
    write_mosaic(path, mosaic.replace(plane=plane.round().astype(np.uint16), shot=shot))
    return path


def network_input(path):
    recorder = Recorder()
    restored = undark.restore(undark.read(path), exposure=50.0, model=recorder)
    assert restored.mended >= 20
    assert restored.mosaic.offsets is not None
    (inputs,) = recorder.inputs
    return inputs[0]


def training_input(path, folder):
    frames = PairFrames(FrameCache(folder), AIMS["raw-linear"])
    for _ in range(2):  # decoded, then from the cache
        dark, noise = frames.dark(path)
        signal = dark.signal()
        factor = scale(dark.cfa, dark.white_balance, dark.span, 50.0, signal)
        made = condition(signal, dark.cfa, noise, factor)
    assert made.shape[1:] == pack(signal, dark.cfa).shape[1:]
    return made


@pytest.fixture(autouse=True)
def first_look_only(monkeypatch):
    """Restoring refines the noise by what the network has made; training has no network for it."""
    monkeypatch.setattr(raw, "second_look", lambda mosaic, noise, *_: noise)


def test_training_and_restoring_give_the_network_the_same(faulty, tmp_path):
    np.testing.assert_allclose(
        training_input(faulty, tmp_path / "cache"), network_input(faulty), rtol=1e-5, atol=1e-6
    )


def test_a_new_calibration_replaces_what_was_kept(faulty, tmp_path):
    before = training_input(faulty, tmp_path / "cache")
    shot = undark.read(faulty).shot
    black = ((1.0, 2.0), (-1.0, 0.0))
    setting = Setting(25600.0, 8, 2, gain=3.0, read=9.0, row=1.0, bias=0.0, black=black)
    law = Law(25600.0, 25600.0, (0.0, math.log(3)), (3.0, 0.0), (0.0, 1.0))
    calibration = Calibration(
        "Any", "Any 1", "RGGB", (256, 320), 15871.0, 1.0, "tag", (setting,), (law,)
    )
    write_calibration(calibration_path(shot), calibration, overwrite=False)
    after = training_input(faulty, tmp_path / "cache")
    assert not np.allclose(before[4:], after[4:], rtol=0.01)
    np.testing.assert_allclose(after, network_input(faulty), rtol=1e-5, atol=1e-6)
