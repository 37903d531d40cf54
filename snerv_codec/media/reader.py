"""Videos, folders of images and raw samples in, as uint8 RGB frames with everything that goes with them."""

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise
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
    with open_video(source, selection) as stream:
        frames = _collect(stream, memory) if keep else np.empty((0, 0, 0, 3), np.uint8)
        stream.skip()
        return Video(stream.info(), frames, stream.tracks())


@contextmanager
def open_video(
    source: str | Path, selection: Selection | None = None, *, tracks: bool = True
) -> Iterator["VideoStream"]:
    """`source` open for reading its selected frames one at a time, so that memory does not grow with their count.

    With `tracks` false, sound and subtitles are passed over. Raises as `read_video` does, here or while reading.
    """
    video = VideoStream(_name(source), selection or Selection())
    if Path(source).is_dir():
        _read_folder(Path(source), video)
        yield video
        return
    with _opened(source, video.selection) as container:
        _read_container(container, video, (*container.streams.audio, *container.streams.subtitles) if tracks else ())
        yield video


def _read_container(container: Any, video: "VideoStream", sides: Iterable[Any]) -> None:
    stream = _choose_stream(container, video.name, video.selection.stream)
    readers = {side.index: TrackReader(side, side.type) for side in sides}
    video.describe_stream(stream, tuple(readers.values()))
    video.start(_container_frames(container, stream, readers, video))


def _container_frames(
    container: Any, stream: Any, sides: dict[int, TrackReader], video: "VideoStream"
) -> Iterator[Any]:
    packets = 0
    try:
        for packet in container.demux(stream, *(side.stream for side in sides.values())):
            if packet.stream_index in sides:
                sides[packet.stream_index].add(packet)
            elif not video.complete:
                packets += bool(packet.size)
                if packet.is_corrupt:
                    raise InputError(f"{video.name}: damaged at frame {video.seen}; repair it before encoding")
                yield from packet.decode()
            elif not sides:
                break
    except av.error.FFmpegError as error:
        raise InputError(
            f"{video.name}: damaged at frame {video.seen} ({error.strerror}); "
            f"repair it, or select the frames before with --frames 0:{video.seen}"
        ) from error
    if not video.complete and packets < stream.frames:
        raise InputError(
            f"{video.name}: cut short: {packets} of {stream.frames} frames are there; "
            f"use --frames 0:{video.seen} to encode those"
        )


def _read_folder(folder: Path, video: "VideoStream") -> None:
    paths = sorted((p for p in folder.iterdir() if p.suffix.lower() in IMAGES), key=_natural)
    if not paths:
        raise InputError(f"{folder}: holds no images ({', '.join(IMAGES)})")
    video.claimed = len(paths)
    video.start(_folder_frames(paths, video))


def _folder_frames(paths: list[Path], video: "VideoStream") -> Iterator[Any]:
    for path in paths:
        if video.complete:
            return
        try:
            with av.open(str(path)) as image:
                frame = next(image.decode(video=0))
        except (av.error.FFmpegError, OSError, StopIteration, IndexError) as error:
            raise InputError(f"{path}: not an image that can be read") from error
        frame.pts = None
        video.part = str(path)
        yield frame


def _collect(video: "VideoStream", memory: int | None) -> Frames:
    """All frames in one array that grows in place: there is no second copy of the video."""
    frames, count = np.empty((0, 0, 0, 3), np.uint8), 0
    for frame in video:
        if count == len(frames):
            shape = (max(FIRST_CAPACITY, count + count // 2), *frame.shape)
            if memory is not None and prod(shape) > memory:
                raise ResourceError(
                    f"{video.name}: {count + 1} frames and more do not fit the {memory / 1e9:.1f} GB of memory left; "
                    "select fewer with --frames, or crop them with --crop"
                )
            frames.resize(shape, refcheck=False)
        frames[count] = frame
        count += 1
    return frames[:count]


def centred(height: int, width: int, crop: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a centred `crop`, (height, width), of a frame."""
    top, left = (height - crop[0]) // 2, (width - crop[1]) // 2
    return slice(top, top + crop[0]), slice(left, left + crop[1])


class VideoStream:
    """The selected frames of an open source, in order: uint8 RGB (H, W, 3), all checked to be alike.

    `height`, `width` and `color` are known at once; `info()` and `tracks()` once all frames were read or skipped.
    Raises `SettingsError` at the end where the selection reaches beyond it.
    """

    def __init__(self, name: str, selection: Selection) -> None:
        self.name, self.selection = name, selection
        self._start, self._stop = selection.frames or (0, None)
        if self._start < 0 or (self._stop is not None and self._stop <= self._start):
            raise SettingsError(f"frames {self._start}:{self._stop} select nothing")
        self.part: str | None = None  # the file of the current frame, where each has its own
        self.claimed = 0  # frames that the source says to have; 0 where it does not
        self.seen = 0
        self.complete = False
        self._converter = color.Converter()
        self._chosen: Iterator[Any] = iter(())
        self._sides: tuple[TrackReader, ...] = ()
        self._first: Any = None
        self._times: list[int | None] = []
        self._end: int | None = None
        self._time_base, self._rate, self._aspect = 1 / DEFAULT_RATE, selection.rate or DEFAULT_RATE, Fraction(1)

    def __iter__(self) -> Iterator[Frames]:
        for frame in self._chosen:
            rows, columns = centred(frame.height, frame.width, (self.height, self.width))
            yield self._converter.to_rgb(frame)[rows, columns]

    def skip(self) -> None:
        """Read what is left without converting it."""
        for _ in self._chosen:
            pass

    @property
    def source_size(self) -> tuple[int, int]:
        """Height and width before the crop."""
        return self._first.height, self._first.width

    @property
    def count(self) -> int:
        """Selected frames so far."""
        return len(self._times)

    @property
    def expected(self) -> int | None:
        """How many frames will be selected, as far as the source tells beforehand; None where it does not."""
        if not self.claimed:
            return None if self._stop is None else self._stop - self._start
        return max(1, min(self.claimed, self._stop or self.claimed) - self._start)

    def tracks(self) -> tuple[SideTrack, ...]:
        """Sound and subtitles of the selected frames, from their start."""
        tracks = tuple(track for side in self._sides if (track := side.track()) is not None)
        if self.selection.frames is None:
            return tracks
        base, times, last = self._timeline()
        return cut_tracks(tracks, times[0] * base, (times[-1] + last) * base)

    def start(self, frames: Iterator[Any]) -> None:
        """Take the source's `frames` as they are decoded, and read up to the first selected one."""
        chosen = self._choose(frames)
        self._chosen = chain([next(chosen)], chosen)

    def describe_stream(self, stream: Any, sides: tuple[TrackReader, ...]) -> None:
        """Take over what only the stream knows, and the tracks beside it."""
        self._sides = sides
        self._time_base = Fraction(stream.time_base)
        self._rate = Fraction(stream.average_rate or stream.guessed_rate or DEFAULT_RATE)
        seconds = Fraction(stream.container.duration or 0, av.time_base)
        self.claimed = stream.frames or round(seconds * self._rate)
        self._aspect = Fraction(stream.sample_aspect_ratio or 1)

    def _choose(self, frames: Iterator[Any]) -> Iterator[Any]:
        yield from filter(self._take, frames)
        start, stop, count = self._start, self._stop, self.count
        if not self.seen:
            raise InputError(f"{self.name}: holds no frames")
        if count == 0 or (stop is not None and count < stop - start):
            raise SettingsError(f"{self.name}: has {self.seen} frames, not all of {start}:{stop or ''}")

    def _take(self, frame: Any) -> bool:
        """Whether the next frame is selected. Raises `InputError` where it is damaged or not like the first."""
        number, self.seen = self.seen, self.seen + 1
        if frame.is_corrupt:
            raise InputError(f"{self.name}: frame {number} is damaged; repair it, or select others with --frames")
        if self._first is None:
            self._first = frame
            rgb = color.sampling(frame)[1] == "rgb"
            self.color = Color() if rgb else color.describe(frame)
        size, first = (frame.width, frame.height), (self._first.width, self._first.height)
        if size != first:
            raise InputError(
                f"{self.part or self.name}: frame {number} is {size[0]}x{size[1]} and the first {first[0]}x{first[1]}; "
                "a video must keep its size: split it, or select frames of one size with --frames"
            )
        if self._stop is not None and number >= self._stop:
            self._end, self.complete = frame.pts, True
        if self.complete or number < self._start:
            return False
        if not self._times:
            self.height, self.width = self._cropped()
        if self.count >= MAX_FRAMES:
            raise InputError(f"{self.name}: has more than {MAX_FRAMES} frames; select some with --frames")
        self._times.append(frame.pts)
        return True

    def info(self) -> VideoInfo:
        """Everything about the frames that were read. Raises `InputError` where a `.snrv` file cannot hold it."""
        base, times, last = self._timeline()
        if self.selection.frames is not None:
            times = tuple(time - times[0] for time in times)
        depth, chroma = color.sampling(self._first)
        try:
            return VideoInfo(
                width=self.width,
                height=self.height,
                time_base=base,
                timestamps=times,
                final_duration=last,
                rate=self._rate,
                pixel_aspect=self._aspect,
                rotation=round(-self._first.rotation / 90) * 90 % 360,
                bit_depth=depth,
                chroma=chroma,
                color=self.color,
            )
        except ValueError as error:
            raise InputError(f"{self.name}: cannot be coded: {error}") from error

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
