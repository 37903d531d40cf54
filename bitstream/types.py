"""The values a `.snrv` file holds. All are frozen and check themselves: an invalid one cannot be built.

Stream ─┬─ VideoInfo ── Color
        ├─ Segment ─┬─ DecoderConfig
        │           ├─ QuantizedTensor (one for each weight or bias of the decoder, one or two of embeddings)
        │           └─ the side values and checksums of its frames
        ├─ SideTrack ── Packet
        └─ Extras ── Chapter, Mastering, Light, Attachment (extras.py)
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import prod
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from .extras import NO_EXTRAS, Extras, Tags, check_tags
from .fields import MAX_TIME
from .models import MAX_FRAME_SIDE, DecoderConfig, check, check_covers, check_scenes

MIN_FRAME_SIDE = 16
MAX_FRAMES = 1 << 20
MAX_TENSOR_VALUES = 1 << 28
MAX_BITS = 16
MAX_DIMENSIONS = 8
MAX_NAME = 255  # bytes of a tensor's
MAX_TRACKS = 256  # of a file: FFmpeg's containers end at a thousand streams

Shape = tuple[int, ...]
Chroma = Literal["400", "420", "422", "444", "rgb"]
Scan = Literal["progressive", "top", "bottom"]
TrackKind = Literal["audio", "subtitle"]
Role = Literal[
    "default",
    "dub",
    "original",
    "comment",
    "lyrics",
    "karaoke",
    "forced",
    "hearing_impaired",
    "visual_impaired",
    "clean_effects",
    "captions",
    "descriptions",
]  # what a track is for; "default" is the one that plays unasked
MAX_TRIM = (1 << 31) - 1  # samples


def _check_fraction(name: str, value: Fraction) -> None:
    in_range = 0 < value.numerator < 1 << 31 and value.denominator < 1 << 31
    check(in_range, f"{name} {value} is not a positive ratio of 31-bit integers")


def _check_shape(name: str, shape: tuple[int, ...]) -> None:
    check(0 < len(name.encode()) <= MAX_NAME, f"tensor name {name!r} is not 1..{MAX_NAME} bytes")
    check(1 <= len(shape) <= MAX_DIMENSIONS and min(shape) >= 1, f"{name}: shape {shape} is not valid")
    check(prod(shape) <= MAX_TENSOR_VALUES, f"{name}: shape {shape} is too large")


@dataclass(frozen=True, slots=True)
class Color:
    """Colour tags: code points of ITU-T H.273 (2: unspecified) and the range of the source's samples."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    full_range: bool | None = None

    def __post_init__(self) -> None:
        for name in ("primaries", "transfer", "matrix"):
            value = getattr(self, name)
            check(0 <= value <= 255, f"colour {name} {value} is not in 0..255")


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a player must know of the video; the pixels themselves are 8-bit RGB.

    `timestamps` holds one presentation time a frame in units of `time_base` seconds, strictly increasing, and keeps it
    in eight bytes, as films are long; `final_duration` is the last frame's in the same unit. `rate` is nominal. `scan`
    says whether frames are whole, or two fields of which the top or the bottom one is first. `bit_depth` and `chroma`
    describe the source.
    """

    width: int
    height: int
    time_base: Fraction
    timestamps: Sequence[int] = field(hash=False)  # arrays have none
    final_duration: int
    rate: Fraction
    pixel_aspect: Fraction = Fraction(1)
    scan: Scan = "progressive"
    bit_depth: int = 8
    chroma: Chroma = "420"
    color: Color = field(default_factory=Color)

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            side = getattr(self, name)
            ok = MIN_FRAME_SIDE <= side <= MAX_FRAME_SIDE
            check(ok, f"{name} {side} is not in {MIN_FRAME_SIDE}..{MAX_FRAME_SIDE}")
        for name in ("time_base", "rate", "pixel_aspect"):
            _check_fraction(name, getattr(self, name))
        times = self.timestamps
        check(1 <= len(times) <= MAX_FRAMES, f"{len(times)} frames is not in 1..{MAX_FRAMES}")
        check(all(a < b for a, b in pairwise(times)), "timestamps do not increase")
        check(times[0] >= -MAX_TIME and times[-1] <= MAX_TIME, "timestamps exceed 62 bits")
        check(self.final_duration > 0, f"final duration {self.final_duration} is not positive")
        check(times[-1] - times[0] + self.final_duration <= MAX_TIME, "the duration exceeds 62 bits")
        check(self.scan in get_args(Scan), f"scan {self.scan!r} is unknown")
        check(1 <= self.bit_depth <= MAX_BITS, f"bit depth {self.bit_depth} is not in 1..{MAX_BITS}")
        check(self.chroma in get_args(Chroma), f"chroma {self.chroma} is unknown")
        object.__setattr__(self, "timestamps", array("q", times))

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return len(self.timestamps)

    @property
    def duration(self) -> Fraction:
        """Seconds from the first frame's start to the last one's end."""
        return (self.timestamps[-1] - self.timestamps[0] + self.final_duration) * self.time_base


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedTensor:
    """A tensor on a uniform grid: value = offset + scale · symbol.

    `symbols` is a flat uint16 array in C order, below 2**bits. `scales` and `offsets` are float16
    arrays: one entry for the whole tensor (`axis` None), or one for each index along `axis`.
    """

    name: str
    shape: tuple[int, ...]
    bits: int
    symbols: npt.NDArray[np.uint16]
    scales: npt.NDArray[np.float16]
    offsets: npt.NDArray[np.float16]
    axis: int | None = None

    def __post_init__(self) -> None:
        name, shape = self.name, self.shape
        _check_shape(name, shape)
        check(1 <= self.bits <= MAX_BITS, f"{name}: {self.bits} bits is not in 1..{MAX_BITS}")
        ok = self.symbols.dtype == np.uint16 and self.symbols.shape == (prod(shape),)
        check(ok, f"{name}: symbols are not {prod(shape)} values of uint16")
        fits = int(self.symbols.max()) < 1 << self.bits
        check(fits, f"{name}: a symbol does not fit {self.bits} bits")
        check(self.axis is None or 0 <= self.axis < len(shape), f"{name}: axis {self.axis} is not in {shape}")
        for kind, grid in (("scales", self.scales), ("offsets", self.offsets)):
            ok = grid.dtype == np.float16 and grid.shape == (self.grid_count,)
            check(ok, f"{name}: {kind} are not {self.grid_count} values of float16")
            check(bool(np.isfinite(grid).all()), f"{name}: {kind} are not finite")

    @property
    def grid_count(self) -> int:
        """Number of scales (and of offsets)."""
        return 1 if self.axis is None else self.shape[self.axis]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, QuantizedTensor):
            return NotImplemented
        plain = ("name", "shape", "bits", "axis")
        arrays = ("symbols", "scales", "offsets")
        return all(getattr(self, key) == getattr(other, key) for key in plain) and all(
            getattr(self, key).tobytes() == getattr(other, key).tobytes() for key in arrays
        )


@dataclass(frozen=True, slots=True)
class NncTensors:
    """Tensors as one ISO/IEC 15938-17 bitstream; `bitstream.nnc` turns it into values.

    `shapes` holds (name, shape) of each; in the bitstream itself a tensor's name is its number.
    """

    shapes: tuple[tuple[str, Shape], ...]
    data: bytes

    def __post_init__(self) -> None:
        for name, shape in self.shapes:
            _check_shape(name, shape)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Segment:
    """A run of frames with its own decoder; decodable alone.

    `embeddings` has a tensor (frames, *shape) for each of `config.embedding_shapes`. `side` is float16,
    (frames, `frame_values` of the model's layout): of a model with subbands, each frame's least and greatest LL
    value. `frame_checksums` holds the CRC-32 of
    every decoded frame's RGB bytes on the device that made the file; it is empty where none were taken.
    The decoder's tensors are in `tensors`, or in `nnc` and nowhere else.
    """

    first_frame: int
    config: DecoderConfig
    tensors: tuple[QuantizedTensor, ...]
    embeddings: tuple[QuantizedTensor, ...]
    side: npt.NDArray[np.float16]
    frame_checksums: tuple[int, ...] = ()
    nnc: NncTensors | None = None

    def __post_init__(self) -> None:
        check(len(self.embeddings) > 0, "embeddings are missing")
        frames = self.frame_count
        check(0 <= self.first_frame <= MAX_FRAMES, f"first frame {self.first_frame} is out of range")
        check_embeddings(self.config, frames, [tensor.shape for tensor in self.embeddings])
        count = self.config.layout.frame_values
        ok = self.side.dtype == np.float16 and self.side.shape == (frames, count)
        check(ok, f"side values are not ({frames}, {count}) of float16")
        check(bool(np.isfinite(self.side).all()), "side values are not finite")
        names = [name for name, _ in self.shapes]
        check(len(set(names)) == len(names) > 0, "tensor names are missing or not unique")
        check(self.nnc is None or not self.tensors, "tensors are there twice")
        ok = len(self.frame_checksums) in (0, frames) and all(0 <= c < 1 << 32 for c in self.frame_checksums)
        check(ok, f"frame checksums are not {frames} 32-bit integers")

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return self.embeddings[0].shape[0]

    @property
    def all_tensors(self) -> tuple[QuantizedTensor, ...]:
        """The decoder's tensors, then those of embeddings: the order of the file."""
        return (*self.tensors, *self.embeddings)

    @property
    def shapes(self) -> tuple[tuple[str, Shape], ...]:
        """(name, shape) of the decoder's tensors, in the file's order."""
        return self.nnc.shapes if self.nnc else tuple((tensor.name, tensor.shape) for tensor in self.tensors)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Segment):
            return NotImplemented
        plain = ("first_frame", "config", "tensors", "embeddings", "frame_checksums", "nnc")
        return (
            all(getattr(self, key) == getattr(other, key) for key in plain)
            and self.side.tobytes() == other.side.tobytes()
        )


@dataclass(frozen=True, slots=True)
class Packet:
    """One coded packet of a side track; times in units of the track's time base."""

    data: bytes
    pts: int
    dts: int
    duration: int
    keyframe: bool = True


@dataclass(frozen=True, slots=True)
class SideTrack:
    """Sound or subtitles, copied packet by packet.

    `description` is a header-only media file of one track and no packets (ISO BMFF or Matroska), which
    names the codec and holds its parameters and private data. Of decoded sound, whose `sample_rate` (Hz) is 0 where
    unknown, a player leaves out the first `skip` samples, which are its encoder's delay, and the last `drop` ones,
    which fill its last packet. `roles` are in the order of `Role`.
    """

    kind: TrackKind
    codec: str
    description: bytes
    time_base: Fraction
    packets: tuple[Packet, ...]
    language: str = ""
    roles: tuple[Role, ...] = ()
    tags: Tags = ()
    sample_rate: int = 0
    skip: int = 0
    drop: int = 0

    def __post_init__(self) -> None:
        check(self.kind in get_args(TrackKind), f"track kind {self.kind!r} is unknown")
        _check_fraction("track time base", self.time_base)
        times = (time for packet in self.packets for time in (packet.pts, packet.dts, packet.duration))
        check(all(abs(time) <= MAX_TIME for time in times), "packet times exceed 62 bits")
        check(self.roles == in_role_order(self.roles), f"roles {self.roles} are unknown, or not in order")
        trims = (self.sample_rate, self.skip, self.drop)
        check(all(0 <= count <= MAX_TRIM for count in trims), f"sample rate, skip and drop {trims} are out of range")
        check(self.sample_rate > 0 or self.skip == self.drop == 0, "samples are trimmed whose rate is not told")
        check_tags(self.tags)


def in_role_order(roles: Iterable[str]) -> tuple[Role, ...]:
    """Those of `roles` that are known, in the order of `Role`."""
    wanted = set(roles)
    return tuple(role for role in get_args(Role) if role in wanted)


def check_embeddings(config: DecoderConfig, frames: int, shapes: Sequence[Shape]) -> None:
    """Raise `ValueError` where tensors of these shapes are not the embeddings of so many frames."""
    expected = [(frames, *shape) for shape in config.embedding_shapes]
    check(list(shapes) == expected, f"embeddings {list(shapes)} are not {expected}")
    check_scenes(config, frames)


@dataclass(frozen=True, slots=True)
class Stream:
    """A whole `.snrv` file. `summary` is free text for people (how it was made); nothing depends on it."""

    video: VideoInfo
    segments: tuple[Segment, ...]
    tracks: tuple[SideTrack, ...] = ()
    summary: str = ""
    extras: Extras = NO_EXTRAS

    def __post_init__(self) -> None:
        next_frame = 0
        for segment in self.segments:
            check(segment.first_frame == next_frame, f"segment starts at {segment.first_frame}, not {next_frame}")
            next_frame += segment.frame_count
            check_covers(segment.config, self.video.height, self.video.width)
        whole = next_frame == self.video.frame_count
        check(whole, f"segments hold {next_frame} frames, the video {self.video.frame_count}")
