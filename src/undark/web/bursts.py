"""Which photos of the list are bursts, by the rule of `restoring.burst_plan`.

That needs the date and the settings of each photo. They are read in a thread, one file after
another, for at most half of its time, and kept by the file's path, size and time of change. Bursts
are told of while others are still looked for.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import Condition, Thread

from undark.restoring.burst_plan import Taken, group_bursts, may_be_time_lapse, read_taken

EVERY = 2.0
"""Seconds after which the bursts found so far are told of; each list costs the page some work."""

Groups = tuple[tuple[Path, ...], ...]
"""Frames of each burst, in the order in which they were taken."""


class Bursts:
    """The thread that looks for bursts among the photos that `look` was given last."""

    def __init__(self, found: Callable[[Groups], None]) -> None:
        """`found` is called, in the thread, every few seconds and when all photos were read."""
        self._found = found
        self._changed = Condition()
        self._asked: list[Path] | None = None
        self._begun = self._reading = self._ended = False
        self._known: dict[Path, tuple[tuple[int, int], Taken | None]] = {}
        """Path → (size, time of change), what was read; None where it cannot be."""
        self._thread = Thread(target=self._work, name="undark-bursts", daemon=True)
        self._thread.start()

    def look(self, photos: Iterable[Path]) -> None:
        """Look among these RAW photos, instead of those of an earlier call."""
        with self._changed:
            self._asked = list(photos)
            self._changed.notify_all()

    def begin(self) -> None:
        """Files are not read before this is called: the first list is not to wait for it."""
        with self._changed:
            self._begun = True
            self._changed.notify_all()

    @property
    def is_looking(self) -> bool:
        """Whether it reads, or is to read, photos."""
        with self._changed:
            return self._asked is not None or self._reading

    def close(self, seconds: float = 30.0) -> None:
        """End the thread after its current file."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(seconds)

    def _work(self) -> None:
        while (photos := self._next()) is not None:
            try:
                self._look_among(photos)
            finally:
                with self._changed:
                    self._reading = False

    def _look_among(self, photos: list[Path]) -> None:
        """Tell of the bursts, unless other photos are asked for meanwhile."""
        known: dict[Path, tuple[tuple[int, int], Taken | None]] = {}
        told = time.monotonic()
        for path in photos:
            if self._is_interrupted():
                self._known |= known
                return
            known |= self._read(path)
            if time.monotonic() - told > EVERY:
                earlier = {p: self._known[p] for p in photos if p in self._known}
                groups = _bursts(earlier | known)
                self._found(tuple(group for group in groups if path not in group))  # may go on
                told = time.monotonic()
        self._known = known
        self._found(_bursts(known))

    def _next(self) -> list[Path] | None:
        """Wait for photos to look among; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or (self._begun and self._asked is not None))
            photos, self._asked = self._asked, None
            self._reading = True
            return None if self._ended else photos

    def _is_interrupted(self) -> bool:
        with self._changed:
            return self._ended or self._asked is not None

    def _read(self, path: Path) -> dict[Path, tuple[tuple[int, int], Taken | None]]:
        """What is known of a file, read where it is new; empty where it is a link or not there.

        With links a photo would be merged with itself.
        """
        try:
            state = path.lstat()
        except OSError:
            return {}
        if stat.S_ISLNK(state.st_mode):
            return {}
        key = (state.st_size, state.st_mtime_ns)
        if path in self._known and self._known[path][0] == key:
            return {path: self._known[path]}
        began = time.monotonic()
        try:
            taken: Taken | None = read_taken(path)
        except Exception:  # a bug too: it stays a single photo, and says why when it is opened
            taken = None
        self._rest(time.monotonic() - began)
        return {path: (key, taken)}

    def _rest(self, seconds: float) -> None:
        """Leave the processors to those who wait for an answer."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended, seconds)


def _bursts(known: Mapping[Path, tuple[tuple[int, int], Taken | None]]) -> Groups:
    """Without single photos and without what may be a time-lapse."""
    groups = group_bursts(taken for _, taken in known.values() if taken)
    return tuple(tuple(g) for g in groups if len(g) > 1 and not may_be_time_lapse(g))
