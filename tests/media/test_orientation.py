"""Frames come as players show them, whatever way a camera held them."""

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from rich_clips import make_clip, moving, psnr

from snerv_codec.evaluation.evaluate import evaluate
from snerv_codec.media.mask import read_mask
from snerv_codec.media.reader import read_video
from snerv_codec.media.source import Selection

GREEN, RED, WHITE, BLUE = (0, 200, 0), (200, 0, 0), (220, 220, 220), (0, 0, 200)
QUARTERS = {"top left": (16, 24), "top right": (16, 72), "bottom left": (48, 24), "bottom right": (48, 72)}


def quarters(top_left, top_right, bottom_left, bottom_right):
    """A frame of 96x64 of four colours."""
    frame = np.empty((64, 96, 3), np.uint8)
    frame[:32, :48], frame[:32, 48:], frame[32:, :48], frame[32:, 48:] = top_left, top_right, bottom_left, bottom_right
    return frame


def with_matrix(path, frames, matrix):
    """A clip that players show through `matrix`, nine integers."""
    with av.open(str(path), "w") as container:
        height, width = frames.shape[1:3]
        stream = container.add_stream("libx264", rate=25, width=width, height=height, pix_fmt="yuv444p")
        stream.options = {"crf": "1"}
        stream.set_display_matrix(matrix)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_mirrored_pictures_are_mirrored_and_not_turned(tmp_path):
    stored = quarters(RED, GREEN, BLUE, WHITE)
    path = with_matrix(tmp_path / "a.mp4", stored[None], (-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30))
    video = read_video(path)
    seen = {name: video.frames[0][place].tolist() for name, place in QUARTERS.items()}
    for name, color in zip(QUARTERS, (GREEN, RED, WHITE, BLUE), strict=True):
        assert np.abs(np.subtract(seen[name], color)).max() <= 4
    assert video.warnings == ("frames are mirrored, as players show them",)


TURNS: dict[Any, Any] = {  # a, b, c, d of the matrix: what NumPy makes of the picture
    (1, 0, 0, 1): lambda picture: picture,
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (-1, 0, 0, -1): lambda picture: np.rot90(picture, 2),
    (0, 1, -1, 0): lambda picture: np.rot90(picture, -1),
    (0, -1, 1, 0): np.rot90,
    (0, 1, 1, 0): lambda picture: picture.swapaxes(0, 1),
    (0, -1, -1, 0): lambda picture: np.rot90(picture, 2).swapaxes(0, 1),
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("scale", [1 << 16, 40_000])
def test_every_turn_and_mirror_of_a_display_matrix(tmp_path, turn, scale):
    a, b, c, d = (scale * entry for entry in turn)
    path = with_matrix(tmp_path / "a.mp4", moving(3), (a, b, 0, c, d, 0, 5 << 16, 7 << 16, 1 << 30))
    video = read_video(path)
    expected = np.stack([TURNS[turn](frame) for frame in moving(3)])
    assert video.frames.shape == expected.shape
    assert psnr(video.frames, expected) > 45
    assert (video.info.height, video.info.width) == expected.shape[1:3]
    assert len(video.warnings) == (turn != (1, 0, 0, 1))


def test_other_angles_are_told(tmp_path):
    path = with_matrix(tmp_path / "a.mp4", moving(2), (56756, 32768, 0, -32768, 56756, 0, 0, 0, 1 << 30))
    video = read_video(path)
    assert psnr(video.frames, moving(2)) > 45
    assert video.warnings == ("the display matrix turns by no right angle: frames are coded as they are stored",)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_exif_orientations_of_images(tmp_path, kind, tag):
    pillow = pytest.importorskip("PIL.Image")
    operations = pytest.importorskip("PIL.ImageOps")
    (tmp_path / "in").mkdir()
    exif = pillow.Exif()
    exif[0x0112] = tag
    for number, frame in enumerate(moving(2)):
        buffer = io.BytesIO()
        pillow.fromarray(frame).save(buffer, kind, exif=exif, quality=95, subsampling=0)
        (tmp_path / "in" / f"{number}.{kind.lower()}").write_bytes(buffer.getvalue())
    expected = []
    for path in sorted((tmp_path / "in").iterdir()):
        expected.append(np.asarray(operations.exif_transpose(pillow.open(path)).convert("RGB")))
    video = read_video(tmp_path / "in")
    assert video.frames.shape == np.stack(expected).shape
    assert np.abs(video.frames.astype(int) - expected).max() <= 3


def test_images_that_were_held_differently_are_one_video_where_they_are_shown_alike(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    (tmp_path / "in").mkdir()
    for number, (tag, picture) in enumerate(((1, moving(1)[0]), (6, np.rot90(moving(1)[0])))):
        exif = pillow.Exif()
        exif[0x0112] = tag
        pillow.fromarray(np.ascontiguousarray(picture)).save(tmp_path / "in" / f"{number}.png", exif=exif)
    video = read_video(tmp_path / "in")
    assert np.array_equal(video.frames[0], video.frames[1])


def test_crops_masks_aspect_and_measures_are_of_what_is_seen(tmp_path):
    quarter = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    path = with_matrix(tmp_path / "a.mp4", moving(2), quarter)
    upright = np.stack([np.rot90(frame, -1) for frame in moving(2)])
    video = read_video(path, Selection(crop=(40, 20)))
    assert psnr(video.frames, upright[:, 12:52, 14:34]) > 45
    plain = make_clip(tmp_path / "b.mkv", list(np.ascontiguousarray(upright)), codec="ffv1", pix_fmt="bgr0")
    assert evaluate(path, plain, vmaf=False).summary["psnr"] > 45
    mask = np.zeros((1, 64, 48, 3), np.uint8)
    mask[:, :10] = 255
    missing = make_clip(tmp_path / "c.mkv", list(mask), codec="ffv1", pix_fmt="bgr0")
    known = read_mask(missing, read_video(path).info, Selection())
    assert not known[0, :10].any()
    assert known[0, 10:].all()
    wide = make_clip(tmp_path / "d.mp4", moving(2), aspect=Fraction(4, 3), rotation=90)
    assert read_video(wide).info.pixel_aspect == Fraction(3, 4)
