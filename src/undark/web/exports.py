"""The list of exports: photos to restore into files, in turn, through `restoring.jobs`.

Bursts go through `restoring.burst_jobs`, and have two results: the picture and the merged mosaic.

Its state is a file that is written when an export begins or ends, so that the list goes on after
the server was closed or killed: an export that was running then is done again from its start.
Results appear under their names when they are complete.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from threading import Condition, Thread
from typing import Any, Literal, get_args

from undark.errors import OutputError, SetupError, UndarkError
from undark.files.provenance import source_of
from undark.restoring.burst_jobs import (
    BurstEvent,
    BurstFailed,
    BurstOutcome,
    BurstProgress,
    BurstRestored,
    BurstSkipped,
    named,
    run_bursts,
)
from undark.restoring.burst_plan import FrameLeftOut, Group
from undark.restoring.claims import remove_partial
from undark.restoring.jobs import (
    Event,
    Failed,
    Job,
    Loaded,
    Options,
    Outcome,
    Plan,
    Progress,
    Restored,
    Skipped,
    run,
)
from undark.restoring.progress import seconds_left
from undark.web.settings import FORMATS, Settings
from undark.web.storage import read_json, write_json

MOST = 20_000
"""Exports in the list, at most."""
Status = Literal["waiting", "running", "done", "skipped", "failed"]
_HERE = {
    "--overwrite to redo": "tick Replace earlier results to do it again",
    "choose another name with -o, or add --overwrite": "choose another name or folder",
    "choose another with -o": "choose another name or folder",
}
"""What lines of `restoring.jobs` say to do → what to do on the page."""
_STATUSES = frozenset(get_args(Status))


@dataclass(frozen=True)
class Export:
    """One photo to be written."""

    id: str
    photo: str
    """Identifier of the photo in the list."""
    name: str
    source: Path
    target: Path
    settings: Settings
    kind: str
    """ "jpeg", "png", "tiff" or "dng"."""
    replace: bool = False
    """Whether an earlier result of undark's may be replaced."""
    status: Status = "waiting"
    message: str = ""
    """Why it was skipped or failed, else what was done."""
    seconds: float = 0.0
    bytes: int = 0
    """Of the source: about in proportion to the time."""
    began: float = 0.0
    """When it began to run, in seconds since 1970."""
    frames: tuple[Path, ...] = ()
    """Of a burst, the source the first of them; empty for a single photo."""

    @property
    def is_finished(self) -> bool:
        return self.status not in ("waiting", "running")

    @property
    def group(self) -> Group | None:
        """The burst with its results; None for a single photo."""
        picture = None if self.kind == "dng" else self.target
        dng = self.target.with_suffix(".dng")
        return Group(self.frames, picture, dng) if self.frames else None

    @property
    def targets(self) -> tuple[Path, ...]:
        """All files that are written."""
        return self.group.results if self.group else (self.target,)

    def to_json(self) -> dict[str, Any]:
        paths = {"source": str(self.source), "target": str(self.target)}
        frames = {"frames": [str(frame) for frame in self.frames]}
        return asdict(self) | paths | frames | {"settings": self.settings.to_json()}

    @classmethod
    def from_json(cls, content: Any) -> Export:
        """Raises `ValueError`, `TypeError`, `KeyError` for anything else than `to_json` gives."""
        content = {"frames": []} | content  # those of earlier versions have none
        given = {field.name: content[field.name] for field in fields(cls)}
        texts = ("id", "photo", "name", "source", "target", "kind", "status", "message")
        if not all(isinstance(given[name], str) for name in texts):
            raise TypeError("names are text")
        if given["status"] not in _STATUSES or given["kind"] not in FORMATS:
            raise ValueError("an unknown status or kind")
        paths = {name: Path(given[name]) for name in ("source", "target")}
        frames = tuple(Path(frame) for frame in given["frames"])
        settings = Settings.from_json(given["settings"])
        return cls(**given | paths | {"frames": frames, "settings": settings})


@dataclass(frozen=True)
class Now:
    """What is running."""

    id: str
    share: float
    seconds_left: float | None


@dataclass(frozen=True)
class _Ended:
    """How an export ended; None in place of it: stopped in the middle."""

    outcome: Outcome | BurstOutcome
    left_out: tuple[FrameLeftOut, ...] = ()
    """Frames of a burst that are not part of its merge."""


class Exports:
    """The list, and the thread that works on it."""

    def __init__(
        self,
        file: Path,
        options: Options,
        load: Callable[[], Loaded],
        allowed: Callable[[Export], bool],
        written: Callable[[Path], None] = lambda path: None,
    ) -> None:
        """A list that goes on from `file`, stopped at first if exports are left in it.

        `allowed` says whether an export's paths are still within the folders; `written` is told of
        each result.
        """
        self._file, self._options, self._load = file, options, load
        self._allowed, self._written = allowed, written
        self._loaded: Loaded | None = None
        self._changed = Condition()
        self._items = {i.id: _resumed(i) for i in _read(file) if allowed(i)}
        self.stopped = any(item.status == "waiting" for item in self._items.values())
        self._stopped_here = False
        self.problem = ""
        """Why the list was stopped: no photo can be written."""
        self.now: Now | None = None
        self.version = 0
        """Grows with each change of the list."""
        self._ended = False
        self._thread = Thread(target=self._work, name="undark-exports", daemon=True)
        self._thread.start()

    @property
    def items(self) -> list[Export]:
        with self._changed:
            return list(self._items.values())

    def find(self, key: str) -> Export | None:
        with self._changed:
            return self._items.get(key)

    def add(self, exports: Iterable[Export]) -> int:
        """Add exports; those that wait for the same file are replaced. Returns how many.

        Raises `ValueError` for too many, `OutputError` where the list cannot be kept.
        """
        new = list(exports)
        with self._changed:
            if len(self._items) + len(new) > MOST:
                raise ValueError(f"the list holds {MOST} exports at most; remove finished ones")
            targets = {item.target for item in new}
            for item in list(self._items.values()):
                if item.target in targets and item.status != "running":
                    del self._items[item.id]
            self._items |= {item.id: item for item in new}
            if not self._stopped_here and not self.problem:
                self.stopped = False  # it was only left from the last time
            self._save()
            self._changed.notify_all()
        return len(new)

    def stop(self) -> None:
        """Stop after the current tile; the running export waits again."""
        with self._changed:
            self.stopped = self._stopped_here = True
            self.version += 1
            self._changed.notify_all()

    def go_on(self) -> None:
        with self._changed:
            self.stopped, self._stopped_here, self.problem = False, False, ""
            self.version += 1
            self._changed.notify_all()

    def retry(self) -> None:
        """Let the failed ones wait again."""
        with self._changed:
            for item in list(self._items.values()):
                if item.status == "failed":
                    self._items[item.id] = replace(item, status="waiting", message="")
            self._save()
            self._changed.notify_all()

    def remove(self, keys: Iterable[str]) -> None:
        """Remove exports from the list, but for the one that runs; files stay."""
        with self._changed:
            for key in keys:
                item = self._items.get(key)
                if item and item.status != "running":
                    del self._items[key]
            self._save()

    def remove_finished(self) -> None:
        self.remove([i.id for i in self.items if i.is_finished])

    def close(self, seconds: float = 30.0) -> None:
        """End the thread after its current tile; what is left stays in the file."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(seconds)

    def seconds_left(self) -> float | None:
        """Of the whole list, by the time and size of those that were done; None: not known yet."""
        items, now = self.items, self.now
        done = [i for i in items if i.status == "done" and i.seconds > 0]
        waiting = sum(max(i.bytes, 1) for i in items if i.status == "waiting")
        if not done and waiting:
            return None
        current = (now.seconds_left or 0.0) if now else 0.0
        if not waiting:
            return current if now else None
        rate = sum(i.seconds for i in done) / sum(max(i.bytes, 1) for i in done)
        return current + rate * waiting

    def _save(self) -> None:
        """Raises `OutputError`."""
        self.version += 1
        write_json(self._file, [item.to_json() for item in self._items.values()])

    def _work(self) -> None:
        while (item := self._next()) is not None:
            try:
                self._finish(item, self._export(item))
            except SetupError as error:  # no photo can be done: full disk, missing model
                self._give_up(item, str(error))
            except UndarkError as error:
                self._finish(item, _failed(item, str(error)))
            except Exception as error:  # a bug; the other exports go on
                self._finish(item, _failed(item, f"{item.name}: {error!r}"))

    def _next(self) -> Export | None:
        """Wait for an export to do, which then counts as running; None at the end."""
        with self._changed:
            while not self._ended:
                waiting = [i for i in self._items.values() if i.status == "waiting"]
                if waiting and not self.stopped:
                    item = replace(waiting[0], status="running", began=time.time())
                    self._items[item.id] = item
                    self.now = Now(item.id, 0.0, None)
                    with suppress(OutputError):  # where it cannot be kept it is done all the same
                        self._save()
                    return item
                self._changed.wait()
        return None

    def _export(self, item: Export) -> _Ended | None:
        """None: stopped in the middle. Raises `UndarkError`."""
        if not self._allowed(item):
            return _failed(item, f"{item.name}: leads out of the folders")
        for path in item.targets if item.replace else ():
            if path.exists() and source_of(path) is None:
                why = "exists already and is no result of undark's; choose another name"
                return _failed(item, f"{path}: {why}")
        if self._loaded is None:
            self._loaded = self._load()
        options = replace(self._options, bits=FORMATS[item.kind], overwrite=item.replace)
        options = item.settings.onto(options)
        if item.kind == "dng":  # linear light has no contrast
            options = replace(options, contrast=0.0)
        began, left_out = time.monotonic(), list[FrameLeftOut]()
        with closing(_events(item, options, self._loaded)) as events:
            for event in events:
                if isinstance(event, Outcome | BurstOutcome):
                    return _Ended(event, tuple(left_out))
                if isinstance(event, FrameLeftOut):
                    left_out.append(event)
                if isinstance(event, Progress | BurstProgress):
                    self._report(item, event.share, time.monotonic() - began)
                # at 1 the file is being written: that is not stopped
                if (self.stopped or self._ended) and not _is_writing(event):
                    return None
        return None

    def _report(self, item: Export, share: float, elapsed: float) -> None:
        self.now = Now(item.id, share, seconds_left(elapsed, share))

    def _finish(self, item: Export, ended: _Ended | None) -> None:
        with self._changed:
            self.now = None
            self._items[item.id] = done = _after(item, ended)
            with suppress(OutputError):
                self._save()
        for path in item.targets if done.status in ("done", "skipped") else ():
            self._written(path)

    def _give_up(self, item: Export, why: str) -> None:
        with self._changed:
            self.now = None
            self.stopped, self.problem = True, why
            self._items[item.id] = replace(item, status="waiting")
            with suppress(OutputError):
                self._save()


def new_export(
    photo: str,
    name: str,
    job: Job,
    settings: Settings,
    *,
    kind: str,
    replace_earlier: bool,
    frames: Sequence[Path] = (),
) -> Export:
    """An export that waits; `frames` are those of a burst."""
    size = 0
    for path in frames or (job.source,):
        with suppress(OSError):
            size += path.stat().st_size
    return Export(
        secrets.token_hex(8),
        photo,
        name,
        job.source,
        job.target,
        settings,
        kind,
        replace_earlier,
        bytes=size,
        frames=tuple(frames),
    )


def _events(
    item: Export, options: Options, loaded: Loaded
) -> Generator[Event, None, None] | Generator[BurstEvent, None, None]:
    if item.group:
        return run_bursts([item.group], options, loaded)
    return run(Plan((Job(item.source, item.target),)), options, loaded)


def _failed(item: Export, why: str) -> _Ended:
    return _Ended(Failed(item.source, item.target, why))


def _is_writing(event: object) -> bool:
    return isinstance(event, Progress | BurstProgress) and event.share >= 1


def _after(item: Export, ended: _Ended | None) -> Export:
    match ended.outcome if ended else None:
        case BurstRestored(frames=frames, seconds=seconds, amplification=amplification):
            done = f"{frames} of {len(item.frames)} frames merged"
            if item.kind != "dng":
                done += f", amplified {amplification:.3g} times"
            if ended and ended.left_out:
                done += f"; left out: {named(ended.left_out)}"
            return replace(item, status="done", seconds=seconds, message=done)
        case Restored(seconds=seconds, amplification=amplification):
            done = f"amplified {amplification:.3g} times"
            return replace(item, status="done", seconds=seconds, message=done)
        case Skipped(reason=reason) | BurstSkipped(reason=reason):
            return replace(item, status="skipped", message=_said_here(reason))
        case Failed(reason=reason) | BurstFailed(reason=reason):
            return replace(item, status="failed", message=_said_here(reason))
    return replace(item, status="waiting")


def _said_here(line: str) -> str:
    """A line of `restoring.jobs` with what to do on the page instead of the command's options."""
    for option, here in _HERE.items():
        line = line.replace(option, here)
    return line


def _read(file: Path) -> list[Export]:
    """The exports of a state file; those that are damaged are left out."""
    found = []
    content = read_json(file)
    for item in content if isinstance(content, list) else []:
        with suppress(ValueError, TypeError, KeyError):
            found.append(Export.from_json(item))
    return found


def _resumed(item: Export) -> Export:
    """An export that was running when the server was killed waits again."""
    if item.status != "running":
        return item
    remove_partial(item.target.parent, since=item.began)
    return replace(item, status="waiting")
