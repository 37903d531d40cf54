"""Choosing a curve for symbols: the encoder's side only, free to use floats and to be improved.

A curve's cost is the symbols' code length under it, in bits, plus the bits of its knots. With the curve in
units of the expected count λ of each symbol, the sum over symbols of λ/ln 2 - count · log2 λ differs from
the code length by a constant at the best scale (it is the Poisson likelihood). It is a sum, so the best
knots within an interval depend on the levels at its two ends alone, and dynamic programming over the tree
of halvings finds the best tree for a few candidate levels at each symbol.
"""

from math import log

import numpy as np
import numpy.typing as npt

from bitstream.bits import golomb_size
from bitstream.curve import LEVELS_PER_OCTAVE, MAX_LEVEL, Curve, Node

MAX_DEPTH = 11  # halvings tried
WORTH_A_KNOT = 5.0  # bits that an interval must be able to gain before knots in it are tried
CHANGES = (-1, 0, 1)  # levels tried around each estimate

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Levels = npt.NDArray[np.int64]

GOLOMB_SIZES = np.array([golomb_size(change) for change in range(-MAX_LEVEL, MAX_LEVEL + 1)], np.float64)


def fit(counts: Counts) -> Curve:
    """A good curve for symbols that occur `counts` times each; two or more, the first and last present."""
    return _Fitter(counts).curve()


def entropy(counts: Counts) -> float:
    """Bits that symbols which occur `counts` times take at their order-0 entropy."""
    present = counts[counts > 0]
    return float((present * np.log2(present.sum() / present)).sum())


class _Fitter:
    def __init__(self, counts: Counts) -> None:
        self.counts = counts.astype(np.float64)
        self.sums = np.concatenate([[0.0], np.cumsum(self.counts)])
        # What is added to log2(λ) to make the most frequent symbol's level one octave short of the top.
        self.lift = MAX_LEVEL / LEVELS_PER_OCTAVE - 1 - np.log2(self.counts.max())
        # The least cost that any curve can have, summed up to each symbol.
        safe = np.maximum(self.counts, 1)
        self.least = np.concatenate([[0.0], np.cumsum(self.counts / log(2) - self.counts * np.log2(safe))])
        self.chosen: dict[int, tuple[Levels, Levels]] = {}  # by the symbol halfway: its levels, the best ones

    def curve(self) -> Curve:
        """The best curve found."""
        size = len(self.counts)
        reach = max(size // 16, 1)
        first, last = self._candidates(0, reach), self._candidates(size - 1, reach)
        cost = self._knots(0, size - 1, first, last, MAX_DEPTH)
        cost += self._bits(first[:, None], self.counts[:1])[:, None] + self._bits(last[:, None], self.counts[-1:])
        a, b = (int(i) for i in np.unravel_index(cost.argmin(), cost.shape))
        return Curve(size, int(first[a]), int(last[b]), self._tree(0, size - 1, a, b))

    def _candidates(self, symbol: int, reach: int) -> Levels:
        """Levels for a knot: those of the mean counts around it, from `reach` symbols wide to itself."""
        found = set()
        for width in {reach, reach // 4, 0}:
            start, end = max(symbol - width, 0), min(symbol + width + 1, len(self.counts))
            # Not to occur still says something: that fewer than about half of one was to be expected.
            mean = max(self.sums[end] - self.sums[start], 0.5) / (end - start)
            level = round(float(LEVELS_PER_OCTAVE * (np.log2(mean) + self.lift)))
            found |= {min(max(level + change, 0), MAX_LEVEL) for change in CHANGES}
        return np.array(sorted(found))

    def _bits(self, levels: Floats | Levels, counts: Floats) -> Floats:
        """Cost of symbols whose curve has `levels`, summed over the last axis."""
        octaves = levels / LEVELS_PER_OCTAVE - self.lift
        return np.asarray((np.exp2(octaves) / log(2) - counts * octaves).sum(axis=-1))

    def _knots(self, start: int, end: int, first: Levels, last: Levels, depth: int) -> Floats:
        """The least cost of the symbols strictly between two knots, for each pair of levels of those."""
        if end - start < 2:
            return np.zeros((len(first), len(last)))
        counts = self.counts[start + 1 : end]
        share = np.arange(1, end - start) / (end - start)
        line = first[:, None, None] + (last[:, None] - first[:, None, None]) * share
        plain = 1 + self._bits(line, counts)
        gain = float(plain.max() - (self.least[end] - self.least[start + 1]))
        if depth == 0 or gain < WORTH_A_KNOT:
            return plain
        middle = (start + end) // 2
        levels = self._candidates(middle, (end - start) // 4)
        guess = first[:, None] + (last - first[:, None]) * (middle - start) // (end - start)
        split = 1 + GOLOMB_SIZES[levels - guess[..., None] + MAX_LEVEL]  # (first, last, middle)
        split += self._bits(levels[:, None], self.counts[[middle]])
        split += self._knots(start, middle, first, levels, depth - 1)[:, None, :]
        split += self._knots(middle, end, levels, last, depth - 1).T[None]
        best = split.argmin(axis=-1)
        better = split.min(axis=-1) < plain
        self.chosen[middle] = levels, np.where(better, best, -1)
        return np.where(better, split.min(axis=-1), plain)

    def _tree(self, start: int, end: int, a: int, b: int) -> Node | None:
        middle = (start + end) // 2
        if end - start < 2 or middle not in self.chosen:
            return None
        levels, best = self.chosen[middle]
        c = int(best[a, b])
        if c < 0:
            return None
        return Node(int(levels[c]), self._tree(start, middle, a, c), self._tree(middle, end, c, b))
