"""Choosing curves for symbols: the encoder's side only, free to use floats and to be improved.

A curve's cost is the symbols' code length under it, in bits, plus the bits of its knots. With the curve in
units of the expected count λ of each symbol, the sum over symbols of λ/ln 2 - count · log2 λ differs from
the code length by a constant at the best scale (it is the Poisson likelihood). It is a sum, so the best
knots within an interval depend on the levels at its two ends alone, and dynamic programming over the tree
of halvings finds the best tree for a few candidate levels at each symbol. On a line between two levels λ
is a geometric series, and the rest is linear in the counts: no interval's cost takes a look at its symbols.

Intervals of the same depth, those of several curves at once, share each step: that is what makes it fast.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import log
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .bits import golomb_size
from .curve import LEVELS_PER_OCTAVE, MAX_LEVEL, Curve, Node

MAX_DEPTH = 11  # halvings tried
WORTH_A_KNOT = 5.0  # bits that an interval must be able to gain before knots in it are tried
TOGETHER = 1 << 12  # symbols of curves that are fitted at once, so that what is known of them fits a cache

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

GOLOMB_SIZES = np.array([golomb_size(change) for change in range(-MAX_LEVEL, MAX_LEVEL + 1)], np.float64)
NATS_A_LEVEL = log(2) / LEVELS_PER_OCTAVE


def fit(counts: Counts) -> Curve:
    """A good curve for symbols that occur `counts` times each; two or more, the first and last present."""
    return fit_all([counts])[0]


def fit_all(many: Sequence[Counts]) -> list[Curve]:
    """A curve for each of `many`, as `fit` would choose it, in much less time."""
    groups = np.cumsum([len(counts) for counts in many]) // TOGETHER
    bounds = [0, *(np.flatnonzero(np.diff(groups)) + 1), len(many)]
    return [curve for a, b in pairwise(bounds) if a < b for curve in _Forest(many[a:b]).curves()]


def entropy(counts: Counts) -> float:
    """Bits that symbols which occur `counts` times take at their order-0 entropy."""
    present = counts[counts > 0]
    return float((present * np.log2(present.sum() / present)).sum())


class _Intervals(NamedTuple):
    """What lies strictly between two knots, n times: symbols (n,), the curve's number (n,), levels (n, candidates)."""

    start: Ints
    end: Ints
    tree: Ints
    first: Ints
    last: Ints

    def some(self, chosen: Ints) -> "_Intervals":
        return _Intervals(*(values[chosen] for values in self))

    def halves(self, middle: Ints, levels: Ints) -> "_Intervals":
        """All left halves, then all right ones."""
        left, right = self._replace(end=middle, last=levels), self._replace(start=middle, first=levels)
        return _Intervals(*map(np.concatenate, zip(left, right, strict=True)))


class _Solved(NamedTuple):
    """The least cost of n intervals for each pair of levels of their ends, (n, first, last), and how to get it.

    `choice` is the number of the best level of the knot halfway, or -1 for none. Where knots were tried,
    `row` tells an interval's row in `levels`, and its left half's number `below`; the right half's is further
    by the number of rows.
    """

    cost: Floats
    choice: Ints
    row: Ints
    levels: Ints
    below: "_Solved | None"

    def node(self, number: int, a: int, b: int) -> Node | None:
        """The knots within an interval whose ends have their levels `a` and `b`."""
        c = int(self.choice[number, a, b])
        if self.below is None or c < 0:
            return None
        row = int(self.row[number])
        left, right = self.below.node(row, a, c), self.below.node(len(self.levels) + row, c, b)
        return Node(int(self.levels[row, c]), left, right)


class _Forest:
    """Trees of halvings for several curves, their symbols numbered through."""

    def __init__(self, many: Sequence[Counts]) -> None:
        self.sizes = np.array([len(counts) for counts in many], np.int64)
        self.stops = np.cumsum(self.sizes)
        self.starts = self.stops - self.sizes
        self.counts = np.concatenate(many).astype(np.float64)
        # What is added to log2(λ) to make the most frequent symbol's level one octave short of the top.
        self.lifts = MAX_LEVEL / LEVELS_PER_OCTAVE - 1 - np.log2(np.maximum.reduceat(self.counts, self.starts))
        self.sums = _summed(self.counts)
        self.moments = _summed(self.counts * np.arange(len(self.counts)))
        # The least cost that any curve can have.
        self.least = _summed(self.counts / log(2) - self.counts * np.log2(np.maximum(self.counts, 1)))

    def curves(self) -> Iterable[Curve]:
        """The best curves found."""
        trees, start, end = np.arange(len(self.sizes)), self.starts, self.stops - 1
        first, last = (self._candidates(ends, np.maximum(self.sizes // 16, 1), trees) for ends in (start, end))
        solved = self._solve(_Intervals(start, end, trees, first, last), MAX_DEPTH)
        cost = solved.cost + self._knots(start, first, trees)[:, :, None] + self._knots(end, last, trees)[:, None]
        for number, size in enumerate(self.sizes.tolist()):
            a, b = (int(i) for i in np.unravel_index(cost[number].argmin(), cost[number].shape))
            yield Curve(size, int(first[number, a]), int(last[number, b]), solved.node(number, a, b))

    def _candidates(self, symbols: Ints, reach: Ints, trees: Ints) -> Ints:
        """Levels for knots: about those of the mean counts `reach` symbols around them, and of their own counts."""
        low = np.maximum(symbols - reach, self.starts[trees])
        high = np.minimum(symbols + reach + 1, self.stops[trees])
        around = (self.sums[high] - self.sums[low], high - low)
        levels = np.empty((len(symbols), 6), np.int64)
        for place, (count, width) in enumerate((around, (self.counts[symbols], 1))):
            # Not to occur still says something: that fewer than about half of one was to be expected.
            octaves = np.log2(np.maximum(count, 0.5) / width) + self.lifts[trees]
            levels[:, 3 * place : 3 * place + 3] = np.rint(LEVELS_PER_OCTAVE * octaves)[:, None] + (-1, 0, 1)
        return np.clip(levels, 0, MAX_LEVEL, out=levels)

    def _octaves(self, levels: Ints, trees: Ints) -> Floats:
        """log2(λ) at `levels`, (n, candidates)."""
        octaves: Floats = levels / LEVELS_PER_OCTAVE - self.lifts[trees, None]
        return octaves

    def _knots(self, symbols: Ints, levels: Ints, trees: Ints) -> Floats:
        """Cost of symbols that have `levels`."""
        octaves = self._octaves(levels, trees)
        cost: Floats = np.exp2(octaves) / log(2) - self.counts[symbols, None] * octaves
        return cost

    def _lines(self, parts: _Intervals) -> Floats:
        """Cost of intervals without a knot, for each pair of levels."""
        start, end, trees, first, last = parts
        length, rise = (end - start)[:, None, None], last[:, None] - first[:, :, None]
        count = self.sums[end] - self.sums[start + 1]
        share = (self.moments[end] - self.moments[start + 1] - start * count) / (end - start)
        low, octaves = np.expm1(rise * NATS_A_LEVEL / length), self._octaves(first, trees)
        with np.errstate(invalid="ignore"):  # flat lines
            series = np.where(rise == 0, length - 1, (np.expm1(rise * NATS_A_LEVEL) - low) / low)
        cost: Floats = (np.exp2(octaves) / log(2))[:, :, None] * series - (octaves * count[:, None])[:, :, None]
        cost += (length > 1) - rise * (share / LEVELS_PER_OCTAVE)[:, None, None]
        return cost

    def _solve(self, parts: _Intervals, depth: int) -> _Solved:
        cost = self._lines(parts)
        choice, row = np.full(cost.shape, -1), np.zeros(len(cost), np.int64)
        gain = cost.max(axis=(1, 2)) - (self.least[parts.end] - self.least[parts.start + 1])
        tried = np.flatnonzero((gain >= WORTH_A_KNOT) & (parts.end - parts.start > 1)) if depth else row[:0]
        if not tried.size:
            return _Solved(cost, choice, row, row, None)
        inner, rows = parts.some(tried), np.arange(len(tried))
        start, end, trees, first, last = inner
        middle = (start + end) // 2
        levels = self._candidates(middle, (end - start) // 4, trees)
        below = self._solve(inner.halves(middle, levels), depth - 1)
        share, rise = (middle - start)[:, None, None], last[:, None] - first[:, :, None]
        guess = first[:, :, None] + rise * share // (end - start)[:, None, None]
        split = GOLOMB_SIZES[levels[:, None, None] - guess[..., None] + MAX_LEVEL]  # (n, first, last, middle)
        split += (1 + self._knots(middle, levels, trees))[:, None, None]
        split += below.cost[: len(tried), :, None]
        split += below.cost[len(tried) :].transpose(0, 2, 1)[:, None]
        best = split.argmin(axis=-1)
        least = np.take_along_axis(split, best[..., None], axis=-1)[..., 0]
        choice[tried] = np.where(least < cost[tried], best, -1)
        cost[tried] = np.minimum(least, cost[tried])
        row[tried] = rows
        return _Solved(cost, choice, row, levels, below)


def _summed(values: Floats) -> Floats:
    """Sums of all values before each place."""
    return np.concatenate([[0.0], np.cumsum(values)])
