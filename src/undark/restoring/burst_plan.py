"""Which photos are one burst, and where its results go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from undark.errors import OutputError, PhotoError, ReadError
from undark.files.exif_read import Tags, dimensions_of, orientation_of, read_tags, shot_from_tags
from undark.files.folder import BURST_MARK, is_result, scan_folder
from undark.files.raw import RAW_SUFFIXES, read_header
from undark.restoring.plan import (
    KINDS,
    SUFFIXES,
    check_photos_are_safe,
    distinct_names,
    is_folder,
    resolved,
    without_photos,
)
from undark.sensor.mosaic import Shot

LONGEST_GAP = 2.0
"""Seconds from the end of one exposure to the begin of the next, above which a burst has ended."""
MANY = 32
"""Frames of a folder above which a group is rather a time-lapse than a burst."""


@dataclass(frozen=True)
class FrameLeftOut:
    """A frame is not part of the merge."""

    frame: Path
    reason: str
    """Without the name of the file."""


@dataclass(frozen=True)
class Group:
    """Frames that are merged, and the paths of their results."""

    frames: tuple[Path, ...]
    """In the order in which they were taken; the first is the reference."""
    picture: Path | None
    """The restored picture; None where only the merge is wanted."""
    dng: Path
    """The merged mosaic."""
    found: bool = False
    """Whether they were found in a folder, not named one by one."""

    @property
    def is_doubtful(self) -> bool:
        """Whether to ask before it is merged."""
        return self.found and may_be_time_lapse(self.frames)

    @property
    def results(self) -> tuple[Path, ...]:
        """The paths that are written, the one that is looked at first."""
        return (self.dng,) if self.picture is None else (self.picture, self.dng)


@dataclass(frozen=True)
class BurstPlan:
    """The bursts that were found."""

    groups: tuple[Group, ...]
    single: tuple[Path, ...] = ()
    """Photos of folders that are not part of a burst."""
    unreadable: tuple[tuple[Path, PhotoError], ...] = ()
    """(path, error) of folders and files that cannot be read."""


def plan_bursts(
    inputs: Sequence[Path], output: str | Path | None = None, kind: str = "jpeg"
) -> BurstPlan:
    """All files that are given are one burst; folders are searched and split into bursts.

    A burst of a folder ends at a gap of more than `LONGEST_GAP`, and where camera, ISO, exposure
    time, aperture, focal length, size, orientation or folder change. Results go beside the first
    frame, or into the folder `output`, under different names; for a single burst it may name a
    picture. Raises `OutputError` where it cannot, or where a result would replace a photo.
    """
    files = _frames([p for p in inputs if not p.is_dir()])
    bursts = [(files, Path(), False)] if files else []
    single: list[Path] = []
    unreadable: list[tuple[Path, PhotoError]] = []
    for folder in (p for p in inputs if p.is_dir()):
        scan = scan_folder(folder, RAW_SUFFIXES)
        photos = [p for p in scan.files if not is_result(p)]
        errors = scan.unreadable or ([] if photos else [without_photos(folder, RAW_SUFFIXES)])
        unreadable += [(folder, error) for error in errors]
        found, bad = _grouped(photos)
        unreadable += bad
        single += [group[0] for group in found if len(group) == 1]
        below = [(group, group[0].parent.relative_to(folder), True) for group in found]
        bursts += [burst for burst in below if len(burst[0]) > 1]
    groups = _named(bursts, output, kind) if bursts else []
    frames = [frame for group in groups for frame in group.frames]
    check_photos_are_safe([*frames, *single], (path for group in groups for path in group.results))
    return BurstPlan(tuple(groups), tuple(single), tuple(unreadable))


def _frames(files: Sequence[Path]) -> list[Path]:
    """The files that are given, each once; undark's own results only if there is nothing else, as
    where *.dng is given again."""
    once: dict[Path, Path] = {}
    for path in files:
        once.setdefault(resolved(path), path)
    return [path for path in once.values() if not is_result(path)] or list(once.values())


def name_bursts(
    bursts: Sequence[Sequence[Path]], folders: Sequence[Path], kind: str, label: str = ""
) -> list[Group]:
    """Bursts of these frames, with results in a folder each: a-undark-burst.jpg of a.ARW.

    `label` comes after the name of the first frame; names that clash are told apart. Of the kind
    "dng" there is the merged mosaic only.
    """
    firsts = [frames[0] for frames in bursts]
    merges = distinct_names(firsts, folders, f"{label}{BURST_MARK}.dng")
    pictures = [None if kind == "dng" else dng.with_suffix(SUFFIXES[kind]) for dng in merges]
    return [
        Group(tuple(frames), picture, dng)
        for frames, picture, dng in zip(bursts, pictures, merges, strict=True)
    ]


def may_be_time_lapse(frames: Sequence[Path]) -> bool:
    """Whether frames found by `group_bursts` are too many for a burst."""
    return len(frames) > MANY


@dataclass(frozen=True)
class Taken:
    """A photo and what decides to which burst it belongs."""

    path: Path
    shot: Shot
    orientation: int
    size: tuple[int, ...]

    def follows(self, other: Taken) -> bool:
        """Whether it is of the burst that the other one, taken before, is of."""
        if self.shot.taken is None or other.shot.taken is None:
            return False
        exposed = timedelta(seconds=other.shot.exposure_time or 0.0)
        gap = (self.shot.taken - other.shot.taken - exposed).total_seconds()
        return gap <= LONGEST_GAP and self._setting == other._setting

    @property
    def _setting(self) -> tuple[object, ...]:
        shot = self.shot
        camera = (shot.make, shot.model, shot.iso, shot.exposure_time, shot.aperture)
        return (*camera, shot.focal_length, self.orientation, self.size, self.path.parent)


def read_taken(path: Path) -> Taken:
    """From EXIF; without a date there from LibRaw, which takes longer. Raises `PhotoError`."""
    tags = _tags(path)
    shot = shot_from_tags(tags)
    if shot.taken is None or shot.exposure_time is None:
        header = read_header(path)
        return Taken(path, header.shot, header.orientation, header.shape)
    return Taken(path, shot, orientation_of(tags), dimensions_of(tags))


def group_bursts(photos: Iterable[Taken]) -> list[list[Path]]:
    """Photos by burst, in the order in which they were taken; single ones are groups of one."""
    ordered = sorted(photos, key=lambda t: (t.path.parent, t.shot.taken or datetime.max, t.path))
    groups: list[list[Taken]] = []
    for photo in ordered:
        if groups and photo.follows(groups[-1][-1]):
            groups[-1].append(photo)
        else:
            groups.append([photo])
    return [[photo.path for photo in group] for group in groups]


def _named(
    bursts: Sequence[tuple[list[Path], Path, bool]], output: str | Path | None, kind: str
) -> list[Group]:
    """Bursts (frames, folder below the one that was given, whether found) with their results."""
    if output is not None and Path(output).suffix and not is_folder(output):
        picture = Path(output)
        if len(bursts) != 1 or KINDS.get(picture.suffix.lower()) in (None, "dng"):
            raise OutputError(
                f"{output}: names no picture of one burst; give a name that ends in .jpg, .png or "
                ".tif, or a folder with a slash at its end"
            )
        frames, _, found = bursts[0]
        return [Group(tuple(frames), picture, picture.with_suffix(".dng"), found)]
    folders = [
        frames[0].parent if output is None else Path(output) / below for frames, below, _ in bursts
    ]
    groups = name_bursts([frames for frames, _, _ in bursts], folders, kind)
    return [
        replace(group, found=found) for group, (_, _, found) in zip(groups, bursts, strict=True)
    ]


def _grouped(photos: list[Path]) -> tuple[list[list[Path]], list[tuple[Path, PhotoError]]]:
    """`group_bursts` of files, and what cannot be read."""
    read: list[Taken] = []
    unreadable: list[tuple[Path, PhotoError]] = []
    for path in photos:
        try:
            read.append(read_taken(path))
        except PhotoError as error:
            unreadable.append((path, error))
    return group_bursts(read), unreadable


def _tags(path: Path) -> Tags:
    try:
        with path.open("rb") as file:
            return read_tags(file)
    except OSError as error:
        why = error.strerror or error
        raise ReadError(f"{path}: cannot be read ({why}); check its permissions") from error
