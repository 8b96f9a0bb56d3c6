"""`undark train`: from a plan to a model that restores, resumable at any moment."""

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

from undark.errors import TrainingError
from undark.files.output import writing
from undark.learn.checkpoints import (
    LAST,
    AtomicStates,
    KeepState,
    State,
    check_network,
    make_log,
    read_state,
    save_often,
)
from undark.learn.export import export, record_of, start_from
from undark.learn.film import Film
from undark.learn.machine import (
    bf16_is_faster,
    choose_device,
    convolve_exactly,
    is_out_of_memory,
    keep_memory,
)
from undark.learn.network import UNet, init_network
from undark.learn.options import Outcome, Training
from undark.learn.progress import Report, Reporter, ignore
from undark.learn.rate import SHARE, find_rate
from undark.learn.record import make_record, start_of
from undark.learn.task import Progress, RestoreTask, TrainingPlan, gain_of, judge, means
from undark.learn.validation import Average, Validation

_log = logging.getLogger(__name__)

MakePlan = Callable[[list[str] | None], TrainingPlan]
"""The names of photos that a run to be resumed holds back, or None → its plan."""


def train(training: Training, make_plan: MakePlan, report: Report = ignore) -> Outcome:
    """Carry a plan out: the way that photos, pairs and SID share.

    Leaves model.onnx, model.safetensors and training.json in `training.out`. May be killed at any
    moment and called again with `resume`. Where memory does not suffice, batches are halved.
    Raises `TrainingError`, `OutputError`.
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
            f"{training.out}: training diverged, its model gives no numbers any more; "
            "choose a smaller --rate and another --out"
        )
    if task.trainer.is_global_zero:
        seconds = timer.time_elapsed() + task.progress.find_seconds
        record = make_record(training, task, task.progress.history, seconds, scores)
        export(task.network.cpu(), training.out, record)
    before = task.progress.before
    return Outcome(training.out / "model.onnx", found, means(before), gain_of(before, scores))


def fit(
    training: Training,
    plan: TrainingPlan,
    watch: Sequence[pl.Callback] = (),
    report: Report = ignore,
) -> tuple[RestoreTask, Timer]:
    """Train a network, or go on; the state of the run is in `training.out`, nothing else yet."""
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
    with _quiet():
        trainer = _trainer(training, [timer, *watch], task, last, report)
        try:
            trainer.fit(task, ckpt_path=training.out / LAST if last else None)
        except SystemExit as done:  # how Lightning ends after Ctrl-C
            raise KeyboardInterrupt from done
    return task, timer


def _check_same(training: Training, plan: TrainingPlan, last: State) -> None:
    """Raises `TrainingError` where a run is to go on with another network or aim."""
    check_network(training.out, last, training.config)
    if last["task"] != plan.task:
        raise TrainingError(
            f"{training.out / LAST}: a run for another --aim ({last['task']}); "
            "give the one that it began with, or choose another --out"
        )


def _start(training: Training, plan: TrainingPlan, network: UNet) -> Progress:
    """Give the network the weights to start from, and judge them."""
    assert training.start is not None
    start_from(network, training.start)
    before = judge(network.to(choose_device(training.device)), plan)
    network.cpu()
    return Progress(before, history=record_of(training.start), start=start_of(training.start))


def _found_rate(
    training: Training, plan: TrainingPlan, network: UNet, progress: Progress, report: Report
) -> float:
    """A learning rate that was looked for; the time it took is noted in `progress`."""
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
    """The same run with batches of half the size, to be gone on with where it stands."""
    if training.batch <= 1 or training.processes > 1:  # the others would wait for the one
        raise TrainingError(
            f"out of memory with {training.batch} samples a step; "
            "set a smaller --batch or --crop and add --resume"
        )
    half = training.batch // 2
    _log.warning("out of memory: going on with %d samples a step", half)
    return replace(training, batch=half, resume=(training.out / LAST).exists())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's own messages: the front end says what a user needs."""
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
    """How much of the run is done, 0 to 1."""
    if training.steps:
        return task.global_step / training.steps
    assert training.minutes is not None
    return (timer.time_elapsed() + task.progress.find_seconds) / (60 * training.minutes)


class _Announcement(pl.Callback):
    """Logs, after a few steps, how long one takes and how many there will be."""

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
"""Steps after which the speed is known well enough."""


def _trainer(
    training: Training,
    watch: Sequence[pl.Callback],
    task: RestoreTask,
    last: State | None,
    report: Report,
) -> pl.Trainer:
    on_cuda = choose_device(training.device).type == "cuda"
    # a run keeps its precision: measured anew, it could come out otherwise
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
            KeepState(training.out),  # before the average: see there
            average,
            save_often(training.out),
            Validation(average),
            _Announcement(training, task.fraction_done),
            Reporter(report, task.fraction_done),
            *([Film(training.out, task.plan, training.batch)] if training.film else []),
        ],
        benchmark=on_cuda,  # all steps have one size
        use_distributed_sampler=False,  # the task's own sampler gives each process its share
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=10,
    )
