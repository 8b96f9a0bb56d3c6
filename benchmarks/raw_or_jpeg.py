"""Compare training on RAW with training on 8-bit JPEG: same scenes, network and steps.

    python benchmarks/raw_or_jpeg.py OUT                 # an hour on two cores; resumes if repeated
    python benchmarks/raw_or_jpeg.py OUT --draw docs     # curves, pictures and the animation

For every photograph of `../shared/photos` a dark photo (×100, ×250 or ×300 at ISO 1600) and a
bright one (ISO 100) of a Sony A7S2 are simulated. LibRaw renders each as a camera's JPEG: its white
balance, sRGB's curve, 8 bits, quality 95, no brightening. Two networks of the shipped architecture
train on `train` as `undark train pairs` does, with `--aim raw-srgb` and `--aim rgb`. After each
epoch both restore central crops of `val`, which are compared with LibRaw's rendering of the bright
RAW photo in 16 bits.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray

from darkroom import BLACK, MATRIX, Cell, dark_scenes, developed, shoot_dng
from undark.demo import load_scene
from undark.develop.colour import camera_from_srgb, encode_srgb
from undark.develop.drawing import titled
from undark.develop.metrics import psnr, ssim
from undark.engine.allocator import keep_memory
from undark.files.cache import FrameCache
from undark.files.output import write_atomically
from undark.files.picture import read_picture, write_picture
from undark.files.raw import read_mosaic
from undark.learn.aims import AIMS
from undark.learn.data.batches import Batch
from undark.learn.data.pair_frames import PairFrames
from undark.learn.data.pairs import FULL_SPAN, held_crops
from undark.learn.film import shown, write_gif
from undark.learn.from_pairs import PairLoss, PairSplit, fitted, pair_plan
from undark.learn.options import Training
from undark.learn.task import RestoreTask
from undark.learn.train import fit
from undark.pairs.table import NAME, Row, read_rows, write_rows
from undark.sensor.mosaic import Shot

ISO, BRIGHT_ISO, SCENE_RATIO = 1600, 100, 250
EPOCHS, BATCH, CROP = 100, 8, 192
"""`CROP` is in sensor pixels for both variants."""
VAL_SIDE, SCENE_SIDE = 256, 384
"""Sides in pixels of the validation crops, and of the crop that is drawn after each epoch."""
SCENE_CROP = (slice(270, 718), slice(380, 828))
"""The crop that is drawn: rows and columns of undark's scene at half its size, ×250."""
FRAMES = (*range(1, 11), *range(12, 31, 2), *range(35, 101, 5))
"""Epochs of the animation: dense at first, where the output changes most."""


@dataclass(frozen=True)
class Variant:
    """Training on RAW or on JPEG."""

    name: str
    suffix: str
    aim: str
    crop: int
    """Side of the training crops in packed pixels."""

    def pairs(self, out: Path, part: str) -> Path:
        return out / self.name / part

    def frames(self, out: Path) -> PairFrames:
        return PairFrames(FrameCache(out / "cache"), AIMS[self.aim])


RAW = Variant("raw", ".dng", "raw-srgb", CROP // 2)
JPEG = Variant("jpeg", ".jpg", "rgb", CROP)
VARIANTS = (RAW, JPEG)


def simulate(out: Path, part: str) -> None:
    """Write all scenes of `part` as DNG and JPEG, with a table of the pairs, unless they exist."""
    if all((variant.pairs(out, part) / NAME).exists() for variant in VARIANTS):  # written last
        return
    rows: dict[Variant, list[Row]] = {variant: [] for variant in VARIANTS}
    for number, (stem, ratio, light) in enumerate(scenes(part)):
        for variant in VARIANTS:
            folder, name = variant.pairs(out, part), f"{stem}{variant.suffix}"
            rows[variant].append(
                Row(folder / "dark" / name, folder / "bright" / name, float(ratio))
            )
        raw, jpeg = rows[RAW][-1], rows[JPEG][-1]
        _simulate_one(light, Cell(ISO, ratio), number, raw.dark, jpeg.dark)
        _simulate_one(light, Cell(BRIGHT_ISO, 1), number, raw.bright, jpeg.bright)
    for variant in VARIANTS:
        write_rows(variant.pairs(out, part) / NAME, rows[variant])


def scenes(part: str) -> Iterator[tuple[str, int, NDArray[np.float64]]]:
    """Name, amplification and light of the photos of "train" or "val", or of undark's "scene"."""
    if part == "scene":
        yield "scene", SCENE_RATIO, scene()[SCENE_CROP]
        return
    yield from dark_scenes(part)


def scene() -> NDArray[np.float64]:
    """The light of undark's scene at half its size: the docs show no photographs of others."""
    light = load_scene().astype(np.float64)
    rows = (light[0::2] + light[1::2]) / 2
    small = (rows[:, 0::2] + rows[:, 1::2]) / 2
    return np.maximum(small @ camera_from_srgb(MATRIX).T, 0)


def _simulate_one(light: NDArray[np.float64], cell: Cell, seed: int, dng: Path, jpeg: Path) -> None:
    if jpeg.exists():
        return
    for path in (dng, jpeg):
        path.parent.mkdir(parents=True, exist_ok=True)
    shot = shoot_dng(dng, light, cell, seed)
    write_picture(jpeg, developed(dng), shot)


class Validation:
    """Inputs of a variant and their targets: crops of `val`, and the crop that is drawn."""

    def __init__(self, out: Path, variant: Variant) -> None:
        self._out, self._variant, self._frames = out, variant, variant.frames(out)
        self._truths = RAW.frames(out)

    @cached_property
    def val_batches(self) -> list[Batch]:
        return self._batches("val", VAL_SIDE)

    @cached_property
    def scene_batch(self) -> Batch:
        return self._batches("scene", SCENE_SIDE)[0]

    def _batches(self, part: str, side: int) -> list[Batch]:
        tables = (read_rows(variant.pairs(self._out, part) / NAME) for variant in VARIANTS)
        return [self._batch(raw, jpeg, side) for raw, jpeg in zip(*tables, strict=True)]

    def _batch(self, raw: Row, jpeg: Row, side: int) -> Batch:
        """The same pixels for both variants, with the RAW variant's target."""
        truth = held_crops(self._truths, raw, side // 2, FULL_SPAN)[0].prepare()
        if self._variant is RAW:
            return truth
        # RAW crops are taken one CFA period larger and cropped to its phase, here the first pixel
        given = held_crops(self._frames, jpeg, side + 2, FULL_SPAN)[0].prepare()
        return replace(truth, inputs=given.inputs[..., :side, :side].contiguous())

    def scores(self, network: torch.nn.Module) -> tuple[float, float]:
        """Mean PSNR in dB and SSIM of sRGB."""
        pairs = [
            (encoded_srgb(network(b.inputs)), encoded_srgb(b.target)) for b in self.val_batches
        ]
        return tuple(float(np.mean([f(a, b) for a, b in pairs])) for f in (psnr, ssim))  # type: ignore[return-value]


def encoded_srgb(light: torch.Tensor) -> NDArray[np.float32]:
    """Linear sRGB (1, 3, H, W) → (H, W, 3), encoded."""
    encoded: NDArray[np.float32] = encode_srgb(light[0].permute(1, 2, 0).float()).numpy()
    return encoded


class EpochLog(pl.Callback):
    """Writes loss, PSNR and SSIM of every epoch, and the restored crop of the scene."""

    def __init__(self, folder: Path, validation: Validation, steps: int) -> None:
        self._file, self._folder, self._validation, self._steps = (
            folder / "curve.json",
            folder,
            validation,
            steps,
        )
        known = json.loads(self._file.read_text()) if self._file.exists() else {}
        self._curve: dict[str, list[float]] = known
        self._losses: list[float] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, *_: Any
    ) -> None:
        self._losses.append(float(outputs["loss"]))
        epoch, rest = divmod(trainer.global_step, self._steps)
        if rest:
            return
        with torch.no_grad():
            scores = self._validation.scores(pl_module.network)
            restored = encoded_srgb(pl_module.network(self._validation.scene_batch.inputs))
        self._curve[str(epoch)] = [float(np.mean(self._losses)), *scores]
        self._losses = []
        write_atomically(self._file, json.dumps(self._curve, indent=0).encode())
        write_picture(self._folder / f"{epoch:03d}.png", _bytes(restored), Shot())


def _bytes(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    return (255 * picture + 0.5).astype(np.uint8)


def learn(out: Path, variant: Variant) -> RestoreTask:
    """Train a variant, or resume its training."""
    folder = out / variant.name / "run"
    folder.mkdir(exist_ok=True)
    rows, held = (read_rows(variant.pairs(out, part) / NAME) for part in ("train", "val"))
    steps = round(len(rows) / BATCH)
    resume = (folder / "last.ckpt").exists()
    data = variant.pairs(out, "train")
    training = Training(
        data, folder, steps=EPOCHS * steps, batch=BATCH, crop=variant.crop, resume=resume
    )
    frames = variant.frames(out)
    training = fitted(training, frames, rows)
    plan, _ = pair_plan(training, frames, PairSplit(rows, held[:1]), PairLoss())
    return fit(training, plan, [EpochLog(folder, Validation(out, variant), steps)])[0]


def curves(out: Path) -> dict[str, NDArray[np.float64]]:
    """Variant → (epochs, 3): loss, PSNR, SSIM."""
    found = {variant.name: out / variant.name / "run" / "curve.json" for variant in VARIANTS}
    return {name: np.array(list(json.loads(f.read_text()).values())) for name, f in found.items()}


def table(out: Path) -> str:
    """Markdown: PSNR and SSIM of both variants after some epochs."""
    of = curves(out)
    lines = ["| epochs | from JPEG | from RAW |", "|---|---|---|"]
    for epoch in (1, 5, 10, 25, 50, EPOCHS):
        cells = [f"{c[epoch - 1, 1]:.2f} / {c[epoch - 1, 2]:.3f}" for c in (of["jpeg"], of["raw"])]
        lines.append(f"| {epoch} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def draw(out: Path, docs: Path) -> None:
    """raw-or-jpeg-curves.png, levels.png, raw-or-jpeg.jpg and epochs.gif."""
    import matplotlib as mpl

    mpl.use("Agg")  # no screen
    _draw_curves(out, docs / "raw-or-jpeg-curves.png")
    _draw_levels(out, docs / "levels.png")
    validation = Validation(out, JPEG)
    given, truth = (
        _bytes(encoded_srgb(part))
        for part in (validation.scene_batch.inputs, validation.scene_batch.target)
    )
    names = ["JPEG, amplified", "trained on JPEG", "trained on RAW", "ground truth"]
    after = [_frame(out, variant, EPOCHS) for variant in (JPEG, RAW)]
    write_picture(docs / "raw-or-jpeg.jpg", titled([given, *after, truth], names), Shot(), 90)
    amplified = _bytes(encoded_srgb(shown(Validation(out, RAW).scene_batch)))
    first = titled([amplified, truth], ["RAW, amplified", "ground truth"])
    film = [
        titled([_frame(out, RAW, epoch), truth], [f"restored, epoch {epoch}", "ground truth"])
        for epoch in FRAMES
    ]
    write_gif(docs / "epochs.gif", [*[first] * 6, *film])


def _frame(out: Path, variant: Variant, epoch: int) -> NDArray[np.uint8]:
    return read_picture(out / variant.name / "run" / f"{epoch:03d}.png")


def _draw_curves(out: Path, path: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.6), constrained_layout=True)
    for number, (axis, name) in enumerate(
        zip(axes, ("loss (L1)", "PSNR, dB", "SSIM"), strict=True)
    ):
        for variant, colour in ((RAW, "#1f6fb4"), (JPEG, "#d1495b")):
            values = curves(out)[variant.name][:, number]
            axis.plot(
                np.arange(1, len(values) + 1), values, color=colour, label=f"from {variant.name}"
            )
        axis.set(xlabel="epoch", title=name)
        axis.grid(alpha=0.3)
    axes[0].set_yscale("log")
    axes[1].legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _draw_levels(out: Path, path: Path) -> None:
    """Histograms of green of the scene's dark photo, in the JPEG and in RAW."""
    from matplotlib import pyplot

    raw, jpeg = (read_rows(variant.pairs(out, "scene") / NAME)[0] for variant in VARIANTS)
    mosaic = read_mosaic(raw.dark)
    sensor = mosaic.plane[0::2, 1::2].astype(int) - BLACK
    levels = read_picture(jpeg.dark)[..., 1].astype(int)
    figure, axes = pyplot.subplots(1, 2, figsize=(12, 3.2), constrained_layout=True)
    for axis, values, title, colour in (
        (axes[0], levels, "8-bit JPEG: level of green (of 256)", "#d1495b"),
        (axes[1], sensor, "RAW: green in DN above black (of 15871)", "#1f6fb4"),
    ):
        low, high = np.percentile(values, (0.1, 99.9)).astype(int)
        inside = values[(values >= low) & (values <= high)]
        found, counts = np.unique(inside, return_counts=True)
        axis.bar(found, counts / values.size, width=0.9, color=colour)
        axis.set(title=f"{title}: {len(found)} levels", ylabel="fraction of pixels")
        print(f"\n{title}: 99.8 % of pixels on {len(found)} levels, {low} to {high}")
    figure.suptitle(f"The same dark photo, ×{raw.amplification:g} too dark")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--draw", type=Path, metavar="DIR", help="folder of the drawings")
    parser.add_argument("--only", choices=("raw", "jpeg"), help="train one variant only")
    asked = parser.parse_args()
    keep_memory()
    for part in ("train", "val", "scene"):
        simulate(asked.out, part)
    for variant in VARIANTS:
        if asked.only in (None, variant.name):
            learn(asked.out, variant)
    if not asked.only:
        print(table(asked.out))
    if asked.draw:
        draw(asked.out, asked.draw)


if __name__ == "__main__":
    main()
