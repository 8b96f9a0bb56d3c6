"""OpenVINO gives what ONNX Runtime gives; in bfloat16 nearly, and never for the linear path."""

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest

import no_network
import undark
from test_engine_faults import card, without_network, write
from undark.engine.backends import BF16, F32
from undark.engine.backends.onnxruntime import OnnxRuntime
from undark.engine.catalogue import find_model
from undark.errors import ModelError

if not find_spec("openvino"):  # not `importorskip`: its import sends an event
    pytest.skip("OpenVINO comes with undark[openvino]", allow_module_level=True)

from undark.engine.backends.openvino import OpenVino

CHANNELS = {"bayer": 8, "xtrans": 18}


@pytest.fixture(autouse=True)
def memory(tmp_path, monkeypatch):
    """The file of trials, in a folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "undark" / "engines.json"


def light(name, level=1.0, shape=(64, 96)):
    """A ramp of light with a little texture, and a small noise map."""
    channels = CHANNELS[name]
    ramp = np.linspace(1, 1.05, shape[1]) * np.ones((1, channels, *shape))
    ramp *= 1 + 0.002 * np.random.default_rng(0).standard_normal(ramp.shape)
    ramp[:, channels // 2 :] = 0.002
    return (level * ramp).astype(np.float32)


@pytest.mark.parametrize("name", CHANNELS)
def test_float32_gives_what_onnx_runtime_gives(name):
    path = find_model(name)
    found, expected = OpenVino(path), OnnxRuntime(path)
    for shape in ((64, 96), (96, 64), (64, 96)):  # tiles of several shapes, in turn
        given = light(name, shape=shape)
        assert found.run(given) == pytest.approx(expected.run(given), abs=1e-4)


@pytest.mark.parametrize("level", [0.1, 1, 16])
@pytest.mark.parametrize("name", CHANNELS)
def test_the_last_sum_is_in_float32(name, level):
    """Compiled whole, the error in bfloat16 is 0.002 of the light."""
    given = light(name, level)
    expected = OnnxRuntime(find_model(name)).run(given)
    found = OpenVino(find_model(name), BF16).run(given)
    error = (found - expected) / level
    assert np.sqrt(np.mean(error**2)) < 1e-3
    assert np.abs(error).max() < 0.01


def test_results_are_kept():
    """Those of one run are not overwritten by the next."""
    backend = OpenVino(find_model("bayer"), BF16)
    first = backend.run(light("bayer"))
    before = first.copy()
    backend.run(light("bayer", 3))
    assert np.array_equal(first, before)


def test_several_threads():
    backend = OpenVino(find_model("bayer"))
    given = [light("bayer", level) for level in (1, 2, 3, 4)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(backend.run, given))
    for one, level in zip(found, (1, 2, 3, 4), strict=True):
        assert one == pytest.approx(level * found[0], rel=1e-3)


def test_a_network_without_a_last_sum(tmp_path):
    """It runs in float32 only."""
    path = write(tmp_path / "model.onnx", card())
    given = light("bayer")
    assert OpenVino(path, F32).run(given) == pytest.approx(OnnxRuntime(path).run(given), abs=1e-5)
    with pytest.raises(ModelError, match="no sum"):
        OpenVino(path, BF16)


@pytest.mark.parametrize("precision", [F32, BF16])
def test_a_file_that_is_no_model(tmp_path, precision):
    path = tmp_path / "not.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"not\.onnx: not a model"):
        OpenVino(path, precision)


def test_a_photo_by_openvino(make_mosaic, monkeypatch):
    monkeypatch.setattr("undark.engine.trial.SIDE", 64)
    model = undark.load_model(device="openvino")
    assert model.engine.device == "openvino"
    dark = make_mosaic(shape=(128, 192))
    found = undark.restore(dark, exposure=30, model=model).linear
    assert found == pytest.approx(undark.restore(dark, exposure=30).linear, abs=0.02)


def test_auto_tries_openvino(memory, monkeypatch):
    monkeypatch.setattr("undark.engine.trial.SIDE", 64)
    monkeypatch.delenv("UNDARK_DEVICE")
    assert undark.load_model().engine.device in ("cpu", "openvino")
    assert "openvino" in memory.read_text()


def test_openvino_that_is_not_installed(monkeypatch):
    from undark.engine import devices
    from undark.errors import DeviceError

    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    assert {e.device for e in devices.engines_of("auto")} == {"cpu"}
    with pytest.raises(DeviceError, match=r"install it with: pip install 'undark\[openvino\]'"):
        undark.load_model(device="openvino")


@pytest.mark.skipif(not no_network.SUPPORTED, reason="needs seccomp on x86-64 Linux")
def test_openvino_sends_nothing(tmp_path):
    """Importing it does, otherwise, in a thread or a process of its own."""
    home = tmp_path / "home"
    code = """
import os, sys, threading
from pathlib import Path
from undark.engine.backends.openvino import OpenVino
from undark.engine.catalogue import find_model
OpenVino(find_model("bayer"))
assert not any(name.startswith("openvino_telemetry") for name in sys.modules)
assert threading.enumerate() == [threading.main_thread()]
assert Path(f"/proc/self/task/{os.getpid()}/children").read_text() == ""
"""
    done = without_network(code, home)
    assert done.returncode == 0, done.stderr
    assert list(home.rglob("*")) == []
