"""Frames out of a `.snrv` file, in any order."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from itertools import takewhile
from os import PathLike
from threading import Lock
from types import TracebackType
from typing import Any, NamedTuple, Self

import torch

from snerv_codec.bitstream.container import Source, StreamFile
from snerv_codec.bitstream.errors import naming
from snerv_codec.bitstream.extras import Extras
from snerv_codec.bitstream.indexsection import SegmentEntry
from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.bitstream.types import Segment, SideTrack, VideoInfo
from snerv_codec.compression.packing import expect_decoder, unpack_decoder, unpack_embeddings
from snerv_codec.errors import SettingsError
from snerv_codec.frames import (
    Frame,
    FrameBatch,
    Layout,
    Output,
    Packer,
    Timeline,
    VideoMetadata,
    describe,
    indices_of,
)
from snerv_codec.media.picture import PictureFormat, Pixels
from snerv_codec.model.blocks import place
from snerv_codec.model.decoder import to_pixels
from snerv_codec.model.sizing import decoding_memory
from snerv_codec.runtime.ahead import ahead
from snerv_codec.runtime.capture import Captured, Work
from snerv_codec.runtime.machine import (
    available_memory,
    choose_device,
    keep_freed_memory,
    memory_refused,
    require_memory,
)
from snerv_codec.runtime.precision import Precision, computing

CUDA_BATCH = 4
PACKET_MEMORY = 360  # bytes of one, as measured, its copy with other times included
GPU_TURN = Lock()  # graphs are captured and replayed by one thread at a time


class Decoder:
    """A `.snrv` file as a sequence of frames: uint8 RGB, arrays (H, W, 3) where nothing else is asked for.

    `source` is a path, the bytes of a file, or a binary file object that can seek. `output` "torch" gives tensors,
    `layout` "NCHW" channels first. Opening reads the header only; a segment's network is built when a frame of it is
    first asked for, or while the one before plays, where frames of both are asked for. `len(d)`, `d[i]`, `d[-1]`,
    `d[a:b:c]` (N, ...) and iteration all give the same frames; the methods `get_frame...` give them with their times.

    Threads may share a decoder, and it can be pickled: the copy, as in a worker process, opens the file again. On a
    CPU frames are computed one by one, as convolutions may round differently in batches; `batch` is for CUDA, where it
    is always filled up to the same size for the same reason. For `precision` see `SegmentPlayer`.

    Raises `BitstreamError` for a bad file, `ResourceError` where device or memory do not suffice, `IndexError` for
    frames and times that the video does not have, and `ValueError` after it was closed.
    """

    def __init__(
        self,
        source: Source,
        *,
        device: str = "auto",
        batch: int | None = None,
        precision: Precision = "auto",
        output: Output = "numpy",
        layout: Layout = "NHWC",
    ) -> None:
        if batch is not None and batch < 1:
            raise SettingsError(f"batch {batch} is below 1")
        self._packer = Packer(output, layout)
        source = bytes(source) if isinstance(source, bytearray | memoryview) else source  # whoever has it may change it
        self._arguments = {"device": device, "batch": batch, "precision": precision, "output": output, "layout": layout}
        self._device = choose_device(device)
        self._source, self._file = source, StreamFile(source)
        self._batch, self._precision = batch, precision
        self._player: SegmentPlayer | None = None
        self._closed, self._turn = False, Lock()

    @property
    def info(self) -> VideoInfo:
        """Size, timestamps, colour and the like, as the file holds them."""
        return self._file.header.video

    @cached_property
    def metadata(self) -> VideoMetadata:
        """The same for people: sizes, times in seconds, rates."""
        return describe(self.info, self._file.header.file_size)

    @property
    def tracks_memory(self) -> int:
        """Bytes that `tracks` takes, and cutting them to some frames, and that `extras` takes."""
        header = self._file.header
        attached = sum(2 * section.size for section in header.sections if section.name == "atch")
        return attached + sum(2 * track.data_size + PACKET_MEMORY * track.packet_count for track in header.tracks)

    def require_memory(self, numbers: range, besides: int = 0, decoders: int = 1) -> None:
        """Raise `ResourceError` where decoding the frames `numbers`, and `besides` bytes, take more than is left.

        The latter are of the machine's own memory. A segment is decoded at a time, so that of the largest counts, for
        each of so many `decoders` that work on the same device.
        """
        entries = [
            entry
            for entry in self._file.header.segments
            if entry.first_frame < numbers.stop and numbers.start < entry.first_frame + entry.frame_count
        ]
        need = decoders * max(map(self._segment_memory, entries), default=0)
        if self._device.type != "cpu":
            require_memory(need, self._device, "decoding", _advice(self._device, self._batch))
            need = 0
        host = torch.device("cpu")
        require_memory(need + besides, host, "decoding", _advice(host, None))

    def tracks(self, damage: list[str] | None = None) -> tuple[SideTrack, ...]:
        """Sound and subtitles, as packets.

        Damaged ones raise `BitstreamError`, or are left out where there is a list, which is told of them.
        """
        self._require_open()
        return self._file.read_tracks(damage)

    def extras(self, damage: list[str] | None = None) -> Extras:
        """Tags, chapters, light levels and attachments; `damage` as for tracks."""
        self._require_open()
        return self._file.read_extras(damage)

    def __len__(self) -> int:
        return self.info.frame_count

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._packer.batch(self._stacked(range(len(self))[index]))
        return self._packer.frame(next(self.frames(indices_of([index], len(self)))))

    def __iter__(self) -> Iterator[Any]:
        return map(self._packer.frame, self.frames(range(len(self))))

    def get_frame_at(self, index: int) -> Frame:
        """Frame number `index`, from 0 or, where negative, from the end."""
        return self.get_frames_at([index])[0]

    def get_frames_at(self, indices: Sequence[int]) -> FrameBatch:
        """The frames with these numbers, in this order; a number may come again."""
        numbers = indices_of(indices, len(self))
        starts, ends = self._times.starts[numbers], self._times.ends[numbers]
        times = map(self._packer.times, (starts, ends - starts))
        return FrameBatch(self._packer.batch(self._stacked(numbers)), *times)

    def get_frames_in_range(self, start: int, stop: int, step: int = 1) -> FrameBatch:
        """The frames `start`, `start` + `step`, ... before `stop`, as slices select them."""
        return self.get_frames_at(range(len(self))[start:stop:step])

    def get_frame_played_at(self, seconds: float) -> Frame:
        """The frame that is shown at a time."""
        return self.get_frame_at(self._times.played_at(float(seconds)))

    def get_frames_played_at(self, seconds: Sequence[float]) -> FrameBatch:
        """The frames that are shown at these times, in this order."""
        return self.get_frames_at([self._times.played_at(float(time)) for time in seconds])

    def get_frames_played_in_range(self, start_seconds: float, stop_seconds: float) -> FrameBatch:
        """The frames that are shown from one time up to another, that one at the start included."""
        return self.get_frames_at(self._times.played_in(start_seconds, stop_seconds))

    def frames(self, numbers: Sequence[int], rate: int = 1) -> Iterator[Pixels]:
        """The frames with these numbers, in this order, as arrays (H, W, 3); memory does not grow with their count.

        At a `rate` above 1 the numbers count that many to a frame, and those between frames are
        interpolated: at rate 2, number 7 lies between frames 3 and 4.
        """
        if rate < 1:
            raise SettingsError(f"rate {rate} is below 1")
        last = rate * (len(self) - 1)
        wrong = next((number for number in numbers if not 0 <= number <= last), None)
        if wrong is not None:
            raise IndexError(f"frame {wrong} is not in 0..{last}")
        return self._play(numbers, rate)

    def checksums(self) -> tuple[int, ...]:
        """CRC-32 of each frame's RGB bytes as its encoder saw them; empty where none were taken."""
        self._require_open()
        segments = (self._file.read_segment(i, expect_decoder) for i in range(len(self._file.header.segments)))
        return tuple(checksum for segment in segments for checksum in segment.frame_checksums)

    def close(self) -> None:
        """Release the network and the file."""
        self._player, self._closed = None, True
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        if not isinstance(self._source, str | PathLike | bytes):
            raise TypeError("a decoder of a file object cannot be pickled; give it the file's path or bytes")
        return {"source": self._source, **self._arguments}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        name = str(self._source) if isinstance(self._source, str | PathLike) else type(self._source).__name__
        return f"Decoder({name}: {len(self)} frames of {self.info.width}x{self.info.height})"

    @cached_property
    def _times(self) -> Timeline:
        return Timeline(self.info)

    def _require_open(self) -> None:
        if self._closed:
            raise ValueError(f"{self!r} is closed")

    def _stacked(self, numbers: Sequence[int]) -> Pixels:
        frames = PictureFormat(self.info.height, self.info.width).empty(len(numbers))
        for i, frame in enumerate(self.frames(numbers)):
            frames[i] = frame
        return frames

    def _play(self, numbers: Sequence[int], rate: int) -> Iterator[Pixels]:
        with memory_refused("decoding", _advice(self._device, self._batch)):
            yield from self._play_segments(numbers, rate)

    def _play_segments(self, numbers: Sequence[int], rate: int) -> Iterator[Pixels]:
        players = self._players(numbers, rate)
        if numbers and self._prepares(range(min(numbers) // rate, max(numbers) // rate + 1)):
            players = ahead(players)
        for player, part in players:
            yield from player.play(part, rate)

    def _players(self, numbers: Sequence[int], rate: int) -> Iterator[tuple["SegmentPlayer", Sequence[int]]]:
        """The players of these frames one after the other, each with those that it is to play."""
        while numbers:
            player = self._player_of(numbers[0] // rate)
            here = sum(1 for _ in takewhile(player.numbers.__contains__, (number // rate for number in numbers)))
            yield player, numbers[:here]
            numbers = numbers[here:]

    def _prepares(self, numbers: range) -> bool:
        """Whether the next network is made while one plays: where there is a next one, and memory for both."""
        first, last = self._index_of(numbers.start), self._index_of(numbers.stop - 1)
        entries = self._file.header.segments[first : last + 1]
        return first < last and 2 * max(map(self._segment_memory, entries)) <= available_memory(self._device)

    def _index_of(self, number: int) -> int:
        """The segment that frame `number` is of."""
        return bisect_right(self._file.header.segments, number, key=lambda entry: entry.first_frame) - 1

    def _segment_memory(self, entry: SegmentEntry) -> int:
        """Bytes that decoding a segment takes; none where nobody knows its model, as reading it then says."""
        if not isinstance(entry.config, DecoderConfig):
            return 0
        return decoding_memory(entry.config, entry.value_count, _frames_at_once(self._device, self._batch))

    def _player_of(self, number: int) -> "SegmentPlayer":
        """The player of the segment that frame `number` is of; the last one is kept."""
        with self._turn:
            self._require_open()
            if self._player is None or number not in self._player.numbers:
                self._player = None  # frees the old network, unless that plays, before the new one is built
                index = self._index_of(number)
                entry = self._file.header.segments[index]
                advice = _advice(self._device, self._batch)
                require_memory(self._segment_memory(entry), self._device, "decoding", advice)
                segment = self._file.read_segment(index, expect_decoder)
                with naming(self._source if isinstance(self._source, str | PathLike) else ""):
                    self._player = SegmentPlayer(segment, self.info, self._device, self._batch, self._precision)
            return self._player


class _Submitted(NamedTuple):
    """Frames on their way to the host: uint8 (N, H, W, 3), of which the first `wanted` were asked for."""

    pixels: torch.Tensor
    wanted: int
    ready: torch.cuda.Event | None


class SegmentPlayer:
    """The network of one segment on a device, and the embeddings of its frames.

    With `precision` "auto" a GPU computes with 16 bits if that changes no pixel of a few frames by more than one code
    value, and otherwise as a CPU does, with 32.
    """

    def __init__(
        self,
        segment: Segment,
        info: VideoInfo,
        device: torch.device,
        batch: int | None = None,
        precision: Precision = "float32",
    ) -> None:
        keep_freed_memory(device)
        self.numbers = range(segment.first_frame, segment.first_frame + segment.frame_count)
        self.size, self.device, self.batch = (info.height, info.width), device, _frames_at_once(device, batch)
        self.network = unpack_decoder(segment)
        place(self.network, device)
        embeddings, sides = unpack_embeddings(segment)
        self.embeddings, self.sides = tuple(values.to(device) for values in embeddings), sides.to(device)
        self.precision = self._choose_precision() if precision == "auto" else precision

    def play(self, numbers: Sequence[int], rate: int = 1) -> Iterator[Pixels]:
        """Frames of this segment, one by one, as uint8 (H, W, 3); numbers and rate as in `Decoder.frames`.

        After the segment's last frame there is none of the same network to blend with: it stands still. A GPU is
        always a batch ahead of what is taken.
        """
        compute = partial(self._compute, rate=rate, precision=self.precision)
        work = Captured(compute, self.device) if self.device.type == "cuda" else compute
        ahead: _Submitted | None = None
        for start in range(0, len(numbers), self.batch):
            rows = [number - rate * self.numbers.start for number in numbers[start : start + self.batch]]
            submitted = self._submit(work, rows)
            if self.device.type == "cpu":
                yield from _collect(submitted)
                continue
            if ahead is not None:
                yield from _collect(ahead)
            ahead = submitted
        if ahead is not None:
            yield from _collect(ahead)

    def _submit(self, work: Work, rows: list[int]) -> _Submitted:
        filled = torch.tensor(rows + rows[-1:] * (self.batch - len(rows)))
        with torch.inference_mode():
            if self.device.type != "cuda":
                return _Submitted(work(filled), len(rows), None)
            with GPU_TURN:
                pixels = work(filled.pin_memory().to(self.device, non_blocking=True))
                # The host's memory comes from a pool of PyTorch's, which keeps it while a frame of it is in use.
                host = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=True)
                host.copy_(pixels, non_blocking=True)
                ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
                ready.record(torch.cuda.current_stream(self.device))
        return _Submitted(host, len(rows), ready)

    def _compute(self, rows: torch.Tensor, *, rate: int, precision: Precision) -> torch.Tensor:
        """Frames at `rows` / `rate` of the segment, uint8 (N, H, W, 3) on the device."""
        embeddings = [blend(values, rows, rate) for values in self.embeddings]
        with computing(precision, self.device):
            frame = self.network(embeddings, blend(self.sides, rows, rate)).frame
        return to_pixels(frame[..., : self.size[0], : self.size[1]]).permute(0, 2, 3, 1).contiguous()

    @torch.inference_mode()
    def _choose_precision(self) -> Precision:
        if self.device.type != "cuda":
            return "float32"
        rows = torch.linspace(0, len(self.numbers) - 1, self.batch, device=self.device).long()
        exact, half = (self._compute(rows, rate=1, precision=each).int() for each in ("float32", "float16"))
        return "float16" if int((exact - half).abs().max()) <= 1 else "float32"


def _frames_at_once(device: torch.device, batch: int | None) -> int:
    return (batch or CUDA_BATCH) if device.type == "cuda" else 1


def _advice(device: torch.device, batch: int | None) -> str:
    """What to do without memory; whoever gave no batch may have no way to."""
    lower = "lower `batch`, or " if device.type == "cuda" and (batch or 1) > 1 else ""
    return f"{lower}use a machine with more memory"


def _collect(submitted: _Submitted) -> Iterator[Pixels]:
    if submitted.ready is not None:
        submitted.ready.synchronize()
    yield from submitted.pixels.numpy()[: submitted.wanted]


def blend(values: torch.Tensor, rows: torch.Tensor, rate: int) -> torch.Tensor:
    """`values`, (T, ...), at places `rows` / `rate`: mixed from the rows on either side, at the end the last alone."""
    if rate == 1:
        return values[rows]
    first = rows // rate
    second = (first + 1).clamp_max(len(values) - 1)
    weight = (rows % rate / rate).view(-1, *[1] * (values.dim() - 1))
    return torch.lerp(values[first], values[second], weight)
