"""Files that name others: nothing but the file that the user gave is opened."""

import os
import subprocess
import sys

import av
import numpy as np
import pytest
from rich_clips import RATE, make_clip, moving

from snerv_codec.errors import InputError
from snerv_codec.media.alone import NOT_ALONE, OPTIONS
from snerv_codec.media.reader import read_video
from snerv_codec.media.writer import png_bytes

LISTS = {
    "ffconcat": "ffconcat version 1.0\nfile {0}\n",
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{0}\n#EXT-X-ENDLIST\n",
    "m3u8 of a file": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:{1}\n#EXT-X-ENDLIST\n",
    "mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    '<Representation id="0" bandwidth="1" mimeType="video/mp4"><BaseURL>{0}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
}
READ = "import sys; from snerv_codec.media.reader import read_video; read_video(sys.argv[1])"


def read_apart(path):
    """What reading says, by another process that hangs where it opens a pipe that nobody writes to."""
    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, timeout=120)
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("name", ["list.mp4", "list.m3u8", "list.png"])
def test_what_a_list_names_is_not_even_opened(tmp_path, kind, name):
    os.mkfifo(tmp_path / "a.ts")
    (tmp_path / name).write_text(LISTS[kind].format("a.ts", tmp_path / "a.ts"))
    assert "a list of other files, not a video; give it one of those" in read_apart(tmp_path / name)


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_among_the_images_of_a_folder(tmp_path, kind):
    """An image of 64x48, and a list of one of another size, which would be taken for the second frame."""
    folder = tmp_path / "frames"
    folder.mkdir()
    (folder / "1.png").write_bytes(png_bytes(moving(1)[0]))
    make_clip(tmp_path / "secret.mkv", moving(1), codec="ffv1", pix_fmt="bgr0")
    (folder / "2.png").write_text(LISTS[kind].format("../secret.mkv", tmp_path / "secret.mkv"))
    with pytest.raises(InputError, match=r"2.png: not an image that can be read: neither PNG nor JPEG"):
        read_video(folder)


def test_a_name_that_is_a_pattern_is_only_a_name(tmp_path):
    frames = moving(3)
    for name, frame in zip(("1.png", "%d.png", "[0-9].png"), frames, strict=True):
        (tmp_path / name).write_bytes(png_bytes(frame))
    for name, frame in zip(("1.png", "%d.png", "[0-9].png"), frames, strict=True):
        assert np.array_equal(read_video(tmp_path / name).frames, frame[None])
    assert len(read_video(tmp_path).frames) == 3


def test_images_are_what_their_bytes_say(tmp_path):
    """A JPEG that is called PNG is one; animations keep their frames."""
    image = av.CodecContext.create("mjpeg", "w")
    image.width, image.height, image.pix_fmt, image.time_base = 64, 48, "yuvj420p", RATE
    frame = av.VideoFrame.from_ndarray(moving(1)[0], format="rgb24").reformat(format="yuvj420p")
    (tmp_path / "wrong.png").write_bytes(b"".join(map(bytes, [*image.encode(frame), *image.encode(None)])))
    assert read_video(tmp_path / "wrong.png").frames.shape == (1, 48, 64, 3)
    assert read_video(tmp_path).frames.shape == (1, 48, 64, 3)
    moved = tmp_path / "moving"
    moved.mkdir()
    make_clip(moved / "a.apng", moving(4), codec="apng", pix_fmt="rgb24")
    os.rename(moved / "a.apng", moved / "a.png")
    assert np.array_equal(read_video(moved / "a.png").frames, moving(4))
    assert np.array_equal(read_video(moved).frames, moving(1))


def test_formats_that_open_others_are_not_guessed():
    allowed = set(OPTIONS["format_whitelist"].split(","))
    assert not allowed & NOT_ALONE
    assert allowed >= {"mov", "matroska", "mpegts", "avi", "flv", "yuv4mpegpipe", "rawvideo", "png_pipe", "h264", "dv"}
