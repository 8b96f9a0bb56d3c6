"""The search for settings: resumable, shared, pruned; training uses its best settings."""

import time

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="torch comes with undark[train]")
pytest.importorskip("optuna", reason="optuna comes with undark[tune]")

from undark.errors import TrainingError  # noqa: E402
from undark.files.picture import read_picture  # noqa: E402
from undark.learn.from_photos import split  # noqa: E402
from undark.learn.network import UNetConfig  # noqa: E402
from undark.learn.options import Training  # noqa: E402
from undark.learn.settings import read_settings, write_settings  # noqa: E402
from undark.learn.trial import (  # noqa: E402
    FailedTrialError,
    PruningCallback,
    Search,
    TrialScore,
    as_training_fields,
    searched_photos,
)
from undark.learn.tune import BEST, DEFAULT, MAX_FAILURES, tune  # noqa: E402
from undark.learn.validation import Average, Validation  # noqa: E402


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
    usual, tried = Training(tmp_path, tmp_path), as_training_fields(DEFAULT)
    assert (usual.batch, usual.crop, usual.rate) == (tried["batch"], tried["crop"], tried["peak"])
    assert usual.config == tried["network"]


def test_validation_photos_are_not_searched_on(folder, tmp_path):
    _, held = split(Training(folder, tmp_path))
    assert held
    assert not set(searched_photos(folder)) & set(held)


def test_a_study_goes_on_and_is_only_its_own(folder, tmp_path):
    scored = []

    def score(search, trial, params):
        scored.append(params)
        if len(scored) == 3:
            raise KeyboardInterrupt
        return TrialScore(-abs(np.log(params["rate"] / 0.01)), 100)

    with pytest.raises(KeyboardInterrupt):
        tune(Search(folder, tmp_path, trials=6), scorer=score)
    found = tune(Search(folder, tmp_path, trials=6), scorer=score)
    assert found.trials == 6
    assert scored[0] == DEFAULT
    assert scored.count(DEFAULT) == 1
    assert found.best >= found.default == pytest.approx(-np.log(0.01 / 0.003))
    assert read_settings(found.settings).keys() == {"batch", "crop", "peak", "network"}
    for name in ("importance.png", "history.png"):
        assert read_picture(tmp_path / name).std() > 1
    with pytest.raises(TrainingError, match=r"or of 2 minutes a trial"):
        tune(Search(folder, tmp_path, trials=6, minutes=3))


def out_of_memory(search, trial, params):
    raise FailedTrialError("out of memory")


def diverged(search, trial, params):
    return TrialScore(float("nan"), 100)


@pytest.mark.parametrize("failing", [out_of_memory, diverged])
def test_a_search_goes_on_without_the_defaults_where_they_fail(folder, tmp_path, failing):
    calls, lines = [], []

    def score(search, trial, params):
        calls.append(params)
        assert len(calls) < 10
        return failing(search, trial, params) if params == DEFAULT else TrialScore(30.0, 100)

    found = tune(Search(folder, tmp_path, trials=3), lines.append, score)
    assert calls.count(DEFAULT) == 1
    assert (found.default, found.best, found.trials, found.failed) == (None, 30.0, 3, 1)
    assert any(line.startswith("trial 0 failed: ") for line in lines)
    assert "defaults failed" in (tmp_path / BEST).read_text()
    assert tune(Search(folder, tmp_path, trials=3), scorer=score) == found
    assert len(calls) == 3  # nothing is tried again


@pytest.mark.parametrize("failing", [out_of_memory, diverged])
def test_failures_in_succession_end_the_search(folder, tmp_path, failing):
    calls = []

    def score(search, trial, params):
        calls.append(params)
        assert len(calls) < 20
        return failing(search, trial, params)

    with pytest.raises(
        TrainingError, match=f"{MAX_FAILURES} trials in succession failed"
    ) as caught:
        tune(Search(folder, tmp_path), scorer=score)
    assert len(calls) == MAX_FAILURES
    assert "\n" not in str(caught.value)
    with pytest.raises(TrainingError, match="no trial succeeded"):
        tune(Search(folder, tmp_path, trials=2), scorer=score)


def test_trials_of_few_steps_are_not_compared(folder, tmp_path):
    """A score after 3 steps is not the best, however high; where there is no other, it is said."""
    steps, lines = iter([100, 3, 100]), []

    def score(search, trial, params):
        made = next(steps)
        return TrialScore(90.0 if made < 20 else 30.0, made)

    found = tune(Search(folder, tmp_path / "a", trials=3), lines.append, score)
    assert (found.best, found.comparable) == (30.0, True)
    assert "trial 1: 3 steps, below 20: not comparable" in lines
    scores = iter([30.0, 90.0])
    few = tune(
        Search(folder, tmp_path / "b", trials=2),
        lines.append,
        lambda *_: TrialScore(next(scores), 2),
    )
    assert (few.best, few.comparable) == (30.0, False)  # the defaults
    assert "no trial made 20 steps" in lines[-1]


def test_scoring_on_the_way_does_not_shorten_training():
    """The time of the callback's scores and of validation is not training time."""
    import lightning.pytorch as pl
    from lightning.pytorch.callbacks import Timer

    seen = []

    class Task(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

        def training_step(self, batch, batch_idx):
            return (self.weight**2).sum()

        def fraction_done(self):
            return self.global_step / 8

    class SlowValidation(Validation):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step in (2, 6):
                time.sleep(0.2)
                self.seconds += 0.2

    class Reports:
        def report(self, score, step):
            seen.append(step)

        def should_prune(self):
            return False

    def slow(task):
        time.sleep(0.2)
        return 30.0

    timer, data = Timer(), [0] * 8
    trainer = pl.Trainer(
        max_epochs=1,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        callbacks=[timer, PruningCallback(Reports(), slow), SlowValidation(Average(0.9))],
    )
    began = time.monotonic()
    trainer.fit(Task(), data)
    spent = time.monotonic() - began
    assert seen == [0, 1, 2]
    assert spent > 1.0  # three scores and two validations
    assert timer.time_elapsed() < spent - 0.95


def test_the_command_trains_and_training_takes_its_best(run, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, said = run("tune", folder, "--out", "study", "--trials", 2, "--minutes", 0.03)
    assert status == 0, said
    assert "best of 2 trials" in said
    assert "trial 1: {" in said
    assert not list((tmp_path / "study").glob("trial-*"))
    best = f"study/{BEST}"
    status, _, said = run(
        "train", "photos", folder, "--out", "run", "--config", best, "--steps", 1, "--batch", 1
    )
    assert status == 0, said
