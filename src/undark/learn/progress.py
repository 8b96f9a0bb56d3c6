"""Progress events of a training run, for front ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
from torch import Tensor


@dataclass(frozen=True)
class Event:
    """The progress of a run."""

    activity: str
    """ "training" or "looking for a learning rate"."""
    fraction: float
    """Fraction of the activity that is done, 0 to 1."""
    step: int
    loss: float
    """Smoothed."""
    scores: dict[str, float]
    """PSNR in dB of the last validation, by name."""
    minutes_left: float
    """Estimate from the speed so far; never negative; infinite while unknown."""


Report = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A front end that shows nothing."""


EVERY = 0.1
"""Smallest number of seconds between two reports: for each, the CPU waits for the GPU."""


class Reporter(pl.Callback):
    """Reports from the first process, at most every `EVERY` seconds, and at the end."""

    def __init__(self, report: Report, fraction: Callable[[], float]) -> None:
        self._report, self._fraction = report, fraction
        self._loss: Tensor | None = None
        self._began = self._last = time.monotonic()
        self._first = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began, self._first = time.monotonic(), self._fraction()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.is_global_zero:
            return
        loss = outputs["loss"].detach()
        self._loss = loss.clone() if self._loss is None else self._loss.lerp_(loss, 0.02)
        if time.monotonic() - self._last >= EVERY:
            self._send(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.is_global_zero and self._loss is not None:
            self._send(trainer, pl_module)

    def _send(self, trainer: pl.Trainer, task: Any) -> None:
        self._last = time.monotonic()
        assert self._loss is not None
        fraction = min(1.0, self._fraction())
        left = minutes_left(fraction, self._first, self._last - self._began)
        loss = float(self._loss)
        self._report(Event("training", fraction, trainer.global_step, loss, task.scores, left))


def minutes_left(fraction: float, first: float, seconds: float) -> float:
    """Estimate from the speed since `fraction` was `first`, `seconds` ago; 0 or more."""
    speed = (fraction - first) / max(seconds, 1e-9)
    return max(0.0, 1 - fraction) / speed / 60 if speed > 0 else float("inf")
