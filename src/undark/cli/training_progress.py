"""How far a training is, on the terminal or as lines."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from undark.cli.terminal import say, tell

if TYPE_CHECKING:
    from undark.learn.progress import Event, Report


def is_first_process() -> bool:
    """Whether this is the first of the processes of a training; the others stay silent."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "NODE_RANK"))


@contextmanager
def shown() -> Iterator[Report]:
    """Print what training logs, and draw how far it is."""
    display, log = _Display(), logging.getLogger("undark")
    handler = _Lines()
    level, log.propagate = log.level, False
    log.addHandler(handler)
    log.setLevel(logging.INFO if is_first_process() else logging.CRITICAL)
    try:
        yield display.show
    finally:
        display.close()
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = True


class _Lines(logging.Handler):
    """Prints each message as a line."""

    def emit(self, record: logging.LogRecord) -> None:
        tell(record.getMessage())


class _Display:
    """A bar with the time left; where there is no terminal, lines: often at first."""

    FIRST, MOST = 5.0, 60.0
    """Seconds until the first line, and between two at most; each pause is twice the last."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._row: TaskID | None = None
        self._next, self._pause = time.monotonic(), self.FIRST

    def show(self, event: Event) -> None:
        if not is_first_process():
            return
        if say.is_terminal:
            self._draw(event)
        elif time.monotonic() >= self._next:
            tell(f"{describe(event)}{_left(event)}")
            self._next = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, self.MOST)

    def _draw(self, event: Event) -> None:
        if self._bar is None or self._row is None:
            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=say)
            self._row = self._bar.add_task("training", total=1.0)
            self._bar.start()
        self._bar.update(self._row, completed=event.fraction, description=describe(event))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()


def describe(event: Event) -> str:
    """Activity, step, loss and scores in one line."""
    scores = [f"{name} {value:.2f} dB" for name, value in event.scores.items()]
    return ", ".join([f"{event.activity}: step {event.step}", f"loss {event.loss:.4f}", *scores])


def _left(event: Event) -> str:
    if event.minutes_left == float("inf"):
        return ""
    if event.minutes_left < 1:
        return f", {60 * event.minutes_left:.0f} s left"
    return f", {event.minutes_left:.0f} min left"
