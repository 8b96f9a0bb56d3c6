"""Work in a thread, its progress as events of a generator."""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")
Event = TypeVar("Event")


class _StoppedError(Exception):
    """Raised in the thread that restores, to end it."""


def with_progress(
    work: Callable[[Callable[[float], None]], Result], event: Callable[[float], Event]
) -> Generator[Event, None, Result]:
    """Do `work` in a thread and yield an event for each share, 0 to 1, that it reports.

    Returns its result, or raises its error.

    If the caller stops (Ctrl-C, a closed iterator), the thread ends at its next report.
    """
    shares = queue.SimpleQueue[float | None]()
    stopped = False

    def report(share: float) -> None:
        if stopped:
            raise _StoppedError
        shares.put(share)

    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(work, report)
        future.add_done_callback(lambda _: shares.put(None))
        try:
            while (share := shares.get()) is not None:
                yield event(share)
        finally:
            stopped = True
    return future.result()
