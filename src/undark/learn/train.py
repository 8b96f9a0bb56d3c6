"""`undark train`: run a plan and export a model; a run can be resumed at any moment."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Timer

from undark.engine.allocator import keep_memory
from undark.engine.recovery import is_out_of_memory
from undark.errors import TrainingError
from undark.files.output import writing
from undark.learn.checkpoints import (
    LAST,
    AtomicStates,
    Curves,
    KeepState,
    State,
    check_network,
    make_log,
    read_state,
    save_often,
)
from undark.learn.export import MODEL, export, record_of, start_from
from undark.learn.film import Film
from undark.learn.machine import bf16_is_faster, choose_device, convolve_exactly
from undark.learn.network import UNet, init_network
from undark.learn.options import Outcome, Training
from undark.learn.progress import Report, Reporter, ignore
from undark.learn.rate import SHARE, find_rate
from undark.learn.record import make_record, start_of
from undark.learn.task import Progress, RestoreTask, TrainingPlan, gain_of, judge, means
from undark.learn.validation import Average, Validation

_log = logging.getLogger(__name__)

MakePlan = Callable[[list[str] | None], TrainingPlan]
"""Makes a plan, given the names of photos that a resumed run holds back, or None."""


def train(training: Training, make_plan: MakePlan, report: Report = ignore) -> Outcome:
    """Run a plan; used for photos, pairs and SID.

    Writes model.onnx, model.safetensors and training.json to `training.out`. A killed run can be
    continued with `resume`. If memory is insufficient, batches are halved. Raises `TrainingError`,
    `OutputError`.
    """
    training.check()
    keep_memory()
    convolve_exactly()
    last = read_state(training.out, training.resume)
    if last:
        check_network(training.out, last, training.config)
    plan = make_plan(last["held"] if last else None)
    _log.info("%s", plan.split)
    while True:
        try:
            with writing(training.out):
                return _run(training, plan, report)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            training = _halved(training)


def _run(training: Training, plan: TrainingPlan, report: Report) -> Outcome:
    task, timer = fit(training, plan, report=report)
    scores = judge(task.network.eval(), plan)
    found = means(scores)
    if any(map(math.isnan, found.values())):
        raise TrainingError(
            f"{training.out}: training diverged, the model's output is NaN; "
            "choose a smaller --rate and another --out"
        )
    if task.trainer.is_global_zero:
        seconds = timer.time_elapsed() + task.progress.find_seconds
        record = make_record(training, task, task.progress.history, seconds, scores)
        export(task.network.cpu(), training.out, record)
    before = task.progress.before
    return Outcome(training.out / MODEL, found, means(before), gain_of(before, scores))


def fit(
    training: Training,
    plan: TrainingPlan,
    watch: Sequence[pl.Callback] = (),
    report: Report = ignore,
) -> tuple[RestoreTask, Timer]:
    """Train a network, or resume; writes only checkpoints and the log to `training.out`."""
    last = read_state(training.out, training.resume)
    if last:
        _check_same(training, plan, last)
    network = init_network(training.config, training.seed)
    progress = Progress(**last["progress"]) if last else Progress()
    rate = last["peak"] if last and training.peak is None else training.rate
    if training.start and not last:
        progress = _start(training, plan, network)
    if training.find_rate and not last:
        rate = _found_rate(training, plan, network, progress, report)
    timer = _timer(training, progress)

    def fraction() -> float:
        return _fraction(task, timer, training)

    task = RestoreTask(network, plan, training.batch, fraction, rate, training.decay)
    task.progress = progress
    training.out.mkdir(parents=True, exist_ok=True)
    if last and training.steps and last["global_step"] >= training.steps:
        _log.info("all %d steps are done; for more, give a higher --steps", training.steps)
    with _quiet():
        trainer = _trainer(training, [timer, *watch], task, last, report)
        try:
            trainer.fit(task, ckpt_path=training.out / LAST if last else None)
        except SystemExit as done:  # raised by Lightning after Ctrl-C
            raise KeyboardInterrupt from done
    return task, timer


def _check_same(training: Training, plan: TrainingPlan, last: State) -> None:
    """Raises `TrainingError` if a run is resumed with another network or aim."""
    check_network(training.out, last, training.config)
    if last["task"] != plan.task:
        raise TrainingError(
            f"{training.out / LAST}: a run for another --aim ({last['task']}); "
            "give the --aim of the run, or choose another --out"
        )


def _start(training: Training, plan: TrainingPlan, network: UNet) -> Progress:
    """Load the start weights and compute their scores."""
    assert training.start is not None
    start_from(network, training.start)
    before = judge(network.to(choose_device(training.device)), plan)
    network.cpu()
    return Progress(before, history=record_of(training.start), start=start_of(training.start))


def _found_rate(
    training: Training, plan: TrainingPlan, network: UNet, progress: Progress, report: Report
) -> float:
    """Search for a learning rate; its time is stored in `progress`."""
    began, limit = time.monotonic(), training.minutes and SHARE * 60 * training.minutes
    device = choose_device(training.device)
    found = find_rate(network, plan, training.batch, device, limit, report)
    progress.find_seconds = time.monotonic() - began
    said = f"{found:.2g}" if found else f"none found; {training.rate:g} is taken"
    _log.info("learning rate: %s", said)
    return found or training.rate


def _timer(training: Training, progress: Progress) -> Timer:
    if training.minutes is None:
        return Timer()
    return Timer(timedelta(seconds=max(60 * training.minutes - progress.find_seconds, 1e-3)))


def _halved(training: Training) -> Training:
    """The same run with batches of half the size, resumed from its last checkpoint."""
    if training.batch <= 1 or training.processes > 1:  # the other processes would wait
        raise TrainingError(
            f"out of memory with {training.batch} samples a step; "
            "set a smaller --batch or --crop and add --resume"
        )
    half = training.batch // 2
    _log.warning("out of memory: continuing with %d samples a step", half)
    return replace(training, batch=half, resume=(training.out / LAST).exists())


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress Lightning's messages: the front end prints those that a user needs."""
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _fraction(task: RestoreTask, timer: Timer, training: Training) -> float:
    """Fraction of the run that is done, 0 to 1."""
    if training.steps:
        return task.global_step / training.steps
    assert training.minutes is not None
    return (timer.time_elapsed() + task.progress.find_seconds) / (60 * training.minutes)


class _Announcement(pl.Callback):
    """Logs, after a few steps, the time per step and the expected number of steps."""

    def __init__(self, training: Training, fraction: Callable[[], float]) -> None:
        self._training, self._fraction = training, fraction
        self._taken, self._began, self._first = 0, 0.0, 0.0

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self._taken += 1
        if self._taken == 1:  # the first step compiles and fills caches
            self._began, self._first = time.monotonic(), self._fraction()
        elif self._taken == ANNOUNCED and trainer.is_global_zero:
            step = (time.monotonic() - self._began) / (ANNOUNCED - 1)
            total = self._training.steps
            if total is None and self._training.minutes is not None:
                total = trainer.global_step + round(
                    max(0.0, 1 - self._fraction()) * 60 * self._training.minutes / step
                )
            _log.info("%.2g s a step, about %d steps", step, total)


ANNOUNCED = 4
"""Number of steps after which the speed is logged."""


def _trainer(
    training: Training,
    watch: Sequence[pl.Callback],
    task: RestoreTask,
    last: State | None,
    report: Report,
) -> pl.Trainer:
    on_cuda = choose_device(training.device).type == "cuda"
    # a resumed run keeps its precision: another measurement could differ
    bf16 = on_cuda or ("bf16" in last["precision"] if last else bf16_is_faster())
    average = Average(training.ema)
    return pl.Trainer(
        accelerator="gpu" if on_cuda else "cpu",
        devices=training.devices,
        num_nodes=training.nodes,
        precision="bf16-mixed" if bf16 else "32-true",
        max_steps=training.steps or -1,
        max_epochs=-1,
        plugins=[AtomicStates(last)],
        logger=make_log(training.out),
        callbacks=[
            *watch,
            Curves(),
            KeepState(training.out),  # before the average, which replaces the weights at the end
            average,
            save_often(training.out),
            Validation(average),
            _Announcement(training, task.fraction_done),
            Reporter(report, task.fraction_done),
            *([Film(training.out, task.plan, training.batch)] if training.film else []),
        ],
        benchmark=on_cuda,  # all batches have the same size
        use_distributed_sampler=False,  # the task's sampler divides each step between processes
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
