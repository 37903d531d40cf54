"""Frames of two fields: kept and told, or made whole."""

import subprocess
from fractions import Fraction

import av
import av.filter
import numpy as np
import pytest
from rich_clips import Sound, make_clip, moving, psnr

from snerv_codec.errors import InputError
from snerv_codec.media.reader import read_video
from snerv_codec.media.source import Selection
from snerv_codec.media.writer import open_writer


def sliding(moments, height=64, width=96):
    """A picture that slides two pixels a moment, (moments, height, width, 3)."""
    y, x = np.mgrid[:height, : width + 2 * moments]
    wide = np.stack((128 + 100 * np.sin(x / 9), 128 + 100 * np.sin((x + y) / 14), 128 + 100 * np.cos(x / 17)), -1)
    return np.stack([wide[:, 2 * t : 2 * t + width] for t in range(moments)]).astype(np.uint8)


def woven(moments, first):
    """Frames of two fields each, of which the `first` one, "top" or "bottom", shows the earlier moment."""
    early, late = moments[::2], moments[1::2]
    frames = (late if first == "top" else early).copy()
    frames[:, ::2] = (early if first == "top" else late)[:, ::2]
    return frames


def interlaced(path, first, count=12):
    """An H.264 file of interlaced frames, and the moments that they show."""
    moments = sliding(2 * count)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=96, height=64, pix_fmt="yuv444p")
        stream.options = {"crf": "1", "x264-params": "tff=1" if first == "top" else "bff=1"}
        marking = av.filter.Graph()
        source = marking.add_buffer(width=96, height=64, format=av.VideoFormat("yuv444p"), time_base=Fraction(1, 25))
        field = marking.add("setfield", "tff" if first == "top" else "bff")
        marking.link_nodes(source, field, marking.add("buffersink")).configure()
        for number, picture in enumerate(woven(moments, first)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv444p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            marking.push(frame)
            container.mux(stream.encode(marking.vpull()))
        container.mux(stream.encode())
    return path, moments


@pytest.mark.parametrize("first", ["top", "bottom"])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_interlaced_frames_come_as_they_are_and_it_is_told(tmp_path, name, first):
    path, moments = interlaced(tmp_path / name, first)
    video = read_video(path)
    assert video.info.scan == first
    assert psnr(video.frames, woven(moments, first)) > 45
    (warning,) = video.warnings
    assert warning.startswith(f"frames are interlaced, {first} field first, and coded as they are; `deinterlace`")


@pytest.mark.parametrize("first", ["top", "bottom"])
def test_whole_frames_are_made_of_the_field_that_comes_first(tmp_path, first):
    path, moments = interlaced(tmp_path / "a.mp4", first)
    video = read_video(path, Selection(deinterlace=True))
    assert (video.info.scan, video.warnings) == ("progressive", ())
    assert [time * video.info.time_base for time in video.info.timestamps] == [Fraction(i, 25) for i in range(12)]
    assert psnr(video.frames[1:-1], moments[2:-2:2]) > psnr(woven(moments, first)[1:-1], moments[2:-2:2]) + 6
    part = read_video(path, Selection(deinterlace=True, frames=(3, 7)))
    assert np.array_equal(part.frames, video.frames[3:7])


def test_deinterlacing_is_ffmpegs(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    path, _ = interlaced(tmp_path / "a.mp4", "top")
    filters = ["-vf", "bwdif=mode=send_frame", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    done = subprocess.run([ffmpeg, "-v", "error", "-i", path, *filters], check=True, stdout=subprocess.PIPE)
    theirs = np.frombuffer(done.stdout, np.uint8).reshape(12, 64, 96, 3)
    ours = read_video(path, Selection(deinterlace=True)).frames
    assert psnr(ours[1:], theirs[1:]) > 45  # the first one has nothing before it, which versions fill differently


@pytest.mark.parametrize("first", ["top", "bottom"])
@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.y4m"])
def test_the_flag_goes_into_what_is_written(tmp_path, name, first):
    path, _ = interlaced(tmp_path / "in.mp4", first)
    video = read_video(path)
    with open_writer(tmp_path / name, video.info) as writer:
        for frame in video.frames:
            writer.write(frame)
    assert writer.warnings == []
    after = read_video(tmp_path / name)
    assert after.info.scan == first
    assert psnr(after.frames, video.frames) > 30


def test_images_have_no_such_flag_which_is_told(tmp_path):
    video = read_video(interlaced(tmp_path / "in.mp4", "top")[0])
    with open_writer(tmp_path / "frames", video.info) as writer:
        for frame in video.frames:
            writer.write(frame)
    assert writer.warnings == ["frames are interlaced, top field first, which PNG has no flag for"]


@pytest.mark.parametrize(("top", "expected"), [(0, "top"), (1, "bottom"), (2, "top")])
def test_a_crop_that_begins_on_an_odd_row_changes_the_order(tmp_path, top, expected):
    path, _ = interlaced(tmp_path / "a.mp4", "top")
    assert read_video(path, Selection(crop=(64 - 2 * top, 96))).info.scan == expected


def test_dv_is_bottom_field_first(tmp_path):
    path = make_clip(tmp_path / "a.dv", moving(2, 576, 720), codec="dvvideo", pix_fmt="yuv420p")
    assert read_video(path).info.scan == "bottom"


def test_damage_is_found_behind_the_filter_too(tmp_path):
    kind = {"codec": "mjpeg", "pix_fmt": "yuvj420p", "options": {"qscale": "2"}, "sounds": [Sound("mp2", seconds=0.4)]}
    path = make_clip(tmp_path / "a.avi", moving(10), **kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"`frames` 0:\d+") as caught:
        read_video(path, Selection(deinterlace=True))
    there = int(str(caught.value).rpartition(":")[2])
    assert len(read_video(path, Selection(deinterlace=True, frames=(0, there))).frames) == there > 0


def test_progressive_frames_are_not_called_interlaced(tmp_path):
    video = read_video(make_clip(tmp_path / "a.mp4", moving(3)))
    assert (video.info.scan, video.warnings) == ("progressive", ())
