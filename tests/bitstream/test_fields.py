from contextlib import suppress
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snerv_codec.bitstream.bits import BitReader, BitWriter, golomb_size
from snerv_codec.bitstream.errors import BitstreamError, Corrupt, LimitExceeded, Truncated
from snerv_codec.bitstream.fields import Reader, Writer

UINT64 = st.integers(0, 2**64 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
HALVES = st.lists(st.floats(width=16, allow_nan=False, allow_infinity=False))
RATIO = st.fractions(min_value=Fraction(1, 2**31), max_value=2**31, max_denominator=2**31)


@given(UINT64, INT64, st.binary(max_size=40), st.text(max_size=20), RATIO, HALVES)
def test_fields_come_back(number, signed, blob, text, ratio, floats):
    halves = np.array(floats, np.float16)
    out = Writer()
    out.uint(number, 8)
    out.varint(number)
    out.signed(signed)
    out.blob(blob, 40)
    out.string(text, 80)
    out.fraction(ratio)
    out.float16s(halves)
    fields = Reader(out.finish(), "test")
    assert fields.uint(8) == number
    assert fields.varint() == number
    assert fields.signed() == signed
    assert fields.blob(40) == blob
    assert fields.string(80) == text
    assert fields.fraction() == ratio
    assert fields.float16s(len(floats)).tobytes() == halves.tobytes()
    fields.finish()


@given(st.binary(max_size=12))
def test_any_bytes_read_as_fields_or_as_a_clear_error(data):
    for read in (
        Reader.varint,
        Reader.signed,
        Reader.fraction,
        lambda f: f.string(9),
        lambda f: f.float16s(4),
    ):
        with suppress(BitstreamError):
            read(Reader(data, "test"))


@given(st.binary(min_size=1, max_size=10))
def test_a_varint_has_one_form_only(data):
    fields = Reader(data, "test")
    try:
        value = fields.varint()
    except BitstreamError:
        return
    out = Writer()
    out.varint(value)
    assert data.startswith(out.finish())


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", Truncated),
        (b"\x80", Truncated),
        (b"\x80\x00", Corrupt),
        (b"\xff" * 9 + b"\x02", Corrupt),
        (b"\xff" * 10, Corrupt),
        (b"\x65", LimitExceeded),
    ],
)
def test_bad_varints(data, error):
    with pytest.raises(error):
        Reader(data, "test").varint(100)


def test_a_hostile_length_allocates_nothing():
    with pytest.raises(Truncated):
        Reader(b"\xff\xff\xff\xff\xff\xff\xff\x7f", "test").blob(2**62)
    with pytest.raises(Truncated):
        Reader(b"", "test").float16s(2**60)


@pytest.mark.parametrize("data", [b"\x00\x01", b"\x01\x00", b"\x02\x04"])
def test_bad_ratios(data):
    with pytest.raises(Corrupt):
        Reader(data, "test").fraction()


def test_text_that_is_not_utf8_and_leftovers_are_corrupt():
    with pytest.raises(Corrupt):
        Reader(b"\x01\xff", "test").string(9)
    with pytest.raises(Corrupt):
        Reader(b"\x01", "test").finish()


@pytest.mark.parametrize("call", [("uint", 256, 1), ("uint", -1, 1), ("varint", 2**64), ("signed", 2**63)])
def test_values_that_do_not_fit_are_not_written(call):
    name, *arguments = call
    with pytest.raises(LimitExceeded):
        getattr(Writer(), name)(*arguments)


@given(st.lists(st.tuples(st.booleans(), st.integers(-300, 300))))
def test_bits_come_back(fields):
    out = BitWriter()
    for flag, value in fields:
        out.uint(int(flag), 1)
        out.golomb(value)
    bits = BitReader(out.finish())
    assert [(bool(bits.bit()), bits.golomb()) for _ in fields] == fields
    assert bits.finish() == -(-sum(1 + golomb_size(value) for _, value in fields) // 8)


def test_bad_bits():
    with pytest.raises(Truncated):
        BitReader(b"").bit()
    with pytest.raises(Corrupt):
        BitReader(bytes(9)).golomb()
    padded = BitReader(b"\xc0")
    padded.bit()
    with pytest.raises(Corrupt):
        padded.finish()
