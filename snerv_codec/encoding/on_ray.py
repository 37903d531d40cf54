"""Jobs on a Ray cluster: a task for each, with a GPU of its own where the cluster has some.

The machines need the input and the folder of the output under the same path, as on shared storage. Nodes may come and
go: a task whose node is lost is run again from its last saved state.
"""

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from snerv_codec.encoding.runner import Jobs
from snerv_codec.encoding.segment_job import FittedSegment, SegmentJob
from snerv_codec.errors import ResourceError, UserError
from snerv_codec.events import Event

RETRIES = 3  # of a task whose worker or node is lost
PATIENCE = 10.0  # seconds to wait for a cluster


def run_on_ray(jobs: Sequence[SegmentJob], address: str, *, on_event: Callable[[Event], None]) -> list[FittedSegment]:
    """The fitted segments in the order of their jobs; `address` is a cluster's, or "local" for this machine alone.

    Where a job fails the others are carried on and kept; then `UserError` names the segment. Raises `ResourceError`
    where Ray is not installed or the cluster cannot be reached.
    """
    ray = _connected(address)
    work, waiting = Jobs(jobs, on_event), dict[Any, SegmentJob]()
    try:
        gpus = int(jobs[0].settings.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0)
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=RETRIES)(_fit)
        while True:
            while (job := work.take()) is not None:
                waiting[task.remote(job)] = job
            if not waiting:
                break
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            job = waiting.pop(done)
            try:
                work.done(job, ray.get(done))
            except ray.exceptions.RayError as error:
                cause = getattr(error, "cause", None) or error  # of a task that raised it
                work.failed(job, str(cause).strip().partition("\n")[0])  # what follows are Ray's traces
    finally:
        for each in waiting:
            with suppress(Exception):
                ray.cancel(each)  # as Ctrl-C does, so that it saves its state
        ray.shutdown()
    return work.results()


def _connected(address: str) -> Any:
    """The module, at work on the cluster."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ResourceError("`ray` needs the package of that name; pip install 'snerv-codec[ray]'") from error
    known = {} if address == "local" else {"address": address}
    try:
        _knock(address)
        ray.init(**known, include_dashboard=None if known else False, log_to_driver=False, configure_logging=False)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ResourceError(f"no Ray cluster at {address}: {reason}; start one, or give its address") from error
    return ray


def _knock(address: str) -> None:
    """Raise `OSError` where nobody listens at host:port, for which Ray would wait for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()


def _fit(job: SegmentJob) -> FittedSegment:
    """What a task does."""
    import torch

    torch.set_num_threads(1)
    try:
        return job.run()
    except UserError as error:
        raise UserError(str(error)) from None  # its kind, and what it came from, may not travel
