"""Nodes, workers and drivers of a Ray cluster that are lost: nothing finished is fitted again, and the bytes stay."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest
import torch
from killing import kill_drivers
from segment_jobs import Toy, jobs_of
from watched import Watched, as_watched, fitted, log_of

from snerv_codec import encode
from snerv_codec.encoding import on_ray
from snerv_codec.encoding.runner import run_jobs
from snerv_codec.errors import UserError
from snerv_codec.events import EpochDone, SegmentBegun, SegmentDone

ray = pytest.importorskip("ray", reason="needs Ray, of the extra `ray`")

KILLS = 20
SEGMENTS, FRAMES, EPOCHS = 8, 2, 40
TOY = Toy(SEGMENTS, FRAMES, EPOCHS)
SETTINGS = TOY.settings

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Fragile(Watched):
    """A job whose process is killed once, in the middle."""

    def run(self, on_event=lambda event: None):
        killed = self.checkpoint.path.with_suffix(".killed")

        def tell(event):
            on_event(event)
            if isinstance(event, EpochDone) and event.epoch == EPOCHS // 2 and not killed.exists():
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        return Watched.run(self, on_event=tell)


@pytest.fixture(autouse=True)
def _found_by_workers(monkeypatch):
    """The modules of tests, in processes that Ray starts."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return TOY.clip(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def undisturbed(source):
    return TOY.undisturbed(source)


def assert_as_undisturbed(jobs, whole):
    """Their coded segments are those of the file, which holds them as they are."""
    assert all(job.coded().section in whole for job in jobs)


def again(work):
    """How many epochs were fitted more than once."""
    epochs = fitted(log_of(work))
    return epochs.total() - len(epochs)


def test_tasks_whose_processes_are_killed_go_on_from_their_states(
    source, undisturbed, tmp_path, record_testsuite_property
):
    """Each once."""
    jobs = as_watched(jobs_of(source, tmp_path / "work", SETTINGS), Fragile)
    run_jobs(jobs, ray="local", on_event=lambda event: None)
    assert len(list((tmp_path / "work").glob("*.killed"))) == SEGMENTS
    assert_as_undisturbed(jobs, undisturbed)
    record_testsuite_property(
        f"epochs of {SEGMENTS * EPOCHS} fitted again: {SEGMENTS} tasks killed", again(tmp_path / "work")
    )
    assert again(tmp_path / "work") <= SEGMENTS * EPOCHS // 2


def test_nodes_that_come_and_go(source, undisturbed, tmp_path, monkeypatch, record_testsuite_property):
    """One of two is lost once a task begins, or fits, and another one comes; so with one encode after the other."""
    from ray.cluster_utils import Cluster

    monkeypatch.setattr(on_ray, "LISTEN_EVERY", 0.05)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes, lost, seen, works = [cluster.add_node(num_cpus=1) for _ in range(2)], 0, Counter(), []

    def watch(event):
        nonlocal lost
        seen[type(event)] += 1
        if lost < KILLS and seen[(SegmentBegun, EpochDone)[lost % 2]] > lost // 2 % 3:
            cluster.remove_node(nodes.pop(0), allow_graceful=False)
            nodes.append(cluster.add_node(num_cpus=1))
            lost += 1
            seen.clear()

    try:
        while lost < KILLS:
            works.append(tmp_path / f"work{len(works)}")
            jobs = as_watched(jobs_of(source, works[-1], SETTINGS))
            while not all(job.ended() for job in jobs):
                with suppress(UserError):  # of a segment whose task is lost too often
                    run_jobs(jobs, ray=cluster.address, on_event=watch)
            assert_as_undisturbed(jobs, undisturbed)
    finally:
        cluster.shutdown()
    told = f"{lost} nodes lost: epochs of {len(works) * SEGMENTS * EPOCHS} of {len(works)} encodes fitted again"
    record_testsuite_property(told, sum(map(again, works)))


def test_a_machine_that_sees_neither_input_nor_output(source, tmp_path):
    """The only node with a core finds an empty folder where they are; frames, networks and states are carried."""
    from ray.cluster_utils import Cluster

    hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run([*hidden, "true"], capture_output=True).returncode:
        pytest.skip("a folder can be hidden from a process by root alone, on Linux")
    settings, here = replace(SETTINGS, chain=2), tmp_path / "here.mp4"
    shutil.copy(source, here)
    torch.set_num_threads(1)
    encode(here, tmp_path / "here.snrv", settings)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    join = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
    blind = subprocess.Popen([*hidden, *join, f"--address={cluster.address}"], stdout=subprocess.DEVNULL)
    told = []
    try:
        encode(here, tmp_path / "there.snrv", settings, ray=cluster.address, on_event=told.append)
    finally:
        blind.terminate()
        blind.wait()
        cluster.shutdown()
    assert (tmp_path / "there.snrv").read_bytes() == (tmp_path / "here.snrv").read_bytes()
    for kind in (SegmentBegun, EpochDone, SegmentDone):
        assert {event.segment for event in told if isinstance(event, kind)} == set(range(SEGMENTS))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here.mp4", "here.snrv", "there.snrv"]


def test_drivers_that_are_killed(tmp_path, record_testsuite_property):
    """The cluster goes on, and the next driver finds what was finished."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        told = kill_drivers(TOY, tmp_path, KILLS, "--ray", cluster.address)
    finally:
        cluster.shutdown()
    record_testsuite_property(f"{KILLS} drivers on Ray killed", told)


def test_a_cluster_that_is_killed_with_its_driver(source, undisturbed, tmp_path):
    """What was told to be done is not begun again in this process."""
    output, done = tmp_path / "out.snrv", set()
    command = TOY.command(source, output, "--ray", "local")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            event = json.loads(line)
            if event.get("event") == "segment":
                done.add(event["segment"])
                process.kill()
                break
    assert done

    def watch(event):
        assert not isinstance(event, EpochDone) or event.segment not in done

    torch.set_num_threads(1)
    encode(source, output, SETTINGS, resume=True, on_event=watch)
    assert output.read_bytes() == undisturbed
