"""Which video of several is taken, and which images of a folder in which order; what is odd about it is told."""

import av
import numpy as np
import pytest
from av.stream import Disposition
from rich_clips import moving

from snerv_codec.media.reader import read_video
from snerv_codec.media.source import Selection
from snerv_codec.media.writer import write_image

# Videos


def several(path, videos):
    """A file of several videos of three frames: (height, width, whether it is the default)."""
    with av.open(str(path), "w") as container:
        streams = []
        for height, width, default in videos:
            stream = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "bgr0"
            stream.disposition = Disposition.default if default else Disposition(0)
            streams.append(stream)
        for stream, (height, width, _) in zip(streams, videos, strict=True):
            for number, frame in enumerate(moving(3, height, width)):
                picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
                picture.pts = number
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("videos", "taken"),
    [
        ([(32, 32, False), (64, 96, True)], 1),
        ([(64, 96, False), (32, 32, True)], 1),  # the default one, however small
        ([(32, 32, True), (64, 96, True)], 1),  # the largest of those
        ([(32, 32, False), (64, 96, False), (48, 64, False)], 1),
        ([(64, 96, False), (64, 96, False)], 0),  # the first of equals
    ],
)
def test_the_default_video_or_the_largest_is_taken_and_told(tmp_path, videos, taken):
    path = several(tmp_path / "a.mkv", videos)
    video = read_video(path)
    height, width, _ = videos[taken]
    assert video.frames.shape == (3, height, width, 3)
    sizes = ", ".join(f"{number}: {width}x{height}" for number, (height, width, _) in enumerate(videos))
    assert video.warnings == (f"video stream {taken} is taken of several ({sizes}); `stream` takes another",)
    for number, (height, width, _) in enumerate(videos):
        chosen = read_video(path, Selection(stream=number))
        assert chosen.frames.shape == (3, height, width, 3)
        assert chosen.warnings == ()


def test_one_video_is_taken_without_a_word(tmp_path):
    assert read_video(several(tmp_path / "a.mkv", [(32, 32, False)])).warnings == ()


# Folders


def folder(path, names):
    """A folder of images of these names; the red of each is 10 times its number here."""
    path.mkdir()
    for number, name in enumerate(names):
        pixels = np.full((32, 32, 3), (10 * number, 0, 0), np.uint8)
        target = path / name
        if name.lower().endswith("png"):
            write_image(path / "made.png", pixels)
        else:
            with av.open(str(path / "made.png"), "w", format="image2", options={"update": "1"}) as container:
                stream = container.add_stream("mjpeg", rate=1, options={"qscale": "1"})
                stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj444p"
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
                container.mux(stream.encode())
        (path / "made.png").rename(target)
    return path


def order(video):
    return [round(int(frame[..., 0].mean()) / 10) for frame in video.frames]


def told(video):
    return [warning for warning in video.warnings if "the rate is not told" not in warning]


@pytest.mark.parametrize(
    "names",
    [
        ["IMG_0001.JPG", "img_0002.jpg", "IMG_0003.JPG", "img_0004.jpg"],
        ["Frame8.png", "frame9.PNG", "FRAME10.png", "frame11.png"],
        ["a.png", "B.png", "c.png", "D.png"],
        ["shot1_frame9.png", "shot1_frame10.png", "Shot2_frame1.png"],
        ["f010.png", "f020.png", "f030.png"],  # every tenth, which is no gap
    ],
)
def test_folders_are_in_natural_order_whatever_the_case_of_letters(tmp_path, names):
    video = read_video(folder(tmp_path / "frames", names))
    assert order(video) == list(range(len(names)))
    assert told(video) == []


def test_images_of_several_kinds_are_told(tmp_path):
    video = read_video(folder(tmp_path / "frames", ["1.png", "2.jpg", "3.JPEG", "4.png"]))
    assert order(video) == [0, 1, 2, 3]
    assert told(video) == ["images of several kinds are taken as one sequence: 2 PNG, 2 JPEG"]


def test_images_of_the_same_number_are_told(tmp_path):
    video = read_video(folder(tmp_path / "frames", ["f01.png", "f1.png", "f2.png"]))
    assert len(video.frames) == 3
    assert told(video) == ["images with the same number are all taken: f01.png and f1.png"]


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ([1, 2, 4, 5], "3"),
        ([1, 2, 6, 7], "3 to 5"),
        ([0, 1, 3, 4, 6, 7, 9, 10, 12], "2, 5, 8 and 1 more"),
    ],
)
def test_missing_numbers_are_told(tmp_path, numbers, missing):
    video = read_video(folder(tmp_path / "frames", [f"f{number}.png" for number in numbers]))
    assert order(video) == list(range(len(numbers)))
    assert told(video) == [f"numbers are missing between images, which are taken to follow each other: {missing}"]


def test_what_is_no_image_is_passed_over(tmp_path):
    path = folder(tmp_path / "frames", ["1.png", "2.png"])
    (path / "notes.txt").write_text("x")
    (path / ".3.png").write_bytes(b"x")
    assert order(read_video(path)) == [0, 1]
