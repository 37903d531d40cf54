"""Frames read from the middle of a source are those that a read of all of it gives, bit for bit."""

import numpy as np
import pytest
from fates import IN
from rich_clips import make_clip, moving
from test_choice import folder

from snerv_codec.errors import InputError, ResourceError
from snerv_codec.media.reader import open_video, read_video
from snerv_codec.media.run import Run
from snerv_codec.media.seek import read_run
from snerv_codec.media.source import Landmark, Selection

GROUPS = {"g": "20", "bf": "3"}
OPEN = {"options": {**GROUPS, "x264-params": "open-gop=1:b-adapt=0"}}
LOSSLESS = {"codec": "ffv1", "pix_fmt": "bgr0"}
MPEG2 = {"codec": "mpeg2video", "options": {"g": "15", "bf": "2"}}
ALTERNATE = {"cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "20", "g": "20"}
EASY = Selection()


def noted(source, selection=EASY):
    """All frames of a source, and what they are found by again."""
    with open_video(source, selection, noted=True) as stream:
        stream.skip()
        run = stream.run()
    whole = read_video(source, selection).frames
    assert len(run.checksums) == len(whole)
    return whole, run


def assert_found(source, selection=EASY):
    """The first third of the frames, the second, the last, and one alone."""
    whole, run = noted(source, selection)
    count, first = len(whole), run.first
    for start, stop in ((0, count // 3), (count // 3, 2 * count // 3), (2 * count // 3, count), (count - 1, count)):
        if start < stop:
            part = run.part(first + start, first + stop)
            assert np.array_equal(read_run(source, selection, part), whole[start:stop])


CONTAINERS = [
    ("a.mp4", OPEN),
    ("a.ts", OPEN),
    ("a.h264", OPEN),
    ("b.mkv", LOSSLESS),
    ("a.mpg", MPEG2),
]
MORE = [
    ("a.mkv", OPEN),
    ("a.flv", OPEN),
    ("a.avi", OPEN),
    ("b.mp4", {"options": {"g": "20", "bf": "0", "x264-params": "intra-refresh=1"}}),
    ("c.mp4", {"options": GROUPS, "container_options": {"movflags": "+frag_keyframe+empty_moov"}}),
    ("b.ts", MPEG2),
    ("a.webm", {"codec": "libvpx", "options": ALTERNATE}),
    ("a.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
]


@pytest.mark.parametrize(
    ("name", "kind"), [*CONTAINERS, *(pytest.param(*each, marks=pytest.mark.slow) for each in MORE)]
)
def test_any_container(tmp_path, name, kind):
    assert_found(make_clip(tmp_path / name, moving(90), **kind))


@pytest.mark.parametrize("row", [row for row in IN if not row.fate.startswith("refused")], ids=lambda row: row.name)
def test_what_goes_wrong_with_a_source(tmp_path, row):
    assert_found(row.make(tmp_path), Selection(deinterlace=row.deinterlace))


def test_samples_without_a_container(tmp_path):
    frames = moving(100)
    pictures = b"".join(b"FRAME\n" + frame.transpose(2, 0, 1).tobytes() for frame in frames)
    (tmp_path / "a.y4m").write_bytes(b"YUV4MPEG2 W64 H48 C444 F25:1\n" + pictures)
    assert_found(tmp_path / "a.y4m")
    (tmp_path / "a.rgb").write_bytes(frames.tobytes())
    assert_found(tmp_path / "a.rgb", Selection(video_size=(64, 48), pix_fmt="rgb24", crop=(32, 16)))
    assert_found(folder(tmp_path / "frames", [f"{number}.png" for number in range(40)]))


@pytest.mark.parametrize("options", [{}, {"deinterlace": True}, {"frames": (50, 110), "crop": (32, 48)}])
def test_a_selection_is_made_of_what_is_found(tmp_path, options):
    assert_found(make_clip(tmp_path / "a.mkv", moving(110), options=GROUPS), Selection(**options))


def test_pictures_that_stand_still_are_told_apart_by_what_follows(tmp_path):
    still = moving(120)
    still[30:100] = still[30]
    whole, run = noted(make_clip(tmp_path / "a.mkv", still, **LOSSLESS))
    for start, stop in ((60, 110), (90, 101), (95, 120), (40, 50)):
        assert np.array_equal(read_run(tmp_path / "a.mkv", EASY, run.part(start, stop)), whole[start:stop])


def test_what_comes_long_before_is_not_read(tmp_path):
    path = make_clip(tmp_path / "a.mov", moving(100), codec="png", pix_fmt="rgb24")
    whole, run = noted(path)
    data = path.read_bytes()
    path.write_bytes(data[:4000] + bytes(1000) + data[5000:])
    with pytest.raises(InputError, match="damaged"):
        read_video(path)
    assert np.array_equal(read_run(path, EASY, run.part(70, 90)), whole[70:90])
    with pytest.raises(InputError, match="damaged"):
        read_run(path, EASY, run.part(0, 20))


@pytest.mark.parametrize(
    "wrong",
    [Landmark(0), Landmark(30, time=10**15), Landmark(30, time=-(10**15)), Landmark(2, time=3000), Landmark(69, 40, 7)],
)
@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
def test_a_landmark_that_leads_elsewhere_costs_time_alone(tmp_path, name, wrong):
    path = make_clip(tmp_path / name, moving(100), options=GROUPS)
    whole, run = noted(path)
    lost = Run(70, run.checksums[70:90], (wrong,))
    assert np.array_equal(read_run(path, EASY, lost), whole[70:90])


def test_other_frames_than_those_that_were_noted_are_told(tmp_path):
    frames = moving(40)
    (tmp_path / "a.rgb").write_bytes(frames.tobytes())
    selection = Selection(video_size=(64, 48), pix_fmt="rgb24")
    _, run = noted(tmp_path / "a.rgb", selection)
    frames[25, 7, 9] ^= 1
    (tmp_path / "a.rgb").write_bytes(frames.tobytes())
    with pytest.raises(InputError, match=r"a\.rgb: has changed since it was planned"):
        read_run(tmp_path / "a.rgb", selection, run.part(20, 30))
    assert np.array_equal(read_run(tmp_path / "a.rgb", selection, run.part(30, 40)), frames[30:])


def test_frames_that_do_not_fit_the_memory_are_told_before_they_are_read(tmp_path):
    path = make_clip(tmp_path / "a.mkv", moving(100), **LOSSLESS)
    _, run = noted(path)
    with pytest.raises(ResourceError, match="more than 11 frames do not fit"):
        read_run(path, EASY, run.part(70, 90), memory=11 * 64 * 48 * 3)
