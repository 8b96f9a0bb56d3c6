"""Train the coarse network that `undark.restoring.coarse` uses, and put it into the package.

    python scripts/coarse.py frames FOLDER frames.npz    # photographs → means over blocks
    python scripts/coarse.py train frames.npz            # → src/undark/engine/coarse.onnx

`frames` darkens photographs as training does, with cameras, colours and noise that vary as there,
and a twentieth of them scenes of flat areas; it restores them with the four models for RAW photos
that ship and keeps the means of `restoring.coarse.BlockMeans`, and how far those of the restored
light are from the truth. `train` takes minutes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from undark.develop.metrics import BLOCK, block_means
from undark.engine.coarse import FILE
from undark.engine.model import cached_model
from undark.learn.data.draws import draw_exposures
from undark.learn.data.exposing import NOISE_PARAMETERS, Exposures
from undark.learn.data.looks import Look, decode, draw_look
from undark.learn.data.photos import PhotoFiles, find_pictures
from undark.learn.data.scenes import draw_scene
from undark.learn.export import graph_of
from undark.restoring.bands import run_network
from undark.restoring.comparison import Comparison
from undark.restoring.raw import prepare
from undark.sensor.cfa import CFA, RGGB, X_TRANS, mosaic
from undark.sensor.conditioning import HIGHLIGHT_CEILING
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel, NumPySampler

Floats = NDArray[np.float32]
Frame = dict[str, Floats]
Random = np.random.Generator

MODELS = {"bayer": 0.4, "bayer-fast": 0.2, "xtrans": 0.25, "xtrans-fast": 0.15}
"""Of which the frames are, and how often."""
SIDE = 640
"""Most pixels of a frame's height and width."""
SCENES = 0.05
"""Share of frames that show flat areas and no photograph."""
RARE = 0.1
"""Share of the rare colours of training: errors are bounded, and what is learnt here is which
colours are likely."""
NOISY, FAINT = 0.05, 0.05
"""Sigma at black of amplified light above which means have errors to be seen, and the share of
frames with less that are kept."""
KNOWN = 0.4
"""Share of frames whose noise is given and not estimated."""
BLACK = 512
WIDTH = 24
"""Channels of the network."""
CROP, BATCH = 32, 16
"""Blocks of a training crop's side; crops of a step."""
STEPS = 7000
RATE = 2e-3
HELD_BACK = 12
"""One frame in so many judges the network only."""
COLOUR = 5.0
"""Weight of the error of colour beside that of light."""
BRIGHT = 2.2
"""Median of the restored means, as the network is given them, above which a frame is left out:
nothing can be learnt from it."""
LEAST = 0.003
"""Squared error, in standard errors, that is small enough."""


def _draw_exposure(random: Random) -> Exposures:
    """As training draws them, but fewer of little noise, and of rare light and balances."""
    while True:
        exposure = draw_exposures(1, random)
        red, _, blue = exposure.white_balance[0]
        usual = np.all(exposure.tint == 1) and min(red, blue) > 1.2 and max(red, blue) < 2.8
        noisy = exposure.sigma_at_black[0, 1] > NOISY
        if (usual or random.random() < RARE) and (noisy or random.random() < FAINT):
            return exposure


def shoot(
    light: Floats | None, exposure: Exposures, noise: NoiseModel, cfa: CFA, random: Random
) -> tuple[Mosaic, Floats]:
    """A dark mosaic of linear sRGB (3, H, W), or of a scene, and its amplified light (H, W, 3)."""
    amplification, span = float(exposure.amplification[0]), exposure.span
    balance = exposure.white_balance[0]
    to_signal = np.float32(span / amplification) / balance
    if light is None:
        sigma = exposure.sigma_at_black[0]
        truth = draw_scene(random, SIDE // 2, sigma, HIGHLIGHT_CEILING)
    else:
        camera = np.einsum("ij,jhw->ihw", exposure.camera[0], light).clip(0)
        truth = camera * exposure.tint[0][:, None, None]
    signal = mosaic(truth * to_signal[:, None, None], cfa)
    noisy = noise.add(signal, NumPySampler(int(random.integers(2**31))), cfa.period)
    plane = np.rint(np.clip(noisy + BLACK, 0, BLACK + span)).astype(np.uint16)
    black = np.full(cfa.pattern.shape, BLACK, np.float32)
    return Mosaic(plane, cfa, black, float(BLACK + span), balance), np.moveaxis(truth, 0, -1)


def make_frame(light: Floats | None, random: Random) -> Frame:
    """Darken linear sRGB (3, H, W), or a scene, and restore it: what the network learns from."""
    name = str(random.choice([*MODELS], p=[*MODELS.values()]))
    exposure = _draw_exposure(random)
    noise = NoiseModel(*(float(getattr(exposure.noise, n)) for n in NOISE_PARAMETERS))
    cfa = X_TRANS if name.startswith("xtrans") else RGGB
    dark, truth = shoot(light, exposure, noise, cfa, random)
    asked = float(exposure.amplification[0])
    told = noise if random.random() < KNOWN else None
    photo = prepare(dark, exposure=asked, model=cached_model(name), noise=told)
    level = photo.exposure.network_amplification
    restored = run_network(photo.model, photo.mosaic, photo.noise, level)
    means = Comparison(restored, photo.mosaic, photo.noise, level).block_means()
    height, width = (n // BLOCK for n in dark.shape)
    apart = truth * np.float32(level / asked) - restored
    wanted = block_means(apart[: height * BLOCK, : width * BLOCK]).reshape(height, width, 3)
    limit, error = means.limit()[:height, :width], means.error[:height, :width]
    return {
        "features": means.features()[:, :height, :width],
        "wanted": np.moveaxis(wanted / error, -1, 0).astype(np.float32),
        "limit": np.moveaxis(limit / error, -1, 0).astype(np.float32),
    }


def pictures(folder: Path, random: Random) -> Iterator[Floats | None]:
    """Linear sRGB (3, H, W): crops of the photographs in turn, augmented, and None for scenes."""
    paths = find_pictures(folder)
    photos = PhotoFiles(paths)
    while True:
        for index in random.permutation(len(paths)):
            if random.random() < SCENES:
                yield None
            photo = photos.get(paths[index])
            if photo is not None:
                yield _crop(photo, random)


def _crop(photo: NDArray[Any], random: Random) -> Floats:
    """Linear sRGB (3, H, W) of a part of a photograph (h, w, 3), of 8 bits or linear."""
    height, width = (min(n, SIDE) // BLOCK * BLOCK for n in photo.shape[:2])
    top, left = (
        int(random.integers(n - m + 1))
        for n, m in zip(photo.shape[:2], (height, width), strict=True)
    )
    part = torch.from_numpy(np.array(photo[top : top + height, left : left + width]))
    crop, coded = part.movedim(-1, 0).contiguous(), part.dtype == torch.uint8
    look = draw_look(random, coded) if random.random() < RARE else Look(coded)
    light = look.light(decode(crop) if coded else crop.float())
    turned: Floats = np.ascontiguousarray(np.rot90(light.numpy(), int(random.integers(4)), (1, 2)))
    return turned


def make_frames(folder: Path, out: Path, count: int, seed: int) -> None:
    """Write `count` frames to one file."""
    random, began = np.random.default_rng(seed), time.monotonic()
    arrays: dict[str, Any] = {}
    shown = pictures(folder, random)
    for number in range(count):
        frame = make_frame(next(shown), random)
        arrays |= {f"{number}.{key}": value for key, value in frame.items()}
        if number % 50 == 49:
            print(f"{number + 1} frames, {time.monotonic() - began:.0f} s", flush=True)
    np.savez(out, **arrays)


def _convs(*channels: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for ins, outs in pairwise(channels):
        layers += [nn.Conv2d(ins, outs, 3, padding=1), nn.ReLU()]
    return layers


class Coarse(nn.Module):
    """A U-Net of two scales: features (N, 9, h, w), h and w even → shares of the limit, -1 to 1."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.head = nn.Sequential(*_convs(9, width, width))
        self.deep = nn.Sequential(*_convs(width, width, width, width))
        self.tail = nn.Sequential(*_convs(width, width), nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, features: Tensor) -> Tensor:
        fine = self.head(features)
        deep = self.deep(functional.avg_pool2d(fine, 2))
        return torch.tanh(self.tail(fine + functional.interpolate(deep, scale_factor=2.0)))


def errors_of(network: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    """(N, 2): mean squared errors of light and of colour in standard errors, of (N, 15, h, w)."""
    features, wanted, limit = torch.split(batch, [9, 3, 3], dim=1)
    error = network(features) * limit - wanted.clamp(-3, 3)
    colour = error - error.mean(dim=1, keepdim=True)
    return torch.stack([e.square().mean(dim=(1, 2, 3)) for e in (error, colour)], dim=1)


def loss_of(errors: Tensor) -> Tensor:
    """Of (N, 2) errors. Logarithms: in a frame whose black level is off the errors are large, and
    nothing can be known about them."""
    return (errors + LEAST).log().matmul(torch.tensor([1.0, COLOUR])).mean()


def crops_of(frames: list[Tensor], random: Random) -> Tensor:
    """A batch of crops, flipped and turned."""
    made = []
    for index in random.integers(len(frames), size=BATCH):
        frame = frames[index]
        top, left = (int(random.integers(n - CROP + 1)) for n in frame.shape[1:])
        crop = torch.rot90(
            frame[:, top : top + CROP, left : left + CROP], int(random.integers(4)), (1, 2)
        )
        made.append(crop.flip(1) if random.random() < 0.5 else crop)
    return torch.stack(made)


def train(files: list[Path], steps: int) -> None:
    """Train on frames, print the scores of those held back, and write the network."""
    frames = []
    for file in files:
        with np.load(file) as held:
            numbers = sorted({int(name.split(".")[0]) for name in held.files})
            for number in numbers:
                parts = [held[f"{number}.{key}"] for key in ("features", "wanted", "limit")]
                frames.append(torch.from_numpy(np.concatenate(parts)))
    frames = [f for f in frames if min(f.shape[1:]) >= CROP and f[:3].median() < BRIGHT]
    judged = [f[:, : f.shape[1] // 2 * 2, : f.shape[2] // 2 * 2] for f in frames[::HELD_BACK]]
    learnt = [f for n, f in enumerate(frames) if n % HELD_BACK]
    torch.manual_seed(0)
    random, network = np.random.default_rng(0), Coarse()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
    print(f"{len(learnt)} frames, {sum(p.numel() for p in network.parameters()):,} parameters")
    _judge(network, judged, "before")
    for step in range(steps):
        optimizer.zero_grad()
        loss_of(errors_of(network, crops_of(learnt, random))).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % 1000 == 999:
            _judge(network, judged, f"{step + 1} steps")
    FILE.write_bytes(graph_of(network, (1, 9, 32, 32)))
    print(f"{FILE}: {FILE.stat().st_size:,} bytes")


def _judge(network: Coarse, frames: list[Tensor], when: str) -> None:
    """Print errors of light and colour as a share of what they are as restored: geometric means."""
    with torch.no_grad():
        made = torch.cat([errors_of(network, f[None]) for f in frames])
        none = torch.cat([errors_of(_unchanged, f[None]) for f in frames])
        light, colour = (made / none).log().mean(dim=0).div(2).exp().tolist()
    print(f"{when}: light {light:.3f}, colour {colour:.3f}", flush=True)


def _unchanged(features: Tensor) -> Tensor:
    return torch.zeros_like(features[:, :3])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    frames = commands.add_parser("frames", help="photographs → means over blocks")
    frames.add_argument("folder", type=Path, help="of photographs")
    frames.add_argument("out", type=Path)
    frames.add_argument("--count", type=int, default=800)
    frames.add_argument("--seed", type=int, default=0)
    learn = commands.add_parser("train", help="write src/undark/engine/coarse.onnx")
    learn.add_argument("frames", type=Path, nargs="+")
    learn.add_argument("--steps", type=int, default=STEPS)
    asked = parser.parse_args()
    if asked.command == "frames":
        make_frames(asked.folder, asked.out, asked.count, asked.seed)
    else:
        train(asked.frames, asked.steps)


if __name__ == "__main__":
    main()
