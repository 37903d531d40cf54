"""What is to be fitted: the frames of a source that are kept, and which of their pixels are known."""

import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from snerv_codec.bitstream.extras import NO_EXTRAS, Extras
from snerv_codec.bitstream.types import SideTrack, VideoInfo
from snerv_codec.encoding.segmentation import MOST_BYTES, asks_for_scenes, has_canvases
from snerv_codec.errors import InputError, ResourceError
from snerv_codec.events import FrameDone
from snerv_codec.media.mask import Mask, read_mask
from snerv_codec.media.picture import RGB8, Pixels
from snerv_codec.media.reader import OnFrame, Video, open_video, read_video
from snerv_codec.media.run import Run
from snerv_codec.media.scenes import scene_cuts
from snerv_codec.media.seek import read_run
from snerv_codec.media.timeline import cut, odd_frames
from snerv_codec.settings import EncodeSettings


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames in memory, uint8 (T, H, W, 3), RGB; `info` describes these alone.

    `known` is true where a pixel counts, (T or 1, H, W); None where all do.
    """

    info: VideoInfo
    frames: Pixels
    known: Mask | None = None


@dataclass(frozen=True, slots=True)
class Footage:
    """The frames to fit, held in memory or read from their source when they are asked for; it can be pickled.

    `info` describes these alone, and `numbers` are theirs among all that are to be fitted of the `source`. `left_out`
    holds the frames between them that are not fitted, of which there may be none, where frames are held. `warnings`
    says what of the source could not be taken; `scenes` are the frames that begin a new scene, where somebody looked.
    `run` finds frames that are not held in their source again, without reading all before them.
    """

    source: Any
    settings: EncodeSettings
    info: VideoInfo
    numbers: range
    tracks: tuple[SideTrack, ...] = ()
    warnings: tuple[str, ...] = ()
    extras: Extras = NO_EXTRAS
    scenes: tuple[int, ...] = ()
    run: Run | None = None
    held: Clip | None = None
    left_out: Pixels | None = None

    def part(self, numbers: range) -> "Footage":
        """Consecutive frames of these, by their numbers among these; without tracks, and nothing between."""
        info, held = cut(self.info, (), numbers)[0], self.held
        if held is not None:
            chosen = slice(numbers.start, numbers.stop)
            known = held.known if held.known is None or len(held.known) == 1 else held.known[chosen]
            held = Clip(info, held.frames[chosen], known)
            source, left_out = None, held.frames[:0]  # a job is not to carry what it does not need
        else:
            source, left_out = self.source, None
        own = self.numbers[numbers.start : numbers.stop]
        run = None if self.run is None or held is not None else self.run.part(*self._of_source(own))
        return Footage(source, self.settings, info, own, run=run, held=held, left_out=left_out)

    def load(self, memory: int | None = None) -> Clip:
        """The frames in memory. Raises as `read_video` does, and `InputError` where the source has changed."""
        if self.held is not None:
            return self.held
        frames = np.ascontiguousarray(self._read(memory)[:: self.step])
        if frames.shape != (len(self.numbers), self.info.height, self.info.width, 3):
            raise InputError(f"{self.source}: has changed since it was planned")
        return Clip(self.info, frames)

    def pictures(self) -> Iterator[Pixels]:
        """The frames one at a time, uint8 (H, W, 3)."""
        return iter(self.held.frames) if self.held is not None else self._stream(0)

    @property
    def known(self) -> Mask | None:
        """Which pixels count, as in `Clip`; frames that have such are held."""
        return None if self.held is None else self.held.known

    @property
    def gaps(self) -> int:
        """How many frames are not fitted and lie between two that are."""
        return 0 if self.step == 1 else len(self.numbers) - 1

    def between(self) -> Iterator[Pixels]:
        """These frames one at a time."""
        return islice(self._stream(1) if self.left_out is None else self.left_out, self.gaps)

    @property
    def identity(self) -> dict[str, object]:
        """Tells one footage from another: by its pixels where they are held, else by the file's name, size and time,
        and by the checksums of what was noted."""
        if self.held is not None:
            known = 0 if self.held.known is None else zlib.crc32(self.held.known.data)
            return {"frames": zlib.crc32(self.held.frames.data), "known": known}
        path = Path(self.source)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        states = [each.stat() for each in files]
        told = [str(path.resolve()), sum(state.st_size for state in states), max(s.st_mtime_ns for s in states)]
        told += [] if self.run is None else [zlib.crc32(self.run.checksums)]
        return {"frames": [*told, repr(self.settings.source), self.step, self.numbers.start, self.numbers.stop]}

    @property
    def step(self) -> int:
        """How many frames of the source there are to one that is fitted."""
        return 1 if self.settings.holdout is None else 2

    def _read(self, memory: int | None) -> Pixels:
        """The frames of the source from the first to the last of these."""
        if self.run is not None:
            return read_run(self.source, self.settings.source, self.run, memory=memory)
        frames = self._of_source(self.numbers)
        selection = replace(self.settings.source, frames=frames, audio=False, subtitles=False, attachments=False)
        return read_video(self.source, selection, memory=memory).frames

    def _of_source(self, numbers: range) -> tuple[int, int]:
        """The frames of the source from the first to the last of these, as a selection has them."""
        first = (self.settings.source.frames or (0, None))[0]
        return first + self.step * numbers.start, first + self.step * (numbers.stop - 1) + 1

    def _stream(self, start: int) -> Iterator[Pixels]:
        with open_video(self.source, self.settings.source, tracks=False) as video:
            yield from islice(video, start, None, self.step)


def read_footage(
    source: Any,
    settings: EncodeSettings,
    *,
    memory: int | None = None,
    keep: bool = True,
    on_event: Callable[[FrameDone], None] = lambda event: None,
) -> Footage:
    """What `settings` select of `source`.

    Frames are held where they are asked for (`keep`) and are to share a network, or cannot be read again; else they are
    looked through. Raises as `read_video` and `read_mask` do.
    """

    def on_frame(done: int, total: int) -> None:
        on_event(FrameDone("read", done, total))

    again = isinstance(source, str | os.PathLike) and str(source) != "-" and settings.mask is None
    if not keep or (again and settings.segment not in (None, "auto")):
        return _survey(source, settings, memory, on_frame, noted=keep)
    if not again or settings.segment is None:
        return _hold(source, settings, memory, on_frame)
    try:
        return _hold(source, settings, min(memory or MOST_BYTES, MOST_BYTES), on_frame)
    except ResourceError:  # too much for one network, or for the memory, which a survey tells
        return _survey(source, settings, memory, on_frame, noted=True)


def _survey(source: Any, settings: EncodeSettings, memory: int | None, on_frame: OnFrame, *, noted: bool) -> Footage:
    """What is there, by decoding it once; frames that are `noted` are found again faster."""
    if not isinstance(source, str | os.PathLike):
        video = read_video(source, settings.source, keep=False)
        return _with_scenes_in(video.frames, _described(source, settings, video))
    with open_video(os.fspath(source), settings.source, memory=memory, noted=noted, on_frame=on_frame) as stream:
        scenes = scene_cuts(stream) if settings.segment is not None or has_canvases(settings) else []
        stream.skip()
        video = Video(stream.info(), RGB8.empty(0), stream.tracks(), stream.warnings(), stream.extras())
        run = stream.run() if noted else None
    return replace(_with_scenes(_described(source, settings, video), scenes), run=run)


def _with_scenes_in(frames: Pixels, footage: Footage) -> Footage:
    """The footage of these frames, with the scenes among them where these matter."""
    asked = asks_for_scenes(footage.info, footage.settings)
    return _with_scenes(footage, scene_cuts(frames)) if asked else footage


def _with_scenes(footage: Footage, scenes: Iterable[int]) -> Footage:
    """The footage of a source whose frames of these numbers begin a new scene."""
    return replace(footage, scenes=tuple(sorted({-(-number // footage.step) for number in scenes})))


def _described(source: Any, settings: EncodeSettings, video: Video) -> Footage:
    info = video.info if settings.holdout is None else odd_frames(video.info)
    return Footage(source, settings, info, range(info.frame_count), video.tracks, video.warnings, video.extras)


def _hold(source: Any, settings: EncodeSettings, memory: int | None, on_frame: OnFrame) -> Footage:
    """The footage with its frames."""
    video, known = read_video(source, settings.source, memory=memory, on_frame=on_frame), None
    footage = _with_scenes_in(video.frames, _described(source, settings, video))
    if settings.mask is not None:
        known = read_mask(settings.mask, video.info, settings.source, memory=memory)
    if settings.holdout is None:
        return replace(footage, held=Clip(video.info, video.frames, known), left_out=video.frames[:0])
    kept, left_out = (np.ascontiguousarray(video.frames[start::2]) for start in (0, 1))
    return replace(footage, held=Clip(footage.info, kept, known), left_out=left_out)
