"""Reproduce every figure and picture in `docs/`.

    python benchmarks/make_docs.py                # all: about five hours on two cores
    python benchmarks/make_docs.py demo pairs     # some
    python benchmarks/make_docs.py --list         # the names and their commands

The output of a command replaces the lines between `<!-- NAME -->` and `<!-- end NAME -->` in the
page that has them; pictures are written to `docs/`. Long jobs keep their state in `--work` and
resume from there. Timings need an idle machine.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from undark.develop.drawing import resized
from undark.engine.devices import ENVIRONMENT
from undark.files.picture import read_picture, write_picture
from undark.sensor.mosaic import Shot

ROOT = Path(__file__).resolve().parent.parent
DOCS, WORK = ROOT / "docs", ROOT / ".cache" / "docs"
SHEET_WIDTH = 1600


@dataclass(frozen=True)
class Job:
    """A command, in which `{work}` stands for its folder, and its outputs."""

    command: str
    pictures: tuple[str, ...] = ()
    """Names in `docs/`."""
    sheet: str = ""
    """A file in its folder that is reduced and becomes the picture."""

    @property
    def prints(self) -> bool:
        """Whether its output is inserted into a page."""
        return not self.sheet


JOBS = {
    "demo": Job("-m undark demo -o {work} --overwrite", ("demo.jpg",), "sheet.jpg"),
    "compare": Job(
        "-m undark compare {work}/../demo/dark.dng -o {work}/sheet.jpg --overwrite",
        ("compare.jpg",),
        "sheet.jpg",
    ),
    "gallery": Job("benchmarks/gallery.py {work}/sheet.jpg", ("gallery.jpg",), "sheet.jpg"),
    "pictures": Job("benchmarks/pictures.py"),
    "pictures-sheet": Job(
        "benchmarks/pictures.py --sheet {work}/pictures.jpg", ("pictures.jpg",), "pictures.jpg"
    ),
    "burst-picture": Job("benchmarks/burst_sheet.py {work}/burst.jpg", ("burst.jpg",), "burst.jpg"),
    "quality": Job(
        "benchmarks/quality.py --model src/undark/engine/weights/bayer.onnx"
        " --model src/undark/engine/weights/bayer-fast.onnx --blind"
        " --methods --keep --out benchmarks/quality.json"
    ),
    "agreement": Job("benchmarks/agreement.py --frames 1000"),
    "blind": Job("benchmarks/blind.py --frames 1000"),
    "speed": Job("benchmarks/speed.py --runs 3"),
    "speed-sizes": Job("benchmarks/speed.py --sizes"),
    "speed-list": Job("benchmarks/speed.py --list"),
    "speed-network": Job("benchmarks/speed.py --network"),
    "low-frequency": Job("benchmarks/low_frequency.py"),
    "engines": Job("benchmarks/engines.py"),
    "peers": Job("benchmarks/peers.py {work} --sheet docs/peers.jpg", ("peers.jpg",)),
    "cluster": Job("benchmarks/cluster.py --megapixels 6"),
    "darktable_export": Job("benchmarks/darktable_export.py"),
    "dng_in_programs": Job("benchmarks/dng_in_programs.py {work}"),
    "pairs": Job("benchmarks/pairs.py --sheet docs/pairs.jpg", ("pairs.jpg",)),
    "xtrans": Job("benchmarks/xtrans.py"),
    "finetune": Job("benchmarks/finetune.py"),
    "exposure": Job("benchmarks/exposure.py"),
    "desk": Job(
        "benchmarks/desk.py --pictures docs",
        (
            "desk-list.jpg",
            "desk-burst.jpg",
            "desk-photo.jpg",
            "desk-exports.jpg",
            "desk-phone.jpg",
        ),
    ),
    "reading": Job("benchmarks/reading.py"),
    "throughput": Job("benchmarks/throughput.py"),
    "evaluate": Job("benchmarks/sid_like.py {work}"),
    "tuned": Job("benchmarks/tuned.py {work} --draw docs", ("importance.png", "history.png")),
    "raw-or-jpeg": Job(
        "benchmarks/raw_or_jpeg.py {work} --draw docs",
        ("raw-or-jpeg.jpg", "raw-or-jpeg-curves.png", "levels.png", "epochs.gif"),
    ),
}


def command(name: str, work: Path) -> list[str]:
    """The command line of a job."""
    return [sys.executable, *JOBS[name].command.format(work=work / name).split()]


def make(name: str, work: Path) -> None:
    """Run a job and write its outputs to `docs/`. Raises `CalledProcessError`."""
    job = JOBS[name]
    (work / name).mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        command(name, work),
        cwd=ROOT,
        env={ENVIRONMENT: "cpu"} | os.environ,  # the same engine on every machine
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    if job.sheet:
        write_picture(DOCS / job.pictures[0], _small(work / name / job.sheet), Shot(), quality=80)
    else:
        insert(name, done.stdout)


def _small(sheet: Path) -> NDArray[np.uint8]:
    picture = read_picture(sheet)
    height, width = picture.shape[:2]
    if width <= SHEET_WIDTH:
        return picture
    return resized(picture, round(height * SHEET_WIDTH / width), SHEET_WIDTH)


def block(name: str) -> re.Pattern[str]:
    """Matches the text between a job's two lines."""
    return re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end {name} -->)", re.DOTALL)


def insert(name: str, printed: str) -> None:
    """Insert a job's output into the page that has its two lines."""
    for page in pages():
        text = page.read_text()
        if block(name).search(text):
            page.write_text(block(name).sub(lambda _: f"\n{printed.strip()}\n\n", text))
            return
    raise SystemExit(f"docs/: no page has the line <!-- {name} -->")


def pages() -> Sequence[Path]:
    return sorted(DOCS.glob("*.md"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jobs", nargs="*", metavar="NAME", help=", ".join(JOBS))
    parser.add_argument("--work", type=Path, default=WORK, help="folder of unfinished work")
    parser.add_argument("--list", action="store_true")
    asked = parser.parse_args()
    if unknown := set(asked.jobs) - set(JOBS):
        parser.error(f"{', '.join(sorted(unknown))}: there are only {', '.join(JOBS)}")
    for name in asked.jobs or JOBS:
        said = shlex.join(["python", *command(name, asked.work)[1:]])
        print(f"{name}: {said}", file=sys.stderr)
        if not asked.list:
            make(name, asked.work.resolve())


if __name__ == "__main__":
    main()
