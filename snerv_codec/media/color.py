"""Between a file's samples and RGB: the only place that converts colours.

A video without a matrix tag is taken for BT.601, as ffmpeg does (the frames of the NeRV papers come from
it); one without a range tag for limited range, unless its pixel format says otherwise. Pixels come in by the
scaler's default (bicubic chroma), so that they are the ones those frame sets hold, and go out by its most exact.
"""

from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from snerv_codec.bitstream.types import Chroma, Color
from snerv_codec.media.picture import Pixels

UNSPECIFIED = 2
BT709, BT601 = 1, 6  # H.273's numbers of the matrices
# ITU-T H.273 matrix coefficients, as far as the converter knows them.
MATRICES = {
    BT709: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
MATRIX_NAMES = {
    Colorspace.ITU709: "BT.709",
    Colorspace.FCC: "FCC",
    Colorspace.ITU601: "BT.601",
    Colorspace.SMPTE240M: "SMPTE 240M",
    Colorspace.BT2020: "BT.2020",
}
FULL_RANGE = 2  # ffmpeg's number for it
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
    """The matrix by which a video with these tags is converted."""
    return MATRICES.get(color.matrix, Colorspace.ITU601)


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


class Converter:
    """Converts frames of one video; keeps the tables of the conversion between frames."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def to_rgb(self, frame: av.VideoFrame) -> Pixels:
        """uint8 RGB (H, W, 3) by the frame's own matrix and range; alpha is dropped."""
        options: dict[str, Any] = {}
        _, chroma = sampling(frame)
        full = int(frame.color_range) == FULL_RANGE or frame.format.name.startswith("yuvj")
        if chroma != "rgb":
            options["src_colorspace"] = matrix_of(describe(frame))
            options["src_color_range"] = ColorRange.JPEG if full else ColorRange.MPEG
            options["dst_color_range"] = ColorRange.JPEG
        rgb = self._reformatter.reformat(frame, format="rgb24", interpolation=TO_RGB, **options)
        pixels: Pixels = np.ascontiguousarray(rgb.to_ndarray())
        return WIDER_GREY[pixels] if chroma == "400" and not full else pixels

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
