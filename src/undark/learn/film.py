"""The training film: a validation photo, restored after every epoch."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from undark.develop.colour import encode_srgb
from undark.files.output import atomic_output
from undark.files.picture import read_picture, write_picture
from undark.learn.data.batches import Batch
from undark.learn.task import TrainingPlan
from undark.sensor.mosaic import Shot

_log = logging.getLogger(__name__)

SIDE = 384
"""Most pixels of a frame's height, and of each of its three parts' width."""
FRAMES_A_SECOND = 8
COLOURS = 128
REST = 2000
"""Duration of the last frame in milliseconds."""
MIN_STEPS = 25
"""Smallest number of steps between two frames."""
MAX_FRAMES = 200
"""Largest number of frames; from more epochs, evenly spaced ones are used."""


class Film(pl.Callback):
    """Writes film/0001.png and so on, and at the end epochs.gif, to the folder of the run."""

    def __init__(self, out: Path, plan: TrainingPlan, batch: int) -> None:
        self._folder, self._film = out / "film", out / "epochs.gif"
        # with few pairs an epoch is shorter than a step
        self._steps = max(MIN_STEPS, round(plan.epoch / batch))
        self._photo: Batch = list(plan.validation.values())[-1][0]

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        epoch, rest = divmod(trainer.global_step, self._steps)
        if not rest and trainer.is_global_zero:
            frame = draw(self._photo, shown_by(pl_module.network, self._photo))
            with atomic_output(self._folder / f"{epoch:04d}.png", overwrite=True) as temporary:
                write_picture(temporary, frame, Shot())

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        frames = sorted(self._folder.glob("*.png"))
        if not frames and trainer.is_global_zero:
            _log.info("no film: its first frame comes after %d steps", self._steps)
        if frames and trainer.is_global_zero:
            chosen = np.linspace(0, len(frames) - 1, min(len(frames), MAX_FRAMES)).astype(int)
            with atomic_output(self._film, overwrite=True) as temporary:
                write_gif(temporary, [read_picture(frames[i]) for i in chosen])


def draw(photo: Batch, output: Tensor) -> NDArray[np.uint8]:
    """(H, 3·W + gaps, 3): input, output and target, side by side."""
    light = [shown(photo), output, photo.target]
    parts = [_picture(part[0], photo.srgb[0]) for part in light]
    gap = np.full((len(parts[0]), 4, 3), 255, np.uint8)
    return np.concatenate([parts[0], gap, parts[1], gap, parts[2]], axis=1)


def shown_by(network: torch.nn.Module, photo: Batch) -> Tensor:
    """The network's output for a batch, on the batch's device."""
    device = next(network.parameters()).device
    with torch.no_grad():
        output: Tensor = network(photo.inputs.to(device))
    return output.to(photo.inputs.device)


def shown(photo: Batch) -> Tensor:
    """The input's light as RGB, each colour the mean of its planes, resized to the target."""
    rgb = photo.kind.colour_means(photo.inputs)
    return torch.nn.functional.interpolate(rgb, size=photo.target.shape[-2:])


def _picture(light: Tensor, srgb: Tensor) -> NDArray[np.uint8]:
    """Linear light (3, H, W) → a small sRGB picture."""
    light = light[:, :SIDE, :SIDE].float()
    encoded = encode_srgb(torch.einsum("ij,jhw->hwi", srgb, light))
    picture: NDArray[np.uint8] = (255 * encoded + 0.5).byte().cpu().numpy()
    return picture


def write_gif(path: Path, frames: list[NDArray[np.uint8]]) -> None:
    """Write frames (H, W, 3) of one size as an animated GIF; raises `OSError`.

    All have the palette of the last one, so that only changed pixels are stored.
    """
    pictures = [Image.fromarray(frame) for frame in frames]
    colours = pictures[-1].quantize(COLOURS)
    indexed = [p.quantize(palette=colours, dither=Image.Dither.NONE) for p in pictures]
    durations = [1000 // FRAMES_A_SECOND] * (len(frames) - 1) + [REST]
    indexed[0].save(
        path, "GIF", save_all=True, append_images=indexed[1:], duration=durations, loop=0
    )
