"""Files are what SPEC.md says: a second decoder, written from it alone, reads them, the golden ones to pixels."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from independent import files, network
from stream_samples import rich_stream
from stream_strategies import streams

from snerv_codec.bitstream.container import StreamFile, write_stream
from snerv_codec.bitstream.models import UnknownModel
from snerv_codec.bitstream.types import NncTensors

GOLDEN = Path(__file__).parents[1] / "golden"
PIXELS = {
    "video": "video.npz",
    "t": "t.npy",
    "t2d": "t2d.npy",
    "pixel": "pixel.npy",
    "canvas": "canvas.npy",
    "sprite": "sprite.npy",
    "scenes": "scenes.npy",
    "mixed": "mixed.npy",
}


def test_the_second_decoder_is_independent():
    for path in Path(files.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"bitstream", "snerv_codec", "torch", "constriction"}


def require_same(data):
    """Both readers find the same in a file."""
    found = files.read(data)
    with StreamFile(data) as file:
        header = file.header
        assert (header.version, header.summary) == (found.version, found.summary)
        require_same_video(header.video, found.video)
        for i, (entry, there) in enumerate(zip(header.segments, found.segments, strict=True)):
            assert (entry.frame_count, entry.offset, entry.length) == (there.frames, there.offset, there.size)
            assert (entry.tensor_count, entry.value_count) == (there.tensor_count, there.value_count)
            if there.config is None:
                assert entry.config == UnknownModel(there.model, there.blob)
            else:
                require_same_segment(file.read_segment(i), there)
        for track, there in zip(file.read_tracks(), found.tracks, strict=True):
            packets = [(p.data, p.pts, p.dts, p.duration, p.keyframe) for p in track.packets]
            assert packets == there.packets
            for name in set(vars(there)) - {"packets"}:
                assert getattr(track, name) == getattr(there, name), name
        require_same_extras(file.read_extras(), found.extras)


def require_same_extras(extras, found):
    assert extras.tags == found.tags
    assert [(chapter.start, chapter.end, chapter.title) for chapter in extras.chapters] == found.chapters
    assert found.mastering == (extras.mastering and (*extras.mastering.points, *extras.mastering.luminance))
    assert found.light == (extras.light and (extras.light.brightest, extras.light.average))
    assert [(each.name, each.media_type, each.data) for each in extras.attachments] == found.attachments


def require_same_video(video, found):
    for name, value in vars(found).items():
        if name == "color":
            assert (video.color.primaries, video.color.transfer, video.color.matrix) == value
        elif name == "full_range":
            assert video.color.full_range == value
        elif name == "timestamps":
            assert tuple(video.timestamps) == value
        else:
            assert getattr(video, name) == value, name


def require_same_segment(segment, found):
    for name, value in vars(found.config).items():
        assert getattr(segment.config, name) == value, name
    assert segment.side.tolist() == found.side
    assert segment.frame_checksums == found.checksums
    for tensor, there in zip(segment.all_tensors, (*found.weights, *found.embeddings), strict=True):
        plain = ("name", "shape", "bits", "axis")
        assert [getattr(tensor, key) for key in plain] == [getattr(there, key) for key in plain]
        assert tensor.scales.tolist() == there.scales
        assert tensor.offsets.tolist() == there.offsets
        assert tensor.symbols.tolist() == there.symbols


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.snrv")), ids=lambda path: path.stem)
def test_both_readers_find_the_same_in_golden_files(path):
    require_same(path.read_bytes())


@settings(max_examples=30, deadline=None)
@given(streams())
def test_both_readers_find_the_same_in_any_file(stream):
    require_same(write_stream(stream))


@pytest.mark.parametrize("name", PIXELS)
def test_the_second_decoder_makes_the_golden_pixels(name):
    loaded = np.load(GOLDEN / PIXELS[name])
    expected = iter(loaded["arr_0"] if PIXELS[name].endswith(".npz") else loaded)
    found = files.read((GOLDEN / f"{name}.snrv").read_bytes())
    for segment in found.segments:
        if segment.config is None:
            continue
        tensors = {tensor.name: network.values(tensor) for tensor in segment.weights}
        embeddings = [network.values(tensor) for tensor in segment.embeddings]
        for i in range(segment.frames):
            own = [values[i] for values in embeddings]
            decoded = network.decode(segment.config, tensors, own, segment.side[i], i)
            pixels = network.pixels(decoded, found.video.height, found.video.width).astype(int)
            difference = np.abs(pixels - next(expected))
            assert difference.max() <= 1
            assert (difference > 0).mean() < 0.01
    assert next(expected, None) is None


def test_an_nnc_bitstream_is_found_before_the_checksums():
    stream, shapes = rich_stream(), (("w", (3, 4)), ("b", (3,)))
    coded = NncTensors(shapes, b"standard bitstream")
    data = write_stream(replace(stream, segments=tuple(replace(s, tensors=(), nnc=coded) for s in stream.segments)))
    for segment, there in zip(stream.segments, files.read(data).segments, strict=True):
        assert (there.nnc, there.checksums) == (coded.data, segment.frame_checksums)
        assert [(tensor.name, tensor.shape) for tensor in there.weights] == list(shapes)
        assert [tensor.symbols for tensor in there.embeddings] == [e.symbols.tolist() for e in segment.embeddings]
