"""The list of photos: which there are below the folders, and which have a result already.

Folders are listed without opening a file, so that thousands of photos take a fraction of a second.
The frames of bursts, which `bursts` finds later, are one entry.
A photo is known by an identifier that is made here; no path comes from the page.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from undark.errors import OutputError, ReadError
from undark.files.folder import Scan, is_result, scan_folder
from undark.files.picture import is_picture
from undark.files.raw import RAW_SUFFIXES
from undark.files.suffixes import PICTURE_SUFFIXES
from undark.restoring.burst_plan import name_bursts
from undark.restoring.jobs import Job, plan
from undark.restoring.plan import KINDS, without_pictures_of_raws
from undark.web.bursts import Groups


@dataclass(frozen=True)
class Entry:
    """One photo of the list: a file, or the frames of a burst."""

    id: str
    files: tuple[Path, ...]
    """The files that are restored as one photo, in the order in which they were taken; the first
    stands for it. More than one for a burst."""
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
    def is_burst(self) -> bool:
        return len(self.files) > 1

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
        self.split: frozenset[str] = frozenset()
        """Identifiers of the bursts whose frames are shown singly."""
        self.version = 0
        """Grows when what is shown changes."""
        self.unreadable: tuple[str, ...] = ()
        """One line for each folder that cannot be read."""
        self._results: set[Path] = set()
        self._lock = Lock()
        self._photos: dict[Path, Entry] = {}
        """Each file by itself, in the order to show."""
        self._bursts: dict[str, Entry] = {}
        """Those that are split too, by identifier."""
        self._groups: Groups = ()
        self._by_key: dict[str, Entry] = {}

    def scan(self) -> None:
        """List the folders anew."""
        photos, unreadable, results = dict[Path, Entry](), list[ReadError](), set[Path]()
        for root in (*self.folders, self.uploads):
            scan = scan_folder(root, RAW_SUFFIXES | set(KINDS)) if root.is_dir() else Scan([], [])
            unreadable += scan.unreadable
            results |= {path for path in scan.files if is_result(path)}
            for path in without_pictures_of_raws(_photos(scan.files, root)):
                one = Entry(identifier(path), (path,), root, root == self.uploads)
                photos.setdefault(path, one)
        self._results = results
        self.unreadable = tuple(map(str, unreadable))
        self._arrange(photos=photos)

    def group(self, groups: Groups) -> None:
        """Show these bursts as one photo each, but for those that are split."""
        self._arrange(groups=groups)

    def set_split(self, keys: frozenset[str]) -> None:
        """Show the frames of these bursts singly, those of the others as one photo."""
        self._arrange(split=keys)

    def _arrange(
        self,
        photos: dict[Path, Entry] | None = None,
        groups: Groups | None = None,
        split: frozenset[str] | None = None,
    ) -> None:
        """Set what has changed, and what is shown; requests see the old list or the new one."""
        with self._lock:
            self._photos = self._photos if photos is None else photos
            self._groups = self._groups if groups is None else groups
            self.split = self.split if split is None else split
            bursts = {b.id: b for b in map(self._burst, self._groups) if b}
            shown_by = {f: b for b in bursts.values() if b.id not in self.split for f in b.files}
            shown = [shown_by.get(path, photo) for path, photo in self._photos.items()]
            entries = {entry.id: entry for entry in shown}
            is_new = (entries, bursts) != (self.entries, self._bursts)
            self._by_key = {p.id: p for p in self._photos.values()} | bursts
            self.entries, self._bursts = entries, bursts
            self.version += is_new  # last: whoever has seen this version has seen the list

    def _burst(self, frames: tuple[Path, ...]) -> Entry | None:
        """The burst of some frames; None where one of them is not there any more."""
        first = self._photos.get(frames[0])
        if first is None or not all(frame in self._photos for frame in frames):
            return None
        return Entry(identifier(*frames), frames, first.root, first.uploaded)

    @property
    def raws(self) -> list[Path]:
        """All RAW photos, frames of bursts too."""
        return [path for path, photo in self._photos.items() if photo.kind == "raw"]

    def frames(self, burst: Entry) -> list[Entry]:
        """Each frame by itself; none for a single photo."""
        photos = self._photos
        return [photos[f] for f in burst.files if f in photos] if burst.is_burst else []

    def split_bursts(self) -> dict[str, Entry]:
        """Identifier of a frame that is shown singly → the burst it is of."""
        split = [burst for burst in self._bursts.values() if burst.id in self.split]
        return {frame.id: burst for burst in split for frame in self.frames(burst)}

    def find(self, key: str) -> Entry | None:
        """The photo of an identifier, None where there is none or its file leads elsewhere now.

        Also a photo that is not shown: a frame of a burst, or a burst that is split.
        """
        entry = self._by_key.get(key)
        return entry if entry and all(is_inside(f, entry.root) for f in entry.files) else None

    def restored(self) -> set[str]:
        """Identifiers of the photos beside which there is a result of any kind."""
        stems = {path.with_suffix("") for path in self._results}
        folders = {path.parent for path in self._results}  # names elsewhere need not be planned
        photos = self._photos
        near = [photo for path, photo in photos.items() if path.parent in folders]
        bursts = [burst for burst in self._bursts.values() if burst.source.parent in folders]
        jobs = [
            *((photos[job.source], job) for job in self._jobs(near, None, "jpeg", "")),
            *zip(bursts, _burst_jobs(bursts, None, "jpeg", ""), strict=True),
        ]
        return {entry.id for entry, job in jobs if job.target.with_suffix("") in stems}

    def add_result(self, path: Path) -> None:
        """A result that has just been written."""
        self._results = self._results | {path}  # another thread may be reading the old set

    def jobs(
        self, entries: Sequence[Entry], below: str | None, kind: str, label: str
    ) -> list[tuple[Entry, Job]]:
        """What to do for some photos: results beside them, or in a folder `below` theirs.

        A result's name does not depend on which of the list's photos are chosen. Uploaded photos
        have their results beside them. A burst's job has its first frame, and the result that is
        looked at first. Raises `OutputError` where a result would replace a photo, or lie outside
        the folders.
        """
        photos = {j.source: j for j in self._jobs(self._photos.values(), below, kind, label)}
        bursts = self._bursts | {entry.id: entry for entry in entries if entry.is_burst}
        jobs = _burst_jobs([*bursts.values()], below, kind, label)
        merged = dict(zip(bursts, jobs, strict=True))
        named = {e.id: merged[e.id] if e.is_burst else photos.get(e.source) for e in entries}
        found = [(entry, job) for entry in entries if (job := named[entry.id])]
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
            together[entry.root, _folder(entry, below)].append(entry.source)
        for (_, folder), sources in together.items():
            yield from plan(sources, f"{folder}{os.sep}", kind, label=label).jobs


def _folder(entry: Entry, below: str | None) -> Path:
    """Where a photo's results go: beside it, or into the same sub-folder `below` its root."""
    folder = entry.source.parent
    if below is None or entry.uploaded:
        return folder
    return entry.root / below / folder.relative_to(entry.root)


def _burst_jobs(bursts: Sequence[Entry], below: str | None, kind: str, label: str) -> list[Job]:
    frames, folders = [b.files for b in bursts], [_folder(b, below) for b in bursts]
    groups = name_bursts(frames, folders, kind, label)
    return [Job(b.source, group.results[0]) for b, group in zip(bursts, groups, strict=True)]


def _photos(files: Sequence[Path], root: Path) -> Iterable[Path]:
    """Photos among files: no results of undark's, no link out."""
    photos = RAW_SUFFIXES | set(PICTURE_SUFFIXES)
    for path in files:
        if path.suffix.lower() not in photos or is_result(path):
            continue
        if not path.is_symlink() or is_inside(path, root):
            yield path


def identifier(*paths: Path) -> str:
    """A short name for a photo's files, the same in each run."""
    return hashlib.sha256(b"\0".join(map(os.fsencode, paths))).hexdigest()[:20]


def is_inside(path: Path, root: Path) -> bool:
    """Whether a path, links followed, is below a folder whose links are followed already."""
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # RuntimeError: circular links
        return False
