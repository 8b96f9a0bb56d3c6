"""Compare the speed of training with that of the forward and backward pass alone.

    python benchmarks/throughput.py             # about a quarter of an hour on two cores

Trains on photos, on pairs and on SID with the shipped architecture and the default batch and crop,
through the functions behind `undark train`. A training step includes data, noise, optimiser, weight
averaging, checkpoints and log; validation takes at most 3 % of a long run's time and is left out:
the first comes after 30 s, in which it would be a third. A gradient step is the forward and
backward pass of one batch that is already in memory, in the same process, measured alternately.
Prints two Markdown tables; the second is the time to make a batch of pairs without and with the
cache of decoded frames.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from darkroom import SHARED
from speed import machine
from undark.demo import photograph
from undark.develop.colour import decode_srgb
from undark.engine.allocator import keep_memory
from undark.files.cache import FrameCache
from undark.files.dng import write_mosaic
from undark.files.picture import read_picture
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
STEPS = 50
"""Steps of a training run; the first ten are not counted."""
BARE_STEPS = 20


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


def gradient_step(variant: Variant, training: Training) -> float:
    """Seconds per forward and backward pass."""
    network = init_network(training.config, training.seed)
    batch = make_batch(variant.source, 0, range(training.batch))

    def step() -> None:
        network.zero_grad()
        variant.loss(network, batch).backward()  # type: ignore[no-untyped-call]

    step()
    return timed(step, BARE_STEPS)


def training_step(variant: Variant, training: Training) -> float:
    """Seconds per training step without validation, from the log."""
    variant.run(training)
    steps = EventAccumulator(str(training.out / "log")).Reload().Scalars("loss")
    # of every ten steps; the median leaves out those with a validation
    times = [(step.wall_time, step.step) for step in steps]
    spans = [(end - start) / (to - first) for (start, first), (end, to) in pairwise(times)]
    return float(statistics.median(spans))


def timed(action: Callable[[], object], times: int) -> float:
    """Mean wall seconds."""
    began = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - began) / times


def throughput(variant: Variant, folder: Path, runs: int) -> str:
    """A row of the table: medians of alternating runs."""
    gradient_times, training_times = [], []
    for number in range(runs):
        training = Training(variant.folder, folder / f"{variant.name}-{number}", steps=STEPS)
        gradient_times.append(gradient_step(variant, training))
        training_times.append(training_step(variant, training))
    base, full = statistics.median(gradient_times), statistics.median(training_times)
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
    parser.add_argument("--runs", type=int, default=3)
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
                print(throughput(variant, folder, asked.runs), flush=True)
        if asked.only is None:
            print()
            print(cache_table(folder))


if __name__ == "__main__":
    main()
