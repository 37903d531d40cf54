"""Where jobs run: one after the other in this process, or side by side in processes of their own.

A worker runs one job. It is told to stop as a user would tell it, so that it saves its state; it ends by itself where
nobody listens any more; and where it is lost, its job is tried once more from what it saved.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Literal, NoReturn

from snerv_codec.encoding.segment_job import FittedSegment, SegmentJob
from snerv_codec.errors import SettingsError, UserError
from snerv_codec.events import Event, SegmentDone
from snerv_codec.runtime.machine import available_cores, cuda_devices

ATTEMPTS = 2  # of a job whose worker is lost
PATIENCE = 30.0  # seconds that a worker has to save its state

OnEvent = Callable[[Event], None]


Workers = int | Literal["auto"]


def run_jobs(
    jobs: Sequence[SegmentJob], *, workers: Workers = 1, ray: str | None = None, on_event: OnEvent
) -> list[FittedSegment]:
    """The fitted segments in the order of their jobs, at most `workers` fitted at a time.

    "auto" is one for each CUDA device, or for each core. With one worker, or one job, all happens in this process, and
    an error ends it. With more, the other jobs are carried on and kept where one fails; then `UserError` names the
    segment. `ray` is the address of a cluster to run them on instead (`encoding.on_ray`).
    """
    if ray is not None:
        from snerv_codec.encoding.on_ray import run_on_ray

        if workers != 1:
            raise SettingsError("`workers` and `ray` are two ways to run jobs; choose one of them")
        return run_on_ray(jobs, ray, on_event=on_event)
    if workers == "auto":
        on_cpu = jobs[0].settings.device == "cpu"
        workers = (0 if on_cpu else len(cuda_devices())) or available_cores()
    if min(workers, len(jobs)) == 1:
        return [_here(job, len(jobs), on_event) for job in jobs]
    return _SideBySide(jobs, workers, on_event).run()


def _here(job: SegmentJob, total: int, on_event: OnEvent) -> FittedSegment:
    fitted = job.run(on_event=on_event)
    if total > 1:
        on_event(SegmentDone(job.number, total))
    return fitted


def longest_first(jobs: Sequence[SegmentJob]) -> list[SegmentJob]:
    """The order to begin them in, so that no long one is left for the end."""
    return sorted(jobs, key=lambda job: -len(job.footage.numbers))


def failures(failed: Mapping[int, str]) -> UserError:
    """What to say of segments that failed, by their numbers, while others did not."""
    told = "; ".join(f"segment {number}: {why}" for number, why in sorted(failed.items()))
    return UserError(f"{told}; the other segments are kept: use `resume` to go on with them")


@dataclass(slots=True)
class _Worker:
    job: SegmentJob
    attempt: int
    process: BaseProcess
    messages: Connection


class _SideBySide:
    """Jobs on their way through workers."""

    def __init__(self, jobs: Sequence[SegmentJob], workers: int, on_event: OnEvent) -> None:
        self._jobs, self._on_event = jobs, on_event
        self._most = min(workers, len(jobs))
        self._devices: list[str] = []
        self._waiting = longest_first(jobs)[::-1]
        self._at_work: list[_Worker] = []
        self._fitted: dict[int, FittedSegment] = {}
        self._failed: dict[int, str] = {}

    def run(self) -> list[FittedSegment]:
        """All of them, or an error that names those that failed."""
        try:
            while self._waiting or self._at_work:
                while self._waiting and len(self._at_work) < self._most:
                    self._start(self._waiting.pop(), 1)
                self._listen()
        except BaseException:
            self._stop()
            raise
        if self._failed:
            raise failures(self._failed)
        return [self._fitted[job.number] for job in self._jobs]

    def _start(self, job: SegmentJob, attempt: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        threads = max(1, available_cores() // self._most)
        process = spawn.Process(target=_work, args=(theirs, self._placed(job), threads), daemon=True)
        process.start()
        theirs.close()  # so that its end is seen here
        self._at_work.append(_Worker(job, attempt, process, ours))

    def _placed(self, job: SegmentJob) -> SegmentJob:
        """The job on a device of its own, where it may choose and there are several."""
        if job.settings.device not in ("auto", "cuda"):
            return job
        if not self._devices:
            self._devices = cuda_devices()
        if not self._devices:
            return job
        return replace(job, settings=replace(job.settings, device=self._devices.pop()))

    def _listen(self) -> None:
        """Take what workers tell, until one of them has ended."""
        by_connection = {worker.messages: worker for worker in self._at_work}
        for ready in wait(by_connection):
            worker = by_connection[ready]  # type: ignore[index]
            try:
                message = worker.messages.recv()
            except (EOFError, OSError):
                message = None
            if isinstance(message, FittedSegment):
                self._fitted[worker.job.number] = message
                self._on_event(SegmentDone(worker.job.number, len(self._jobs)))
            elif isinstance(message, Exception):
                self._failed[worker.job.number] = str(message)
            elif message is not None:
                self._on_event(message)
                continue
            self._end(worker)

    def _end(self, worker: _Worker) -> None:
        self._at_work.remove(worker)
        worker.process.join()
        worker.messages.close()
        number = worker.job.number
        if number in self._fitted or number in self._failed:
            return
        if worker.attempt < ATTEMPTS:
            self._start(worker.job, worker.attempt + 1)
        else:
            self._failed[number] = f"its process was lost (exit code {worker.process.exitcode})"

    def _stop(self) -> None:
        """Let workers save their states and end."""
        for worker in self._at_work:
            with suppress(OSError, ValueError):
                os.kill(worker.process.pid or 0, signal.SIGINT)
        for worker in self._at_work:
            worker.messages.close()
            worker.process.join(PATIENCE)
            worker.process.kill()


def _work(messages: Connection, job: SegmentJob, threads: int) -> None:
    """What a worker does."""
    import torch

    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, _stop_once)
    try:
        messages.send(job.run(on_event=messages.send))
    except (KeyboardInterrupt, BrokenPipeError):
        pass
    except UserError as error:
        messages.send(error)
    except Exception as error:
        messages.send(RuntimeError(f"unexpected {type(error).__name__}: {error}"))


def _stop_once(number: int, frame: object) -> NoReturn:
    """Ctrl-C reaches a worker twice, from the terminal and from the encode; the second is not to disturb its saving."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
