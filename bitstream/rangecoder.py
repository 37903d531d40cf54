"""Range coding of symbols under integer distributions (SPEC.md, "Range coder").

The coder is constriction's, whose models are made from floats. Its quick construction gives symbol i of n
the interval that starts at floor(scale · (p_0 + ... + p_{i-1})) + i, in units of 2**-24, where
scale = (2**24 - n) / (p_0 + ... + p_{n-1}) and all of it is 32-bit float arithmetic. Here the p_i are
integers that sum to 2**24 - n. Every partial sum is then an integer below 2**24, which a 32-bit float
holds exactly, and the scale is exactly 1. So no rounding ever happens: symbol i has probability
(p_i + 1) / 2**24 on every machine. A plain-integer decoder in the tests holds this to account.
"""

from typing import Any

import constriction
import numpy as np
import numpy.typing as npt

from .errors import Corrupt

PRECISION = 24
TOTAL = 1 << PRECISION
STATE_BITS = 64
WORD_BYTES = 4
CHUNK = 1 << 20  # symbols at a time, because constriction's are wider than ours

Symbols = npt.NDArray[np.uint16]
Frequencies = npt.NDArray[np.int64]


def encode(symbols: Symbols, frequencies: Frequencies) -> bytes:
    """Code symbols in 0..n-1; `frequencies` holds n >= 2 integers >= 1 that sum to 2**24."""
    encoder = RangeEncoder()
    encoder.put(symbols, make_model(frequencies))
    return encoder.finish()


def decode(data: bytes, count: int, frequencies: Frequencies) -> Symbols:
    """The `count` symbols that `encode` made `data` from. Raises `Corrupt` where it cannot have."""
    return RangeDecoder(data).take(count, make_model(frequencies))


def make_model(frequencies: Frequencies) -> Any:
    """The distribution of n >= 2 symbols; `frequencies` are integers >= 1 that sum to 2**24."""
    if len(frequencies) < 2 or int(frequencies.min()) < 1 or int(frequencies.sum()) != TOTAL:
        raise ValueError(f"{len(frequencies)} frequencies are not integers from 1 up that sum to {TOTAL}")
    return constriction.stream.model.Categorical((frequencies - 1).astype(np.float32), perfect=False)


class RangeEncoder:
    """Codes runs of symbols, each under a model of its own, into one string of bytes."""

    def __init__(self) -> None:
        self._encoder = constriction.stream.queue.RangeEncoder()

    def put(self, symbols: Symbols, model: Any) -> None:
        """Append symbols."""
        for start in range(0, len(symbols), CHUNK):
            self._encoder.encode(symbols[start : start + CHUNK].astype(np.int32), model)

    def finish(self) -> bytes:
        """The shortest bytes that name a point of the last interval when zeros follow them.

        constriction ends with one or two whole words; a file of many small tensors is better off with the
        one or two bytes that are needed.
        """
        position, (lower, width) = self._encoder.pos()
        words = self._encoder.get_compressed()[:position]
        word_bits = 8 * WORD_BYTES
        # The words before the last interval hold a carry if, and only if, constriction's own last point does:
        # the first multiple of 2**32 in the interval. Ours has to agree.
        carries = _round_up(lower, word_bits) >> STATE_BITS
        for zero_bits in range(STATE_BITS, word_bits - 1, -8):
            point = _round_up(lower, zero_bits)
            if point < lower + width and point >> STATE_BITS == carries:
                break
        tail = (point % (1 << STATE_BITS)).to_bytes(STATE_BITS // 8, "big")
        return bytes((words.astype(">u4").tobytes() + tail).rstrip(b"\0"))


class RangeDecoder:
    """Takes runs of symbols from what `RangeEncoder` made."""

    def __init__(self, data: bytes) -> None:
        padded = data + bytes(-len(data) % WORD_BYTES)
        self._decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))

    def take(self, count: int, model: Any) -> Symbols:
        """The next `count` symbols. Raises `Corrupt` where there cannot be any."""
        symbols = np.empty(count, np.uint16)
        for start in range(0, count, CHUNK):
            part = symbols[start : start + CHUNK]
            try:
                part[:] = self._decoder.decode(model, len(part))
            except AssertionError:
                raise Corrupt("range-coded symbols are not valid") from None
        return symbols


def _round_up(value: int, zero_bits: int) -> int:
    return -(-value >> zero_bits) << zero_bits
