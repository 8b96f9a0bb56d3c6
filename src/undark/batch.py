"""Many photos at a time: which files, where each result goes, and what became of it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from undark.errors import ReadError
from undark.files.raw import find_raws

SUFFIXES = {"jpeg": ".jpg", "png": ".png", "tiff": ".tif", "dng": ".dng"}
MARK = "-undark"
"""Ends the name of every result that undark names itself."""


@dataclass(frozen=True)
class Job:
    """One photo to restore and where to."""

    source: Path
    target: Path


def plan(inputs: list[Path], output: Path | None, kind: str) -> list[Job]:
    """What to restore and where to, for files and folders (recursively).

    Results go beside the source, or into the folder `output`, where folders keep their
    structure; a single photo may be given a file as `output`. Two sources that would write one
    file are told apart by name. Raises `ReadError` for a folder without photos.
    """
    sources = list(dict.fromkeys(pair for path in inputs for pair in _sources(path)))
    if output is not None and not _is_folder(output, inputs):
        return [Job(sources[0][0], output)]
    homes = [source.parent if output is None else output / below for source, below in sources]
    return _tell_apart([source for source, _ in sources], homes, SUFFIXES[kind])


def _is_folder(output: Path, inputs: list[Path]) -> bool:
    """Whether `-o` means a folder: it is one, many photos go there, or it has no picture suffix."""
    many = len(inputs) != 1 or inputs[0].is_dir()
    return many or output.is_dir() or output.suffix.lower() not in output_kinds()


def output_kinds() -> dict[str, str]:
    """Suffix of a result → its kind."""
    return {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".tif": "tiff", ".tiff": "tiff"} | {
        ".dng": "dng"
    }


def _sources(path: Path) -> Iterable[tuple[Path, Path]]:
    """(photo, its folder below the one that was asked for)."""
    if not path.is_dir():
        return [(path, Path())]
    found = [p for p in find_raws(path) if not p.stem.endswith(MARK)]
    if not found:
        raise ReadError(f"{path}: no RAW photos in this folder; give RAW files or their folder")
    return [(p, p.parent.relative_to(path)) for p in found]


def _tell_apart(sources: list[Path], homes: list[Path], suffix: str) -> list[Job]:
    """Name each result after its photo, adding its type, then its folder, where that clashes."""
    targets = [_name(home, source, 0, suffix) for source, home in zip(sources, homes, strict=True)]
    for detail in (1, 2):
        for clash in _clashes(targets):
            for i in clash:
                targets[i] = _name(homes[i], sources[i], detail, suffix)
    for clash in _clashes(targets):  # same name, type and folder's name: count them
        for number, i in enumerate(clash, 1):
            targets[i] = targets[i].with_name(f"{number}-{targets[i].name}")
    return [Job(s, t) for s, t in zip(sources, targets, strict=True)]


def _name(home: Path, source: Path, detail: int, suffix: str) -> Path:
    parts = [source.stem, source.suffix[1:].lower()][: 1 + min(detail, 1)]
    if detail > 1:
        parts.insert(0, source.absolute().parent.name)
    return home / ("-".join(p for p in parts if p) + MARK + suffix)


def _clashes(targets: list[Path]) -> list[list[int]]:
    """Groups of results that would be one file, also where upper and lower case are the same."""
    same: dict[str, list[int]] = defaultdict(list)
    for i, target in enumerate(targets):
        same[os.path.abspath(target).lower()].append(i)
    return [group for group in same.values() if len(group) > 1]
