"""How much of the bare forward-backward loop's speed a whole training keeps.

    python benchmarks/throughput.py             # about a quarter of an hour on two cores

Trains from photos, from pairs and from SID with the network that ships, the default batch and crop,
by the functions behind `undark train`: data, noise, optimiser, average of weights, checkpoints, log
and its share of the validation are in. Beside it, in the same process and in turn, the bare loop:
gradients of one batch that lies ready, nothing else. Prints two Markdown tables; the second is how
long a batch of pairs takes to make without and with the cache of decoded frames.
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

import numpy as np
import torch
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from darkroom import SHARED
from speed import machine
from undark.demo import photograph
from undark.develop.colour import decode_srgb
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
from undark.learn.machine import keep_memory
from undark.learn.network import init_network
from undark.learn.options import Outcome, Training
from undark.pairs.sid import sid_rows

SIZE = (2848, 4256)
"""Rows and columns of SID's Sony photos."""
SCENES = ("00001", "00002", "00003", "20001")
"""Three to learn from, one to judge by; each takes the disk 34 MB as files, 100 MB decoded."""
STEPS = 50
"""Of a training; the first ten are not counted."""
BARE_STEPS = 20


@dataclass(frozen=True)
class Way:
    """One way to train."""

    name: str
    source: Samples
    loss: Loss
    run: Callable[[Training], Outcome]
    folder: Path


def make_sid(folder: Path) -> None:
    """Pairs under SID's names, of photographs tiled to the size of its files."""
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


def ways(folder: Path) -> list[Way]:
    """The three, their sources made as the functions that train make them."""
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
        Way("photos", by_photos, photo_loss, train_photos, photos),
        Way("pairs", pairs("raw-linear"), linear, by_pairs, folder / "Sony"),
        Way("SID", pairs("raw-srgb"), srgb, by_sid, folder),
    ]


def bare(way: Way, training: Training) -> float:
    """Seconds of one step that only makes gradients."""
    network = init_network(training.config, training.seed)
    batch = make_batch(way.source, 0, range(training.batch))

    def step() -> None:
        network.zero_grad()
        way.loss(network, batch).backward()  # type: ignore[no-untyped-call]

    step()
    return timed(step, BARE_STEPS)


def whole(way: Way, training: Training) -> float:
    """Seconds of one step of a training by its log; validation, by time, takes 3 % at most."""
    way.run(training)
    steps = EventAccumulator(str(training.out / "log")).Reload().Scalars("loss")
    return float((steps[-1].wall_time - steps[0].wall_time) / (steps[-1].step - steps[0].step))


def timed(action: Callable[[], object], times: int) -> float:
    """Mean wall seconds."""
    began = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - began) / times


def throughput(way: Way, folder: Path, runs: int) -> str:
    """A row of the table: medians of runs in turn."""
    bares, wholes = [], []
    for number in range(runs):
        training = Training(way.folder, folder / f"{way.name}-{number}", steps=STEPS)
        bares.append(bare(way, training))
        wholes.append(whole(way, training))
    base, full = statistics.median(bares), statistics.median(wholes)
    pixels = training.batch * training.crop**2 / 1e6
    return f"| {way.name} | {base:.3f} | {full:.3f} | {pixels / full:.3f} | {base / full:.3f} |"


def cache_table(folder: Path, batches: int = 3) -> str:
    """Seconds of a batch of 16 without the cache, and with it once it is filled."""
    rows = sid_rows(folder, "sony")["train"]

    def make(cache: FrameCache, times: int) -> float:
        source = PairSamples(rows, PairFrames(cache, AIMS["raw-srgb"]), crop=112, seed=0)
        return timed(lambda: make_batch(source, 0, range(16)), times)

    filled = FrameCache(folder / "filled")
    make(filled, 1)
    slow, fast = make(_NoCache(folder / "none"), 1), make(filled, batches)
    return (
        "| | seconds a batch |\n|---|---|\n"
        f"| each file decoded anew | {slow:.2f} |\n| from the cache | {fast:.3f} |\n"
        f"| times as fast | {slow / fast:.0f} |"
    )


class _NoCache(FrameCache):
    """Decodes every time."""

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
        print("| | bare step, s | whole step, s | Mpx/s | whole / bare |\n|---|---|---|---|---|")
        for way in ways(folder):
            if asked.only in (None, way.name):
                print(throughput(way, folder, asked.runs), flush=True)
        if asked.only is None:
            print()
            print(cache_table(folder))


if __name__ == "__main__":
    main()
