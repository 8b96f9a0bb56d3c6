"""The plan of a batch: which photos to restore, and where each result goes."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from undark.errors import OutputError, ReadError
from undark.files.folder import CONFIDENCE_MARK, MARK, Scan, is_result, scan_folder
from undark.files.picture import is_picture
from undark.files.raw import RAW_SUFFIXES
from undark.files.suffixes import PICTURE_SUFFIXES

SUFFIXES = {"jpeg": ".jpg", "png": ".png", "tiff": ".tif", "dng": ".dng"}
"""Kind of a result → its suffix."""
KINDS = PICTURE_SUFFIXES | {".dng": "dng"}
"""Suffix of a result → its kind."""


@dataclass(frozen=True)
class Job:
    """One photo to restore, and the path of its result."""

    source: Path
    target: Path
    found: bool = False
    """Whether the photo was found in a folder that was given, not named itself."""

    @property
    def confidence(self) -> Path:
        """The path of its map of confidence: a.ARW → a-confidence.png, beside the result."""
        return self.target.with_name(self.target.stem.removesuffix(MARK) + CONFIDENCE_MARK + ".png")


@dataclass(frozen=True)
class Plan:
    """The photos of a batch."""

    jobs: tuple[Job, ...]
    unreadable: tuple[tuple[Path, ReadError], ...] = ()
    """(input, error that names the folder) of folders that cannot be read, or have no photos."""


def plan(
    inputs: Sequence[Path],
    output: str | Path | None = None,
    kind: str = "jpeg",
    suffixes: Collection[str] = RAW_SUFFIXES,
    label: str = "",
) -> Plan:
    """Plan the restoring of files and folders (searched recursively for `suffixes`).

    Results go beside the source, or into the folder `output`, where folders keep their structure;
    a single photo may have a file as `output`. Of a RAW photo and a picture of the same name in a
    folder, only the RAW photo is taken. A string that ends in a slash names a folder. Two
    sources that would write one file get different names. `label` comes after the photo's name:
    a.ARW → a-undark.jpg, with the label "-soft" a-soft-undark.jpg. A folder without photos is
    among the unreadable ones, so that it is reported. Raises `OutputError` where a result would
    replace a photo, or `output` cannot be the name of one.
    """
    photos, unreadable = _find(inputs, suffixes)
    named = {resolved(path) for path in inputs}
    if photos and output is not None and _names_a_file(output, inputs):
        jobs = [Job(photos[0][0], Path(output))]
    else:
        sources = [p for p, _ in photos]
        folders = [p.parent if output is None else Path(output) / below for p, below in photos]
        targets = distinct_names(sources, folders, label + MARK + SUFFIXES[kind])
        jobs = [Job(s, t) for s, t in zip(sources, targets, strict=True)]
    check_photos_are_safe((job.source for job in jobs), (job.target for job in jobs))
    jobs = [replace(job, found=resolved(job.source) not in named) for job in jobs]
    return Plan(tuple(jobs), tuple(unreadable))


def kind_of(output: str | Path | None) -> str | None:
    """The kind given by the suffix of a file `output`; None for a folder or no output."""
    if output is None or is_folder(output):
        return None
    return KINDS.get(Path(output).suffix.lower())


def is_folder(output: str | Path) -> bool:
    """Whether an output names a folder: one that is there, or a string that ends in a slash."""
    text = os.fspath(output)
    return text.endswith(("/", os.sep)) or os.path.isdir(text)


def _find(
    inputs: Sequence[Path], suffixes: Collection[str]
) -> tuple[list[tuple[Path, Path]], list[tuple[Path, ReadError]]]:
    """((photo, its folder below the input) for each photo once, `Plan.unreadable`).

    Undark's own results are left out where many files are given, as by *.dng.
    """
    found: dict[Path, tuple[Path, Path]] = {}
    unreadable: dict[str, tuple[Path, ReadError]] = {}
    for path in inputs:
        scan = scan_folder(path, suffixes) if os.path.isdir(path) else Scan([path], [])
        photos = _photos(path, scan)
        errors = scan.unreadable or ([] if photos else [without_photos(path, suffixes)])
        unreadable |= {str(error): (path, error) for error in errors}
        for photo, below in photos:
            if len(inputs) == 1 or not is_result(photo):
                found.setdefault(resolved(photo), (photo, below))
    return list(found.values()), list(unreadable.values())


def _photos(path: Path, scan: Scan) -> list[tuple[Path, Path]]:
    if scan.files == [path]:
        return [(path, Path())]
    photos = without_pictures_of_raws(p for p in scan.files if not is_result(p))
    return [(p, p.parent.relative_to(path)) for p in photos]


def without_pictures_of_raws(photos: Iterable[Path]) -> list[Path]:
    """Photos, of a RAW photo and pictures of the same name in a folder only the RAW photo."""
    listed = list(photos)
    raws = {(p.parent, p.stem.lower()) for p in listed if p.suffix.lower() in RAW_SUFFIXES}
    return [p for p in listed if not is_picture(p) or (p.parent, p.stem.lower()) not in raws]


def without_photos(folder: Path, suffixes: Collection[str]) -> ReadError:
    """The error of a folder in which nothing with these suffixes was found."""
    kinds = {"RAW photos": RAW_SUFFIXES, "pictures": PICTURE_SUFFIXES}
    what = " or ".join(name for name, of in kinds.items() if set(suffixes).intersection(of))
    return ReadError(f"{folder}: a folder without {what}; give {what} or their folder")


def resolved(path: Path) -> Path:
    """The path with links followed, to recognise a photo; unchanged where that fails."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # RuntimeError: circular links
        return path


def _names_a_file(output: str | Path, inputs: Sequence[Path]) -> bool:
    """Whether `output` names one picture rather than a folder. Raises `OutputError`."""
    suffix = Path(output).suffix
    if is_folder(output) or not suffix:
        return False
    if len(inputs) > 1 or os.path.isdir(inputs[0]):
        why = "many photos do not go into one file"
    elif suffix.lower() not in KINDS:
        why = f"a picture's name ends in {', '.join(KINDS)}"
    else:
        return True
    raise OutputError(f"{output}: {why}; for a folder of that name, add a slash to its end")


def check_photos_are_safe(photos: Iterable[Path], targets: Iterable[Path]) -> None:
    """Raises `OutputError` where a result would replace a photo."""
    known = {resolved(photo) for photo in photos}
    for target in targets:
        if resolved(target) in known:
            raise OutputError(f"{target}: is a photo to be restored; choose another name with -o")


def distinct_names(sources: Sequence[Path], folders: Sequence[Path], end: str) -> list[Path]:
    """The path of each result in its folder, named after its photo.

    Where that clashes its type is added, then its folder. `end` is the end of every name: label,
    mark and suffix.
    """
    targets = [_name(f, source, 0, end) for source, f in zip(sources, folders, strict=True)]
    for detail in (1, 2, 3, 4):
        for clash in _clashes(targets):
            for i in clash:
                targets[i] = _name(folders[i], sources[i], detail, end)
    return targets


def _name(folder: Path, source: Path, detail: int, end: str) -> Path:
    """A result's name: stem, stem and type, with the folder's name, with the folder's digest, with
    that of the whole path: a.dng and a.DNG may be two photos."""
    parts = [source.stem]
    if detail > 0:
        parts.append(source.suffix[1:].lower())
    if detail > 1:
        parts.insert(0, source.absolute().parent.name)
    if detail > 2:  # independent of the order of the photos and of the other photos
        whole = resolved(source) if detail > 3 else resolved(source).parent
        parts.insert(0, hashlib.sha256(os.fsencode(whole)).hexdigest()[:6])
    return folder / ("-".join(p for p in parts if p) + end)


def _clashes(targets: list[Path]) -> list[list[int]]:
    """Groups of results that would be one file, also where upper and lower case are the same."""
    same: dict[str, list[int]] = defaultdict(list)
    for i, target in enumerate(targets):
        same[os.path.abspath(target).lower()].append(i)
    return [group for group in same.values() if len(group) > 1]
