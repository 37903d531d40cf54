"""Symbols as residuals: their differences from a prediction (SPEC.md, "Prediction").

Two predictions pay. Where a tensor has a scale and an offset for each slice, zero lies at another symbol in each;
counted from there, the zeros of pruned weights fall together. And a frame's embeddings resemble those of the frame
before. Residuals are taken modulo 2**bits, with 2**(bits - 1) for no difference. All arithmetic is on 16 bits,
which wrap around as they should, because 2**bits divides 2**16.
"""

import numpy as np
import numpy.typing as npt

from .rangecoder import Symbols

ONE = 1 << 24  # a 16-bit float times this is an integer


def zero_symbols(scales: npt.NDArray[np.float16], offsets: npt.NDArray[np.float16]) -> npt.NDArray[np.int64]:
    """The symbol nearest to value zero on each grid: floor(1/2 - offset / scale), exactly; 0 where the scale is."""
    scale, offset = ((grid.astype(np.float64) * ONE).astype(np.int64) for grid in (scales, offsets))
    sign = np.where(scale < 0, -1, 1)
    return np.where(scale == 0, 0, (scale - 2 * offset) * sign // np.maximum(2 * scale * sign, 1))


def subtract(symbols: Symbols, predicted: Symbols, bits: int) -> Symbols:
    """Residuals of symbols below 2**bits; `predicted` has as many or broadcasts."""
    residuals: Symbols = symbols - predicted
    residuals += np.uint16(1 << (bits - 1))
    residuals &= np.uint16((1 << bits) - 1)
    return residuals


def add(residuals: Symbols, predicted: Symbols, bits: int) -> Symbols:
    """Inverse of `subtract`."""
    symbols: Symbols = residuals + predicted
    symbols -= np.uint16(1 << (bits - 1))
    symbols &= np.uint16((1 << bits) - 1)
    return symbols


def accumulate(first: Symbols, residuals: Symbols, bits: int) -> Symbols:
    """All rows, of which each but the first is predicted by the one before; `residuals` are (rows - 1, symbols)."""
    rows: Symbols = np.concatenate((first[None], residuals - np.uint16(1 << (bits - 1))))
    np.cumsum(rows, axis=0, dtype=np.uint16, out=rows)
    rows &= np.uint16((1 << bits) - 1)
    return rows


def magnitudes(residuals: Symbols, bits: int) -> npt.NDArray[np.int32]:
    """The absolute differences."""
    sizes: npt.NDArray[np.int32] = np.abs(residuals.astype(np.int32) - (1 << (bits - 1)))
    return sizes
