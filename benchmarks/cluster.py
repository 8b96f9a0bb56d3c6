"""Time `undark restore --cluster auto` with one and two workers of one thread each.

    python benchmarks/cluster.py [--photos 4] [--megapixels 24] [--workers 0 1 2]

Simulates dark DNGs and restores them to JPEG with a cluster of Ray that the command
starts on this machine; 0 workers: without a cluster, on one thread. Prints a Markdown table:

- seconds of the whole command;
- photos an hour once every worker has finished its first, which loads the model;
- memory, the largest sum of the proportional set sizes of the command's processes, and the part of
  it that is Ray's own: all but the driver, the workers and LibRaw's children.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import process_memory
from speed import AMPLIFICATION, ISO, SIZES, machine
from undark.demo import load_scene, photograph
from undark.files.dng import write_mosaic

SAMPLE = 0.2
"""Seconds between two looks at the memory."""


@dataclass
class Run:
    """One command: wall seconds, photos an hour, peak MiB of all and of Ray's own processes."""

    seconds: float
    rate: float
    mebibytes: float
    rays: float


def make_photos(folder: Path, count: int, megapixels: float) -> tuple[int, int]:
    """Write different dark photos of the demo's scene, tiled to this size; (height, width)."""
    light = load_scene()
    height, width = SIZES[24]
    share = (megapixels * 1e6 / (height * width)) ** 0.5
    size = round(height * share / 2) * 2, round(width * share / 2) * 2
    across = [-(-wanted // here) for wanted, here in zip(size, light.shape, strict=False)]
    tiled = np.tile(light, (*across, 1))[: size[0], : size[1]]
    for number in range(count):
        moved = np.roll(tiled, 97 * number, axis=1)
        write_mosaic(folder / f"{number}.dng", photograph(moved, ISO, AMPLIFICATION))
    return size


def memory(pid: int) -> tuple[float, float]:
    """MiB of a command's processes, by proportional set size: of all, and of Ray's own."""
    total, rays = 0.0, 0.0
    for one in process_memory.tree(pid):
        with suppress(OSError):  # it has ended
            command = Path(f"/proc/{one}/cmdline").read_bytes()
            size = process_memory.pss(one) / 1024
            works = command.startswith((b"ray::undark", b"ray::IDLE")) or b"raw.worker" in command
            total += size
            rays += 0 if one == pid or works else size
    return total, rays


def measured(workers: int, source: Path, target: Path) -> Run:
    """Restore a folder with this number of workers; raises `CalledProcessError` if that fails."""
    command = [sys.executable, "-m", "undark", "restore", str(source), "-o", f"{target}/"]
    command += ["--cluster", "auto"] * bool(workers)
    threads = {"OMP_NUM_THREADS": str(max(workers, 1))}  # a local cluster has as many CPUs
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=os.environ | threads, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    samples = [(0.0, 0.0)]
    watcher = threading.Thread(target=_watch, args=(process, samples))
    watcher.start()
    assert process.stderr
    lines = [time.perf_counter() for _ in process.stderr]
    status = process.wait()
    seconds = time.perf_counter() - began
    watcher.join()
    if status:
        raise subprocess.CalledProcessError(status, command)
    first = max(workers, 1) - 1
    rate = 3600 * (len(lines) - 1 - first) / (lines[-1] - lines[first])
    return Run(seconds, rate, *max(samples))


def _watch(process: subprocess.Popen[bytes], samples: list[tuple[float, float]]) -> None:
    while process.poll() is None:
        samples.append(memory(process.pid))
        time.sleep(SAMPLE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=4)
    parser.add_argument("--megapixels", type=float, default=24)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "in"
        source.mkdir()
        height, width = make_photos(source, asked.photos, asked.megapixels)
        print(f"{asked.photos} photos of {width} x {height} pixels; {machine()}\n")
        print("| workers | seconds | photos an hour | peak MiB | of it Ray's own |")
        print("|---|---|---|---|---|")
        for workers in asked.workers:
            run = measured(workers, source, Path(name) / f"out{workers}")
            label = workers or "none, one thread"
            numbers = (run.seconds, run.rate, run.mebibytes, run.rays)
            print(f"| {label} | {' | '.join(f'{n:.0f}' for n in numbers)} |", flush=True)


if __name__ == "__main__":
    main()
