"""Segments as bytes: written as they come, copied from file to file, and passed over where their model is unknown."""

from dataclasses import replace
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from independent import files
from stream_samples import mixed, rich_stream, small_video, temporal_stream, tiny_stream, unknown_segment, written

from snerv_codec.bitstream.container import StreamFile, StreamWriter, read_stream, segment_bytes, write_stream
from snerv_codec.bitstream.errors import (
    BitstreamError,
    Corrupt,
    LimitExceeded,
    NotAStream,
    Truncated,
    UnsupportedVersion,
)
from snerv_codec.bitstream.models import LAYOUTS, UnknownModel
from snerv_codec.bitstream.segmentsection import write_segment


@pytest.fixture
def opened(tmp_path):
    """A function from a file's bytes to an open `StreamFile`."""
    still_open: list[StreamFile] = []

    def open_bytes(data):
        path = tmp_path / f"{len(still_open)}.snrv"
        path.write_bytes(data)
        still_open.append(StreamFile(path))
        return still_open[-1]

    yield open_bytes
    for file in still_open:
        file.close()


def test_a_segment_of_an_unknown_model_hides_no_other(opened):
    file = opened(mixed())
    assert [entry.frame_count for entry in file.header.segments] == [2, 3, 2]
    assert file.header.segments[1].config == UnknownModel(7, b"of the future")
    assert file.read_segment(0) == tiny_stream().segments[0]
    assert file.read_segment(2) == replace(temporal_stream().segments[0], first_frame=5)
    file.verify()
    for whole in (lambda: file.read_segment(1), file.read_stream):
        with pytest.raises(UnsupportedVersion, match=r"0\.snrv: .*decoder model 7 is not known"):
            whole()
    found = files.read(mixed())
    assert [segment.model for segment in found.segments] == [0, 7, 1]
    assert found.segments[1].blob == b"of the future"


def test_unknown_segments_are_copied_like_others(opened):
    source = opened(mixed())
    copied = [source.coded_segment(i) for i in range(3)]
    assert written(copied, summary="mixed") == mixed()
    alone = opened(written(copied[1:2]))
    assert alone.coded_segment(0) == copied[1] == unknown_segment()


def test_damage_to_unknown_segments_is_found():
    data = mixed()

    def check(data):
        with StreamFile(data) as file:
            file.verify()

    check(data)
    for size in range(len(data)):
        with pytest.raises((Truncated, NotAStream)):
            check(data[:size])
    for place in range(len(data)):
        for change in (1, 0x20, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[place] ^= change
            with pytest.raises(BitstreamError):
                check(bytes(damaged))


def test_damaged_segments_are_not_copied(opened):
    data = bytearray(mixed())
    file = opened(data)
    for entry in file.header.segments:
        data[entry.offset + 20] ^= 1
    damaged = opened(data)
    for i in range(3):
        with pytest.raises(Corrupt, match="checksum"):
            damaged.coded_segment(i)


def test_files_are_joined_and_split_without_coding_anything_again(opened):
    rich, tiny = rich_stream(), tiny_stream()
    sources = [opened(write_stream(stream)) for stream in (rich, tiny)]
    segments = [file.coded_segment(i) for file in sources for i in range(len(file.header.segments))]
    joined = read_stream(written(segments))
    expected = (*rich.segments, replace(tiny.segments[0], first_frame=4))
    assert joined.segments == expected
    for segment, original in zip(segments, expected, strict=True):
        part = read_stream(written([segment]))
        assert part.segments == (replace(original, first_frame=0),)


def test_an_unfinished_file_is_seen_to_be_truncated(tmp_path):
    path, segments = tmp_path / "unfinished.snrv", [write_segment(segment) for segment in rich_stream().segments]
    with path.open("wb") as file:
        writer = StreamWriter(file.write, small_video(4), rich_stream().tracks, "half")
        for segment in segments:
            file.flush()
            with pytest.raises(Truncated):
                StreamFile(path)
            writer.add(segment)
        file.flush()
        with pytest.raises(Truncated):
            StreamFile(path)
        writer.finish()
    with StreamFile(path) as whole:
        assert whole.read_stream().segments == rich_stream().segments


segments_as_bytes = st.lists(
    st.one_of(
        st.sampled_from([*rich_stream().segments, *tiny_stream().segments, *temporal_stream().segments]).map(
            write_segment
        ),
        st.builds(
            unknown_segment,
            frames=st.integers(1, 300),
            number=st.integers(len(LAYOUTS), (1 << 16) - 1),
            config=st.binary(max_size=200),
            content=st.binary(max_size=9),
        ),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(segments_as_bytes, st.text(max_size=9))
def test_what_is_added_is_found_by_both_readers(tmp_path_factory, segments, summary):
    data = written(segments, summary=summary)
    path = tmp_path_factory.mktemp("added") / "a.snrv"
    path.write_bytes(data)
    with StreamFile(path) as file:
        assert [file.coded_segment(i) for i in range(len(segments))] == segments
        file.verify()
    found = files.read(data)
    for segment, there in zip(segments, found.segments, strict=True):
        assert (segment.frame_count, segment.tensor_count, segment.value_count) == (
            there.frames, there.tensor_count, there.value_count,
        )  # fmt: skip
        assert data[there.offset : there.offset + there.size] == segment.section


@settings(max_examples=60, deadline=None)
@given(segments_as_bytes)
def test_the_size_of_a_file_is_known_before_it_is_written(segments):
    frames = sum(segment.frame_count for segment in segments)
    file = BytesIO()
    writer = StreamWriter(file.write, small_video(frames), rich_stream().tracks, "sizes")
    known = writer.rest(len(segments)) + sum(map(segment_bytes, segments))
    for segment in segments:
        writer.add(segment)
    writer.finish()
    assert len(file.getvalue()) == known


def test_configurations_have_a_limit():
    with pytest.raises(LimitExceeded):
        written([unknown_segment(config=bytes((1 << 12) + 1))])
    written([unknown_segment(config=bytes(1 << 12))])


def test_a_segment_may_have_three_to_six_blocks_and_any_odd_kernels(opened):
    segment = tiny_stream().segments[0]
    for strides in ((2, 2, 2), (2, 2, 2, 1), (2, 2, 2, 1, 1, 1)):
        widths, kernels = tuple(range(9, 10 + len(strides))), (15, 1, 3, 5, 7, 9)[: len(strides)]
        config = replace(segment.config, strides=strides, widths=widths, kernels=kernels)
        assert opened(written([write_segment(replace(segment, config=config))])).read_segment(0).config == config
