"""Streams that the tests share."""

from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from math import prod

import numpy as np

from snerv_codec.bitstream.container import StreamWriter
from snerv_codec.bitstream.extras import Attachment, Chapter, Extras, Light, Mastering
from snerv_codec.bitstream.models import DecoderConfig, UnknownModel
from snerv_codec.bitstream.sections import write_section
from snerv_codec.bitstream.segmentsection import CodedSegment, write_segment
from snerv_codec.bitstream.types import Color, Packet, QuantizedTensor, Segment, SideTrack, Stream, VideoInfo


def tensor(name: str, shape: tuple[int, ...], bits: int = 8, axis: int | None = None) -> QuantizedTensor:
    """A tensor with bell-shaped symbols that depend on its name and shape alone."""
    count, top = prod(shape), (1 << bits) - 1
    mix = np.arange(count, dtype=np.int64) * 2654435761 + 977 * len(name)
    bell = sum((mix >> shift) % 16 for shift in (4, 9, 13, 17))
    grids = 1 if axis is None else shape[axis]
    return QuantizedTensor(
        name=name,
        shape=shape,
        bits=bits,
        symbols=(bell * top // 60).astype(np.uint16),
        scales=np.linspace(0.01, 0.02, grids).astype(np.float16),
        offsets=np.linspace(-1, -0.5, grids).astype(np.float16),
        axis=axis,
    )


def tiny_stream() -> Stream:
    """The stream of the worked example in SPEC.md: two frames of 16x16."""
    symbols = np.full(64, 7, np.uint16)
    symbols[[9, 30, 31, 50]] = 8, 6, 9, 8
    half = np.array([0.5], np.float16)
    weight = QuantizedTensor("stem.weight", (2, 32), 8, symbols, half, -half)
    embeddings = QuantizedTensor("embeddings", (2, 2, 1, 1), 6, np.array([1, 63, 0, 2], np.uint16), half, -half)
    segment = Segment(
        first_frame=0,
        config=DecoderConfig((2, 1, 1), (2, 2, 2, 1, 1), (12,) * 6, (1, 3, 5, 5, 5), 0),
        tensors=(weight,),
        embeddings=(embeddings,),
        side=np.array([[0, 1], [0.25, 2]], np.float16),
    )
    video = VideoInfo(16, 16, Fraction(1, 25), (0, 1), 1, Fraction(25))
    return Stream(video, (segment,), summary="hi")


def temporal_stream() -> Stream:
    """The tiny stream as model t."""
    stream = tiny_stream()
    segment = stream.segments[0]
    config = replace(segment.config, model="t", temporal_shape=(3, 2, 2))
    temporal = tensor("temporal", (2, 6, 2, 2), 6)
    return replace(stream, segments=(replace(segment, config=config, embeddings=(*segment.embeddings, temporal)),))


def rich_stream() -> Stream:
    """One of everything: two segments, checksums, grids along an axis, uneven times, two side tracks."""
    config = DecoderConfig((4, 1, 2), (2, 2, 2, 2, 1), (12,) * 6, (1, 3, 5, 5, 5), 1)
    first = Segment(
        first_frame=0,
        config=config,
        tensors=(
            tensor("stem.weight", (12, 4, 1, 1)),
            tensor("stem.bias", (12,)),
            tensor("mfu.0.residuals.0.conv1.weight", (12, 12, 3, 3), axis=0),
            tensor("mfu.0.residuals.0.conv2.weight", (12, 12, 3, 3), bits=5),
            QuantizedTensor("zero", (300,), 8, np.zeros(300, np.uint16), *np.zeros((2, 1), np.float16)),
        ),
        embeddings=(tensor("embeddings", (3, 4, 1, 2), bits=6),),
        side=np.array([[0, 2], [0.5, 1], [0.25, 1.5]], np.float16),
        frame_checksums=(0, 1, 0xFFFFFFFF),
    )
    second = replace(
        first,
        first_frame=3,
        embeddings=(tensor("embeddings", (1, 4, 1, 2), bits=16),),
        side=np.zeros((1, 2), np.float16),
        frame_checksums=(),
    )
    video = VideoInfo(
        width=60,
        height=30,
        time_base=Fraction(1, 90000),
        timestamps=(-3000, 3, 3003, 9009),
        final_duration=3003,
        rate=Fraction(30000, 1001),
        pixel_aspect=Fraction(4, 3),
        scan="bottom",
        bit_depth=10,
        chroma="422",
        color=Color(9, 16, 9, False),
    )
    packets = tuple(Packet(bytes(range(i)), 1024 * i, 1024 * i - 5, 1024, i % 2 == 0) for i in range(4))
    tracks = (
        SideTrack(
            kind="audio",
            codec="aac",
            description=b"\0header",
            time_base=Fraction(1, 48000),
            packets=packets,
            language="eng",
            roles=("default", "comment"),
            tags=(("title", "Réalisateur"),),
            sample_rate=48000,
            skip=1024,
            drop=300,
        ),
        SideTrack("subtitle", "subrip", b"", Fraction(1, 1000), (), roles=("forced", "descriptions")),
    )
    return Stream(video, (first, second), tracks, "two segments of everything", rich_extras())


def rich_extras() -> Extras:
    """One of everything."""
    return Extras(
        tags=(("title", "My film"), ("timecode", "01:00:00:00")),
        chapters=(Chapter(0, 40_000_000, "Intro"), Chapter(40_000_000, 80_000_000), Chapter(-5, 1 << 61, "x")),
        mastering=Mastering((34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450), (10_000_000, 50)),
        light=Light(1000, 400),
        attachments=(Attachment("a.ttf", "font/ttf", bytes(range(99))), Attachment("", "", b"")),
    )


def small_video(frames):
    """16x16 pixels, which every decoder of the samples covers."""
    return VideoInfo(16, 16, Fraction(1, 25), tuple(range(frames)), 1, Fraction(25))


def unknown_segment(frames=3, number=7, config=b"of the future", content=b"whatever"):
    """A segment of a model that nobody knows yet."""
    return CodedSegment(frames, UnknownModel(number, config), 5, 40, write_section(b"SEGM", content * 5))


def written(segments, **more):
    """The bytes of a file of these segments."""
    file = BytesIO()
    writer = StreamWriter(file.write, small_video(sum(segment.frame_count for segment in segments)), **more)
    for segment in segments:
        writer.add(segment)
    writer.finish()
    return file.getvalue()


def mixed():
    """The bytes of a file of three segments, of which nobody knows the middle one's model yet."""
    first, last = tiny_stream().segments[0], temporal_stream().segments[0]
    return written([write_segment(first), unknown_segment(), write_segment(last)], summary="mixed")
