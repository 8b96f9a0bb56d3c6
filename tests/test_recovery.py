"""A device or an engine that fails in the middle: smaller tiles, then the CPU."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import undark
from undark.engine import model as engine
from undark.engine.backends import NO_MARGINS
from undark.engine.backends.onnxruntime import OnnxRuntime
from undark.engine.catalogue import find_model
from undark.engine.devices import DEFAULT, Engine
from undark.engine.recovery import SMALLEST_TILE, EngineWarning, SmallerTiles, is_out_of_memory
from undark.errors import EngineFailedError, ModelError
from undark.files.dng import write_mosaic
from undark.files.picture import open_picture
from undark.restoring.jobs import Failed, Options, Restored, plan, run
from undark.restoring.models import Models
from undark.restoring.raw import prepare
from undark.restoring.saving import Target, restore_into
from undark.sensor.cfa import X_TRANS
from undark.sensor.exposure import parse_exposure
from undark.sensor.profiles.lookup import noise_of

GPU = Engine("cuda")
FAILURE = RuntimeError("CUDA failure 719: unspecified launch failure\nmore")


class Gpu:
    """Gives twice the light of the CPU; fails from its n-th call on."""

    def __init__(self, path, fails_at, error):
        self.inner, self.left, self.error = OnnxRuntime(path), fails_at, error

    def run(self, inputs, margins=NO_MARGINS):
        self.left -= 1
        if self.left < 0:
            if isinstance(self.error, Exception):
                raise self.error
            return np.full_like(self.inner.run(inputs, margins), self.error)
        return 2 * self.inner.run(inputs, margins)


@pytest.fixture
def gpu(monkeypatch):
    """A function after which models are run by a `Gpu` that fails."""

    def set_up(fails_at, error=FAILURE):
        here = Engine.open

        def opened(self, path):
            return Gpu(path, fails_at, error) if self == GPU else here(self, path)

        def chosen(path, card, device):
            return DEFAULT if device == "cpu" else GPU

        monkeypatch.delenv("UNDARK_DEVICE", raising=False)
        monkeypatch.setattr(Engine, "open", opened)
        monkeypatch.setattr(engine, "fastest", chosen)

    return set_up


@pytest.fixture
def photos(tmp_path, make_mosaic):
    paths = [tmp_path / f"{n}.dng" for n in range(3)]
    for seed, path in enumerate(paths):
        write_mosaic(path, make_mosaic(seed=seed))
    return paths


OPTIONS = Options(exposure=parse_exposure("5"))


def results(paths, out, device="auto"):
    options = Options(exposure=OPTIONS.exposure, device=device)
    done = [e for e in run(plan(paths, out, "png"), options) if isinstance(e, Restored | Failed)]
    assert all(isinstance(e, Restored) for e in done), done
    return [open_picture(e.target).levels for e in done]


@pytest.mark.parametrize("error", [FAILURE, np.nan])
def test_a_device_that_fails_in_the_middle_of_a_list(gpu, photos, tmp_path, error):
    """The photo is done again on the CPU, and all others; it is said once."""
    expected = results(photos, tmp_path / "cpu", "cpu")
    gpu(1, error)
    with pytest.warns(EngineWarning) as said:
        found = results(photos, tmp_path / "gpu")
    assert [np.array_equal(*pair) for pair in zip(found, expected, strict=True)] == [
        False,
        True,
        True,
    ]
    (line,) = [str(w.message) for w in said]
    assert line.startswith("ONNX Runtime on cuda, float32: bayer.onnx ")
    assert "going on with the CPU" in line
    assert "\n" not in line


@pytest.mark.filterwarnings("default::undark.engine.recovery.EngineWarning")
def test_the_command_says_one_line(gpu, photos, run):
    gpu(1)
    status, _, err = run("restore", *photos)
    assert status == 0
    lines = err.splitlines()
    assert len(lines) == 4
    assert sum("going on with the CPU" in line for line in lines) == 1


def test_no_photo_is_made_by_two_engines(gpu, make_mosaic):
    dark = make_mosaic(shape=(320, 128))
    how = {"noise": noise_of(dark)[0], "exposure": 32, "tile": 32}
    expected = undark.restore(dark, **how, model=undark.load_model())
    gpu(2)
    with pytest.warns(EngineWarning):
        found = undark.restore(dark, **how, model=undark.load_model())
    assert np.array_equal(found.linear, expected.linear)


def test_no_file_is_made_by_two_engines(gpu, make_mosaic, tmp_path):
    dark = make_mosaic(shape=(320, 128))
    how = {"noise": noise_of(dark)[0], "exposure": 32, "tile": 32}
    restore_into(Target(tmp_path / "a.png"), prepare(dark, **how, model=undark.load_model()))
    gpu(2)
    ready = prepare(dark, **how, model=undark.load_model())
    with pytest.warns(EngineWarning):
        agreement = restore_into(Target(tmp_path / "b.png"), ready)
    assert agreement.blocks == 20 * 8
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_models_loaded_later_run_on_the_cpu(gpu, make_mosaic):
    gpu(0)
    models = Models(None, "best", "auto")
    bayer = models.for_photo(make_mosaic())
    assert models.for_photo(make_mosaic()).engine == GPU
    with pytest.warns(EngineWarning):
        bayer.fall_back(EngineFailedError("cuda: failed"))
    assert bayer.engine == models.for_photo(make_mosaic(X_TRANS)).engine == DEFAULT


def test_a_model_that_the_cpu_cannot_run_either(gpu, make_mosaic, monkeypatch):
    gpu(0)
    monkeypatch.setattr(OnnxRuntime, "run", lambda *_: 1 / 0)
    with (
        pytest.warns(EngineWarning),
        pytest.raises(ModelError, match="cannot be run here") as failed,
    ):
        undark.restore(make_mosaic(), exposure=10, model=undark.load_model())
    assert not isinstance(failed.value, EngineFailedError)


class Small:
    """The CPU with memory for inputs of at most some packed pixels."""

    def __init__(self, most, said="CUDNN failure 4: out of memory"):
        self.inner, self.most, self.said = OnnxRuntime(find_model("bayer")), most, said
        self.shapes = []

    def run(self, inputs, margins=NO_MARGINS):
        self.shapes.append(inputs.shape[-2:])
        if inputs.shape[-1] * inputs.shape[-2] > self.most:
            raise RuntimeError(self.said)
        return self.inner.run(inputs, margins)


CARD = engine.read_card(find_model("bayer"))
LIGHT = np.random.default_rng(0).random((1, 8, 256, 272), dtype=np.float32)
"""Light, and noise maps of the same size."""


def test_where_memory_is_short_tiles_become_smaller():
    backend = Small(210 * 210)
    whole, tiled = backend.inner.run(LIGHT), SmallerTiles(backend, CARD, "cuda")
    with pytest.warns(EngineWarning, match="^cuda: out of memory; tiles have 136 packed pixels"):
        found = tiled.run(LIGHT)
    assert found == pytest.approx(whole, abs=1e-3)  # as much as tiles of the usual size
    backend.shapes.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(tiled.run(LIGHT), found)
    assert len(backend.shapes) == 4


def test_two_tiles_that_fail_together_become_smaller_once():
    backend, together = Small(210 * 210), threading.Barrier(2)
    run = backend.run

    def run_together(inputs, margins=NO_MARGINS):
        if inputs.shape == LIGHT.shape:
            together.wait(20)
        return run(inputs, margins)

    backend.run, tiled = run_together, SmallerTiles(backend, CARD, "cuda")
    with pytest.warns(EngineWarning) as said, ThreadPoolExecutor(2) as threads:
        found = [*threads.map(tiled.run, [LIGHT, LIGHT])]
    assert len(said) == 1
    assert len(backend.shapes) == 2 + 2 * 4
    assert np.array_equal(*found)


def test_an_engine_that_fails_in_two_threads_is_given_up_once():
    model, failure = undark.load_model(device="cpu"), EngineFailedError("cuda: bayer.onnx failed")
    with pytest.warns(EngineWarning) as said, ThreadPoolExecutor(2) as threads:
        [*threads.map(model.fall_back, [failure, failure])]
    assert model.fell_back
    assert len(said) == 1


def test_a_call_that_fails_after_the_fall_back_is_the_engines_failure(gpu, monkeypatch):
    """So that its photo is done again, too."""
    gpu(fails_at=0)
    model, running, given_up = undark.load_model("bayer"), threading.Event(), threading.Event()

    def run(self, inputs, margins=NO_MARGINS):
        running.set()
        assert given_up.wait(10)
        raise FAILURE

    monkeypatch.setattr(Gpu, "run", run)
    with ThreadPoolExecutor(1) as thread:
        call = thread.submit(model, np.zeros((1, 8, 16, 16), np.float32))
        assert running.wait(10)
        with pytest.warns(EngineWarning):
            model.fall_back(EngineFailedError("cuda"))
        given_up.set()
        with pytest.raises(EngineFailedError):
            call.result()
    assert model.engine == DEFAULT


def test_tiles_become_smaller_down_to_a_bound():
    backend = Small(0)
    with pytest.warns(EngineWarning) as said, pytest.raises(RuntimeError, match="out of memory"):
        SmallerTiles(backend, CARD, "cuda").run(LIGHT)
    assert len(said) == 1  # 272 → 136; half of that is below the bound
    assert SMALLEST_TILE > 136 / 2


def test_other_failures_are_not_tried_again():
    backend = Small(0, "CUDA failure 719")
    with pytest.raises(RuntimeError, match="719"):
        SmallerTiles(backend, CARD, "cuda").run(LIGHT)
    assert len(backend.shapes) == 1


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA failure 2: out of memory ; GPU=0"),
        RuntimeError(
            "BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer"
        ),
        RuntimeError("std::bad_alloc"),
        RuntimeError("8007000E Not enough memory resources are available"),
    ],
)
def test_what_says_that_memory_is_short(error):
    assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("CUDA failure 719: launch failure"))


def test_tiles_of_x_trans_begin_at_whole_periods():
    path = find_model("xtrans")
    light = np.random.default_rng(0).random((1, 18, 192, 192), dtype=np.float32)
    backend = Small(170 * 170)
    backend.inner = OnnxRuntime(path)
    with pytest.warns(EngineWarning):
        found = SmallerTiles(backend, engine.read_card(path), "cuda").run(light)
    # noise maps of noise: the margins of shipped models let seams of 0.001 through
    assert found == pytest.approx(OnnxRuntime(path).run(light), abs=2e-3)
