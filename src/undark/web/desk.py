"""The desk: what the page shows and asks for, without HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Any

from undark.errors import OutputError
from undark.restoring.darks import Darks
from undark.restoring.jobs import Loaded, Options
from undark.restoring.plan import SUFFIXES
from undark.web.bursts import Bursts
from undark.web.exports import Export, Exports, new_export
from undark.web.library import Entry, Library, is_inside
from undark.web.opened import Opened
from undark.web.settings import Settings
from undark.web.storage import Storage, read_json, write_json
from undark.web.thumbnails import Thumbnail, quick_thumbnail, raw_thumbnail
from undark.web.uploads import Uploads

THUMBNAILS_AT_ONCE = 2
_SPLIT = "split"
"""In the file of settings: identifiers of the bursts that are split. No photo is called so."""
MOST_LABEL = 40
"""Characters of what is added to a result's name."""


@dataclass(frozen=True)
class Wanted:
    """How photos are to be exported."""

    kind: str = "jpeg"
    below: str = ""
    """A folder below the one that was given; "": beside the photos."""
    label: str = ""
    """What is added to the names."""
    replace: bool = False

    def __post_init__(self) -> None:
        """Raises `ValueError`, whose message is for the user."""
        if self.kind not in SUFFIXES:
            raise ValueError(f"a format is {', '.join(SUFFIXES)}, not {self.kind}")
        if len(self.label) > MOST_LABEL or not re.fullmatch(r"[\w .+=,@()-]*", self.label):
            raise ValueError("names take letters, numbers, spaces and . - + = , @ ( )")
        parts = re.split(r"[/\\]", self.below) if self.below else []
        if len(self.below) > 200 or not all(
            re.fullmatch(r"[\w +=,@()-][\w .+=,@()-]*", p) for p in parts
        ):
            raise ValueError("give a folder below the photos' own, such as restored or out/2026")


class Desk:
    """Photos of some folders, open photos and exports."""

    def __init__(self, folders: Sequence[Path], storage: Storage, options: Options) -> None:
        self.storage = storage
        self._lock = Lock()
        self._settings, split = _read_settings(storage.settings_file)
        self.library = Library(folders, storage.uploads)
        self.library.set_split(split)
        self._bursts = Bursts(self.library.group)
        self.scan()
        self.uploads = Uploads(storage)
        self._options = options
        self.opened = Opened(options, self._load)
        self.exports = Exports(
            storage.queue_file, options, self._load, self._is_allowed, self.library.add_result
        )
        self._thumbnails = BoundedSemaphore(THUMBNAILS_AT_ONCE)

    @property
    def options(self) -> Options:
        """Of all photos, before their settings."""
        return self._options

    def close(self) -> None:
        """End the threads after their current tile or file, and keep what is left."""
        self._bursts.close()
        self.opened.close()
        self.exports.close()

    def _load(self) -> Loaded:
        return Loaded(self._options, Darks(()), self.opened.kept)

    def _is_allowed(self, export: Export) -> bool:
        """Whether an export of the state file reads and writes within the folders."""
        roots = (*self.library.folders, self.library.uploads)
        paths = (export.source, *export.frames, export.target.parent)
        return any(all(is_inside(path, root) for path in paths) for root in roots)

    def scan(self) -> None:
        """List the folders anew, and look for bursts."""
        self.library.scan()
        self._bursts.look(self.library.raws)

    def photos(self) -> dict[str, Any]:
        """The list, for the page."""
        version = self.library.version  # first: a list that changes meanwhile is asked for again
        restored = self.library.restored()
        restored |= {i.photo for i in self.exports.items if i.status == "done"}
        split = self.library.split_bursts()
        listed = [
            self._listed(entry, entry.id in restored, split.get(entry.id))
            for entry in self.library.entries.values()
        ]
        self._bursts.begin()
        return {
            "version": version,
            "folders": [str(folder) for folder in self.library.folders],
            "unreadable": list(self.library.unreadable),
            "photos": listed,
        }

    def _listed(self, entry: Entry, restored: bool, burst: Entry | None) -> dict[str, Any]:
        """A photo, for the page; `burst` is the one that it is a frame of, if that is split."""
        return {
            "id": entry.id,
            "name": entry.name,
            "kind": entry.kind,
            "uploaded": entry.uploaded,
            "restored": restored,
            "edited": entry.id in self._settings,
            "frames": [{"id": f.id, "name": f.name} for f in self.library.frames(entry)],
            "burst": {"id": burst.id, "frames": len(burst.files)} if burst else None,
        }

    @property
    def looks_for_bursts(self) -> bool:
        """Whether there may be more bursts than are listed."""
        return self._bursts.is_looking

    def split(self, bursts: Iterable[Entry], split: bool) -> None:
        """Show the frames of some bursts singly, or as one photo again. Raises `OutputError`."""
        keys = {burst.id for burst in bursts if burst.is_burst}
        with self._lock:
            before = self.library.split
            self.library.set_split(before | keys if split else before - keys)
            self._save_settings()

    def thumbnail(self, entry: Entry, better: bool) -> Thumbnail:
        """A photo's thumbnail, `better` from its RAW data. Raises `PhotoError`."""
        path = self._thumbnail_path(entry, better)
        if path and (kept := self.storage.read_thumbnail(path)):
            return Thumbnail(kept[1:], rough=kept[:1] == b"r")
        with self._thumbnails:
            made = None if better else quick_thumbnail(entry.source)
            made = made or raw_thumbnail(entry.source)
        if path:
            self.storage.keep_thumbnail(path, (b"r" if made.rough else b"g") + made.jpeg)
        return made

    def _thumbnail_path(self, entry: Entry, better: bool) -> Path | None:
        with suppress(OSError):
            return self.storage.thumbnail_path(entry.source, better)
        return None

    def settings(self, key: str) -> Settings:
        """A photo's settings: the default where none were chosen."""
        return self._settings.get(key, Settings())

    def keep_settings(self, entries: Iterable[Entry], settings: Settings) -> None:
        """Raises `OutputError`."""
        with self._lock:
            for entry in entries:
                self._settings.pop(entry.id, None)
                if settings != Settings():
                    self._settings[entry.id] = settings
            self._save_settings()

    def _save_settings(self) -> None:
        kept = {key: one.to_json() for key, one in self._settings.items()}
        write_json(self.storage.settings_file, kept | {_SPLIT: sorted(self.library.split)})

    def export(self, entries: Sequence[Entry], wanted: Wanted) -> int:
        """Add photos to the list of exports, each with its settings. Returns how many.

        Raises `OutputError`, and `ValueError` for too many.
        """
        found = self.library.jobs(entries, wanted.below or None, wanted.kind, wanted.label)
        return self.exports.add(
            new_export(
                entry.id,
                entry.name,
                job,
                self.settings(entry.id),
                kind=wanted.kind,
                replace_earlier=wanted.replace,
                frames=entry.files if entry.is_burst else (),
            )
            for entry, job in found
        )

    def clear(self) -> None:
        """Empty the state folder. Raises `OutputError` while exports run or wait."""
        if not all(item.is_finished for item in self.exports.items):
            raise OutputError("photos wait to be exported: let them finish, or remove them first")
        self.exports.remove_finished()
        self.opened.forget()
        with self._lock:
            self._settings = {}
            self.library.set_split(frozenset())
        self.storage.clear()
        self.scan()


def _read_settings(file: Path) -> tuple[dict[str, Settings], frozenset[str]]:
    """Settings by photo, and the bursts that are split; what is damaged is left out."""
    content = read_json(file)
    if not isinstance(content, dict):
        return {}, frozenset()
    split, found = content.pop(_SPLIT, []), {}
    for key, one in content.items():
        with suppress(ValueError):
            found[key] = Settings.from_json(one)
    keys = split if isinstance(split, list) else []
    return found, frozenset(key for key in keys if isinstance(key, str))
