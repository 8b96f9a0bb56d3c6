"""Photos that are open: their light, up to `LIMIT` bytes, and the one that is being restored."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Thread
from typing import Literal

from undark.errors import UndarkError
from undark.restoring.jobs import Loaded, Options
from undark.restoring.kept import Kept
from undark.restoring.live import Live, open_live, open_live_burst
from undark.restoring.progress import seconds_left
from undark.web.library import Entry, identifier

LIMIT = 1 << 30
"""Bytes of light that are kept."""
STALE = 90.0
"""Seconds after which a page that has not asked for its photo again is taken to be gone; browsers
let pages in the background ask once a minute."""
Stage = Literal["waiting", "reading", "merging", "restoring", "ready", "failed"]
"""The first three show nothing, "restoring" shows the amplified photo, "ready" the restored one,
"failed" the amplified one, or nothing where it cannot be read."""


@dataclass(frozen=True)
class State:
    """How far a photo is."""

    stage: Stage = "waiting"
    share: float = 0.0
    """Of the merging or the restoring, 0 to 1."""
    seconds_left: float | None = None
    error: str | None = None


class _NotWantedError(Exception):
    """Ends the restoring of a photo: nobody looks at it."""


@dataclass(frozen=True)
class _Wish:
    """A photo that a page shows."""

    entry: Entry
    asked: float
    """When the page last asked for it."""


class Opened:
    """Open photos, and the thread that restores those that pages show, the latest first."""

    def __init__(self, options: Options, load: Callable[[], Loaded]) -> None:
        """`load` gives the models; it is called when the first photo is opened."""
        self._options, self._load = options, load
        self._loaded: Loaded | None = None
        self._changed = Condition()
        self._wanted: dict[str, _Wish] = {}
        """By identifier, the last opened last."""
        self._states: dict[str, State] = {}
        self._lives: dict[str, Live] = {}
        """The most recently used last."""
        self._ended = False
        self._thread = Thread(target=self._work, name="undark-opened", daemon=True)
        self._thread.start()

    def open(self, entry: Entry) -> State:
        """Ask for a photo."""
        with self._changed:
            state = self._states.get(entry.id)
            if state is None or state.stage == "failed":
                self._states[entry.id] = state = State()
                self._lives.pop(entry.id, None)
            self._wanted.pop(entry.id, None)
            self._wanted[entry.id] = _Wish(entry, time.monotonic())
            self._changed.notify_all()
            return state

    def look(self, entry: Entry) -> State | None:
        """The state for a page that shows the photo, which remains asked for.

        None where it was not opened, or was dropped since.
        """
        with self._changed:
            state = self._states.get(entry.id)
            if state is not None:
                self._wanted[entry.id] = _Wish(entry, time.monotonic())
                self._changed.notify_all()
            return state

    def leave(self, key: str) -> None:
        """A page does not show the photo any more."""
        with self._changed:
            self._wanted.pop(key, None)

    def live(self, key: str) -> Live | None:
        """The photo's light; None while it is not read, and where it was dropped."""
        with self._changed:
            live = self._lives.pop(key, None)
            if live is not None:
                self._lives[key] = live
            return live

    def kept(self, files: tuple[Path, ...], options: Options) -> Kept | None:
        """What is kept of some files, where an export can be made of it: a `Keeper`."""
        mine = self._options
        if options.of_network != mine.of_network or options.confidence:
            return None
        if not options.exposure.relative or mine.exposure != Options.exposure:
            return None
        live = self.live(identifier(*files))
        return live.kept if live else None

    def forget(self) -> None:
        """Drop all photos."""
        with self._changed:
            self._wanted.clear()
            self._states.clear()
            self._lives.clear()

    def close(self, seconds: float = 30.0) -> None:
        """End the thread after its current tile."""
        with self._changed:
            self._ended = True
            self._wanted.clear()
            self._changed.notify_all()
        self._thread.join(seconds)

    def _work(self) -> None:
        while (entry := self._next()) is not None:
            try:
                self._restore(entry)
            except _NotWantedError:
                self._set(entry, State())  # from the beginning when it is opened again
            except UndarkError as error:
                self._set(entry, State("failed", error=str(error)))
            except Exception as error:  # a bug; the page shows it and goes on
                self._set(entry, State("failed", error=f"{entry.name}: {error!r}"))

    def _next(self) -> Entry | None:
        """Wait for a photo that is asked for and not begun; None at the end."""
        with self._changed:
            while not self._ended:
                for key, wish in reversed(self._wanted.items()):
                    if self._is_wanted(key) and self._states[key].stage == "waiting":
                        return wish.entry
                self._changed.wait()
        return None

    def _is_wanted(self, key: str) -> bool:
        wish = self._wanted.get(key)
        is_recent = wish is not None and time.monotonic() - wish.asked < STALE
        return is_recent and key in self._states and not self._ended

    def _restore(self, entry: Entry) -> None:
        live = self.live(entry.id)
        if live is None:
            self._set(entry, State("reading"))
            if self._loaded is None:
                self._loaded = self._load()
            live = self._read(entry, self._loaded)
            live.prepare()
            self._keep(entry, live)
        if not live.is_restored:
            self._set(entry, State("restoring"))
            began = time.monotonic()
            live.restore(lambda share: self._report(entry, "restoring", share, began))
        self._set(entry, State("ready", 1.0))
        self._keep(entry, live)

    def _read(self, entry: Entry, loaded: Loaded) -> Live:
        """The photo, or the merge of the burst's frames. Raises `UndarkError`."""
        if not entry.is_burst:
            return open_live(entry.source, self._options, loaded)
        self._set(entry, State("merging"))
        began = time.monotonic()

        def merged(share: float) -> None:
            self._report(entry, "merging", share, began)

        return open_live_burst(entry.files, self._options, loaded, merged)

    def _report(self, entry: Entry, stage: Stage, share: float, began: float) -> None:
        """Progress of the merge or of the network. Raises `_NotWantedError`."""
        with self._changed:
            if not self._is_wanted(entry.id):
                raise _NotWantedError
        left = seconds_left(time.monotonic() - began, share)
        self._set(entry, State(stage, share, left))

    def _set(self, entry: Entry, state: State) -> None:
        with self._changed:
            if entry.id in self._states:
                self._states[entry.id] = state

    def _keep(self, entry: Entry, live: Live) -> None:
        """Keep a photo's light, unless it was dropped meanwhile.

        Above the limit the least recently used ones are rounded to 16 bits first, then dropped.
        """
        with self._changed:
            if entry.id not in self._states:
                return
            self._lives.pop(entry.id, None)
            self._lives[entry.id] = live
            while self.nbytes > LIMIT:
                if exact := [live for live in self._lives.values() if live.is_exact]:
                    exact[0].halve()
                elif len(self._lives) > 1:
                    key = next(iter(self._lives))
                    del self._lives[key]
                    self._states.pop(key, None)
                else:
                    break

    @property
    def nbytes(self) -> int:
        """Bytes of light that are kept."""
        return sum(live.nbytes for live in list(self._lives.values()))
