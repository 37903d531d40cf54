"""Videos, folders of images and raw samples in, as uint8 RGB frames with everything that goes with them."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from bitstream.models import MAX_FRAME_SIDE
from bitstream.types import MAX_FRAMES, MIN_FRAME_SIDE, SideTrack, VideoInfo
from snerv_codec.errors import InputError, ResourceError, SettingsError
from snerv_codec.media import color
from snerv_codec.media.arrays import centred, from_array
from snerv_codec.media.sources import (
    DEFAULT_RATE,
    choose_stream,
    container_frames,
    folder_frames,
    images_in,
    name_of,
    opened,
)
from snerv_codec.media.tracks import TrackReader, cut_tracks

Frames = npt.NDArray[np.uint8]

FRAMES_IN_FLIGHT = 8  # frames that a decoder may hold, counted in RGB


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to take of a source. Sizes in pixels; all None takes everything.

    `stream` counts video streams from 0, `crop` is a centred (height, width), `frames` (start, stop).
    `rate` serves folders of images and raw samples, which know none; `video_size` (width, height) and
    `pix_fmt` describe raw samples. `audio` and `subtitles` false leave these out.
    """

    stream: int | None = None
    crop: tuple[int, int] | None = None
    frames: tuple[int, int | None] | None = None
    rate: Fraction | None = None
    video_size: tuple[int, int] | None = None
    pix_fmt: str | None = None
    audio: bool = True
    subtitles: bool = True


@dataclass(frozen=True, slots=True)
class Video:
    """A source as read: `frames` is uint8 (T, H, W, 3), RGB, or empty where only `info` was asked for.

    `warnings` says what of the source could not be taken.
    """

    info: VideoInfo
    frames: Frames
    tracks: tuple[SideTrack, ...]
    warnings: tuple[str, ...] = ()


def read_video(
    source: Any, selection: Selection | None = None, *, keep: bool = True, memory: int | None = None
) -> Video:
    """Read all selected frames of `source`: a video, "-" (y4m on standard input), a folder, raw .yuv, or an array.

    With `keep` false the frames are counted and dropped. Raises `InputError` for a source that is missing,
    damaged or not a video, `SettingsError` for a selection that it cannot give, and `ResourceError` before
    the frames take more than `memory` bytes, or decoding them does.
    """
    if not isinstance(source, str | os.PathLike):
        return Video(*from_array(source, selection or Selection()), ())
    with open_video(os.fspath(source), selection, memory=memory) as stream:
        frames = _collect(stream, memory) if keep else np.empty((0, 0, 0, 3), np.uint8)
        stream.skip()
        return Video(stream.info(), frames, stream.tracks(), tuple(stream.warnings()))


@contextmanager
def open_video(
    source: str | Path, selection: Selection | None = None, *, tracks: bool = True, memory: int | None = None
) -> Iterator["VideoStream"]:
    """`source` open for reading its selected frames one at a time, so that memory does not grow with their count.

    With `tracks` false, sound and subtitles are passed over. Raises as `read_video` does, here or while reading.
    """
    video = VideoStream(name_of(source), selection or Selection(), memory)
    if str(source) != "-" and os.path.isdir(source):
        paths = images_in(Path(source))
        video.claimed = len(paths)
        video.start(folder_frames(paths, video))
        yield video
        return
    with opened(source, video.selection, video.max_pixels) as container:
        streams, selection = container.streams, video.selection
        audio = streams.audio if tracks and selection.audio else ()
        subtitles = streams.subtitles if tracks and selection.subtitles else ()
        _read_container(container, video, (*audio, *subtitles))
        yield video


def _read_container(container: Any, video: "VideoStream", sides: Iterable[Any]) -> None:
    stream = choose_stream(container, video.name, video.selection.stream)
    readers = tuple(TrackReader(side, side.type) for side in sides)
    video.describe_stream(stream, readers)
    video.start(container_frames(container, stream, readers, video))


def _collect(video: "VideoStream", memory: int | None) -> Frames:
    """All frames in one array that grows in place: there is no second copy of the video."""
    frames, count = np.empty((0, 0, 0, 3), np.uint8), 0
    for frame in video:
        if count == len(frames):
            most = count + 1 + count // 8
            capacity = most if memory is None else min(most, memory // frame.nbytes)
            if capacity <= count:
                raise ResourceError(
                    f"{video.name}: more than {count} frames do not fit the {(memory or 0) / 1e9:.1f} GB of memory "
                    "left; select fewer with --frames, or crop them with --crop"
                )
            frames.resize((capacity, *frame.shape), refcheck=False)
        frames[count] = frame
        count += 1
    frames.resize((count, *frames.shape[1:]), refcheck=False)
    return frames


class VideoStream:
    """The selected frames of an open source, in order: uint8 RGB (H, W, 3), all checked to be alike.

    `height`, `width` and `color` are known at once; `info()` and `tracks()` once all frames were read or skipped.
    Raises `SettingsError` at the end where the selection reaches beyond it.
    """

    def __init__(self, name: str, selection: Selection, memory: int | None = None) -> None:
        self.name, self.selection = name, selection
        most = MAX_FRAME_SIDE**2 if memory is None else min(MAX_FRAME_SIDE**2, memory // (3 * FRAMES_IN_FLIGHT))
        self.max_pixels = max(1, most)  # of a frame that may be decoded
        self._start, self._stop = selection.frames or (0, None)
        if self._start < 0 or (self._stop is not None and self._stop <= self._start):
            raise SettingsError(f"frames {self._start}:{self._stop} select nothing")
        self.part: str | None = None  # the file of the current frame, where each has its own
        self.claimed = 0  # frames that the source says to have; 0 where it does not
        self.seen = 0
        self.complete = False  # nothing more is needed: all selected frames are there, and when they end
        self._converter = color.Converter()
        self._chosen: Iterator[Any] = iter(())
        self._sides: tuple[TrackReader, ...] = ()
        self._first: Any = None
        self._times: list[int | None] = []
        self._duration = 0  # of the last selected frame, where its file tells
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
    def full(self) -> bool:
        """Whether all selected frames are there; when the last one ends is not known until `complete`."""
        return self._stop is not None and self.count == self._stop - self._start

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
        """Take over what only the stream knows, and the tracks beside it.

        Raises `ResourceError` for frames that are too large to be decoded.
        """
        self._sides = sides
        self.require_room(stream.codec_context.width, stream.codec_context.height)
        stream.codec_context.options = {"max_pixels": str(self.max_pixels)}  # its data may claim more than its header
        self._time_base = Fraction(stream.time_base)
        self._rate = Fraction(stream.average_rate or stream.guessed_rate or DEFAULT_RATE)
        seconds = Fraction(stream.container.duration or 0, av.time_base)
        self.claimed = stream.frames or round(seconds * self._rate)
        aspect = stream.sample_aspect_ratio
        self._aspect = Fraction(aspect) if aspect is not None and aspect > 0 else Fraction(1)

    def require_room(self, width: int, height: int) -> None:
        """Raise `ResourceError` where a decoder could not hold frames of this size."""
        if width * height > self.max_pixels:
            raise ResourceError(
                f"{self.name}: frames of {width}x{height} are too large to be decoded in the memory left"
            )

    def fail(self, problem: str) -> None:
        """Raise `InputError`, unless all that was asked for had come before the problem."""
        if self.full:
            self.complete = True
            return
        before = f", or encode those before with --frames {self._start}:{self._start + self.count}"
        raise InputError(f"{self.name}: {problem}; repair it{before if self.count else ''}")

    def warnings(self) -> Iterator[str]:
        """What of the source could not be taken."""
        base, _, _ = self._timeline()
        timed = any(time is not None for time in self._times)
        if timed and base != self._time_base:
            yield f"frame times are missing or out of order: {float(self._rate):g} frames/s assumed"
        elif timed and self.selection.rate not in (None, self._rate):
            yield "frames have times of their own: the rate asked for (--fps) is not used"
        for side in self._sides:
            if side.left_out:
                yield f"{side.kind} track {side.stream.index} ({side.codec}) left out: it cannot be carried"

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
        if number < self._start:
            return False
        if self._stop is not None and number >= self._stop:
            if not self.complete:
                self._end, self.complete = frame.pts, True
            return False
        if self._first is None:
            self._first, self.color = frame, color.describe(frame)
            self.bit_depth, self.chroma = color.sampling(frame)
            self.height, self.width = self._cropped()
            if frame.pts is None:
                self._rate = self.selection.rate or self._rate
        size, first = (frame.width, frame.height), (self._first.width, self._first.height)
        if size != first:
            raise InputError(
                f"{self.part or self.name}: frame {number} is {size[0]}x{size[1]} and the first {first[0]}x{first[1]}; "
                "a video must keep its size: split it, or select frames of one size with --frames"
            )
        if frame.is_corrupt:
            self.fail(f"frame {number} is damaged")
        if self.count >= MAX_FRAMES:
            raise InputError(f"{self.name}: has more than {MAX_FRAMES} frames; select some with --frames")
        self._times.append(frame.pts)
        self._duration = frame.duration or 0
        return True

    def info(self) -> VideoInfo:
        """Everything about the frames that were read. Raises `InputError` where a `.snrv` file cannot hold it."""
        base, times, last = self._timeline()
        if self.selection.frames is not None:
            times = tuple(time - times[0] for time in times)
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
                bit_depth=self.bit_depth,
                chroma=self.chroma,
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
            start = round((self._times[0] or 0) * self._time_base * self._rate)
            return 1 / self._rate, tuple(range(start, start + len(self._times))), 1
        last = self._end - times[-1] if self._end is not None else self._duration
        return self._time_base, times, last if last > 0 else max(1, round(1 / (self._rate * self._time_base)))
