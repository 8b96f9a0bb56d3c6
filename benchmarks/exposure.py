"""How far the automatic exposure is from the one that the photographer chose.

    python benchmarks/exposure.py             # the photographs of val
    python benchmarks/exposure.py --set train

Each photograph of `../shared/photos` is its own truth: its linear light is divided by an
amplification ratio, seen by a simulated Sony A7S2 at ISO 1600, and the ratio that
`propose_exposure` gives is compared with it, in EV. Half of the photographs, by their median
luminance, are "bright", the others "dark". Prints a Markdown table.
"""

from __future__ import annotations

import argparse

import numpy as np

from darkroom import SHARED
from undark.demo import photograph
from undark.develop.colour import decode_srgb
from undark.files.picture import read_picture
from undark.sensor.exposure import propose_exposure

RATIO, ISO = 100, 1600
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", default="val", help="folder of ../shared/photos")
    folder = SHARED / "photos" / parser.parse_args().set
    curve = decode_srgb(np.arange(256) / 255).astype(np.float32)
    medians, errors = [], []
    for number, path in enumerate(sorted(folder.glob("*.jpg"))):
        light = curve[read_picture(path)]
        mosaic = photograph(light, ISO, RATIO, number)
        medians.append(np.median(light @ LUMINANCE))
        errors.append(np.log2(propose_exposure(mosaic).amplification / RATIO))
    found, bright = np.array(errors), np.array(medians) > np.median(medians)
    print("| photographs | how many | mean, EV | root mean square, EV |\n|---|---|---|---|")
    for name, some in (("bright", bright), ("dark", ~bright), ("all", np.ones_like(bright))):
        part = found[some]
        rms = np.sqrt(np.mean(part**2))
        print(f"| {name} | {len(part)} | {part.mean():+.2f} | {rms:.2f} |")


if __name__ == "__main__":
    main()
