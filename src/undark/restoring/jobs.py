"""A batch of photos: skip what is done, restore, save; typed events out. Nothing is printed.

options = Options(exposure=parse_exposure("auto"))
for event in run(plan([Path("card")], "out/"), options): ...
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypedDict

from undark.engine.card import PICTURE_TASK
from undark.engine.catalogue import find_model
from undark.engine.model import read_card
from undark.errors import PhotoError, naming
from undark.files.picture import Picture, is_picture, open_picture
from undark.files.provenance import digest_of, source_of
from undark.files.raw import RAW_SUFFIXES, end_idle, read_mosaic
from undark.files.suffixes import PICTURE_SUFFIXES
from undark.restoring.ahead import ahead
from undark.restoring.claims import claimed
from undark.restoring.darks import Darks
from undark.restoring.kept import Keeper, nothing_kept
from undark.restoring.models import Models
from undark.restoring.options import Options
from undark.restoring.photons import Agreement
from undark.restoring.picture import WHITE, restore_picture_into
from undark.restoring.plan import Job, Plan, kind_of, plan
from undark.restoring.progress import with_progress
from undark.restoring.raw import Prepared, prepare
from undark.restoring.saving import Target, restore_into
from undark.sensor.exposure import propose_exposure
from undark.sensor.mosaic import Mosaic

__all__ = [
    "Event",
    "Failed",
    "Job",
    "Loaded",
    "Options",
    "Outcome",
    "Plan",
    "Progress",
    "Restored",
    "Skipped",
    "Started",
    "existing_result",
    "kind_of",
    "plan",
    "run",
    "suffixes_for",
]

DONE = "restored already, maybe with other settings; --overwrite to redo"
ELSEWHERE = "being restored by another run"
BRIGHT = "not dark; name the picture itself, or give --exposure, to restore it"
DARK = 4.0
"""Amplification from which a picture that is found in a folder counts as dark: two EV."""


@dataclass(frozen=True)
class Started:
    """Work on a photo begins."""

    source: Path


@dataclass(frozen=True)
class Progress:
    """The fraction of a photo that is done, 0 to 1."""

    source: Path
    share: float


@dataclass(frozen=True)
class Restored:
    """A photo was restored and its result written."""

    source: Path
    target: Path
    seconds: float
    amplification: float
    exposure: str
    """Why this amplification."""
    noise: str | None
    """Where the noise model comes from; None for pictures."""
    agreement: Agreement | None = None
    """With the light that the sensor measured; None for pictures and models of finished colours."""
    confidence: Path | None = None
    """The map of confidence that was written."""
    had_result: bool = False
    """Whether the result was there already and stays, so that the map alone was written."""
    mended: int | None = None
    """Hot and dead pixels that were replaced; None for pictures."""
    dark_frames: int | None = None
    """Dark frames whose mean was subtracted, 0 where none fits; None where none were given."""


@dataclass(frozen=True)
class Skipped:
    """Nothing to do: the result is there, or another run is making it."""

    source: Path
    target: Path
    reason: str


@dataclass(frozen=True)
class Failed:
    """A photo could not be restored, or a folder not be read; an existing file is unchanged."""

    source: Path
    target: Path | None
    reason: str
    """One line that names the file."""


Outcome = Restored | Skipped | Failed
Event = Started | Progress | Outcome


def suffixes_for(model: str | None) -> frozenset[str]:
    """Suffixes of the files that a model restores: RAW, or pictures; None: both.

    Raises `ModelError`.
    """
    if model is None:
        return frozenset(RAW_SUFFIXES) | frozenset(PICTURE_SUFFIXES)
    of_pictures = read_card(find_model(model)).task == PICTURE_TASK
    return frozenset(PICTURE_SUFFIXES if of_pictures else RAW_SUFFIXES)


def run(
    batch: Plan, options: Options, loaded: Loaded | None = None
) -> Generator[Event, None, None]:
    """Restore photos one after another; the first event of a photo is `Started`.

    `loaded` are the models and dark frames of these options, by default loaded here, and photos
    that are still in memory; the photos are then not checked to have a dark frame that fits.

    One photo that fails does not stop the others. Raises `SetupError` where no photo can be done:
    an unknown model or device, a full disk, dark frames that fit no photo. Closing the iterator
    stops after the current tile.
    """
    alone = loaded is None
    if loaded is None:
        loaded = Loaded(options, Darks(options.dark_frames))
        loaded.darks.check(batch.jobs)
    for folder, error in batch.unreadable:
        yield Failed(folder, None, str(error))
    photos = ahead(_open_all(batch, loaded, options, end=alone))
    for job in batch.jobs:
        yield Started(job.source)
        try:
            opened = next(photos)
            yield (yield from _restore(job, opened, loaded.models, loaded.darks, options))
        except PhotoError as error:
            yield Failed(job.source, job.target, naming(error, job.source, job.target))


def existing_result(target: Path, digest: str) -> str | None:
    """State of a result's path: None (free), `DONE`, or one line why nothing is written there.

    `DONE` only for a complete result that records `digest`, its source's.
    """
    if not os.path.lexists(target):
        return None
    if not os.path.isfile(target):
        return f"{target}: something else has this name; move it, or choose another with -o"
    recorded = source_of(target)
    if recorded == digest:
        return DONE
    what = "the result of another photo" if recorded else "exists already, not a complete result"
    return f"{target}: {what}; choose another name with -o, or add --overwrite"


def existing_results(
    targets: Sequence[Path], digest: str, overwrite: bool
) -> tuple[Path, str] | None:
    """Whether results of one source are to be written: None, else one of them and why not.

    `DONE` where all are there, else as `existing_result` says of the first that is in the way.
    """
    if overwrite:
        return None
    found = [(path, existing_result(path, digest)) for path in targets]
    if all(why == DONE for _, why in found):
        return targets[0], DONE
    return next(((path, why) for path, why in found if why not in (None, DONE)), None)


def wanted(path: Path, digest: str, options: Options) -> bool:
    """Whether a result is to be written: it is not there yet, or all are asked for again."""
    return options.overwrite or existing_result(path, digest) != DONE


def target_of(path: Path | None, confidence: Path | None, digest: str, options: Options) -> Target:
    """What is written of a photo with this digest; of the two files, those that are `wanted`."""
    return Target(
        path if path and wanted(path, digest, options) else None,
        confidence if confidence and wanted(confidence, digest, options) else None,
        options.bits,
        options.overwrite,
        digest,
        options.white_balance,
        options.contrast,
    )


class Loaded:
    """What the photos of a batch share, and several batches may: models and dark frames."""

    def __init__(self, options: Options, darks: Darks, kept: Keeper = nothing_kept) -> None:
        """`kept` gives photos that are still in memory.

        Raises `ModelError`, `DeviceError` for a named model that cannot be used.
        """
        self.models = Models(options.model, options.quality, options.device)
        self.darks, self.kept = darks, kept


@dataclass
class _Opened:
    """A photo, read while the one before it was restored."""

    digest: str
    """Of the file, taken before it is read: if the photo is replaced meanwhile, the result does
    not count as done."""
    photo: Mosaic | Picture | Prepared | PhotoError | None
    """`Prepared` with `earlier` light where that is kept; None: it has its result already, or was
    taken."""
    seconds: float

    def take(self, job: Job, of_pictures: bool) -> Mosaic | Picture | Prepared:
        """The photo, which is not kept here: it is large. Raises `PhotoError`."""
        photo, self.photo = self.photo, None
        if isinstance(photo, PhotoError):
            raise photo
        return _read(job.source, of_pictures) if photo is None else photo


def _open_all(batch: Plan, loaded: Loaded, options: Options, end: bool) -> Iterator[_Opened]:
    """The photos, one after another; `end` ends the process that decodes after the last one."""
    for number, job in enumerate(batch.jobs, 1):
        opened = _open(job, loaded, options)
        if end and number == len(batch.jobs):
            end_idle()
        yield opened


def _open(job: Job, loaded: Loaded, options: Options) -> _Opened:
    began = time.perf_counter()
    digest, photo = "", None
    try:
        digest = digest_of(job.source) if os.path.isfile(job.source) else ""
        if _existing(job, digest, options) is None:
            kept = loaded.kept((job.source,), options)
            # most pictures of a folder are bright and need no model
            if kept is None and not (job.found and is_picture(job.source)):
                loaded.models.expect(job.source)
            photo = kept.photo if kept else _read(job.source, loaded.models.of_pictures)
    except PhotoError as error:
        return _Opened(digest, error, time.perf_counter() - began)
    return _Opened(digest, photo, time.perf_counter() - began)


def _restore(
    job: Job, opened: _Opened, models: Models, darks: Darks, options: Options
) -> Generator[Progress, None, Outcome]:
    """One photo: its outcome. Raises `PhotoError`, `SetupError`."""
    began = time.perf_counter() - opened.seconds
    digest = opened.digest
    if isinstance(opened.photo, PhotoError):
        raise opened.photo
    if _is_bright(job, opened.photo, options):
        return Skipped(job.source, job.target, BRIGHT)
    with claimed(job.target) as ours:
        if not ours:
            return Skipped(job.source, job.target, ELSEWHERE)
        if outcome := _existing(job, digest, options):  # another run has just finished it
            return outcome
        sure = job.confidence if options.confidence else None
        target = target_of(job.target, sure, digest, options)
        # the photo goes into the work and is not held here, where it would outlast its correction
        take = partial(opened.take, job, models.of_pictures)
        work = partial(_restored, take, target, darks, models, options)
        found = yield from with_progress(work, partial(Progress, job.source))
    seconds = time.perf_counter() - began
    had = target.path is None
    return Restored(job.source, job.target, seconds, **found, confidence=sure, had_result=had)


def _is_bright(job: Job, photo: Mosaic | Picture | Prepared | None, options: Options) -> bool:
    """Whether a photo is a picture that a folder holds beside the dark ones: nobody asked for it.

    Most pictures in a folder of JPEGs are bright, and a camera's noise reduction has been there.
    """
    if not job.found or not isinstance(photo, Picture) or options.exposure != Options.exposure:
        return False
    return propose_exposure(photo.mosaic, WHITE).amplification < DARK


def _existing(job: Job, digest: str, options: Options) -> Outcome | None:
    wanted = [job.target, job.confidence] if options.confidence else [job.target]
    found = existing_results(wanted, digest, options.overwrite)
    if found and found[1] == DONE:
        return Skipped(job.source, job.target, DONE)
    return Failed(job.source, *found) if found else None


def _read(source: Path, of_pictures: bool) -> Mosaic | Picture:
    return open_picture(source) if of_pictures or is_picture(source) else read_mosaic(source)


class _Found(TypedDict, total=False):
    """What is known of a photo that was restored; fields of `Restored`."""

    amplification: float
    exposure: str
    noise: str | None
    agreement: Agreement | None
    mended: int | None
    dark_frames: int | None


def _restored(
    take: Callable[[], Mosaic | Picture | Prepared],
    target: Target,
    darks: Darks,
    models: Models,
    options: Options,
    progress: Callable[[float], None],
) -> _Found:
    """Restore a photo into its files."""
    photo, dark = take(), None
    if isinstance(photo, Picture):
        exposure = restore_picture_into(
            target,
            photo,
            exposure=options.exposure,
            strength=options.strength,
            model=models.for_photo(photo),
            progress=progress,
        )
        return {
            "amplification": exposure.amplification,
            "exposure": exposure.reason,
            "noise": None,
        }
    if isinstance(photo, Mosaic):
        dark, model = darks.of(photo), models.for_photo(photo)
        ready = prepare(photo, exposure=options.exposure, model=model, dark=dark or ())
    else:
        ready = photo.exposed(options.exposure)
    del photo
    agreement = restore_into(target, ready, options.strength, progress)
    return {
        "amplification": ready.exposure.amplification,
        "exposure": ready.exposure.reason,
        "noise": ready.noise_source,
        "agreement": agreement,
        "mended": ready.mended,
        "dark_frames": (dark.frames if dark else 0) if darks else None,
    }
