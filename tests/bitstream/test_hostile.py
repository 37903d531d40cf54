"""Damaged and forged files: a clear error or an equal stream, soon and in little memory."""

import random
import time
import tracemalloc
import zlib
from dataclasses import replace
from io import BytesIO

import pytest
from stream_samples import mixed, rich_stream, temporal_stream, tiny_stream

from snerv_codec.bitstream.container import StreamFile, read_stream, write_stream
from snerv_codec.bitstream.errors import (
    BitstreamError,
    Corrupt,
    LimitExceeded,
    NotAStream,
    Truncated,
    UnsupportedVersion,
)
from snerv_codec.bitstream.fields import Writer
from snerv_codec.bitstream.indexsection import read_index, write_index
from snerv_codec.bitstream.models import UnknownModel
from snerv_codec.bitstream.sections import CHECKSUM_SIZE, HEADER_SIZE, SectionFile, write_prologue, write_section
from snerv_codec.bitstream.segmentsection import MAX_DIRECTORY, RAW_DEFLATE

MEMORY = 64 << 20
SECONDS = 5


def test_every_truncation_is_found():
    for stream in (tiny_stream(), temporal_stream(), rich_stream()):
        data = write_stream(stream)
        for size in range(len(data)):
            with pytest.raises((Truncated, NotAStream)):
                read_stream(data[:size])


CHANGES = {"a bit": [1 << bit for bit in range(8)], "a byte": range(1, 256)}


@pytest.mark.parametrize("of", ["a bit", pytest.param("a byte", marks=pytest.mark.slow)])
def test_every_change_is_found(of):
    data = write_stream(tiny_stream())
    for place in range(len(data)):
        for change in CHANGES[of]:
            damaged = bytearray(data)
            damaged[place] ^= change
            with pytest.raises(BitstreamError):
                read_stream(bytes(damaged))


def forge(data: bytes, kind: bytes, change) -> bytes:
    """Change the payloads of one kind of section, and put the checksums and the end mark right."""
    parts, index = [write_prologue()], 0
    for section in SectionFile(BytesIO(data)).sections:
        payload = data[section.offset + HEADER_SIZE : section.end - CHECKSUM_SIZE]
        if section.type == b"INDX":
            index = sum(map(len, parts))
        elif section.type == b"DONE":
            payload = index.to_bytes(8, "little")
        parts.append(write_section(section.type, change(payload) if section.type == kind else payload))
    return b"".join(parts)


def read_each_segment(data: bytes) -> None:
    """Read all segments of models that are known, and copy the others."""
    with StreamFile(data) as file:
        for number, entry in enumerate(file.header.segments):
            if isinstance(entry.config, UnknownModel):
                file.coded_segment(number)
            else:
                file.read_segment(number)


def read_guarded(data: bytes, read=read_stream) -> str:
    """The name of the error, or "" where there is none; fails where it takes much time or memory."""
    tracemalloc.start()
    start = time.process_time()  # a busy neighbour takes none of it
    error: BitstreamError | None = None
    try:
        read(data)
    except BitstreamError as raised:
        error = raised
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MEMORY
    assert time.process_time() - start < SECONDS
    if error is None:
        return ""
    assert len(str(error).splitlines()) == 1
    return type(error).__name__


def test_forged_bytes_never_crash_the_reader():
    random.seed(1)
    seen = set()
    samples = [(write_stream(tiny_stream()), 200), (write_stream(temporal_stream()), 200)]
    samples += [(write_stream(rich_stream()), 100), (mixed(), 200)]
    for data, rounds in samples:
        for i in range(rounds):
            kind = (b"INFO", b"INDX", b"SEGM", b"trak", b"pdat")[i % (3 if rounds > 100 else 5)]

            def change(payload: bytes) -> bytes:
                changed = bytearray(payload)
                for _ in range(random.choice((1, 1, 2, 5))):
                    place = random.randrange(len(changed) + 1)
                    action = random.randrange(3)
                    if action == 0 or not changed:
                        changed[place:place] = random.choice((b"\xff\xff\xff\xff\x7f", b"\0", b"\x80", b"\xff" * 9))
                    elif action == 1:
                        del changed[place : place + random.randrange(1, 4)]
                    else:
                        changed[min(place, len(changed) - 1)] = random.choice((0, 1, 0x7F, 0x80, 0xFF, 0x3C))
                return bytes(changed)

            forged = forge(data, kind, change)
            seen |= {read_guarded(forged), read_guarded(forged, read_each_segment)}
    assert seen >= {"", "Corrupt", "Truncated", "LimitExceeded", "UnsupportedVersion"}


def segment_of(rows: bytes, coding: int = 0, rest: bytes = b"") -> bytes:
    """The tiny stream with another directory."""
    out = Writer()
    out.uint(0, 1)
    out.uint(coding, 1)
    out.blob(rows, len(rows))
    out.raw(rest)
    return forge(write_stream(tiny_stream()), b"SEGM", lambda _: out.finish())


def fix_index(data: bytes) -> bytes:
    """Make the index announce the segment's true length."""
    segment = next(s for s in SectionFile(BytesIO(data)).sections if s.type == b"SEGM")
    length = segment.end - segment.offset
    return forge(data, b"INDX", lambda payload: write_index([replace(read_index(payload)[0], length=length)]))


def deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, RAW_DEFLATE)
    return deflater.compress(data) + deflater.flush()


@pytest.mark.parametrize(
    ("rows", "coding", "error"),
    [
        (b"\xff\xff\xff\x7f\x01", 0, LimitExceeded),  # tensors
        (b"\x80\x20\x01", 0, Truncated),
        (b"\x02\x02", 0, Corrupt),  # embedding tensors
        (b"\x01\x01\x01a\x01\x01\x08\x00\x00\x00", 0, Corrupt),  # embeddings alone
        (b"\x02\x01\x01a\x01b\x00\x01\x01", 0, Corrupt),  # no dimensions
        (b"\x02\x01\x01a\x01b\x09" + b"\x01" * 10, 0, Corrupt),  # too many
        (b"\x02\x01\x01a\x01b\x01\x00\x01\x01", 0, Corrupt),  # of size 0
        (b"\x02\x01\x01a\x01b\x08" + b"\xff\xff\x7f" * 8 + b"\x01\x01\x08\x08\0\0\1\1\0\0", 0, LimitExceeded),
        (
            b"\x02\x01\x01a\x01b\x01\x01\x01\x01\x08\x08\x02\x00\x00\x00\x00\x00",
            0,
            UnsupportedVersion,
        ),  # grid
        (b"", 2, UnsupportedVersion),
        (b"\xff\xff", 1, Corrupt),
        (deflated(b"\x02")[:-1], 1, Corrupt),
        (deflated(b"\x02") + b"!", 1, Corrupt),
        (deflated(bytes(MAX_DIRECTORY + 1)), 1, LimitExceeded),
        (deflated(bytes(300 << 20)), 1, LimitExceeded),
    ],
    ids=range(15),
)
def test_hostile_directories(rows, coding, error):
    assert read_guarded(fix_index(segment_of(rows, coding))) == error.__name__


def test_a_small_file_cannot_ask_for_much_memory():
    # Two tensors of one value each, 2**28 symbols in all, in a few dozen bytes.
    size = b"\x80\x80\x80\x40"
    rows = b"\x02\x01\x01a\x01b\x01" + size + b"\x01" + size + b"\x08\x08\0\0\1\1\2\2"
    assert read_guarded(fix_index(segment_of(rows, 0, bytes(20)))) == "LimitExceeded"


def test_one_hostile_count_after_another():
    """Every varint position of every section, replaced by huge numbers."""
    data = write_stream(rich_stream())
    for kind in (b"INFO", b"INDX", b"trak"):
        for place in range(90):
            for huge in (
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                b"\xff\xff\x3f",
                b"\x80\x80\x80\x80\x10",
            ):
                forged = forge(data, kind, lambda p, i=place, h=huge: p[:i] + h + p[i + 1 :])
                read_guarded(forged)
