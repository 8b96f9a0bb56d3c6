"""Work ahead: an iterator runs in a thread, one item before the one that is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")

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
