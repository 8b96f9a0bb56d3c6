"""Work ahead: items are made in threads, before they are used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

_END = object()


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items; while one is used, the next one is made in a thread.

    Raises what the iterator raises. If the caller stops early (closes the generator), the item
    that is being made is waited for, and no other begun.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1) as thread:
        made = thread.submit(next, iterator, _END)
        while (item := made.result()) is not _END:
            made = thread.submit(next, iterator, _END)
            yield item  # type: ignore[misc]  # an `Item`
            del item  # not kept while the next one is waited for


def abreast(work: Callable[[Item], Made], items: Iterable[Item], count: int) -> Iterator[Made]:
    """What `work` makes of each item, in their order, `count` at the same time, in threads.

    While one is used, as many are worked on and one waits. Raises what `work` raises. If the caller
    stops early (closes the generator), what is begun is waited for.
    """
    made: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(count) as threads:
        for item in items:
            made.append(threads.submit(work, item))
            if len(made) > count:
                yield made.popleft().result()
        while made:
            yield made.popleft().result()
