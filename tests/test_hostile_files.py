"""Forged files on the main path: one clear error from `decode`, never another kind of exception."""

from dataclasses import replace
from fractions import Fraction

import pytest

from snerv_codec import decode
from snerv_codec.bitstream.container import read_stream, write_stream
from snerv_codec.bitstream.errors import Corrupt
from snerv_codec.bitstream.types import Packet, SideTrack
from snerv_codec.errors import ResourceError


def forged(coded, path, video, **packet):
    """The file with other values of the video, and one packet of sound with these times."""
    stream = read_stream(coded.read_bytes())
    times = {"pts": 0, "dts": 0, "duration": 1, **packet}
    track = SideTrack("audio", "aac", b"", Fraction(1, (1 << 31) - 1), (Packet(b"a", **times),))
    path.write_bytes(write_stream(replace(stream, video=replace(stream.video, **video), tracks=(track,))))
    return path


def outcome(path, target, **choices):
    """What `decode` says of a forged file; "" where it is content."""
    try:
        decode(path, target, device="cpu", overwrite=True, **choices)
    except Corrupt as error:
        return str(error)
    return ""


LATE = tuple(range(1 << 61, (1 << 61) + 6))
EARLY = (-(1 << 61), 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("video", "packet", "refused"),
    [
        ({"timestamps": EARLY}, {}, True),
        ({"timestamps": EARLY, "time_base": Fraction((1 << 31) - 1)}, {}, True),
        ({"timestamps": EARLY, "time_base": Fraction(1, (1 << 31) - 1)}, {"dts": 1 - (1 << 62)}, True),
        ({"timestamps": LATE}, {"pts": (1 << 62) - 1, "duration": (1 << 62) - 1}, False),
    ],
)
def test_frames_of_forged_times_are_cut_or_refused(coded, tmp_path, video, packet, refused):
    path = forged(coded, tmp_path / "forged.snrv", video, **packet)
    said = {outcome(path, tmp_path / "out", frames=frames) for frames in ((0, 1), (1, 3), (5, 6))} - {""}
    assert bool(said) == refused
    assert all(message.startswith(f"{path}: packet times exceed 62 bits") for message in said)


def test_memory_is_asked_for_before_sound_is_read_or_anything_decoded(coded, tmp_path, monkeypatch):
    """That of the decoder, of the encoder of the output, and of sound, whose packets are counted without them."""
    from snerv_codec.decoding import Decoder

    with Decoder(coded, device="cpu") as decoder:
        need = decoder._segment_memory(decoder._file.header.segments[0])
        sound = decoder.tracks_memory
        assert sound > sum(len(packet.data) for track in decoder.tracks() for packet in track.packets)
    monkeypatch.setattr("snerv_codec.runtime.machine.available_memory", lambda device=None: need + sound + 20_000)
    with monkeypatch.context() as patch:
        patch.setattr("snerv_codec.bitstream.container.StreamFile.read_tracks", None)
        with pytest.raises(ResourceError, match="decoding needs about .* GB"):
            decode(coded, tmp_path / "out.mp4", device="cpu")
    decode(coded, tmp_path / "out.y4m", device="cpu")  # 34 x 18 pixels, without frames held back
