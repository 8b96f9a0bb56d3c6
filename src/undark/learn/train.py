"""`undark train`: from a folder to a model that restores, resumable at any moment."""

from __future__ import annotations

import ctypes
import io
import json
import logging
import math
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Timer, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.tuner.tuning import Tuner
from torch.utils.data import DataLoader, IterableDataset

from undark.engine.model import read_card
from undark.errors import TrainingError
from undark.files.output import writing
from undark.learn.checkpoints import LAST, KeepState, State, WholeStates, read_state, save_often
from undark.learn.export import commit, config_of, export, start_from
from undark.learn.film import Film
from undark.learn.network import UNetConfig, fresh
from undark.learn.progress import ProgressBar
from undark.learn.task import Course, RestoreTask, judge

VAL_EVERY = 500
"""Steps between two looks at what is held back."""

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""In glibc's malloc.h."""


@dataclass(frozen=True)
class Training:
    """What `undark train` was asked for. One of `minutes` and `steps` is given."""

    data: Path
    out: Path
    val: Path | None = None
    minutes: float | None = None
    steps: int | None = None
    start: Path | None = None
    """Weights to start from: model.safetensors or model.onnx."""
    resume: bool = False
    crop: int = 112
    """Side of a training crop in packed pixels."""
    batch: int = 16
    """Samples a step, over all devices."""
    peak: float | None = None
    """Highest learning rate; by default 3e-3, or a third of it from weights that are good already.
    """
    decay: float = 0.35
    """Share of the time over which the learning rate falls to 0."""
    ema: float = 0.998
    seed: int = 0
    device: str = "auto"
    devices: int = 1
    """Processes on each machine."""
    nodes: int = 1
    """Machines."""
    network: UNetConfig | None = None
    """By default that of `start`, else as shipped."""
    find_rate: bool = False
    """Whether to look for a learning rate first."""
    film: bool = False
    """Whether to draw the same held-back photo after every epoch."""

    @property
    def config(self) -> UNetConfig:
        """The network to train."""
        return self.network or (self.start and config_of(self.start)) or UNetConfig()

    @property
    def rate(self) -> float:
        """The highest learning rate, unless one is looked for."""
        return (1e-3 if self.start else 3e-3) if self.peak is None else self.peak


@dataclass(frozen=True)
class Outcome:
    """What a run left."""

    model: Path
    """The .onnx file."""
    scores: dict[str, float]
    """PSNR in dB on what was held back."""
    before: dict[str, float]
    """The same of the weights that the run began from; empty if it began from none."""
    skipped: dict[Path, str] = field(default_factory=dict)
    """Photos that could not be used, and why."""

    @property
    def gain(self) -> float | None:
        """Mean PSNR in dB that the run won; None where it began from no weights."""
        if not self.before:
            return None
        return float(np.mean([self.scores[name] - self.before[name] for name in self.before]))


def train(training: Training, make_course: Callable[[], Course]) -> Outcome:
    """Run a course: the way that photos, pairs and SID share.

    Leaves model.onnx, model.safetensors and training.json in `training.out`. May be killed at any
    moment and called again with `resume`. Where memory does not suffice, batches are halved.
    Raises `TrainingError`, `OutputError`.
    """
    _check(training)
    keep_memory()
    course = make_course()
    while True:
        try:
            with writing(training.out):
                return _run(training, course)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            training = _halved(training)


def _check(training: Training) -> None:
    """What can be known to be wrong before a batch is made. Raises `TrainingError`."""
    if (training.minutes is None) == (training.steps is None):
        raise TrainingError("give either --minutes or --steps")
    multiple, processes = training.config.multiple, training.devices * training.nodes
    if training.crop % multiple:
        raise TrainingError(
            f"--crop {training.crop}: this network takes multiples of {multiple}; "
            f"give {training.crop // multiple * multiple or multiple}"
        )
    if training.batch < processes:
        raise TrainingError(
            f"--batch {training.batch}: too few samples for {processes} processes; give more"
        )


def _run(training: Training, course: Course) -> Outcome:
    task, timer = fit(training, course)
    scores = judge(task.network.eval(), course)
    if any(map(math.isnan, scores.values())):
        raise TrainingError(
            f"{training.out}: training diverged, its model gives no numbers any more; "
            "choose a smaller --rate and another --out"
        )
    if task.trainer.is_global_zero:
        record = _record(training, course, task, timer, scores)
        export(task.network, training.out, record)
    return Outcome(training.out / "model.onnx", scores, task.before)


def fit(
    training: Training, course: Course, watch: Sequence[pl.Callback] = ()
) -> tuple[RestoreTask, Timer]:
    """Train a network, or go on; the state of the run is in `training.out`, nothing else yet."""
    last = read_state(training.out, training.resume, training.config)
    if last and last.get("task", course.task) != course.task:
        raise TrainingError(
            f"{training.out / LAST}: a run for another --aim ({last['task']}); "
            "give the one that it began with, or choose another --out"
        )
    network = fresh(training.config, training.seed)
    before: dict[str, float] = last["before"] if last else {}
    if training.start and not last:
        start_from(network, training.start)
        before = judge(network, course)
    timer = Timer(timedelta(minutes=training.minutes) if training.minutes else None)

    def fraction() -> float:
        return _fraction(task, timer, training)

    rate = last["peak"] if last and training.peak is None else training.rate
    task = RestoreTask(network, course, training.batch, fraction, rate, training.decay)
    task.before = before
    task.history = last["history"] if last else _record_of(training.start)
    training.out.mkdir(parents=True, exist_ok=True)
    with _quiet():
        trainer = _trainer(training, [timer, *watch], task, last)
        steps, once = DataLoader(_Steps(), batch_size=None), DataLoader(_Once(), batch_size=None)
        if training.find_rate and not last:
            _find_rate(training, task, steps)
        try:
            trainer.fit(task, steps, once, ckpt_path=training.out / LAST if last else None)
        except SystemExit as done:  # how Lightning ends after Ctrl-C
            raise KeyboardInterrupt from done
    return task, timer


def is_out_of_memory(error: Exception) -> bool:
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or "can't allocate memory" in str(error)


def _halved(training: Training) -> Training:
    """The same run with batches of half the size, to be gone on with where it stands."""
    processes = training.devices * training.nodes
    if training.batch <= 1 or processes > 1:  # the others would wait for the one that failed
        raise TrainingError(
            f"out of memory with {training.batch} samples a step; "
            "set a smaller --batch or --crop and add --resume"
        )
    half = training.batch // 2
    print(f"out of memory: going on with {half} samples a step", file=sys.stderr)
    return replace(training, batch=half, resume=(training.out / LAST).exists())


def keep_memory() -> None:
    """Let this process keep the memory that it frees, where its C library is glibc.

    glibc gives large arrays back to the system at once and gets them again, page by page, at the
    next step: on two cores a step took 0.93 s so, and 0.78 s with memory kept.
    """
    with suppress(OSError, AttributeError):  # not glibc
        set_option = ctypes.CDLL("libc.so.6").mallopt
        set_option(_M_MMAP_MAX, 0)
        set_option(_M_TRIM_THRESHOLD, 2**31 - 1)


@cache
def bf16_is_faster() -> bool:
    """Whether this CPU convolves faster in bfloat16 than in float32, by trying.

    The flags do not tell: with the same avx512_bf16, an AMD EPYC ran 1.6 times as fast and an
    Intel Xeon without AMX 0.7 times.
    """
    x, weight = torch.randn(1, 64, 64, 64), torch.randn(64, 64, 3, 3)

    def seconds(dtype: torch.dtype) -> float:
        a, w = (t.to(dtype, memory_format=torch.channels_last) for t in (x, weight))
        began = time.perf_counter()
        torch.nn.functional.conv2d(a, w, padding=1)
        return time.perf_counter() - began

    # in turn, so that whatever else the machine does holds up both
    rounds = [(seconds(torch.bfloat16), seconds(torch.float32)) for _ in range(12)]
    half, full = (min(times) for times in zip(*rounds, strict=True))
    return half < 0.9 * full


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning from talking: the progress bar says what a user needs.

    And TensorBoard's thread: what stops it, a full disk, is raised again where we write.
    """
    said, threading.excepthook = threading.excepthook, lambda _: None
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            threading.excepthook = said
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


class _Average(WeightAveraging):
    """The running average of weights; at first over only as many steps as there were.

    With the bound of `tf.train.ExponentialMovingAverage`: a short run is not stuck at its start.
    """

    def __init__(self, decay: float) -> None:
        def average(mean: torch.Tensor, now: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
            steps = float(count)
            return torch.lerp(mean, now, 1 - min(decay, (1 + steps) / (10 + steps)))

        super().__init__(avg_fn=average)


class _Steps(IterableDataset[int]):
    """Endless numbers: the task makes each batch itself, where its network is."""

    def __iter__(self) -> Any:
        while True:
            yield 0


class _Once(_Steps):
    """One number: the task holds its validation batches."""

    def __iter__(self) -> Any:
        yield 0


def choose_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _fraction(task: RestoreTask, timer: Timer, training: Training) -> float:
    """How much of the run is done, 0 to 1."""
    if training.steps:
        return task.global_step / training.steps
    assert training.minutes is not None
    return timer.time_elapsed() / (60 * training.minutes)


def _find_rate(training: Training, task: RestoreTask, steps: DataLoader) -> None:
    """Set the task's learning rate to where the loss falls fastest, over 100 steps of rising rates.

    After Smith, "Cyclical learning rates for training neural networks" (WACV 2017).
    """
    trainer = pl.Trainer(
        accelerator=choose_device(training.device).type.replace("cuda", "gpu"),
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=training.out,
    )
    with redirect_stderr(io.StringIO()):  # its bar cannot be turned off
        found = Tuner(trainer).lr_find(task, steps, min_lr=1e-5, max_lr=0.1, attr_name="peak")
    suggested = found.suggestion() if found else None
    task.peak = suggested or training.rate
    said = f"{suggested:.2g}" if suggested else f"none found; {training.rate:g} is taken"
    print(f"learning rate: {said}", file=sys.stderr)


def _trainer(
    training: Training, watch: Sequence[pl.Callback], task: RestoreTask, last: State | None
) -> pl.Trainer:
    device = choose_device(training.device)
    on_cuda = device.type == "cuda"
    # a run keeps its precision: measured anew, it could come out otherwise
    bf16 = on_cuda or ("bf16" in last["precision"] if last else bf16_is_faster())
    return pl.Trainer(
        accelerator="gpu" if on_cuda else "cpu",
        devices=training.devices,
        num_nodes=training.nodes,
        precision="bf16-mixed" if bf16 else "32-true",
        max_steps=training.steps or -1,
        max_epochs=-1,
        plugins=[WholeStates(last)],
        logger=TensorBoardLogger(training.out, name="", version="log"),
        callbacks=[
            *watch,
            KeepState(training.out),  # before the average: see there
            _Average(training.ema),
            save_often(training.out),
            ProgressBar(task.fraction_done),
            *([Film(training.out, task.course, training.batch)] if training.film else []),
        ],
        val_check_interval=min(VAL_EVERY, training.steps or VAL_EVERY),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=10,
    )


def _record(
    training: Training, course: Course, task: RestoreTask, timer: Timer, scores: dict[str, float]
) -> dict[str, Any]:
    """What training.json says: enough to know what a model is made of, and to go on."""
    settings = asdict(training) | {"peak": task.peak}
    for name in ("data", "out", "val", "start", "resume", "network"):
        settings.pop(name)
    before = task.history
    return {
        "task": course.task,
        "network": training.config.as_dict(),
        "settings": settings,
        "steps": task.global_step + before.get("steps", 0),
        "packed_pixels": task.global_step * training.batch * training.crop**2
        + before.get("packed_pixels", 0),
        "minutes": round(timer.time_elapsed() / 60 + before.get("minutes", 0), 1),
        "precision": str(task.trainer.precision),
        "commit": commit(),
        "data": f"{len(course.files)} photographs",
        "photos": sorted(set(course.files) | set(before.get("photos", []))),
        "validation": {f"psnr/{name}": round(score, 3) for name, score in scores.items()},
    }


def _record_of(weights: Path | None) -> dict[str, Any]:
    """What is known of how weights were trained: beside them, or in their card; else nothing."""
    if weights is None:
        return {}
    beside = weights.with_name("training.json")
    if beside.exists():
        record: dict[str, Any] = json.loads(beside.read_text())
        return record
    return read_card(weights).training if weights.suffix == ".onnx" else {}
