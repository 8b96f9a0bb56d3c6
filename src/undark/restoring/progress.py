"""Work in a thread, its progress as events of a generator, and the time that is left."""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")
Report = TypeVar("Report")
Event = TypeVar("Event")


def seconds_left(elapsed: float, share: float) -> float | None:
    """For the rest of some work, of which a share, 0 to 1, took so long; None: not known yet."""
    return elapsed / share * (1 - share) if share > 0 else None


class _StoppedError(Exception):
    """Raised in the thread that restores, to end it."""


def with_progress(
    work: Callable[[Callable[[Report], None]], Result], event: Callable[[Report], Event]
) -> Generator[Event, None, Result]:
    """Do `work` in a thread and yield an event for each share, 0 to 1, or else that it reports.

    Returns its result, or raises its error.

    If the caller stops (Ctrl-C, a closed iterator), the thread ends at its next report.
    """
    reports = queue.SimpleQueue[Report | None]()
    stopped = False

    def report(what: Report) -> None:
        if stopped:
            raise _StoppedError
        reports.put(what)

    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(work, report)
        future.add_done_callback(lambda _: reports.put(None))
        try:
            while (what := reports.get()) is not None:
                yield event(what)
        finally:
            stopped = True
    return future.result()
