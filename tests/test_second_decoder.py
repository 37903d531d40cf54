"""Files are what SPEC.md says: a second decoder, written from it alone, reads the golden ones down to their pixels."""

import ast
from pathlib import Path

import numpy as np
import pytest
from independent import files, network

from bitstream.container import StreamFile

GOLDEN = Path(__file__).parent / "golden"
PIXELS = {"video": "video.npz", "t": "t.npy", "t2d": "t2d.npy"}


def test_the_second_decoder_is_independent():
    for path in Path(files.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"bitstream", "snerv_codec", "torch", "constriction"}


def equal(tensor, found):
    """Whether the package's tensor and the second reader's are the same."""
    return (
        (tensor.name, tensor.shape, tensor.bits, tensor.axis) == (found.name, found.shape, found.bits, found.axis)
        and tensor.scales.tolist() == found.scales
        and tensor.offsets.tolist() == found.offsets
        and tensor.symbols.tolist() == found.symbols
    )


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.snrv")), ids=lambda path: path.stem)
def test_both_readers_find_the_same_in_golden_files(path):
    found = files.read(path.read_bytes())
    with StreamFile(path) as file:
        header = file.header
        assert header.version == found.version
        assert header.summary == found.summary
        video = header.video
        for name, value in vars(found.video).items():
            if name == "color":
                assert (video.color.primaries, video.color.transfer, video.color.matrix) == value
            elif name == "full_range":
                assert video.color.full_range == value
            else:
                assert getattr(video, name) == value, name
        for entry, there in zip(header.segments, found.segments, strict=True):
            assert (entry.frame_count, entry.offset, entry.length) == (there.frames, there.offset, there.size)
            assert (entry.tensor_count, entry.value_count) == (there.tensor_count, there.value_count)
        for i, there in enumerate(found.segments):
            if there.config is None:
                assert (header.segments[i].config.number, header.segments[i].config.data) == (there.model, there.blob)
                continue
            segment = file.read_segment(i)
            for name, value in vars(there.config).items():
                assert getattr(segment.config, name) == value, name
            assert all(map(equal, segment.tensors, there.weights))
            assert all(map(equal, segment.embeddings, there.embeddings))
            assert len(segment.tensors) == len(there.weights)
            assert len(segment.embeddings) == len(there.embeddings)
            assert segment.side.tolist() == there.side
            assert segment.frame_checksums == there.checksums
        for track, there in zip(file.read_tracks(), found.tracks, strict=True):
            packets = [(p.data, p.pts, p.dts, p.duration, p.keyframe) for p in track.packets]
            assert packets == there.packets
            for name in ("kind", "codec", "language", "time_base", "description"):
                assert getattr(track, name) == getattr(there, name), name


@pytest.mark.parametrize("name", PIXELS)
def test_the_second_decoder_makes_the_golden_pixels(name):
    loaded = np.load(GOLDEN / PIXELS[name])
    expected = loaded["arr_0"] if PIXELS[name].endswith(".npz") else loaded
    found = files.read((GOLDEN / f"{name}.snrv").read_bytes())
    (segment,) = found.segments
    tensors = {tensor.name: network.values(tensor) for tensor in segment.weights}
    embeddings = [network.values(tensor) for tensor in segment.embeddings]
    assert len(expected) == segment.frames
    for i, frame in enumerate(expected):
        decoded = network.decode(segment.config, tensors, [values[i] for values in embeddings], segment.side[i])
        difference = np.abs(network.pixels(decoded, found.video.height, found.video.width).astype(int) - frame)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01
