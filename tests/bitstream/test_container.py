import subprocess
import sys
import zlib
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_samples import rich_stream, temporal_stream, tensor, tiny_stream

import bitstream.errors
from bitstream import container
from bitstream.container import StreamFile, read_header, read_stream, write_stream
from bitstream.drafts import encode_tensor
from bitstream.errors import BitstreamError, Corrupt, LimitExceeded, NotAStream, Truncated, UnsupportedVersion
from bitstream.indexsection import read_index
from bitstream.sections import SIGNATURE, VERSION, write_prologue, write_section
from bitstream.types import Color, DecoderConfig, Packet, Segment, SideTrack, Stream, VideoInfo


@st.composite
def videos(draw, frames):
    ratio = st.builds(Fraction, st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1))
    steps = st.one_of(st.integers(1, 9).map(lambda s: [s] * frames), st.lists(st.integers(1, 2**40), min_size=frames))
    start = draw(st.integers(-(2**61), 2**61))
    times = start + np.cumsum([0, *draw(steps)][:frames], dtype=object)
    byte = st.integers(0, 255)
    return VideoInfo(
        width=draw(st.integers(16, 64)),
        height=draw(st.integers(16, 32)),
        time_base=draw(ratio),
        timestamps=tuple(int(t) for t in times),
        final_duration=draw(st.integers(1, 2**61)),
        rate=draw(ratio),
        pixel_aspect=draw(ratio),
        rotation=draw(st.sampled_from([0, 90, 180, 270])),
        bit_depth=draw(st.integers(1, 16)),
        chroma=draw(st.sampled_from(["400", "420", "422", "444", "rgb"])),
        color=Color(draw(byte), draw(byte), draw(byte), draw(st.sampled_from([None, False, True]))),
    )


@st.composite
def streams(draw):
    segments, first_frame = [], 0
    shapes = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)
    for _ in range(draw(st.integers(1, 3))):
        frames = draw(st.integers(1, 3))
        names = draw(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=4, unique=True))
        tensors = []
        for name in names:
            shape = draw(shapes)
            axis = draw(st.one_of(st.none(), st.integers(0, len(shape) - 1)))
            tensors.append(tensor(name, shape, draw(st.integers(1, 16)), axis))
        model = draw(st.sampled_from(["b", "t", "t2d"]))
        temporal = None if model == "b" else draw(st.sampled_from([(3, 4, 8), (1, 2, 4), (2, 1, 2)]))
        width, blocks = draw(st.integers(1, 99)), draw(st.integers(0, 9))
        config = DecoderConfig((3, 1, 2), (2, 2, 2, 2, 1), width, blocks, model, temporal)
        checksums = tuple(range(frames)) if draw(st.booleans()) else ()
        embeddings = tuple(tensor(f"e{i}", (frames, *shape), 6) for i, shape in enumerate(config.embedding_shapes))
        ranges = np.array(draw(st.lists(st.floats(0, 2, width=16), min_size=2 * frames, max_size=2 * frames)))
        ranges = ranges.astype(np.float16).reshape(frames, 2)
        segments.append(Segment(first_frame, config, tuple(tensors), embeddings, ranges, checksums))
        first_frame += frames
    small = st.integers(-(2**40), 2**40)
    packet = st.builds(Packet, st.binary(max_size=9), small, small, small, st.booleans())
    track = st.builds(
        SideTrack,
        st.sampled_from(["audio", "subtitle"]),
        st.text(max_size=9),
        st.binary(max_size=9),
        st.just(Fraction(1, 48000)),
        st.lists(packet, max_size=4).map(tuple),
        st.text(max_size=3),
    )
    tracks = draw(st.lists(track, max_size=2).map(tuple))
    return Stream(draw(videos(first_frame)), tuple(segments), tracks, draw(st.text(max_size=30)))


@settings(max_examples=60, deadline=None)
@given(streams())
def test_what_is_written_is_read(stream):
    assert read_stream(write_stream(stream)) == stream


def test_rich_and_tiny_streams_come_back():
    for stream in (rich_stream(), tiny_stream()):
        assert read_stream(write_stream(stream)) == stream


def test_random_access_reads_no_other_segment(tmp_path):
    stream, path = rich_stream(), tmp_path / "video.snrv"
    data = bytearray(write_stream(stream))
    first = next(s for s in container.SectionFile(container.BytesIO(data)).sections if s.type == b"SEGM")
    data[first.offset + 40] ^= 1  # the first segment is damaged
    path.write_bytes(data)
    with StreamFile(path) as file:
        assert file.read_segment(1) == stream.segments[1]
        assert file.read_tracks() == stream.tracks
        for damaged in (lambda: file.read_segment(0), file.verify, file.read_stream):
            with pytest.raises(Corrupt, match="checksum"):
                damaged()
        with pytest.raises(IndexError):
            file.read_segment(2)


def test_the_header_says_what_the_file_holds(tmp_path, monkeypatch):
    stream, path = rich_stream(), tmp_path / "video.snrv"
    path.write_bytes(write_stream(stream))
    monkeypatch.setattr(container, "read_segment", None)
    header = read_header(path)
    assert (header.version, header.video, header.summary) == (VERSION, stream.video, stream.summary)
    assert header.file_size == path.stat().st_size
    assert [(e.first_frame, e.frame_count, e.config) for e in header.segments] == [
        (s.first_frame, s.frame_count, s.config) for s in stream.segments
    ]
    assert [e.tensor_count for e in header.segments] == [6, 6]
    assert header.segments[0].value_count == 48 + 12 + 2 * 1296 + 300 + 24
    sound = header.tracks[0]
    assert (sound.kind, sound.codec, sound.language) == ("audio", "aac", "eng")
    assert (sound.packet_count, sound.data_size, sound.duration) == (4, 6, Fraction(4096, 48000))
    names = ["INFO", "INDX", "SEGM", "SEGM", "text", "trak", "pdat", "trak", "pdat", "DONE"]
    assert [section.name for section in header.sections] == names
    assert sum(section.size + 17 for section in header.sections) + 14 == header.file_size


def with_index_end(stream, end):
    """The file of `stream` with other last bytes in the payload of its index."""
    info, index, *rest = sections_of(write_stream(stream))
    payload = index[13:-4]
    changed = write_section(b"INDX", payload[: len(payload) - len(end)] + end)
    return write_prologue() + b"".join((info, changed, *rest))


def test_temporal_models_need_their_embeddings_and_a_shape_that_fits():
    stream = temporal_stream()
    assert read_stream(write_stream(stream)) == stream
    segment = stream.segments[0]
    assert with_index_end(stream, b"\x03\x02\x02") == write_stream(stream)
    for end in (b"\x03\x02\x01", b"\x03\x03\x03", b"\x03\x08\x08", b"\x03\x00\x02", b"\x00\x02\x02"):
        with pytest.raises(Corrupt, match="temporal shape|embedding shape"):
            read_stream(with_index_end(stream, end))
    with pytest.raises(Corrupt, match="embeddings"):  # another shape than the tensor has
        read_stream(with_index_end(stream, b"\x03\x04\x04"))
    payload, plain = container.write_segment(segment), replace(segment.config, model="b", temporal_shape=None)
    with pytest.raises(Corrupt, match="2 tensors of embeddings where the segment's model has 1"):
        container.read_segment(payload, 0, 2, plain)
    with pytest.raises(ValueError, match="embeddings"):
        replace(segment, embeddings=segment.embeddings[:1])
    with pytest.raises(ValueError, match="temporal embeddings missing or extra"):
        replace(segment.config, model="b")
    with pytest.raises(ValueError, match="temporal embeddings missing or extra"):
        replace(segment.config, temporal_shape=None)


def test_a_model_of_the_future_is_named_as_such():
    data = bytearray(sections_of(write_stream(tiny_stream()))[1][13:-4])
    data[6] = 3  # the model byte of the worked example
    with pytest.raises(UnsupportedVersion, match="decoder model 3"):
        read_index(bytes(data))


def sections_of(data):
    table = container.SectionFile(container.BytesIO(data)).sections
    return [data[s.offset : s.end] for s in table]


def test_unknown_sections():
    data = write_stream(tiny_stream())
    *parts, end = sections_of(data)
    assemble = lambda *extra: b"".join((write_prologue(), *parts, *extra, end))  # noqa: E731
    assert assemble() == data
    assert read_stream(assemble(write_section(b"newt", b"anything"))) == tiny_stream()
    with pytest.raises(UnsupportedVersion, match="NEWT"):
        read_stream(assemble(write_section(b"NEWT", b"")))
    for bad in (b"n3wt", b"\0\0\0\0", b"\xff\xff\xff\xff"):
        with pytest.raises(Corrupt):
            read_stream(assemble(write_section(bad, b"")))


def test_sections_with_unknown_flags_are_of_an_unknown_type():
    stream = rich_stream()
    parts = sections_of(write_stream(stream))

    def flagged(name):
        changed = [with_flags(part, 1) if part.startswith(name) else part for part in parts]
        return read_stream(write_prologue() + b"".join(changed))

    assert flagged(b"text") == replace(stream, summary="")
    with pytest.raises(Corrupt, match="packets are missing"):
        flagged(b"trak")  # theirs are of a known type and belong to none
    for name in (b"INFO", b"INDX", b"SEGM", b"DONE"):
        with pytest.raises(UnsupportedVersion, match=f"{name.decode()}, flags 1"):
            flagged(name)
    parts = [with_flags(part, 1) if part[:4] in (b"trak", b"pdat") else part for part in parts]
    assert read_stream(write_prologue() + b"".join(parts)) == replace(stream, tracks=())


def with_flags(section, flags):
    changed = section[:4] + bytes([flags]) + section[5:-4]
    return changed + zlib.crc32(changed).to_bytes(4, "little")


def test_versions():
    body = write_stream(tiny_stream())[14:]

    def read(major, minor):
        start = SIGNATURE + bytes((major, minor))
        return read_stream(start + zlib.crc32(start).to_bytes(4, "little") + body)

    assert read(1, 9) == tiny_stream()
    for major in (0, 2):
        with pytest.raises(UnsupportedVersion, match=f"version {major}.0"):
            read(major, 0)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x8fSNRV\n\x1a", b"SNRV" * 99])
def test_other_files_are_not_streams(data):
    with pytest.raises(NotAStream):
        read_stream(data)


def test_sections_out_of_place():
    info, index, segment, text, end = sections_of(write_stream(tiny_stream()))
    track = write_section(b"trak", b"")
    for order in (
        (index, info, segment, end),
        (info, index, end),
        (info, index, segment, segment, end),
        (info, index, text, segment, end),
        (info, info, index, segment, end),
        (info, index, segment, index, end),
        (info, index, segment, text, text, end),
        (info, index, segment, track, end),
        (info, index, segment, write_section(b"pdat", b""), track, end),
        (info, index, segment, write_section(b"text", b"\xff"), end),
        (info, index, segment, write_section(b"text", b""), end),
        (info, index, segment, write_section(b"DONE", b"!")),
        (info, index, segment, end, b"!"),
        (end,),
    ):
        with pytest.raises(Corrupt):
            read_stream(write_prologue() + b"".join(order))
    with pytest.raises(Truncated):
        read_stream(write_prologue() + info + index + segment)


def test_the_writer_keeps_the_readers_limits(monkeypatch):
    stream = tiny_stream()
    segment = stream.segments[0]
    for bad in (
        replace(stream, summary="x" * (container.MAX_SUMMARY + 1)),
        replace(stream, tracks=(SideTrack("audio", "c" * 256, b"", Fraction(1), ()),)),
        replace(stream, segments=(replace(segment, tensors=(tensor("zero", (2**20,), 1, None),)),)),
    ):
        if bad.segments[0] is not segment:
            zero = bad.segments[0].tensors[0]
            zero.symbols[:] = 0
        with pytest.raises(LimitExceeded):
            write_stream(bad)


def test_a_stream_too_large_for_memory_is_refused(monkeypatch):
    monkeypatch.setattr(container, "MAX_LOADED_VALUES", 60)
    with pytest.raises(LimitExceeded):
        read_stream(write_stream(tiny_stream()))


def test_overhead_is_small():
    """A network of 120 tensors and 50,000 parameters: what is not symbols, grids or LL ranges."""
    names = [
        f"mfu.{i // 60}.residuals.{i % 60 // 4}.conv{i % 4 // 2 + 1}.{('weight', 'bias')[i % 2]}" for i in range(120)
    ]
    tensors = tuple(tensor(n, (12, 6, 3, 3) if n.endswith("t") else (12,)) for n in names)
    segment = replace(tiny_stream().segments[0], tensors=tensors)
    data = write_stream(replace(tiny_stream(), segments=(segment,)))
    assert sum(len(t.symbols) for t in tensors) < 50_000
    payload = sum(len(encode_tensor(t)[1]) for t in (*tensors, *segment.embeddings))
    assert len(data) - payload - 4 * 121 - 4 * 2 < 800


def test_errors_have_these_names():
    names = {n for n, v in vars(bitstream.errors).items() if isinstance(v, type) and issubclass(v, Exception)}
    assert names == {
        "BitstreamError",
        "NotAStream",
        "UnsupportedVersion",
        "Truncated",
        "Corrupt",
        "LimitExceeded",
        "MissingExtra",
    }
    assert all(issubclass(getattr(bitstream.errors, name), BitstreamError) for name in names)


def test_importing_the_package_loads_no_network_library():
    code = "import bitstream, bitstream.container, sys; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'numpy'" in loaded
    assert not {"'torch'", "'snerv_codec'", "'av'", "'nncodec'"} & set(loaded.strip("[]\n").split(", "))
