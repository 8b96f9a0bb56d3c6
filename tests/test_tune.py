"""A search of settings: resumable, shared, pruned, and its best is what training takes."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="torch comes with undark[train]")
pytest.importorskip("optuna", reason="optuna comes with undark[tune]")

from undark.errors import TrainingError  # noqa: E402
from undark.files.picture import read_picture  # noqa: E402
from undark.learn import tune as tuning  # noqa: E402
from undark.learn.from_photos import split  # noqa: E402
from undark.learn.network import UNetConfig  # noqa: E402
from undark.learn.settings import read_settings, write_settings  # noqa: E402
from undark.learn.train import Training  # noqa: E402
from undark.learn.tune import BEST, DEFAULT, Search, _slice, tune  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(3):
        coarse = np.random.default_rng(seed).integers(20, 235, (24, 24, 3), np.uint8)
        Image.fromarray(coarse.repeat(16, 0).repeat(16, 1)).save(folder / f"{seed}.png")
    return folder


def test_settings_are_read_back(tmp_path):
    fields = {"batch": 8, "crop": 96, "peak": 0.0042, "network": UNetConfig(widths=(24, 48))}
    write_settings(tmp_path / BEST, fields, "a test")
    assert read_settings(tmp_path / BEST) == fields


@pytest.mark.parametrize(
    "text",
    ["batch = 0", "batch = 'x'", "speed = 3", "[network]\nheads = 3", "no toml", "rate = -1"],
)
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / BEST).write_text(text)
    with pytest.raises(TrainingError, match=r"best\.toml: not settings"):
        read_settings(tmp_path / BEST)
    with pytest.raises(TrainingError, match="no settings to read"):
        read_settings(tmp_path / "none.toml")


def test_defaults_are_those_of_a_training(tmp_path):
    usual, tried = Training(tmp_path, tmp_path), tuning._fields(DEFAULT)
    assert (usual.batch, usual.crop, usual.rate) == (tried["batch"], tried["crop"], tried["peak"])
    assert usual.config == tried["network"]


def test_what_it_is_judged_by_is_not_searched_on(folder, tmp_path):
    _, held = split(Training(folder, tmp_path))
    assert held
    assert not set(_slice(folder)) & set(held)


def test_a_study_goes_on_and_is_only_its_own(folder, tmp_path, monkeypatch):
    scored = []

    def score(search, trial):
        trial.suggest_categorical("batch", (4, 8, 16, 32))
        trial.suggest_int("crop", 48, 160, step=16)
        rate = trial.suggest_float("rate", 5e-4, 2e-2, log=True)
        trial.suggest_categorical("width", (16, 24, 32, 48))
        trial.suggest_int("depth", 2, 4)
        scored.append(trial.params)
        if len(scored) == 3:
            raise KeyboardInterrupt
        return -abs(np.log(rate / 0.01))

    monkeypatch.setattr(tuning, "_score", score)
    with pytest.raises(KeyboardInterrupt):
        tune(Search(folder, tmp_path, trials=6))
    found = tune(Search(folder, tmp_path, trials=6))
    assert found.trials == 6
    assert scored[0] == DEFAULT
    assert scored.count(DEFAULT) == 1
    assert found.best >= found.default == pytest.approx(-np.log(0.01 / 0.003))
    assert read_settings(found.settings).keys() == {"batch", "crop", "peak", "network"}
    for name in ("importance.png", "history.png"):
        assert read_picture(tmp_path / name).std() > 1
    with pytest.raises(TrainingError, match=r"or of 2 minutes a trial"):
        tune(Search(folder, tmp_path, trials=6, minutes=3))


def test_the_command_trains_and_training_takes_its_best(folder, tmp_path):
    def undark(line):
        command = [sys.executable, "-m", "undark", *line.split()]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)

    done = undark(f"tune {folder} --out study --trials 2 --minutes 0.03")
    assert done.returncode == 0, done.stderr
    assert "best of 2 trials" in done.stderr
    assert not list((tmp_path / "study").glob("trial-*"))
    done = undark(f"train photos {folder} --out run --config study/{BEST} --steps 1 --batch 1")
    assert done.returncode == 0, done.stderr
