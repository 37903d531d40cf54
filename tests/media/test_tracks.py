import types
from dataclasses import replace
from fractions import Fraction
from io import BytesIO

import av
import pytest
from rich_clips import Sound, Text, make_clip, moving

from snerv_codec.bitstream.types import Packet, SideTrack
from snerv_codec.media.reader import read_video
from snerv_codec.media.tracks import TrackWriter, cut_tracks
from snerv_codec.media.writer import open_writer

SECOND = Fraction(1, 1000)


def track(kind, spans, time_base=SECOND):
    """A track whose packets last over `spans`, (start, end) in its time base."""
    packets = tuple(Packet(bytes([number]), start, start, end - start) for number, (start, end) in enumerate(spans))
    return SideTrack(kind, "any", b"", time_base, packets)


def spans(track):
    return [(packet.data[0], packet.pts, packet.pts + packet.duration) for packet in track.packets]


def test_sound_is_cut_to_what_is_heard_and_one_packet_before():
    sound = track("audio", [(start, start + 20) for start in range(-20, 200, 20)])
    (cut,) = cut_tracks((sound,), Fraction(90, 1000), Fraction(140, 1000))
    assert spans(cut) == [(4, -30, -10), (5, -10, 10), (6, 10, 30), (7, 30, 50)]
    (cut,) = cut_tracks((sound,), Fraction(0), Fraction(1))
    assert spans(cut)[0] == (0, -20, 0)  # the encoder's run-in, without which the start is muffled


def test_packets_without_a_duration_are_cut_by_their_start():
    sound = track("audio", [(start, start) for start in range(0, 100, 20)])
    (cut,) = cut_tracks((sound,), Fraction(20, 1000), Fraction(60, 1000))
    assert spans(cut) == [(1, 0, 0), (2, 20, 20)]


def test_subtitles_are_shown_for_the_part_inside():
    texts = track("subtitle", [(0, 50), (60, 120), (110, 130), (130, 900), (900, 950)])
    (cut,) = cut_tracks((texts,), Fraction(100, 1000), Fraction(200, 1000))
    assert spans(cut) == [(1, 0, 20), (2, 10, 30), (3, 30, 100)]


def test_a_track_with_nothing_inside_is_dropped():
    assert cut_tracks((track("subtitle", [(0, 50)]), track("audio", [])), Fraction(1), Fraction(2)) == ()


def test_times_move_to_the_nearest_tick_of_each_clock():
    start = Fraction(1001, 30000)
    slow, fast = cut_tracks(
        (track("audio", [(33, 50)]), track("audio", [(1602, 2000)], Fraction(1, 48000))), start, Fraction(1)
    )
    assert (spans(slow), spans(fast)) == ([(0, 0, 17)], [(0, 0, 398)])


@pytest.mark.parametrize(
    ("name", "sound"),
    [
        ("a.mp4", Sound("aac")),
        ("a.mkv", Sound("libopus")),
        ("a.mkv", Sound("flac")),
        ("a.mkv", Sound("ac3", layout="5.1")),
        ("a.mkv", Sound("pcm_s16le", layout="mono")),
        ("a.avi", Sound("libmp3lame")),
        ("a.ts", Sound("mp2")),
        ("a.mov", Sound("alac")),
    ],
)
def test_a_track_is_described_by_a_small_header_from_which_it_can_be_written_again(tmp_path, name, sound):
    codec = "mpeg4" if name == "a.avi" else "libx264"
    (original,) = read_video(make_clip(tmp_path / name, moving(12), codec=codec, sounds=[sound])).tracks
    assert len(original.description) < 8000
    with av.open(str(tmp_path / "out.mkv"), "w") as container:
        TrackWriter(container, original, Fraction(0)).write_until(None)
    with av.open(str(tmp_path / "out.mkv")) as container, av.open(str(tmp_path / name)) as source:
        mine, theirs = container.streams.audio[0], source.streams.audio[0]
        assert mine.codec_context.codec.id == theirs.codec_context.codec.id
        assert (mine.rate, mine.layout.nb_channels) == (theirs.rate, theirs.layout.nb_channels)
        assert [bytes(packet) for packet in container.demux(mine) if packet.size] == [p.data for p in original.packets]


def test_packets_are_written_as_their_time_comes(tmp_path):
    clip = make_clip(tmp_path / "a.mkv", moving(12), texts=[Text(lines=((100, 200, "a"), (300, 400, "b")))])
    (text,) = read_video(clip).tracks
    with av.open(str(tmp_path / "out.mkv"), "w") as container:
        writer, muxed = TrackWriter(container, text, Fraction(1, 10)), []
        container.start_encoding()
        spy = types.SimpleNamespace(start_encoding=lambda: None)
        spy.mux = lambda packet: muxed.append((packet.pts, bytes(packet)))
        writer._container = spy
        for time, count in ((0, 0), (Fraction(1, 1000), 1), (Fraction(2, 10), 1), (None, 2)):
            writer.write_until(time if time is None else Fraction(time))
            assert len(muxed) == count
        assert muxed == [(0, b"a"), (200, b"b")]
        container.mux([])


def test_a_hostile_description_is_refused(tmp_path):
    (good,) = read_video(make_clip(tmp_path / "a.mp4", moving(2), sounds=[Sound()])).tracks
    picture = make_clip(tmp_path / "b.mkv", moving(1)).read_bytes()
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:/etc/passwd\n"
    for description in (b"", b"\0" * 99, playlist, picture, good.description + bytes(1 << 18)):
        with av.open(BytesIO(), "w", format="mp4") as container, pytest.raises((ValueError, av.error.FFmpegError)):
            TrackWriter(container, replace(good, description=description), Fraction(0))


def test_more_tracks_than_a_file_holds_are_left_out_and_told(tmp_path, monkeypatch):
    """FFmpeg ends at a thousand streams."""
    path = make_clip(tmp_path / "many.mkv", moving(3, 32, 48), sounds=[Sound(), Sound()], texts=[Text()])
    video = read_video(path)
    monkeypatch.setattr("snerv_codec.media.container.MAX_TRACKS", 2)
    read = read_video(path)
    assert [track.kind for track in read.tracks] == ["audio"] * 2
    assert read.warnings == ("1 tracks left out: a file holds 2 of sound and subtitles",)
    with open_writer(tmp_path / "out.mkv", video.info, tracks=[video.tracks[0]] * 270) as writer:
        for frame in video.frames:
            writer.write(frame)
    assert writer.warnings == ["14 tracks left out: 256 are written at most"]
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert len(container.streams) == 257
