"""Jobs on a Ray cluster: a task for each, with a GPU of its own where the cluster has some.

Machines that see the input and the folder of the output under the paths that they have here, as on shared storage, read
and write there. To the others frames and states go through Ray's object store. Machines may come and go: a task whose
machine is lost is run again from its last saved state.
"""

import os
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from snerv_codec.encoding.home import Home, settled_in
from snerv_codec.encoding.runner import Jobs
from snerv_codec.encoding.segment_job import FittedSegment, SegmentJob
from snerv_codec.encoding.workdir import SEGMENT
from snerv_codec.errors import ResourceError, UserError
from snerv_codec.events import Event

ATTEMPTS = 4  # of a task whose worker or machine is lost
PATIENCE = 10.0  # seconds to wait for a cluster
LISTEN_EVERY = 1.0  # seconds


def run_on_ray(jobs: Sequence[SegmentJob], address: str, *, on_event: Callable[[Event], None]) -> list[FittedSegment]:
    """The fitted segments in the order of their jobs; `address` is a cluster's, or "local" for this machine alone.

    Where a job fails the others are carried on and kept; then `UserError` names the segment. Raises `ResourceError`
    where Ray is not installed, or the cluster cannot be reached or does not see this machine's files.
    """
    ray = _connected(address)
    try:
        jobs = [_absolute(job) for job in jobs]
        with _marked(jobs[0].checkpoint.directory) as marker:
            return _Tasks(ray, jobs, marker, on_event).run()
    finally:
        ray.shutdown()


class _Tasks:
    """Jobs on their way through the tasks of a cluster."""

    def __init__(self, ray: Any, jobs: Sequence[SegmentJob], marker: Path, on_event: Callable[[Event], None]) -> None:
        self._ray, self._jobs, self._total, self._marker = ray, Jobs(jobs, on_event), len(jobs), marker
        self._home = home_on(ray)
        if not ray.get(self._home.sees.remote(marker)):
            raise ResourceError(f"the cluster does not see {marker.parent}; run this on one of its machines")
        gpus = int(jobs[0].settings.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0)
        # What is lost is tried again here, where that can be told, and from the newest state.
        self._task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(_fit)
        self._at_work: dict[Any, tuple[SegmentJob, int]] = {}

    def run(self) -> list[FittedSegment]:
        """All of them, or an error that names those that failed."""
        try:
            while True:
                while (job := self._jobs.take()) is not None:
                    self._start(job, 1)
                if not self._at_work:
                    break
                done, _ = self._ray.wait(list(self._at_work), num_returns=1, timeout=LISTEN_EVERY)
                self._listen()
                for each in done:
                    self._end(each)
        finally:
            for each in self._at_work:
                with suppress(Exception):
                    self._ray.cancel(each)  # as Ctrl-C does, so that it saves its state
        return self._jobs.results()

    def _start(self, job: SegmentJob, attempt: int) -> None:
        self._at_work[self._task.remote(job, self._total, self._home, self._marker)] = job, attempt

    def _listen(self) -> None:
        """Pass on what tasks have told."""
        with suppress(self._ray.exceptions.RayError):  # they go on whether or not they are heard
            for event in self._ray.get(self._home.heard.remote()):
                self._jobs.on_event(event)

    def _end(self, task: Any) -> None:
        job, attempt = self._at_work.pop(task)
        try:
            self._jobs.done(job, self._ray.get(task))
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            named = "" if isinstance(cause, UserError) else f"unexpected {type(cause).__name__}: "
            self._jobs.failed(job, named + _first_line(cause))
        except self._ray.exceptions.RayError as error:
            if attempt == ATTEMPTS:
                self._jobs.failed(job, f"its task was lost {attempt} times: {_first_line(error)}")
            else:
                self._jobs.again(job, f"its task was lost: {_first_line(error)}")
                self._start(job, attempt + 1)


def home_on(ray: Any) -> Any:
    """A `Home` as an actor on this machine of the cluster; reading and writing files holds up nothing else."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {
        "num_cpus": 0,
        "max_restarts": -1,
        "max_task_retries": 2,
        "scheduling_strategy": here,
        "concurrency_groups": {"files": 1},
    }
    return ray.remote(**options)(Home).remote()


@contextmanager
def _marked(directory: Path) -> Iterator[Path]:
    """A file in the work directory by which others know it; what a killed program leaves of it goes with its states."""
    marker = directory / f"{SEGMENT}{secrets.token_hex(8)}.tmp"
    directory.mkdir(exist_ok=True)
    marker.touch()
    try:
        yield marker
    finally:
        marker.unlink(missing_ok=True)


def _absolute(job: SegmentJob) -> SegmentJob:
    """The job with paths that do not depend on where a process runs."""
    footage = job.footage
    if footage.source is not None:
        footage = replace(footage, source=os.path.abspath(footage.source))
    start = None if job.start is None else job.start.at(job.start.directory.absolute())
    return replace(job, footage=footage, checkpoint=job.checkpoint.at(job.checkpoint.directory.absolute()), start=start)


def _first_line(error: BaseException) -> str:
    """What an error says; what follows are Ray's traces."""
    return str(error).strip().partition("\n")[0]


def _connected(address: str) -> Any:
    """The module, at work on the cluster."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ResourceError("`ray` needs the package of that name; pip install 'snerv-codec[ray]'") from error
    dashboard = False if address == "local" else None
    try:
        _knock(address)
        ray.init(address, include_dashboard=dashboard, log_to_driver=False, configure_logging=False)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        if "InvalidAuthToken" in f"{error} {error.__cause__}":
            raise ResourceError(
                f"the Ray cluster at {address} asks for a token: RAY_AUTH_MODE=token gives the one that is set up here"
            ) from error
        reason = _first_line(error)
        raise ResourceError(f"no Ray cluster at {address}: {reason}; start one, or give its address") from error
    return ray


def _knock(address: str) -> None:
    """Raise `OSError` where nobody listens at host:port, for which Ray would wait for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()


def _fit(job: SegmentJob, total: int, home: Any, marker: Path) -> FittedSegment:
    """What a task does."""
    import torch

    torch.set_num_threads(1)
    try:
        with settled_in(job, total, home, marker) as (placed, tell):
            return placed.run(on_event=tell)
    except UserError as error:
        raise UserError(str(error)) from None  # its kind, and what it came from, may not travel
