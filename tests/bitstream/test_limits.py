"""What a file may take of its reader: sizes that are checked before anything is read, work in proportion to bytes."""

import os
import tracemalloc
from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from math import prod

import numpy as np
import pytest
from networks import CONFIGS, arbitrary_segment, model_stream
from stream_samples import temporal_stream, tensor, tiny_stream
from test_hostile import forge

from snerv_codec.bitstream.container import StreamFile, read_header, read_stream, write_stream
from snerv_codec.bitstream.drafts import encode_tensor
from snerv_codec.bitstream.entropy import Coder, Grid, decode_tensor
from snerv_codec.bitstream.errors import Corrupt, LimitExceeded
from snerv_codec.bitstream.fields import Reader, Writer
from snerv_codec.bitstream.models import DecoderConfig, check_covers
from snerv_codec.bitstream.sections import HEADER_SIZE, SectionFile, payload_of, write_prologue, write_section
from snerv_codec.bitstream.segmentsection import write_segment
from snerv_codec.bitstream.tracksection import read_track, summarize_track, write_track
from snerv_codec.bitstream.types import MAX_TRACKS, Packet, QuantizedTensor, SideTrack

TRACK = SideTrack("audio", "aac", b"header", Fraction(1, 48000), (Packet(b"a", 0, 0, 1024),), "eng")


def test_tracks_have_a_limit_for_the_writer_and_the_reader():
    stream = replace(tiny_stream(), tracks=(TRACK,) * MAX_TRACKS)
    data = write_stream(stream)
    assert len(read_header(data).tracks) == MAX_TRACKS
    with pytest.raises(LimitExceeded, match="257 side tracks is above the limit of 256"):
        write_stream(replace(stream, tracks=(TRACK,) * (MAX_TRACKS + 1)))
    sections = SectionFile(BytesIO(data)).sections
    parts = [data[section.offset : section.end] for section in sections]
    more = [*parts[:2], *map(write_section, (b"trak", b"pdat"), write_track(TRACK)), *parts[2:]]
    with pytest.raises(LimitExceeded, match="257 side tracks"):
        read_header(forge(write_prologue() + b"".join(more), b"", lambda payload: payload))


@pytest.mark.parametrize("kind", [b"INFO", b"INDX", b"trak", b"SEGM", b"text"])
def test_what_a_section_announces_is_checked_before_it_is_read(kind, tmp_path):
    """A file with a hole, which takes no room on a disk."""
    path, size = tmp_path / "sparse.snrv", 3 << 30
    with path.open("wb") as file:
        file.write(write_prologue() + kind + b"\0" + size.to_bytes(8, "little"))
        file.truncate(file.tell() + size + 4)
    tracemalloc.start()
    with pytest.raises(LimitExceeded, match=f"section {kind.decode()} has {size} bytes"):
        read_header(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_checksums_are_verified_in_little_memory(tmp_path):
    data = bytearray(write_stream(tiny_stream()))
    large = write_section(b"futu", os.urandom(20 << 20))  # of a later version, which readers pass over
    end = 0xA1 + len(large)
    stream = forge(bytes(data), b"INDX", lambda payload: payload)
    index = stream[0xA1:-25]
    data = bytearray(stream[:0xA1] + large + index + write_section(b"DONE", end.to_bytes(8, "little")))
    path = tmp_path / "large.snrv"
    path.write_bytes(data)
    with StreamFile(path) as file:
        tracemalloc.start()
        file.verify()
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
        tracemalloc.stop()
    data[0xA1 + HEADER_SIZE + (19 << 20)] ^= 1
    path.write_bytes(data)
    with StreamFile(path) as file, pytest.raises(Corrupt, match="section futu at byte 161"):
        file.verify()


def test_what_a_file_says_of_many_packets_takes_little_memory():
    payload, _ = write_track(replace(TRACK, packets=tuple(Packet(b"a", 1024 * i, 1024 * i, 1024) for i in range(300))))
    start, count = payload.index(b"\xac\x02"), 1_000_000
    head = Writer()
    head.raw(payload[:start])
    head.varint(count)
    table = head.finish() + payload[start + 2 :] + payload[-4:] * (count - 300)
    tracemalloc.start()
    summary = summarize_track(table, count)
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
    assert (summary.packet_count, summary.data_size) == (count, count)
    assert summary.duration == Fraction(1024 * count, 48000)
    with pytest.raises(Corrupt, match="packets have 5 bytes"):
        summarize_track(payload, 5)


@pytest.mark.parametrize("step", [1 << 62, (1 << 63) - 1, -(1 << 63)])
@pytest.mark.parametrize("place", [1, 2, 3])
def test_times_that_wrap_around_are_out_of_range(step, place):
    good, bad = Writer(), Writer()
    head, _ = write_track(replace(TRACK, packets=()))
    rows = [[2, (1 << 62) - 1, 0, 0], [2, -(1 << 62) + 1, 0, 0], [2, -(1 << 62) + 1, 0, 0]]
    for out in (good, bad):
        out.raw(head[:-1])
        out.varint(len(rows))
        for row in rows:
            out.varint(row[0])
            for time_step in row[1:]:
                out.signed(time_step)
        rows[1][place] = step
    assert read_track(good.finish(), b"abc").packets[0].dts == (1 << 62) - 1
    with pytest.raises(Corrupt, match="62 bits"):
        read_track(bad.finish(), b"abc")
    apart = (Packet(b"", (1 << 62) - 1, (1 << 62) - 1, 0), Packet(b"", -(1 << 62) + 1, -(1 << 62) + 1, 0))
    with pytest.raises(LimitExceeded, match="further apart"):
        write_track(replace(TRACK, packets=apart))


def test_the_duration_of_a_video_has_62_bits_too():
    video = replace(tiny_stream().video, timestamps=(-(1 << 61), (1 << 61) - 2))
    with pytest.raises(ValueError, match="duration exceeds"):
        replace(video, final_duration=2)
    with pytest.raises(ValueError, match="duration exceeds"):
        replace(video, timestamps=(-(1 << 61), 1 << 61, (1 << 62) - 2))


def directory_of(bits: int, coder: int) -> bytes:
    """The tiny stream whose weights have so many bits under another coder."""
    stream = write_stream(tiny_stream())
    segment = SectionFile(BytesIO(stream)).sections[2]
    payload = stream[segment.offset + HEADER_SIZE : segment.end - 4]
    changed = payload.replace(b"\x08\x06\0\0\x01\0", bytes((bits, 6, 0, 0, coder, 0)))
    assert changed != payload or (bits, coder) == (8, 1)
    return forge(stream, b"SEGM", lambda _: changed)


@pytest.mark.parametrize("coder", [0, 1, 2, 3])
@pytest.mark.parametrize("bits", [0, 17, 63, 64, 255])
def test_bits_out_of_range_are_refused(bits, coder):
    with pytest.raises(Corrupt, match=f"stem.weight: {bits} bits is not in 1..16"):
        read_stream(directory_of(bits, coder))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("number", [b"\x00\x7c", b"\x00\xfc", b"\x01\x7e"], ids=["inf", "-inf", "nan"])
def test_scales_that_are_not_finite_are_refused_before_anything_is_computed_with_them(number):
    data = write_stream(tiny_stream())
    for place in (0x80, 0x88, 0x8A, 0x96):  # in the worked example: a side value, a scale, an offset, a scale
        at = place - 0x46 - HEADER_SIZE
        forged = forge(data, b"SEGM", lambda payload, at=at: payload[:at] + number + payload[at + 2 :])
        with pytest.raises(Corrupt, match="not finite"):
            read_stream(forged)
    with pytest.raises(Corrupt, match="test: a number is not finite"):
        Reader(number, "test").float16s(1)


def test_names_and_shapes_are_compared_before_anything_is_decoded(monkeypatch):
    """Whoever knows the decoder tells; the embeddings are known to the format."""
    with StreamFile(write_stream(temporal_stream())) as file:
        monkeypatch.setattr("snerv_codec.bitstream.segmentsection.decode_tensor", None)

        def refuse(config: DecoderConfig, shapes):
            assert shapes == (("stem.weight", (2, 32)),)
            assert config.model == "t"
            raise Corrupt("another decoder")

        with pytest.raises(Corrupt, match="another decoder"):
            file.read_segment(0, refuse)
    stream = tiny_stream()
    changed = write_stream(stream).replace(b"\x04\x02\x02\x01\x01", b"\x04\x01\x04\x01\x01")
    with pytest.raises(Corrupt, match="embeddings .* are not"):
        read_stream(forge(changed, b"", lambda payload: payload))


def test_embeddings_are_bounded_by_the_pixels():
    config = tiny_stream().segments[0].config
    assert replace(config, embedding_shape=(16, 4, 4), strides=(1,) * 5).padded_size == (8, 8)
    with pytest.raises(ValueError, match="more than 4 values a pixel"):
        replace(config, embedding_shape=(17, 4, 4), strides=(1,) * 5)
    with pytest.raises(ValueError, match="more than 4 values a pixel"):
        replace(config, embedding_shape=(1 << 20, 1, 1))


def test_a_canvas_is_bounded_by_the_pixels_and_belongs_to_its_model():
    config = DecoderConfig((4, 2, 3), (3, 2, 2), (9, 8, 7, 6), (1, 3, 5), 0, "canvas", None, (2, 3, 0))
    assert config.canvas_shape == (3, 12, 18)
    assert replace(config, canvas=(3, 4, 0)).canvas_shape == (4, 24, 36)
    for canvas in ((3, 5, 0), (1, 65, 0)):
        with pytest.raises(ValueError, match="more than 4 values a pixel"):
            replace(config, canvas=canvas)
    for canvas in ((0, 1, 0), (4, 1, 0), (1, 0, 0), (1, 1025, 0)):
        with pytest.raises(ValueError, match=r"not a block in 1\.\.3"):
            replace(config, canvas=canvas)
    assert replace(config, model="sprite", canvas=(2, 3, 8)).canvas_shape == (3, 12, 18)
    for model, levels in (("sprite", 9), ("sprite", -1), ("canvas", 1)):
        with pytest.raises(ValueError, match=f"a canvas of {levels} levels"):
            replace(config, model=model, canvas=(2, 3, levels))
    for model, canvas in (("pixel", (1, 1, 0)), ("canvas", None)):
        with pytest.raises(ValueError, match="canvas missing or extra"):
            replace(config, model=model, canvas=canvas)


def test_scenes_are_rising_numbers_of_a_segments_frames():
    config = CONFIGS["scenes"]
    assert [config.canvas_of(frame) for frame in (0, 1, 5)] == [0, 1, 1]
    assert config.canvas_values == 2 * prod(config.canvas_shape)
    for scenes in ((0,), (2, 2), (3, 2), (-1,), tuple(range(1, 1025))):
        with pytest.raises(ValueError, match="not fewer than 1024 rising numbers"):
            replace(config, scenes=scenes)
    with pytest.raises(ValueError, match="has one canvas at most"):
        replace(CONFIGS["canvas"], scenes=(1,))
    segment = arbitrary_segment(config)
    with pytest.raises(ValueError, match="a scene begins after the last of 2 frames"):
        replace(segment, config=replace(config, scenes=(2,)))
    data = write_stream(model_stream("scenes"))
    beyond = forge(data, b"INDX", lambda payload: payload[:-1] + b"\x02")  # the last byte says where it begins
    with pytest.raises(Corrupt, match="a scene begins after the last of 2 frames"):
        read_header(beyond)


def test_the_index_announces_at_least_the_embeddings():
    data = write_stream(tiny_stream())
    with pytest.raises(Corrupt, match="4 values are not the embeddings of 2 frames"):
        read_header(forge(data, b"INDX", lambda payload: payload.replace(b"\x02\x44", b"\x02\x04")))


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ((1, 256 * 8 + 1), b"\x00\x01\x87\x08" + bytes(4)),  # symbols under a table
        ((1, 10), b"\x00\x80\x08\x87\x08" + bytes(58)),  # a wide table: 1024 / 16 bytes
        ((1, 64 * 64 + 1), b"\x00\x80\x08\x87\x08" + bytes(59)),  # symbols under one
    ],
    ids=["symbols", "span", "symbols in a wide table"],
)
def test_work_is_bounded_by_bytes(shape, data):
    grid = Grid(shape, 16, np.ones(1, np.float16), np.zeros(1, np.float16), None)
    with pytest.raises(LimitExceeded, match="more work than the limit"):
        decode_tensor(Coder.CURVE, data, grid)
    assert len(decode_tensor(Coder.CURVE, data + bytes(1), grid)) == shape[1]  # zeros change nothing


def test_runs_of_symbols_are_bounded_by_bytes():
    """Rows times classes: each is a call of its own."""
    head = b"\x01\x01" + b"\x01\x02\x05\x00" + b"\x00\x00" * 2
    grid = Grid((8, 1), 8, np.ones(1, np.float16), np.zeros(1, np.float16), None)
    with pytest.raises(LimitExceeded, match="that of 28 bytes"):
        decode_tensor(Coder.DIFFERENCE, head, grid)
    assert decode_tensor(Coder.DIFFERENCE, head + bytes(18), grid).tolist() == [(5 - 128 * i) % 256 for i in range(8)]


def test_sparse_tensors_are_padded_to_what_their_work_takes():
    symbols = np.zeros(100_000, np.uint16)
    symbols[::9000] = 3
    numbers = np.ones(1, np.float16)
    sparse = QuantizedTensor("sparse", (100, 1000), 8, symbols, numbers, numbers)
    coder, data = encode_tensor(sparse)
    assert 100_000 / 256 <= len(data) < 400
    grid = Grid(sparse.shape, 8, numbers, numbers, None)
    assert np.array_equal(decode_tensor(coder, data, grid), symbols)
    segment = replace(tiny_stream().segments[0], tensors=(sparse, tensor("more", (3, 5))))
    assert payload_of(write_segment(segment).section)


@pytest.mark.parametrize(
    ("coder", "front"),
    [
        (Coder.CURVE, b"\x00\x01\x87\x08"),
        (Coder.CENTRED, b"\x00\xff\xff\x03\x87\x08"),
        (Coder.DIFFERENCE, b"\x00\x01\x02\x05\x00\x00\x01\x87\x08"),
        (Coder.DIFFERENCE, b"\x00\x01\x02\x05\x00\x00\x00"),
        (Coder.DIFFERENCE, b"\x03\x01\x02\x03\x01\x02\x05\x00" + bytes(8)),
    ],
)
def test_a_small_tensor_of_many_symbols_is_refused_before_they_are_decoded(coder, front, monkeypatch):
    """256 kB that claim 2**28 symbols: under a table, a wide one, or in rows with classes."""
    monkeypatch.setattr("snerv_codec.bitstream.rangecoder.RangeDecoder.take", None)
    grid = Grid((1 << 22, 64), 16, np.ones(64, np.float16), np.zeros(64, np.float16), 1)
    with pytest.raises(LimitExceeded, match="more work than the limit"):
        decode_tensor(coder, front.ljust(1 << 18, b"\0"), grid)


def test_a_decoder_may_not_be_far_larger_than_the_video():
    """Its frames are computed whole, so their pixels are bounded by those that somebody sees."""
    config = tiny_stream().segments[0].config  # 16 x 16
    check_covers(replace(config, strides=(8, 4, 2, 4, 1)), 16, 16)  # 512 x 512
    with pytest.raises(ValueError, match="a 1024x1024 decoder is too large for 16x16 frames"):
        check_covers(replace(config, strides=(8, 4, 2, 4, 2)), 16, 16)
    data = write_stream(tiny_stream())
    large = forge(
        data, b"INDX", lambda payload: payload.replace(b"\x05\x02\x02\x02\x01\x01", b"\x05\x08\x04\x02\x04\x02")
    )
    with pytest.raises(Corrupt, match="is too large for 16x16 frames"):
        read_header(large)
