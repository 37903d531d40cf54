"""Videos, folders of images and raw samples in, as uint8 RGB frames with everything that goes with them."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import numpy.typing as npt

from bitstream.types import MAX_FRAME_SIDE, MAX_FRAMES, MIN_FRAME_SIDE, Color, SideTrack, VideoInfo
from snerv_codec.errors import InputError, ResourceError, SettingsError
from snerv_codec.media import color
from snerv_codec.media.tracks import TrackReader, cut_tracks

Frames = npt.NDArray[np.uint8]

IMAGES = (".png", ".jpg", ".jpeg")
DEFAULT_RATE = Fraction(25)
FIRST_CAPACITY = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to take of a source. Sizes in pixels; all None takes everything.

    `stream` counts video streams from 0, `crop` is a centred (height, width), `frames` (start, stop).
    `rate` serves folders of images and raw samples, which know none; `video_size` (width, height) and
    `pix_fmt` describe raw samples.
    """

    stream: int | None = None
    crop: tuple[int, int] | None = None
    frames: tuple[int, int | None] | None = None
    rate: Fraction | None = None
    video_size: tuple[int, int] | None = None
    pix_fmt: str | None = None


@dataclass(frozen=True, slots=True)
class Video:
    """A source as read: `frames` is uint8 (T, H, W, 3), RGB, or empty where only `info` was asked for."""

    info: VideoInfo
    frames: Frames
    tracks: tuple[SideTrack, ...]


def read_video(
    source: str | Path, selection: Selection | None = None, *, keep: bool = True, memory: int | None = None
) -> Video:
    """Read all selected frames of `source`: a video, "-" (y4m on standard input), a folder, or raw .yuv.

    With `keep` false the frames are counted and dropped. Raises `InputError` for a source that is missing,
    damaged or not a video, `SettingsError` for a selection that it cannot give, and `ResourceError` before
    the frames take more than `memory` bytes.
    """
    selection = selection or Selection()
    gathered = _Gathered(_name(source), selection, keep, memory)
    if Path(source).is_dir():
        _read_folder(Path(source), gathered)
        return gathered.video(())
    with _opened(source, selection) as container:
        stream = _choose_stream(container, gathered.name, selection.stream)
        sides = {s.index: TrackReader(s, s.type) for s in (*container.streams.audio, *container.streams.subtitles)}
        try:
            _read_container(container, stream, sides, gathered)
        except av.error.FFmpegError as error:
            raise InputError(
                f"{gathered.name}: damaged at frame {gathered.seen} ({error.strerror}); "
                f"repair it, or select the frames before with --frames 0:{gathered.seen}"
            ) from error
        tracks = [side.track() for side in sides.values()]
        return gathered.video(tuple(track for track in tracks if track is not None))


def _read_container(container: Any, stream: Any, sides: dict[int, TrackReader], gathered: "_Gathered") -> None:
    gathered.describe_stream(stream)
    packets = 0
    for packet in container.demux(stream, *(side.stream for side in sides.values())):
        if packet.stream_index in sides:
            sides[packet.stream_index].add(packet)
        elif not gathered.complete:
            packets += bool(packet.size)
            if packet.is_corrupt:
                raise InputError(f"{gathered.name}: damaged at frame {gathered.seen}; repair it before encoding")
            for frame in packet.decode():
                gathered.add(frame)
        elif not sides:
            break
    if not gathered.complete and packets < stream.frames:
        raise InputError(
            f"{gathered.name}: cut short: {packets} of {stream.frames} frames are there; "
            f"use --frames 0:{gathered.seen} to encode those"
        )


def _read_folder(folder: Path, gathered: "_Gathered") -> None:
    paths = sorted((p for p in folder.iterdir() if p.suffix.lower() in IMAGES), key=_natural)
    if not paths:
        raise InputError(f"{folder}: holds no images ({', '.join(IMAGES)})")
    for path in paths:
        if gathered.complete:
            return
        try:
            with av.open(str(path)) as image:
                frame = next(image.decode(video=0))
        except (av.error.FFmpegError, OSError, StopIteration, IndexError) as error:
            raise InputError(f"{path}: not an image that can be read") from error
        frame.pts = None
        gathered.add(frame, str(path))


class _Gathered:
    """Frames as they come: chosen, checked to be alike, converted, and kept in one growing array."""

    def __init__(self, name: str, selection: Selection, keep: bool, memory: int | None) -> None:
        self.name, self.selection = name, selection
        self.start, self.stop = selection.frames or (0, None)
        if self.start < 0 or (self.stop is not None and self.stop <= self.start):
            raise SettingsError(f"frames {self.start}:{self.stop} select nothing")
        self.seen = 0
        self.complete = False
        self._keep, self._memory = keep, memory
        self._converter = color.Converter()
        self._first: Any = None
        self._frames = np.empty((0, 0, 0, 3), np.uint8)
        self._times: list[int | None] = []
        self._end: int | None = None
        self._time_base, self._rate, self._aspect = 1 / DEFAULT_RATE, selection.rate or DEFAULT_RATE, Fraction(1)

    def describe_stream(self, stream: Any) -> None:
        """Take over what only the stream knows."""
        self._time_base = Fraction(stream.time_base)
        self._rate = Fraction(stream.average_rate or stream.guessed_rate or DEFAULT_RATE)
        self._aspect = Fraction(stream.sample_aspect_ratio or 1)

    def add(self, frame: Any, name: str | None = None) -> None:
        """Take the next frame. Raises `InputError` where it is damaged or not like the first."""
        number, self.seen = self.seen, self.seen + 1
        if frame.is_corrupt:
            raise InputError(f"{self.name}: frame {number} is damaged; repair it, or select others with --frames")
        if self._first is None:
            self._first = frame
        size, first = (frame.width, frame.height), (self._first.width, self._first.height)
        if size != first:
            raise InputError(
                f"{name or self.name}: frame {number} is {size[0]}x{size[1]} and the first {first[0]}x{first[1]}; "
                "a video must keep its size: split it, or select frames of one size with --frames"
            )
        if self.stop is not None and number >= self.stop:
            self._end, self.complete = frame.pts, True
        elif number >= self.start:
            self._store(frame)

    def video(self, tracks: tuple[SideTrack, ...]) -> Video:
        """Everything together. Raises `SettingsError` where the selection reaches beyond the end."""
        if self._first is None:
            raise InputError(f"{self.name}: holds no frames")
        count = len(self._times)
        if count == 0 or (self.stop is not None and count < self.stop - self.start):
            raise SettingsError(f"{self.name}: has {self.seen} frames, not all of {self.start}:{self.stop or ''}")
        base, times, last = self._timeline()
        if self.selection.frames is not None:
            origin, end = times[0] * base, (times[-1] + last) * base
            tracks = cut_tracks(tracks, origin, end)
            times = tuple(time - times[0] for time in times)
        depth, chroma = color.sampling(self._first)
        tags = color.describe(self._first) if chroma != "rgb" else Color()
        height, width = self._cropped()
        try:
            info = VideoInfo(
                width=width,
                height=height,
                time_base=base,
                timestamps=times,
                final_duration=last,
                rate=self._rate,
                pixel_aspect=self._aspect,
                rotation=round(-self._first.rotation / 90) * 90 % 360,
                bit_depth=depth,
                chroma=chroma,
                color=tags,
            )
        except ValueError as error:
            raise InputError(f"{self.name}: cannot be coded: {error}") from error
        return Video(info, self._frames[:count] if self._keep else self._frames, tracks)

    def _store(self, frame: Any) -> None:
        height, width = self._cropped()
        number = len(self._times)
        if number >= MAX_FRAMES:
            raise InputError(f"{self.name}: has more than {MAX_FRAMES} frames; select some with --frames")
        self._times.append(frame.pts)
        if not self._keep:
            return
        if number == len(self._frames):
            self._grow((max(FIRST_CAPACITY, number + number // 2), height, width, 3))
        top, left = (frame.height - height) // 2, (frame.width - width) // 2
        self._frames[number] = self._converter.to_rgb(frame)[top : top + height, left : left + width]

    def _grow(self, shape: tuple[int, ...]) -> None:
        if self._memory is not None and prod(shape) > self._memory:
            raise ResourceError(
                f"{self.name}: {len(self._times)} frames and more do not fit the {self._memory / 1e9:.1f} GB of memory "
                "left; select fewer with --frames, or crop them with --crop"
            )
        self._frames.resize(shape, refcheck=False)  # grows in place: no second copy of the video

    def _cropped(self) -> tuple[int, int]:
        height, width = self.selection.crop or (self._first.height, self._first.width)
        if height > self._first.height or width > self._first.width:
            raise SettingsError(
                f"crop {height}x{width} (height x width) exceeds the frame, {self._first.height}x{self._first.width}"
            )
        if not MIN_FRAME_SIDE <= min(height, width) <= max(height, width) <= MAX_FRAME_SIDE:
            raise InputError(
                f"{self.name}: {width}x{height} frames; sides from {MIN_FRAME_SIDE} to {MAX_FRAME_SIDE} can be coded"
            )
        return height, width

    def _timeline(self) -> tuple[Fraction, tuple[int, ...], int]:
        """Time base, timestamps and the last duration; a constant rate where the file's times are of no use."""
        times = tuple(time for time in self._times if time is not None)
        if len(times) < len(self._times) or any(a >= b for a, b in pairwise(times)):
            return 1 / self._rate, tuple(range(len(self._times))), 1
        nominal = max(1, round(1 / (self._rate * self._time_base)))
        last = self._end - times[-1] if self._end is not None and self._end > times[-1] else nominal
        return self._time_base, times, last


def _name(source: str | Path) -> str:
    return "standard input" if str(source) == "-" else str(source)


@contextmanager
def _opened(source: str | Path, selection: Selection) -> Iterator[Any]:
    """The source as a container; `InputError` where it is none."""
    path, name, options = Path(source), _name(source), {}
    kind: str | None = None
    target: Any = str(source)
    if str(source) == "-":
        target, kind = sys.stdin.buffer, "yuv4mpegpipe"
    elif path.suffix.lower() in (".yuv", ".rgb", ".raw"):
        kind, options = "rawvideo", _raw_options(path, selection)
    try:
        container = av.open(target, format=kind, options=options, metadata_errors="replace")
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except PermissionError:
        raise InputError(f"{name}: no permission to read it") from None
    except (av.error.FFmpegError, OSError, ValueError) as error:
        hint = " in y4m format" if str(source) == "-" else ""
        raise InputError(f"{name}: not a video{hint} that can be read ({error})".replace(f": '{name}'", "")) from error
    with container:
        yield container


def _raw_options(path: Path, selection: Selection) -> dict[str, str]:
    if selection.video_size is None:
        raise SettingsError(f"{path}: raw samples do not tell their size; give --video-size WxH (and --pix-fmt, --fps)")
    width, height = selection.video_size
    pix_fmt = selection.pix_fmt or "yuv420p"
    try:
        size = len(av.VideoFrame(width, height, pix_fmt).to_ndarray().tobytes())
    except (ValueError, av.error.FFmpegError) as error:
        raise SettingsError(f"pixel format {pix_fmt!r} of {width}x{height} is unknown or not supported") from error
    if path.exists() and path.stat().st_size % size:
        raise InputError(
            f"{path}: {path.stat().st_size} bytes are not whole {width}x{height} {pix_fmt} frames of {size} bytes; "
            "check --video-size and --pix-fmt"
        )
    rate = selection.rate or DEFAULT_RATE
    return {"video_size": f"{width}x{height}", "pixel_format": pix_fmt, "framerate": str(rate)}


def _choose_stream(container: Any, name: str, wanted: int | None) -> Any:
    streams = [s for s in container.streams.video if s.codec_context is not None]
    if not streams:
        raise InputError(f"{name}: holds no video that can be decoded")
    if wanted is None:
        wanted = 0
    if not 0 <= wanted < len(streams):
        found = ", ".join(f"{i}: {s.width}x{s.height}" for i, s in enumerate(streams))
        raise SettingsError(f"{name}: has no video stream {wanted}; it has {found}")
    return streams[wanted]


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts frame2 before frame10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]
