"""The one search for how far something may go, such as rounding, while what comes of it still holds."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

HALVINGS = 10


def bisect(
    attempt: Callable[[float], T],
    holding: float,
    failing: float,
    first: T,
    *,
    holds: Callable[[T], bool],
    enough: Callable[[T], bool] = lambda found: False,
) -> T:
    """What `attempt` makes of the number nearest to `failing` for which it still `holds`.

    `first` is what it makes of `holding`, and what is returned where nothing better holds. The search ends where what
    was found is good `enough`, or after `HALVINGS` attempts: then the number is right to a thousandth of the range.
    """
    best = first
    for _ in range(HALVINGS):
        if enough(best):
            break
        middle = (holding + failing) / 2
        found = attempt(middle)
        if holds(found):
            best, holding = found, middle
        else:
            failing = middle
    return best
