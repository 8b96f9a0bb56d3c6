"""Test whether the settings that `undark tune` finds are also better in longer training.

    python benchmarks/tuned.py OUT                 # an hour on two cores; resumes if repeated
    python benchmarks/tuned.py OUT --draw docs     # importance.png and history.png

The study has 20 trials of 2 minutes on a part of `../shared/photos/train`. Then `undark train
photos` trains on all of `train` for the same time each: with the defaults, with the study's
settings, and with the study's batch and crop on the shipped architecture. Prints PSNR in dB on
`val` as Markdown.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from darkroom import SHARED
from undark.learn.settings import read_settings
from undark.learn.tune import BEST

TRIALS, MINUTES, LONGER = 20, 2, 8
PLOTS = ("importance.png", "history.png")


def undark(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "undark", *map(str, words)], check=True)


def study(out: Path) -> Path:
    """The path of the best settings; runs the study unless it has finished."""
    if not (out / BEST).exists():
        data = SHARED / "photos" / "train"
        undark("tune", data, "--out", out, "--trials", TRIALS, "--minutes", MINUTES)
    return out / BEST


def scores(out: Path, settings: tuple[object, ...]) -> dict[str, float]:
    """PSNR on `val` after a training, which is resumed if it was interrupted."""
    record = out / "training.json"
    if not record.exists():
        photos = SHARED / "photos"
        resume = ["--resume"] if (out / "last.ckpt").exists() else []
        folders = (photos / "train", "--val", photos / "val", "--out", out)
        undark("train", "photos", *folders, "--minutes", LONGER, *settings, *resume)
    found: dict[str, float] = json.loads(record.read_text())["validation"]
    return {name.removeprefix("psnr/"): score for name, score in found.items()}


def table(out: Path) -> str:
    best = study(out / "study")
    chosen = read_settings(best)
    sizes = ("--batch", chosen["batch"], "--crop", chosen["crop"])
    rows = {
        "defaults": scores(out / "default", ()),
        "the study's settings": scores(out / "best", ("--config", best)),
        "its batch and crop, shipped architecture": scores(out / "small", sizes),
    }
    names = list(rows["defaults"])
    lines = ["| | " + " | ".join(f"×{name[1:]}" for name in names) + " |"]
    lines.append("|---|" + "---|" * len(names))
    for name, found in rows.items():
        lines.append(f"| {name} | " + " | ".join(f"{found[n]:.2f}" for n in names) + " |")
    return "\n".join(["```", best.read_text().rstrip(), "```", "", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--draw", type=Path, metavar="DIR", help="folder of the plots")
    asked = parser.parse_args()
    print(table(asked.out))
    if asked.draw:
        for name in PLOTS:
            shutil.copy(asked.out / "study" / name, asked.draw / name)


if __name__ == "__main__":
    main()
