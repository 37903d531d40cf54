"""Where frames come from: containers, raw samples, standard input and folders of images.

A source is always a file: never a URL, and never a list of other files.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
import av.stream

from bitstream.models import MAX_FRAME_SIDE
from bitstream.types import MIN_FRAME_SIDE
from snerv_codec.errors import InputError, SettingsError
from snerv_codec.media import color

if TYPE_CHECKING:
    from snerv_codec.media.reader import Selection, VideoStream
    from snerv_codec.media.tracks import TrackReader

IMAGES = (".png", ".jpg", ".jpeg")
RAW = (".yuv", ".rgb", ".raw")
PLAYLISTS = ("hls", "concat", "dash", "imf")
DEFAULT_RATE = Fraction(25)
MISSING = Fraction(1)  # seconds by which a file may end before the time it tells


def name_of(source: Any) -> str:
    """What messages call a source."""
    if not isinstance(source, str | os.PathLike):
        return f"array of shape {tuple(source.shape)}" if hasattr(source, "shape") else "array"
    return "standard input" if str(source) == "-" else str(source)


@contextmanager
def opened(source: str | Path, selection: "Selection", max_pixels: int) -> Iterator[Any]:
    """The source as a container; `InputError` where it is none."""
    path, name = Path(source), name_of(source)
    options = {"protocol_whitelist": "file", "max_pixels": str(max_pixels)}
    kind: str | None = None
    target: Any = f"file:{source}"  # whatever the name looks like, it is no URL
    if str(source) == "-":
        if sys.stdin is None:
            raise InputError("standard input is closed; pipe a video into it, or give a file")
        target, kind = sys.stdin.buffer, "yuv4mpegpipe"
    elif path.suffix.lower() in RAW:
        kind = "rawvideo"
        options |= _raw_options(path, selection)
    try:
        container = av.open(target, format=kind, options=options, metadata_errors="replace")
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except PermissionError:
        raise InputError(f"{name}: no permission to read it") from None
    except (av.error.FFmpegError, OSError, ValueError) as error:
        hint = " in y4m format" if str(source) == "-" else ""
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{name}: not a video{hint} that can be read ({reason})") from error
    with container:
        if container.format.name in PLAYLISTS:
            raise InputError(f"{name}: a list of other files, not a video; give it one of those")
        yield container


def _raw_options(path: Path, selection: "Selection") -> dict[str, str]:
    if selection.video_size is None:
        raise SettingsError(f"{path}: raw samples do not tell their size; give --video-size WxH (and --pix-fmt, --fps)")
    width, height = selection.video_size
    pix_fmt = selection.pix_fmt or "yuv420p"
    given = f"{width}x{height} {pix_fmt}"
    if not MIN_FRAME_SIDE <= min(width, height) <= max(width, height) <= MAX_FRAME_SIDE:
        raise SettingsError(f"{path}: {given}: sides from {MIN_FRAME_SIDE} to {MAX_FRAME_SIDE} can be coded")
    total = path.stat().st_size if path.exists() else 0
    # Less than a bit a pixel is no frame of any format: no need to make one to see.
    whole = total * 8 >= width * height and total % _raw_size(width, height, pix_fmt) == 0
    if path.exists() and not whole:
        raise InputError(f"{path}: its {total} bytes are not whole frames of {given}; check --video-size and --pix-fmt")
    rate = selection.rate or DEFAULT_RATE
    return {"video_size": f"{width}x{height}", "pixel_format": pix_fmt, "framerate": str(rate)}


def _raw_size(width: int, height: int, pix_fmt: str) -> int:
    """Bytes of a frame of raw samples. Raises `SettingsError` for a format that is unknown."""
    try:
        encoder = av.CodecContext.create("rawvideo", "w")
        encoder.width, encoder.height, encoder.pix_fmt = width, height, pix_fmt
        encoder.time_base = 1 / DEFAULT_RATE
        return sum(packet.size for packet in encoder.encode(av.VideoFrame(width, height, pix_fmt)))
    except (ValueError, av.error.FFmpegError) as error:
        raise SettingsError(f"pixel format {pix_fmt!r} is unknown or not supported") from error


def choose_stream(container: Any, name: str, wanted: int | None) -> Any:
    """The video stream number `wanted`, cover art not counted. Raises `InputError` or `SettingsError`."""
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if s.codec_context is not None and not s.disposition & cover]
    if not streams:
        raise InputError(f"{name}: holds no video that can be decoded")
    if wanted is None:
        wanted = 0
    if not 0 <= wanted < len(streams):
        found = ", ".join(f"{i}: {s.width}x{s.height}" for i, s in enumerate(streams))
        raise SettingsError(f"{name}: has no video stream {wanted}; it has {found}")
    return streams[wanted]


def container_frames(
    container: Any, stream: Any, sides: tuple["TrackReader", ...], video: "VideoStream"
) -> Iterator[Any]:
    """Frames of `stream` as they are decoded, while the packets of `sides` are gathered."""
    by_index = {side.stream.index: side for side in sides}
    packets, end = 0, Fraction(0)
    try:
        for packet in container.demux(stream, *(side.stream for side in sides)):
            if packet.pts is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
            side = by_index.get(packet.stream.index)  # packet.stream_index is 0 in those that flush a decoder
            if side is not None:
                side.add(packet)
            elif not video.complete:
                packets += packet.dts is not None  # it is None in what flushes the decoder
                yield from _decoded(packet, video)
            elif not sides:
                break
    except av.error.FFmpegError as error:
        video.fail(f"damaged at frame {video.seen} ({error.strerror})")
    if not video.complete:
        _check_end(container, stream, 1 + len(sides), packets, end, video)


def _check_end(container: Any, stream: Any, streams: int, packets: int, end: Fraction, video: "VideoStream") -> None:
    """Fail where the file itself says that there is more: MP4 counts its samples, Matroska tells when it ends."""
    kind = container.format.name
    if kind.startswith("mov") and packets < stream.frames:
        video.fail(f"cut short, {packets} of {stream.frames} frames are there")
    told = Fraction(container.duration or 0, av.time_base)  # of all streams, so all must have been read
    if kind.startswith("matroska") and len(container.streams) == streams and end + MISSING < told:
        video.fail(f"cut short, it ends after {float(end):.1f} of {float(told):.1f} seconds")


def _decoded(packet: Any, video: "VideoStream") -> Iterator[Any]:
    try:
        yield from packet.decode()
    except av.error.FFmpegError as error:
        video.fail(f"damaged at frame {video.seen} ({error.strerror})")


def images_in(folder: Path) -> list[Path]:
    """Its images in natural order: frame2 before frame10. Raises `InputError` where it has none."""
    try:
        paths = [p for p in folder.iterdir() if p.suffix.lower() in IMAGES and not p.name.startswith(".")]
    except PermissionError:
        raise InputError(f"{folder}: no permission to read it") from None
    if not paths:
        raise InputError(f"{folder}: holds no images ({', '.join(IMAGES)})")
    return sorted(paths, key=_natural_order)


def folder_frames(paths: list[Path], video: "VideoStream") -> Iterator[Any]:
    """A frame from each image."""
    for path in paths:
        if video.full:
            return
        video.part = str(path)
        yield _read_image(path, video)


def _read_image(path: Path, video: "VideoStream") -> Any:
    try:
        with av.open(f"file:{path}", options={"protocol_whitelist": "file"}) as image:
            context = image.streams.video[0].codec_context
            video.require_room(context.width, context.height)
            context.options = {"max_pixels": str(video.max_pixels), "err_detect": "explode"}  # else half a JPEG is one
            frame = next(image.decode(video=0))
    except (av.error.FFmpegError, OSError, ValueError, StopIteration, IndexError) as error:
        raise InputError(f"{path}: not an image that can be read") from error
    frame.pts = None
    if int(frame.color_range) == 0:
        frame.color_range = color.FULL_RANGE  # images are
    return frame


def _natural_order(path: Path) -> tuple[list[tuple[int, str]], str]:
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path.name
