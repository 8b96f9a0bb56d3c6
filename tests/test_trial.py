"""The engine that is fastest here: the trial, what is remembered of it, and `info --device`."""

import json

import numpy as np
import pytest

import undark
from undark.engine import devices, trial
from undark.engine.card import read_card
from undark.engine.catalogue import find_model
from undark.engine.devices import DEFAULT, Engine
from undark.errors import DeviceError, ModelError

CUDA, OPENVINO = Engine("cuda"), Engine("openvino", "bfloat16")
PATH = find_model("bayer")
CARD = read_card(PATH)


class Fake:
    """An engine's backend: takes some seconds on the clock of the test, and may be wrong."""

    def __init__(self, clock, seconds, error=0.0):
        self.clock, self.seconds, self.error = clock, seconds, error

    def run(self, inputs):
        self.clock.append(self.seconds)
        return np.full((1, 3, 8, 8), 1 + self.error, np.float32)


@pytest.fixture
def here(monkeypatch, tmp_path):
    """A function that says which engines are here: engine → seconds, (seconds, error), exception.

    Returns the list of engines that are opened from then on.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    clock, opened = [], []
    monkeypatch.setattr(trial.time, "perf_counter", lambda: sum(clock))

    def set_up(**engines):
        known = {e: engines[e.device] for e in (DEFAULT, OPENVINO, CUDA) if e.device in engines}

        def open_fake(engine, path):
            opened.append(engine.device)
            found = known[engine]
            if isinstance(found, Exception):
                raise found
            return Fake(clock, *found) if isinstance(found, tuple) else Fake(clock, found)

        monkeypatch.setattr(Engine, "open", open_fake)
        monkeypatch.setattr(
            trial,
            "engines_of",
            lambda device: [e for e in known if device in ("auto", e.device)],
        )
        return opened

    return set_up


@pytest.mark.parametrize(
    ("engines", "best"),
    [
        ({"cpu": 3.0, "openvino": 1.0}, OPENVINO),
        ({"cpu": 3.0, "openvino": 1.0, "cuda": 0.1}, CUDA),
        ({"cpu": 1.0, "openvino": 0.95}, DEFAULT),  # no gain worth another engine
        ({"cpu": 1.0, "openvino": 3.0}, DEFAULT),
        ({"cpu": 3.0, "openvino": (1.0, 0.01)}, DEFAULT),  # its results differ
        ({"cpu": 3.0, "openvino": (1.0, 0.001)}, OPENVINO),
        ({"cpu": 3.0, "openvino": (1.0, np.nan)}, DEFAULT),
        ({"cpu": 3.0, "openvino": 1.0, "cuda": RuntimeError("no driver")}, OPENVINO),
        ({"cpu": 3.0, "cuda": DeviceError("no driver")}, DEFAULT),
    ],
)
def test_the_fastest_that_agrees_is_chosen(here, engines, best):
    here(**engines)
    assert trial.fastest(PATH, CARD, "auto") == best


def test_a_trial_is_remembered(here):
    opened = here(cpu=3.0, openvino=1.0)
    assert trial.fastest(PATH, CARD, "auto") == OPENVINO
    assert "openvino" in opened
    opened.clear()
    assert trial.fastest(PATH, CARD, "auto") == OPENVINO
    assert opened == []


def _other_model(monkeypatch):
    return find_model("xtrans")


def _other_threads(monkeypatch):
    monkeypatch.setattr(trial, "usable_cpus", lambda: 99)
    return PATH


def _other_version(monkeypatch):
    monkeypatch.setattr(trial, "version", lambda name: "99")
    return PATH


def _other_processor(monkeypatch):
    monkeypatch.setattr(trial, "_processor", lambda: "another")
    return PATH


@pytest.mark.parametrize("change", [_other_model, _other_threads, _other_version, _other_processor])
def test_a_change_asks_for_another_trial(here, monkeypatch, change):
    opened = here(cpu=3.0, openvino=1.0)
    trial.fastest(PATH, CARD, "auto")
    opened.clear()
    path = change(monkeypatch)
    trial.fastest(path, read_card(path), "auto")
    assert "openvino" in opened
    assert len(json.loads(trial.memory().read_text())) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"KEY": 3}',
        b'{"KEY": {"tpu float32": 1}}',
        b'{"KEY": {"cpu": 1}}',
        b'{"KEY": {"cpu float32": "x"}}',
        b'{"KEY": {"cpu float32": -1}}',
        b'{"KEY": {"cpu float32": NaN}}',
        b'{"KEY": {}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_memory_is_ignored_and_written_again(here, content):
    here(cpu=3.0, openvino=1.0)
    trial.fastest(PATH, CARD, "auto")
    (key,) = json.loads(trial.memory().read_text())
    trial.memory().write_bytes(content.replace(b"KEY", key.encode()))
    assert trial.fastest(PATH, CARD, "auto") == OPENVINO
    assert json.loads(trial.memory().read_text())[key]["openvino bfloat16"] > 0
    assert [p.name for p in trial.memory().parent.iterdir()] == ["engines.json"]


def test_a_memory_that_cannot_be_written(here, tmp_path):
    opened = here(cpu=3.0, openvino=1.0)
    (tmp_path / "cache").write_text("in the way")
    assert trial.fastest(PATH, CARD, "auto") == OPENVINO
    opened.clear()
    assert trial.fastest(PATH, CARD, "auto") == OPENVINO
    assert "openvino" in opened


def test_the_oldest_trials_are_forgotten(here, monkeypatch):
    here(cpu=3.0, openvino=1.0)
    for count in range(trial._KEPT + 3):
        monkeypatch.setattr(trial, "usable_cpus", lambda count=count: count)
        trial.fastest(PATH, CARD, "auto")
    kept = list(json.loads(trial.memory().read_text()))
    assert len(kept) == trial._KEPT
    assert f"{count} threads" in kept[-1]
    assert not any(", 0 threads" in key for key in kept)


def test_one_engine_needs_no_trial(here):
    opened = here(cpu=1.0)
    assert trial.fastest(PATH, CARD, "auto") == DEFAULT
    assert opened == []
    assert not trial.memory().exists()


def test_a_remembered_engine_that_no_longer_starts(here):
    """As after a change of the graphics driver."""
    here(cpu=3.0, cuda=1.0)
    trial.fastest(PATH, CARD, "auto")
    here(cpu=3.0, cuda=DeviceError("cuda: does not start here"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(devices.ENVIRONMENT)
        with pytest.warns(UserWarning, match=r"^cuda: does not start here; going on with the CPU"):
            model = undark.load_model()
        assert model.engine == DEFAULT
        with pytest.raises(DeviceError, match="does not start"):
            undark.load_model(device="cuda")


def test_the_environment_names_what_auto_stands_for(monkeypatch):
    for name in ("cpu", "gpu9"):
        monkeypatch.setenv(devices.ENVIRONMENT, name)
        assert devices.meant("auto") == name
        assert devices.meant("openvino") == "openvino"
    with pytest.raises(DeviceError, match="gpu9: no such device"):
        undark.load_model()
    monkeypatch.setenv(devices.ENVIRONMENT, "")
    assert devices.meant("auto") == "auto"


def test_a_model_that_no_engine_can_run(here, tmp_path):
    here(cpu=ModelError("x.onnx: not a model that can be run"), openvino=1.0)
    with pytest.raises(ModelError, match="not a model"):
        trial.fastest(PATH, CARD, "auto")


def test_megapixels_that_are_computed():
    """One tile for a small photo; the halos of a large one count."""
    assert trial.run_megapixels(CARD, 512, 1024) == pytest.approx(0.524288)
    assert 1.05 < trial.run_megapixels(CARD, 4000, 6000) / 24 < 1.65


def test_devices_are_described(run, here, monkeypatch):
    monkeypatch.delenv(devices.ENVIRONMENT)
    here(cpu=3.0, openvino=1.0)
    status, out, err = run("info", "--device")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(devices.INSTALL)
    assert [line.endswith("(auto)") for line in lines[1:3]] == [False, True]
    assert (
        "not here; to install: pip uninstall -y onnxruntime && pip install 'onnxruntime-gpu" in out
    )
    rows = {row["device"]: row for row in json.loads(run("info", "--device", "--json")[1])}
    cpu, openvino = rows["cpu"], rows["openvino"]
    assert cpu["seconds"] == pytest.approx(3 * openvino["seconds"], rel=0.01)
    assert cpu["megapixels_per_second"] == pytest.approx(24 / cpu["seconds"], abs=0.01)
    assert openvino["auto"]
    assert "install" in rows["cuda"]


def test_a_device_that_cannot_be_used_is_described(run, here):
    here(cpu=3.0, cuda=DeviceError("cuda: does not start here"))
    status, out, _ = run("info", "--device")
    assert status == 0
    assert "cannot be used: cuda: does not start here" in out
    assert "(auto)" in next(line for line in out.splitlines() if line.startswith("  cpu"))


def test_devices_or_photos(run, tmp_path):
    for arguments in ((), ("--device", tmp_path / "a.dng")):
        status, _, err = run("info", *arguments)
        assert status == 2
        assert "give photos, or --device" in err
