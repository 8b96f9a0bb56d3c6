"""Many photos at a time: which files, where each result goes, and what is there already."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from undark.errors import OutputError
from undark.files.exif_read import date_taken
from undark.files.folder import MARK, find_files, is_result
from undark.files.picture import PICTURE_SUFFIXES
from undark.files.raw import RAW_SUFFIXES

SUFFIXES = {"jpeg": ".jpg", "png": ".png", "tiff": ".tif", "dng": ".dng"}
KINDS = PICTURE_SUFFIXES | {".dng": "dng"}
"""Suffix of a result → its kind."""
DONE = "restored already; --overwrite to redo"


@dataclass(frozen=True)
class Job:
    """One photo to restore and where to."""

    source: Path
    target: Path
    named: bool = False
    """Whether the user named the result, rather than undark."""


def plan(
    inputs: list[Path],
    output: Path | None,
    kind: str,
    suffixes: Collection[str] = RAW_SUFFIXES,
) -> list[Job]:
    """What to restore and where to, for files and folders (recursively, by `suffixes`).

    Results go beside the source, or into the folder `output`, where folders keep their
    structure; a single photo may be given a file as `output`. Two sources that would write one
    file are told apart by name. A folder without photos stays in the list, to be reported.
    Raises `OutputError` where a result would take a photo's place, or `output` is no name for one.
    """
    photos = _find(inputs, suffixes)
    if output is not None and _names_a_file(output, inputs):
        jobs = [Job(photos[0][0], output, named=True)]
    else:
        homes = [p.parent if output is None else output / below for p, below in photos]
        jobs = _tell_apart([p for p, _ in photos], homes, SUFFIXES[kind])
    _check_photos_are_safe(jobs)
    return jobs


def standing(job: Job) -> str | None:
    """What stands where a result would go: None, `DONE`, or why it cannot be written, in a line.

    What has the name that undark gives counts as this photo's result unless its EXIF date is
    another's; under a name that the user chose it has to have the photo's date.
    """
    if not os.path.lexists(job.target):
        return None
    if not os.path.isfile(job.target):
        return f"{job.target}: something else has this name; move it, or choose another with -o"
    ours, theirs = date_taken(job.source), date_taken(job.target)
    known = ours is not None and theirs is not None
    if (ours == theirs) if known else not job.named:
        return DONE
    what = "the result of another photo" if known else "exists already"
    return f"{job.target}: {what}; choose another name with -o, or add --overwrite"


def _find(inputs: list[Path], suffixes: Collection[str]) -> list[tuple[Path, Path]]:
    """(photo, its folder below the one that was asked for), each photo once.

    Results of undark's own are left out where many files are given, as by *.dng.
    """
    found: dict[Path, tuple[Path, Path]] = {}
    for path in inputs:
        for photo, below in _photos(path, suffixes):
            if len(inputs) == 1 or not is_result(photo):
                found.setdefault(_real(photo), (photo, below))
    return list(found.values())


def _photos(path: Path, suffixes: Collection[str]) -> list[tuple[Path, Path]]:
    if not os.path.isdir(path):
        return [(path, Path())]
    found = [p for p in find_files(path, suffixes) if not is_result(p)]
    return [(p, p.parent.relative_to(path)) for p in found] or [(path, Path())]


def _real(path: Path) -> Path:
    """The path with links followed, to know a photo again; as it is where that fails."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # RuntimeError: links in a circle
        return path


def _names_a_file(output: Path, inputs: list[Path]) -> bool:
    """Whether `-o` names one picture rather than a folder. Raises `OutputError`."""
    if os.path.isdir(output) or not output.suffix:
        return False
    if len(inputs) > 1 or os.path.isdir(inputs[0]):
        why = "many photos do not go into one file"
    elif output.suffix.lower() not in KINDS:
        why = f"a picture's name ends in {', '.join(KINDS)}"
    else:
        return True
    raise OutputError(f"{output}: {why}; for a folder of that name, make it first")


def _check_photos_are_safe(jobs: list[Job]) -> None:
    photos = {_real(job.source) for job in jobs}
    for job in jobs:
        if _real(job.target) in photos:
            raise OutputError(
                f"{job.target}: is a photo to be restored; choose another name with -o"
            )


def _tell_apart(sources: list[Path], homes: list[Path], suffix: str) -> list[Job]:
    """Name each result after its photo, adding its type, then its folder, where that clashes."""
    targets = [_name(home, source, 0, suffix) for source, home in zip(sources, homes, strict=True)]
    for detail in (1, 2, 3):
        for clash in _clashes(targets):
            for i in clash:
                targets[i] = _name(homes[i], sources[i], detail, suffix)
    return [Job(s, t) for s, t in zip(sources, targets, strict=True)]


def _name(home: Path, source: Path, detail: int, suffix: str) -> Path:
    """A result's name: stem, stem and type, with the folder's name, with the folder's digest."""
    parts = [source.stem]
    if detail > 0:
        parts.append(source.suffix[1:].lower())
    if detail > 1:
        parts.insert(0, source.absolute().parent.name)
    if detail > 2:  # the same in whatever order and company the photos are given
        parts.insert(0, hashlib.sha256(os.fsencode(_real(source).parent)).hexdigest()[:6])
    return home / ("-".join(p for p in parts if p) + MARK + suffix)


def _clashes(targets: list[Path]) -> list[list[int]]:
    """Groups of results that would be one file, also where upper and lower case are the same."""
    same: dict[str, list[int]] = defaultdict(list)
    for i, target in enumerate(targets):
        same[os.path.abspath(target).lower()].append(i)
    return [group for group in same.values() if len(group) > 1]
