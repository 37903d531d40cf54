"""Symbols as what is left of them once a guess is taken away (SPEC.md, "Guesses").

Two guesses pay. Where a tensor has a grid for each slice, zero lies at another symbol in each; counted from
there, the zeros of pruned weights fall together. And a frame's embeddings resemble those of the frame
before. What is left is taken modulo 2**bits, with 2**(bits - 1) for nothing. All arithmetic is on 16 bits,
which wrap around as they should, for 2**bits divides 2**16.
"""

import numpy as np
import numpy.typing as npt

from bitstream.rangecoder import Symbols

ONE = 1 << 24  # a 16-bit float times this is an integer


def zero_symbols(scales: npt.NDArray[np.float16], offsets: npt.NDArray[np.float16]) -> npt.NDArray[np.int64]:
    """The symbol nearest to value zero on each grid: floor(1/2 - offset / scale), exactly; 0 where the scale is."""
    scale, offset = ((grid.astype(np.float64) * ONE).astype(np.int64) for grid in (scales, offsets))
    sign = np.where(scale < 0, -1, 1)
    return np.where(scale == 0, 0, (scale - 2 * offset) * sign // np.maximum(2 * scale * sign, 1))


def take_away(symbols: Symbols, guess: Symbols, bits: int) -> Symbols:
    """What is left of symbols below 2**bits without the guess, which has as many or broadcasts."""
    left: Symbols = symbols - guess
    left += np.uint16(1 << (bits - 1))
    left &= np.uint16((1 << bits) - 1)
    return left


def give_back(left: Symbols, guess: Symbols, bits: int) -> Symbols:
    """Inverse of `take_away`."""
    symbols: Symbols = left + guess
    symbols -= np.uint16(1 << (bits - 1))
    symbols &= np.uint16((1 << bits) - 1)
    return symbols


def add_up(first: Symbols, left: Symbols, bits: int) -> Symbols:
    """The rows of which `left`, (rows - 1, symbols), are left when each is guessed to be like the one before."""
    rows: Symbols = np.concatenate((first[None], left - np.uint16(1 << (bits - 1))))
    np.cumsum(rows, axis=0, dtype=np.uint16, out=rows)
    rows &= np.uint16((1 << bits) - 1)
    return rows


def sizes(left: Symbols, bits: int) -> npt.NDArray[np.int32]:
    """How far each guess was off."""
    off: npt.NDArray[np.int32] = np.abs(left.astype(np.int32) - (1 << (bits - 1)))
    return off
