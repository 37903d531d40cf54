"""SPEC.md, section 7: coded symbols, in plain integers."""

import math
from bisect import bisect_right
from fractions import Fraction
from itertools import accumulate

MASK = (1 << 64) - 1
POWERS = [65536, 68438, 71468, 74632, 77936, 81386, 84990, 88752]
POWERS += [92682, 96785, 101070, 105545, 110218, 115098, 120194, 125515]


def decode_tensor(coder, data, shape, bits, scales, offsets, axis) -> list[int]:
    """The symbols of a tensor by any coder; its grids as floats."""
    count, half, top = math.prod(shape), 1 << bits - 1, 1 << bits
    if coder == 2:
        left = decode(1, data, count, bits)
        inner = math.prod(shape[axis + 1 :]) if axis is not None else count
        sides = shape[axis] if axis is not None else 1
        slices = [i // inner % sides for i in range(count)]
        zeros = [zero(Fraction(float(s)), Fraction(float(o))) for s, o in zip(scales, offsets, strict=True)]
        return [(symbol - half + zeros[i]) % top for symbol, i in zip(left, slices, strict=True)]
    if coder == 3:
        return differences(data, shape[0], count // shape[0], bits)
    return decode(coder, data, count, bits)


def zero(scale: Fraction, offset: Fraction) -> int:
    return math.floor(Fraction(1, 2) - offset / scale) if scale else 0


def differences(data: bytes, rows: int, size: int, bits: int) -> list[int]:
    half, top, at = 1 << bits - 1, 1 << bits, 1
    bounds = []
    for _ in range(data[0]):
        bound, at = varint(data, at)
        bounds.append(bound)
    coder, at = data[at], at + 1
    length, at = varint(data, at)
    symbols = [decode(coder, data[at : at + length], size, bits)]
    at += length
    models = []
    for _ in range(len(bounds) + 1):
        least, at = varint(data, at)
        span, at = varint(data, at)
        frequencies, used = table(data[at:], span) if span else (None, 0)
        at += used
        models.append((least, frequencies and sums(frequencies)))
    coded = RangeDecoder(data[at:])
    classes = [0] * size
    for _ in range(rows - 1):
        left = [0] * size
        for kind, (least, cumulative) in enumerate(models):
            for i in range(size):
                if classes[i] == kind:
                    left[i] = least + (coded.next(cumulative) if cumulative else 0)
        symbols.append([(old + new - half) % top for old, new in zip(symbols[-1], left, strict=True)])
        classes = [sum(abs(new - half) >= bound for bound in bounds) for new in left]
    return [symbol for row in symbols for symbol in row]


def decode(coder: int, data: bytes, count: int, bits: int) -> list[int]:
    """Symbols that are as they are, by one of the first two coders."""
    if coder == 0:
        number = int.from_bytes(data, "big") >> (8 * len(data) - count * bits)
        return [number >> bits * (count - 1 - i) & (1 << bits) - 1 for i in range(count)]
    assert coder == 1
    least, at = varint(data, 0)
    span, at = varint(data, at)
    if span == 0:
        return [least] * count
    frequencies, size = table(data[at:], span)
    return [least + symbol for symbol in range_decode(data[at + size :], count, frequencies)]


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def table(data: bytes, span: int) -> tuple[list[int], int]:
    """Frequencies of symbols 0..span and the bytes that the table takes."""
    bits = "".join(f"{byte:08b}" for byte in data)
    position = 0

    def take(size: int) -> int:
        nonlocal position
        position += size
        return int(bits[position - size : position], 2) if size else 0

    def golomb() -> int:
        zeros = 0
        while take(1) == 0:
            zeros += 1
        value = (1 << zeros + 2 | take(zeros + 2)) - 4
        return value // 2 if value % 2 == 0 else -(value + 1) // 2

    steps = {0: take(7), span: take(7)}

    def interval(a: int, b: int) -> None:
        if b - a < 2:
            return
        if take(1) == 0:
            for i in range(a + 1, b):
                lines[i] = 4 * steps[a] + 4 * (steps[b] - steps[a]) * (i - a) // (b - a)
            return
        m = (a + b) // 2
        steps[m] = steps[a] + (steps[b] - steps[a]) * (m - a) // (b - a) + golomb()
        interval(a, m)
        interval(m, b)

    lines: dict[int, int] = {}
    interval(0, span)
    lines.update({place: 4 * level for place, level in steps.items()})
    weights = [POWERS[lines[i] % 16] << lines[i] // 16 for i in range(span + 1)]
    free = (1 << 24) - (span + 1)
    frequencies = [1 + weight * free // sum(weights) for weight in weights]
    frequencies[weights.index(max(weights))] += (1 << 24) - sum(frequencies)
    return frequencies, -(-position // 8)


def range_decode(data: bytes, count: int, frequencies: list[int]) -> list[int]:
    coded, cumulative = RangeDecoder(data), sums(frequencies)
    return [coded.next(cumulative) for _ in range(count)]


def sums(frequencies: list[int]) -> list[int]:
    """C_0 to C_n."""
    return [0, *accumulate(frequencies)]


class RangeDecoder:
    def __init__(self, data: bytes) -> None:
        self.data, self.used = data, 0
        self.lower, self.width = 0, MASK
        self.point = self.word() << 32
        self.point |= self.word()

    def word(self) -> int:
        self.used += 1
        return int.from_bytes(self.data[4 * self.used - 4 : 4 * self.used].ljust(4, b"\0"), "big")

    def next(self, cumulative: list[int]) -> int:
        scale = self.width >> 24
        quantile = (self.point - self.lower & MASK) // scale
        assert quantile < 1 << 24, "not valid"
        symbol = bisect_right(cumulative, quantile) - 1
        self.lower = self.lower + scale * cumulative[symbol] & MASK
        self.width = scale * (cumulative[symbol + 1] - cumulative[symbol])
        if self.width < 1 << 32:
            self.lower, self.width = self.lower << 32 & MASK, self.width << 32
            self.point = (self.point << 32 | self.word()) & MASK
        return symbol
