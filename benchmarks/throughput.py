"""Compare the speed of training with that of the forward and backward pass alone.

    python benchmarks/throughput.py             # about a quarter of an hour on two cores

Trains on photos, on pairs and on SID with the shipped architecture and the default batch and crop,
through the functions behind `undark train`. A training step includes data, noise, optimiser, weight
averaging, checkpoints and log. After every step of the run comes a gradient step, the forward and
backward pass of one batch that is already in memory, in the same precision: the machine's drift
falls on both. Medians are given, so a validation, which comes after 30 s and takes at most 3 % of a
long run, is left out. Prints two Markdown tables; the second is the time to make a batch of pairs
without and with the cache of decoded frames.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import lightning.pytorch as pl
import numpy as np
import torch

from darkroom import SHARED
from speed import machine
from undark.demo import photograph
from undark.develop.colour import decode_srgb
from undark.engine.allocator import keep_memory
from undark.files.cache import FrameCache
from undark.files.dng import write_mosaic
from undark.files.picture import read_picture
from undark.learn import train as learn
from undark.learn.aims import AIMS, l1_loss
from undark.learn.data.batches import Samples, make_batch
from undark.learn.data.pair_frames import PairFrames
from undark.learn.data.pairs import PairSamples
from undark.learn.data.photos import PhotoFiles, PhotoSamples
from undark.learn.from_pairs import train_pairs, train_sid
from undark.learn.from_photos import split, train_photos
from undark.learn.loss import Loss, photo_loss
from undark.learn.network import init_network
from undark.learn.options import Outcome, Training
from undark.pairs.sid import sid_rows

SIZE = (2848, 4256)
"""Rows and columns of SID's Sony photos."""
SCENES = ("00001", "00002", "00003", "20001")
"""Three for training, one for validation. Each takes 34 MB of disk as files and 100 MB decoded."""
WARM_UP = 5
"""Steps that are not counted."""


@dataclass(frozen=True)
class Variant:
    """A kind of training."""

    name: str
    source: Samples
    loss: Loss
    run: Callable[[Training], Outcome]
    folder: Path


def make_sid(folder: Path) -> None:
    """Write pairs named as in SID, from photographs tiled to the size of SID's files."""
    photos = sorted((SHARED / "photos" / "train").glob("*.jpg"))
    curve = decode_srgb(np.arange(256) / 255).astype(np.float32)
    for number, scene in enumerate(SCENES):
        light = curve[read_picture(photos[20 * number])]
        tiles = [-(-n // m) for n, m in zip(SIZE, light.shape, strict=False)]
        light = np.tile(light, (*tiles, 1))[: SIZE[0], : SIZE[1]]
        for part, seconds, ratio in (("short", "0.1s", 100), ("long", "10s", 1)):
            path = folder / "Sony" / part / f"{scene}_00_{seconds}.dng"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_mosaic(path, photograph(light, 1600 if ratio > 1 else 100, ratio))


def variants(folder: Path) -> list[Variant]:
    """The three kinds, with the sources that the training functions use."""
    photos, cache = SHARED / "photos" / "train", folder / "cache"
    usual = Training(photos, folder)
    paths, _ = split(usual)
    rows = sid_rows(folder, "sony")["train"]

    def pairs(aim: str) -> PairSamples:
        return PairSamples(rows, PairFrames(FrameCache(cache), AIMS[aim]), usual.crop, usual.seed)

    linear, srgb = (partial(l1_loss, AIMS[aim]) for aim in ("raw-linear", "raw-srgb"))
    by_pairs = partial(train_pairs, aim="raw-linear", cache=cache)
    by_sid = partial(train_sid, camera="sony", cache=cache)
    by_photos = PhotoSamples(PhotoFiles(paths), usual.crop)
    return [
        Variant("photos", by_photos, photo_loss, train_photos, photos),
        Variant("pairs", pairs("raw-linear"), linear, by_pairs, folder / "Sony"),
        Variant("SID", pairs("raw-srgb"), srgb, by_sid, folder),
    ]


class InTurn(pl.Callback):
    """Takes a gradient step after every training step, and times both."""

    def __init__(self, variant: Variant, training: Training) -> None:
        self._loss, self._network = variant.loss, init_network(training.config, training.seed)
        self._batch = make_batch(variant.source, 0, range(training.batch))
        self._began = time.perf_counter()
        self.training: list[float] = []
        self.gradient: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """The first of the callbacks: the others of this step count to the next one."""
        began = time.perf_counter()
        self.training.append(began - self._began)
        self._network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in str(trainer.precision)):
            loss = self._loss(self._network, self._batch)
        loss.backward()  # type: ignore[no-untyped-call]
        self._began = time.perf_counter()
        self.gradient.append(self._began - began)


def timed(action: Callable[[], object], times: int) -> float:
    """Mean wall seconds."""
    began = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - began) / times


def throughput(variant: Variant, folder: Path, steps: int) -> str:
    """A row of the table: medians of the steps of one run."""
    training = Training(variant.folder, folder / variant.name, steps=steps)
    in_turn, fit = InTurn(variant, training), learn.fit
    with mock.patch.object(learn, "fit", partial(fit, watch=[in_turn])):
        variant.run(training)
    base, full = (
        statistics.median(times[WARM_UP:]) for times in (in_turn.gradient, in_turn.training)
    )
    pixels = training.batch * training.crop**2 / 1e6
    return f"| {variant.name} | {base:.3f} | {full:.3f} | {pixels / full:.3f} | {base / full:.3f} |"


def cache_table(folder: Path, batches: int = 3) -> str:
    """Seconds to make a batch of 16 without the cache, and with a filled one."""
    rows = sid_rows(folder, "sony")["train"]

    def make(cache: FrameCache, times: int) -> float:
        source = PairSamples(rows, PairFrames(cache, AIMS["raw-srgb"]), crop=112, seed=0)
        return timed(lambda: make_batch(source, 0, range(16)), times)

    filled = FrameCache(folder / "filled")
    make(filled, 1)
    slow, fast = make(_NoCache(folder / "none"), 1), make(filled, batches)
    return (
        "| | seconds per batch |\n|---|---|\n"
        f"| without the cache | {slow:.2f} |\n| from the cache | {fast:.3f} |\n"
        f"| ratio | {slow / fast:.0f} |"
    )


class _NoCache(FrameCache):
    """Decodes at every access."""

    def get(self, source, what, decode):  # type: ignore[no-untyped-def]
        return decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--only", choices=("photos", "pairs", "SID"))
    asked = parser.parse_args()
    keep_memory()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_sid(folder)
        print(f"{machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads\n")
        print("| | gradient step, s | training step, s | Mpx/s | ratio |\n|---|---|---|---|---|")
        for variant in variants(folder):
            if asked.only in (None, variant.name):
                print(throughput(variant, folder, asked.steps), flush=True)
        if asked.only is None:
            print()
            print(cache_table(folder))


if __name__ == "__main__":
    main()
