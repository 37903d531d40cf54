import subprocess

import av
import numpy as np
import pytest
from rich_clips import make_clip, moving, psnr, samples

from snerv_codec.bitstream.types import Color
from snerv_codec.media.color import Converter, describe, sampling
from snerv_codec.media.reader import read_video
from snerv_codec.media.source import Selection

# H.273's matrix number: the weights of red and blue in luma (ITU-R BT.709, BT.601, BT.2020, SMPTE 240M)
WEIGHTS = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593), 7: (0.212, 0.087), 2: (0.299, 0.114)}
LIMITED, FULL = 1, 2


def rgb_of(y, u, v, matrix, full, bits=8):
    """Float RGB in 0..255 of one colour, by the definition in BT.601, BT.709 and BT.2020."""
    red, blue = WEIGHTS[matrix]
    scale, peak = 1 << (bits - 8), (1 << bits) - 1
    luma = y / peak if full else (y - 16 * scale) / (219 * scale)
    span = peak if full else 224 * scale
    pb, pr = (u - 128 * scale) / span, (v - 128 * scale) / span
    r, b = luma + 2 * (1 - red) * pr, luma + 2 * (1 - blue) * pb
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.array((r, g, b)), 0, 1) * 255


def flat(pix_fmt, values, height=18, width=34):
    """A frame of one colour."""
    kind = np.uint8 if max(values) < 256 else np.dtype("<u2")
    probe = av.VideoFrame(width, height, pix_fmt)
    return samples(pix_fmt, [np.full((p.height, p.width), v, kind) for p, v in zip(probe.planes, values, strict=True)])


COLORS = [(180, 90, 160), (81, 90, 200), (120, 170, 100), (60, 128, 128)]
# Code values by which the converter may miss the formula: its default for subsampled chroma is coarse.
FORMATS = {"yuv444p": (8, 1), "yuv444p10le": (10, 1), "yuv420p": (8, 4), "yuv422p": (8, 4), "yuv420p10le": (10, 4)}


@pytest.mark.parametrize("pix_fmt", FORMATS)
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
@pytest.mark.parametrize("matrix", WEIGHTS)
def test_colours_follow_the_files_own_matrix_and_range(pix_fmt, color_range, matrix):
    bits, tolerance = FORMATS[pix_fmt]
    for color in COLORS:
        y, u, v = (value << (bits - 8) for value in color)
        frame = flat(pix_fmt, (y, u, v))
        frame.colorspace, frame.color_range = matrix, color_range
        expected = rgb_of(y, u, v, matrix, color_range == FULL, bits)
        assert np.abs(Converter().to_rgb(frame) - expected).max() <= tolerance


def test_a_file_keeps_its_matrix_and_range_on_the_way_in(tmp_path):
    for matrix, color_range in ((1, FULL), (9, LIMITED)):
        frames = [flat("yuv444p", color) for color in COLORS]
        tags = (1, 1, matrix, color_range)
        video = read_video(make_clip(tmp_path / "c.mkv", frames, codec="ffv1", pix_fmt="yuv444p", tags=tags))
        assert video.info.color == Color(1, 1, matrix, color_range == FULL)
        for pixels, color in zip(video.frames, COLORS, strict=True):
            assert np.abs(pixels - rgb_of(*color, matrix, color_range == FULL)).max() <= 1


@pytest.mark.parametrize(
    ("color_range", "value", "expected"),
    [(FULL, 77, 77), (LIMITED, 16, 0), (LIMITED, 235, 255), (LIMITED, 126, 128), (0, 16, 0), (LIMITED, 3, 0)],
)
def test_grey_follows_its_range(color_range, value, expected):
    frame = flat("gray", [value])
    frame.color_range = color_range
    assert set(Converter().to_rgb(frame).flat) == {expected}


def test_deep_grey_follows_its_range():
    frame = flat("gray10le", [64 + 876 // 2])
    frame.color_range = LIMITED
    assert np.abs(Converter().to_rgb(frame) - 127.5).max() <= 1


@pytest.mark.parametrize(
    ("pix_fmt", "expected"),
    [
        ("yuv420p", (8, "420")),
        ("yuv422p10le", (10, "422")),
        ("yuv444p", (8, "444")),
        ("yuv444p12le", (12, "444")),
        ("yuva420p", (8, "420")),
        ("nv12", (8, "420")),
        ("gray", (8, "400")),
        ("ya8", (8, "400")),
        ("gray10le", (10, "400")),
        ("rgb24", (8, "rgb")),
        ("gbrp10le", (10, "rgb")),
        ("rgb48le", (16, "rgb")),
        ("pal8", (8, "rgb")),
    ],
)
def test_depth_and_sampling_of_formats(pix_fmt, expected):
    assert sampling(av.VideoFrame(64, 32, pix_fmt)) == expected


@pytest.mark.parametrize("pix_fmt", ["rgb24", "gray"])
def test_rgb_and_grey_have_no_matrix(pix_fmt):
    frame = av.VideoFrame(64, 32, pix_fmt)
    frame.colorspace, frame.color_range = 0, FULL
    assert describe(frame) == Color(matrix=2, full_range=True if pix_fmt == "gray" else None)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", WEIGHTS)
def test_rgb_goes_out_by_the_matrix_and_range_that_are_named(matrix, full):
    frame = Converter().from_rgb(moving(1)[0], "yuv444p", Color(matrix=matrix, full_range=full))
    y, u, v = (np.frombuffer(memoryview(p), np.uint8).reshape(p.height, -1)[:, : p.width] for p in frame.planes)
    red, blue = WEIGHTS[matrix]
    r, g, b = np.moveaxis(moving(1)[0] / 255, -1, 0)
    luma = red * r + (1 - red - blue) * g + blue * b
    spans, offset = ((255, 255), 0) if full else ((219, 224), 16)
    assert np.abs(y - (offset + spans[0] * luma)).max() <= 1
    assert np.abs(u - (128 + spans[1] * (b - luma) / (2 - 2 * blue))).max() <= 1.5
    assert np.abs(v - (128 + spans[1] * (r - luma) / (2 - 2 * red))).max() <= 1.5
    assert (frame.colorspace, frame.color_range) == (matrix, FULL if full else LIMITED)


def test_a_round_trip_through_yuv_keeps_the_picture():
    picture, converter = moving(1, 96, 128)[0], Converter()
    for pix_fmt, least in (("yuv444p", 48), ("yuv420p", 40)):
        frame = converter.from_rgb(picture, pix_fmt, Color(matrix=1, full_range=False))
        assert psnr(converter.to_rgb(frame), picture) > least


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "nv12", "yuv420p10le", "yuv422p10le"])
@pytest.mark.parametrize("size", [(64, 96), (61, 97)])
def test_frames_are_those_of_ffmpegs_default_conversion(tmp_path, pix_fmt, size):
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    height, width = size
    noise = np.random.default_rng(1).integers(0, 256, (2, height, width, 3), np.uint8)
    (tmp_path / "in.rgb").write_bytes((noise // 2 + moving(2, height, width) // 2).tobytes())

    def convert(source, source_format, target_format):
        raw = [ffmpeg, "-v", "error", "-f", "rawvideo", "-s", f"{width}x{height}"]
        into = ["-pix_fmt", source_format, "-i", str(source), "-f", "rawvideo", "-pix_fmt", target_format, "-"]
        return subprocess.run([*raw, *into], check=True, stdout=subprocess.PIPE).stdout

    (tmp_path / "in.yuv").write_bytes(convert(tmp_path / "in.rgb", "rgb24", pix_fmt))
    theirs = np.frombuffer(convert(tmp_path / "in.yuv", pix_fmt, "rgb24"), np.uint8).reshape(noise.shape)
    ours = read_video(tmp_path / "in.yuv", Selection(video_size=(width, height), pix_fmt=pix_fmt)).frames
    assert np.array_equal(ours, theirs)
