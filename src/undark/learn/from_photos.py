"""`undark train photos`: train on ordinary photographs, darkened."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import lcm
from pathlib import Path

import numpy as np
import torch

from undark.develop.colour import CAMERA_MATRICES, camera_from_srgb, decode_srgb
from undark.engine.card import PICTURE_TASK, TASK
from undark.learn.aims import AIMS, aim_psnr, psnr
from undark.learn.data.batches import Batch, Samples
from undark.learn.data.camera_pictures import Rendering
from undark.learn.data.exposing import Exposures, expose, stack
from undark.learn.data.photos import (
    Photo,
    PhotoFiles,
    PhotoSamples,
    find_pictures,
    is_radiance,
    too_small,
)
from undark.learn.data.picture_samples import PictureSamples, photograph
from undark.learn.data.sampler import TorchSampler
from undark.learn.data.split import held_back, name_below
from undark.learn.kind import BAYER, PICTURE, InputKind
from undark.learn.loss import Loss, photo_loss, picture_loss
from undark.learn.options import Outcome, Training
from undark.learn.progress import Report, ignore
from undark.learn.task import TrainingPlan
from undark.learn.teacher import Teacher, taught
from undark.learn.train import train
from undark.sensor.profiles.cameras import find_camera

VAL_RATIOS = (10, 100, 250, 300)
PICTURE_VAL_RATIOS = (3, 10, 30, 100)
VAL_RENDERING = Rendering(lens=0.6, colour_blur=1.0, sharpening=0.4, quality=92)
VAL_ISO = 1600
VAL_CROP = 512
"""Largest side of a validation crop in pixels."""

_log = logging.getLogger(__name__)


def train_photos(
    training: Training, kind: InputKind | None = None, report: Report = ignore
) -> Outcome:
    """Train on photographs; writes model.onnx, model.safetensors and training.json to `out`.

    `kind` is the sensor's, or `PICTURE` for dark JPEGs; by default that of the configured network.
    A killed run can be continued with `resume`. Raises `TrainingError`.
    """
    training = training.for_kind(kind or training.config.kind)
    skipped: dict[Path, str] = {}

    def make_plan(held: list[str] | None) -> TrainingPlan:
        return photo_plan(training, skipped, held=held)

    return replace(train(training, make_plan, report), skipped=skipped)


def photo_plan(
    training: Training,
    skipped: dict[Path, str],
    only: Sequence[Path] | None = None,
    held: list[str] | None = None,
) -> TrainingPlan:
    """The plan of a training on photographs, or on some of them (`only`).

    Unreadable photos are added to `skipped`; `held` names those that a resumed run holds back.
    Raises `TrainingError`.
    """
    paths, val_paths = split(training, held)
    files, judged = PhotoFiles(only or paths), PhotoFiles(val_paths)
    for photos in (files, judged):
        photos.share_skipped(skipped)
    kind = training.config.kind
    names = [] if training.val else [name_below(p, training.data) for p in val_paths]
    of_pictures = kind == PICTURE
    loss: Loss = picture_loss if of_pictures else photo_loss
    task = PICTURE_TASK if of_pictures else TASK
    if training.teacher:
        loss = taught(loss, Teacher(training.teacher, kind, task))
    shown = _large_enough(judged, _multiple(kind))
    return TrainingPlan(
        samples=_samples(training, files, kind),
        kind=kind,
        validation=_validation(shown, kind),
        loss=loss,
        loss_name="picture" if of_pictures else "photo",
        score=partial(aim_psnr, AIMS["rgb"]) if of_pictures else psnr,
        task=task,
        unit="photographs",
        files=[path.name for path in files.readable],
        held=names,
        epoch=len(files.readable),
        split=f"{len({*paths, *val_paths})} photographs: {len(files.readable)} to learn from, "
        f"{len(shown)} to judge by",
    )


def _samples(training: Training, files: PhotoFiles, kind: InputKind) -> Samples:
    if kind == PICTURE:
        return PictureSamples(files, training.crop, training.seed)
    return PhotoSamples(files, training.crop, training.seed, kind)


def split(training: Training, held: list[str] | None = None) -> tuple[list[Path], list[Path]]:
    """Photos for training and photos for validation; the same if there is only one.

    `held` are the names that a resumed run holds back.
    """
    paths = find_pictures(training.data)
    if training.val:
        return paths, find_pictures(training.val)
    judged = _recorded(paths, training.data, held) if held else None
    if not judged:
        judged = held_back([p for p in paths if not is_radiance(p)] or paths, training.data)
    return [p for p in paths if p not in judged] or paths, judged


def _recorded(paths: list[Path], folder: Path, held: list[str]) -> list[Path]:
    return [path for path in paths if name_below(path, folder) in held]


def _large_enough(files: PhotoFiles, side: int) -> list[Photo]:
    """The photos that are `side` pixels wide and high.

    Raises `TrainingError` where there is none.
    """
    photos = [photo for path in files.readable if (photo := files.get(path)) is not None]
    large = [photo for photo in photos if min(photo.shape[:2]) >= side]
    if not large:
        raise too_small(side, " to judge by (--val, or held back)")
    if small := len(photos) - len(large):
        _log.warning(
            "%d of %d photographs to judge by are not %d pixels wide and high (left out)",
            small,
            len(photos),
            side,
        )
    return large


def _validation(photos: Sequence[Photo], kind: InputKind) -> dict[str, list[Batch]]:
    """Simulated Sony A7S2 photos at `VAL_ISO` of each photo's centre; deterministic."""
    ratios = PICTURE_VAL_RATIOS if kind == PICTURE else VAL_RATIOS
    return {f"x{r}": [val_batch(p, VAL_ISO, r, kind) for p in photos] for r in ratios}


def val_batch(photo: Photo, iso: float, ratio: float, kind: InputKind = BAYER) -> Batch:
    """A simulated dark photo of the central crop, at most `VAL_CROP` pixels a side; seeded."""
    light, sampler = _central_light(photo, kind), TorchSampler(int(ratio))
    exposures = _val_exposures(iso, ratio)
    if kind == PICTURE:
        return photograph(light, exposures, VAL_RENDERING, sampler)
    return expose(light, exposures, sampler, kind)


def _central_light(photo: Photo, kind: InputKind) -> torch.Tensor:
    """(1, 3, H, W) linear sRGB of the central crop, at most `VAL_CROP` pixels a side."""
    multiple = _multiple(kind)
    side = [min(VAL_CROP, n) // multiple * multiple for n in photo.shape[:2]]
    top, left = ((n - s) // 2 for n, s in zip(photo.shape[:2], side, strict=True))
    middle = photo[top : top + side[0], left : left + side[1]]
    light = torch.from_numpy(middle.copy())
    if light.dtype == torch.uint8:
        light = decode_srgb(light.float() / 255)
    return light.permute(2, 0, 1)[None]


def _multiple(kind: InputKind) -> int:
    """Pixels of which a validation crop's sides are multiples: 8 packed ones fit every network."""
    return lcm(8 * kind.cell * kind.fold, kind.period)


def _val_exposures(iso: float, ratio: float) -> Exposures:
    camera = find_camera("ILCE-7SM2")
    assert camera is not None
    return Exposures(
        amplification=np.full(1, ratio, np.float32),
        white_balance=np.array([[2.0, 1.0, 1.6]], np.float32),
        camera=camera_from_srgb(CAMERA_MATRICES[-1])[None].astype(np.float32),
        tint=np.ones((1, 3), np.float32),
        span=camera.span,
        noise=stack([camera.at(iso)]),
    )
