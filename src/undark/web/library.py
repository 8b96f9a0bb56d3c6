"""The list of photos: which there are below the folders, and which have a result already.

Folders are listed without opening a file, so that thousands of photos take a fraction of a second.
A photo is known by an identifier that is made here; no path comes from the page.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from undark.errors import OutputError, ReadError
from undark.files.folder import Scan, is_result, scan_folder
from undark.files.picture import PICTURE_SUFFIXES, is_picture
from undark.files.raw import RAW_SUFFIXES
from undark.restoring.jobs import Job, plan
from undark.restoring.plan import KINDS

_CAMERA_JPEG = frozenset({".jpg", ".jpeg"})


@dataclass(frozen=True)
class Entry:
    """One photo of the list."""

    id: str
    files: tuple[Path, ...]
    """The files that are restored as one photo; the first stands for it. More than one for a
    burst."""
    root: Path
    """The folder that was given, or that of the uploads."""
    uploaded: bool = False

    @property
    def source(self) -> Path:
        return self.files[0]

    @property
    def name(self) -> str:
        """The path below the folder that was given."""
        return self.source.relative_to(self.root).as_posix()

    @property
    def kind(self) -> str:
        """ "raw" or "picture"."""
        return "picture" if is_picture(self.source) else "raw"


class Library:
    """The photos below some folders."""

    def __init__(self, folders: Sequence[Path], uploads: Path) -> None:
        self.folders = tuple(dict.fromkeys(folder.resolve() for folder in folders))
        self.uploads = uploads.resolve()
        self.entries: dict[str, Entry] = {}
        """By identifier, in the order to show."""
        self.unreadable: tuple[str, ...] = ()
        """One line for each folder that cannot be read."""
        self._results: set[Path] = set()

    def scan(self) -> None:
        """List the folders anew."""
        entries, unreadable, results = dict[str, Entry](), list[ReadError](), set[Path]()
        for root in (*self.folders, self.uploads):
            scan = scan_folder(root, RAW_SUFFIXES | set(KINDS)) if root.is_dir() else Scan([], [])
            unreadable += scan.unreadable
            results |= {path for path in scan.files if is_result(path)}
            for path in _photos(scan.files, root):
                key = identifier(path)
                entries.setdefault(key, Entry(key, (path,), root, root == self.uploads))
        self.entries, self._results = entries, results
        self.unreadable = tuple(map(str, unreadable))

    def find(self, key: str) -> Entry | None:
        """The photo of an identifier, None where there is none or its file leads elsewhere now."""
        entry = self.entries.get(key)
        return entry if entry and all(is_inside(f, entry.root) for f in entry.files) else None

    def restored(self) -> set[str]:
        """Identifiers of the photos beside which there is a result of any kind."""
        stems = {path.with_suffix("") for path in self._results}
        folders = {path.parent for path in self._results}  # names elsewhere need not be planned
        near = [entry for entry in self.entries.values() if entry.source.parent in folders]
        sources = {entry.source: entry.id for entry in near}
        return {
            sources[job.source]
            for job in self._jobs(near, None, "jpeg", "")
            if job.target.with_suffix("") in stems
        }

    def add_result(self, path: Path) -> None:
        """A result that has just been written."""
        self._results = self._results | {path}  # another thread may be reading the old set

    def jobs(
        self, entries: Sequence[Entry], below: str | None, kind: str, label: str
    ) -> list[tuple[Entry, Job]]:
        """What to do for some photos: results beside them, or in a folder `below` theirs.

        A result's name does not depend on which of the list's photos are chosen. Uploaded photos
        have their results beside them. Raises `OutputError` where a result would replace a photo,
        or lie outside the folders.
        """
        chosen = {entry.source: entry for entry in entries}
        named = list(self._jobs(self.entries.values(), below, kind, label))
        found = [(chosen[job.source], job) for job in named if job.source in chosen]
        for entry, job in found:
            if not is_inside(job.target.parent, entry.root):
                raise OutputError(f"{job.target}: leads out of {entry.root}; choose another folder")
        return found

    def _jobs(
        self, entries: Iterable[Entry], below: str | None, kind: str, label: str
    ) -> Iterable[Job]:
        """A job for each photo, those of one folder planned together: sub-folders are kept."""
        together = defaultdict[tuple[Path, Path], list[Path]](list)
        for entry in entries:
            folder = entry.source.parent
            if below is not None and not entry.uploaded:
                folder = entry.root / below / folder.relative_to(entry.root)
            together[entry.root, folder].append(entry.source)
        for (_, folder), sources in together.items():
            yield from plan(sources, f"{folder}{os.sep}", kind, label=label).jobs


def _photos(files: Sequence[Path], root: Path) -> Iterable[Path]:
    """Photos among files: no results of undark's, no JPEG of a RAW+JPEG pair, no link out."""
    raws = {_stem(path) for path in files if path.suffix.lower() in RAW_SUFFIXES}
    photos = RAW_SUFFIXES | set(PICTURE_SUFFIXES)
    for path in files:
        suffix = path.suffix.lower()
        if suffix not in photos or is_result(path):
            continue
        if suffix in _CAMERA_JPEG and _stem(path) in raws:
            continue
        if not path.is_symlink() or is_inside(path, root):
            yield path


def _stem(path: Path) -> str:
    return str(path.with_suffix("")).lower()


def identifier(path: Path) -> str:
    """A short name for a path, the same in each run."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:20]


def is_inside(path: Path, root: Path) -> bool:
    """Whether a path, links followed, is below a folder whose links are followed already."""
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # RuntimeError: circular links
        return False
