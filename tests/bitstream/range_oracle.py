"""A decoder of coded symbols in plain integers, written from SPEC.md and nothing else."""

MASK = (1 << 64) - 1
POWERS = [65536, 68438, 71468, 74632, 77936, 81386, 84990, 88752]
POWERS += [92682, 96785, 101070, 105545, 110218, 115098, 120194, 125515]


def decode(coder: int, data: bytes, count: int, bits: int) -> list[int]:
    """The symbols of a tensor."""
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
    cumulative = [0]
    for frequency in frequencies:
        cumulative.append(cumulative[-1] + frequency)

    def word(index: int) -> int:
        return int.from_bytes(data[4 * index : 4 * index + 4].ljust(4, b"\0"), "big")

    lower, width, point, used = 0, MASK, word(0) << 32 | word(1), 2
    symbols = []
    for _ in range(count):
        scale = width >> 24
        quantile = (point - lower & MASK) // scale
        assert quantile < 1 << 24, "not valid"
        symbol = next(i for i in range(len(frequencies)) if cumulative[i + 1] > quantile)
        symbols.append(symbol)
        lower = lower + scale * cumulative[symbol] & MASK
        width = scale * frequencies[symbol]
        if width < 1 << 32:
            lower, width = lower << 32 & MASK, width << 32
            point = (point << 32 | word(used)) & MASK
            used += 1
    return symbols
