"""The data set of "Learning to See in the Dark" (Chen et al., CVPR 2018): its pairs and splits.

Both follow from the file names: `Sony/short/00001_00_0.1s.ARW` is a dark photo of the bright
`Sony/long/00001_00_10s.ARW`; the first digit of the scene's number gives its split.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from undark.errors import DataError
from undark.pairs.find import Found, Pair, find_pairs
from undark.pairs.photo import sid_name
from undark.pairs.table import GOOD, Row
from undark.sensor.exposure import MAX_AMPLIFICATION

PARTS = ("short", "long")
"""Folders of the dark and the bright photos of a camera."""
CFAS = {"sony": "Bayer", "fuji": "X-Trans"}
"""Camera → sensor kind, as on a model's card."""
SPLITS = {"train": "0", "test": "1", "validation": "2"}
"""First digit of a scene's number."""
MISALIGNED = {"sony": frozenset({"10034", "10045", "10172"})}
"""Scenes known to be misaligned, all in Sony's test split; publications leave them out."""


def sid_cameras(folder: Path) -> list[str]:
    """The cameras whose part of SID is in a folder, or is the folder, by the folders' names."""

    def holds(parent: Path, camera: str) -> bool:
        return parent.name.lower() == camera and all((parent / part).is_dir() for part in PARTS)

    return [c for c in CFAS if holds(folder.absolute(), c) or holds(folder / c.title(), c)]


def find_sid(folder: Path, camera: str) -> Found:
    """The pairs and unpaired photos of "sony" or "fuji".

    `folder` contains Sony/ or Fuji/, or is one of them; otherwise raises `DataError`.
    """
    known = sid_cameras(folder)
    if known and camera not in known:
        raise DataError(f"{folder}: SID's {known[0].title()} photos; give --camera {known[0]}")
    camera_folder = folder / camera.title() if (folder / camera.title()).is_dir() else folder
    for part in PARTS:
        if not (camera_folder / part).is_dir():
            raise DataError(
                f"{camera_folder / part}: there is no such folder; give the one that holds SID's "
                f"{camera.title()}/short and {camera.title()}/long"
            )
    return find_pairs(camera_folder)


def sid_rows(folder: Path, camera: str) -> dict[str, list[Row]]:
    """Split → its pairs (see `split`). Raises `DataError` like `find_sid`."""
    return split(find_sid(folder, camera).pairs, camera)


def split(pairs: Iterable[Pair], camera: str) -> dict[str, list[Row]]:
    """Split → its pairs; the known misaligned ones have that as their verdict."""
    splits: dict[str, list[Row]] = {name: [] for name in SPLITS}
    for pair in pairs:
        dark, bright = sid_name(pair.dark), sid_name(pair.bright)
        if dark and bright:
            ratio = min(bright[1] / dark[1], MAX_AMPLIFICATION)
            known_bad = dark[0] in MISALIGNED.get(camera, ())
            verdict = "misaligned (known)" if known_bad else GOOD
            row = Row(pair.dark, pair.bright, ratio, verdict=verdict)
            for split, digit in SPLITS.items():
                if dark[0].startswith(digit):
                    splits[split].append(row)
    return splits
