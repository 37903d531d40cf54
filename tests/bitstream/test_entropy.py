import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from independent import symbols as oracle

from snerv_codec.bitstream import entropy, prediction, rangecoder
from snerv_codec.bitstream.bits import BitReader, BitWriter
from snerv_codec.bitstream.curve import LEVELS_PER_OCTAVE, MAX_LEVEL, POWERS, STEPS_PER_OCTAVE, Curve, Node
from snerv_codec.bitstream.drafts import encode_symbols, encode_tensor
from snerv_codec.bitstream.entropy import Coder, Grid, decode_symbols, decode_tensor
from snerv_codec.bitstream.errors import BitstreamError, Corrupt, LimitExceeded, Truncated, UnsupportedVersion
from snerv_codec.bitstream.fitting import TOGETHER, fit, fit_all
from snerv_codec.bitstream.types import QuantizedTensor


@st.composite
def symbol_arrays(draw):
    """(symbols, bits): any size and width, from the flat to the very skewed."""
    bits = draw(st.integers(1, 16))
    top = draw(st.integers(0, (1 << bits) - 1))
    few = arrays(np.uint16, st.integers(1, 60), elements=st.integers(0, top))
    if draw(st.booleans()):
        return draw(few), bits
    count, seed = draw(st.integers(1, 3000)), draw(st.integers(0, 2**32 - 1))
    skew = draw(st.sampled_from([0.05, 1, 4, 20]))
    return (np.random.default_rng(seed).random(count) ** skew * (top + 1)).astype(np.uint16), bits


def both_ways(symbols, bits):
    coder, data = encode_symbols(symbols, bits)
    decoded = decode_symbols(coder, data, len(symbols), bits)
    assert decoded.dtype == np.uint16
    assert np.array_equal(decoded, symbols)
    return coder, data


@settings(max_examples=150, deadline=None)
@given(symbol_arrays())
def test_symbols_come_back_and_cost_no_more_than_plain(sample):
    symbols, bits = sample
    _, data = both_ways(symbols, bits)
    assert len(data) <= -(-len(symbols) * bits // 8)


@settings(max_examples=60, deadline=None)
@given(symbol_arrays())
def test_a_decoder_in_plain_integers_agrees(sample):
    symbols, bits = sample
    symbols = symbols[:400]
    coder, data = encode_symbols(symbols, bits)
    assert oracle.decode(coder, data, len(symbols), bits) == symbols.tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 70), st.integers(0, 2**32 - 1), st.integers(1, 400))
def test_the_range_coder_is_exact_for_any_frequencies(size, seed, count):
    rng = np.random.default_rng(seed)
    weights = (rng.random(size) ** rng.choice([1, 8, 40]) * 2**30).astype(np.int64) + 1
    frequencies = 1 + weights * ((1 << 24) - size) // weights.sum()
    frequencies[rng.integers(size)] += (1 << 24) - frequencies.sum()
    symbols = rng.integers(0, size, count).astype(np.uint16)
    data = rangecoder.encode(symbols, frequencies)
    assert oracle.range_decode(data, count, frequencies.tolist()) == symbols.tolist()
    assert np.array_equal(rangecoder.decode(data, count, frequencies), symbols)
    ideal = -np.log2(frequencies[symbols] / (1 << 24)).sum()
    # The start costs a rounding of the first interval; the end at most a byte, or two when a carry forbids.
    assert len(data) <= ideal / 8 + 0.001 * count + 2.01


def test_a_long_run_of_held_back_words_and_its_carry():
    # The middle symbol straddles every power of two: the coder cannot tell its first words for long.
    frequencies = np.array([(1 << 23) - 1, 2, (1 << 23) - 1])
    for last in (0, 1, 2):
        symbols = np.array([1] * 50 + [last], np.uint16)
        data = rangecoder.encode(symbols, frequencies)
        assert oracle.range_decode(data, 51, frequencies.tolist()) == symbols.tolist()
        assert np.array_equal(rangecoder.decode(data, 51, frequencies), symbols)


@pytest.mark.parametrize("bits", [1, 2, 8, 15, 16])
@pytest.mark.parametrize("count", [1, 2, 7, 300])
def test_degenerate_symbols(bits, count):
    top = (1 << bits) - 1
    for values in ([0], [top], [0, top]):
        both_ways(np.resize(np.array(values, np.uint16), count), bits)


def test_one_value_takes_three_bytes_at_most():
    assert both_ways(np.full(100_000, 255, np.uint16), 8) == (Coder.CURVE, b"\xff\x01\x00")


def test_the_whole_alphabet():
    symbols = np.random.default_rng(0).permutation(1 << 16).astype(np.uint16)
    assert both_ways(symbols, 16)[0] == Coder.RAW
    frequencies = Curve(1 << 16, 0, MAX_LEVEL).frequencies()
    assert frequencies.min() >= 1
    assert frequencies.sum() == 1 << 24
    assert np.array_equal(rangecoder.decode(rangecoder.encode(symbols, frequencies), 1 << 16, frequencies), symbols)


@pytest.mark.parametrize("shape", ["laplace", "gaussian", "heavy", "pruned", "clipped"])
@pytest.mark.parametrize(("count", "loss"), [(10_000, 0.01), (200_000, 0.002)])
def test_large_tensors_come_close_to_their_entropy(shape, count, loss):
    rng = np.random.default_rng(1)
    values = {
        "laplace": rng.laplace(size=count),
        "gaussian": rng.normal(size=count),
        "heavy": rng.standard_t(3, size=count),
        "pruned": np.where(rng.random(count) < 0.3, 0, rng.laplace(size=count)),
        "clipped": rng.normal(size=count).clip(-2, 2),
    }[shape]
    low, high = values.min(), values.max()
    symbols = np.rint((values - low) / (high - low) * 255).astype(np.uint16)
    counts = np.bincount(symbols)
    counts = counts[counts > 0]
    entropy_bytes = float((counts * np.log2(count / counts)).sum()) / 8
    assert len(both_ways(symbols, 8)[1]) <= (1 + loss) * entropy_bytes


def test_the_power_table_is_what_its_comment_says():
    for k, value in enumerate(POWERS.tolist()):
        # value - 1/2 < 2**(16 + k/16) < value + 1/2, times 2 and to the power of 16
        assert (2 * value - 1) ** 16 < 1 << 16 * 17 + k < (2 * value + 1) ** 16


def trees(start, end, depth=0):
    if end - start < 2:
        return st.none()
    middle = (start + end) // 2
    node = st.builds(Node, st.integers(0, MAX_LEVEL), trees(start, middle), trees(middle, end))
    return st.one_of(st.none(), node)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 12).flatmap(lambda n: st.tuples(st.just(n), trees(0, n - 1))), st.data())
def test_curves_come_back_and_their_frequencies_sum_up(shape, data):
    size, root = shape
    ends = st.integers(0, MAX_LEVEL)
    curve = Curve(size, data.draw(ends), data.draw(ends), root)
    out = BitWriter()
    curve.write(out)
    packed = out.finish()
    assert Curve.read(BitReader(packed), size) == curve
    frequencies = curve.frequencies()
    assert frequencies.tolist() == oracle.table(packed, size - 1)[0]
    assert frequencies.min() >= 1
    assert frequencies.sum() == 1 << 24


def test_the_widest_range_of_levels_does_not_overflow():
    for size in (2, 256, 1 << 16):
        for ends in ((0, MAX_LEVEL), (MAX_LEVEL, MAX_LEVEL), (0, 0)):
            frequencies = Curve(size, *ends).frequencies()
            assert frequencies.sum() == 1 << 24
            assert frequencies.min() >= 1
    assert int(POWERS[-1]) << (4 * MAX_LEVEL // STEPS_PER_OCTAVE) < 1 << 40
    assert STEPS_PER_OCTAVE == 4 * LEVELS_PER_OCTAVE


def test_curves_fitted_together_are_those_fitted_alone():
    rng = np.random.default_rng(0)
    sizes = (2, 3, 40, 255, 2 * TOGETHER, *[1500] * 5, 5)
    many = [np.bincount((rng.random(3 * size) ** 2 * size).astype(int)) for size in sizes]
    assert sum(map(len, many)) > TOGETHER
    assert fit_all(many) == [fit(counts) for counts in many]
    assert fit_all([]) == []


def test_a_wide_alphabet_is_fitted():
    counts = np.bincount(np.random.default_rng(0).binomial(65535, 0.5, 20_000))
    present = np.flatnonzero(counts)
    curve = fit(counts[present[0] : present[-1] + 1])
    assert curve.root is not None


@pytest.mark.parametrize(
    ("coder", "data", "count", "bits", "error"),
    [
        (2, b"", 1, 8, UnsupportedVersion),
        (0, b"\x00", 2, 8, Corrupt),
        (0, b"\x00\x01", 3, 5, Corrupt),
        (1, b"", 1, 8, Truncated),
        (1, b"\x03", 1, 8, Truncated),
        (1, b"\x80\x02\x00", 1, 8, LimitExceeded),
        (1, b"\x08\xf8\x01\x00\x00", 9, 8, LimitExceeded),
        (1, b"\x00\x80\x08\x00\x00", 9, 16, LimitExceeded),
        (1, b"\x03\x00\x00", 1, 8, Corrupt),
        (1, b"\x03\x01", 1, 8, Truncated),
        (1, b"\x03\x01\xff\xff", 1, 8, Corrupt),
        (1, b"\x03\x01\x00\x03", 1, 8, Corrupt),
    ],
)
def test_bad_symbols(coder, data, count, bits, error):
    with pytest.raises(error):
        decode_symbols(coder, data, count, bits)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([0, 1]), st.binary(max_size=40), st.integers(1, 5000), st.integers(1, 16))
def test_any_bytes_are_symbols_or_a_clear_error(coder, data, count, bits):
    try:
        symbols = decode_symbols(coder, data, count, bits)
    except BitstreamError:
        return
    assert len(symbols) == count
    assert int(symbols.max()) < 1 << bits


def test_chunks_do_not_show(monkeypatch):
    symbols = (np.random.default_rng(0).random(1000) ** 3 * 255).astype(np.uint16)
    whole = encode_symbols(symbols, 8), entropy.encode_raw(symbols, 11)
    monkeypatch.setattr(rangecoder, "CHUNK", 7)
    monkeypatch.setattr(entropy, "RAW_CHUNK", 16)
    assert (encode_symbols(symbols, 8), entropy.encode_raw(symbols, 11)) == whole
    both_ways(symbols, 8)
    assert np.array_equal(entropy._decode_raw(whole[1], 1000, 11), symbols)


def quantized(symbols, shape, bits, scales=(1.0,), offsets=(0.0,), axis=None):
    grid = np.array(scales, np.float16), np.array(offsets, np.float16)
    return QuantizedTensor("w", shape, bits, np.asarray(symbols, np.uint16).ravel(), *grid, axis)


def tensor_both_ways(tensor, count=1500):
    """Code a tensor, decode it, and (the front of) it again in plain integers; the coder and the bytes."""
    grid = Grid(tensor.shape, tensor.bits, tensor.scales, tensor.offsets, tensor.axis)
    coder, data = encode_tensor(tensor)
    assert np.array_equal(decode_tensor(coder, data, grid), tensor.symbols)
    if tensor.symbols.size <= count:
        assert oracle.decode_tensor(coder, data, *grid) == tensor.symbols.tolist()
    return coder, data


@st.composite
def tensors(draw):
    """Any shape, grids and symbols; some pruned, some that change slowly along the first axis."""
    bits = draw(st.integers(1, 16))
    shape = tuple(draw(st.lists(st.integers(1, 12), min_size=1, max_size=4)))
    axis = draw(st.one_of(st.none(), st.integers(0, len(shape) - 1)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    grids = 1 if axis is None else shape[axis]
    scales = rng.choice([0, 1e-7, 0.004, 0.3, -0.02], grids) * rng.random(grids)
    offsets = rng.normal(0, 1, grids)
    noise = rng.integers(0, 1 << draw(st.integers(0, bits)), shape)
    walk = noise.cumsum(axis=0) if draw(st.booleans()) else noise
    symbols = np.where(rng.random(shape) < draw(st.sampled_from([0, 0.5])), 3, walk) % (1 << bits)
    return quantized(symbols, shape, bits, scales, offsets, axis)


@settings(max_examples=150, deadline=None)
@given(tensors())
def test_tensors_come_back_in_both_decoders(tensor):
    tensor_both_ways(tensor, count=300)


def test_zeros_that_lie_apart_are_brought_together():
    rng = np.random.default_rng(0)
    values = np.where(rng.random((8, 600)) < 0.3, 0, rng.normal(0, 0.1, (8, 600)))
    scales = ((values.max(1) - values.min(1)) / 255).astype(np.float16)
    offsets = values.min(1).astype(np.float16)
    symbols = np.rint((values - offsets[:, None]) / scales[:, None].astype(np.float64)).clip(0, 255)
    tensor = quantized(symbols, (8, 600), 8, scales, offsets, 0)
    coder, data = tensor_both_ways(tensor)
    assert coder == Coder.CENTRED
    assert len(data) < 0.95 * len(encode_symbols(tensor.symbols, 8)[1])


@pytest.mark.parametrize("lively", [False, True])
def test_rows_that_resemble_the_row_before_cost_what_they_change(lively):
    rng = np.random.default_rng(0)
    speed = np.repeat([1, 20], 100) if lively else np.full(200, 3)  # half the places move much, half little
    walk = 30_000 + rng.normal(0, speed, (40, 200)).cumsum(axis=0).round()
    tensor = quantized(walk, (40, 10, 20), 16)
    coder, data = tensor_both_ways(tensor)
    assert coder == Coder.DIFFERENCE
    assert (data[0] > 0) == lively  # classes only where they pay
    assert len(data) < 0.7 * len(encode_symbols(tensor.symbols, 16)[1])
    small = quantized(walk[:6], (6, 10, 20), 16)
    tensor_both_ways(small)


def test_the_zero_of_a_grid_is_exact():
    scales, offsets = np.array([0.5, -0.5, 2**-24, 65504, 0, 3], np.float16), np.array([-1.25, 1.25, 1, -1, 7, -7.5])
    expected = [3, 3, -(2**24), 0, 0, 3]
    assert prediction.zero_symbols(scales, offsets.astype(np.float16)).tolist() == expected


@pytest.mark.parametrize(
    ("coder", "data", "error"),
    [
        (4, b"", UnsupportedVersion),
        (2, b"", Truncated),
        (3, b"", Truncated),
        (3, b"\x04\x01\x02\x03\x04" + bytes(20), Corrupt),  # bounds
        (3, b"\x02\x01\x01\x00\x06abcdef\x00\x00\x00\x00\x00\x00", Corrupt),  # equal ones
        (3, b"\x00\x02\x06abcdef\x00\x00", UnsupportedVersion),  # first row by another coder
        (3, b"\x00\x00\x07abcdefg\x00\x00", Corrupt),  # or too long
        (3, b"\x00\x00\x06abcdef\x00\xff\x0f", LimitExceeded),  # span
    ],
)
def test_bad_guesses(coder, data, error):
    grid = Grid((3, 6), 8, np.ones(1, np.float16), np.zeros(1, np.float16), None)
    with pytest.raises(error):
        decode_tensor(coder, data, grid)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([2, 3]), st.binary(max_size=60), st.integers(1, 70), st.integers(1, 70), st.integers(1, 16))
def test_any_bytes_are_a_tensor_or_a_clear_error(coder, data, rows, size, bits):
    grid = Grid((rows, size), bits, np.zeros(rows, np.float16), np.zeros(rows, np.float16), 0)
    try:
        symbols = decode_tensor(coder, data, grid)
    except BitstreamError:
        return
    assert symbols.shape == (rows * size,)
    assert int(symbols.max()) < 1 << bits
