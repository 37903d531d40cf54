"""Integer symbols <-> coded bytes: the coders a tensor may name, and the choice between them.

RAW         `bits` bits a symbol
CURVE       range coded under a curve that is sent first (bitstream.curve); one value alone costs no more
            than its name
CENTRED     CURVE of symbols counted from the zero of their slice's grid
DIFFERENCE  the first row by RAW or CURVE, then each row's difference from the one before, under a curve for
            each class of symbols: by how large the difference was in the same place of the row before
"""

from enum import IntEnum
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitstream import prediction, rangecoder
from bitstream.bits import BitReader, BitWriter
from bitstream.curve import Curve
from bitstream.errors import Corrupt, UnsupportedVersion
from bitstream.fields import Reader, Writer
from bitstream.fitting import entropy, fit
from bitstream.rangecoder import Symbols
from bitstream.types import QuantizedTensor

RAW_CHUNK = 1 << 16  # symbols; a multiple of 8, so that every chunk but the last ends with a byte
MAX_BOUNDS = 7
MIN_ROW = 64  # symbols of a row with classes: shorter ones would take long to decode
CLASS_BITS = 100  # about what a class costs that the entropy of its symbols does not tell


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


def encode_tensor(tensor: QuantizedTensor) -> tuple[Coder, bytes]:
    """Code a tensor's symbols with the cheapest coder."""
    grid = Grid(tensor.shape, tensor.bits, tensor.scales, tensor.offsets, tensor.axis)
    symbols, coded = tensor.symbols, [encode_symbols(tensor.symbols, tensor.bits)]
    plain = _cost(symbols)
    if grid.axis is not None:
        left = prediction.take_away(symbols.reshape(grid.shape), grid.zeros(), grid.bits).ravel()
        centred = _encode_curve(left) if _cost(left) < plain else None
        coded += [] if centred is None else [(Coder.CENTRED, centred)]
    if grid.shape[0] > 1:
        rows = symbols.reshape(grid.shape[0], -1)
        left = prediction.take_away(rows[1:], rows[:-1], grid.bits)
        differences = _encode_differences(rows[0], left, grid.bits) if _cost(rows[0]) + _cost(left) < plain else None
        coded += [] if differences is None else [(Coder.DIFFERENCE, differences)]
    return min(coded, key=lambda choice: len(choice[1]))


def decode_tensor(coder: int, data: bytes, grid: Grid) -> Symbols:
    """The symbols that `data` holds, flat.

    Raises `UnsupportedVersion` for a coder that this reader does not know, `Corrupt`, `Truncated` or
    `LimitExceeded` where `data` is not what `encode_tensor` makes.
    """
    count = prod(grid.shape)
    if coder == Coder.CENTRED:
        left = _decode_curve(data, count, grid.bits).reshape(grid.shape)
        return prediction.give_back(left, grid.zeros(), grid.bits).ravel()
    if coder == Coder.DIFFERENCE:
        return _decode_differences(data, grid.shape[0], count // grid.shape[0], grid.bits).ravel()
    return decode_symbols(coder, data, count, grid.bits)


def encode_symbols(symbols: Symbols, bits: int) -> tuple[Coder, bytes]:
    """Code a flat, non-empty array of symbols below 2**bits (1..16) by RAW or CURVE."""
    raw_size = -(-len(symbols) * bits // 8)
    curved = _encode_curve(symbols)
    if curved is not None and len(curved) < raw_size:
        return Coder.CURVE, curved
    return Coder.RAW, _encode_raw(symbols, bits)


def decode_symbols(coder: int, data: bytes, count: int, bits: int) -> Symbols:
    """Inverse of `encode_symbols`; raises as `decode_tensor` does."""
    if coder == Coder.RAW:
        return _decode_raw(data, count, bits)
    if coder == Coder.CURVE:
        return _decode_curve(data, count, bits)
    raise UnsupportedVersion(f"symbol coder {coder} is not known to this reader")


def max_span(count: int) -> int:
    """How far apart the least and the greatest of `count` symbols may be for a curve.

    A table costs work in proportion to its span. This keeps the work in proportion to the symbols, and
    takes nothing from symbols of up to 10 bits.
    """
    return max(1023, count)


def _cost(symbols: Symbols) -> float:
    """Bits of symbols at their entropy."""
    return entropy(np.bincount(symbols.ravel()))


def _encode_raw(symbols: Symbols, bits: int) -> bytes:
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
    """A distribution of symbols from `least` on; without a `curve`, of that one alone."""

    least: int
    curve: Any = None

    def put(self, encoder: rangecoder.Encoder, symbols: Symbols) -> None:
        if self.curve is not None:
            encoder.put(symbols - np.uint16(self.least), self.curve)

    def take(self, decoder: rangecoder.Decoder, count: int) -> Symbols:
        if self.curve is None:
            return np.full(count, self.least, np.uint16)
        symbols = decoder.take(count, self.curve)
        symbols += np.uint16(self.least)
        return symbols


def _write_model(out: Writer, symbols: Symbols, count: int) -> _Model | None:
    """Fit a model to `symbols` of a tensor of `count` and write it; None where their span is too wide."""
    least, greatest = (int(symbols.min()), int(symbols.max())) if symbols.size else (0, 0)
    span = greatest - least
    out.varint(least)
    out.varint(span)
    if span > max_span(count):
        return None
    if span == 0:
        return _Model(least)
    curve, table = fit(np.bincount(symbols, minlength=greatest + 1)[least:]), BitWriter()
    curve.write(table)
    out.raw(table.finish())
    return _Model(least, rangecoder.make_model(curve.frequencies()))


def _read_model(fields: Reader, count: int, bits: int) -> _Model:
    least = fields.varint((1 << bits) - 1)
    span = fields.varint(min((1 << bits) - 1 - least, max_span(count)))
    if span == 0:
        return _Model(least)
    table = BitReader(fields.rest())
    curve = Curve.read(table, span + 1)
    fields.raw(table.finish())
    return _Model(least, rangecoder.make_model(curve.frequencies()))


def _encode_curve(symbols: Symbols) -> bytes | None:
    out, encoder = Writer(), rangecoder.Encoder()
    model = _write_model(out, symbols, len(symbols))
    if model is None:
        return None
    model.put(encoder, symbols)
    out.raw(encoder.finish())
    return out.finish()


def _decode_curve(data: bytes, count: int, bits: int) -> Symbols:
    fields = Reader(data, "coded symbols")
    model = _read_model(fields, count, bits)
    if model.curve is None:
        fields.finish()
    return model.take(rangecoder.Decoder(fields.rest()), count)


def _encode_differences(first: Symbols, left: Symbols, bits: int) -> bytes | None:
    """`left` is what is left of the rows after the first, (rows - 1, symbols)."""
    bounds, count = _choose_bounds(left, bits), len(first) + left.size
    coder, head = encode_symbols(first, bits)
    out, encoder = Writer(), rangecoder.Encoder()
    out.uint(len(bounds), 1)
    for bound in bounds:
        out.varint(bound)
    out.uint(coder, 1)
    out.blob(head, len(head))
    classes = _classes(left, bounds, bits)
    models = [_write_model(out, left[classes == i], count) for i in range(len(bounds) + 1)]
    for row, kinds in zip(left, classes, strict=True) if bounds else [(left.ravel(), classes.ravel())]:
        for i, model in enumerate(models):
            if model is None:
                return None
            model.put(encoder, row[kinds == i])
    out.raw(encoder.finish())
    return out.finish()


def _decode_differences(data: bytes, rows: int, size: int, bits: int) -> Symbols:
    fields = Reader(data, "coded symbols")
    bounds = [fields.varint(1 << bits) for _ in range(fields.uint(1))]
    if len(bounds) > MAX_BOUNDS or sorted(set(bounds)) != bounds or (bounds and size < MIN_ROW):
        raise Corrupt(f"{len(bounds)} bounds of differences are not valid for rows of {size}")
    first = decode_symbols(fields.uint(1), fields.blob(fields.remaining), size, bits)
    models = [_read_model(fields, rows * size, bits) for _ in range(len(bounds) + 1)]
    decoder = rangecoder.Decoder(fields.rest())
    if not bounds:
        return prediction.add_up(first, models[0].take(decoder, (rows - 1) * size).reshape(-1, size), bits)
    left, kinds = np.empty((rows - 1, size), np.uint16), np.zeros(size, np.intp)
    for row in left:
        for i, model in enumerate(models):
            chosen = kinds == i
            row[chosen] = model.take(decoder, int(chosen.sum()))
        kinds = _kinds(row, bounds, bits)
    return prediction.add_up(first, left, bits)


def _kinds(left: Symbols, bounds: list[int], bits: int) -> npt.NDArray[np.intp]:
    """The classes of the symbols in the row below: how many bounds this row's differences reach."""
    kinds: npt.NDArray[np.intp] = np.searchsorted(bounds, prediction.sizes(left, bits), side="right")
    return kinds


def _classes(left: Symbols, bounds: list[int], bits: int) -> npt.NDArray[np.intp]:
    """The classes of all differences; those of the first row are 0."""
    classes = np.zeros(left.shape, np.intp)
    classes[1:] = _kinds(left[:-1], bounds, bits)
    return classes


def _choose_bounds(left: Symbols, bits: int) -> list[int]:
    """The bounds under which the differences have the least entropy, of a few."""
    if left.shape[1] < MIN_ROW or len(left) < 2:
        return []
    low, middle, high = (max(1, int(bound)) for bound in np.quantile(prediction.sizes(left, bits), (0.25, 0.5, 0.8)))
    choices = [sorted(set(choice)) for choice in ((), (middle,), (middle, high), (low, middle, high))]

    def cost(bounds: list[int]) -> float:
        classes = _classes(left, bounds, bits)
        return sum(CLASS_BITS + _cost(left[classes == i]) for i in range(len(bounds) + 1))

    return min(choices, key=cost)
