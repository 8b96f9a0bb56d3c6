"""`undark train pairs` and `undark train sid`: train on dark and bright photos of one scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from undark.errors import PhotoError, TrainingError
from undark.files.cache import FrameCache, default_folder
from undark.learn.aims import AIMS, aim_psnr, l1_loss
from undark.learn.data.batches import Batch
from undark.learn.data.pair_crops import PairCrops
from undark.learn.data.pair_frames import PairFrames, kind_of_rows
from undark.learn.data.pairs import FULL_SPAN, PairSamples, Span, held_crops
from undark.learn.data.split import held_back, name_below
from undark.learn.loss import log_loss
from undark.learn.options import Outcome, Training
from undark.learn.progress import Report, ignore
from undark.learn.task import TrainingPlan
from undark.learn.train import train
from undark.pairs.choose import choose, good_rows
from undark.pairs.sid import SPLITS, find_sid
from undark.pairs.sid import split as split_sid
from undark.pairs.table import Row

VAL_CROP = 256
"""Side of a validation crop in packed pixels."""
MAX_JUDGED = 12
"""Largest number of pairs for validation; from more, evenly spaced ones are used."""
MIN_CROPS = 12
"""Number of validation crops that is aimed at: the gain's standard error needs several."""
FEW = 24
"""With fewer pairs a part of each is held back: scores on one or two pairs vary too much."""
TRAIN_SPAN, HELD_SPAN = (0.0, 0.7), (0.7, 1.0)


@dataclass(frozen=True)
class PairSplit:
    """Pairs for training and for validation, and the part of each frame that is used."""

    learnt: Sequence[Row]
    held: Sequence[Row]
    learnt_span: Span = FULL_SPAN
    held_span: Span = FULL_SPAN

    @property
    def in_parts(self) -> bool:
        """Whether a part of every pair is held back."""
        return self.learnt_span != FULL_SPAN

    def describe(self) -> str:
        """One line for the user."""
        count = len({row.dark for row in [*self.learnt, *self.held]})
        if self.in_parts:
            share = round(100 * TRAIN_SPAN[1])
            return f"{count} pairs: {share} % of each to learn from, the rest to judge by"
        return f"{count} pairs: {len(self.learnt)} to learn from, {len(self.held)} to judge by"


def train_pairs(
    training: Training,
    aim: str = "raw-linear",
    loss: str = "l1",
    cache: Path | None = None,
    report: Report = ignore,
) -> Outcome:
    """Train on the good pairs of a folder (see `undark pairs`), or fine-tune to its camera.

    `aim` is one of `AIMS`, `loss` "l1", or "log" as for photographs. Raises `TrainingError`.
    """
    rows, unpaired = choose(training.data)

    def split(held: list[str] | None) -> PairSplit:
        return split_pairs(training, rows, held)

    return learn(training, rows, split, unpaired, PairLoss(aim, loss), cache, report)


def split_pairs(training: Training, rows: Sequence[Row], held: list[str] | None) -> PairSplit:
    """Split pairs; `held` are the names that a resumed run holds back."""
    if training.val:
        return PairSplit(rows, good_rows(training.val))
    names = {row.dark: name_below(row.dark, training.data) for row in rows}
    if held is None and len(rows) >= FEW:
        held = [names[p] for p in held_back(list(names), training.data)]
    judged = [row for row in rows if names[row.dark] in (held or [])]
    if not judged:
        return PairSplit(rows, rows, TRAIN_SPAN, HELD_SPAN)
    return PairSplit([row for row in rows if row not in judged], judged)


@dataclass(frozen=True)
class PairLoss:
    """The aim of training and its loss."""

    aim: str = "raw-linear"
    """One of `AIMS`."""
    name: str = "l1"
    """ "l1" or "log"."""


def learn(
    training: Training,
    rows: Sequence[Row],
    split: Callable[[list[str] | None], PairSplit],
    unpaired: Sequence[Path],
    loss: PairLoss,
    cache: Path | None,
    report: Report = ignore,
) -> Outcome:
    """Train on pairs and validate on others; `unpaired` photos are counted as left out.

    `split` is called with the names that a resumed run holds back, or None.
    """
    frames = PairFrames(FrameCache(cache or default_folder()), AIMS[loss.aim])
    for photo in unpaired:
        frames.skip(photo, f"{photo}: without a partner")
    training = fitted(training, frames, rows)
    samples: list[PairSamples] = []

    def make_plan(held: list[str] | None) -> TrainingPlan:
        plan, made = pair_plan(training, frames, split(held), loss)
        samples.append(made)
        return plan

    outcome = train(training, make_plan, report)
    return replace(outcome, skipped=samples[0].skipped())


def fitted(training: Training, frames: PairFrames, rows: Sequence[Row]) -> Training:
    """With a network for the sensor kind of most pairs."""
    frames.kind = kind_of_rows(frames, rows)
    return training.for_kind(frames.kind)


def pair_plan(
    training: Training, frames: PairFrames, split: PairSplit, loss: PairLoss
) -> tuple[TrainingPlan, PairSamples]:
    """The plan of pairs. Raises `TrainingError`."""
    aim = frames.aim
    samples = PairSamples(split.learnt, frames, training.crop, training.seed, split.learnt_span)
    by_name = not (split.in_parts or training.val)
    plan = TrainingPlan(
        samples=samples,
        kind=training.config.kind,
        validation={"held": _judged(frames, split.held, split.held_span)},
        loss=log_loss if loss.name == "log" else partial(l1_loss, aim),
        loss_name=loss.name,
        score=partial(aim_psnr, aim),
        task=aim.task,
        unit="pairs",
        files=sorted({row.dark.name for row in split.learnt}),
        held=[name_below(row.dark, training.data) for row in split.held] if by_name else [],
        epoch=len(split.learnt),
        split=split.describe(),
    )
    return plan, samples


def _judged(frames: PairFrames, rows: Sequence[Row], span: Span) -> list[Batch]:
    """Crops of at most `MAX_JUDGED` evenly spaced pairs; several of each if pairs are few."""
    count = min(len(rows), MAX_JUDGED)
    chosen = [rows[i] for i in np.linspace(0, len(rows) - 1, count).astype(int)]
    found = [
        crop.prepare()
        for row in chosen
        for crop in _crops_of(frames, row, span, -(-MIN_CROPS // count))
    ]
    if not found:
        why = frames.skipped.get(chosen[0].dark) or frames.skipped[chosen[0].bright]
        raise TrainingError(f"nothing left to judge by; remove this pair: {why}")
    return found


def _crops_of(frames: PairFrames, row: Row, span: Span, count: int) -> list[PairCrops]:
    """See `held_crops`; empty if a photo cannot be used."""
    if not frames.usable(row):
        return []
    try:
        return held_crops(frames, row, VAL_CROP, span, count)
    except PhotoError as error:
        frames.skip_for(row, error)
        return []


def train_sid(
    training: Training,
    camera: str,
    aim: str = "raw-srgb",
    loss: str = "l1",
    cache: Path | None = None,
    report: Report = ignore,
) -> Outcome:
    """Train on SID's training scenes, validate on its validation scenes; no test scene is read.

    `camera` is "sony" (Bayer) or "fuji" (X-Trans). Raises `TrainingError`.
    """
    found = find_sid(training.data, camera)
    splits = split_sid(found.pairs, camera)
    for name in ("train", "validation"):
        if not splits[name]:
            raise TrainingError(
                f"{training.data}: no pair of the {name} split, whose scenes are numbered "
                f"{SPLITS[name]}xxxx; is the data set complete?"
            )
    chosen = PairSplit(splits["train"], splits["validation"])
    rows = splits["train"]
    return learn(
        training, rows, lambda _: chosen, found.unpaired, PairLoss(aim, loss), cache, report
    )
