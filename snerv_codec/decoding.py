"""Frames out of a `.snrv` file, in any order."""

from bisect import bisect_right
from collections.abc import Iterator
from functools import partial
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt
import torch

from bitstream.container import StreamFile
from bitstream.errors import naming
from bitstream.types import Segment, SideTrack, VideoInfo
from snerv_codec.compression.packing import unpack_decoder, unpack_embeddings
from snerv_codec.errors import SettingsError
from snerv_codec.model.blocks import place
from snerv_codec.model.decoder import to_pixels
from snerv_codec.model.sizing import decoding_memory
from snerv_codec.runtime.capture import Captured, Work
from snerv_codec.runtime.machine import choose_device, require_memory
from snerv_codec.runtime.precision import Precision, computing

Frame = npt.NDArray[np.uint8]

CUDA_BATCH = 4


class Decoder:
    """A `.snrv` file as a sequence of frames: uint8 RGB arrays (H, W, 3).

    Opening reads the header only; a segment's network is built when a frame of it is first asked for.
    `len(d)`, `d[i]`, `d[-1]`, `d[a:b:c]` (T, H, W, 3) and iteration all give the same frames. Raises
    `BitstreamError` for a bad file, `ResourceError` where device or memory do not suffice.

    On a CPU frames are computed one by one, as convolutions may round differently in batches; `batch` is
    for CUDA, where it is always filled up to the same size for the same reason. For `precision` see `SegmentPlayer`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        device: str = "auto",
        batch: int | None = None,
        precision: Precision = "auto",
    ) -> None:
        if batch is not None and batch < 1:
            raise SettingsError(f"batch {batch} is below 1")
        self._device = choose_device(device)
        self._path, self._file = Path(path), StreamFile(path)
        self._batch, self._precision = batch, precision
        self._player: SegmentPlayer | None = None

    @property
    def info(self) -> VideoInfo:
        """Size, timestamps, colour and the like."""
        return self._file.header.video

    def tracks(self) -> tuple[SideTrack, ...]:
        """Sound and subtitles, as packets."""
        return self._file.read_tracks()

    def __len__(self) -> int:
        return self.info.frame_count

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> Frame: ...
    def __getitem__(self, index: int | slice) -> Frame:
        if isinstance(index, slice):
            numbers = range(len(self))[index]
            frames = np.empty((len(numbers), self.info.height, self.info.width, 3), np.uint8)
            for i, frame in enumerate(self.frames(numbers)):
                frames[i] = frame
            return frames
        if not -len(self) <= index < len(self):
            raise IndexError(f"frame {index} is not in a video of {len(self)} frames")
        number = index % len(self)
        return next(self.frames(range(number, number + 1)))

    def __iter__(self) -> Iterator[Frame]:
        return self.frames(range(len(self)))

    def frames(self, numbers: range, rate: int = 1) -> Iterator[Frame]:
        """The frames with these numbers, in this order; memory does not grow with their count.

        At a `rate` above 1 the numbers count that many to a frame, and those between frames are
        interpolated: at rate 2, number 7 lies between frames 3 and 4.
        """
        while numbers:
            player = self._player_of(numbers[0] // rate)
            here = sum(1 for _ in takewhile(player.numbers.__contains__, (number // rate for number in numbers)))
            yield from player.play(numbers[:here], rate)
            numbers = numbers[here:]

    def checksums(self) -> tuple[int, ...]:
        """CRC-32 of each frame's RGB bytes as its encoder saw them; empty where none were taken."""
        segments = (self._file.read_segment(i) for i in range(len(self._file.header.segments)))
        return tuple(checksum for segment in segments for checksum in segment.frame_checksums)

    def close(self) -> None:
        """Release the network and the file."""
        self._player = None
        self._file.close()

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _player_of(self, number: int) -> "SegmentPlayer":
        if self._player is None or number not in self._player.numbers:
            self._player = None  # free the old network before the new one is built
            starts = [entry.first_frame for entry in self._file.header.segments]
            index = bisect_right(starts, number) - 1
            segment = self._file.read_segment(index)
            with naming(self._path):
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
        batch = (batch or CUDA_BATCH) if device.type == "cuda" else 1
        need = decoding_memory(segment.config, batch)
        require_memory(need, device, "decoding", "lower --batch or use a machine with more memory")
        self.numbers = range(segment.first_frame, segment.first_frame + segment.frame_count)
        self.size, self.device, self.batch = (info.height, info.width), device, batch
        self.network = unpack_decoder(segment)
        place(self.network, device)
        embeddings, ll_ranges = unpack_embeddings(segment)
        self.embeddings, self.ll_ranges = tuple(values.to(device) for values in embeddings), ll_ranges.to(device)
        self.precision = self._choose_precision() if precision == "auto" else precision

    def play(self, numbers: range, rate: int = 1) -> Iterator[Frame]:
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
            frame = self.network(embeddings, blend(self.ll_ranges, rows, rate)).frame
        return to_pixels(frame[..., : self.size[0], : self.size[1]]).permute(0, 2, 3, 1).contiguous()

    @torch.inference_mode()
    def _choose_precision(self) -> Precision:
        if self.device.type != "cuda":
            return "float32"
        rows = torch.linspace(0, len(self.numbers) - 1, self.batch, device=self.device).long()
        exact, half = (self._compute(rows, rate=1, precision=each).int() for each in ("float32", "float16"))
        return "float16" if int((exact - half).abs().max()) <= 1 else "float32"


def _collect(submitted: _Submitted) -> Iterator[Frame]:
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
