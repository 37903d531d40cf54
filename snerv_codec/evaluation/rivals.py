"""What x264 and x265, as one would use them, make of the same frames: bytes and PSNR over a ladder of qualities."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av

from snerv_codec.bitstream.container import read_header
from snerv_codec.bitstream.types import VideoInfo
from snerv_codec.evaluation.metrics import mean_quality
from snerv_codec.evaluation.pairing import is_snrv
from snerv_codec.events import Event, FrameDone
from snerv_codec.media.color import Converter
from snerv_codec.media.picture import Pixels
from snerv_codec.media.reader import open_video

ENCODERS = {"x264": "libx264", "x265": "libx265"}
PRESET = "medium"
LADDER = (16, 22, 28, 34, 40, 46)  # CRF
QUIET = {"x264-params": "log=-1", "x265-params": "log-level=none"}
SIDE_SECTIONS = ("trak", "pdat", "meta", "atch")  # of a .snrv file: what goes with the video

OpenFrames = Callable[[], AbstractContextManager[Iterator[Pixels]]]  # gives all frames, each time from the first on


@dataclass(frozen=True, slots=True)
class RivalPoint:
    """A file of another codec: `bytes` of its video packets, and the mean RGB PSNR in dB of its frames."""

    codec: str
    crf: int
    bytes: int
    psnr: float


def rival_points(
    open_frames: OpenFrames,
    info: VideoInfo,
    *,
    codecs: Sequence[str] = tuple(ENCODERS),
    ladder: Sequence[int] = LADDER,
    on_event: Callable[[Event], None] = lambda event: None,
) -> list[RivalPoint]:
    """Encode and decode the frames at each CRF of `ladder`, preset medium, 4:2:0, sound left out.

    `open_frames` is called for each pass, and gives uint8 RGB (H, W, 3) one by one; `info` has their rate and colour.
    """
    points: list[RivalPoint] = []
    for codec in codecs:
        for crf in ladder:
            with TemporaryDirectory(prefix="snerv-rivals-") as folder:
                path = Path(folder) / "rival.mp4"
                with open_frames() as frames:
                    _encode(path, frames, info, codec, crf)
                with open_frames() as frames, open_video(path, tracks=False) as decoded:
                    value = mean_quality(frames, decoded, multiscale=False).psnr
                points.append(RivalPoint(codec, crf, video_bytes(path) or 0, value))
            on_event(FrameDone("rivals", len(points), len(codecs) * len(ladder)))
    return points


def _encode(path: Path, frames: Iterator[Pixels], info: VideoInfo, codec: str, crf: int) -> None:
    converter = Converter()
    with av.open(str(path), "w", format="mp4") as container:
        stream: Any = container.add_stream(ENCODERS[codec], rate=Fraction(info.rate).limit_denominator(1 << 16))
        stream.width, stream.height = info.width, info.height
        stream.pix_fmt = "yuv420p" if info.width % 2 == info.height % 2 == 0 else "yuv444p"
        stream.codec_context.thread_type = "FRAME"  # as ffmpeg runs them; slices, PyAV's default, would cost them bits
        stream.options = {"crf": str(crf), "preset": PRESET, f"{codec}-params": QUIET[f"{codec}-params"]}
        for number, pixels in enumerate(frames):
            frame = converter.from_rgb(pixels, stream.pix_fmt, info.color)
            frame.pts = number
            frame.time_base = 1 / Fraction(stream.codec_context.framerate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def video_bytes(path: Path) -> int | None:
    """Bytes that the video takes of a file: all but what goes with it in a `.snrv`, else its video's packets.

    None where these cannot be told, as for a file that PyAV does not take for a container.
    """
    if is_snrv(path):
        header = read_header(path)
        side = sum(section.end - section.offset for section in header.sections if section.name in SIDE_SECTIONS)
        return header.file_size - side
    try:
        with av.open(f"file:{path}", options={"protocol_whitelist": "file"}) as container:
            return sum(packet.size for packet in container.demux(video=0))
    except (av.error.FFmpegError, OSError, ValueError, IndexError):
        return None


def bytes_at(points: Sequence[RivalPoint], codec: str, quality: float) -> float | None:
    """Bytes that `codec` takes for `quality` dB, between its two nearest points; None beyond their ends."""
    curve = sorted((point.psnr, math.log(point.bytes)) for point in points if point.codec == codec)
    for (low, first), (high, second) in pairwise(curve):
        if low <= quality <= high:
            share = (quality - low) / (high - low) if high > low else 0.0
            return math.exp(first + share * (second - first))
    return None
