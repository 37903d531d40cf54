"""Two things at once: the next item is made while the last one is used."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T]) -> Iterator[T]:
    """`items` in their order, each made by another thread while the one before is in use.

    An error among them is raised where its item would have come.
    """
    end = object()
    with ThreadPoolExecutor(1, "ahead") as thread:
        pending = thread.submit(next, items, end)
        while (item := pending.result()) is not end:
            pending = thread.submit(next, items, end)
            yield item  # type: ignore[misc]
