"""The decoded frames of pairs of dark and bright photos, kept on disk, and their kind of sensor."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from undark.engine.card import PICTURE_TASK, TASK
from undark.errors import PhotoError, ReadError, TrainingError
from undark.files.cache import Decoded, FrameCache
from undark.files.cameras import calibrations_state
from undark.files.mosaic_facts import facts_of, mosaic_of
from undark.files.picture import is_picture, open_picture
from undark.files.raw import read_mosaic
from undark.learn.aims import Aim
from undark.learn.kind import KINDS, PICTURE, InputKind
from undark.pairs.table import Row
from undark.pairs.target import (
    Target,
    camera_levels,
    camera_target,
    rounded_gains,
    srgb_levels,
    srgb_target,
)
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel
from undark.sensor.profiles.lookup import without_defects

LOOKED_AT = 24
"""Photos that are decoded to find the kind of sensor of most."""

_log = logging.getLogger(__name__)


class PairFrames:
    """The frames of pairs, decoded once and kept on disk."""

    def __init__(self, cache: FrameCache, aim: Aim, kind: InputKind | None = None) -> None:
        """`kind` is that of the photos to use; others are left out. None: any."""
        self._cache, self.aim, self._lock, self.kind = cache, aim, Lock(), kind
        self.skipped: dict[Path, str] = {}
        """Photos that cannot be used, and why."""

    def dark(self, path: Path) -> tuple[Mosaic, NoiseModel]:
        """A dark photo, corrected as restoring does (`without_defects`), and its noise.

        Raises `ReadError`, `UnsupportedError`.
        """
        _check_found(path)
        # the corrections depend on the user's calibrations
        what = f"corrected mosaic {calibrations_state()}".strip()
        plane, facts = self._cache.get(path, what, partial(_decode_mosaic, path))
        return mosaic_of(plane, facts["mosaic"]), NoiseModel(**facts["noise"])

    def bright(self, path: Path, white_balance: NDArray[np.float32]) -> Target:
        """Light of a bright photo in the dark one's white balance, or sRGB in its own, as in SID.

        Raises `ReadError`, `UnsupportedError`.
        """
        _check_found(path)
        if self.aim.task == TASK:
            what = f"camera light {rounded_gains(white_balance)}"
            make = partial(camera_levels, path, white_balance)
            return camera_target(self._levels(path, what, make), white_balance)
        return srgb_target(self._levels(path, "sRGB light", partial(srgb_levels, path)))

    def _levels(
        self, path: Path, what: str, make: Callable[[], NDArray[np.uint16]]
    ) -> NDArray[np.uint16]:
        levels: NDArray[np.uint16] = self._cache.get(path, what, lambda: (make(), {}))[0]
        return levels

    def usable(self, row: Row) -> bool:
        """Whether neither photo of a pair is known to be unusable."""
        return row.dark not in self.skipped and row.bright not in self.skipped

    def skip(self, photo: Path, why: str) -> None:
        """Remember a photo that cannot be used, and log it once."""
        with self._lock:
            if photo not in self.skipped:
                _log.warning("%s (left out)", why)
            self.skipped[photo] = why

    def skip_for(self, row: Row, error: PhotoError) -> None:
        """Remember the photo of a pair that an error names."""
        self.skip(row.bright if str(row.bright) in str(error) else row.dark, str(error))

    def picture(self, path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """(H, W, 3) sRGB of a finished picture. Raises `ReadError`."""
        _check_found(path)
        found = self._cache.get(path, "levels", lambda: (open_picture(path).levels, {}))
        levels: NDArray[np.uint8] | NDArray[np.uint16] = found[0]
        return levels


def kind_of_rows(frames: PairFrames, rows: Sequence[Row]) -> InputKind:
    """The kind of most dark photos; pairs of another kind are left out, both kinds named.

    At most `LOOKED_AT` photos, evenly chosen, are decoded for it; others are left out when they
    are first used. Raises `TrainingError` for photos of another sort than the aim, and where none
    can be read.
    """
    kinds: dict[Path, InputKind] = {}
    for row in rows[:: -(-len(rows) // LOOKED_AT) or 1]:
        _check_aim(frames.aim, row)
        try:
            kinds[row.dark] = _kind_of(frames, row.dark)
        except PhotoError as error:
            frames.skip(row.dark, str(error))
    if not kinds:
        raise TrainingError(none_readable(frames.skipped) if rows else "no pairs to learn from")
    counted = Counter(kinds.values())
    kind = max(counted, key=lambda k: (counted[k], -KINDS.index(k)))
    for path, other in kinds.items():
        if other != kind:
            frames.skip(path, another_kind(path, other, kind))
    return kind


def another_kind(path: Path, own: InputKind, others: InputKind) -> str:
    return (
        f"{path}: {own.name}, but most pairs are {others.name}; give photos of one kind of sensor"
    )


def _kind_of(frames: PairFrames, path: Path) -> InputKind:
    return PICTURE if is_picture(path) else InputKind(frames.dark(path)[0].cfa.kind)


def _check_aim(aim: Aim, row: Row) -> None:
    if is_picture(row.dark) and aim.task != PICTURE_TASK:
        raise TrainingError(
            f"{row.dark}: a picture, not a RAW photo; add --aim rgb to learn from it"
        )
    if not is_picture(row.dark) and aim.task == PICTURE_TASK:
        raise TrainingError(f"{row.dark}: no JPEG, PNG or TIFF; for RAW photos leave out --aim rgb")


def _check_found(path: Path) -> None:
    if not path.is_file():
        raise ReadError(f"{path}: there is no such file; put it back, or remove the pair")


def _decode_mosaic(path: Path) -> Decoded:
    mosaic, noise = without_defects(read_mosaic(path))
    # the masked border has been used: it is long, and would be parsed for each sample
    facts = facts_of(mosaic.replace(masked=None))
    return mosaic.plane, {"mosaic": facts, "noise": asdict(noise)}


def none_readable(skipped: dict[Path, str]) -> str:
    return f"none of the pairs can be used; the first: {next(iter(skipped.values()))}"
