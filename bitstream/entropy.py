"""Integer symbols <-> coded bytes: the coders a tensor may name, and the choice between them.

RAW    `bits` bits a symbol
CURVE  range coded under a curve that is sent first (bitstream.curve); one value alone costs no more than
       its name
"""

from enum import IntEnum

import numpy as np

from bitstream import rangecoder
from bitstream.bits import BitReader, BitWriter
from bitstream.curve import Curve
from bitstream.errors import Corrupt, UnsupportedVersion
from bitstream.fields import Reader, Writer
from bitstream.fitting import fit
from bitstream.rangecoder import Symbols

RAW_CHUNK = 1 << 16  # symbols; a multiple of 8, so that every chunk but the last ends with a byte


class Coder(IntEnum):
    """How a tensor's symbols are coded: the number in the file."""

    RAW = 0
    CURVE = 1


def encode_symbols(symbols: Symbols, bits: int) -> tuple[Coder, bytes]:
    """Code a flat, non-empty array of symbols below 2**bits (1..16) with the cheapest coder."""
    raw_size = -(-len(symbols) * bits // 8)
    curved = _encode_curve(symbols)
    if curved is not None and len(curved) < raw_size:
        return Coder.CURVE, curved
    return Coder.RAW, _encode_raw(symbols, bits)


def decode_symbols(coder: int, data: bytes, count: int, bits: int) -> Symbols:
    """The `count` >= 1 symbols below 2**bits that `data` holds.

    Raises `UnsupportedVersion` for a coder that this reader does not know, `Corrupt`, `Truncated` or
    `LimitExceeded` where `data` is not what `encode_symbols` makes.
    """
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


def _encode_curve(symbols: Symbols) -> bytes | None:
    least, greatest = int(symbols.min()), int(symbols.max())
    span = greatest - least
    out = Writer()
    out.varint(least)
    out.varint(span)
    if span > max_span(len(symbols)):
        return None
    if span > 0:
        counts = np.bincount(symbols, minlength=greatest + 1)[least:]
        curve = fit(counts)
        table = BitWriter()
        curve.write(table)
        out.raw(table.finish())
        out.raw(rangecoder.encode(symbols - np.uint16(least), curve.frequencies()))
    return out.finish()


def _decode_curve(data: bytes, count: int, bits: int) -> Symbols:
    fields = Reader(data, "coded symbols")
    least = fields.varint((1 << bits) - 1)
    span = fields.varint(min((1 << bits) - 1 - least, max_span(count)))
    if span == 0:
        fields.finish()
        return np.full(count, least, np.uint16)
    rest = fields.raw(fields.remaining)
    table = BitReader(rest)
    curve = Curve.read(table, span + 1)
    symbols = rangecoder.decode(rest[table.finish() :], count, curve.frequencies())
    symbols += np.uint16(least)
    return symbols
