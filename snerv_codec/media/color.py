"""Between a file's samples and RGB: the only place that converts colours.

A video without a matrix tag is taken for BT.601, as ffmpeg does (the frames of the NeRV papers come from
it); one without a range tag for limited range, unless its pixel format says otherwise. Pixels come in by the
scaler's default (bicubic chroma), so that they are the ones those frame sets hold, and go out by its most exact.
"""

from dataclasses import replace
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from snerv_codec.bitstream.types import Chroma, Color
from snerv_codec.media.picture import RGB8, Pixels

# ITU-T H.273's numbers of matrix coefficients
IDENTITY, BT709, UNSPECIFIED, BT601, YCGCO, DERIVED = 0, 1, 2, 6, 8, 12
MATRICES = {  # those that the converter knows
    BT709: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
DERIVED_FROM = {1: Colorspace.ITU709, 9: Colorspace.BT2020}  # by primaries: those of whose chromaticities they are made
REFUSED = {
    10: "BT.2020 with constant luminance",
    11: "SMPTE ST 2085",
    DERIVED: "derived from the primaries",
    13: "derived from the primaries, with constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
# Rows R, G, B of what the converter does not know, over Y and centred U and V.
BY_HAND = {
    IDENTITY: np.array(((0, 0, 1), (1, 0, 0), (0, 1, 0)), np.float32),
    YCGCO: np.array(((1, -1, 1), (1, 1, 0), (1, -1, -1)), np.float32),
}
MATRIX_NAMES = {
    Colorspace.ITU709: "BT.709",
    Colorspace.FCC: "FCC",
    Colorspace.ITU601: "BT.601",
    Colorspace.SMPTE240M: "SMPTE 240M",
    Colorspace.BT2020: "BT.2020",
}
FULL_RANGE = 2  # ffmpeg's number for it
FULL: dict[str, Any] = {"src_color_range": ColorRange.JPEG, "dst_color_range": ColorRange.JPEG}
DEEP = (1 << 16) - 1
TO_RGB = Interpolation.BICUBIC
FROM_RGB = Interpolation.BICUBIC | Interpolation.ACCURATE_RND
# 8-bit grey of limited range to full; the converter takes all grey for full.
WIDER_GREY = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)


def describe(frame: av.VideoFrame) -> Color:
    """The colour tags of a decoded frame; one in RGB or grey has no matrix, and in RGB no range."""
    ranges = {1: False, FULL_RANGE: True}
    _, chroma = sampling(frame)
    return Color(
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        matrix=UNSPECIFIED if chroma in ("rgb", "400") else int(frame.colorspace),
        full_range=None if chroma == "rgb" else ranges.get(int(frame.color_range)),
    )


def sampling(frame: av.VideoFrame) -> tuple[int, Chroma]:
    """Bits a sample, and how chroma is sampled."""
    components = frame.format.components
    depth = min(16, max(component.bits for component in components))  # floats count as 16
    if frame.format.is_rgb or frame.format.has_palette:
        return depth, "rgb"
    if len(components) < 3:  # grey, perhaps with alpha
        return depth, "400"
    chroma = components[1]
    halved = (chroma.width < frame.width, chroma.height < frame.height)
    by_halves: dict[tuple[bool, bool], Chroma] = {(True, True): "420", (True, False): "422", (False, False): "444"}
    return depth, by_halves.get(halved, "420")


def matrix_of(color: Color) -> Colorspace:
    """The matrix by which a video with these tags is converted, where the converter does it."""
    if color.matrix == DERIVED:
        return DERIVED_FROM.get(color.primaries, Colorspace.ITU601)
    return MATRICES.get(color.matrix, Colorspace.ITU601)


def refusal(frame: av.VideoFrame) -> str | None:
    """What a frame's colours are that cannot be converted; None where they can."""
    color, (_, chroma) = describe(frame), sampling(frame)
    if color.matrix == DERIVED and color.primaries in DERIVED_FROM:
        return None
    return None if chroma in ("rgb", "400") else REFUSED.get(color.matrix)


def written(color: Color, chroma: Chroma) -> Color:
    """The tags of YUV that is made of a video with these: its own, or BT.709 where its matrix is none of YUV's."""
    if chroma == "rgb":  # with no matrix, so we name the one we take
        return replace(color, matrix=BT709, full_range=False)
    return color if color.matrix in (UNSPECIFIED, *MATRICES) else replace(color, matrix=BT709)


def range_number(color: Color) -> int:
    """ffmpeg's number for a range."""
    return {None: 0, False: 1, True: FULL_RANGE}[color.full_range]


def measured_in(color: Color, chroma: Chroma) -> Color:
    """The matrix and range in which Y, U and V of a video with these tags are measured.

    Without a matrix tag it is the one that the samples are taken to be in, and BT.709 for RGB.
    """
    untagged = BT709 if chroma == "rgb" else BT601
    matrix = color.matrix if color.matrix in MATRICES else untagged
    return Color(matrix=matrix, full_range=bool(color.full_range))


def matrix_name(color: Color) -> str:
    """The matrix and range of `measured_in` for people, such as "BT.709 limited"."""
    return f"{MATRIX_NAMES[MATRICES[color.matrix]]} {'full' if color.full_range else 'limited'}"


def _nearest(deep: npt.NDArray[Any]) -> Pixels:
    """16-bit samples in 8 bits."""
    shallow: Pixels = ((deep.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return shallow


class Converter:
    """Converts frames of one video; keeps the tables of the conversion between frames."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def to_rgb(self, frame: av.VideoFrame) -> Pixels:
        """uint8 RGB (H, W, 3) by the frame's own matrix and range, each sample to the nearest; alpha is dropped."""
        depth, chroma = sampling(frame)
        full = int(frame.color_range) == FULL_RANGE or frame.format.name.startswith("yuvj")
        if chroma == "rgb":
            return self._plain(frame) if depth <= 8 else _nearest(self._reformatted(frame, "rgb48le"))
        if chroma == "400":
            return self._from_grey(frame, depth, full)
        matrix = int(frame.colorspace)
        if matrix == YCGCO or (matrix == IDENTITY and chroma == "444"):
            return self._by_hand(frame, BY_HAND[matrix], full)
        return self._plain(
            frame,
            src_colorspace=matrix_of(describe(frame)),
            src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
        )

    def transparent(self, frame: av.VideoFrame) -> bool:
        """Whether some pixel is not opaque."""
        alpha = frame.format.has_palette or any(component.is_alpha for component in frame.format.components)
        return alpha and bool((self._reformatted(frame, "rgba")[..., 3] < RGB8.peak).any())

    def _plain(self, frame: av.VideoFrame, **options: Any) -> Pixels:
        rgb = self._reformatter.reformat(frame, format="rgb24", interpolation=TO_RGB, **options)
        pixels: Pixels = np.ascontiguousarray(rgb.to_ndarray())
        return pixels

    def _reformatted(self, frame: av.VideoFrame, pix_fmt: str, **options: Any) -> npt.NDArray[Any]:
        """The samples of a frame in another format, of which no value changes."""
        return np.asarray(VideoReformatter().reformat(frame, format=pix_fmt, threads=1, **options).to_ndarray())

    def _from_grey(self, frame: av.VideoFrame, depth: int, full: bool) -> Pixels:
        if depth <= 8:
            pixels = self._plain(frame, **FULL)
            return pixels if full else WIDER_GREY[pixels]
        grey = self._reformatted(frame, "gray16le", **FULL)
        if not full:
            steps = grey * (((1 << depth) - 1) / (DEEP * (1 << (depth - 8))))  # of 8-bit code values
            grey = np.clip(np.rint((steps - 16) * (DEEP / 219)), 0, DEEP).astype(np.uint16)
        return np.repeat(_nearest(grey)[..., None], 3, axis=-1)

    def _by_hand(self, frame: av.VideoFrame, matrix: npt.NDArray[np.float32], full: bool) -> Pixels:
        frame.colorspace = UNSPECIFIED  # else the converter, which is only to interpolate chroma, refuses
        deep = self._reformatted(frame, "yuv444p16le", **FULL)
        yuv = deep.astype(np.float32) / (1 << 8)  # 8-bit code values, and what lies between
        least, luma, span = (0, RGB8.peak, RGB8.peak) if full else (16, 219, 224)
        if matrix is BY_HAND[IDENTITY]:
            yuv = (yuv - least) / luma
        else:
            yuv[..., 0] = (yuv[..., 0] - least) / luma
            yuv[..., 1:] = (yuv[..., 1:] - 128) / span
        rgb: Pixels = np.clip(np.rint(yuv @ matrix.T * RGB8.peak), 0, RGB8.peak).astype(np.uint8)
        return rgb

    def from_rgb(self, pixels: Pixels, pix_fmt: str, color: Color) -> av.VideoFrame:
        """A frame in `pix_fmt` by the matrix and range of `color`, tagged so."""
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        options: dict[str, Any] = {}
        if not av.VideoFormat(pix_fmt).is_rgb:
            options["dst_colorspace"] = matrix_of(color)
            options["src_color_range"] = ColorRange.JPEG
            options["dst_color_range"] = ColorRange.JPEG if color.full_range else ColorRange.MPEG
        converted = self._reformatter.reformat(frame, format=pix_fmt, interpolation=FROM_RGB, **options)
        if not converted.format.is_rgb:
            converted.colorspace = color.matrix
            converted.color_range = range_number(color)
        return converted

    def to_planes(self, pixels: Pixels, color: Color) -> Pixels:
        """Y, U and V as uint8 (3, H, W), at the full size each, by the matrix and range of `color`."""
        planes: Any = self.from_rgb(np.ascontiguousarray(pixels), "yuv444p", color).to_ndarray()
        return np.asarray(planes, np.uint8)
