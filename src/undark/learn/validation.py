"""Validation during training: scheduled by time, with the averaged weights, into TensorBoard."""

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
"""Seconds until the first validation, and smallest pause between two."""
SHARE_OF_RUN = 0.05
"""Smallest pause between two validations, as a fraction of the time so far."""
COST = 30.0
"""Smallest pause between two validations, in durations of one: at most 3 % of the time."""


class Average(WeightAveraging):
    """Exponential moving average of the weights.

    At the start of a run the decay is lower, as in `tf.train.ExponentialMovingAverage`, so that the
    initial weights have little influence.
    """

    def __init__(self, decay: float) -> None:
        super().__init__()
        self._decay, self._steps = decay, 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Put the average on the network's device, to which Lightning moves the network later."""
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Continue the count of steps of a resumed run."""
        assert self._average_model is not None
        self._steps = int(self._average_model.n_averaged)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """Update the average. Lightning's method reads its count from the GPU for every weight,
        which synchronises; here the count is on the CPU.
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
        """Within the context the task has the averaged weights."""
        self._swap_models(task)
        try:
            yield
        finally:
            self._swap_models(task)


class Validation(pl.Callback):
    """Validates at intervals, and logs scores and a picture."""

    def __init__(self, average: Average) -> None:
        self._average = average
        self._began = self._last = time.monotonic()
        self._took = 0.0
        self.seconds = 0.0
        """Time spent on validation so far."""

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
        """Compute the scores and log them."""
        task.scores = means(judge(task.network, task.plan))
        log, step = trainer.logger, trainer.global_step
        if log is None:
            return
        log.log_metrics({f"psnr/{name}": score for name, score in task.scores.items()}, step)
        photo = list(task.plan.validation.values())[-1][0]
        picture = draw(photo, shown_by(task.network, photo))
        cast(Any, log).experiment.add_image("held back", picture, step, dataformats="HWC")
