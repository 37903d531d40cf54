"""Distributions of symbols as curves: the logarithm of the frequency, linear between knots.

A histogram of a few thousand values costs more to send than it gains over a smooth curve with the same
shape; one with spikes (pruned weights; the ends of a min/max grid) needs an exact value here and there.
So the curve starts as one line from the least to the greatest symbol, and a tree of halvings puts knots
where they pay: none for a flat distribution, every symbol at worst. Decoding uses integers alone. See
SPEC.md, "Curves".
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .bits import BitReader, BitWriter
from .errors import Corrupt
from .rangecoder import TOTAL, Frequencies

LEVELS_PER_OCTAVE = 4  # of a knot's level
STEPS_PER_LEVEL = 4  # of the line between two knots
MAX_LEVEL = 95
LEVEL_BITS = 7
STEPS_PER_OCTAVE = LEVELS_PER_OCTAVE * STEPS_PER_LEVEL
# round(2**16 · 2**(k/16)), k = 0..15
POWERS = np.array(
    [
        *(65536, 68438, 71468, 74632, 77936, 81386, 84990, 88752),
        *(92682, 96785, 101070, 105545, 110218, 115098, 120194, 125515),
    ],
    np.uint64,
)


@dataclass(frozen=True, slots=True)
class Node:
    """A knot halfway between two others; None below it where the line has no further knot."""

    level: int
    left: "Node | None" = None
    right: "Node | None" = None


@dataclass(frozen=True, slots=True)
class Curve:
    """Levels at the first and the last of `size` >= 2 symbols, and the knots between them."""

    size: int
    first: int
    last: int
    root: Node | None = None

    def write(self, out: BitWriter) -> None:
        """Write all but the size."""
        out.uint(self.first, LEVEL_BITS)
        out.uint(self.last, LEVEL_BITS)
        _write_knots(out, self.root, 0, self.size - 1, self.first, self.last)

    @classmethod
    def read(cls, bits: BitReader, size: int) -> "Curve":
        """Read the curve of `size` symbols. Raises `Truncated` or `Corrupt`."""
        first, last = _checked(bits.uint(LEVEL_BITS)), _checked(bits.uint(LEVEL_BITS))
        return cls(size, first, last, _read_knots(bits, 0, size - 1, first, last))

    def frequencies(self) -> Frequencies:
        """`size` integers >= 1 that sum to 2**24."""
        knots = [(0, self.first), *_knots(self.root, 0, self.size - 1), (self.size - 1, self.last)]
        steps = line_steps(np.array(knots, np.int64))
        weights = POWERS[steps % STEPS_PER_OCTAVE] << (steps // STEPS_PER_OCTAVE).astype(np.uint64)
        shares: Frequencies = (weights * np.uint64(TOTAL - self.size) // weights.sum()).astype(np.int64) + 1
        shares[int(weights.argmax())] += TOTAL - int(shares.sum())
        return shares


def line_steps(knots: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The curve at every symbol, in 1/16 octave; `knots` holds rows of (symbol, level)."""
    places, levels = knots[:, 0], knots[:, 1]
    lengths = np.diff(places)
    starts, spans = np.repeat(places[:-1], lengths), np.repeat(lengths, lengths)
    low, rise = np.repeat(levels[:-1], lengths), np.repeat(np.diff(levels), lengths)
    inner = STEPS_PER_LEVEL * low + STEPS_PER_LEVEL * rise * (np.arange(len(starts)) - starts) // spans
    return np.append(inner, STEPS_PER_LEVEL * levels[-1])


def predicted(start: int, end: int, first: int, last: int) -> tuple[int, int]:
    """The symbol halfway between two knots and the level of their line there."""
    middle = (start + end) // 2
    return middle, first + (last - first) * (middle - start) // (end - start)


def _checked(level: int) -> int:
    if not 0 <= level <= MAX_LEVEL:
        raise Corrupt(f"a frequency level {level} is not in 0..{MAX_LEVEL}")
    return level


def _write_knots(out: BitWriter, node: Node | None, start: int, end: int, first: int, last: int) -> None:
    if end - start < 2:
        return
    out.uint(int(node is not None), 1)
    if node is None:
        return
    middle, level = predicted(start, end, first, last)
    out.golomb(node.level - level)
    _write_knots(out, node.left, start, middle, first, node.level)
    _write_knots(out, node.right, middle, end, node.level, last)


def _read_knots(bits: BitReader, start: int, end: int, first: int, last: int) -> Node | None:
    if end - start < 2 or not bits.bit():
        return None
    middle, level = predicted(start, end, first, last)
    level = _checked(level + bits.golomb())
    left = _read_knots(bits, start, middle, first, level)
    return Node(level, left, _read_knots(bits, middle, end, level, last))


def _knots(node: Node | None, start: int, end: int) -> list[tuple[int, int]]:
    if node is None:
        return []
    middle = (start + end) // 2
    return [*_knots(node.left, start, middle), (middle, node.level), *_knots(node.right, middle, end)]
