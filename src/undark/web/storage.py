"""The desk's state folder: thumbnails, uploads, settings and the list of exports; bounded.

thumbnails/                     of all folders, the least recently used are evicted
sessions/<digest of folders>/   queue.json, settings.json, uploads/

Nothing else is written but results where the user said. Everything may be deleted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from platformdirs import user_state_path

from undark.files.output import write_atomically, writing

ENVIRONMENT = "UNDARK_STATE"
"""Names another state folder."""
THUMBNAILS = 256 << 20
"""Bytes that thumbnails take, at most."""
UPLOADS = 4 << 30
"""Bytes that the uploads of a session take, at most."""
KEPT_DAYS = 30
"""Sessions that were not used for so long are deleted."""


def state_folder() -> Path:
    """The system's place for a user's state: ~/.local/state/undark on Linux."""
    chosen = os.environ.get(ENVIRONMENT)
    return Path(chosen) if chosen else user_state_path("undark", appauthor=False)


class Storage:
    """The state of a desk over some folders."""

    def __init__(self, folder: Path, photos: Sequence[Path]) -> None:
        """Raises `OutputError` where the folder cannot be written."""
        names = b"\0".join(os.fsencode(path.resolve()) for path in photos)
        sessions = folder / "sessions"
        self.session = sessions / hashlib.sha256(names).hexdigest()[:20]
        self.uploads = self.session / "uploads"
        self.thumbnails = folder / "thumbnails"
        self._lock, self._taken = Lock(), 0
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for made in (sessions, self.session, self.uploads, self.thumbnails):
                made.mkdir(exist_ok=True, mode=0o700)
            os.utime(self.session)
        self._delete_old(sessions)
        self._taken = _bytes_below(self.thumbnails)

    @property
    def queue_file(self) -> Path:
        return self.session / "queue.json"

    @property
    def settings_file(self) -> Path:
        return self.session / "settings.json"

    @property
    def size(self) -> int:
        """Bytes of thumbnails and of this session."""
        return _bytes_below(self.thumbnails) + _bytes_below(self.session)

    def _delete_old(self, sessions: Path) -> None:
        oldest = time.time() - KEPT_DAYS * 86400
        for session in sessions.iterdir():
            with suppress(OSError):
                if session != self.session and session.stat().st_mtime < oldest:
                    shutil.rmtree(session)

    def thumbnail_path(self, photo: Path, better: bool) -> Path:
        """Where a photo's thumbnail is kept; another one after the file has changed.

        Raises `OSError` where the photo is not there.
        """
        state = photo.stat()
        known = f"{photo}\0{state.st_mtime_ns}\0{state.st_size}\0{better}"
        return self.thumbnails / f"{hashlib.sha256(os.fsencode(known)).hexdigest()[:40]}"

    def read_thumbnail(self, path: Path) -> bytes | None:
        with suppress(OSError):
            content = path.read_bytes()
            os.utime(path)  # the time of last use, for eviction
            return content
        return None

    def keep_thumbnail(self, path: Path, content: bytes) -> None:
        """Keep a thumbnail; where the disk is full it is only not kept."""
        with self._lock, suppress(OSError):
            if self._taken + len(content) > THUMBNAILS:
                self._evict(THUMBNAILS * 3 // 4 - len(content))
            self._taken += len(content)
            temporary = path.with_suffix(".part")
            temporary.write_bytes(content)
            os.replace(temporary, path)

    def _evict(self, limit: int) -> None:
        """Delete the least recently used thumbnails, so that the others take `limit` bytes."""
        files = [(p.stat().st_mtime, p.stat().st_size, p) for p in self.thumbnails.iterdir()]
        self._taken = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if self._taken <= limit:
                return
            path.unlink(missing_ok=True)
            self._taken -= size

    def room_for_uploads(self) -> int:
        """Bytes that may still be uploaded."""
        return max(UPLOADS - _bytes_below(self.uploads), 0)

    def clear(self) -> None:
        """Delete thumbnails, uploads and what is known of this session. Raises `OutputError`."""
        with self._lock, writing(self.session):
            for folder in (self.thumbnails, self.uploads):
                for path in folder.iterdir():
                    path.unlink(missing_ok=True)
            self.settings_file.unlink(missing_ok=True)
            self.queue_file.unlink(missing_ok=True)
            self._taken = 0


def read_json(path: Path) -> Any:
    """The content of a state file; None where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write_json(path: Path, content: object) -> None:
    """Atomically. Raises `OutputError`."""
    write_atomically(path, json.dumps(content, separators=(",", ":")).encode())


def _bytes_below(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total
