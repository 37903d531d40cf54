"""Items that another thread makes: their order, their errors, and what happens when nobody wants them."""

import threading

import pytest

from snerv_codec.runtime.ahead import ahead


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
    before = threading.active_count()
    taken = ahead(iter(range(100)))
    assert next(taken) == 0
    taken.close()
    assert threading.active_count() == before
