"""The state of a run on disk: written whole or not at all; a kill costs a minute at most."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from undark.errors import TrainingError
from undark.files.output import whole
from undark.learn.network import UNetConfig

LAST = "last.ckpt"
"""The state of a run, never more than a minute old."""
EVERY = timedelta(seconds=45)

State = dict[str, Any]


def read_state(out: Path, resume: bool, network: UNetConfig) -> State | None:
    """The state to go on from, if that was asked for; refuses to run over a finished run.

    Raises `TrainingError` if there is none, or a damaged one, or one of another network.
    """
    path = out / LAST
    if not resume:
        if path.exists() or (out / "model.onnx").exists():
            raise TrainingError(
                f"{out}: a training run is here already; "
                "add --resume to go on with it, or choose another --out"
            )
        return None
    if not path.exists():
        raise TrainingError(f"{out}: no run to resume here; leave out --resume")
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=False)
        known = state["network"]
    except Exception as error:  # a damaged pickle fails in any way
        raise TrainingError(
            f"{path}: not a checkpoint, or a damaged one; delete it to start anew"
        ) from error
    if known != network.as_dict():
        raise TrainingError(
            f"{path}: the checkpoint of another network than the one to be trained; "
            "give the --network that the run began with, or choose another --out"
        )
    return state


class WholeStates(TorchCheckpointIO):
    """Lightning's way to the disk; its own moves files between disks, where a move can tear."""

    def __init__(self, state: State | None) -> None:
        """`state` is what was read already."""
        self._state = state

    def save_checkpoint(self, checkpoint: State, path: Any, storage_options: Any = None) -> None:
        """Raises `OutputError`, for instance on a full disk; the last good state then stays."""
        for torn in Path(path).parent.glob(".undark-*.ckpt"):  # of a process that was killed
            torn.unlink(missing_ok=True)
        content = io.BytesIO()  # torch's own errors do not say that a disk is full
        torch.save(checkpoint, content)
        with whole(Path(path), overwrite=True) as temporary:
            temporary.write_bytes(content.getbuffer())

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> State:
        assert self._state is not None
        return self._state


class KeepState(pl.Callback):
    """Keeps the state of the very end, before the average of weights takes its place."""

    def __init__(self, out: Path) -> None:
        self._path = out / LAST

    def on_save_checkpoint(self, trainer: pl.Trainer, *_: Any) -> None:
        """The log is as old as the state, so that the curve has no gap after a kill."""
        cast(Any, trainer.logger).experiment.flush()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.save_checkpoint(self._path)


def save_often(out: Path) -> ModelCheckpoint:
    """Keeps the state every `EVERY`."""
    return ModelCheckpoint(
        out,
        filename=Path(LAST).stem,
        train_time_interval=EVERY,
        enable_version_counter=False,
    )
