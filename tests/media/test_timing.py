"""When frames are shown and sound is heard, in all the ways in which files tell it, or do not."""

import io
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from rich_clips import RATE, Sound, make_clip, moving, packets_of
from surgery import drop_default_duration, set_edits, step_back

from snerv_codec.media.reader import read_video
from snerv_codec.media.source import Selection
from snerv_codec.media.timing import make_timeline
from snerv_codec.media.writer import open_writer

FILM = Fraction(24000, 1001)
MS = Fraction(1, 1000)


def seconds(video):
    return [time * video.info.time_base for time in video.info.timestamps]


def heard(video):
    """Start and end in seconds of each sound packet."""
    (track,) = video.tracks
    return [(p.pts * track.time_base, (p.pts + p.duration) * track.time_base) for p in track.packets]


def decode_to(path, video):
    with open_writer(path, video.info, tracks=video.tracks) as writer:
        for frame in video.frames:
            writer.write(frame)
    return writer.warnings


# Recordings that follow each other


def joined(folder, name="whole.ts", count=15):
    """Two equal recordings in a row, each with its own clock."""
    codec = {"codec": "mpeg2video", "options": {"bf": "2"}}
    part = make_clip(folder / "part.ts", moving(count), sounds=[Sound(seconds=count / 25)], **codec)
    (folder / name).write_bytes(2 * part.read_bytes())
    return folder / name


@pytest.mark.parametrize("output", ["a.mp4", "a.mov", "a.mkv"])
def test_recordings_in_a_row_go_on_where_the_one_before_ends(tmp_path, output):
    video = read_video(joined(tmp_path))
    assert len(video.frames) == 30
    steps = np.diff([float(time) for time in seconds(video)])
    assert np.delete(steps, 14) == pytest.approx([1 / 25] * 28, abs=1e-6)
    assert 1 / 25 <= steps[14] < 3 / 25  # the sound of the first recording may be longer than its picture
    assert any("times start anew 1 time" in warning for warning in video.warnings)
    sound = packets_of(tmp_path / "whole.ts", "audio")
    assert [packet.data for packet in video.tracks[0].packets] == [data for data, _ in sound]
    half = len(sound) // 2
    offset = heard(video)[half][0] - heard(video)[0][0]
    assert float(offset) == pytest.approx(15 / 25, abs=0.05)  # in step with the picture, to a packet or two
    assert decode_to(tmp_path / output, video) == []
    bare = [data[7:] for data, _ in sound]  # without the headers that a transport stream needs
    assert [data for data, _ in packets_of(tmp_path / output, "audio")] == bare


@pytest.mark.parametrize("milliseconds", [3, 25, 60])
def test_a_packet_a_few_milliseconds_back_costs_nothing(tmp_path, milliseconds):
    path = make_clip(tmp_path / "a.flv", moving(20), sounds=[Sound(seconds=0.8, rate=44100)])
    before = read_video(path)
    step_back(path, 8, 10, milliseconds)
    after = read_video(path)
    assert [p.data for p in after.tracks[0].packets] == [p.data for p in before.tracks[0].packets]
    moved = [a != b for a, b in zip(heard(after), heard(before), strict=True)]
    assert sum(moved) <= 1
    for name in ("a.mp4", "a.mkv"):
        assert decode_to(tmp_path / name, after) == []
        assert len(packets_of(tmp_path / name, "audio")) == len(before.tracks[0].packets)


def test_a_frame_a_few_milliseconds_back_is_moved_by_the_least(tmp_path):
    path = make_clip(tmp_path / "a.flv", moving(20), options={"bf": "0"})
    step_back(path, 9, 11, 42)
    video = read_video(path)
    expected = [i / RATE for i in range(20)]
    expected[10] = expected[9] + MS
    assert [time - seconds(video)[0] for time in seconds(video)] == expected
    assert any("1 frame whose times step back: moved by up to" in warning for warning in video.warnings)


# Containers without presentation times


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("bframes", ["0", "2"])
def test_avi_shows_its_first_frame_at_once_whatever_the_order_of_coding(tmp_path, codec, bframes):
    path = make_clip(
        tmp_path / "a.avi",
        moving(20),
        codec=codec,
        rate=Fraction(10),
        options={"bf": bframes},
        sounds=[Sound("pcm_s16le", seconds=2)],
    )
    video = read_video(path)
    assert seconds(video) == [Fraction(i, 10) for i in range(20)]
    assert video.info.final_duration * video.info.time_base == Fraction(1, 10)
    assert heard(video)[0][0] == 0
    cut = read_video(path, Selection(frames=(5, 12)))
    assert seconds(cut) == [Fraction(i, 10) for i in range(7)]
    assert np.array_equal(cut.frames, video.frames[5:12])


def test_gaps_of_avi_stay(tmp_path):
    times = [*range(5), *range(8, 15)]
    path = make_clip(tmp_path / "a.avi", moving(12), codec="libx264", times=times, options={"bf": "0"})
    assert seconds(read_video(path)) == [time / RATE for time in times]


# Edit lists


def edited(folder, edits_of, **options):
    """All frames of a clip of 60 with as much sound, and its path with `edits_of(ticks a second, first tick)` for each.

    They are of one file, as encoders need not make the same of the same frames twice.
    """
    path = make_clip(folder / "a.mp4", moving(60), sounds=[Sound(seconds=2.4)], options=options)
    whole = read_video(path).frames
    set_edits(path, 0, edits_of(12800, 1024 if options["bf"] == "2" else 0))
    return whole, set_edits(path, 1, edits_of(48000, 1024))


@pytest.mark.parametrize("bframes", ["0", "2"])
def test_what_a_player_shows_of_a_trimmed_file_is_what_comes(tmp_path, bframes):
    def middle(rate, first):
        return [(1000, first + rate * 2 // 5)]  # a second from 0.4 s on

    whole, path = edited(tmp_path, middle, bf=bframes, g="12")
    video = read_video(path)
    assert np.array_equal(video.frames, whole[10:35])
    assert seconds(video) == [i / RATE for i in range(25)]
    packets = heard(video)
    packet = Fraction(1024, 48000)
    assert -2 * packet <= packets[0][0] < 0  # one for the decoder to start with
    assert 1 <= packets[-1][1] < 1 + packet
    for name in ("a.mov", "a.mkv"):
        assert decode_to(tmp_path / name, video) == []
        assert len(read_video(tmp_path / name).frames) == 25


def test_several_edits_and_a_late_start(tmp_path):
    def scenes(rate, first):
        return [(200, -1), (400, first + rate), (400, first)]  # nothing, then 1.0 to 1.4 s, then 0 to 0.4 s

    whole, path = edited(tmp_path, scenes, bf="0", g="1")
    video = read_video(path)
    assert np.array_equal(video.frames, np.concatenate((whole[25:35], whole[:10])))
    assert seconds(video) == [Fraction(1, 5) + i / RATE for i in range(20)]


# Rates


@pytest.mark.parametrize(
    ("name", "codec"), [("a.h264", "libx264"), ("a.hevc", "libx265"), ("a.m2v", "mpeg2video"), ("a.mpg", "mpeg2video")]
)
def test_the_rate_inside_a_stream_counts(tmp_path, name, codec):
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    video = read_video(make_clip(tmp_path / name, moving(17), codec=codec, rate=FILM, options=quiet))
    assert video.info.rate == FILM
    first = seconds(video)[0]
    assert [float(time - first) for time in seconds(video)] == pytest.approx([i / float(FILM) for i in range(17)])
    assert video.warnings == ()


@pytest.mark.parametrize("name", ["a.mkv", "a.flv", "a.ts"])
@pytest.mark.parametrize("rate", [FILM, Fraction(30000, 1001), Fraction(60), Fraction(12)])
def test_times_that_were_rounded_to_a_container_clock_become_exact(tmp_path, name, rate):
    video = read_video(make_clip(tmp_path / name, moving(50), rate=rate))
    assert video.info.rate == rate
    first = seconds(video)[0]
    assert [time - first for time in seconds(video)] == [i / rate for i in range(50)]
    assert video.info.final_duration * video.info.time_base == 1 / rate


@pytest.mark.parametrize("count", [1, 20])
def test_a_recording_without_a_rate(tmp_path, count):
    times = [0, 5, 41, 72, 110, 171, 202, 239, 263, 317, 345, 402, 431, 477, 506, 553, 611, 640, 688, 719][:count]
    kind = {"codec": "libvpx", "options": {"cpu-used": "8", "deadline": "realtime"}}
    path = make_clip(tmp_path / "a.webm", moving(count), time_base=MS, times=times, **kind)
    info = read_video(drop_default_duration(path)).info
    assert [time * info.time_base for time in info.timestamps] == [time * MS for time in times]
    assert float(info.rate) == pytest.approx(25 if count == 1 else 19 / 0.719, abs=0.1)
    assert 0.02 < info.final_duration * info.time_base < 0.05


def test_a_single_frame_of_dv(tmp_path):
    frames = moving(1, 576, 720)
    path = make_clip(tmp_path / "a.dv", frames, codec="dvvideo", pix_fmt="yuv420p")
    info = read_video(path).info
    assert (info.frame_count, info.rate, info.duration) == (1, 25, Fraction(1, 25))


def y4m(count, header):
    return header + count * (b"FRAME\n" + bytes(16 * 16 * 3))


def test_y4m_without_a_rate_takes_the_one_that_is_given(tmp_path, monkeypatch):
    data = y4m(3, b"YUV4MPEG2 W16 H16 C444\n")
    (tmp_path / "a.y4m").write_bytes(data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    for source in (tmp_path / "a.y4m", "-"):
        video = read_video(source, Selection(rate=Fraction(10)))
        assert (video.info.rate, video.warnings) == (10, ())
    video = read_video(tmp_path / "a.y4m")
    assert video.info.rate == 25
    assert video.warnings == ("the rate is not told: 25 frames/s assumed; `rate` gives another",)


def test_a_jump_of_an_hour_is_told(tmp_path):
    times = [*range(5), *(90_000 + i for i in range(5))]
    path = make_clip(tmp_path / "a.mp4", moving(10), times=times, options={"bf": "0"})
    video = read_video(path)
    assert seconds(video) == [time / RATE for time in times]
    assert "frame 4 stays for 3599.84 s: the times jump there" in video.warnings


def test_a_jump_of_a_broadcast_clock_is_closed(tmp_path):
    parts = []
    for number, start in enumerate((0, 90_000)):
        times = [start + i for i in range(10)]
        kind = {"codec": "mpeg2video", "options": {"bf": "0"}}
        part = make_clip(tmp_path / f"{number}.ts", moving(10), times=times, **kind)
        parts.append(part.read_bytes())
    (tmp_path / "a.ts").write_bytes(b"".join(parts))
    video = read_video(tmp_path / "a.ts")
    assert video.info.frame_count == 20
    assert float(video.info.duration) == pytest.approx(20 / 25, abs=0.05)
    assert any("times start anew 1 time" in warning for warning in video.warnings)


# The arithmetic alone


@pytest.mark.parametrize(
    ("times", "rate", "expected"),
    [
        ([None, 40, None, None, 160, None], 25, [0, 40, 80, 120, 160, 200]),
        ([0, 40, 39, 120], 25, [0, 40, 41, 120]),
        ([7], 25, [7]),
        ([0, 500, 510], None, [0, 500, 510]),
    ],
)
def test_missing_times_are_filled_in_and_steps_back_undone(times, rate, expected):
    line = make_timeline(times, MS, rate and Fraction(rate))
    assert [time * line.base for time in line.times] == [time * MS for time in expected]


def test_times_of_no_use_give_a_constant_rate():
    line = make_timeline([5, 4, 3, 2, 1], MS, Fraction(10))
    assert (line.rate, line.times, line.base) == (10, (0, 1, 2, 3, 4), Fraction(1, 10))
    assert "out of order" in line.notes[0]


def test_a_long_last_frame_stays_long():
    line = make_timeline([0, 42, 83], MS, FILM, last=5000)
    assert (line.last * line.base, line.rate) == (pytest.approx(5), FILM)


def test_a_frame_in_avi_between_others_keeps_its_picture(tmp_path):
    path = make_clip(tmp_path / "a.avi", moving(12), codec="libx264", options={"bf": "3", "crf": "1"})
    with av.open(str(path)) as container:
        count = sum(packet.size > 0 for packet in container.demux(video=0))
    video = read_video(path)
    assert (count, len(video.frames)) == (12, 12)
    errors = np.abs(video.frames.astype(int) - moving(12)).mean(axis=(1, 2, 3))
    assert errors.max() < 5
