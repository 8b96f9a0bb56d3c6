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
from undark.web.exports import Export, Exports, new_export
from undark.web.library import Entry, Library, is_inside
from undark.web.opened import Opened
from undark.web.settings import Settings
from undark.web.storage import Storage, read_json, write_json
from undark.web.thumbnails import Thumbnail, quick_thumbnail, raw_thumbnail
from undark.web.uploads import Uploads

THUMBNAILS_AT_ONCE = 2
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
        self.library = Library(folders, storage.uploads)
        self.library.scan()
        self.uploads = Uploads(storage)
        self._options = options
        self.opened = Opened(options, self._load)
        self.exports = Exports(
            storage.queue_file, options, self._load, self._is_allowed, self.library.add_result
        )
        self._thumbnails = BoundedSemaphore(THUMBNAILS_AT_ONCE)
        self._lock = Lock()
        self._settings = _read_settings(storage.settings_file)

    @property
    def options(self) -> Options:
        """Of all photos, before their settings."""
        return self._options

    def close(self) -> None:
        """End the threads after their current tile, and keep what is left."""
        self.opened.close()
        self.exports.close()

    def _load(self) -> Loaded:
        return Loaded(self._options, Darks(()))

    def _is_allowed(self, export: Export) -> bool:
        """Whether an export of the state file reads and writes within the folders."""
        roots = (*self.library.folders, self.library.uploads)
        return any(
            is_inside(export.source, root) and is_inside(export.target.parent, root)
            for root in roots
        )

    def photos(self) -> dict[str, Any]:
        """The list, for the page."""
        restored = self.library.restored()
        exported = {i.photo for i in self.exports.items if i.status == "done"}
        return {
            "folders": [str(folder) for folder in self.library.folders],
            "unreadable": list(self.library.unreadable),
            "photos": [
                {
                    "id": entry.id,
                    "name": entry.name,
                    "kind": entry.kind,
                    "uploaded": entry.uploaded,
                    "restored": entry.id in restored or entry.id in exported,
                    "edited": entry.id in self._settings,
                }
                for entry in self.library.entries.values()
            ],
        }

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
            kept = {key: one.to_json() for key, one in self._settings.items()}
            write_json(self.storage.settings_file, kept)

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
            )
            for entry, job in found
        )

    def clear(self) -> None:
        """Empty the state folder. Raises `OutputError` while exports run or wait."""
        if any(i.status in ("running", "waiting") for i in self.exports.items):
            raise OutputError("photos wait to be exported: let them finish, or remove them first")
        self.exports.remove_finished()
        self.opened.forget()
        with self._lock:
            self._settings = {}
        self.storage.clear()
        self.library.scan()


def _read_settings(file: Path) -> dict[str, Settings]:
    content, found = read_json(file), {}
    for key, one in content.items() if isinstance(content, dict) else ():
        with suppress(ValueError):
            found[key] = Settings.from_json(one)
    return found
