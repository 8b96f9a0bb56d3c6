"""Photos that are open: their light, up to `LIMIT` bytes, and the one that is being restored."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Thread

from undark.errors import UndarkError
from undark.restoring.jobs import Loaded, Options
from undark.restoring.live import Live, open_live
from undark.web.library import Entry

LIMIT = 1 << 30
"""Bytes of light that are kept; the least recently used photos are dropped."""


@dataclass(frozen=True)
class State:
    """How far a photo is."""

    stage: str = "waiting"
    """ "waiting", "reading" (shows nothing), "restoring" (shows the amplified photo), "ready" or
    "failed" (shows the amplified photo, or nothing where it cannot be read)."""
    share: float = 0.0
    """Of the restoring, 0 to 1."""
    seconds_left: float | None = None
    error: str | None = None


class _OtherWantedError(Exception):
    """Ends the restoring of a photo: another one is looked at."""


class Opened:
    """Open photos, and the thread that restores the one that was asked for last."""

    def __init__(self, options: Options, load: Callable[[], Loaded]) -> None:
        """`load` gives the models; it is called when the first photo is opened."""
        self._options, self._load = options, load
        self._loaded: Loaded | None = None
        self._changed = Condition()
        self._wanted: Entry | None = None
        self._states: dict[str, State] = {}
        self._lives: dict[str, Live] = {}
        """The most recently used last."""
        self._ended = False
        self._thread = Thread(target=self._work, name="undark-opened", daemon=True)
        self._thread.start()

    def open(self, entry: Entry) -> State:
        """Ask for a photo, in place of the one asked for before."""
        with self._changed:
            state = self._states.get(entry.id)
            if state is None or state.stage == "failed":
                self._states[entry.id] = state = State()
                self._lives.pop(entry.id, None)
            self._wanted = entry
            self._changed.notify_all()
            return state

    def state(self, key: str) -> State | None:
        """None where the photo was not opened, or was dropped since."""
        with self._changed:
            return self._states.get(key)

    def live(self, key: str) -> Live | None:
        """The photo's light; None while it is not read, and where it was dropped."""
        with self._changed:
            live = self._lives.pop(key, None)
            if live is not None:
                self._lives[key] = live
            return live

    def forget(self) -> None:
        """Drop all photos."""
        with self._changed:
            self._wanted = None
            self._states.clear()
            self._lives.clear()

    def close(self, seconds: float = 30.0) -> None:
        """End the thread after its current tile."""
        with self._changed:
            self._ended = True
            self._wanted = None
            self._changed.notify_all()
        self._thread.join(seconds)

    def _work(self) -> None:
        while (entry := self._next()) is not None:
            try:
                self._restore(entry)
            except _OtherWantedError:
                self._set(entry, State())  # from the beginning when it is opened again
            except UndarkError as error:
                self._set(entry, State("failed", error=str(error)))
            except Exception as error:  # a bug; the page shows it and goes on
                self._set(entry, State("failed", error=f"{entry.name}: {error!r}"))

    def _next(self) -> Entry | None:
        """Wait for a photo that is asked for and not begun; None at the end."""
        with self._changed:
            while not self._ended:
                wanted = self._wanted
                if wanted and self._states.get(wanted.id, State()).stage == "waiting":
                    return wanted
                self._changed.wait()
        return None

    def _restore(self, entry: Entry) -> None:
        live = self.live(entry.id)
        if live is None:
            self._set(entry, State("reading"))
            if self._loaded is None:
                self._loaded = self._load()
            live = open_live(entry.source, self._options, self._loaded)
            live.prepare()
            self._keep(entry, live)
        if not live.is_restored:
            self._set(entry, State("restoring"))
            began = time.monotonic()
            live.restore(lambda share: self._report(entry, share, began))
        self._set(entry, State("ready", 1.0))
        self._keep(entry, live)

    def _report(self, entry: Entry, share: float, began: float) -> None:
        """Progress of the network. Raises `_OtherWantedError`."""
        with self._changed:
            if self._ended or self._wanted is None or self._wanted.id != entry.id:
                raise _OtherWantedError
        elapsed = time.monotonic() - began
        left = elapsed / share * (1 - share) if share > 0 else None
        self._set(entry, State("restoring", share, left))

    def _set(self, entry: Entry, state: State) -> None:
        with self._changed:
            if entry.id in self._states:
                self._states[entry.id] = state

    def _keep(self, entry: Entry, live: Live) -> None:
        """Keep a photo's light; drop the least recently used ones above the limit."""
        with self._changed:
            self._lives.pop(entry.id, None)
            self._lives[entry.id] = live
            while len(self._lives) > 1 and self.nbytes > LIMIT:
                key = next(iter(self._lives))
                del self._lives[key]
                self._states.pop(key, None)

    @property
    def nbytes(self) -> int:
        """Bytes of light that are kept."""
        return sum(live.nbytes for live in list(self._lives.values()))
