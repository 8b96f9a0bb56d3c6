"""The pairs that a model is evaluated on: those of a folder, or SID's test split."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from undark.engine.card import PICTURE_TASK, Card
from undark.errors import DataError, ModelError
from undark.files.picture import is_picture
from undark.pairs.choose import good_rows
from undark.pairs.sid import CFAS, SPLITS, sid_cameras, sid_rows
from undark.pairs.table import GOOD, Row


@dataclass(frozen=True)
class Data:
    """Pairs to evaluate on."""

    folder: Path
    rows: Sequence[Row]
    camera: str = ""
    """ "sony" or "fuji" where this is SID's test split, else ""."""
    left_out: int = 0
    """Pairs of SID that are known to be misaligned."""

    def name(self, row: Row) -> str:
        """Name of the dark photo in the tables."""
        return Path(os.path.relpath(row.dark, self.folder)).as_posix()


def choose_data(folder: Path, card: Card) -> Data:
    """The good pairs of a folder; for SID, the test split of the camera that the model is for.

    Raises `ModelError` if the model restores pictures or another sensor, `DataError`, `ReadError`.
    """
    if card.task == PICTURE_TASK:
        raise ModelError(
            f"{card.name}: restores finished pictures; evaluate a model for RAW photos"
        )
    cameras = sid_cameras(folder)
    if cameras:
        return _sid(folder, cameras, card)
    rows = good_rows(folder)
    if all(is_picture(row.dark) for row in rows):
        raise DataError(f"{folder}: pairs of finished pictures; give pairs of RAW photos")
    return Data(folder, rows)


def _sid(folder: Path, cameras: list[str], card: Card) -> Data:
    fitting = [camera for camera in cameras if CFAS[camera] == card.cfa]
    if not fitting:
        raise ModelError(
            f"{card.name}: a model for {card.cfa}, but SID's {cameras[0].title()} photos are "
            f"{CFAS[cameras[0]]}; choose another model"
        )
    rows = sid_rows(folder, fitting[0])["test"]
    good = [row for row in rows if row.verdict == GOOD]
    if not good:
        raise DataError(
            f"{folder}: no pair of the test split, whose scenes are numbered "
            f"{SPLITS['test']}xxxx; is the data set complete?"
        )
    return Data(folder, good, fitting[0], len(rows) - len(good))
