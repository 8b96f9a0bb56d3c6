"""Render a DNG with LibRaw alone, or with non-local means: a process that `peers.py` times.

python benchmarks/libraw_picture.py PHOTO.dng OUT.tif EV [--demosaic AHD] [--means STRENGTH]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import rawpy
import tifffile

from undark.develop.classical import non_local_means


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photo", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("ev", type=float)
    parser.add_argument("--demosaic", default="AHD")
    parser.add_argument("--means", type=float, metavar="STRENGTH")
    asked = parser.parse_args()
    with rawpy.imread(str(asked.photo)) as raw:
        picture = raw.postprocess(
            demosaic_algorithm=rawpy.DemosaicAlgorithm[asked.demosaic],
            use_camera_wb=True,
            no_auto_bright=True,
            adjust_maximum_thr=0.0,
            bright=2**asked.ev,
            gamma=(2.4, 12.92),
            output_bps=16,
            user_flip=0,
        )
    if asked.means is not None:
        clean = non_local_means(picture.astype(np.float32) / np.float32(65535), asked.means)
        picture = np.rint(65535 * clean.clip(0, 1)).astype(np.uint16)
    tifffile.imwrite(asked.out, picture, photometric="rgb")


if __name__ == "__main__":
    main()
