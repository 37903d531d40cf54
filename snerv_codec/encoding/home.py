"""The machine with the input and the output, for Ray tasks on machines that do not see them."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from snerv_codec.encoding.footage import Clip, Footage
from snerv_codec.encoding.segment_job import SegmentJob
from snerv_codec.errors import UserError
from snerv_codec.events import Event, SegmentBegun, StepsDone
from snerv_codec.runtime.machine import available_memory
from snerv_codec.training.checkpoint import Checkpoint, State

TELL_EVERY = 5.0  # seconds between two events of steps: there may be hundreds of tasks


class Home:
    """An actor that hears what tasks tell, and reads and writes for them."""

    def __init__(self) -> None:
        self._heard: list[Event] = []

    def tell(self, event: Event) -> None:
        """Something that a task has done."""
        self._heard.append(event)

    def heard(self) -> list[Event]:
        """What was told since this was asked last."""
        heard, self._heard = self._heard, []
        return heard

    def sees(self, path: Path) -> bool:
        """Whether there is such a file here."""
        return path.exists()

    def clip(self, footage: Footage) -> Clip:
        """The frames. Raises as `Footage.load`."""
        return footage.load(available_memory())

    def state(self, checkpoint: Checkpoint) -> bytes | None:
        """What is saved of a fit, if anything is."""
        return checkpoint.path.read_bytes() if checkpoint.exists() else None

    def keep(self, checkpoint: Checkpoint, data: bytes) -> None:
        """Save the state of a fit, as bytes. Raises `OutputError`."""
        checkpoint.put(data)


class CarriedCheckpoint(Checkpoint):
    """A state in a folder of this machine, fetched from `home` at first and brought there each time it is saved."""

    def __init__(self, original: Checkpoint, folder: Path, home: Any) -> None:
        super().__init__(folder, original.identity, original.path.stem)
        self._original, self._home = original, home
        saved = _asked(home.state, original)
        if saved is not None:
            self.path.write_bytes(saved)

    def save(self, state: State) -> None:
        """As `Checkpoint.save`, here and there."""
        super().save(state)
        _asked(self._home.keep, self._original, self.path.read_bytes())


@contextmanager
def settled_in(
    job: SegmentJob, total: int, home: Any, marker: Path
) -> Iterator[tuple[SegmentJob, Callable[[Event], None]]]:
    """A job where this machine can do it, and a function that tells `home`, an actor, what becomes of it.

    Where the `marker` is not seen the job's states are carried, and where its input is not, the frames are.
    """
    import ray

    told, last = home.tell.remote(SegmentBegun(job.number, total)), 0.0

    def tell(event: Event) -> None:
        nonlocal told, last
        if isinstance(event, StepsDone):
            if time.monotonic() - last < TELL_EVERY:
                return
            last = time.monotonic()
        told = home.tell.remote(event)

    with TemporaryDirectory(prefix="snerv-") as folder:
        if not marker.exists():
            start = None if job.start is None else CarriedCheckpoint(job.start, Path(folder), home)
            job = replace(job, checkpoint=CarriedCheckpoint(job.checkpoint, Path(folder), home), start=start)
        if not _sees_input(job):
            job = replace(job, footage=_carried(job.footage, home))
        yield job, tell
    with suppress(ray.exceptions.RayError):
        _got(told)  # and so all before it is told, before the job is done


def _sees_input(job: SegmentJob) -> bool:
    """Whether the source is here as it was when the job was made."""
    try:
        found = json.loads(json.dumps(job.footage.identity))
    except OSError:
        return False
    return all(job.checkpoint.identity.get(key) == value for key, value in found.items())


def _carried(footage: Footage, home: Any) -> Footage:
    """The footage with its frames, from `home`; they are copied, so that the object store is free of them again."""
    clip = _asked(home.clip, footage)
    frames = np.array(clip.frames)
    return replace(footage, source=None, held=Clip(clip.info, frames, clip.known), left_out=frames[:0], run=None)


def _asked(method: Any, *values: Any) -> Any:
    """What `home` answers. Raises `UserError` for what it raises."""
    import ray

    try:
        return _got(method.options(concurrency_group="files").remote(*values))
    except ray.exceptions.RayTaskError as error:
        raise UserError(str(error.cause)) from error


def _got(reference: Any) -> Any:
    """What a reference stands for. Where a task itself waits for that, Ray lets another one begin on its core."""
    import ray

    with ThreadPoolExecutor(1) as other:
        return other.submit(ray.get, reference).result()
