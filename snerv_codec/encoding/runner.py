"""Where jobs run: one after the other in this process, or side by side in processes of their own.

A worker runs one job. It is told to stop as a user would tell it, so that it saves its state; it ends by itself where
nobody listens any more; and where it is lost, its job is tried once more from what it saved. A signal to all of them,
such as Ctrl-C on a terminal, stops each once.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Literal

from snerv_codec.encoding.segment_job import FittedSegment, SegmentJob
from snerv_codec.errors import OutputError, SettingsError, UserError
from snerv_codec.events import Event, SegmentBegun, SegmentDone, SegmentFailed, Warned
from snerv_codec.runtime.machine import devices_to_share, memory_refused, threads_each, worker_count

ATTEMPTS = 2  # of a job whose worker is lost
PATIENCE = 30.0  # seconds that a worker has to save its state
STOPS = ("SIGINT", "SIGTERM", "SIGHUP")  # what users, systems and closed terminals stop a program with

OnEvent = Callable[[Event], None]


Workers = int | Literal["auto"]


def run_jobs(
    jobs: Sequence[SegmentJob], *, workers: Workers = 1, ray: str | None = None, on_event: OnEvent
) -> list[FittedSegment]:
    """The fitted segments in the order of their jobs, at most `workers` fitted at a time.

    "auto" is one for each CUDA device, or for each core. With one worker, or one job, all happens in this process, and
    an error ends it. With more, the other jobs are carried on and kept where one fails; then `UserError` names the
    segment. What cannot be written for one cannot for the others: `OutputError` ends all. Raises `SettingsError` for
    no worker at all. `ray` is the address of a cluster to run them on instead (`encoding.on_ray`).
    """
    if ray is not None:
        from snerv_codec.encoding.on_ray import run_on_ray

        if workers != 1:
            raise SettingsError("`workers` and `ray` are two ways to run jobs; choose one of them")
        return run_on_ray(jobs, ray, on_event=on_event)
    workers = worker_count(workers, jobs[0].settings.device)
    if min(workers, _chains(jobs)) == 1:
        return [_here(job, len(jobs), on_event) for job in jobs]
    return _SideBySide(jobs, workers, on_event).run()


def _here(job: SegmentJob, total: int, on_event: OnEvent) -> FittedSegment:
    if total > 1:
        on_event(SegmentBegun(job.number, total))
    fitted = job.run(on_event=on_event)
    if total > 1:
        on_event(SegmentDone(job.number, total))
    return fitted


def _chains(jobs: Sequence[SegmentJob]) -> int:
    """How many can be fitted at a time."""
    return sum(job.after is None for job in jobs)


class Jobs:
    """What becomes of several jobs, whoever runs them: some wait, some are done, and some have failed."""

    def __init__(self, jobs: Sequence[SegmentJob], on_event: OnEvent) -> None:
        self._jobs, self.on_event = jobs, on_event
        # The longest first, so that no long one is left for the end.
        self._waiting = sorted(jobs, key=lambda job: -len(job.footage.numbers))
        self._fitted: dict[int, FittedSegment] = {}
        self._failed: dict[int, str] = {}

    def take(self) -> SegmentJob | None:
        """The next job that may begin; None where each waits for another one.

        Those that an earlier run has ended are taken too, as done, and those that wait for one that failed, as failed.
        """
        while (job := self._next()) is not None:
            fitted = None
            with suppress(UserError):  # of a damaged state, which whoever runs the job tells
                fitted = job.ended()
            if fitted is None:
                return job
            self.done(job, fitted)
        return None

    def _next(self) -> SegmentJob | None:
        for job in sorted(self._waiting, key=lambda job: job.number):
            if job.after in self._failed:
                self._waiting.remove(job)
                self.failed(job, f"not begun, as segment {job.number} that it starts from failed")
        ready = next((job for job in self._waiting if job.after is None or job.after in self._fitted), None)
        if ready is not None:
            self._waiting.remove(ready)
        return ready

    def begun(self, job: SegmentJob) -> None:
        """Tell that somebody is at work on it."""
        self.on_event(SegmentBegun(job.number, len(self._jobs)))

    def done(self, job: SegmentJob, fitted: FittedSegment) -> None:
        """Take what came of it."""
        self._fitted[job.number] = fitted
        self.on_event(SegmentDone(job.number, len(self._jobs)))

    def failed(self, job: SegmentJob, why: str) -> None:
        """It is given up."""
        self._failed[job.number] = why
        self.on_event(SegmentFailed(job.number, len(self._jobs), why))

    def again(self, job: SegmentJob, why: str) -> None:
        """Tell that it is tried once more."""
        self.on_event(Warned(f"segment {job.number + 1}: {why}; it is tried again"))

    def results(self) -> list[FittedSegment]:
        """Of all jobs, in their order. Raises `UserError` where some have failed, which names them.

        They are told from 1 on, as progress counts them, those of one reason together.
        """
        reasons: dict[str, list[int]] = {}
        for number, why in sorted(self._failed.items()):
            reasons.setdefault(why, []).append(number + 1)
        if reasons:
            told = "; ".join(
                f"segment{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}: {why}"
                for why, numbers in reasons.items()
            )
            raise UserError(f"{told}; the other segments are kept: use `resume` to go on with them")
        return [self._fitted[job.number] for job in self._jobs]


@dataclass(slots=True)
class _Worker:
    job: SegmentJob
    attempt: int
    process: BaseProcess
    messages: Connection
    device: str


class _SideBySide:
    """Jobs on their way through workers."""

    def __init__(self, jobs: Sequence[SegmentJob], workers: int, on_event: OnEvent) -> None:
        self._jobs, self._most = Jobs(jobs, on_event), min(workers, _chains(jobs))
        self._at_work: list[_Worker] = []

    def run(self) -> list[FittedSegment]:
        """All of them, or an error that names those that failed."""
        try:
            while True:
                while len(self._at_work) < self._most and (job := self._jobs.take()) is not None:
                    self._start(job, 1)
                if not self._at_work:
                    break
                self._listen()
        except BaseException:
            self._stop()
            raise
        return self._jobs.results()

    def _start(self, job: SegmentJob, attempt: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        threads, placed = threads_each(self._most), self._placed(job)
        process = spawn.Process(target=_work, args=(theirs, placed, threads), daemon=True)
        resource_tracker.ensure_running()  # whose start lets signals in
        with _stops_held():  # a worker hears of them once it can answer
            process.start()
        theirs.close()  # so that its end is seen here
        self._at_work.append(_Worker(job, attempt, process, ours, placed.settings.device))
        self._jobs.begun(job)

    def _placed(self, job: SegmentJob) -> SegmentJob:
        """The job on the device with the fewest workers, where it may choose and there are several."""
        devices = devices_to_share(job.settings.device)
        if not devices:
            return job
        busy = [worker.device for worker in self._at_work]
        return replace(job, settings=replace(job.settings, device=min(devices, key=busy.count)))

    def _listen(self) -> None:
        """Take what workers tell, until one of them has ended."""
        by_connection = {worker.messages: worker for worker in self._at_work}
        for ready in wait(by_connection):
            worker = by_connection[ready]  # type: ignore[index]
            try:
                message = worker.messages.recv()
            except (EOFError, OSError):
                message = None
            if isinstance(message, OutputError):
                raise message
            if isinstance(message, FittedSegment | Exception | None):
                self._end(worker, message)
            else:
                self._jobs.on_event(message)

    def _end(self, worker: _Worker, outcome: FittedSegment | Exception | None) -> None:
        """Take what came of a job, which is nothing where its worker is lost."""
        self._at_work.remove(worker)
        worker.process.join()
        worker.messages.close()
        if isinstance(outcome, FittedSegment):
            self._jobs.done(worker.job, outcome)
        elif outcome is not None:
            self._jobs.failed(worker.job, str(outcome))
        elif worker.attempt < ATTEMPTS:
            self._jobs.again(worker.job, f"its process was lost (exit code {worker.process.exitcode})")
            self._start(worker.job, worker.attempt + 1)
        else:
            self._jobs.failed(worker.job, _loss(worker.process.exitcode))

    def _stop(self) -> None:
        """Let workers save their states and end."""
        for worker in self._at_work:
            with suppress(OSError, ValueError):
                os.kill(worker.process.pid or 0, signal.SIGINT)
        for worker in self._at_work:
            worker.messages.close()
            worker.process.join(PATIENCE)
            worker.process.kill()


def _loss(exit_code: int | None) -> str:
    if exit_code == -signal.SIGKILL:
        return "its process was killed twice, perhaps for want of memory: use fewer `workers`, or a smaller `segment`"
    return f"its process was lost twice (exit code {exit_code})"


@contextmanager
def _stops_held() -> Iterator[None]:
    """Let signals that stop wait for the block's end, here and in what it starts, where `_stoppable` lets them in."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [getattr(signal, name) for name in STOPS])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stoppable() -> None:
    """Be stopped by the first signal; none that follows disturbs the saving."""
    numbers, stopped = [getattr(signal, name) for name in STOPS if hasattr(signal, name)], False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        if not stopped:
            stopped = True
            raise KeyboardInterrupt

    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, stop)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


def _work(messages: Connection, job: SegmentJob, threads: int) -> None:
    """What a worker does."""
    with suppress(KeyboardInterrupt, ConnectionError):  # told to end, or nobody listens any more
        _stoppable()
        messages.send(_fit(messages, job, threads))


def _fit(messages: Connection, job: SegmentJob, threads: int) -> "FittedSegment | Exception":
    """What comes of the job: the segment, or an error to tell."""
    import torch

    torch.set_num_threads(threads)
    try:
        with memory_refused("fitting", "use fewer `workers`, a smaller `segment`, or lower `size` or `batch`"):
            return job.run(on_event=messages.send)
    except ConnectionError:
        raise
    except UserError as error:
        return error
    except Exception as error:
        return RuntimeError(f"unexpected {type(error).__name__}: {error}")
