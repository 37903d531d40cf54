"""What is to be fitted: the frames of a source that are kept, and which of their pixels are known."""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from snerv_codec.bitstream.extras import NO_EXTRAS, Extras
from snerv_codec.bitstream.types import SideTrack, VideoInfo
from snerv_codec.media.mask import Mask, read_mask
from snerv_codec.media.picture import Pixels
from snerv_codec.media.reader import read_video
from snerv_codec.media.timeline import cut, odd_frames
from snerv_codec.settings import EncodeSettings


@dataclass(frozen=True, slots=True)
class Footage:
    """`frames` is uint8 (T, H, W, 3), RGB, and `info` describes these alone.

    `known` is true where a pixel counts, (T or 1, H, W); None where all do. `left_out` holds the frames
    between those of `frames` that are not fitted, of which there may be none. `warnings` says what of the
    source could not be taken.
    """

    info: VideoInfo
    frames: Pixels
    tracks: tuple[SideTrack, ...]
    known: Mask | None
    left_out: Pixels
    warnings: tuple[str, ...] = ()
    extras: Extras = NO_EXTRAS

    def part(self, numbers: range) -> "Footage":
        """The consecutive frames of these numbers, with their part of the mask; without tracks, and nothing between."""
        chosen = slice(numbers.start, numbers.stop)
        known = self.known if self.known is None or len(self.known) == 1 else self.known[chosen]
        info, _ = cut(self.info, (), numbers)
        return Footage(info, self.frames[chosen], (), known, self.left_out[:0])

    @property
    def identity(self) -> dict[str, int]:
        """Tells one footage from another."""
        known = 0 if self.known is None else zlib.crc32(self.known.data)
        return {"frames": zlib.crc32(self.frames.data), "known": known}


def read_footage(source: Any, settings: EncodeSettings, *, memory: int | None = None) -> Footage:
    """Read what `settings` select of `source`. Raises as `read_video` and `read_mask` do."""
    video = read_video(source, settings.source, memory=memory)
    known = None
    if settings.mask is not None:
        known = read_mask(settings.mask, video.info, settings.source, memory=memory)
    if settings.holdout is None:
        return Footage(video.info, video.frames, video.tracks, known, video.frames[:0], video.warnings, video.extras)
    kept, left_out = (np.ascontiguousarray(video.frames[start::2]) for start in (0, 1))
    return Footage(odd_frames(video.info), kept, video.tracks, known, left_out, video.warnings, video.extras)
