"""Several decoders of one file that share the work: frames come out in order, and few are held."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from os import PathLike
from typing import Literal

import torch

from snerv_codec.bitstream.container import Source
from snerv_codec.decoding import Decoder
from snerv_codec.errors import SettingsError
from snerv_codec.media.picture import Pixels
from snerv_codec.runtime.ahead import ahead
from snerv_codec.runtime.machine import devices_to_share, threads_each, worker_count
from snerv_codec.runtime.precision import Precision


class Team:
    """Decoders of one file, each of which computes every n-th frame that is asked for, in a thread of its own.

    So all of them work on one segment or two, and hold a frame each until its turn comes. On a CPU they share the
    cores; where there are several CUDA devices and one may choose, they are spread over these.
    """

    def __init__(self, decoders: Sequence[Decoder], on_each: int) -> None:
        """`on_each` device there are at most so many of them."""
        self.first, self._all, self._on_each = decoders[0], decoders, on_each

    def require_memory(self, numbers: range, besides: int = 0) -> None:
        """As `Decoder.require_memory`, for all of them."""
        self.first.require_memory(numbers, besides, self._on_each)

    def frames(self, numbers: Sequence[int], rate: int = 1) -> Iterator[Pixels]:
        """As `Decoder.frames`."""
        count, before = len(self._all), torch.get_num_threads()
        if count == 1:
            yield from self.first.frames(numbers, rate)
            return
        threads = threads_each(count)
        shares = [
            ahead(_with_threads(threads, decoder.frames(numbers[start::count], rate)))
            for start, decoder in enumerate(self._all)
        ]
        try:
            for place in range(len(numbers)):
                yield next(shares[place % count])
        finally:
            for share in shares:
                share.close()
            torch.set_num_threads(before)  # for threads that begin later


@contextmanager
def open_team(
    source: Source,
    workers: int | Literal["auto"],
    *,
    device: str = "auto",
    batch: int | None = None,
    precision: Precision = "auto",
) -> Iterator[Team]:
    """So many decoders of a file ("auto": `worker_count`). Raises as `Decoder` does, and `SettingsError` where several
    are to read one file object."""
    count = worker_count(workers, device)
    if count > 1 and not isinstance(source, str | PathLike | bytes):
        raise SettingsError("`workers` need the path or the bytes of the file: only one can read a file object")
    devices = (devices_to_share(device) if count > 1 else []) or [device]
    with ExitStack() as stack:
        names = (devices[number % len(devices)] for number in range(count))
        decoders = [stack.enter_context(Decoder(source, device=n, batch=batch, precision=precision)) for n in names]
        yield Team(decoders, -(-count // len(devices)))


def _with_threads(threads: int, frames: Iterator[Pixels]) -> Iterator[Pixels]:
    """The frames, computed by so many threads, whichever thread asks for them."""
    torch.set_num_threads(threads)
    yield from frames
