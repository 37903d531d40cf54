import subprocess

import av
import numpy as np
import pytest
from rich_clips import make_clip, moving, psnr, samples

from snerv_codec.bitstream.types import Color
from snerv_codec.errors import InputError
from snerv_codec.media.color import Converter, describe, refusal, sampling
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


def ycgco(red, green, blue, full):
    """Y, Cg and Co in 8 bits, by ITU-T H.273."""
    r, g, b = (value / 255 for value in (red, green, blue))
    y, cg, co = r / 4 + g / 2 + b / 4, -r / 4 + g / 2 - b / 4, r / 2 - b / 2
    least, luma, span = (0, 255, 255) if full else (16, 219, 224)
    return [round(least + luma * y), round(128 + span * cg), round(128 + span * co)]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("color", [(200, 40, 40), (40, 200, 40), (40, 40, 200), (255, 255, 255), (0, 0, 0)])
@pytest.mark.parametrize(("pix_fmt", "deep"), [("yuv444p", 1), ("yuv420p", 1), ("yuv444p10le", 4)])
def test_ycgco_is_converted_by_its_own_formula(pix_fmt, deep, color, full):
    red, green, blue = color
    frame = flat(pix_fmt, [deep * value for value in ycgco(red, green, blue, full)])
    frame.colorspace, frame.color_range = 8, FULL if full else LIMITED
    assert np.abs(Converter().to_rgb(frame) - np.array(color)).max() <= 2


def test_rgb_in_the_planes_of_yuv():
    frame = flat("yuv444p", [120, 30, 210])  # G, B, R
    frame.colorspace, frame.color_range = 0, FULL
    assert set(map(tuple, Converter().to_rgb(frame).reshape(-1, 3))) == {(210, 120, 30)}


@pytest.mark.parametrize(("primaries", "matrix"), [(1, 1), (9, 9)])
def test_matrices_derived_from_primaries(primaries, matrix):
    derived, named = flat("yuv444p", COLORS[0]), flat("yuv444p", COLORS[0])
    derived.colorspace, derived.color_primaries, named.colorspace = 12, primaries, matrix
    assert refusal(derived) is None
    assert np.array_equal(Converter().to_rgb(derived), Converter().to_rgb(named))


@pytest.mark.parametrize(
    ("matrix", "name"), [(10, "constant luminance"), (11, "SMPTE ST 2085"), (14, "ICtCp"), (12, "derived")]
)
def test_matrices_that_cannot_be_converted_are_refused(tmp_path, matrix, name):
    frames = [flat("yuv444p", COLORS[0])]
    path = make_clip(tmp_path / "a.mkv", frames, codec="ffv1", pix_fmt="yuv444p", tags=(2, 2, matrix, LIMITED))
    with pytest.raises(InputError, match=f"a.mkv: colours that are .*{name}.* cannot be converted; convert it"):
        read_video(path)


@pytest.mark.parametrize(("pix_fmt", "bits"), [("rgb48le", 16), ("rgb48be", 16), ("gbrp10le", 10), ("gbrp12le", 12)])
def test_deep_rgb_goes_to_the_nearest_of_8_bits(pix_fmt, bits):
    peak = (1 << bits) - 1
    values = np.linspace(0, peak, 4096).astype(np.uint16)
    rows = np.tile(values, (2, 1))
    frame = av.VideoFrame.from_ndarray(np.repeat(rows[..., None], 3, -1), format=pix_fmt)
    expected = np.floor(values.astype(np.int64) * 255 / peak + 0.5)
    assert np.array_equal(Converter().to_rgb(frame)[0, :, 0], expected)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("pix_fmt", "bits"), [("gray16le", 16), ("gray10le", 10)])
def test_deep_grey_goes_to_the_nearest_of_8_bits(pix_fmt, bits, full):
    values = np.linspace(0, (1 << bits) - 1, 4096).astype(np.uint16)
    frame = av.VideoFrame.from_ndarray(np.tile(values, (2, 1)), format=pix_fmt)
    frame.color_range = FULL if full else LIMITED
    step = 1 << (bits - 8)
    black, white = (0, (1 << bits) - 1) if full else (16 * step, 235 * step)
    expected = np.clip((values.astype(float) - black) / (white - black), 0, 1) * 255
    assert np.abs(Converter().to_rgb(frame)[0, :, 1] - expected).max() <= (0.501 if full else 0.51)


@pytest.mark.parametrize(("alpha", "told"), [(255, False), (250, True), (0, True)])
@pytest.mark.parametrize(("codec", "pix_fmt"), [("png", "rgba"), ("ffv1", "yuva420p")])
def test_transparency_that_is_dropped_is_told(tmp_path, codec, pix_fmt, alpha, told):
    frames = []
    for picture in moving(3):
        rgba = np.concatenate((picture, np.full((*picture.shape[:2], 1), 255, np.uint8)), axis=-1)
        frames.append(rgba)
    frames[1][20, 20, 3] = alpha
    made = [av.VideoFrame.from_ndarray(frame, format="rgba").reformat(format=pix_fmt) for frame in frames]
    video = read_video(
        make_clip(tmp_path / ("a.mov" if codec == "png" else "a.mkv"), made, codec=codec, pix_fmt=pix_fmt)
    )
    assert any("transparency is dropped" in warning for warning in video.warnings) == told
    assert psnr(video.frames, moving(3)) > 25


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
