"""Golden files of networks that were never fitted: of one model each, and of several models in one file.

Set REGENERATE_GOLDEN=1 to write them anew: only before the format is released.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from networks import CONFIGS, arbitrary_segment, model_stream, small_video

from snerv_codec import Decoder
from snerv_codec.bitstream.container import StreamFile, StreamWriter, write_stream
from snerv_codec.bitstream.errors import UnsupportedVersion
from snerv_codec.bitstream.models import DecoderConfig, UnknownModel
from snerv_codec.bitstream.sections import write_section
from snerv_codec.bitstream.segmentsection import CodedSegment, write_segment

GOLDEN = Path(__file__).parent / "golden"
REGENERATE = os.environ.get("REGENERATE_GOLDEN") == "1"
MIXED = GOLDEN / "mixed.snrv"
KNOWN = [0, 1, 5, 6]  # frames of mixed.snrv; nobody knows the model of those between
WIDE, FLAT = (7, 14, 9, 12), (6, 6, 6, 6, 6, 6, 6)


def mixed_segments():
    """Model "b" of three blocks, a model of the future, and model "t2d" of six blocks."""
    first = DecoderConfig((3, 1, 2), (2, 1, 4), WIDE, (3, 1, 7), 1)
    last = DecoderConfig((2, 1, 2), (2, 2, 1, 2, 1, 1), FLAT, (1,) * 6, 0, "t2d", (1, 2, 4))
    unknown = CodedSegment(3, UnknownModel(700, b"of the future"), 5, 40, write_section(b"SEGM", bytes(range(40))))
    return [write_segment(arbitrary_segment(first)), unknown, write_segment(arbitrary_segment(last))]


@pytest.mark.parametrize("name", CONFIGS)
def test_models_decode_to_what_they_did(name):
    path, expected = GOLDEN / f"{name}.snrv", GOLDEN / f"{name}.npy"
    if REGENERATE:
        path.write_bytes(write_stream(model_stream(name)))
        np.save(expected, Decoder(path, device="cpu")[:])
    with StreamFile(path) as file:
        assert file.read_stream() == model_stream(name)
    require_pictures(Decoder(path, device="cpu")[:], np.load(expected))


def test_several_models_in_one_file_decode_to_what_they_did():
    if REGENERATE:
        with MIXED.open("wb") as target:
            writer = StreamWriter(target.write, small_video(7), summary="three models")
            for segment in mixed_segments():
                writer.add(segment)
            writer.finish()
        with Decoder(MIXED, device="cpu") as decoder:
            np.save(MIXED.with_suffix(".npy"), np.stack([decoder[i] for i in KNOWN]))
    with StreamFile(MIXED) as file:
        assert [file.coded_segment(i) for i in range(3)] == mixed_segments()
        file.verify()
    with Decoder(MIXED, device="cpu") as decoder:
        frames = np.stack([decoder[i] for i in KNOWN])
        with pytest.raises(UnsupportedVersion, match=r"mixed\.snrv: decoder model 700 is not known"):
            decoder[3]
    expected = np.load(MIXED.with_suffix(".npy"))
    require_pictures(frames[:2], expected[:2])
    require_pictures(frames[2:], expected[2:])


def require_pictures(frames, expected):
    """The frames are as expected, which are two different pictures, and no plane."""
    frames, expected = frames.astype(int), expected.astype(int)
    assert expected.std() > 50
    assert np.abs(expected[0] - expected[1]).mean() > 5
    assert (expected % 255 == 0).mean() < 0.3
    assert np.abs(frames - expected).max() <= 1  # as SPEC.md allows between devices
