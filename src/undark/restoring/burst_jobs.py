"""Bursts: read their frames, merge, restore, save; typed events out. Nothing is printed.

for event in run_bursts(plan_bursts([Path("card")]).groups, Options()): ...
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from undark.engine.model import Model
from undark.errors import PhotoError, UnsupportedError, naming
from undark.files.dng import write_mosaic
from undark.files.folder import is_result
from undark.files.output import atomic_output
from undark.files.provenance import digest_of, source_of
from undark.files.raw import read_mosaic
from undark.restoring.ahead import ahead
from undark.restoring.bands import check_model
from undark.restoring.burst import Aligned, difference, merge, outline
from undark.restoring.burst_plan import FrameLeftOut, Group
from undark.restoring.claims import claimed
from undark.restoring.darks import Darks
from undark.restoring.jobs import (
    DONE,
    ELSEWHERE,
    Loaded,
    Options,
    existing_results,
    target_of,
    wanted,
)
from undark.restoring.models import Models
from undark.restoring.progress import with_progress
from undark.restoring.raw import prepare
from undark.restoring.saving import restore_into
from undark.sensor.mosaic import Mosaic

_MERGING = 0.6
"""Share of a burst's time that merging is taken to need, for the progress."""


@dataclass(frozen=True)
class BurstStarted:
    """Work on a burst begins."""

    group: Group


@dataclass(frozen=True)
class FrameAligned:
    """A frame was merged, or is the reference."""

    frame: Path
    aligned: Aligned


@dataclass(frozen=True)
class BurstProgress:
    """The fraction of a burst that is done, 0 to 1."""

    group: Group
    share: float


@dataclass(frozen=True)
class BurstRestored:
    """The merged mosaic and the restored picture were written."""

    group: Group
    frames: int
    """That were merged."""
    seconds: float
    amplification: float
    exposure: str
    """Why this amplification."""


@dataclass(frozen=True)
class BurstSkipped:
    """Nothing to do: the results are there, or another run is making them."""

    group: Group
    reason: str


@dataclass(frozen=True)
class BurstFailed:
    """A burst could not be merged or restored; existing files are unchanged."""

    group: Group
    reason: str
    """One line that names a file."""


BurstOutcome = BurstRestored | BurstSkipped | BurstFailed
BurstEvent = BurstStarted | FrameAligned | FrameLeftOut | BurstProgress | BurstOutcome
FrameReport = FrameAligned | FrameLeftOut
_Report = FrameReport | BurstProgress


def run_bursts(
    groups: Sequence[Group], options: Options, loaded: Loaded | None = None
) -> Generator[BurstEvent, None, None]:
    """Merge and restore bursts one after another; the first event of each is `BurstStarted`.

    Of the `options` dark frames and confidence are not used; those of the picture are not applied
    to the merged mosaic. `loaded` are the models, by default loaded here, and bursts that are still
    in memory. One burst that fails does not stop the others. Raises `SetupError` where none can be
    done, as a full disk. Closing the iterator stops after the current frame or tile.
    """
    loaded = loaded or Loaded(options, Darks(()))
    for group in groups:
        yield BurstStarted(group)
        try:
            yield (yield from _one(group, options, loaded))
        except PhotoError as error:
            yield BurstFailed(group, naming(error, *group.frames, *group.results))


def named(left_out: Sequence[FrameLeftOut]) -> str:
    """One line: the names of frames that were left out, with the reasons."""
    names: dict[str, list[str]] = {}
    for frame in left_out:
        names.setdefault(frame.reason, []).append(frame.frame.name)
    return "; ".join(f"{', '.join(of)} ({reason})" for reason, of in names.items())


def _one(group: Group, options: Options, loaded: Loaded) -> Generator[_Report, None, BurstOutcome]:
    began = time.perf_counter()
    with claimed(group.dng) as ours:  # of all kinds of pictures: they share it
        if not ours:
            return BurstSkipped(group, ELSEWHERE)
        digest = _digest_of_all(group.frames)
        if outcome := _existing(group, digest, options):
            return outcome
        work = partial(_merged_and_restored, group, digest, options, loaded)
        found = yield from with_progress(work, lambda report: report)
    frames, amplification, reason = found
    return BurstRestored(group, frames, time.perf_counter() - began, amplification, reason)


def _digest_of_all(frames: Iterable[Path]) -> str:
    """One digest of those of all frames, in their order."""
    known = hashlib.sha256()
    for frame in frames:
        digest = ""
        with suppress(PhotoError):  # it is told when the frame is read
            digest = digest_of(frame)
        known.update(digest.encode() or b"-")
    return known.hexdigest()


def _existing(group: Group, digest: str, options: Options) -> BurstOutcome | None:
    dng = group.dng  # which the user may not have named: never a photo of theirs
    if dng.is_file() and not is_result(dng) and source_of(dng) is None:
        return BurstFailed(group, f"{dng}: is no result of undark; choose another name with -o")
    found = existing_results(group.results, digest, options.overwrite)
    if found and found[1] == DONE:
        return BurstSkipped(group, DONE)
    return BurstFailed(group, found[1]) if found else None


def _merged_and_restored(
    group: Group,
    digest: str,
    options: Options,
    loaded: Loaded,
    report: Callable[[_Report], None],
) -> tuple[int, float, str]:
    """Write what is not there yet: number of frames merged, amplification and why."""
    kept = loaded.kept(group.frames, options)
    for frame in kept.left_out if kept else ():
        report(frame)
    mosaic = kept.photo.mosaic if kept else _merged(group, loaded.models, report)
    assert mosaic.merged is not None
    if wanted(group.dng, digest, options):
        with atomic_output(group.dng, options.overwrite) as temporary:
            write_mosaic(temporary, mosaic, digest)
    if kept:
        ready = kept.photo.exposed(options.exposure)
    else:
        model = loaded.models.for_photo(mosaic)
        ready = prepare(mosaic, exposure=options.exposure, model=model)

    def restored(share: float) -> None:
        report(BurstProgress(group, _MERGING + (1 - _MERGING) * share))

    target = target_of(group.picture, None, digest, options)
    if target.path:
        restore_into(target, ready, options.strength, restored)
    return mosaic.merged.frames, ready.exposure.amplification, ready.exposure.reason


def _merged(group: Group, models: Models, report: Callable[[_Report], None]) -> Mosaic:
    share = 1.0 if group.picture is None else _MERGING

    def merging(done: float) -> None:
        report(BurstProgress(group, share * done))

    return merge_files(group.frames, models, report, merging)


def merge_files(
    frames: Sequence[Path],
    models: Models,
    report: Callable[[FrameReport], None],
    progress: Callable[[float], None] = lambda share: None,
) -> Mosaic:
    """The merge of the frames that can be read and aligned, in their order; the first is shown.

    `report` is called with what became of each, `progress` with the fraction of them that is done;
    what they raise ends it. Raises `PhotoError`, also where no two can be merged.
    """
    used: list[Path] = []

    def told(aligned: Aligned) -> None:
        frame = used[aligned.number]
        if aligned.copy_of is not None:
            same = used[aligned.copy_of]
            report(FrameLeftOut(frame, f"it has the same pixels as {same.name}"))
        elif aligned.fault:
            report(FrameLeftOut(frame, aligned.fault))
        else:
            report(FrameAligned(frame, aligned))
        progress((frames.index(frame) + 1) / len(frames))

    def guide_for(first: Mosaic) -> Model:
        check_model(models.for_photo(first), first)  # what restores the merge; before it is made
        return models.guide_for(first)

    mosaic = merge(_readable(frames, used, report), model_for=guide_for, told=told)
    if mosaic.merged is None or mosaic.merged.frames < 2:
        raise UnsupportedError(
            f"{used[0]}: no other frame can be merged with it; restore the frames singly"
        )
    return mosaic


def _readable(
    frames: Iterable[Path], used: list[Path], report: Callable[[FrameReport], None]
) -> Iterator[Mosaic]:
    """Frames that can be read and fit the first of them, whose paths are added to `used`."""
    first: Mosaic | None = None
    failed: PhotoError | None = None
    for frame, found in ahead(_read_all(frames)):
        if isinstance(found, PhotoError):
            failed = found
            why: str | None = str(found).removeprefix(f"{frame}: ")
        elif first and (what := difference(found, first)):
            why = f"it has another {what} than the first frame"
        else:
            why = None
        if why:
            report(FrameLeftOut(frame, why))
            continue
        assert isinstance(found, Mosaic)
        first = first or outline(found)
        used.append(frame)
        yield found
    if not used and failed is not None:
        raise failed


def _read_all(frames: Iterable[Path]) -> Iterator[tuple[Path, Mosaic | PhotoError]]:
    for frame in frames:
        try:
            yield frame, _read_single(frame)
        except PhotoError as error:
            yield frame, error


def _read_single(frame: Path) -> Mosaic:
    """A frame that is not a result of undark. Raises `PhotoError`."""
    if source_of(frame) is not None:
        raise UnsupportedError("it is a result of undark, not a single frame")
    return read_mosaic(frame)
