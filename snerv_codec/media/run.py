"""Frames that one pass over a source has seen, known again by their checksums."""

import zlib
from array import array
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from snerv_codec.media import color
from snerv_codec.media.orientation import orientation
from snerv_codec.media.source import Landmark

BEGINNINGS = 3  # landmarks from which a run is looked for


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive frames of a source: the number of the first, a checksum of each, and landmarks from which to look."""

    first: int
    checksums: "array[int]"
    landmarks: tuple[Landmark, ...]

    def part(self, start: int, stop: int) -> "Run":
        """The frames from number `start` of the source up to `stop`, with the last landmarks before them."""
        before = [landmark for landmark in self.landmarks if landmark.number <= start]
        return Run(start, self.checksums[start - self.first : stop - self.first], tuple(before[-BEGINNINGS:]))


class Checker:
    """Takes checksums of decoded frames: of all from which their pixels as RGB come."""

    def __init__(self) -> None:
        self._copier: Any = None

    def __call__(self, frame: Any) -> int:
        """A checksum of the frame's samples and of what is said of them."""
        meaning = frame.format.name, frame.width, frame.height, color.describe(frame), orientation(frame)
        return zlib.crc32(self._samples(frame), zlib.crc32(repr(meaning).encode()))

    def _samples(self, frame: Any) -> Any:
        """The samples alone, without the ends of rows that only decoders use."""
        told, copier = (frame.format.name, frame.width, frame.height), self._copier
        if copier is None or told != (copier.pix_fmt, copier.width, copier.height):
            copier = self._copier = av.CodecContext.create("rawvideo", "w")
            copier.pix_fmt, copier.width, copier.height = told
            copier.time_base = Fraction(1)
        pts, base = frame.pts, frame.time_base
        (packet,) = copier.encode(frame)  # which changes both
        frame.pts, frame.time_base = pts, base
        return packet
