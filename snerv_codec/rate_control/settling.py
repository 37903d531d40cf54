"""What several segments take of one target: each has drafts, and of each one is chosen once all are fitted.

What a segment leaves over of its share goes to those that can use it, and what one falls short of the quality others
make up for, where it costs least: by equal slope. It is done when all are there, so it makes no difference which came
first.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple


class Draft(NamedTuple):
    """A segment, packed in one of several ways: the bytes that it takes of the file, and its mean quality."""

    size: int
    quality: float


class _Step(NamedTuple):
    """From one draft of a segment to the next larger one that is worth it, and the quality that a byte buys there."""

    slope: float
    segment: int
    smaller: int
    larger: int


def largest_within(room: int, drafts: Sequence[Sequence[Draft]], frames: Sequence[int]) -> list[int]:
    """For each segment the number of its draft, so that all take at most `room` bytes and look best in the mean.

    The smallest drafts are taken to fit. `frames` are those of each segment, which its quality counts for.
    """
    chosen = [_smallest(each) for each in drafts]
    total = sum(each[number].size for each, number in zip(drafts, chosen, strict=True))
    for step in sorted(_steps(drafts, frames), key=lambda step: -step.slope):
        growth = drafts[step.segment][step.larger].size - drafts[step.segment][step.smaller].size
        if chosen[step.segment] == step.smaller and total + growth <= room:
            chosen[step.segment], total = step.larger, total + growth
    return chosen


def smallest_above(
    target: float,
    drafts: Sequence[Sequence[Draft]],
    frames: Sequence[int],
    allowed: Callable[[int, int], bool] = lambda segment, number: True,
) -> list[int]:
    """For each segment the number of its draft, so that the mean quality is at least `target` in the fewest bytes.

    Where the best drafts do not reach that, they are chosen. Drafts by their (segment, number) that are not `allowed`
    are not taken in the place of better ones.
    """
    chosen = [max(range(len(each)), key=lambda number: (each[number].quality, -each[number].size)) for each in drafts]
    total = sum(each[n].quality * count for each, n, count in zip(drafts, chosen, frames, strict=True))
    for step in sorted(_steps(drafts, frames), key=lambda step: step.slope):
        ours = drafts[step.segment]
        loss = (ours[step.larger].quality - ours[step.smaller].quality) * frames[step.segment]
        fits = chosen[step.segment] == step.larger and total - loss >= target * sum(frames)
        if fits and allowed(step.segment, step.smaller):
            chosen[step.segment], total = step.smaller, total - loss
    return chosen


def _smallest(drafts: Sequence[Draft]) -> int:
    return min(range(len(drafts)), key=lambda number: (drafts[number].size, -drafts[number].quality))


def _steps(drafts: Sequence[Sequence[Draft]], frames: Sequence[int]) -> Iterator[_Step]:
    """From draft to draft of each segment, along the upper side of their convex hull: what a byte buys falls."""
    for segment, ours in enumerate(drafts):
        here = _smallest(ours)
        while True:
            start = ours[here]
            larger = [n for n, each in enumerate(ours) if each.size > start.size and each.quality > start.quality]
            if not larger:
                break
            slopes = {n: (ours[n].quality - start.quality) / (ours[n].size - start.size) for n in larger}
            best = max(larger, key=lambda n: (slopes[n], ours[n].size))
            yield _Step(frames[segment] * slopes[best], segment, here, best)
            here = best
