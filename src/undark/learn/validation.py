"""Validation while training: by time, with the average of weights, into TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import WeightAveraging

from undark.learn.film import draw, shown_by
from undark.learn.task import RestoreTask, judge, means

FIRST = 30.0
"""Seconds until the first validation, and between two at least."""
SHARE_OF_RUN = 0.05
"""Of the time so far, that lies between two validations at least."""
COST = 30.0
"""Times as long as a validation takes, that lie between two at least: at most 3 % of the time."""


class Average(WeightAveraging):
    """The running average of weights; at first over only as many steps as there were.

    With the bound of `tf.train.ExponentialMovingAverage`: a short run is not stuck at its start.
    """

    def __init__(self, decay: float) -> None:
        super().__init__()
        self._decay, self._steps = decay, 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Keeps the average where the network will be; Lightning moves that only later."""
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Counts on: an average that was kept has its count."""
        assert self._average_model is not None
        self._steps = int(self._average_model.n_averaged)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """One more step. As Lightning does it, but its count lies on a GPU, and asking for it
        would wait for the GPU at every weight.
        """
        if self._average_model is None or trainer.global_step <= self._latest_update_step:
            return
        weight = 1 - min(self._decay, (1 + self._steps) / (10 + self._steps)) if self._steps else 1
        means, now = self._average_model.module.parameters(), pl_module.parameters()
        with torch.no_grad():
            torch._foreach_lerp_(list(means), list(now), weight)
        self._average_model.n_averaged += 1
        self._steps += 1
        self._latest_update_step = trainer.global_step

    @contextmanager
    def in_place(self, task: pl.LightningModule) -> Iterator[None]:
        """The task has the average weights inside."""
        self._swap_models(task)
        try:
            yield
        finally:
            self._swap_models(task)


class Validation(pl.Callback):
    """Judges now and then, and logs scores and a picture."""

    def __init__(self, average: Average) -> None:
        self._average = average
        self._began = self._last = time.monotonic()
        self._took = 0.0
        self.seconds = 0.0
        """Time spent here so far."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began = self._last = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        if self._is_due() and trainer.is_global_zero:  # the others wait at the next step
            began = time.monotonic()
            with self._average.in_place(pl_module):
                self.validate(trainer, pl_module)
            self._last = time.monotonic()
            self._took = self._last - began
            self.seconds += self._took

    def _is_due(self) -> bool:
        now = time.monotonic()
        pause = max(FIRST, SHARE_OF_RUN * (now - self._began), COST * self._took)
        return now - self._last >= pause

    def validate(self, trainer: pl.Trainer, task: RestoreTask) -> None:
        """Judge, and log what came of it."""
        task.scores = means(judge(task.network, task.plan))
        log, step = trainer.logger, trainer.global_step
        if log is None:
            return
        log.log_metrics({f"psnr/{name}": score for name, score in task.scores.items()}, step)
        photo = list(task.plan.validation.values())[-1][0]
        picture = draw(photo, shown_by(task.network, photo))
        cast(Any, log).experiment.add_image("held back", picture, step, dataformats="HWC")
