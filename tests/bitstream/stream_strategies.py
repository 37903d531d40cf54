"""Any stream that the format can hold."""

from fractions import Fraction
from typing import get_args

import numpy as np
from hypothesis import strategies as st
from stream_samples import tensor

from snerv_codec.bitstream.extras import Attachment, Chapter, Extras, Light, Mastering
from snerv_codec.bitstream.models import LAYOUTS, DecoderConfig
from snerv_codec.bitstream.types import (
    Color,
    Packet,
    Role,
    Segment,
    SideTrack,
    Stream,
    VideoInfo,
    in_role_order,
)


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
        scan=draw(st.sampled_from(["progressive", "top", "bottom"])),
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
        model = draw(st.sampled_from(sorted(LAYOUTS)))
        layout = LAYOUTS[model]
        temporal = draw(st.sampled_from([(3, 4, 8), (1, 2, 4), (2, 1, 2)])) if layout.temporal else None
        blocks = draw(st.integers(0, 9 if layout.fuses else 0))
        stages = draw(st.integers(max(layout.least_stages, 3), 6))
        strides = (
            2,
            2,
            8 // layout.scale,
            *draw(st.lists(st.integers(1, 2), min_size=stages - 3, max_size=stages - 3)),
        )
        widths = tuple(draw(st.lists(st.integers(1, 1024), min_size=stages + 1, max_size=stages + 1)))
        kernels = tuple(draw(st.lists(st.sampled_from(range(1, 16, 2)), min_size=stages, max_size=stages)))
        places = st.tuples(st.integers(1, stages), st.integers(1, 4), st.integers(0, 8 if layout.moving else 0))
        canvas = draw(places) if layout.canvas else None
        starts = st.lists(st.integers(1, frames - 1), unique=True, max_size=3) if frames > 1 else st.just([])
        scenes = tuple(sorted(draw(starts))) if layout.moving else ()
        config = DecoderConfig((3, 1, 2), strides, widths, kernels, blocks, model, temporal, canvas, scenes)
        checksums = tuple(range(frames)) if draw(st.booleans()) else ()
        embeddings = tuple(tensor(f"e{i}", (frames, *shape), 6) for i, shape in enumerate(config.embedding_shapes))
        count = layout.frame_values * frames
        ranges = np.array(draw(st.lists(st.floats(0, 2, width=16), min_size=count, max_size=count)))
        ranges = ranges.astype(np.float16).reshape(frames, layout.frame_values)
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
        st.sets(st.sampled_from(get_args(Role))).map(in_role_order),
        tags(),
        st.integers(1, 2**31 - 1),
        *2 * [st.integers(0, 2**31 - 1)],
    )
    tracks = draw(st.lists(track, max_size=2).map(tuple))
    return Stream(draw(videos(first_frame)), tuple(segments), tracks, draw(st.text(max_size=30)), draw(extras()))


def words(least=0):
    """Short texts without a zero character."""
    return st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=least, max_size=9)


def tags():
    return st.lists(st.tuples(words(1), words()), max_size=3).map(tuple)


def extras():
    """Tags, chapters, light levels and attachments of any values."""
    time = st.integers(-(2**62) + 1, 2**62 - 1)
    chapter = st.builds(lambda a, b, title: Chapter(min(a, b), max(a, b), title), time, time, words())
    wide = st.integers(0, 2**32 - 1)
    mastering = st.builds(Mastering, st.tuples(*8 * [st.integers(0, 50_000)]), st.tuples(wide, wide))
    light = st.builds(Light, *2 * [st.integers(0, 2**16 - 1)])
    attachment = st.builds(Attachment, words(), words(), st.binary(max_size=9))
    return st.builds(
        Extras,
        tags(),
        st.lists(chapter, max_size=3).map(tuple),
        st.none() | mastering,
        st.none() | light,
        st.lists(attachment, max_size=2).map(tuple),
    )
