"""`undark train`: from a folder to a model that restores, resumable at any moment."""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint, Timer
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset

from undark.develop.colour import CAMERA_MATRICES, camera_from_srgb, decode_srgb
from undark.engine.model import TASK
from undark.errors import TrainingError
from undark.files.output import writing
from undark.learn.export import commit, export, start_from
from undark.learn.network import UNetConfig, fresh
from undark.learn.photos import (
    Batch,
    Exposures,
    PhotoSource,
    TorchSampler,
    expose,
    find_pictures,
    load_photos,
    stack,
)
from undark.learn.progress import ProgressBar
from undark.learn.task import Course, RestoreTask, photo_loss, psnr
from undark.sensor.cameras import find_camera
from undark.sensor.cfa import RGGB

VAL_RATIOS = (10, 100, 250, 300)
VAL_ISO = 1600
VAL_CROP = 512
HELD_BACK = 12
"""One photo in so many is kept from training, to watch it by, where no --val is given."""


@dataclass(frozen=True)
class Training:
    """What `undark train` was asked for. One of `minutes` and `steps` is given."""

    data: Path
    out: Path
    val: Path | None = None
    minutes: float | None = None
    steps: int | None = None
    start: Path | None = None
    """Weights (safetensors) to start from."""
    resume: bool = False
    crop: int = 112
    """Side of a training crop in packed pixels."""
    batch: int = 16
    """Samples a step, over all devices."""
    peak: float = 3e-3
    """Highest learning rate."""
    decay: float = 0.35
    """Share of the time over which the learning rate falls to 0."""
    ema: float = 0.998
    seed: int = 0
    device: str = "auto"
    devices: int = 1
    """Processes on each machine."""
    nodes: int = 1
    """Machines."""
    network: UNetConfig = field(default_factory=UNetConfig)


def train_photos(training: Training) -> Path:
    """Train on photographs; leaves model.onnx, model.safetensors and training.json in `out`.

    Returns the path of model.onnx. Raises `TrainingError`. May be killed at any moment and
    called again with `resume`.
    """
    device = _device(training.device)
    train_paths, val_paths = split(training)
    return train(
        training,
        lambda: Course(
            PhotoSource(load_photos(train_paths), training.crop, training.seed, device),
            {f"x{r}": _val_batches(load_photos(val_paths), r, device) for r in VAL_RATIOS},
            photo_loss,
            psnr,
            TASK,
            [path.name for path in train_paths],
            epoch=len(train_paths),
        ),
    )


def train(training: Training, make_course: Callable[[], Course]) -> Path:
    """Run a course: the way that photos, pairs and SID share. Returns the path of model.onnx."""
    if (training.minutes is None) == (training.steps is None):
        raise TrainingError("give either --minutes or --steps")
    last = _checkpoint(training)
    course = make_course()
    timer = Timer(timedelta(minutes=training.minutes) if training.minutes else None)
    network = fresh(training.network, training.seed)
    if training.start and not last:
        start_from(network, training.start)

    def fraction() -> float:
        return _fraction(task, timer, training)

    task = RestoreTask(network, course, training.batch, fraction, training.peak, training.decay)
    with writing(training.out):
        training.out.mkdir(parents=True, exist_ok=True)
    with _quiet():
        trainer = _trainer(training, timer, fraction)
        steps, once = DataLoader(_Steps(), batch_size=None), DataLoader(_Once(), batch_size=None)
        try:
            trainer.fit(task, steps, once, ckpt_path=last)
        except SystemExit as done:  # how Lightning ends after Ctrl-C
            raise KeyboardInterrupt from done
    record = _record(training, course, task, trainer, timer)
    return export(network.eval(), training.out, record)


def split(training: Training) -> tuple[list[Path], list[Path]]:
    """Photos to train on and photos to watch it by, never the same."""
    paths = find_pictures(training.data)
    if training.val:
        return paths, find_pictures(training.val)
    held = paths[::HELD_BACK]
    return [p for p in paths if p not in held] or paths, held


def bf16_is_faster() -> bool:
    """Whether this CPU convolves faster in bfloat16 than in float32, by trying.

    The flags do not tell: with the same avx512_bf16, an AMD EPYC ran 1.6 times as fast and an
    Intel Xeon without AMX 0.7 times.
    """
    x, weight = torch.randn(1, 64, 64, 64), torch.randn(64, 64, 3, 3)

    def seconds(dtype: torch.dtype) -> float:
        a, w = (t.to(dtype, memory_format=torch.channels_last) for t in (x, weight))
        times = []
        for _ in range(8):
            began = time.perf_counter()
            torch.nn.functional.conv2d(a, w, padding=1)
            times.append(time.perf_counter() - began)
        return min(times)

    return seconds(torch.bfloat16) < 0.9 * seconds(torch.float32)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning from talking: the progress bar says what a user needs."""
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


class _SaveAtEnd(pl.Callback):
    """Keeps the state of the very end, before the average of weights takes its place."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.save_checkpoint(self._path)


class _Steps(IterableDataset[int]):
    """Endless numbers: the task makes each batch itself, where its network is."""

    def __iter__(self) -> Any:
        while True:
            yield 0


class _Once(_Steps):
    """One number: the task holds its validation batches."""

    def __iter__(self) -> Any:
        yield 0


def _checkpoint(training: Training) -> str | None:
    """The checkpoint to go on from, if that was asked for; refuses to run over a finished run."""
    last = training.out / "last.ckpt"
    if training.resume:
        return _readable(last)
    if last.exists() or (training.out / "model.onnx").exists():
        raise TrainingError(
            f"{training.out}: a training run is here already; "
            "add --resume to go on with it, or choose another --out"
        )
    return None


def _readable(checkpoint: Path) -> str:
    """The checkpoint, tried. Raises `TrainingError` if there is none, or a damaged one."""
    if not checkpoint.exists():
        raise TrainingError(f"{checkpoint.parent}: no run to resume here; leave out --resume")
    try:
        torch.load(checkpoint, map_location="cpu", weights_only=False)["callbacks"]
    except Exception as error:  # a damaged pickle fails in any way
        raise TrainingError(
            f"{checkpoint}: not a checkpoint, or a damaged one; delete it to start anew"
        ) from error
    return str(checkpoint)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _fraction(task: RestoreTask, timer: Timer, training: Training) -> float:
    """How much of the run is done, 0 to 1."""
    if training.steps:
        return task.global_step / training.steps
    assert training.minutes is not None
    return timer.time_elapsed() / (60 * training.minutes)


def _trainer(training: Training, timer: Timer, fraction: Callable[[], float]) -> pl.Trainer:
    device = _device(training.device)
    bf16 = device.type == "cuda" or bf16_is_faster()
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=training.devices,
        num_nodes=training.nodes,
        precision="bf16-mixed" if bf16 else "32-true",
        max_steps=training.steps or -1,
        max_epochs=-1,
        logger=TensorBoardLogger(training.out, name="", version="log"),
        callbacks=[
            timer,
            _SaveAtEnd(training.out / "last.ckpt"),  # before the average: see there
            EMAWeightAveraging(decay=training.ema),
            ModelCheckpoint(
                training.out,
                filename="last",
                train_time_interval=timedelta(seconds=45),
                enable_version_counter=False,
            ),
            ProgressBar(fraction),
        ],
        val_check_interval=min(500, training.steps or 500),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=10,
    )


def _val_batches(
    photos: list[NDArray[np.uint8]], ratio: float, device: torch.device
) -> list[Batch]:
    """The middle of each photo as a Sony A7S2 sees it at `VAL_ISO`; the same at every call."""
    return [val_batch(photo, VAL_ISO, ratio, device) for photo in photos]


def val_batch(
    photo: NDArray[np.uint8], iso: float, ratio: float, device: torch.device | str = "cpu"
) -> Batch:
    """One photo, its middle of at most `VAL_CROP` pixels a side, in the dark; seeded."""
    side = [min(VAL_CROP, n // 16 * 16 - 16) + 2 for n in photo.shape[:2]]
    top, left = ((n - s) // 2 for n, s in zip(photo.shape[:2], side, strict=True))
    middle = photo[top : top + side[0], left : left + side[1]]
    light = decode_srgb(torch.from_numpy(middle.copy()).to(device).float() / 255)
    camera = find_camera("ILCE-7SM2")
    assert camera is not None
    exposures = Exposures(
        amplification=np.full(1, ratio, np.float32),
        white_balance=np.array([[2.0, 1.0, 1.6]], np.float32),
        camera=camera_from_srgb(CAMERA_MATRICES[-1])[None].astype(np.float32),
        span=camera.span,
        noise=stack([camera.at(iso)]),
    )
    return expose(light.permute(2, 0, 1)[None], exposures, RGGB, TorchSampler(int(ratio), device))


def _record(
    training: Training, course: Course, task: RestoreTask, trainer: pl.Trainer, timer: Timer
) -> dict[str, Any]:
    """What training.json says: enough to know what a model is made of, and to go on."""
    settings = asdict(training)
    for name in ("data", "out", "val", "start", "resume", "network"):
        settings.pop(name)
    scores = {k: round(float(v), 3) for k, v in trainer.callback_metrics.items() if "psnr" in k}
    before = _record_of(training.start)
    return {
        "task": course.task,
        "network": training.network.as_dict(),
        "settings": settings,
        "steps": task.global_step + before.get("steps", 0),
        "packed_pixels": task.global_step * training.batch * training.crop**2
        + before.get("packed_pixels", 0),
        "minutes": round(timer.time_elapsed() / 60 + before.get("minutes", 0), 1),
        "precision": str(trainer.precision),
        "commit": commit(),
        "data": f"{len(course.files)} photographs",
        "photos": sorted(set(course.files) | set(before.get("photos", []))),
        "validation": scores,
    }


def _record_of(weights: Path | None) -> dict[str, Any]:
    """The record beside the weights that a run began from; empty if there is none."""
    path = weights and weights.with_name("training.json")
    record: dict[str, Any] = json.loads(path.read_text()) if path and path.exists() else {}
    return record
