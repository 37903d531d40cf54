"""Videos, folders of images, raw samples and arrays in, as uint8 RGB frames with everything that goes with them."""

import os
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from snerv_codec.bitstream.extras import NO_EXTRAS, Extras
from snerv_codec.bitstream.models import MAX_FRAME_SIDE
from snerv_codec.bitstream.types import MAX_FRAMES, Scan, SideTrack, VideoInfo
from snerv_codec.errors import InputError, ResourceError, SettingsError
from snerv_codec.media import color
from snerv_codec.media.arrays import centred, check_crop, from_array
from snerv_codec.media.container import open_container
from snerv_codec.media.extras import cut_extras, light_of, unseen
from snerv_codec.media.folder import FolderSource
from snerv_codec.media.interlacing import OTHER_FIELD, deinterlaced, scan_of
from snerv_codec.media.orientation import STORED, orientation
from snerv_codec.media.picture import RGB8, PictureFormat, Pixels
from snerv_codec.media.run import Checker, Run
from snerv_codec.media.source import Damage, Selection, Source, Unsupported, name_of
from snerv_codec.media.timing import Timeline
from snerv_codec.media.tracks import cut_tracks

INTERLACED = "and coded as they are; `deinterlace` makes whole frames of them"
ALPHA = "transparency is dropped: pixels are taken as if they were opaque"
NO_TIME = -(1 << 63)  # among times: FFmpeg's own mark of one that is not told
FRAMES_IN_FLIGHT = 8  # frames that a decoder may hold, counted in RGB

OnFrame = Callable[[int, int], None]


def _ignore(done: int, total: int) -> None:
    """The watcher of those who do not watch."""


@dataclass(frozen=True, slots=True)
class Video:
    """A source as read: `frames` is uint8 (T, H, W, 3), RGB, or empty where only `info` was asked for.

    `warnings` says what of the source could not be taken.
    """

    info: VideoInfo
    frames: Pixels
    tracks: tuple[SideTrack, ...]
    warnings: tuple[str, ...] = ()
    extras: Extras = NO_EXTRAS


def read_video(
    source: Any,
    selection: Selection | None = None,
    *,
    keep: bool = True,
    memory: int | None = None,
    on_frame: OnFrame = _ignore,
) -> Video:
    """Read all selected frames of `source`: a video, "-" (y4m on standard input), a folder, raw .yuv, or an array.

    With `keep` false the frames are counted and dropped; `on_frame` is as in `open_video`. Raises `InputError` for a
    source that is missing, damaged or not a video, `SettingsError` for a selection that it cannot give, and
    `ResourceError` before the frames take more than `memory` bytes, or decoding them does.
    """
    if not isinstance(source, str | os.PathLike):
        return Video(*from_array(source, selection or Selection()), ())
    with open_video(os.fspath(source), selection, memory=memory, on_frame=on_frame) as stream:
        frames = _collect(stream, memory) if keep else RGB8.empty(0)
        stream.skip()
        return Video(stream.info(), frames, stream.tracks(), stream.warnings(), stream.extras())


@contextmanager
def open_video(
    source: str | Path,
    selection: Selection | None = None,
    *,
    tracks: bool = True,
    memory: int | None = None,
    noted: bool = False,
    on_frame: OnFrame = _ignore,
) -> Iterator["VideoStream"]:
    """`source` open for reading its selected frames one at a time, so that memory does not grow with their count.

    With `tracks` false, sound and subtitles are passed over; frames that are `noted` can be found again by their `run`.
    `on_frame` hears how many frames were come by, of how many there are up to the end of the selection, 0 where that is
    not known. Raises as `read_video` does, here or while reading.
    """
    with open_source(source, selection or Selection(), tracks=tracks, memory=memory) as opened:
        yield VideoStream(opened, Checker() if noted else None, on_frame)


@contextmanager
def open_source(
    source: str | Path, selection: Selection, *, tracks: bool = True, memory: int | None = None
) -> Iterator[Source]:
    """`source` open for decoding, by `open_video` and those who want its frames as they are decoded."""
    start, stop = selection.frames or (0, None)
    if start < 0 or (stop is not None and stop <= start):
        raise SettingsError(f"frames {start}:{stop} select nothing")
    most = MAX_FRAME_SIDE**2 if memory is None else min(MAX_FRAME_SIDE**2, memory // (RGB8.size * FRAMES_IN_FLIGHT))
    pixels = max(1, most)  # of a frame that may be decoded
    if str(source) != "-" and os.path.isdir(source):
        yield FolderSource(Path(source), selection, pixels)
        return
    with open_container(source, name_of(source), selection, pixels, tracks=tracks) as container:
        yield container


def _collect(video: "VideoStream", memory: int | None) -> Pixels:
    """All frames in one array that grows in place: there is no second copy of the video."""
    frames, count = video.format.empty(0), 0
    for frame in video:
        if count == len(frames):
            most = count + 1 + count // 8
            capacity = most if memory is None else min(most, memory // video.format.size)
            if capacity <= count:
                raise too_many(video.name, count, memory or 0)
            frames.resize((capacity, *frame.shape), refcheck=False)
        frames[count] = frame
        count += 1
    frames.resize((count, *frames.shape[1:]), refcheck=False)
    return frames


def too_many(name: str, count: int, memory: int) -> ResourceError:
    """What to say of a source with more frames than this many, which have room in `memory` bytes."""
    return ResourceError(
        f"{name}: more than {count} frames do not fit the {memory / 1e9:.1f} GB of memory left; "
        "select fewer with `frames`, or crop them with `crop`"
    )


class VideoStream:
    """The selected frames of an open source, in order: uint8 RGB (H, W, 3), all checked to be alike.

    `format` and `color` are known at once; `info()` and `tracks()` once all frames were read or skipped.
    Raises `SettingsError` at the end where the selection reaches beyond it.
    """

    def __init__(self, source: Source, checker: Checker | None = None, on_frame: OnFrame = _ignore) -> None:
        """Reads up to the first selected frame. With a `checker` the frames are noted."""
        self._checker, self._checksums, self._on_frame = checker, array("I"), on_frame
        self._source, self._selection, self.name = source, source.selection, source.name
        self._start, self._stop = source.selection.frames or (0, None)
        self._seen = 0
        self._converter = color.Converter()
        self._orientation = STORED  # of the current frame
        self._scan: Scan = "progressive"
        self.source_size = (0, 0)  # height and width before the crop, as players show it
        self._times = array("q")
        self._last = 0  # duration of the last selected frame, where its file tells
        self._end: int | None = None  # when the frame after it is shown
        self._known: Timeline | None = None
        chosen = self._choose()
        self._chosen: Iterator[Any] = chain([next(chosen)], chosen)

    def __iter__(self) -> Iterator[Pixels]:
        rows, columns = centred(*self.source_size, (self.height, self.width))
        for frame in self._chosen:
            yield self._orientation.upright(self._converter.to_rgb(frame))[rows, columns]

    def run(self) -> Run:
        """The frames that were read so far, where they are noted, as what they can be found by again."""
        return Run(self._start, self._checksums[:], tuple(self._source.landmarks))

    def skip(self) -> None:
        """Read what is left without converting it."""
        for _ in self._chosen:
            pass

    @property
    def height(self) -> int:
        """Rows of a frame, after the crop."""
        return self.format.height

    @property
    def width(self) -> int:
        """Columns of a frame, after the crop."""
        return self.format.width

    @property
    def count(self) -> int:
        """Selected frames so far."""
        return len(self._times)

    @property
    def full(self) -> bool:
        """Whether all selected frames are there; when the last one ends may not be known yet."""
        return self._stop is not None and self.count == self._stop - self._start

    @property
    def expected(self) -> int | None:
        """How many frames will be selected, as far as the source tells beforehand; None where it does not."""
        claimed = self._source.claimed
        if not claimed:
            return None if self._stop is None else self._stop - self._start
        return max(1, min(claimed, self._stop or claimed) - self._start)

    @property
    def _to_see(self) -> int:
        """How many frames there are up to the last one that is selected, as far as is told beforehand; else 0."""
        known = [number for number in (self._source.claimed, self._stop) if number]
        return min(known, default=0)

    def tracks(self) -> tuple[SideTrack, ...]:
        """Sound and subtitles of the selected frames, from their start."""
        tracks = self._source.tracks()
        if self._selection.frames is None:
            return tracks
        line = self._timeline()
        return cut_tracks(tracks, line.times[0] * line.base, (line.times[-1] + line.last) * line.base)

    def extras(self) -> Extras:
        """Tags, chapters and attachments of the selected frames, and the light levels that the first of them tells."""
        mastering, light = self._light
        extras = replace(self._source.extras(), mastering=mastering, light=light)
        if self._selection.frames is None:
            return extras
        line = self._timeline()
        start, end = line.times[0] * line.base, (line.times[-1] + line.last) * line.base
        return cut_extras(extras, start, end, self._start, line.rate)

    def warnings(self) -> tuple[str, ...]:
        """What of the source could not be taken as it is."""
        return (*self._timeline().notes, *self._source.warnings())

    def _choose(self) -> Iterator[Any]:
        try:
            frames = self._source.frames()
            if self._selection.deinterlace:
                frames = deinterlaced(frames, self._source.field_order, self._source.codec)
            yield from filter(self._take, frames)
        except Damage as damage:
            self._fail(f"{damage}; repair it", damage)
        except Unsupported as lack:
            self._fail(f"{lack}; convert it", lack)
        start, stop, count = self._start, self._stop, self.count
        if not self._seen:
            raise InputError(f"{self.name}: holds no frames")
        if count == 0 or (stop is not None and count < stop - start):
            raise SettingsError(f"{self.name}: has {self._seen} frames, not all of {start}:{stop or ''}")

    def _fail(self, problem: str, cause: Exception) -> None:
        """Raise `InputError`, unless all that was asked for had come before the problem."""
        if self.full:
            return
        before = f", or encode those before with `frames` {self._start}:{self._start + self.count}"
        raise InputError(f"{self.name}: {problem}{before if self.count else ''}") from cause

    def _take(self, frame: Any) -> bool:
        """Whether the next frame is selected. Raises `InputError` where it is not like the first, or `Damage`."""
        number, self._seen = self._seen, self._seen + 1
        if not self.full:
            self._on_frame(self._seen, self._to_see)
        if number < self._start:
            return False
        if self.full:
            if not self._source.done:
                self._end, self._source.done = frame.pts, True
            return False
        if (colors := color.refusal(frame)) is not None:
            raise Unsupported(f"colours that are {colors} cannot be converted")
        if ALPHA not in self._source.notes and self._converter.transparent(frame):
            self._source.note(ALPHA)
        for message in unseen(frame):
            self._source.note(message)
        size = self._turn(frame)
        if not self.count:
            self.source_size, self.color = size, color.describe(frame)
            self.bit_depth, self.chroma = color.sampling(frame)
            self._light = light_of(frame)
            self.format = PictureFormat(*self._cropped())
        if size != self.source_size:
            height, width = self.source_size
            raise InputError(
                f"{self._source.part or self.name}: frame {number} is {size[1]}x{size[0]} and the first {width}x"
                f"{height}; a video must keep its size: split it, or select frames of one size with `frames`"
            )
        if self._scan == "progressive" and not self._selection.deinterlace:
            self._scan = scan_of(frame, self._source.field_order, self._source.codec)
            if self._scan != "progressive":
                self._source.note(f"frames are interlaced, {self._scan} field first, {INTERLACED}")
        if frame.is_corrupt:
            raise Damage(f"frame {number} is damaged")
        if self.count >= MAX_FRAMES:
            raise InputError(f"{self.name}: has more than {MAX_FRAMES} frames; select some with `frames`")
        if self._checker is not None:
            self._checksums.append(self._checker(frame))
        self._times.append(NO_TIME if frame.pts is None else frame.pts)
        self._last = frame.duration or 0
        self._source.done = self.full and frame.pts is None  # else the next frame tells when this one ends
        return True

    def info(self) -> VideoInfo:
        """Everything about the frames that were read. Raises `InputError` where a `.snrv` file cannot hold it."""
        line, aspect = self._timeline(), self._source.aspect
        first = line.times[0] if self._selection.frames is not None else 0
        try:
            return VideoInfo(
                width=self.width,
                height=self.height,
                time_base=line.base,
                timestamps=[time - first for time in line.times],
                final_duration=line.last,
                rate=line.rate,
                pixel_aspect=1 / aspect if self._orientation.transposed else aspect,
                scan=self._shown_scan(),
                bit_depth=self.bit_depth,
                chroma=self.chroma,
                color=self.color,
            )
        except ValueError as error:
            raise InputError(f"{self.name}: cannot be coded: {error}") from error

    def _shown_scan(self) -> Scan:
        """Which field comes first of the frames that are given out; none where they were turned."""
        if self._scan == "progressive" or self._orientation != STORED:
            return "progressive"
        rows, _ = centred(*self.source_size, (self.height, self.width))
        return OTHER_FIELD[self._scan] if rows.start % 2 else self._scan

    def _turn(self, frame: Any) -> tuple[int, int]:
        """Height and width of a frame as players show it, and how that is, which is noted where it changes."""
        found = orientation(frame)
        if found is None:
            self._source.note("the display matrix turns by no right angle: frames are coded as they are stored")
        elif found != STORED:
            self._source.note(f"frames are {found}, as players show them")
        self._orientation = found or STORED
        return self._orientation.size(frame.height, frame.width)

    def _cropped(self) -> tuple[int, int]:
        crop = self._selection.crop or self.source_size
        check_crop(self.source_size, crop, f"{self.name}: ")
        return crop

    def _timeline(self) -> Timeline:
        if self._known is None:
            times = [None if time == NO_TIME else time for time in self._times]
            self._known = self._source.timeline(times, self._last, self._end, self._start)
        return self._known
