"""Fields of single bits, most significant first, padded with zeros to a whole byte."""

from .errors import Corrupt, Truncated
from .fields import unzigzag, zigzag

GOLOMB_ORDER = 2
MAX_PREFIX = 16


class BitWriter:
    """Collects bits."""

    def __init__(self) -> None:
        self._bits: list[str] = []

    def uint(self, value: int, size: int) -> None:
        """`size` bits, the high one first."""
        self._bits.append(format(value, f"0{size}b"))

    def golomb(self, value: int) -> None:
        """A signed integer: zig-zag, then exp-Golomb of order 2."""
        code = zigzag(value) + (1 << GOLOMB_ORDER)
        self.uint(code, golomb_size(value))  # the zeros in front say how long the rest is

    def finish(self) -> bytes:
        """All bits, and zeros up to a whole byte."""
        bits = "".join(self._bits)
        size = -(-len(bits) // 8)
        return int(bits.ljust(8 * size, "0") or "0", 2).to_bytes(size, "big")


def golomb_size(value: int) -> int:
    """Bits that `BitWriter.golomb` spends on `value`."""
    code = zigzag(value) + (1 << GOLOMB_ORDER)
    return 2 * code.bit_length() - GOLOMB_ORDER - 1


class BitReader:
    """Takes bits from the front of `data`. Raises `Truncated` at its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def bit(self) -> int:
        """The next bit."""
        byte, place = divmod(self._position, 8)
        if byte >= len(self._data):
            raise Truncated("a frequency table ends early")
        self._position += 1
        return self._data[byte] >> (7 - place) & 1

    def uint(self, size: int) -> int:
        """The next `size` bits as an integer."""
        value = 0
        for _ in range(size):
            value = value << 1 | self.bit()
        return value

    def golomb(self) -> int:
        """The inverse of `BitWriter.golomb`."""
        prefix = 0
        while self.bit() == 0:
            prefix += 1
            if prefix > MAX_PREFIX:
                raise Corrupt("a frequency table is not valid")
        size = prefix + GOLOMB_ORDER
        return unzigzag((1 << size | self.uint(size)) - (1 << GOLOMB_ORDER))

    def finish(self) -> int:
        """Check the padding; the number of bytes read."""
        while self._position % 8:
            if self.bit():
                raise Corrupt("a frequency table has bits set after its end")
        return self._position // 8
