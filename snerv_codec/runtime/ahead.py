"""Items that take time to be made: the next one while the last one is used, or with a watch on them."""

import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """`items` in their order, each made by another thread while the one before is in use.

    An error among them is raised where its item would have come.
    """
    end = object()
    with ThreadPoolExecutor(1, "ahead") as thread:
        pending = thread.submit(next, items, end)
        while (item := pending.result()) is not end:
            pending = thread.submit(next, items, end)
            yield item  # type: ignore[misc]


class Timed(Generic[T]):
    """`items`, and in `seconds` how long the making of those taken so far took, without what was done with them."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = items
        self.seconds = 0.0

    def __iter__(self) -> Iterator[T]:
        start = time.perf_counter()
        for item in self._items:
            self.seconds += time.perf_counter() - start
            yield item
            start = time.perf_counter()
