import pickle
import subprocess
import sys
import tracemalloc
import zlib
from dataclasses import replace
from fractions import Fraction
from io import BytesIO

import pytest
from hypothesis import given, settings
from stream_samples import rich_stream, temporal_stream, tensor, tiny_stream
from stream_strategies import streams

from snerv_codec.bitstream import container, errors
from snerv_codec.bitstream.container import (
    StreamFile,
    StreamWriter,
    read_header,
    read_stream,
    segment_bytes,
    write_stream,
)
from snerv_codec.bitstream.drafts import encode_tensor
from snerv_codec.bitstream.errors import (
    BitstreamError,
    Corrupt,
    LimitExceeded,
    NotAStream,
    Truncated,
    UnsupportedVersion,
)
from snerv_codec.bitstream.indexsection import read_index, write_index
from snerv_codec.bitstream.models import UnknownModel, write_config
from snerv_codec.bitstream.sections import (
    LIMITS,
    SIGNATURE,
    VERSION,
    SectionFile,
    payload_of,
    write_prologue,
    write_section,
)
from snerv_codec.bitstream.segmentsection import write_segment
from snerv_codec.bitstream.types import SideTrack


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
    first = next(s for s in SectionFile(BytesIO(data)).sections if s.type == b"SEGM")
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
    names = ["INFO", "text", "meta", "atch", "atch", "trak", "pdat", "trak", "pdat", "SEGM", "SEGM", "INDX", "DONE"]
    assert [section.name for section in header.sections] == names
    assert sum(section.size + 17 for section in header.sections) + 14 == header.file_size


def with_config(stream, change):
    """The file of `stream`, whose decoder configuration and its model's number are others."""
    *parts, index, end = sections_of(write_stream(stream))
    entries = read_index(payload_of(index))
    number, data = change(*write_config(entries[0].config))
    forged = write_section(b"INDX", write_index([replace(entries[0], config=UnknownModel(number, data))]))
    return write_prologue() + b"".join((*parts, forged, end))


def test_temporal_models_need_their_embeddings_and_a_shape_that_fits():
    stream = temporal_stream()
    assert read_stream(write_stream(stream)) == stream
    segment = stream.segments[0]
    ending = lambda end: with_config(stream, lambda number, data: (number, data[:-3] + end))  # noqa: E731
    assert ending(b"\x03\x02\x02") == write_stream(stream)
    for end in (b"\x03\x02\x01", b"\x03\x03\x03", b"\x03\x08\x08", b"\x03\x00\x02", b"\x00\x02\x02"):
        with pytest.raises(Corrupt, match="temporal shape|embedding shape"):
            read_stream(ending(end))
    with pytest.raises(Corrupt, match="embeddings"):  # another shape than the tensor has
        read_stream(ending(b"\x03\x04\x04"))
    with pytest.raises(Corrupt, match="2 tensors of embeddings where the segment's model has 1"):
        read_stream(with_config(stream, lambda number, data: (0, data[:-3])))
    with pytest.raises(ValueError, match="embeddings"):
        replace(segment, embeddings=segment.embeddings[:1])
    with pytest.raises(ValueError, match="temporal embeddings missing or extra"):
        replace(segment.config, model="b")
    with pytest.raises(ValueError, match="temporal embeddings missing or extra"):
        replace(segment.config, temporal_shape=None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strides": (2, 2)}, "strides"),
        ({"strides": (1,) * 7}, "strides"),
        ({"strides": (2, 2, 2, 1, 17)}, "strides"),
        ({"widths": (12,) * 5}, "widths"),
        ({"widths": (0, *(12,) * 5)}, "widths"),
        ({"widths": (1025, *(12,) * 5)}, "widths"),
        ({"kernels": (1, 3, 5, 5)}, "kernels"),
        ({"kernels": (1, 3, 5, 4, 5)}, "kernels"),
        ({"kernels": (1, 3, 5, 5, 17)}, "kernels"),
        ({"blocks": 65}, "blocks"),
        ({"embedding_shape": (1 << 20, 2, 1)}, "embedding shape"),
        ({"model": "x"}, "model 'x' is unknown"),
    ],
)
def test_configurations_that_make_no_decoder(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(tiny_stream().segments[0].config, **changes)


def test_a_segment_of_an_unknown_model_leaves_the_others_readable(tmp_path):
    stream, path, copy = rich_stream(), tmp_path / "video.snrv", tmp_path / "copy.snrv"
    *parts, index, end = sections_of(write_stream(stream))
    first, second = read_index(payload_of(index))
    unknown = UnknownModel(7, b"who knows")
    forged = write_section(b"INDX", write_index([replace(first, config=unknown), second]))
    path.write_bytes(write_prologue() + b"".join((*parts, forged, end)))
    with StreamFile(path) as file:
        assert [entry.config for entry in file.header.segments] == [unknown, second.config]
        assert file.read_segment(1) == stream.segments[1]
        file.verify()
        with pytest.raises(UnsupportedVersion, match=r"video.snrv: decoder model 7 is not known"):
            file.read_segment(0)
        with copy.open("wb") as target:
            writer = StreamWriter(target.write, file.header.video)
            for number in range(2):
                writer.add(file.coded_segment(number))
            writer.finish()
    assert read_header(copy).segments[0].config == unknown


def test_segments_are_copied_as_bytes(tmp_path):
    """The second segment of a file alone, and two files in one."""
    stream, path = rich_stream(), tmp_path / "video.snrv"
    path.write_bytes(write_stream(stream))
    with StreamFile(path) as file:
        first, second = file.coded_segment(0), file.coded_segment(1)
    assert first == write_segment(stream.segments[0])
    video = replace(stream.video, timestamps=(0, 1, 2, 3, 4))
    out = BytesIO()
    writer = StreamWriter(out.write, video)
    size = writer.rest(3) + sum(map(segment_bytes, (second, second, first)))
    assert size == len(written(video, second, second, first))
    writer.add(second)
    writer.add(second)
    with pytest.raises(ValueError, match="2 frames, the video 5"):
        writer.finish()
    writer.add(first)
    with pytest.raises(ValueError, match="a segment of 1 frames where the video has 0 left"):
        writer.add(second)
    writer.finish()
    segments = read_stream(out.getvalue()).segments
    expected = [(stream.segments[i], start) for i, start in ((1, 0), (1, 1), (0, 2))]
    assert list(segments) == [replace(segment, first_frame=start) for segment, start in expected]
    with pytest.raises(ValueError, match="a 32x32 decoder cannot make 60x33 frames|cannot make"):
        StreamWriter(BytesIO().write, replace(video, height=99)).add(first)


def written(video, *segments):
    out = BytesIO()
    writer = StreamWriter(out.write, video)
    for segment in segments:
        writer.add(segment)
    writer.finish()
    return out.getvalue()


def test_a_coded_segment_tells_its_symbols_and_takes_checksums_later():
    for segment in (*rich_stream().segments, *tiny_stream().segments, *temporal_stream().segments):
        coded = write_segment(segment)
        assert coded.tensor_bytes == {each.name: len(encode_tensor(each)[1]) for each in segment.all_tensors}
        assert coded.symbol_bytes == sum(coded.tensor_bytes.values())
        if not segment.frame_checksums:
            checksums = tuple(range(segment.frame_count))
            later = coded.with_checksums(checksums)
            assert later == write_segment(replace(segment, frame_checksums=checksums))
            assert pickle.loads(pickle.dumps(later)) == later
            with pytest.raises(ValueError, match="there are some already"):
                later.with_checksums(checksums)
        with pytest.raises(ValueError, match="checksums for"):
            coded.with_checksums((1,) * (segment.frame_count + 1))


def test_a_writer_holds_one_segment_at_a_time():
    """What it keeps of a segment is the entry in the index."""
    segment = replace(rich_stream().segments[1])
    large = replace(segment, tensors=tuple(tensor(f"t{i}", (64, 64, 16)) for i in range(8)))
    coded, count = write_segment(large), 50
    video = replace(rich_stream().video, timestamps=tuple(range(count)))
    tracemalloc.start()
    writer = StreamWriter(lambda data: None, video)
    for _ in range(count):
        writer.add(coded.with_checksums((0,)))
    writer.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * len(coded.section)


def sections_of(data):
    table = SectionFile(BytesIO(data)).sections
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
    for name in (b"INFO", b"SEGM", b"INDX", b"DONE"):
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

    assert read(2, 9) == tiny_stream()
    for major in (0, 1, 3):
        with pytest.raises(UnsupportedVersion, match=rf"version {major}.0; this reader knows 2\.x"):
            read(major, 0)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x8fSNRV\n\x1a", b"SNRV" * 99])
def test_other_files_are_not_streams(data):
    with pytest.raises(NotAStream):
        read_stream(data)


def test_sections_out_of_place():
    info, text, segment, index, end = sections_of(write_stream(tiny_stream()))
    track, early = write_section(b"trak", b""), write_section(b"INDX", moved_index(index, len(index)))
    for order in (
        (text, info, segment, index, end),
        (info, text, index, segment, end),
        (info, text, early, segment, write_section(b"DONE", (0x46).to_bytes(8, "little"))),
        (info, text, segment, end),
        (info, text, index, end),
        (info, text, segment, segment, index, end),
        (info, text, segment, write_section(b"newt", b""), index, end),
        (info, info, text, segment, index, end),
        (info, text, segment, index, index, end),
        (info, text, segment, index, write_section(b"DONE", b"")),
        (info, text, segment, index, write_section(b"DONE", (0xA1).to_bytes(9, "little"))),
        (info, text, segment, index, write_section(b"DONE", (0xA0).to_bytes(8, "little"))),
        (info, text, segment, index, end, b"!"),
        (end,),
        *(
            (info, *others, text, segment, moved, write_section(b"DONE", at.to_bytes(8, "little")))
            for others in (
                (text,),
                (track,),
                (write_section(b"pdat", b""), track),
                (write_section(b"text", b"\xff"),),
                (write_section(b"text", b""),),
            )
            for shift in (sum(map(len, others)),)
            for moved, at in ((write_section(b"INDX", moved_index(index, shift)), 0xA1 + shift),)
        ),
    ):
        with pytest.raises((Corrupt, LimitExceeded)):
            read_stream(write_prologue() + b"".join(order))
    with pytest.raises(Truncated):
        read_stream(write_prologue() + info + text + segment + index)


def moved_index(index, shift):
    """The payload of an index whose segments lie `shift` bytes further on."""
    entries = read_index(payload_of(index))
    return write_index([replace(entry, offset=entry.offset + shift) for entry in entries])


def test_the_writer_keeps_the_readers_limits(monkeypatch):
    stream = tiny_stream()
    segment = stream.segments[0]
    for bad in (
        replace(stream, summary="x" * (LIMITS[b"text"] + 1)),
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
    names = {n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, Exception)}
    assert names == {
        "BitstreamError",
        "NotAStream",
        "UnsupportedVersion",
        "Truncated",
        "Corrupt",
        "Damaged",
        "LimitExceeded",
        "MissingExtra",
    }
    assert all(issubclass(getattr(errors, name), BitstreamError) for name in names)


def test_importing_the_package_loads_no_network_library():
    code = "import bitstream, bitstream.container, sys; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'numpy'" in loaded
    assert not {"'torch'", "'snerv_codec'", "'av'", "'nncodec'"} & set(loaded.strip("[]\n").split(", "))
