"""The values a `.snrv` file holds. All are frozen and check themselves: an invalid one cannot be built.

Stream ─┬─ VideoInfo ── Color
        ├─ Segment ─┬─ DecoderConfig
        │           ├─ QuantizedTensor (one for each weight or bias of the decoder, one or two of embeddings)
        │           └─ the LL ranges and checksums of its frames
        └─ SideTrack ── Packet
"""

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import prod
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

MIN_FRAME_SIDE = 16
MAX_FRAME_SIDE = 16384
MAX_FRAMES = 1 << 20
MAX_CHANNELS = 1024
MAX_BLOCKS = 64
MAX_STRIDE = 16
MAX_EMBEDDING_VALUES = 1 << 20  # one frame's
MAX_TENSOR_VALUES = 1 << 28
MAX_BITS = 16
MAX_DIMENSIONS = 8
MAX_NAME = 255  # bytes of a tensor's
STAGES = 5  # up-sampling blocks of the decoder

Model = Literal["b", "t", "t2d"]
Chroma = Literal["400", "420", "422", "444", "rgb"]
TrackKind = Literal["audio", "subtitle"]


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _check_fraction(name: str, value: Fraction) -> None:
    in_range = 0 < value.numerator < 1 << 31 and value.denominator < 1 << 31
    _check(in_range, f"{name} {value} is not a positive ratio of 31-bit integers")


def _check_shape(name: str, shape: tuple[int, ...]) -> None:
    _check(0 < len(name.encode()) <= MAX_NAME, f"tensor name {name!r} is not 1..{MAX_NAME} bytes")
    _check(1 <= len(shape) <= MAX_DIMENSIONS and min(shape) >= 1, f"{name}: shape {shape} is not valid")
    _check(prod(shape) <= MAX_TENSOR_VALUES, f"{name}: shape {shape} is too large")


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
            _check(0 <= value <= 255, f"colour {name} {value} is not in 0..255")


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a player must know of the video; the pixels themselves are 8-bit RGB.

    `timestamps` holds one presentation time a frame in units of `time_base` seconds, strictly
    increasing; `final_duration` is the last frame's in the same unit. `rate` is nominal. `rotation` is
    the clockwise turn, in degrees, that a player applies. `bit_depth` and `chroma` describe the source.
    """

    width: int
    height: int
    time_base: Fraction
    timestamps: tuple[int, ...]
    final_duration: int
    rate: Fraction
    pixel_aspect: Fraction = Fraction(1)
    rotation: int = 0
    bit_depth: int = 8
    chroma: Chroma = "420"
    color: Color = field(default_factory=Color)

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            side = getattr(self, name)
            ok = MIN_FRAME_SIDE <= side <= MAX_FRAME_SIDE
            _check(ok, f"{name} {side} is not in {MIN_FRAME_SIDE}..{MAX_FRAME_SIDE}")
        for name in ("time_base", "rate", "pixel_aspect"):
            _check_fraction(name, getattr(self, name))
        times = self.timestamps
        _check(1 <= len(times) <= MAX_FRAMES, f"{len(times)} frames is not in 1..{MAX_FRAMES}")
        _check(all(a < b for a, b in pairwise(times)), "timestamps do not increase")
        _check(times[0] > -(1 << 62) and times[-1] < 1 << 62, "timestamps exceed 62 bits")
        _check(0 < self.final_duration < 1 << 62, f"final duration {self.final_duration} is not positive")
        _check(self.rotation in (0, 90, 180, 270), f"rotation {self.rotation} is not 0, 90, 180 or 270")
        _check(1 <= self.bit_depth <= MAX_BITS, f"bit depth {self.bit_depth} is not in 1..{MAX_BITS}")
        _check(self.chroma in get_args(Chroma), f"chroma {self.chroma} is unknown")

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return len(self.timestamps)

    @property
    def duration(self) -> Fraction:
        """Seconds from the first frame's start to the last one's end."""
        return (self.timestamps[-1] - self.timestamps[0] + self.final_duration) * self.time_base


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """Every integer needed to rebuild a decoder (paper, section 3; SPEC.md gives the rules between them).

    `embedding_shape` is (channels, height, width) for one frame, `strides` the up-sampling of the five
    blocks, `channels` the width C0 after the stem, `blocks` the residual blocks N_RB per fusion block.
    `model` is the backbone "b", or its temporal extension with 3D ("t") or 2D convolutions ("t2d"). Those
    have `temporal_shape`, (channels, height, width) of each of a frame's two temporal embeddings: of it
    and the frame before, of it and the frame after.
    """

    embedding_shape: tuple[int, int, int]
    strides: tuple[int, ...]
    channels: int
    blocks: int
    model: Model = "b"
    temporal_shape: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        _check(self.model in get_args(Model), f"model {self.model!r} is unknown")
        for shape in (self.embedding_shape, self.temporal_shape or (1, 1, 1)):
            _check(len(shape) == 3 and min(shape) >= 1, f"embedding shape {shape} is not three positive sizes")
            _check(prod(shape) <= MAX_EMBEDDING_VALUES, f"embedding shape {shape} is too large")
        ok = len(self.strides) == STAGES and all(1 <= s <= MAX_STRIDE for s in self.strides)
        _check(ok, f"strides {self.strides} are not {STAGES} integers in 1..{MAX_STRIDE}")
        _check(1 <= self.channels <= MAX_CHANNELS, f"channels {self.channels} is not in 1..{MAX_CHANNELS}")
        _check(0 <= self.blocks <= MAX_BLOCKS, f"blocks {self.blocks} is not in 0..{MAX_BLOCKS}")
        too_large = max(self.padded_size) > 2 * MAX_FRAME_SIDE
        _check(not too_large, f"a padded frame of {self.padded_size} is too large")
        temporal = self.model != "b"
        _check(
            temporal == (self.temporal_shape is not None), f"model {self.model!r}: temporal embeddings missing or extra"
        )
        _check(not temporal or self.temporal_scale > 0, f"temporal shape {self.temporal_shape} does not divide block 2")

    @property
    def embedding_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """Shapes of one frame's embeddings, a tensor each; the two temporal ones are stacked on channels."""
        if self.temporal_shape is None:
            return (self.embedding_shape,)
        channels, height, width = self.temporal_shape
        return self.embedding_shape, (2 * channels, height, width)

    @property
    def temporal_scale(self) -> int:
        """How many times larger, along each side, block 2's output is than the temporal embeddings; 0 if no integer."""
        if self.temporal_shape is None:
            return 0
        step = prod(self.strides[:2])
        sides, small = (step * self.embedding_shape[1], step * self.embedding_shape[2]), self.temporal_shape[1:]
        scale = sides[0] // small[0]
        return scale if (scale * small[0], scale * small[1]) == sides else 0

    @property
    def padded_size(self) -> tuple[int, int]:
        """(height, width) of the frame the decoder makes; the video is its top left corner."""
        _, height, width = self.embedding_shape
        return 2 * height * prod(self.strides), 2 * width * prod(self.strides)


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
        _check(1 <= self.bits <= MAX_BITS, f"{name}: {self.bits} bits is not in 1..{MAX_BITS}")
        ok = self.symbols.dtype == np.uint16 and self.symbols.shape == (prod(shape),)
        _check(ok, f"{name}: symbols are not {prod(shape)} values of uint16")
        fits = int(self.symbols.max()) < 1 << self.bits
        _check(fits, f"{name}: a symbol does not fit {self.bits} bits")
        _check(self.axis is None or 0 <= self.axis < len(shape), f"{name}: axis {self.axis} is not in {shape}")
        for kind, grid in (("scales", self.scales), ("offsets", self.offsets)):
            ok = grid.dtype == np.float16 and grid.shape == (self.grid_count,)
            _check(ok, f"{name}: {kind} are not {self.grid_count} values of float16")
            _check(bool(np.isfinite(grid).all()), f"{name}: {kind} are not finite")

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

    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    data: bytes

    def __post_init__(self) -> None:
        for name, shape in self.shapes:
            _check_shape(name, shape)


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A run of frames with its own decoder; decodable alone.

    `embeddings` has a tensor (frames, *shape) for each of `config.embedding_shapes`. `ll_ranges` is
    float16, (frames, 2): each frame's least and greatest LL value. `frame_checksums` holds the CRC-32 of
    every decoded frame's RGB bytes on the device that made the file; it is empty where none were taken.
    The decoder's tensors are in `tensors`, or in `nnc` and nowhere else.
    """

    first_frame: int
    config: DecoderConfig
    tensors: tuple[QuantizedTensor, ...]
    embeddings: tuple[QuantizedTensor, ...]
    ll_ranges: npt.NDArray[np.float16]
    frame_checksums: tuple[int, ...] = ()
    nnc: NncTensors | None = None

    def __post_init__(self) -> None:
        _check(len(self.embeddings) > 0, "embeddings are missing")
        frames = self.frame_count
        _check(0 <= self.first_frame <= MAX_FRAMES, f"first frame {self.first_frame} is out of range")
        shapes = [tensor.shape for tensor in self.embeddings]
        expected = [(frames, *shape) for shape in self.config.embedding_shapes]
        _check(shapes == expected, f"embeddings {shapes} are not {expected}")
        ok = self.ll_ranges.dtype == np.float16 and self.ll_ranges.shape == (frames, 2)
        _check(ok, f"LL ranges are not ({frames}, 2) values of float16")
        _check(bool(np.isfinite(self.ll_ranges).all()), "LL ranges are not finite")
        names = [name for name, _ in self.shapes]
        _check(len(set(names)) == len(names) > 0, "tensor names are missing or not unique")
        _check(self.nnc is None or not self.tensors, "tensors are there twice")
        ok = len(self.frame_checksums) in (0, frames) and all(0 <= c < 1 << 32 for c in self.frame_checksums)
        _check(ok, f"frame checksums are not {frames} 32-bit integers")

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return self.embeddings[0].shape[0]

    @property
    def all_tensors(self) -> tuple[QuantizedTensor, ...]:
        """The decoder's tensors, then those of embeddings: the order of the file."""
        return (*self.tensors, *self.embeddings)

    @property
    def shapes(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """(name, shape) of the decoder's tensors, in the file's order."""
        return self.nnc.shapes if self.nnc else tuple((tensor.name, tensor.shape) for tensor in self.tensors)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Segment):
            return NotImplemented
        plain = ("first_frame", "config", "tensors", "embeddings", "frame_checksums", "nnc")
        return (
            all(getattr(self, key) == getattr(other, key) for key in plain)
            and self.ll_ranges.tobytes() == other.ll_ranges.tobytes()
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
    names the codec and holds its parameters, language and private data.
    """

    kind: TrackKind
    codec: str
    description: bytes
    time_base: Fraction
    packets: tuple[Packet, ...]
    language: str = ""

    def __post_init__(self) -> None:
        _check(self.kind in get_args(TrackKind), f"track kind {self.kind!r} is unknown")
        _check_fraction("track time base", self.time_base)
        times = (time for packet in self.packets for time in (packet.pts, packet.dts, packet.duration))
        _check(all(abs(time) < 1 << 62 for time in times), "packet times exceed 62 bits")


@dataclass(frozen=True, slots=True)
class Stream:
    """A whole `.snrv` file. `summary` is free text for people (how it was made); nothing depends on it."""

    video: VideoInfo
    segments: tuple[Segment, ...]
    tracks: tuple[SideTrack, ...] = ()
    summary: str = ""

    def __post_init__(self) -> None:
        next_frame = 0
        for segment in self.segments:
            _check(segment.first_frame == next_frame, f"segment starts at {segment.first_frame}, not {next_frame}")
            next_frame += segment.frame_count
            height, width = segment.config.padded_size
            fits = self.video.height <= height and self.video.width <= width
            _check(fits, f"a {width}x{height} decoder cannot make {self.video.width}x{self.video.height} frames")
        whole = next_frame == self.video.frame_count
        _check(whole, f"segments hold {next_frame} frames, the video {self.video.frame_count}")
