"""`undark train pairs` and `undark train sid`: learn from dark and bright photos of one scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from undark.engine.card import PICTURE_TASK
from undark.errors import PhotoError, TrainingError, UnsupportedError
from undark.files.cache import FrameCache, default_folder
from undark.files.picture import is_picture
from undark.learn.pairs import (
    AIMS,
    WHOLE,
    Aim,
    PairFrames,
    PairSource,
    Span,
    aim_psnr,
    l1_loss,
    none_readable,
)
from undark.learn.photos import Batch
from undark.learn.task import Course, photo_loss
from undark.learn.train import Outcome, Training, choose_device, train
from undark.pairs.choose import choose, good_rows
from undark.pairs.sid import SPLITS, find_sid, split
from undark.pairs.table import Row

VAL_CROP = 256
"""Side in packed pixels of what a pair is judged by."""
MOST_JUDGED = 12
HELD_BACK = 12
"""One pair in so many is kept from training, to judge by, where no --val is given."""
FEW = 6
"""With fewer pairs a part of each is held back instead."""
TRAIN_SPAN, HELD_SPAN = (0.0, 0.7), (0.7, 1.0)


def train_pairs(
    training: Training,
    aim: str = "raw-linear",
    loss: str = "l1",
    cache: Path | None = None,
) -> Outcome:
    """Train on the good pairs of a folder (see `undark pairs`), or fine-tune to its camera.

    `aim` is one of `AIMS`, `loss` "l1", or "log" as for photographs. Raises `TrainingError`.
    """
    rows, alone = choose(training.data)
    if training.val:
        held, spans = good_rows(training.val), (WHOLE, WHOLE)
    elif len(rows) < FEW:
        held, spans = rows, (TRAIN_SPAN, HELD_SPAN)
    else:
        held, spans = rows[::HELD_BACK], (WHOLE, WHOLE)
        rows = [row for row in rows if row not in held]
    return learn(training, rows, held, alone, AIMS[aim], loss, cache, spans)


def learn(
    training: Training,
    rows: Sequence[Row],
    held: Sequence[Row],
    alone: Sequence[Path],
    aim: Aim,
    loss: str,
    cache: Path | None,
    spans: tuple[Span, Span] = (WHOLE, WHOLE),
) -> Outcome:
    """Train on pairs and judge by others; photos that are `alone` are counted as left out."""
    frames = PairFrames(FrameCache(cache or default_folder()), aim)
    for photo in alone:
        frames.skip(photo, UnsupportedError(f"{photo}: without a partner"))
    training = fitted(training, frames, rows)
    outcome = train(training, lambda: pair_course(training, frames, rows, held, loss, spans))
    return replace(outcome, skipped=dict(frames.skipped))


def fitted(training: Training, frames: PairFrames, rows: Sequence[Row]) -> Training:
    """With a network for the kind of photos that the pairs are of."""
    frames.cell = _cell(frames, rows)
    return replace(training, network=replace(training.config, cell=frames.cell))


def pair_course(
    training: Training,
    frames: PairFrames,
    rows: Sequence[Row],
    held: Sequence[Row],
    loss: str = "l1",
    spans: tuple[Span, Span] = (WHOLE, WHOLE),
) -> Course:
    """The course of pairs: those to learn from, those to judge by, and the part of each to use.

    Raises `TrainingError`.
    """
    device, aim = choose_device(training.device), frames.aim
    return Course(
        PairSource(rows, frames, training.crop, training.seed, device, spans[0]),
        {"held": _judged(frames, held, spans[1], device)},
        photo_loss if loss == "log" else partial(l1_loss, aim),
        partial(aim_psnr, aim),
        aim.task,
        sorted({row.dark.name for row in rows}),
        epoch=len(rows),
    )


def _cell(frames: PairFrames, rows: Sequence[Row]) -> int:
    """That of the first photo that can be read: 2, 3, or 1 for pictures."""
    for row in rows:
        _check_aim(frames.aim, row)
        try:
            return 1 if is_picture(row.dark) else frames.dark(row.dark)[0].cfa.cell
        except PhotoError as error:
            frames.skip(row.dark, error)
    raise TrainingError(none_readable(frames.skipped) if rows else "no pairs to learn from")


def _check_aim(aim: Aim, row: Row) -> None:
    if is_picture(row.dark) and aim.task != PICTURE_TASK:
        raise TrainingError(
            f"{row.dark}: a picture, not a RAW photo; add --aim rgb to learn from it"
        )
    if not is_picture(row.dark) and aim.task == PICTURE_TASK:
        raise TrainingError(f"{row.dark}: no JPEG, PNG or TIFF; for RAW photos leave out --aim rgb")


def _judged(frames: PairFrames, rows: Sequence[Row], span: Span, device: object) -> list[Batch]:
    """The middles of at most `MOST_JUDGED` pairs, evenly chosen."""
    chosen = [
        rows[i] for i in np.linspace(0, len(rows) - 1, min(len(rows), MOST_JUDGED)).astype(int)
    ]
    made = (frames.sample(row, VAL_CROP, span, None) for row in chosen)
    found = [batch for batch in made if batch is not None]
    if not found:
        why = frames.skipped.get(chosen[0].dark) or frames.skipped[chosen[0].bright]
        raise TrainingError(f"nothing left to judge by; take this pair out: {why}")
    return found


def train_sid(
    training: Training,
    camera: str,
    aim: str = "raw-srgb",
    loss: str = "l1",
    cache: Path | None = None,
) -> Outcome:
    """Train on SID's training scenes and judge by its validation scenes; test scenes are not read.

    `camera` is "sony" (Bayer) or "fuji" (X-Trans). Raises `TrainingError`.
    """
    found = find_sid(training.data, camera)
    splits = split(found.pairs, camera)
    for name in ("train", "validation"):
        if not splits[name]:
            raise TrainingError(
                f"{training.data}: no pair of the {name} split, whose scenes are numbered "
                f"{SPLITS[name]}xxxx; is the data set complete?"
            )
    learnt, held = splits["train"], splits["validation"]
    return learn(training, learnt, held, found.alone, AIMS[aim], loss, cache)
