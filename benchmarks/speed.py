"""Time and memory of `undark restore`, beside LibRaw's rendering, each as a whole process.

    python benchmarks/speed.py                 # 24 megapixels, LibRaw and both qualities
    python benchmarks/speed.py --sizes         # 6 to 100 megapixels
    python benchmarks/speed.py --list          # ten photos in one run and in ten
    python benchmarks/speed.py --network       # a photo in a list against its tiles alone

Simulates dark DNGs, then times in turn LibRaw's AHD rendering to JPEG (rawpy's defaults) and
`undark restore` to JPEG. Seconds are medians of whole processes; memory is the largest sum of the
proportional set sizes of a process and all below it, sampled every 20 ms in runs of their own,
because reading it slows the process down. Processes keep compiled bytecode in the temporary folder,
as an installation does beside its files. Prints Markdown tables and the machine.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from itertools import chain, product
from pathlib import Path

import numpy as np

import process_memory
from undark.cpus import tiles_at_once
from undark.demo import load_scene, photograph
from undark.engine.card import read_card
from undark.engine.catalogue import QUALITIES, choose
from undark.engine.model import load_model
from undark.engine.tiling import Tile, inner_light, tiles_of
from undark.files.dng import write_mosaic
from undark.restoring.ahead import abreast

ISO, AMPLIFICATION = 1600, 200
SIZES = {6: (2000, 3000), 12: (2832, 4240), 24: (4000, 6000), 50: (5776, 8656), 100: (8160, 12256)}
"""Megapixels → rows and columns."""

LIBRAW = """
import sys, rawpy
from PIL import Image
with rawpy.imread(sys.argv[1]) as raw:
    picture = raw.postprocess()
Image.fromarray(picture).save(sys.argv[2], quality=95)
"""


def make_frame(path: Path, size: tuple[int, int], orientation: int = 1) -> None:
    """Write a dark photo of the demo's scene, repeated to fill the frame.

    In a child process: what is simulated would count as this process's memory.
    """
    arguments = [str(path), *map(str, (*size, orientation))]
    subprocess.run([sys.executable, __file__, "--make", *arguments], check=True)


def _make(path: Path, rows: int, columns: int, orientation: int) -> None:
    light = load_scene()
    height, width = light.shape[:2]
    repeated = np.tile(light, (-(-rows // height), -(-columns // width), 1))[:rows, :columns]
    dark = photograph(repeated, ISO, AMPLIFICATION)
    write_mosaic(path, dark.replace(orientation=orientation))


def libraw(photo: Path, result: Path) -> list[str]:
    return [sys.executable, "-c", LIBRAW, str(photo), str(result)]


def undark(quality: str, *photos: Path, to: Path, device: str = "cpu") -> list[str]:
    command = [sys.executable, "-m", "undark", "restore", "--overwrite", "--quality", quality]
    return [*command, "--device", device, *map(str, photos), "-o", str(to)]


def seconds(command: list[str]) -> float:
    """Wall time of a process. Raises `CalledProcessError` if it fails."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def mebibytes(command: list[str]) -> float:
    """Largest sum of proportional set sizes of a process and its descendants."""
    return process_memory.timed(command).mebibytes


def machine() -> str:
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    said = {
        name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    flags = said.get("flags", "").split()
    widest = next((f" ({name})" for flag, name in _INSTRUCTIONS.items() if flag in flags), "")
    return (
        f"{len(os.sched_getaffinity(0))} cores of {said.get('model name', model)}{widest}, "
        f"Python {platform.python_version()}"
    )


_INSTRUCTIONS = {
    "amx_bf16": "AVX-512 and AMX",
    "avx512_bf16": "AVX-512 with bfloat16",
    "avx512f": "AVX-512",
    "avx2": "AVX2",
}
"""The kernel's name of what a processor has → ours, the widest first."""


def devices() -> list[str]:
    """The engines of the CPU that are installed."""
    return ["cpu", *(["openvino"] if find_spec("openvino") else [])]


def beside_libraw(folder: Path, runs: int) -> None:
    """The table of 24 megapixels."""
    photo, rotated = folder / "dark.dng", folder / "rotated.dng"
    make_frame(photo, SIZES[24])
    make_frame(rotated, SIZES[24], orientation=6)
    commands = {"LibRaw, AHD": libraw(photo, folder / "a.jpg")}
    for quality, device in product(QUALITIES, devices()):
        label = f"undark, {quality}, {device}"
        commands[label] = undark(quality, photo, to=folder / "b.jpg", device=device)
    commands["undark, best, cpu, rotated"] = undark("best", rotated, to=folder / "c.jpg")
    times: dict[str, list[float]] = {label: [] for label in commands}
    for _ in range(runs):
        for label, command in commands.items():
            times[label].append(seconds(command))
    base = statistics.median(times["LibRaw, AHD"])
    print("| | seconds | from–to | times LibRaw | peak MiB |\n|---|---|---|---|---|")
    for label, found in times.items():
        middle, spread = statistics.median(found), f"{min(found):.2f}–{max(found):.2f}"
        peak = mebibytes(commands[label])
        print(f"| {label} | {middle:.2f} | {spread} | {middle / base:.1f} | {peak:.0f} |")


def sizes(folder: Path) -> None:
    """The table of sizes, for both qualities, with the time above that of a small photo.

    Memory is sampled in the same run, which costs some per cent of the time.
    """
    small = folder / "small.dng"
    make_frame(small, (64, 96))
    print("| megapixels | quality | seconds | after start-up, s a megapixel | peak MiB |")
    print("|---|---|---|---|---|")
    start = {q: seconds(undark(q, small, to=folder / "s.jpg")) for q in QUALITIES}
    for count, size in SIZES.items():
        photo = folder / f"{count}.dng"
        make_frame(photo, size)
        for quality in QUALITIES:
            command = undark(quality, photo, to=folder / "b.jpg")
            found = process_memory.timed(command)
            each = (found.seconds - start[quality]) / (size[0] * size[1] / 1e6)
            print(
                f"| {count} | {quality} | {found.seconds:.2f} | {each:.3f} "
                f"| {found.mebibytes:.0f} |",
                flush=True,
            )
        photo.unlink()
    print("\nstart-up: " + ", ".join(f"{q} {s:.2f} s" for q, s in start.items()))


def lists(folder: Path, count: int = 10) -> None:
    """Ten photos of 6 megapixels in one run, and each in its own."""
    photos = [folder / f"{number}.dng" for number in range(count)]
    for photo in photos:
        make_frame(photo, SIZES[6])
    for quality in QUALITIES:
        alone = sum(seconds(undark(quality, p, to=folder / "one.jpg")) for p in photos)
        together = seconds(undark(quality, *photos, to=folder / "all"))
        share = together / alone
        print(
            f"{quality}: {count} photos {together:.1f} s in one run, {alone:.1f} s in {count}: "
            f"{share:.2f}"
        )


def network(folder: Path, count: int = 4) -> None:
    """A 24-megapixel photo in a list, its tiles alone, and the rate of the network."""
    photos = [folder / f"{number}.dng" for number in range(count)]
    make_frame(photos[0], SIZES[24])
    for photo in photos[1:]:
        photo.hardlink_to(photos[0])
    peak = peak_rate()
    for quality in QUALITIES:
        model = load_model(choose("Bayer", quality=quality))
        rows, columns = (n // 2 for n in SIZES[24])
        card = model.card
        plan = [*chain(*tiles_of(card, rows, columns, card.multiple))]
        shape = (1, card.channels, *(s.stop - s.start for s in plan[0].outer))
        inputs = np.random.default_rng(0).random(shape, np.float32)
        margins = [tile.margins for tile in plan]
        model(inputs)
        began = time.perf_counter()
        for _ in abreast(partial(inner_light, card, model, inputs), margins, tiles_at_once()):
            pass
        alone = time.perf_counter() - began
        one = seconds(undark(quality, photos[0], to=folder / "one"))
        all_ = seconds(undark(quality, *photos, to=folder / "all"))
        each = (all_ - one) / (count - 1)
        rate = sum(multiply_adds_of(model.path, tile) for tile in plan) / alone
        print(
            f"{quality}: {each:.2f} s a photo in a list, its {len(plan)} tiles alone "
            f"{alone:.2f} s: {each / alone:.2f}; "
            f"the network does {rate / 1e9:.0f} of {peak / 1e9:.0f} GMAC/s"
        )


def multiply_adds(path: Path) -> float:
    """Of a network in a file of undark's, for a pixel of the photo: what is computed everywhere."""
    card = read_card(path)
    total: float = sum(size / 4**scale for _, scale, size in kernels(path))
    return total / (card.cell * card.fold) ** 2


def multiply_adds_of(path: Path, tile: Tile) -> float:
    """Of a network for a tile, whose margins the decoder leaves out (`learn.cropping`)."""
    from undark.learn.cropping import rims_of
    from undark.learn.export import config_of

    config = config_of(path)
    rims = rims_of(config) if config else ()
    top, left, bottom, right = tile.margins
    total = 0.0
    for in_decoder, scale, size in kernels(path):
        side, kept = 2**scale, rims[scale] if in_decoder and scale < len(rims) else math.inf
        pixels = math.prod(
            (s.stop - s.start) / side - sum(max(m / side - kept, 0) for m in margins)
            for s, margins in zip(tile.outer, ((top, bottom), (left, right)), strict=True)
        )
        total += size * pixels
    return total


def kernels(path: Path) -> Iterator[tuple[bool, int, int]]:
    """Of a network's kernels: whether it is the decoder's, its scale, 0 the finest, and its size.

    Each is used once for every pixel of its scale.
    """
    import onnx

    for tensor in onnx.load(path).graph.initializer:
        name = tensor.name.removesuffix(".fp16")
        if name.endswith(".weight"):
            part, number, *_ = name.split(".")
            scale = _FIRST_SCALES[part] + int(number) if part in _FIRST_SCALES else 0
            yield part in _DECODER, scale, math.prod(tensor.dims)


_FIRST_SCALES = {"encoder": 0, "decoder": 0, "down": 1, "up": 1}
"""Parts of the network that are numbered by scale, and the scale of the first: 0 is the finest."""
_DECODER = ("decoder", "up", "tail", "demosaic")


def peak_rate() -> float:
    """Multiply-adds a second of a large float32 matrix product, the best of several."""
    side = 2048
    a = np.random.default_rng(0).random((side, side), np.float32)
    best = min(_product(a) for _ in range(10))
    return side**3 / best


def _product(a: np.ndarray) -> float:
    began = time.perf_counter()
    a @ a
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    for name in ("sizes", "list", "network"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--make", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.make:
        path, *numbers = asked.make
        _make(Path(path), *map(int, numbers))
        return
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {
            "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
            "PYTHONDONTWRITEBYTECODE": "",
        }
        if asked.sizes:
            sizes(folder)
        elif asked.list:
            lists(folder)
        elif asked.network:
            network(folder)
        else:
            beside_libraw(folder, asked.runs)


if __name__ == "__main__":
    main()
