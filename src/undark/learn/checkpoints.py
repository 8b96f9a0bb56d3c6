"""Checkpoints of a run: written atomically, at least once a minute."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from tensorboard.summary.writer import event_file_writer  # type: ignore[import-untyped]

from undark.errors import TrainingError
from undark.files.output import atomic_output
from undark.learn.export import MODEL
from undark.learn.network import UNetConfig

LAST = "last.ckpt"
"""File name of the last checkpoint, at most a minute old."""
EVERY = timedelta(seconds=45)
FORMAT = 2
"""Version of the checkpoint's content; a run of another version is not resumed."""

State = dict[str, Any]
"""Tensors and built-in types only, so that it can be loaded with `weights_only`."""


def read_state(out: Path, resume: bool) -> State | None:
    """The checkpoint to resume from, or None without `resume`.

    Raises `TrainingError` if there is none, or it is damaged or of another version; without
    `resume`, if `out` has a run already.
    """
    path = out / LAST
    if not resume:
        if path.exists() or (out / MODEL).exists():
            raise TrainingError(
                f"{out}: has a training run already; "
                "add --resume to continue it, or choose another --out"
            )
        return None
    if not path.exists():
        raise TrainingError(f"{out}: no run to resume here; leave out --resume")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise exceptions of many types
        raise TrainingError(
            f"{path}: not a checkpoint of this undark, or a damaged one; choose another --out, "
            "with --from for its weights, or delete it to start again"
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise TrainingError(
            f"{path}: a run of another version of undark; choose another --out, "
            "with --from for its weights"
        )
    return state


def check_network(out: Path, state: State, network: UNetConfig) -> None:
    """Raises `TrainingError` if a checkpoint is of another network."""
    if state["network"] != network.as_dict():
        raise TrainingError(
            f"{out / LAST}: the checkpoint of another network than the one to be trained; "
            "give the --network of the run, or choose another --out"
        )


class AtomicStates(TorchCheckpointIO):
    """Writes checkpoints atomically; Lightning's cross-device move is not atomic."""

    def __init__(self, state: State | None) -> None:
        """`state` is the checkpoint that `read_state` has loaded."""
        self._state = state

    def save_checkpoint(self, checkpoint: State, path: Any, storage_options: Any = None) -> None:
        """Raises `OutputError`, for instance on a full disk; the last checkpoint is then kept."""
        for partial in Path(path).parent.glob(".undark-*.ckpt"):  # of a process that was killed
            partial.unlink(missing_ok=True)
        content = io.BytesIO()  # torch's exceptions do not tell that a disk is full
        torch.save(plain(checkpoint), content)
        with atomic_output(Path(path), overwrite=True) as temporary:
            temporary.write_bytes(content.getbuffer())

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> State:
        assert self._state is not None
        return self._state


def plain(value: Any) -> Any:
    """A copy with values other than tensors, numbers, strings, dicts and lists as text.

    Those are paths and times of Lightning's callbacks, which resuming does not need.
    """
    if isinstance(value, dict):
        return {k if isinstance(k, (str, int)) else str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(v) for v in value) if type(value) in (list, tuple) else list(value)
    if value is None or type(value) in (bool, int, float, str) or isinstance(value, torch.Tensor):
        return value
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)


LOGGED = 10
"""Every so many steps the loss is logged."""


class Curves(pl.Callback):
    """Logs the loss and the learning rate, before a checkpoint of the same step is written.

    Lightning's own logging comes after it: a run killed between the two had a gap in its log.
    """

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        log, steps = trainer.logger, trainer.global_step
        if log is not None and steps % LOGGED == 0 and trainer.is_global_zero:
            log.log_metrics({"loss": float(outputs["loss"]), "rate": pl_module.rate}, steps - 1)


class KeepState(pl.Callback):
    """Saves a checkpoint at the end, before the averaged weights replace the network's."""

    def __init__(self, out: Path) -> None:
        self._path = out / LAST

    def on_save_checkpoint(self, trainer: pl.Trainer, *_: Any) -> None:
        """Flush the log with each checkpoint, so that a resumed run's log has no gap."""
        cast(Any, trainer.logger).experiment.flush()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.save_checkpoint(self._path)


def save_often(out: Path) -> ModelCheckpoint:
    """A callback that saves a checkpoint every `EVERY`."""
    return ModelCheckpoint(
        out,
        filename=Path(LAST).stem,
        train_time_interval=EVERY,
        enable_version_counter=False,
    )


class _WriterThread(event_file_writer._AsyncWriterThread):
    """TensorBoard's thread, without a traceback on a full disk.

    TensorBoard raises the exception again in the thread that writes to the log.
    """

    def run(self) -> None:
        with suppress(OSError):
            super().run()


@contextmanager
def _quiet_writer() -> Iterator[None]:
    usual = event_file_writer._AsyncWriterThread
    event_file_writer._AsyncWriterThread = _WriterThread
    try:
        yield
    finally:
        event_file_writer._AsyncWriterThread = usual


def make_log(out: Path) -> TensorBoardLogger:
    """TensorBoard's log of a run, in out/log."""
    log = TensorBoardLogger(out, name="", version="log")
    with _quiet_writer():
        _ = log.experiment  # starts the thread
    return log
