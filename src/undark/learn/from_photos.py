"""`undark train photos`: learn from ordinary photographs, darkened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from undark.develop.colour import CAMERA_MATRICES, camera_from_srgb, decode_srgb
from undark.engine.card import TASK
from undark.learn.photos import (
    Batch,
    Exposures,
    PhotoSource,
    expose,
    find_pictures,
    load_photos,
    stack,
)
from undark.learn.sampler import TorchSampler
from undark.learn.task import Course, photo_loss, psnr
from undark.learn.train import Outcome, Training, choose_device, train
from undark.sensor.profiles.cameras import find_camera

VAL_RATIOS = (10, 100, 250, 300)
VAL_ISO = 1600
VAL_CROP = 512
HELD_BACK = 12
"""One photo in so many is kept from training, to watch it by, where no --val is given."""


def train_photos(training: Training) -> Outcome:
    """Train on photographs; leaves model.onnx, model.safetensors and training.json in `out`.

    Raises `TrainingError`. May be killed at any moment and
    called again with `resume`.
    """
    skipped: dict[Path, str] = {}
    return replace(train(training, lambda: photo_course(training, skipped)), skipped=skipped)


def photo_course(
    training: Training, skipped: dict[Path, str], only: list[Path] | None = None
) -> Course:
    """What is learnt from photographs, or from some `only`; see `load_photos` for `skipped`.

    Raises `TrainingError`.
    """
    device = choose_device(training.device)
    paths, val_paths = split(training)
    photos, held = (load_photos(some, skipped) for some in (only or paths, val_paths))
    return Course(
        PhotoSource(photos, training.crop, training.seed, device),
        {f"x{r}": _val_batches(held, r, device) for r in VAL_RATIOS},
        photo_loss,
        psnr,
        TASK,
        [path.name for path in only or paths if path not in skipped],
        epoch=len(photos),
    )


def split(training: Training) -> tuple[list[Path], list[Path]]:
    """Photos to train on and photos to watch it by, never the same."""
    paths = find_pictures(training.data)
    if training.val:
        return paths, find_pictures(training.val)
    held = paths[::HELD_BACK]
    return [p for p in paths if p not in held] or paths, held


def _val_batches(
    photos: list[NDArray[np.uint8]], ratio: float, device: torch.device
) -> list[Batch]:
    """The middle of each photo as a Sony A7S2 sees it at `VAL_ISO`; the same at every call."""
    return [val_batch(photo, VAL_ISO, ratio, device) for photo in photos]


def val_batch(
    photo: NDArray[np.uint8], iso: float, ratio: float, device: torch.device | str = "cpu"
) -> Batch:
    """One photo, its middle of at most `VAL_CROP` pixels a side, in the dark; seeded."""
    side = [min(VAL_CROP, n // 16 * 16) for n in photo.shape[:2]]
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
    sampler = TorchSampler(int(ratio), device=device)
    return expose(light.permute(2, 0, 1)[None], exposures, sampler)
