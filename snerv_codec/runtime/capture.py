"""Work on a GPU that does not wait for Python to launch its kernels."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Work = Callable[[Tensor], Tensor]

WARM_UP = 3  # calls before one is recorded: libraries choose their algorithms, an optimiser makes its state


class Recording(Protocol):
    """Work that can be done again on the same memory."""

    def replay(self) -> None:
        """Do it again."""


class _Recorded(NamedTuple):
    indices: Tensor
    result: Tensor
    recording: Recording


def can_capture(device: torch.device) -> bool:
    """Whether work on `device` can be captured at all."""
    return device.type == "cuda"


def _ignore(error: Exception) -> None:
    """For work that may as well run plainly."""


class Captured:
    """`work` as a CUDA graph on `device` for each number of frames that it is called with.

    `work` takes frame numbers (N,) on that device and returns a tensor, and does everything else in place: it must not
    wait for the device, nor depend on a Python value that changes; what it draws comes from `generators`. At first it
    runs plainly; recording it computes nothing, so from then on it is replayed, with these frames and all others.

    Where it cannot be recorded, `failed` is told why. If that does not raise, `work` runs plainly from then on.
    """

    def __init__(
        self,
        work: Work,
        device: torch.device,
        generators: Sequence[torch.Generator] = (),
        failed: Callable[[Exception], None] = _ignore,
    ) -> None:
        self._work, self._device, self._generators = work, device, generators
        self._failed, self._plain = failed, False
        # The device need not be PyTorch's current one.
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._warm: dict[int, int] = {}
        self._recorded: dict[int, _Recorded] = {}

    def __call__(self, indices: Tensor) -> Tensor:
        """What `work` would return; the next call overwrites it."""
        count = len(indices)
        if count not in self._recorded and not self._plain and not self._warms_up(count):
            fixed = indices.clone()
            try:
                self._recorded[count] = _Recorded(fixed, *self._record(fixed))
            except RuntimeError as error:  # of PyTorch or CUDA, memory that does not suffice included
                self._plain = True
                self._failed(error)
        if count not in self._recorded:
            return self._aside(indices)
        recorded = self._recorded[count]
        recorded.indices.copy_(indices)
        recorded.recording.replay()
        return recorded.result

    def _warms_up(self, count: int) -> bool:
        self._warm[count] = self._warm.get(count, 0) + 1
        return self._warm[count] <= WARM_UP

    def _aside(self, indices: Tensor) -> Tensor:
        """On the stream that will record, plainly: what a backward pass keeps belongs to one stream."""
        if self._stream is None:
            return self._work(indices)
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            result = self._work(indices)
        current.wait_stream(self._stream)
        return result

    def _record(self, indices: Tensor) -> tuple[Tensor, Recording]:
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        # What other threads do on a GPU meanwhile, who may be a program's that decodes beside its own work, is allowed.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            result = self._work(indices)
        return result, graph
