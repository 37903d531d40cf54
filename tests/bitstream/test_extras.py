"""Tags, chapters, light levels and attachments: their limits, and that a reader may do without them."""

from dataclasses import replace
from fractions import Fraction

import pytest
from stream_samples import rich_extras, tiny_stream, written

from snerv_codec.bitstream.container import StreamFile, read_header, read_stream, write_stream
from snerv_codec.bitstream.errors import BitstreamError, Corrupt, LimitExceeded
from snerv_codec.bitstream.extras import Attachment, Chapter, Extras, Light, Mastering
from snerv_codec.bitstream.extrassection import (
    check_attachment_count,
    read_attachment,
    read_extras,
    write_extras,
)
from snerv_codec.bitstream.fields import Writer
from snerv_codec.bitstream.sections import write_section
from snerv_codec.bitstream.segmentsection import write_segment
from snerv_codec.bitstream.types import SideTrack

TRACK = SideTrack("audio", "", b"", Fraction(1), ())


def test_opening_a_file_reads_all_but_the_attachments():
    extras = rich_extras()
    data = write_stream(replace(tiny_stream(), extras=extras))
    assert read_header(data).extras == replace(extras, attachments=())
    with StreamFile(data) as file:
        assert file.read_extras() == extras


def test_nothing_takes_no_bytes():
    assert b"meta" not in write_stream(tiny_stream())
    data = write_stream(replace(tiny_stream(), extras=Extras(attachments=(Attachment("a", "b", b"c"),))))
    assert (b"meta" in data, b"atch" in data) == (False, True)


def test_flagged_sections_are_skipped_as_unknown_ones():
    data = write_stream(replace(tiny_stream(), extras=rich_extras()))
    for kind in (b"meta", b"atch"):  # to whoever does not know them they are of other types
        data = data.replace(write_section(kind, b"")[:4], kind[:3] + b"q")
    with pytest.raises(Corrupt, match="checksum"):
        StreamFile(data).verify()
    assert StreamFile(data).read_extras() == Extras()  # nobody looks into them


@pytest.mark.parametrize(
    "build",
    [
        lambda: Extras(tags=(("", "x"),)),
        lambda: Extras(tags=(("x" * 256, ""),)),
        lambda: Extras(tags=(("x", "é" * 8193),)),
        lambda: Extras(tags=(("x", "a\0b"),)),
        lambda: Extras(tags=(("x", "y"),) * 257),
        lambda: Extras(chapters=(Chapter(0, 1),) * 4097),
        lambda: Extras(attachments=(Attachment("", "", b""),) * 257),
        lambda: Chapter(2, 1),
        lambda: Chapter(0, 1 << 62),
        lambda: Chapter(0, 1, "x" * 1025),
        lambda: Chapter(0, 1, "\0"),
        lambda: Mastering((50_001,) * 8, (1, 1)),
        lambda: Mastering((0,) * 7, (1, 1)),  # type: ignore[arg-type]
        lambda: Mastering((0,) * 8, (1, 1 << 32)),
        lambda: Light(1 << 16, 0),
        lambda: Attachment("a\0", "", b""),
        lambda: Attachment("a", "x" * 256, b""),
        lambda: Attachment("a", "", bytes((1 << 25) + 1)),
        lambda: replace(TRACK, roles=("forced", "default")),
        lambda: replace(TRACK, roles=("loud",)),  # type: ignore[arg-type]
        lambda: replace(TRACK, skip=5),
        lambda: replace(TRACK, sample_rate=1 << 31),
    ],
)
def test_what_is_beyond_the_limits_cannot_be_built(build):
    with pytest.raises(ValueError, match=r"."):
        build()


def payload(*numbers):
    out = Writer()
    for number in numbers:
        out.varint(number)
    return out.finish()


@pytest.mark.parametrize(
    "data",
    [
        payload(257),
        payload(0, 4097),
        payload(1 << 63),
        payload(0, 0, 4),  # a kind of light that nobody knows
        payload(0, 1, (1 << 63) - 2, 1 << 62, 0, 0),  # a chapter that ends beyond the limit
        payload(0, 0, 1, *[50_001] * 8, 1, 1),
        payload(0, 0, 2, 1 << 16, 0),
        payload(0, 0, 0, 0),  # a byte too many
        payload(1, 1) + b"\xff" + payload(0, 0, 0),  # no UTF-8
        payload(1, 1) + b"a" + payload(1, 0, 0, 0),  # a zero character
        b"",
    ],
)
def test_forged_extras_are_declared_errors(data):
    file = written([write_segment(tiny_stream().segments[0])], extras=Extras(tags=(("a", "b"),)))
    whole = write_section(b"meta", write_extras(Extras(tags=(("a", "b"),))))
    forged = file.replace(whole, write_section(b"meta", data))
    with pytest.raises(BitstreamError):
        read_header(forged)


def test_an_attachment_is_read_by_its_own_account_of_its_size():
    with pytest.raises(BitstreamError, match="announced"):
        read_attachment(payload(0, 0, 1 << 25))
    with pytest.raises(LimitExceeded):
        read_attachment(payload(0, 0, (1 << 25) + 1))
    with pytest.raises(BitstreamError):
        read_extras(payload(1 << 40))


def test_more_attachments_than_there_may_be():
    most = Extras(attachments=(Attachment("", "", b""),) * 256)
    assert len(read_stream(write_stream(replace(tiny_stream(), extras=most))).extras.attachments) == 256
    with pytest.raises(LimitExceeded, match="257 attachments is above the limit of 256"):
        check_attachment_count(257)
