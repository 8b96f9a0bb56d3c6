"""The progress of a training run: a bar with the time left, or a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

LINE_EVERY = 60.0
"""Seconds between lines where there is no terminal to draw a bar on."""


class ProgressBar(pl.Callback):
    """Shows the share done, the loss (smoothed), the validation PSNRs and the time left."""

    def __init__(self, fraction: Callable[[], float]) -> None:
        self._fraction = fraction
        self._loss: float | None = None
        self._console = Console(stderr=True)
        self._began = self._said = time.monotonic()
        self._first = 0.0
        self._bar: Progress | None = None
        self._row: TaskID | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began, self._first = time.monotonic(), self._fraction()
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console)
            self._row = self._bar.add_task("training", total=1.0)
            self._bar.start()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        loss = float(outputs["loss"])
        self._loss = loss if self._loss is None else 0.98 * self._loss + 0.02 * loss
        text = self._describe(trainer)
        if self._bar is not None and self._row is not None:
            self._bar.update(self._row, completed=self._fraction(), description=text)
        elif time.monotonic() - self._said > LINE_EVERY:
            self._said = time.monotonic()
            self._console.print(f"{text}, {self._left():.0f} min left", highlight=False)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _describe(self, trainer: pl.Trainer) -> str:
        scores = (
            f"{name.removeprefix('psnr/')} {float(value):.2f} dB"
            for name, value in trainer.callback_metrics.items()
            if name.startswith("psnr")
        )
        return ", ".join([f"step {trainer.global_step}", f"loss {self._loss:.4f}", *scores])

    def _left(self) -> float:
        """Minutes left at the speed so far."""
        done = self._fraction()
        speed = (done - self._first) / max(time.monotonic() - self._began, 1e-9)
        return (1 - done) / speed / 60 if speed > 0 else float("inf")
