"""Bounds-checked fields: the only code that turns bytes into numbers and strings, and back.

Everything is little-endian. A varint is LEB128: seven bits a byte, low ones first, in the fewest bytes;
a signed one is zig-zag coded first (0, -1, 1, -2, ...). See SPEC.md, "Fields".
"""

from fractions import Fraction
from math import gcd

import numpy as np
import numpy.typing as npt

from .errors import Corrupt, LimitExceeded, Truncated

VARINT_BITS = 64
MAX_TIME = (1 << 62) - 1  # of either sign, so that a difference of two fits a signed integer
VARINT_BYTES = 10
CHUNK = 1 << 16  # bytes that are turned into varints at once
FLOAT16 = np.dtype("<f2")

Octets = bytes | memoryview  # which need no copy


def zigzag(value: int) -> int:
    """A signed integer as an unsigned one: 0, -1, 1, -2 ... are 0, 1, 2, 3 ..."""
    return value << 1 if value >= 0 else (-value << 1) - 1


def unzigzag(code: int) -> int:
    """The inverse of `zigzag`."""
    return code >> 1 if code & 1 == 0 else -(code >> 1) - 1


def unzigzag_all(codes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """`unzigzag` of each."""
    return (codes >> np.uint64(1)).astype(np.int64) ^ -(codes & np.uint64(1)).astype(np.int64)


class Writer:
    """Collects fields into bytes. Values beyond a field's range raise `LimitExceeded`."""

    def __init__(self) -> None:
        self._data = bytearray()

    def __len__(self) -> int:
        return len(self._data)

    def finish(self) -> bytes:
        """All that was written."""
        return bytes(self._data)

    def uint(self, value: int, size: int) -> None:
        """An unsigned integer of `size` bytes."""
        if not 0 <= value < 1 << 8 * size:
            raise LimitExceeded(f"{value} does not fit {size} unsigned bytes")
        self._data += value.to_bytes(size, "little")

    def varint(self, value: int) -> None:
        """An unsigned integer below 2**64."""
        if not 0 <= value < 1 << VARINT_BITS:
            raise LimitExceeded(f"{value} does not fit {VARINT_BITS} unsigned bits")
        while value >= 0x80:
            self._data.append(value & 0x7F | 0x80)
            value >>= 7
        self._data.append(value)

    def signed(self, value: int) -> None:
        """A signed integer in -2**63..2**63 - 1."""
        self.varint(zigzag(value))

    def raw(self, data: bytes) -> None:
        """Bytes whose length the reader knows."""
        self._data += data

    def blob(self, data: bytes, limit: int) -> None:
        """Bytes after their length, which is at most `limit`."""
        if len(data) > limit:
            raise LimitExceeded(f"{len(data)} bytes is above the limit of {limit}")
        self.varint(len(data))
        self.raw(data)

    def string(self, text: str, limit: int) -> None:
        """UTF-8 text after its length, which is at most `limit` bytes."""
        self.blob(text.encode(), limit)

    def fraction(self, value: Fraction) -> None:
        """A positive ratio: numerator, then denominator."""
        self.varint(value.numerator)
        self.varint(value.denominator)

    def float16s(self, values: npt.NDArray[np.float16]) -> None:
        """16-bit floats in C order, without their count."""
        self.raw(values.astype(FLOAT16, copy=False).tobytes())


class Reader:
    """Takes fields from the front of `data`; `what` names it in messages.

    Raises `Truncated` where the bytes end early, `Corrupt` for a field that is not valid, and
    `LimitExceeded` for one above the limit a caller states. Nothing is allocated before its length has
    been checked against the bytes that remain.
    """

    def __init__(self, data: Octets, what: str) -> None:
        self._data = memoryview(data)
        self._position = 0
        self.what = what

    @property
    def size(self) -> int:
        """Bytes in all, read or not."""
        return len(self._data)

    @property
    def remaining(self) -> int:
        """Bytes not yet read."""
        return len(self._data) - self._position

    def finish(self) -> None:
        """Check that nothing is left."""
        if self.remaining:
            raise Corrupt(f"{self.what}: {self.remaining} bytes too many")

    def rest(self) -> bytes:
        """All bytes not yet read, without reading them."""
        return bytes(self._data[self._position :])

    def raw(self, size: int) -> bytes:
        """The next `size` bytes."""
        if size > self.remaining:
            raise Truncated(f"{self.what}: {size} bytes announced, {self.remaining} left")
        start = self._position
        self._position += size
        return bytes(self._data[start : self._position])

    def uint(self, size: int) -> int:
        """An unsigned integer of `size` bytes."""
        return int.from_bytes(self.raw(size), "little")

    def varint(self, limit: int = (1 << VARINT_BITS) - 1) -> int:
        """An unsigned integer, at most `limit`."""
        value = shift = 0
        while True:
            byte = self.uint(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift >= VARINT_BITS:
                raise Corrupt(f"{self.what}: an integer is longer than {VARINT_BITS} bits")
        if value >> VARINT_BITS or (byte == 0 and shift > 0):
            raise Corrupt(f"{self.what}: an integer is not in its shortest form")
        if value > limit:
            raise LimitExceeded(f"{self.what}: {value} is above the limit of {limit}")
        return value

    def varints(self, count: int) -> npt.NDArray[np.uint64]:
        """The next `count` unsigned integers, far faster than one by one."""
        if count > self.remaining:
            raise Truncated(f"{self.what}: {count} integers announced, {self.remaining} bytes left")
        values, done = np.empty(count, np.uint64), 0
        while done < count:
            data = np.frombuffer(self._data[self._position : self._position + CHUNK], np.uint8)
            ends = np.flatnonzero(data < 0x80)[: count - done]
            if len(ends) == 0:
                self.varint()  # which says what is wrong
            starts = np.concatenate(([0], ends[:-1] + 1))
            lengths, last = ends - starts + 1, data[ends]
            if lengths.max() > VARINT_BYTES:
                raise Corrupt(f"{self.what}: an integer is longer than {VARINT_BITS} bits")
            if np.any((last == 0) & (lengths > 1) | (last > 1) & (lengths == VARINT_BYTES)):
                raise Corrupt(f"{self.what}: an integer is not in its shortest form")
            data = data[: ends[-1] + 1]
            places = np.arange(len(data)) - np.repeat(starts, lengths)
            digits = (data & 0x7F).astype(np.uint64) << (7 * places).astype(np.uint64)
            values[done : done + len(ends)] = np.bitwise_or.reduceat(digits, starts)
            done += len(ends)
            self._position += len(data)
        return values

    def signed(self) -> int:
        """A signed integer of at most 64 bits."""
        return unzigzag(self.varint())

    def blob(self, limit: int) -> bytes:
        """Bytes after their length, which is at most `limit`."""
        return self.raw(self.varint(limit))

    def string(self, limit: int) -> str:
        """UTF-8 text after its length, which is at most `limit` bytes."""
        try:
            return self.blob(limit).decode()
        except UnicodeDecodeError:
            raise Corrupt(f"{self.what}: a text is not UTF-8") from None

    def fraction(self) -> Fraction:
        """A positive ratio in lowest terms."""
        numerator, denominator = self.varint(), self.varint()
        if numerator == 0 or denominator == 0 or gcd(numerator, denominator) != 1:
            raise Corrupt(f"{self.what}: {numerator}/{denominator} is not a positive ratio in lowest terms")
        return Fraction(numerator, denominator)

    def float16s(self, count: int) -> npt.NDArray[np.float16]:
        """`count` finite 16-bit floats."""
        values = np.frombuffer(self.raw(2 * count), FLOAT16).astype(np.float16)
        if not np.isfinite(values).all():
            raise Corrupt(f"{self.what}: a number is not finite")
        return values
