"""Coded bytes -> integer symbols: the coders a tensor may name. `bitstream.drafts` is the other way.

RAW         `bits` bits a symbol
CURVE       range coded under a curve that is sent first (bitstream.curve); one value alone costs no more
            than its name
CENTRED     CURVE of symbols counted from the zero of their slice's grid
DIFFERENCE  the first row by RAW or CURVE, then each row's difference from the one before, under a curve for
            each class of symbols: by how large the difference was in the same place of the row before
"""

from collections.abc import Sequence
from enum import IntEnum
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import prediction, rangecoder
from .bits import BitReader
from .curve import Curve
from .errors import Corrupt, LimitExceeded, UnsupportedVersion
from .fields import Reader
from .rangecoder import Symbols

RAW_CHUNK = 1 << 16  # symbols; a multiple of 8, so that every chunk but the last ends with a byte
MAX_BOUNDS = 3
# Work for each byte of a tensor's coded symbols, so that no small file takes long to decode: symbols under tables and
# differences (0.03 bit each, which no network worth sending goes below), fewer where a table is wide and each is slow
# to find; the span of a wide table; and the bytes for each run, of a class in a row.
NARROW = 1023  # the greatest span that every table may have: that of symbols of 10 bits
SYMBOLS_A_BYTE = 256
SYMBOLS_A_BYTE_IF_WIDE = 64
SPAN_A_BYTE = 16
BYTES_A_RUN = 2


class Coder(IntEnum):
    """How a tensor's symbols are coded: the number in the file."""

    RAW = 0
    CURVE = 1
    CENTRED = 2
    DIFFERENCE = 3


class Grid(NamedTuple):
    """What is known of a tensor before its symbols, as in `QuantizedTensor`."""

    shape: tuple[int, ...]
    bits: int
    scales: npt.NDArray[np.float16]
    offsets: npt.NDArray[np.float16]
    axis: int | None

    def zeros(self) -> Symbols:
        """The symbol of value zero, modulo 2**16, shaped so that it broadcasts."""
        zeros = prediction.zero_symbols(self.scales, self.offsets) & 0xFFFF
        return zeros.astype(np.uint16).reshape([-1 if i == self.axis else 1 for i in range(len(self.shape))])


def decode_tensor(coder: int, data: bytes, grid: Grid) -> Symbols:
    """The symbols that `data` holds, flat.

    Raises `UnsupportedVersion` for a coder that this reader does not know, `Corrupt`, `Truncated` or
    `LimitExceeded` where `data` is not what `drafts.encode_tensor` makes.
    """
    count = prod(grid.shape)
    if coder == Coder.CENTRED:
        residuals = _decode_curve(data, count, grid.bits).reshape(grid.shape)
        return prediction.add(residuals, grid.zeros(), grid.bits).ravel()
    if coder == Coder.DIFFERENCE:
        return _decode_differences(data, grid.shape[0], count // grid.shape[0], grid.bits).ravel()
    return decode_symbols(coder, data, count, grid.bits)


def decode_symbols(coder: int, data: bytes, count: int, bits: int) -> Symbols:
    """Inverse of `drafts.encode_symbols`; raises as `decode_tensor` does."""
    if coder == Coder.RAW:
        return _decode_raw(data, count, bits)
    if coder == Coder.CURVE:
        return _decode_curve(data, count, bits)
    raise UnsupportedVersion(f"symbol coder {coder} is not known to this reader")


def least_size(symbols: int, spans: Sequence[int], runs: int) -> int:
    """The fewest bytes that may hold so many `symbols`, with tables of these `spans`, in `runs` of a class each.

    Those that are all alike (coder CURVE with span 0) are not counted.

    Work stays in proportion to bytes by it. Whoever codes them in fewer adds zeros, which change nothing.
    """
    widest = max(spans)
    wide = widest > NARROW
    coded = -(-symbols // (SYMBOLS_A_BYTE_IF_WIDE if wide else SYMBOLS_A_BYTE))
    return max(coded, -(-widest // SPAN_A_BYTE) if wide else 0, BYTES_A_RUN * runs)


def _check_size(size: int, symbols: int, spans: Sequence[int], runs: int = 0) -> None:
    least = least_size(symbols, spans, runs)
    if size < least:
        raise LimitExceeded(f"{symbols} symbols in {size} bytes take more work than the limit: that of {least} bytes")


def encode_raw(symbols: Symbols, bits: int) -> bytes:
    """Flat symbols at `bits` bits each."""
    parts = []
    for start in range(0, len(symbols), RAW_CHUNK):
        places = np.arange(bits - 1, -1, -1, dtype=np.uint16)
        digits = symbols[start : start + RAW_CHUNK, None] >> places & 1
        parts.append(np.packbits(digits.astype(np.uint8)).tobytes())
    return b"".join(parts)


def _decode_raw(data: bytes, count: int, bits: int) -> Symbols:
    if len(data) != -(-count * bits // 8):
        raise Corrupt(f"{count} symbols of {bits} bits do not take {len(data)} bytes")
    packed = np.frombuffer(data, np.uint8)
    symbols = np.zeros(count, np.uint16)
    for start in range(0, count, RAW_CHUNK):
        part = symbols[start : start + RAW_CHUNK]
        size = len(part) * bits
        digits = np.unpackbits(packed[start * bits // 8 : (start * bits + size + 7) // 8])
        if digits[size:].any():
            raise Corrupt("plain symbols have bits set after their end")
        for column in digits[:size].reshape(-1, bits).T:
            part[:] = part << 1 | column
    return symbols


class _Model(NamedTuple):
    """A distribution of symbols from `least` to `least` + `span`; without a `curve`, of that one alone."""

    least: int
    span: int = 0
    curve: Any = None

    def take(self, decoder: rangecoder.RangeDecoder, count: int) -> Symbols:
        if self.curve is None:
            return np.full(count, self.least, np.uint16)
        symbols = decoder.take(count, self.curve)
        symbols += np.uint16(self.least)
        return symbols


def _read_model(fields: Reader, bits: int) -> _Model:
    least = fields.varint((1 << bits) - 1)
    span = fields.varint((1 << bits) - 1 - least)
    if span == 0:
        return _Model(least)
    _check_size(fields.size, 0, [span])
    table = BitReader(fields.rest())
    curve = Curve.read(table, span + 1)
    fields.raw(table.finish())
    return _Model(least, span, rangecoder.make_model(curve.frequencies()))


def _decode_curve(data: bytes, count: int, bits: int) -> Symbols:
    fields = Reader(data, "coded symbols")
    model = _read_model(fields, bits)
    if model.curve is None:
        fields.finish()
    _check_size(fields.size, count if model.span else 0, [model.span])
    return model.take(rangecoder.RangeDecoder(fields.rest()), count)


def _decode_differences(data: bytes, rows: int, size: int, bits: int) -> Symbols:
    fields = Reader(data, "coded symbols")
    bounds = [fields.varint(1 << bits) for _ in range(fields.uint(1))]
    if len(bounds) > MAX_BOUNDS or sorted(set(bounds)) != bounds:
        raise Corrupt(f"{len(bounds)} bounds of differences are not increasing, or more than {MAX_BOUNDS}")
    runs = (rows - 1) * (len(bounds) + 1) if bounds else 0
    _check_size(fields.size, 0, [0], runs)
    first = decode_symbols(fields.uint(1), fields.blob(fields.remaining), size, bits)
    models = [_read_model(fields, bits) for _ in range(len(bounds) + 1)]
    _check_size(fields.size, (rows - 1) * size, [model.span for model in models], runs)
    decoder = rangecoder.RangeDecoder(fields.rest())
    if not bounds:
        return prediction.accumulate(first, models[0].take(decoder, (rows - 1) * size).reshape(-1, size), bits)
    residuals, kinds = np.empty((rows - 1, size), np.uint16), np.zeros(size, np.intp)
    for row in residuals:
        for i, model in enumerate(models):
            chosen = kinds == i
            row[chosen] = model.take(decoder, int(chosen.sum()))
        kinds = kinds_of(row, bounds, bits)
    return prediction.accumulate(first, residuals, bits)


def kinds_of(residuals: Symbols, bounds: list[int], bits: int) -> npt.NDArray[np.intp]:
    """The classes of the symbols in the row below: how many bounds this row's differences reach."""
    kinds: npt.NDArray[np.intp] = np.searchsorted(bounds, prediction.magnitudes(residuals, bits), side="right")
    return kinds
