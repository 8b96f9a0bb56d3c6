"""Run `undark evaluate` by SID's protocols on twelve simulated scenes, in place of SID itself.

    python benchmarks/sid_like.py OUT       # about ten minutes on two cores

For each photograph of `../shared/photos/val`, `darkroom.py` simulates a Sony A7S2's dark photo
(×100, ×250 or ×300 at ISO 1600) and bright photo (ISO 100), written as DNGs with names of SID's
test split. Writes OUT/Sony and OUT/report; prints the means over photos as Markdown.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from darkroom import Cell, dark_scenes, shoot_dng
from undark.evaluation.protocols import PROTOCOLS, TITLES

ISO, BRIGHT_ISO = 1600, 100
LONG = 10
"""Seconds of the bright photo."""


def shoot(out: Path) -> None:
    for number, (_, ratio, light) in enumerate(dark_scenes("val")):
        for part, cell in (("short", Cell(ISO, ratio)), ("long", Cell(BRIGHT_ISO, 1))):
            seconds = f"{LONG / cell.amplification:.3g}"
            path = out / "Sony" / part / f"1{number:04d}_00_{seconds}s.dng"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                shoot_dng(path, light, cell, number)


def table(report: Path) -> str:
    """Markdown: means over photos, one row per method and one column per protocol."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for row in json.loads((report / "scores.json").read_text()):
        found[row["method"]][row["protocol"]].append((row["psnr"], row["ssim"]))
    lines = ["| | " + " | ".join(TITLES[p] for p in PROTOCOLS) + " |"]
    lines.append("|---|" + "---|" * len(PROTOCOLS))
    for method, by in found.items():
        means = [np.mean(by[p], axis=0) if p in by else None for p in PROTOCOLS]
        cells = ["–" if m is None else f"{m[0]:.2f} / {m[1]:.3f}" for m in means]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    shoot(out)
    evaluate = ("evaluate", "bayer", out, "--out", out / "report", "--overwrite")
    # its own table, also in the report, goes to stderr
    command = [sys.executable, "-m", "undark", *map(str, evaluate)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    print(table(out / "report"))


if __name__ == "__main__":
    main()
