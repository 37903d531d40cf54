import errno
import io
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from rich_clips import RATE, Sound, Text, make_clip, moving, packets_of, psnr

from snerv_codec.bitstream.types import Color, VideoInfo
from snerv_codec.errors import OutputError, SettingsError
from snerv_codec.media.reader import read_video
from snerv_codec.media.source import Selection
from snerv_codec.media.writer import open_writer, write_image

BT709 = Color(1, 1, 1, False)
try:
    import resource
except ImportError:  # not POSIX
    resource = None


def info_of(frames, **changes):
    count, height, width = frames.shape[:3]
    info = VideoInfo(width, height, 1 / RATE, tuple(range(count)), 1, RATE, color=BT709)
    return replace(info, **changes)


def write(path, frames, info=None, **options):
    """Write all frames and return the warnings."""
    with open_writer(path, info or info_of(frames), **options) as writer:
        for frame in frames:
            writer.write(frame)
    return writer.warnings


def starts(video):
    """Seconds at which the first frame and the first packet of each track begin."""
    first = video.info.timestamps[0] * video.info.time_base
    return first, *(track.packets[0].pts * track.time_base for track in video.tracks)


# Pixels


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "A.MP4"])
def test_h264_is_visually_lossless_and_its_quality_can_be_chosen(tmp_path, name):
    frames = moving(10, 96, 128)
    write(tmp_path / name, frames)
    default = psnr(read_video(tmp_path / name).frames, frames)
    assert default > 38
    write(tmp_path / name, frames, crf=40, preset="ultrafast", overwrite=True)
    assert psnr(read_video(tmp_path / name).frames, frames) < default - 3
    with av.open(str(tmp_path / name)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")


@pytest.mark.parametrize("size", [(47, 64), (48, 63), (17, 33)])
def test_odd_sizes_in_h264(tmp_path, size):
    write(tmp_path / "a.mp4", moving(4, *size))
    assert psnr(read_video(tmp_path / "a.mp4").frames, moving(4, *size)) > 36


@pytest.mark.parametrize("size", [(48, 64), (17, 33)])
def test_ffv1_and_pngs_are_exactly_lossless(tmp_path, size):
    noise = np.random.default_rng(0).integers(0, 256, (3, *size, 3), np.uint8)
    write(tmp_path / "a.mkv", noise)
    write(tmp_path / "frames", noise)
    assert np.array_equal(read_video(tmp_path / "a.mkv").frames, noise)
    assert np.array_equal(read_video(tmp_path / "frames").frames, noise)
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == [f"frame_{i:05}.png" for i in range(3)]
    write_image(tmp_path / "one.png", noise[0])
    assert np.array_equal(read_video(tmp_path / "one.png").frames[0], noise[0])


def test_y4m_to_a_file_and_to_standard_output(tmp_path, monkeypatch):
    frames = moving(3)
    info = info_of(frames, rate=Fraction(30000, 1001), pixel_aspect=Fraction(4, 3), color=Color())
    pipe = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe))
    write("-", frames, info)
    write(tmp_path / "a.y4m", frames, info)
    data = (tmp_path / "a.y4m").read_bytes()
    assert pipe.getvalue() == data
    assert data.startswith(b"YUV4MPEG2 W64 H48 F30000:1001 Ip A4:3 C444 XCOLORRANGE=LIMITED\nFRAME\n")
    video = read_video(tmp_path / "a.y4m")
    assert psnr(video.frames, frames) > 45
    assert (video.info.rate, video.info.pixel_aspect, video.info.frame_count) == (info.rate, info.pixel_aspect, 3)
    write(tmp_path / "b.y4m", frames, info_of(frames, color=Color(full_range=True)))
    assert b" XCOLORRANGE=FULL\n" in (tmp_path / "b.y4m").read_bytes()[:99]
    assert psnr(read_video(tmp_path / "b.y4m").frames, frames) > 45


# What goes with them


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_pixel_aspect(tmp_path, name):
    frames = moving(2)
    assert write(tmp_path / name, frames, info_of(frames, pixel_aspect=Fraction(12, 11))) == []
    assert read_video(tmp_path / name).info.pixel_aspect == Fraction(12, 11)


def test_pixel_aspect_in_matroska_is_in_the_frames_and_a_warning_says_so(tmp_path):
    frames = moving(2)
    (warning,) = write(tmp_path / "a.mkv", frames, info_of(frames, pixel_aspect=Fraction(12, 11)))
    assert "pixel aspect 12/11" in warning
    assert np.array_equal(read_video(tmp_path / "a.mkv").frames, frames)
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    shown = [ffmpeg, "-i", str(tmp_path / "a.mkv"), "-vf", "showinfo", "-f", "null", "-"]
    assert "sar:12/11" in subprocess.run(shown, check=True, capture_output=True, text=True).stderr


@pytest.mark.parametrize("color", [BT709, Color(9, 16, 9, False), Color(1, 1, 1, True), Color(6, 6, 6, False)])
def test_colour_tags_go_into_mp4(tmp_path, color):
    frames = moving(2)
    write(tmp_path / "a.mp4", frames, info_of(frames, color=color))
    video = read_video(tmp_path / "a.mp4")
    assert video.info.color == color
    assert psnr(video.frames, frames) > 36


def test_colour_tags_go_into_matroska_but_for_a_matrix_since_it_holds_rgb(tmp_path):
    frames = moving(2)
    write(tmp_path / "a.mkv", frames, info_of(frames, color=Color(9, 16, 9, True)))
    assert read_video(tmp_path / "a.mkv").info.color == Color(9, 16)


def test_yuv_made_of_rgb_names_its_matrix(tmp_path):
    frames = moving(2)
    write(tmp_path / "a.mp4", frames, info_of(frames, chroma="rgb", color=Color(1, 13)))
    video = read_video(tmp_path / "a.mp4")
    assert video.info.color == Color(1, 13, 1, False)
    assert psnr(video.frames, frames) > 36


def test_untagged_colours_stay_untagged_and_keep_their_samples(tmp_path):
    """Players guess; they must guess the same of our output as of the source."""
    frames = moving(2)
    source = make_clip(tmp_path / "in.mp4", frames, options={"crf": "1"})
    video = read_video(source)
    write(tmp_path / "out.mp4", video.frames, video.info, crf=1)
    planes = []
    for path in (source, tmp_path / "out.mp4"):
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            assert frame.colorspace == 2
            planes.append(frame.to_ndarray()[:48])
    assert psnr(*planes) > 38


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24), Fraction(60000, 1001)])
@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_rates_and_times_are_exact(tmp_path, name, rate):
    frames = moving(7)
    write(tmp_path / name, frames, info_of(frames, rate=rate, time_base=1 / rate))
    info = read_video(tmp_path / name).info
    assert info.rate == rate
    assert [time * info.time_base for time in info.timestamps] == [i / rate for i in range(7)]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_uneven_times_and_a_long_last_frame(tmp_path, name):
    frames, times = moving(5), (0, 40, 41, 600, 650)
    write(tmp_path / name, frames, info_of(frames, time_base=Fraction(1, 1000), timestamps=times, final_duration=5000))
    info = read_video(tmp_path / name).info
    assert [time * info.time_base * 1000 for time in info.timestamps] == list(times)
    assert info.final_duration * info.time_base == 5


def test_y4m_says_what_it_cannot_hold(tmp_path):
    frames = moving(3)
    (warning,) = write(tmp_path / "0.y4m", frames, info_of(frames, color=Color(matrix=9, full_range=True)))
    assert warning == "the samples are BT.2020 full, which y4m has no tag for"
    plain = info_of(frames, color=Color())
    uneven = replace(plain, time_base=Fraction(1, 1000), timestamps=(0, 40, 90))
    assert write(tmp_path / "a.y4m", frames, uneven) == ["frame times are uneven and y4m has none: 25 frames/s assumed"]
    rounded = replace(plain, time_base=Fraction(1, 1000), timestamps=(0, 33, 67), final_duration=33)
    assert write(tmp_path / "b.y4m", frames, rounded) == []
    held = replace(plain, final_duration=50)
    assert len(write(tmp_path / "c.y4m", frames, held)) == 1


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("first", [-70, 0, 1000, 3_600_000])
def test_nothing_is_lost_and_nothing_waits_whatever_the_first_time(tmp_path, name, first):
    frames = moving(5)
    times = tuple(range(first, first + 200, 40))
    write(tmp_path / name, frames, info_of(frames, time_base=Fraction(1, 1000), timestamps=times))
    info = read_video(tmp_path / name).info
    assert [time * info.time_base for time in info.timestamps] == [i / RATE for i in range(5)]


def test_times_out_of_range(tmp_path):
    frames = moving(2)
    with pytest.raises(OutputError, match="frame times beyond"):
        write(tmp_path / "a.mp4", frames, info_of(frames, time_base=Fraction(90), timestamps=(0, 1 << 61)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "time_base", [Fraction(1, 25), Fraction(1001, 30000), Fraction(7, 10007), Fraction(1, 2**31 - 1)]
)
@pytest.mark.parametrize("last", [False, True])
def test_a_frame_may_be_shown_for_as_long_as_mp4_can_tell(tmp_path, time_base, last):
    """Its clock counts a frame's ticks with 31 bits."""
    frames, ticks = moving(2), time_base.denominator
    while ticks < 10_000:
        ticks *= 2
    most = ((1 << 31) - 1) // (ticks // time_base.denominator * time_base.numerator)
    for long in (most, most + 1):
        times, final = ((0, 1), long) if last else ((0, long), 1)
        info = info_of(frames, time_base=time_base, timestamps=times, final_duration=final)
        write(tmp_path / f"{long}.mkv", frames, info)
        if long == most:
            write(tmp_path / "a.mp4", frames, info)
        else:
            with pytest.raises(OutputError, match=r"a frame is shown for too long for .mp4; use .mkv"):
                write(tmp_path / "b.mp4", frames, info)


# Sound and subtitles


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_sound_is_the_same_bytes_and_keeps_its_layout(tmp_path, name, layout):
    source = make_clip(tmp_path / "in.mp4", moving(12), sounds=[Sound(layout=layout), Sound(rate=44100)])
    video = read_video(source)
    assert write(tmp_path / name, video.frames, video.info, tracks=video.tracks) == []
    assert [data for data, _ in packets_of(tmp_path / name, "audio")] == [d for d, _ in packets_of(source, "audio")]
    with av.open(str(tmp_path / name)) as container:
        first, second = container.streams.audio
        assert (first.layout.name, first.rate, second.rate) == (layout, 48000, 44100)
        heard = np.concatenate([frame.to_ndarray() for frame in container.decode(first)], 1)
    with av.open(str(source)) as container:
        expected = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], 1)
    heard = heard[:, -expected.shape[1] :]  # players of Matroska hear the encoder's run-in too
    assert np.array_equal(heard, expected)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("start", [Fraction(-1, 10), Fraction(0), Fraction(1, 4), Fraction(5)])
def test_sound_stays_in_step_with_the_picture(tmp_path, name, start):
    """`start` is that of the sound, the picture starts at 0.2 s."""
    times = [i * 512 + 2560 for i in range(20)]
    source = make_clip(
        tmp_path / "in.mkv", moving(20), time_base=Fraction(1, 12800), times=times, sounds=[Sound(start=start)]
    )
    video = read_video(source)
    write(tmp_path / name, video.frames, video.info, tracks=video.tracks)
    before, after = starts(video), starts(read_video(tmp_path / name))
    assert after[1] - after[0] == pytest.approx(float(before[1] - before[0]), abs=1e-3)
    assert min(after) <= Fraction(1, 1000)
    assert after[0] >= 0


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_what_is_cut_by_frames_stays_in_step_and_starts_at_once(tmp_path, name):
    source = make_clip(tmp_path / "in.mp4", moving(40), sounds=[Sound(seconds=1.6)])
    video = read_video(source, Selection(frames=(10, 30)))
    write(tmp_path / name, video.frames, video.info, tracks=video.tracks)
    after = read_video(tmp_path / name)
    everything = {data: time for data, time in packets_of(source, "audio")}
    packet = after.tracks[0].packets[3]
    first, _ = starts(after)
    sounded = packet.pts * after.tracks[0].time_base - first
    assert sounded == pytest.approx(float(everything[packet.data] - 10 / RATE), abs=2e-3)
    assert float(first) == pytest.approx(0, abs=0.05)  # Matroska has no negative times: two packets of lead-in at most


def test_subtitles_go_where_they_fit_and_the_rest_is_named(tmp_path):
    source = make_clip(tmp_path / "in.mkv", moving(25), sounds=[Sound()], texts=[Text()])
    video = read_video(source)
    assert write(tmp_path / "a.mkv", video.frames, video.info, tracks=video.tracks) == []
    shift = starts(read_video(tmp_path / "a.mkv"))[0] - starts(video)[0]
    kept = [(data, time - shift) for data, time in packets_of(tmp_path / "a.mkv", "subtitle")]
    assert kept == packets_of(source, "subtitle")
    warnings = write(tmp_path / "a.mp4", video.frames, video.info, tracks=video.tracks)
    assert len(warnings) == 1
    assert warnings[0].startswith("subtitle srt left out: ")
    assert [track.codec for track in read_video(tmp_path / "a.mp4").tracks] == ["aac"]


def test_the_language_of_a_track_is_kept(tmp_path):
    video = read_video(make_clip(tmp_path / "in.mkv", moving(12), sounds=[Sound()]))
    tracks = [replace(track, language="fin") for track in video.tracks]
    for name in ("a.mp4", "a.mkv"):
        write(tmp_path / name, video.frames, video.info, tracks=tracks)
        assert [track.language for track in read_video(tmp_path / name).tracks] == ["fin"]


def test_a_track_that_the_output_refuses_does_not_cost_the_video(tmp_path):
    video = read_video(make_clip(tmp_path / "in.mkv", moving(12), sounds=[Sound()]))
    (track,) = video.tracks
    packet = track.packets[0]
    endless = replace(track, packets=(replace(packet, pts=1 << 60, dts=1 << 60),))
    broken = replace(track, description=b"not a media file")
    other_kind = replace(track, kind="subtitle")
    for tracks in ([endless], [broken], [other_kind], [broken, track]):
        for name in ("a.mp4", "a.mkv"):
            warnings = write(tmp_path / name, video.frames, video.info, tracks=tracks, overwrite=True)
            assert len(warnings) == 1
            assert "left out: " in warnings[0]
            after = read_video(tmp_path / name)
            assert (len(after.frames), len(after.tracks)) == (12, len(tracks) - 1)


# When it goes wrong


@pytest.mark.parametrize(
    ("output", "options", "error"),
    [
        ("a.avi", {}, OutputError),
        ("a.snrv", {}, OutputError),
        ("a.mkv", {"crf": 20}, SettingsError),
        ("frames", {"preset": "fast"}, SettingsError),
        ("a.mp4", {"crf": 52}, SettingsError),
        ("a.mp4", {"preset": "ludicrous"}, SettingsError),
        ("none/a.mp4", {}, OutputError),
    ],
)
def test_outputs_and_options_that_cannot_be(tmp_path, output, options, error):
    with pytest.raises(error):
        write(tmp_path / output, moving(1), **options)
    assert list(tmp_path.iterdir()) == []


def interrupted(path, stop):
    with open_writer(path, info_of(moving(9)), overwrite=True) as writer:
        writer.write(moving(1)[0])
        raise stop


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.y4m", "frames"])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_nothing_and_harms_no_older_file(tmp_path, name, stop):
    write(tmp_path / name, moving(2))
    with pytest.raises(stop):
        interrupted(tmp_path / name, stop)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert len(read_video(tmp_path / name).frames) == 2


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.y4m", "frames"])
@pytest.mark.skipif(resource is None, reason="needs a limit on file sizes")
def test_a_disk_that_refuses_leaves_nothing(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (3, 96, 128, 3), np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OutputError, match=f"{name}: cannot be written: File too large"):
            write(tmp_path / name, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def write_to_a_full_disk(path, monkeypatch, room_for):
    def refuse(*_):
        raise av.error.OSError(errno.ENOSPC, "No space left on device", str(path))

    with open_writer(path, info_of(moving(2))) as writer:
        for number, frame in enumerate(moving(2)):
            if number == room_for:
                monkeypatch.setattr(writer, "_container", type("Full", (), {"mux": refuse})())
            writer.write(frame)


@pytest.mark.parametrize("room_for", [0, 1])
def test_a_disk_that_is_full_midway(tmp_path, monkeypatch, room_for):
    with pytest.raises(OutputError, match="a.mkv: cannot be written: No space left on device; free some space"):
        write_to_a_full_disk(tmp_path / "a.mkv", monkeypatch, room_for)
    assert list(tmp_path.iterdir()) == []


def test_names_that_look_like_urls(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a:b.mp4", "http:x.mkv", "50%d.mov"):
        write(name, moving(2))
        assert len(read_video(tmp_path / name).frames) == 2
