"""Items that another thread makes: their order, their errors, and what happens when nobody wants them."""

import threading
import time
from collections.abc import Generator

import pytest

from snerv_codec.runtime.ahead import Timed, ahead


def test_items_come_in_order_and_one_ahead():
    made, wanted = [], []

    def items():
        for i in range(5):
            made.append(i)
            yield i

    for item in ahead(items()):
        wanted.append(item)
        assert len(made) <= len(wanted) + 1, "no more than one ahead"
    assert wanted == list(range(5))


def test_an_error_comes_where_its_item_would_have():
    def items():
        yield 1
        raise OSError("no more")

    taken = ahead(items())
    assert next(taken) == 1
    with pytest.raises(OSError, match="no more"):
        next(taken)


def test_the_thread_ends_with_the_last_one_who_takes():
    before = set(threading.enumerate())
    taken = ahead(iter(range(100)))
    assert next(taken) == 0
    assert isinstance(taken, Generator)
    taken.close()
    assert set(threading.enumerate()) <= before


def test_the_time_of_making_items_is_told_without_that_of_using_them(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def items():
        for i in range(3):
            now[0] += 1
            yield i

    timed = Timed(items())
    for _ in timed:
        now[0] += 100
    assert timed.seconds == 3
