import base64
import io
import os
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from rich_clips import RATE, Sound, Text, make_clip, moving, packets_of, psnr, samples

from snerv_codec.bitstream.types import Color
from snerv_codec.errors import InputError, ResourceError, SettingsError
from snerv_codec.media.reader import open_video, read_video
from snerv_codec.media.source import Selection
from snerv_codec.media.writer import write_image

LOSSLESS = {"codec": "ffv1", "pix_fmt": "bgr0"}
GREY_JPEG = (  # 16x16, all of it 20
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19iZ2hnPk1xeXBk"
    "eFxlZ2P/wAALCAAQABABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAAAAb/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/9oACAEBAAA/AIkB/9k="
)
MPEG2 = {"codec": "mpeg2video", "options": {"qscale": "2", "bf": "2"}}


def write_images(folder, frames, names):
    folder.mkdir()
    for frame, name in zip(frames, names, strict=True):
        write_image(folder / name, frame)
    return folder


def y4m(frames, header):
    """A y4m file of 4:4:4 frames whose samples are `frames` as they are."""
    return header + b"".join(b"FRAME\n" + np.ascontiguousarray(np.moveaxis(f, -1, 0)).tobytes() for f in frames)


def seconds(video):
    return [time * video.info.time_base for time in video.info.timestamps]


# Sources


@pytest.mark.parametrize(
    ("name", "kind", "least"),
    [
        ("a.mp4", {"options": {"crf": "1"}}, 38),
        ("a.mov", {"options": {"crf": "1"}}, 38),
        ("a.mkv", LOSSLESS, float("inf")),
        ("a.webm", {"codec": "libvpx-vp9", "options": {"crf": "4", "b": "0", "cpu-used": "8"}}, 36),
        ("a.avi", {"codec": "mpeg4", "options": {"qscale": "1"}}, 30),
        ("a.ts", MPEG2, 33),
        ("a.mpg", MPEG2, 33),
        ("a.flv", {"options": {"crf": "1"}}, 38),
        ("a.h264", {"options": {"crf": "1", "bf": "3"}}, 38),
        ("a.gif", {"codec": "gif", "pix_fmt": "rgb8"}, 15),
    ],
)
def test_any_container_and_codec(tmp_path, name, kind, least):
    video = read_video(make_clip(tmp_path / name, moving(8), **kind))
    assert video.frames.shape == (8, 48, 64, 3)
    assert psnr(video.frames, moving(8)) >= least
    assert (video.info.width, video.info.height, video.info.frame_count) == (64, 48, 8)
    assert np.diff([float(t) for t in seconds(video)]) == pytest.approx([1 / 25] * 7, abs=1e-3)


def test_how_many_frames_were_read_is_told_up_to_the_last_that_is_wanted(tmp_path):
    source, told = make_clip(tmp_path / "a.mp4", moving(9)), []
    video = read_video(source, Selection(frames=(3, 7)), on_frame=lambda *event: told.append(event))
    assert len(video.frames) == 4
    assert told == [(number, 7) for number in range(1, 8)]
    told.clear()
    bare = make_clip(tmp_path / "a.h264", moving(9))  # which does not tell how many there are
    read_video(bare, keep=False, on_frame=lambda *event: told.append(event))
    assert told == [(number, 0) for number in range(1, 10)]


@pytest.mark.parametrize("size", [(17, 33), (48, 63), (47, 64), (16, 16)])
def test_odd_and_tiny_sizes(tmp_path, size):
    path = make_clip(tmp_path / "a.mkv", moving(3, *size), **LOSSLESS)
    assert np.array_equal(read_video(path).frames, moving(3, *size))
    halved = read_video(make_clip(tmp_path / "b.mkv", moving(3, *size), codec="ffv1", pix_fmt="yuv420p"))
    assert halved.frames.shape == (3, *size, 3)
    assert psnr(halved.frames, moving(3, *size)) > 25


def test_y4m_from_a_file_and_from_standard_input(tmp_path, monkeypatch):
    grey = moving(3)[..., :1].repeat(3, -1)
    grey[..., 1:] = 128
    data = y4m(grey, b"YUV4MPEG2 W64 H48 F30000:1001 Ip A4:3 C444 XCOLORRANGE=FULL\n")
    (tmp_path / "a.y4m").write_bytes(data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    for video in (read_video(tmp_path / "a.y4m"), read_video("-")):
        assert np.array_equal(video.frames, grey[..., :1].repeat(3, -1))
        assert (video.info.rate, video.info.pixel_aspect) == (Fraction(30000, 1001), Fraction(4, 3))
        assert seconds(video) == [i * Fraction(1001, 30000) for i in range(3)]
        assert video.info.color.full_range is True


@pytest.mark.parametrize("data", [b"", b"not y4m at all\n" * 9, b"YUV4MPEG2 W0 H0 F25:1\nFRAME\n"])
def test_standard_input_that_is_no_y4m(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    with pytest.raises(InputError, match="standard input: (not a video in y4m format|holds no)"):
        read_video("-")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_told_where_to_go(tmp_path):
    os.mkfifo(tmp_path / "a.y4m")
    with pytest.raises(InputError, match="a named pipe; give - and let it be standard input"):
        read_video(tmp_path / "a.y4m")


def test_folders_are_read_in_natural_order(tmp_path):
    names = ["f10.png", "f9.PNG", "f1.png", "f2.png", "f01.png"]
    write_images(tmp_path / "in", moving(5), names)
    (tmp_path / "in" / "._f1.png").write_bytes(b"what a Mac leaves behind")
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    video = read_video(tmp_path / "in", Selection(rate=Fraction(30000, 1001)))
    assert np.array_equal(video.frames, moving(5)[[4, 2, 3, 1, 0]])
    assert seconds(video) == [i * Fraction(1001, 30000) for i in range(5)]
    assert video.info.rate == Fraction(30000, 1001)
    assert (video.info.chroma, video.info.color) == ("rgb", Color())
    assert read_video(tmp_path / "in").info.rate == 25


def test_names_with_strange_digits_sort(tmp_path):
    write_images(tmp_path / "in", moving(2), ["1²2.png", "1²10.png"])
    assert np.array_equal(read_video(tmp_path / "in").frames, moving(2))


def test_jpeg_folders(tmp_path):
    (tmp_path / "in").mkdir()
    for number, frame in enumerate(moving(3)):
        make_clip(tmp_path / "in" / f"{number}.jpg", [frame], codec="mjpeg", pix_fmt="yuvj444p", tags=(2, 2, 5, 2))
    video = read_video(tmp_path / "in")
    assert psnr(video.frames, moving(3)) > 30
    assert video.info.color.full_range is True
    cut = (tmp_path / "in" / "1.jpg").read_bytes()
    (tmp_path / "in" / "1.jpg").write_bytes(cut[: len(cut) // 2])
    with pytest.raises(InputError, match=r"1.jpg: not an image that can be read"):
        read_video(tmp_path / "in")
    assert len(read_video(tmp_path / "in", Selection(frames=(0, 1))).frames) == 1  # what is not needed does no harm


def test_grey_jpegs_are_full_range(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.jpg").write_bytes(base64.b64decode(GREY_JPEG))
    assert set(read_video(tmp_path / "in").frames.flat) == {20}


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "nv12", "rgb24", "yuv444p12le", "gray"])
@pytest.mark.parametrize("size", [(48, 64), (33, 47)])
def test_raw_samples(tmp_path, pix_fmt, size):
    clip = make_clip(tmp_path / "a.nut", moving(3, *size), codec="rawvideo", pix_fmt=pix_fmt)
    with av.open(str(clip)) as container:
        raw = b"".join(bytes(packet) for packet in container.demux(video=0))
    (tmp_path / "a.yuv").write_bytes(raw)
    chosen = Selection(video_size=size[::-1], pix_fmt=pix_fmt, rate=Fraction(50))
    video = read_video(tmp_path / "a.yuv", chosen)
    assert np.array_equal(video.frames, read_video(clip).frames)
    assert (video.info.rate, seconds(video)) == (50, [Fraction(i, 50) for i in range(3)])
    (tmp_path / "a.yuv").write_bytes(raw[:-1])
    with pytest.raises(InputError, match=f"a.yuv: its {len(raw) - 1} bytes are not whole frames of .*; check `video_"):
        read_video(tmp_path / "a.yuv", chosen)


def test_raw_samples_need_a_size_and_a_known_format(tmp_path):
    path = tmp_path / "a.yuv"
    path.write_bytes(bytes(64 * 48 * 3 // 2))
    assert read_video(path, Selection(video_size=(64, 48))).info.chroma == "420"
    for selection, message in (
        (Selection(), "give `video_size`"),
        (Selection(video_size=(64, 48), pix_fmt="nonsense"), "'nonsense' is unknown"),
        (Selection(video_size=(64, 48), pix_fmt="vaapi"), "'vaapi' is unknown"),
        (Selection(video_size=(100_000, 100_000)), "sides from 16 to 16384"),
    ):
        with pytest.raises(SettingsError, match=message):
            read_video(path, selection)
    with pytest.raises(InputError, match="are not whole frames of 16384x16384"):
        read_video(path, Selection(video_size=(16384, 16384)))
    path.write_bytes(b"")
    with pytest.raises(InputError, match="its 0 bytes are not whole frames"):
        read_video(path, Selection(video_size=(64, 48)))


@pytest.mark.parametrize("name", ["a:b.mkv", "http:x.mkv", "50%d.mkv", "-dash.mkv", "ü ñ#?.mkv"])
def test_a_name_is_only_a_name(tmp_path, monkeypatch, name):
    os.rename(make_clip(tmp_path / "plain.mkv", moving(2), **LOSSLESS), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for path in (name, tmp_path / name):
        assert len(read_video(path).frames) == 2


def test_a_list_of_other_files_is_no_video(tmp_path):
    make_clip(tmp_path / "a.ts", moving(3))
    (tmp_path / "a.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.ts\n#EXT-X-ENDLIST\n")
    (tmp_path / "b.mp4").write_text("ffconcat version 1.0\nfile a.ts\n")
    for name in ("a.m3u8", "b.mp4"):
        with pytest.raises(InputError):
            read_video(tmp_path / name)


# What is taken of a source


def test_a_stream_among_several(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        streams = [
            container.add_stream("ffv1", rate=25, width=w, height=h, pix_fmt="bgr0") for w, h in ((64, 48), (32, 16))
        ]
        for stream in streams:
            pixels = moving(1, stream.height, stream.width)[0]
            container.mux([*stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")), *stream.encode()])
    assert read_video(tmp_path / "a.mkv").frames.shape == (1, 48, 64, 3)
    assert np.array_equal(read_video(tmp_path / "a.mkv", Selection(stream=1)).frames, moving(1, 16, 32))
    for wrong in (2, -1):
        with pytest.raises(SettingsError, match=f"has no video stream {wrong}; it has 0: 64x48, 1: 32x16"):
            read_video(tmp_path / "a.mkv", Selection(stream=wrong))


def test_the_sounds_cover_picture_is_no_video(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        cover = container.add_stream("png", rate=25, width=32, height=32, pix_fmt="rgb24")
        cover.disposition = av.stream.Disposition.attached_pic
        video = container.add_stream("libx264", rate=25, width=64, height=48, pix_fmt="yuv420p")
        container.mux(cover.encode(av.VideoFrame.from_ndarray(moving(1, 32, 32)[0], format="rgb24")))
        for frame in moving(3):
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(video.encode())
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert len(container.streams.video) == 2
    assert read_video(tmp_path / "a.mp4").frames.shape == (3, 48, 64, 3)


def test_crop_and_frames(tmp_path):
    path = make_clip(tmp_path / "a.mkv", moving(9), time_base=Fraction(1, 1000), times=range(0, 360, 40), **LOSSLESS)
    video = read_video(path, Selection(crop=(21, 30), frames=(3, 7)))
    assert np.array_equal(video.frames, moving(9)[3:7, 13:34, 17:47])
    assert (video.info.width, video.info.height) == (30, 21)
    assert seconds(video) == [Fraction(i, 25) for i in range(4)]
    assert len(read_video(path, Selection(frames=(8, None))).frames) == 1
    assert len(read_video(path, Selection(frames=(0, 9))).frames) == 9


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(frames=(0, 10)), "has 9 frames, not all of 0:10"),
        (Selection(frames=(9, None)), "has 9 frames, not all of 9:"),
        (Selection(frames=(4, 4)), "select nothing"),
        (Selection(frames=(-1, 4)), "select nothing"),
        (Selection(crop=(49, 64)), "exceeds the frame, 48x64"),
    ],
)
def test_selections_that_the_video_cannot_give(tmp_path, selection, message):
    path = make_clip(tmp_path / "a.mkv", moving(9), **LOSSLESS)
    with pytest.raises(SettingsError, match=message):
        read_video(path, selection)


def test_frames_smaller_than_can_be_coded(tmp_path):
    path = make_clip(tmp_path / "a.mkv", moving(2), **LOSSLESS)
    with pytest.raises(InputError, match="15x20 frames; sides from 16 to 16384"):
        read_video(path, Selection(crop=(20, 15)))


def test_counting_keeps_no_frames_and_streaming_gives_the_same_ones(tmp_path):
    path = make_clip(tmp_path / "a.mp4", moving(40), sounds=[Sound(seconds=1.6)])
    whole, counted = read_video(path), read_video(path, keep=False)
    assert (counted.info, counted.tracks, counted.frames.size) == (whole.info, whole.tracks, 0)
    with open_video(path, tracks=False) as stream:
        assert all(np.array_equal(mine, theirs) for mine, theirs in zip(stream, whole.frames, strict=True))
        assert (stream.info(), stream.tracks()) == (whole.info, ())


# Times, aspect, rotation, tags


def test_times_are_exact_even_when_uneven(tmp_path):
    times = [0, 512, 1500, 1501, 9000]
    path = make_clip(tmp_path / "a.mp4", moving(5), time_base=Fraction(1, 12800), times=times)
    video = read_video(path)
    assert seconds(video) == [Fraction(time, 12800) for time in times]
    cut = read_video(path, Selection(frames=(1, 4)))
    assert seconds(cut) == [Fraction(time - 512, 12800) for time in times[1:4]]
    assert cut.info.final_duration * cut.info.time_base == Fraction(9000 - 1501, 12800)


def test_the_last_frame_stays_as_long_as_its_file_says(tmp_path):
    frames = [av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in moving(2)]
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=64, height=48, pix_fmt="yuv420p")
        stream.codec_context.flags |= av.codec.context.Flags.frame_duration
        stream.codec_context.time_base = Fraction(1, 1000)
        for frame, time, duration in zip(frames, (0, 40), (40, 5000), strict=True):
            frame.pts, frame.duration, frame.time_base = time, duration, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    info = read_video(tmp_path / "a.mp4").info
    assert info.final_duration * info.time_base == 5
    assert info.duration == Fraction(5040, 1000)


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(50), Fraction(25, 2)])
def test_frame_rates(tmp_path, rate):
    video = read_video(make_clip(tmp_path / "a.mp4", moving(6), rate=rate))
    assert video.info.rate == rate
    assert seconds(video) == [i / rate for i in range(6)]
    assert video.info.final_duration * video.info.time_base == 1 / rate


def test_b_frames_come_in_the_order_of_their_times(tmp_path):
    path = make_clip(tmp_path / "a.mp4", moving(20), options={"bf": "3", "b-adapt": "0", "crf": "1"})
    with av.open(str(path)) as container:
        decoding_order = [p.pts for p in container.demux(video=0) if p.pts is not None]
    assert decoding_order != sorted(decoding_order)
    video = read_video(path)
    assert seconds(video) == [i / RATE for i in range(20)]
    assert all(psnr(mine, theirs) > 36 for mine, theirs in zip(video.frames, moving(20), strict=True))


def test_a_file_without_times_has_the_rate_it_is_given(tmp_path):
    path = make_clip(tmp_path / "a.h264", moving(6), options={"bf": "2"})
    assert seconds(read_video(path, Selection(rate=Fraction(10)))) == [Fraction(i, 10) for i in range(6)]


def test_a_rate_for_a_video_with_times_is_not_used_and_said_so(tmp_path):
    path = make_clip(tmp_path / "a.mkv", moving(3), **LOSSLESS)
    video = read_video(path, Selection(rate=Fraction(10)))
    assert (video.info.rate, seconds(video)[1]) == (25, Fraction(1, 25))
    assert any("`rate`" in warning for warning in video.warnings)
    assert read_video(path, Selection(rate=Fraction(25))).warnings == ()


def test_pixel_aspect(tmp_path):
    info = read_video(make_clip(tmp_path / "a.mp4", moving(2), aspect=Fraction(16, 11))).info
    assert (info.pixel_aspect, info.width, info.height) == (Fraction(16, 11), 64, 48)


def test_colour_tags_and_sampling_of_the_source(tmp_path):
    frames = [samples("yuv422p10le", [np.full((48, w), 512, "<u2") for w in (64, 32, 32)])]
    path = make_clip(tmp_path / "a.mkv", frames, codec="ffv1", pix_fmt="yuv422p10le", tags=(9, 16, 9, 1))
    info = read_video(path).info
    assert (info.bit_depth, info.chroma, info.color) == (10, "422", Color(9, 16, 9, False))


# Sound and subtitles


@pytest.mark.parametrize("sound_first", [False, True])
def test_all_frames_come_whatever_the_order_of_the_streams(tmp_path, sound_first):
    path = make_clip(tmp_path / "a.mp4", moving(20), options={"bf": "3"}, sounds=[Sound()], sound_first=sound_first)
    assert len(read_video(path).frames) == 20


def test_sound_and_subtitles_come_as_the_packets_they_are(tmp_path):
    path = make_clip(tmp_path / "a.mkv", moving(10), sounds=[Sound(), Sound("libopus", layout="mono")], texts=[Text()])
    video = read_video(path)
    assert [(t.kind, t.codec) for t in video.tracks] == [("audio", "aac"), ("audio", "opus"), ("subtitle", "srt")]
    for track, kind in ((video.tracks[0], "audio"), (video.tracks[2], "subtitle")):
        assert [(p.data, p.pts * track.time_base) for p in track.packets] == packets_of(path, kind)
    assert [p.duration for p in video.tracks[2].packets] == [200, 600]


def test_sound_is_cut_with_the_frames(tmp_path):
    path = make_clip(tmp_path / "a.mp4", moving(25), sounds=[Sound(seconds=1)])
    (track,) = read_video(path, Selection(frames=(10, 20))).tracks
    everything = dict((data, time) for data, time in packets_of(path, "audio"))
    starts = [packet.pts * track.time_base for packet in track.packets]
    for packet, start in zip(track.packets, starts, strict=True):
        assert everything[packet.data] == start + Fraction(10, 25)
    packet_length = Fraction(1024, 48000)
    assert -2 * packet_length < starts[0] <= -packet_length  # one to start the decoder with, one that sounds at 0
    assert starts[-1] < Fraction(10, 25) <= starts[-1] + packet_length


def test_a_subtitle_is_cut_to_the_frames(tmp_path):
    path = make_clip(
        tmp_path / "a.mkv", moving(25), texts=[Text(lines=((0, 100, "a"), (200, 900, "b"), (950, 990, "c")))]
    )
    (track,) = read_video(path, Selection(frames=(10, 20))).tracks
    assert [(p.data, p.pts, p.duration) for p in track.packets] == [(b"b", 0, 400)]


def test_a_track_that_cannot_be_carried_is_named(tmp_path):
    path = make_clip(tmp_path / "a.avi", moving(5), codec="mpeg4", sounds=[Sound("adpcm_ms", layout="mono")])
    video = read_video(path)
    assert video.tracks == ()
    assert video.warnings == ("audio track 1 (adpcm_ms) left out: it cannot be carried",)


# Damage, and what is no video


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.mp4", b"", "not a video that can be read"),
        ("a.mp4", b"this is text\n" * 99, "not a video that can be read"),
        ("a.y4m", b"YUV4MPEG2 W64 H48 F25:1 C444\n", "holds no frames"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "a.png"),
    ],
)
def test_files_that_are_no_video(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        read_video(tmp_path / name)
    assert name in str(caught.value)


def test_sources_that_are_missing_or_hold_no_pictures(tmp_path):
    sound = tmp_path / "a.m4a"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        container.mux([*stream.encode(frame), *stream.encode()])
    (tmp_path / "empty").mkdir()
    for source, message in (
        (sound, "holds no video"),
        (tmp_path / "empty", "holds no images (.png, .jpg, .jpeg)"),
        (tmp_path / "none.mp4", "no such file"),
        (tmp_path / "none.yuv", "no such file"),
        (sound / "a.mp4", "Not a directory"),
    ):
        with pytest.raises(InputError) as caught:
            read_video(source, Selection(video_size=(64, 48)))
        assert str(caught.value).startswith(f"{source}: ")
        assert message in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path):
    path = make_clip(tmp_path / "a.mkv", moving(2), **LOSSLESS)
    path.chmod(0)
    write_images(tmp_path / "in", moving(1), ["1.png"]).chmod(0)
    for source in (path, tmp_path / "in"):
        with pytest.raises(InputError, match="no permission to read it"):
            read_video(source)


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_a_file_that_is_cut_short_says_which_frames_are_there(tmp_path, share):
    faststart = {"movflags": "+faststart"}
    path = make_clip(tmp_path / "a.mp4", moving(30), options={"bf": "0", "g": "5"}, container_options=faststart)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(InputError, match=r"`frames` 0:\d+") as caught:
        read_video(path)
    there = int(str(caught.value).rpartition(":")[2])
    assert 0 < there < 30
    assert len(read_video(path, Selection(frames=(0, there))).frames) == there  # the advice is good
    with pytest.raises(InputError):
        read_video(path, Selection(frames=(0, there + 2)))


def test_a_matroska_file_that_is_cut_short(tmp_path):
    path = make_clip(tmp_path / "a.mkv", moving(100), **LOSSLESS)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="cut short, \\d+ bytes are missing at its end; repair it, or encode those"):
        read_video(path)


def test_an_avi_whose_header_counts_empty_frames_is_not_cut_short(tmp_path):
    times = [*range(5), *range(8, 15)]  # the gap is filled
    path = make_clip(tmp_path / "a.avi", moving(12), codec="mpeg4", times=times)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 15
    video = read_video(path)
    assert len(video.frames) == 12
    assert [time - seconds(video)[0] for time in seconds(video)] == [time / RATE for time in times]


def test_damage_in_the_middle_is_found(tmp_path):
    path = make_clip(tmp_path / "a.mp4", moving(40), options={"bf": "0", "crf": "10"})
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        at = [packet.pos for packet in container.demux(video=0) if packet.size][20]
    data[at + 12 : at + 60] = bytes(48)
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged.*; repair it, or encode those before with `frames` 0:20"):
        read_video(path)
    assert len(read_video(path, Selection(frames=(0, 20))).frames) == 20


def test_damage_before_and_after_the_frames_that_are_asked_for_does_no_harm(tmp_path):
    path = make_clip(tmp_path / "a.avi", moving(30), codec="mpeg4", options={"g": "1", "qscale": "2"})
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    for number in (4, 25):
        at, size = places[number]
        data[at + size // 2 : at + size // 2 + 40] = bytes(40)
    path.write_bytes(data)
    for frames in ((0, 10), (20, 30), (0, None)):
        with pytest.raises(InputError, match="damaged"):
            read_video(path, Selection(frames=frames))
    video = read_video(path, Selection(frames=(10, 20)))
    assert all(psnr(mine, theirs) > 28 for mine, theirs in zip(video.frames, moving(30)[10:20], strict=True))


def test_a_size_that_changes_midway(tmp_path):
    parts = [make_clip(tmp_path / f"{w}.h264", moving(4, 48, w), options={"bf": "0"}) for w in (64, 80)]
    whole = tmp_path / "a.h264"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(InputError, match="frame 4 is 80x48 and the first 64x48; a video must keep its size: split it"):
        read_video(whole)
    assert read_video(whole, Selection(frames=(0, 4))).frames.shape == (4, 48, 64, 3)
    assert read_video(whole, Selection(frames=(4, 8))).frames.shape == (4, 48, 80, 3)


def test_an_image_of_another_size_is_named(tmp_path):
    write_images(tmp_path / "in", [*moving(2), moving(1, 32, 64)[0]], ["1.png", "2.png", "3.png"])
    with pytest.raises(InputError, match="3.png: frame 2 is 64x32 and the first 64x48"):
        read_video(tmp_path / "in")


# Memory


def test_frames_that_do_not_fit_the_memory(tmp_path):
    path = make_clip(tmp_path / "a.mkv", moving(40), **LOSSLESS)
    frame = 48 * 64 * 3
    assert len(read_video(path, memory=40 * frame).frames) == 40
    with pytest.raises(ResourceError, match="more than 39 frames do not fit .*; select fewer with `frames`, or crop"):
        read_video(path, memory=40 * frame - 1)
    assert len(read_video(path, Selection(frames=(0, 39)), memory=40 * frame - 1).frames) == 39
    assert read_video(path, keep=False, memory=10 * frame).info.frame_count == 40


def test_frames_that_claim_to_be_huge_are_refused_before_they_are_decoded(tmp_path):
    (tmp_path / "a.y4m").write_bytes(b"YUV4MPEG2 W16000 H16000 F25:1 C420\nFRAME\n" + bytes(1000))
    clip = make_clip(tmp_path / "a.mp4", [av.VideoFrame(1024, 1024, "yuv420p")])
    lie = bytearray(clip.read_bytes())
    at = lie.index(b"avc1", lie.index(b"stsd")) + 28  # width and height in the container; the data say otherwise
    lie[at : at + 4] = bytes((0, 64, 0, 64))
    (tmp_path / "lie.mp4").write_bytes(lie)
    for name in ("a.y4m", "a.mp4", "lie.mp4"):
        with pytest.raises((ResourceError, InputError), match="too large to be decoded|damaged at frame 0"):
            read_video(tmp_path / name, memory=10_000_000)
