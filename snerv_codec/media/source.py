"""Where frames come from, as whoever reads them sees it."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from snerv_codec.bitstream.extras import NO_EXTRAS, Extras
from snerv_codec.bitstream.types import SideTrack
from snerv_codec.errors import ResourceError
from snerv_codec.media.timing import Timeline, make_timeline

SPACING = 32  # frames that lie between two landmarks at least


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to take of a source. Sizes in pixels; all None takes everything.

    `stream` counts video streams from 0, `crop` is a centred (height, width), `frames` (start, stop).
    `rate` serves folders of images and raw samples, which know none; `video_size` (width, height) and
    `pix_fmt` describe raw samples. `audio`, `subtitles` and `attachments` false leave these out. `deinterlace`
    makes whole frames of interlaced ones.
    """

    stream: int | None = None
    crop: tuple[int, int] | None = None
    frames: tuple[int, int | None] | None = None
    rate: Fraction | None = None
    video_size: tuple[int, int] | None = None
    pix_fmt: str | None = None
    audio: bool = True
    subtitles: bool = True
    attachments: bool = True
    deinterlace: bool = False


def name_of(source: Any) -> str:
    """What messages call a source."""
    if not isinstance(source, str | os.PathLike):
        return f"array of shape {tuple(source.shape)}" if hasattr(source, "shape") else "array"
    return "standard input" if str(source) == "-" else str(source)


class Damage(Exception):
    """What comes next of a source is not what was recorded; the message says how one can tell."""


class Unsupported(Exception):
    """What comes next of a source is sound, but cannot be decoded; the message says what it is."""


class Landmark(NamedTuple):
    """Where a decoder can begin, a little before or after frame `number`.

    `time` is in units of the stream's time base and `place` in bytes from the start of the file, as its container tells
    them; None where it does not.
    """

    number: int
    time: int | None = None
    place: int | None = None


class Source(ABC):
    """Frames, as decoded, with what their container says of them.

    `name` is for messages, and `part` the file of the current frame where each has its own. `claimed` is how many
    frames there should be, 0 where that is not told. Whoever has all frames that it wants sets `done`: the rest is
    then passed over, but for sound and subtitles.
    """

    claimed = 0
    codec = ""
    field_order = 0  # FFmpeg's number for it
    aspect = Fraction(1)
    done = False
    part: str | None = None

    def __init__(self, name: str, selection: Selection, max_pixels: int) -> None:
        self.name, self.selection, self.max_pixels = name, selection, max_pixels
        self.notes: list[str] = []
        self.landmarks: list[Landmark] = []  # that `frames` has come by, not all of them

    @abstractmethod
    def frames(self) -> Iterator[Any]:
        """All frames in the order in which they are shown. Raises `Damage`, `Unsupported` or `InputError`."""

    def frames_from(self, landmark: Landmark) -> Iterator[Any]:
        """Frames from about a landmark on, on a source that is just open; none where it cannot go there.

        They may begin earlier or later, and the first ones need not be sound.
        """
        return iter(())

    def mark(self, landmark: Landmark) -> None:
        """Remember a landmark, unless there is one shortly before."""
        if not self.landmarks or landmark.number >= self.landmarks[-1].number + SPACING:
            self.landmarks.append(landmark)

    def timeline(self, times: list[int | None], last: int, end: int | None, start: int) -> Timeline:
        """When the frames from number `start` on are shown, by their own `times`, the last frame's duration (0 where
        unknown), and the time of the frame after it."""
        return make_timeline(times, 1 / (self.selection.rate or Fraction(1)), self.selection.rate, last=last, end=end)

    def tracks(self) -> tuple[SideTrack, ...]:
        """Sound and subtitles that were met so far."""
        return ()

    def extras(self) -> Extras:
        """Tags, chapters and attachments."""
        return NO_EXTRAS

    def note(self, text: str) -> None:
        """Add to the warnings, once."""
        if text not in self.notes:
            self.notes.append(text)

    def warnings(self) -> tuple[str, ...]:
        """What of the source could not be taken as it is; all of it once all frames were read."""
        return tuple(self.notes)

    def require_room(self, width: int, height: int) -> None:
        """Raise `ResourceError` where a decoder could not hold frames of this size."""
        if width * height > self.max_pixels:
            raise ResourceError(
                f"{self.name}: frames of {width}x{height} are too large to be decoded in the memory left"
            )
