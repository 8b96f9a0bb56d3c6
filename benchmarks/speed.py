"""Time `undark restore` and LibRaw's rendering of a 24-megapixel photo, each as a process.

    python benchmarks/speed.py [--runs 5]

Simulates a dark 24-megapixel DNG, then times alternately LibRaw's AHD rendering to JPEG (rawpy's
defaults) and `undark restore` to JPEG with the default model. Prints a Markdown table: median of
the runs, peak memory of the largest process, and the machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from undark.demo import load_scene, photograph
from undark.files.dng import write_mosaic

HEIGHT, WIDTH = 4000, 6000
ISO, AMPLIFICATION = 1600, 200

LIBRAW = """
import sys, rawpy
from PIL import Image
with rawpy.imread(sys.argv[1]) as raw:
    picture = raw.postprocess()
Image.fromarray(picture).save(sys.argv[2], quality=95)
"""


@dataclass(frozen=True)
class Run:
    """One process: wall seconds and peak resident MiB."""

    seconds: float
    mebibytes: float


def make_frame(path: Path) -> None:
    """Write a dark photo of the demo's scene, tiled to 24 megapixels."""
    light = load_scene()
    height, width = light.shape[:2]
    tiled = np.tile(light, (-(-HEIGHT // height), -(-WIDTH // width), 1))[:HEIGHT, :WIDTH]
    write_mosaic(path, photograph(tiled, ISO, AMPLIFICATION))


def timed(command: list[str]) -> Run:
    """Run a command and wait for it; raises `CalledProcessError` if it fails."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Run(time.perf_counter() - began, usage.ru_maxrss / 1024)


def machine() -> str:
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    return f"{len(os.sched_getaffinity(0))} cores of {model}, Python {platform.python_version()}"


def row(name: str, runs: list[Run], base: float) -> str:
    seconds = statistics.median(r.seconds for r in runs)
    peak = max(r.mebibytes for r in runs)
    spread = f"{min(r.seconds for r in runs):.2f}–{max(r.seconds for r in runs):.2f}"
    return f"| {name} | {seconds:.2f} | {spread} | {seconds / base:.1f} | {peak:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.make:
        make_frame(asked.make)
        return
    runs = asked.runs
    undark = [sys.executable, "-m", "undark", "restore", "--overwrite"]
    times: dict[str, list[Run]] = {"LibRaw, AHD": [], "undark restore": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frame = folder / "dark.dng"
        # in a child process: a process inherits the peak memory of the one that starts it
        subprocess.run([sys.executable, __file__, "--make", str(frame)], check=True)
        commands = {
            "LibRaw, AHD": [sys.executable, "-c", LIBRAW, str(frame), str(folder / "a.jpg")],
            "undark restore": [*undark, str(frame), "-o", str(folder / "b.jpg")],
        }
        for _ in range(runs):
            for label, command in commands.items():
                times[label].append(timed(command))
    base = statistics.median(r.seconds for r in times["LibRaw, AHD"])
    print(f"{WIDTH} x {HEIGHT} pixels, median of {runs}; {machine()}\n")
    print("| | seconds | from–to | times LibRaw | peak MiB |\n|---|---|---|---|---|")
    for label, done in times.items():
        print(row(label, done, base))
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n(the benchmark itself: {own:.0f} MiB, not counted)")


if __name__ == "__main__":
    main()
