"""Damage is found wherever a container or a decoder tells of it, and health is not taken for damage."""

import io
import sys
from fractions import Fraction

import av
import av.logging
import numpy as np
import pytest
from rich_clips import Sound, make_clip, moving
from surgery import drop_default_duration, set_duration

from snerv_codec.errors import InputError
from snerv_codec.media.reader import read_video
from snerv_codec.media.source import Selection

LOSSLESS = {"codec": "ffv1", "pix_fmt": "bgr0"}


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def with_font(path, frames):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=64, height=48, pix_fmt="yuv420p")
        container.add_attachment("a.ttf", "application/x-truetype-font", bytes(500))
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def assert_found(path, whole):
    """Reading names how many frames are there; those can be had, and are the right ones."""
    with pytest.raises(InputError, match=r"`frames` 0:\d+") as caught:
        read_video(path)
    there = int(str(caught.value).rpartition(":")[2])
    assert 0 < there < len(whole)
    assert np.array_equal(read_video(path, Selection(frames=(0, there))).frames, whole[:there])


# Cut short


@pytest.mark.parametrize("share", [0.6, 0.7, 0.95])
def test_a_cut_matroska_file_is_found_though_it_holds_a_font(tmp_path, share):
    path = with_font(tmp_path / "a.mkv", moving(40))
    whole = read_video(path).frames
    assert len(whole) == 40
    assert_found(cut(path, share), whole)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.mkv", LOSSLESS),
        ("a.webm", {"codec": "libvpx", "options": {"cpu-used": "8", "deadline": "realtime"}}),
        ("a.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p", "options": {"qscale": "2"}}),
        ("a.mp4", {"options": {"bf": "0", "g": "5"}, "container_options": {"movflags": "+faststart"}}),
        ("a.mov", {"codec": "prores", "pix_fmt": "yuv422p10le", "container_options": {"movflags": "+faststart"}}),
        ("b.mp4", {"options": {"bf": "0"}, "container_options": {"movflags": "+frag_keyframe+empty_moov"}}),
    ],
)
def test_any_container_that_says_how_long_it_is(tmp_path, name, kind):
    path = make_clip(tmp_path / name, moving(30), **kind)
    whole = read_video(path).frames
    assert_found(cut(path, 0.7), whole)


@pytest.mark.parametrize("name", ["a.mkv", "a.avi"])
def test_frames_after_those_that_a_cut_took_are_not_counted(tmp_path, name):
    """Where frames are shown in another order than they are coded, some that are there come after some that are not."""
    path = make_clip(tmp_path / name, moving(20), options={"bf": "3", "x264-params": "b-adapt=0:scenecut=0"})
    whole, data = read_video(path).frames, path.read_bytes()
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    for place in places[5:]:
        path.write_bytes(data[: place + 2])  # within what a container says before a packet, which is lost untold
        assert_found(path, whole)


def test_a_live_recording_ends_where_it_ends_unless_within_a_frame(tmp_path):
    path = make_clip(tmp_path / "a.mkv", moving(30), container_options={"live": "1"}, **LOSSLESS)
    whole = read_video(path).frames
    assert len(whole) == 30
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = path.read_bytes()
    path.write_bytes(data[: sum(places[20]) - 40])
    assert_found(path, whole)


def test_a_lost_index_at_the_end_does_no_harm(tmp_path):
    path = make_clip(tmp_path / "a.mkv", moving(30), **LOSSLESS)
    path.write_bytes(path.read_bytes()[:-20])  # of the cues
    assert len(read_video(path).frames) == 30


@pytest.mark.parametrize("lost", [1, 100, 16 * 16 * 3 - 1])
def test_half_a_frame_at_the_end_of_y4m(tmp_path, monkeypatch, lost):
    data = b"YUV4MPEG2 W16 H16 F25:1 C444\n" + 4 * (b"FRAME Ip\n" + bytes(16 * 16 * 3))
    (tmp_path / "a.y4m").write_bytes(data)
    assert len(read_video(tmp_path / "a.y4m").frames) == 4
    (tmp_path / "a.y4m").write_bytes(data[:-lost])
    for source in (tmp_path / "a.y4m", "-"):
        for selection in (None, Selection(frames=(0, 4))):
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data[:-lost])))
            with pytest.raises(InputError, match="last frame are there; repair it, or encode .* `frames` 0:3"):
                read_video(source, selection)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data[:-lost])))
        assert len(read_video(source, Selection(frames=(0, 3))).frames) == 3


# Broken frames


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p", "options": {"qscale": "2"}}),
        ("a.mov", {"codec": "prores", "pix_fmt": "yuv422p10le"}),
        ("a.mkv", {**LOSSLESS, "options": {"level": "3", "slicecrc": "1"}}),
        ("a.mov", {"codec": "png", "pix_fmt": "rgb24"}),
    ],
)
@pytest.mark.parametrize("number", [6, 11])
def test_a_broken_frame_of_intra_only_video_is_found_the_last_one_too(tmp_path, name, kind, number):
    path = make_clip(tmp_path / name, moving(12), **kind)
    whole = read_video(path).frames
    with av.open(str(path)) as container:
        at, size = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][number]
    data = bytearray(path.read_bytes())
    data[at + size // 2 : at + size - 4] = b"\xff" * (size - 4 - size // 2)
    path.write_bytes(data)
    assert_found(path, whole)


def test_listening_to_decoders_leaves_the_log_level_as_it_was(tmp_path):
    path = make_clip(tmp_path / "a.mkv", moving(3), **LOSSLESS)
    for level in (None, av.logging.WARNING):
        av.logging.set_level(level)
        try:
            read_video(path)
            assert av.logging.get_level() == level
        finally:
            av.logging.set_level(None)


# Health


@pytest.mark.parametrize("milliseconds", [3000, 9000, 90_000])
def test_a_header_that_tells_more_time_than_there_is(tmp_path, milliseconds):
    path = set_duration(make_clip(tmp_path / "a.mkv", moving(20)), milliseconds)
    video = read_video(path)
    assert (len(video.frames), video.warnings, video.info.duration) == (20, (), Fraction(20, 25))


def test_sound_that_outlasts_the_picture(tmp_path):
    for name in ("a.mkv", "a.mp4", "a.avi"):
        path = make_clip(tmp_path / name, moving(5), codec="mpeg4", sounds=[Sound("libmp3lame", seconds=4)])
        video = read_video(path)
        assert len(video.frames) == 5
        assert video.warnings == ()


def test_a_last_frame_that_stays(tmp_path):
    path = make_clip(tmp_path / "a.mkv", moving(5), time_base=Fraction(1, 1000), times=[0, 40, 80, 120, 160])
    assert len(read_video(set_duration(drop_default_duration(path), 30_000)).frames) == 5


def test_what_is_not_supported_is_not_called_damaged(tmp_path):
    pictures = pytest.importorskip("PIL.Image")
    first, *others = (pictures.fromarray(frame) for frame in moving(3))
    first.save(tmp_path / "a.webp", save_all=True, append_images=others, duration=100)
    with pytest.raises(InputError, match="a.webp: this kind of WebP image is not supported; convert it"):
        read_video(tmp_path / "a.webp")
    first.save(tmp_path / "a.png", save_all=True, append_images=others, duration=100)
    assert np.array_equal(read_video(tmp_path / "a.png").frames, moving(3))


def test_rubbish_after_the_end_does_no_harm(tmp_path):
    for name, kind in (("a.mp4", {}), ("a.mkv", LOSSLESS), ("a.avi", {"codec": "mpeg4"})):
        path = make_clip(tmp_path / name, moving(5), **kind)
        path.write_bytes(path.read_bytes() + b"TAGthis is not a part of the file" * 4)
        assert len(read_video(path).frames) == 5
