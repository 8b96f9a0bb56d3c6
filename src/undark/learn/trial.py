"""A trial of `undark tune`: a training of a few minutes, scored and pruned during training."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import optuna
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.trainer.states import RunningStage
from optuna.trial import Trial

from undark.engine.recovery import is_out_of_memory
from undark.learn.from_photos import photo_plan, split
from undark.learn.network import UNetConfig
from undark.learn.options import Training
from undark.learn.task import RestoreTask, judge, means
from undark.learn.train import fit
from undark.learn.validation import Validation

PRUNE_AT = (0.25, 0.5, 0.75)
"""Fractions of the training time at which a trial is scored and may be pruned."""
SLICE = 3
"""Every third photo is used for the search."""
MULTIPLES = (1, 2, 4, 6)
"""Channels at each scale, as multiples of the width."""


@dataclass(frozen=True)
class Search:
    """Options of `tune`."""

    data: Path
    out: Path
    trials: int = 20
    """In all, those of earlier calls, of other machines and failed ones included."""
    minutes: float = 2.0
    """Training time of each trial; validation is not counted."""


@dataclass(frozen=True)
class TrialScore:
    """The result of one training."""

    psnr: float
    """Validation PSNR in dB, mean over amplifications; NaN if training diverged."""
    steps: int
    """Number of training steps."""


class FailedTrialError(Exception):
    """A training that gives no score; the message says why."""


def searched_photos(data: Path) -> list[Path]:
    """The photos of the search: never those that `undark train photos` holds back."""
    train, _ = split(Training(data, data))
    return train[::SLICE] if len(train) >= 4 * SLICE else train


def train_and_score(search: Search, trial: Trial, params: dict[str, Any]) -> TrialScore:
    """Train for the time of a trial. Raises `FailedTrialError` if memory is insufficient."""
    run = search.out / f"trial-{trial.number}"
    shutil.rmtree(run, ignore_errors=True)
    training = Training(search.data, run, minutes=search.minutes, **as_training_fields(params))
    plan = photo_plan(training, {}, searched_photos(search.data))

    def mean(task: RestoreTask) -> float:
        return float(np.mean(list(means(judge(task.network, plan)).values())))

    try:
        task, _ = fit(training, plan, [PruningCallback(trial, mean)])
        return TrialScore(mean(task), task.global_step)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise FailedTrialError("out of memory") from error
    finally:
        shutil.rmtree(run, ignore_errors=True)


def as_training_fields(params: dict[str, Any]) -> dict[str, Any]:
    """The trial's parameters as fields of `Training`."""
    depth = params["depth"]
    network = UNetConfig(
        widths=tuple(params["width"] * n for n in MULTIPLES[:depth]),
        encoder=(*(1,) * (depth - 1), 2),
        decoder=(1,) * (depth - 1),
    )
    named = {"batch": params["batch"], "crop": params["crop"], "peak": params["rate"]}
    return named | {"network": network}


class PruningCallback(pl.Callback):
    """Scores a trial at `PRUNE_AT` and ends it if it is below the median.

    The time for this and for `Validation` does not count as training time.
    """

    def __init__(self, trial: Trial, score: Callable[[RestoreTask], float]) -> None:
        self._trial, self._score, self._left = trial, score, list(PRUNE_AT)
        self._excluded = 0.0

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        self._exclude_validation(trainer)
        if not self._left or pl_module.fraction_done() < self._left[0]:
            return
        step = len(PRUNE_AT) - len(self._left)
        self._left.pop(0)
        began = time.monotonic()
        score = self._score(pl_module)
        _exclude(trainer, time.monotonic() - began)
        if not math.isfinite(score):
            raise FailedTrialError("training diverged, its score is not finite")
        self._trial.report(score, step)
        if self._trial.should_prune():
            raise optuna.TrialPruned

    def _exclude_validation(self, trainer: pl.Trainer) -> None:
        spent = sum(c.seconds for c in _callbacks(trainer) if isinstance(c, Validation))
        _exclude(trainer, spent - self._excluded)
        self._excluded = spent


def _callbacks(trainer: pl.Trainer) -> list[pl.Callback]:
    found: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return found


def _exclude(trainer: pl.Trainer, seconds: float) -> None:
    """Subtract `seconds` from the training time that the run's `Timer` measures.

    Lightning has no public method to pause it, so its start time is shifted.
    """
    for timer in _callbacks(trainer):
        if isinstance(timer, Timer) and timer.start_time() is not None:
            timer._start_time[RunningStage.TRAINING] += seconds  # type: ignore[operator]
