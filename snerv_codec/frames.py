"""What a decoder hands out: frames as arrays or tensors with their times, and what is known of the video."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from operator import index
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt
import torch

from snerv_codec.bitstream.types import VideoInfo
from snerv_codec.errors import SettingsError
from snerv_codec.media.picture import Pixels

Output = Literal["numpy", "torch"]
Layout = Literal["NHWC", "NCHW"]
Data = TypeVar("Data", bound="Pixels | torch.Tensor")


class _Shown:
    """Fields that are seen by their shapes, and taken apart in order: `data, seconds, duration = frame`."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]

    def __repr__(self) -> str:
        values = [(field.name, getattr(self, field.name)) for field in fields(self)]  # type: ignore[arg-type]
        shown = (f"{name}={tuple(v.shape) if name == 'data' else v!r}" for name, v in values)
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Frame(_Shown):
    """A frame, uint8 RGB (H, W, 3) or (3, H, W), with the time it is shown at and for how long, in seconds."""

    data: Any
    pts_seconds: float
    duration_seconds: float


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class FrameBatch(_Shown):
    """N frames, uint8 RGB (N, H, W, 3) or (N, 3, H, W), with their times and durations in seconds, float64 (N,).

    `batch[i]` is a `Frame`; `len(batch)` is N.
    """

    data: Any
    pts_seconds: Any
    duration_seconds: Any

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Frame:
        return Frame(self.data[index], float(self.pts_seconds[index]), float(self.duration_seconds[index]))


@dataclass(frozen=True, slots=True)
class VideoMetadata:
    """What is known of a video without decoding it. Sizes in pixels, times in seconds, rates in units a second.

    `end_stream_seconds` is when the last frame ends. `scan` is "progressive", or which field of interlaced frames comes
    first, "top" or "bottom". `bit_depth` and `chroma` ("420" ...) are the source's; frames are 8-bit RGB.
    """

    width: int
    height: int
    num_frames: int
    begin_stream_seconds: float
    end_stream_seconds: float
    average_fps: float
    pixel_aspect_ratio: Fraction
    scan: str
    bit_depth: int
    chroma: str
    bytes: int
    bit_rate: float
    codec: str = "snrv"

    @property
    def duration_seconds(self) -> float:
        """From the first frame's start to the last one's end."""
        return self.end_stream_seconds - self.begin_stream_seconds


def describe(info: VideoInfo, size: int) -> VideoMetadata:
    """The metadata of a video in a file of `size` bytes."""
    begin = float(info.timestamps[0] * info.time_base)
    end = float((info.timestamps[-1] + info.final_duration) * info.time_base)
    return VideoMetadata(
        width=info.width,
        height=info.height,
        num_frames=info.frame_count,
        begin_stream_seconds=begin,
        end_stream_seconds=end,
        average_fps=info.frame_count / float(info.duration),  # of far times, the floats may be equal
        pixel_aspect_ratio=info.pixel_aspect,
        scan=info.scan,
        bit_depth=info.bit_depth,
        chroma=info.chroma,
        bytes=size,
        bit_rate=8 * size / float(info.duration),
    )


class Timeline:
    """When each frame is shown: from `starts[i]` up to, but not including, `ends[i]`, in seconds, float64."""

    def __init__(self, info: VideoInfo) -> None:
        base, last = info.time_base, info.timestamps[-1] + info.final_duration
        times = np.array([float(time * base) for time in (*info.timestamps, last)])
        self.starts, self.ends = times[:-1], times[1:]

    def played_at(self, seconds: float) -> int:
        """The number of the frame that is shown at a time. Raises `IndexError` before the first and after the last."""
        if not self.starts[0] <= seconds < self.ends[-1]:
            raise IndexError(f"nothing is shown at {seconds:g} s: the video is from {self._span()}")
        return int(np.searchsorted(self.starts, seconds, side="right")) - 1

    def played_in(self, start: float, stop: float) -> range:
        """The numbers of the frames that are shown between two times, the second excluded.

        Raises `IndexError` where the times are not both of the video, `ValueError` where the second comes first.
        """
        if stop < start:
            raise ValueError(f"{start:g} s to {stop:g} s: the end comes before the start")
        if start < self.starts[0] or stop > self.ends[-1]:
            raise IndexError(f"{start:g} s to {stop:g} s are not all of the video, which is from {self._span()}")
        if start == stop:
            return range(0)
        return range(self.played_at(start), int(np.searchsorted(self.starts, stop, side="left")))

    def _span(self) -> str:
        return f"{self.starts[0]:g} s to {self.ends[-1]:g} s"


class Packer:
    """Puts frames into what their user wants: arrays or tensors, channels last or first."""

    def __init__(self, output: Output, layout: Layout) -> None:
        for name, value, choices in (("output", output, get_args(Output)), ("layout", layout, get_args(Layout))):
            if value not in choices:
                raise SettingsError(f"{name} {value!r} is not one of {', '.join(choices)}")
        self.output, self.layout = output, layout

    def frame(self, pixels: Pixels) -> Any:
        """One frame, (H, W, 3)."""
        return self._as_asked(pixels.transpose(2, 0, 1) if self.layout == "NCHW" else pixels)

    def batch(self, pixels: Pixels) -> Any:
        """Frames, (N, H, W, 3)."""
        return self._as_asked(pixels.transpose(0, 3, 1, 2) if self.layout == "NCHW" else pixels)

    def times(self, values: "npt.NDArray[np.float64]") -> Any:
        """Times, (N,)."""
        return torch.from_numpy(values) if self.output == "torch" else values

    def _as_asked(self, pixels: Pixels) -> Any:
        return torch.from_numpy(pixels) if self.output == "torch" else pixels


def indices_of(indices: Sequence[int] | Any, count: int) -> list[int]:
    """Numbers of frames, counted from the end where negative. Raises `IndexError` for one that does not exist.

    And `TypeError` for what is no whole number.
    """
    numbers = [index(number) for number in indices]
    for number in numbers:
        if not -count <= number < count:
            raise IndexError(f"frame {number} is not in a video of {count} frames")
    return [number % count for number in numbers]
